//! What a run found.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Messages, time, and latencies of requests.
#[derive(Debug, Clone)]
pub struct Found {
    pub messages: u64,
    pub took: Duration,
    latency_us: Histogram<u64>,
}

/// A run in numbers.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub messages_per_second: f64,
    /// The 50th and the 99th percentile of sends, if there were any.
    pub latency_ms: Option<[f64; 2]>,
    /// Cores that the load used; not of Forebay, whose load is a program of its own.
    pub load_cores: Option<f64>,
}

impl Found {
    pub fn new() -> Self {
        let latency_us = Histogram::new_with_bounds(1, 60_000_000, 3)
            .expect("the bounds and digits are constants in range");
        Self { messages: 0, took: Duration::ZERO, latency_us }
    }

    /// Notes a send.
    pub fn note(&mut self, messages: u64, latency: Duration) {
        self.messages += messages;
        self.latency_us.saturating_record((latency.as_micros() as u64).max(1));
    }

    pub fn add(&mut self, other: &Found) {
        self.messages += other.messages;
        self.took = self.took.max(other.took);
        self.latency_us.add(&other.latency_us).expect("all histograms have the same bounds");
    }

    pub fn figures(&self, load: Duration) -> Figures {
        let percentile = |q| self.latency_us.value_at_quantile(q) as f64 / 1000.0;
        let latency_ms = (!self.latency_us.is_empty()).then(|| [0.5, 0.99].map(percentile));
        let took = self.took.as_secs_f64();
        let messages_per_second = self.messages as f64 / took;
        let load_cores = Some(load.as_secs_f64() / took);
        Figures { messages_per_second, latency_ms, load_cores }
    }
}

pub const HEAD: &str = "\
| workload | queue | answered | messages/s | slowest to fastest | p50 / p99 ms of sends | load's cores |
| --- | --- | --- | ---: | ---: | ---: | ---: |";

/// A row: medians of the rounds.
pub fn row(workload: &str, queue: &str, is_synced: bool, rounds: &[Figures]) -> String {
    let rates = sorted(rounds.iter().map(|figures| figures.messages_per_second));
    let latency =
        |index: usize| sorted(rounds.iter().filter_map(|figures| Some(figures.latency_ms?[index])));
    let latency = match (median(&latency(0)), median(&latency(1))) {
        (Some(p50), Some(p99)) => format!("{p50:.2} / {p99:.2}"),
        _ => String::new(),
    };
    let load = median(&sorted(rounds.iter().filter_map(|figures| figures.load_cores)));
    format!(
        "| {workload} | {queue} | {} | {:.0} | {:.0} to {:.0} | {latency} | {} |",
        if is_synced { "when synced" } else { "before" },
        median(&rates).unwrap_or_default(),
        rates.first().copied().unwrap_or_default(),
        rates.last().copied().unwrap_or_default(),
        load.map_or(String::new(), |load| format!("{load:.2}")),
    )
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.get(sorted.len() / 2)?;
    Some((sorted[(sorted.len() - 1) / 2] + middle) / 2.0)
}
