//! What a run found.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Messages, time, and latencies of requests.
#[derive(Debug, Clone)]
pub struct Found {
    pub messages: u64,
    pub took: Duration,
    latency_us: Histogram<u64>,
    /// Percentiles that somebody else has found: 50 and 99, in us.
    told_us: Option<[f64; 2]>,
}

impl Found {
    pub fn new() -> Self {
        let latency_us = Histogram::new_with_bounds(1, 60_000_000, 3)
            .expect("the bounds and digits are constants in range");
        Self { messages: 0, took: Duration::ZERO, latency_us, told_us: None }
    }

    /// What `forebay bench` printed.
    pub fn told(messages_per_second: f64, p50_us: f64, p99_us: f64) -> Self {
        let mut found = Self::new();
        found.messages = messages_per_second as u64;
        found.took = Duration::from_secs(1);
        found.told_us = Some([p50_us, p99_us]);
        found
    }

    pub fn note(&mut self, messages: u64, latency: Duration) {
        self.messages += messages;
        self.latency_us.saturating_record((latency.as_micros() as u64).max(1));
    }

    pub fn add(&mut self, other: &Found) {
        self.messages += other.messages;
        self.took = self.took.max(other.took);
        self.latency_us.add(&other.latency_us).expect("all histograms have the same bounds");
    }

    fn rate(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }
}

/// Prints a row: the median of the rounds' rates, and latencies of all rounds together.
pub fn tell(workload: &str, queue: &str, rounds: &[Found]) {
    let mut rates: Vec<f64> = rounds.iter().map(Found::rate).collect();
    rates.sort_by(f64::total_cmp);
    let median = (rates[(rates.len() - 1) / 2] + rates[rates.len() / 2]) / 2.0;
    let mut all = Found::new();
    rounds.iter().for_each(|found| all.add(found));
    let middle_of_told = |index: usize| {
        let mut told: Vec<f64> =
            rounds.iter().filter_map(|found| Some(found.told_us?[index])).collect();
        told.sort_by(f64::total_cmp);
        told.get(told.len() / 2).copied()
    };
    let [p50, p99] = [(0, 0.5), (1, 0.99)].map(|(index, quantile)| {
        let own = || all.latency_us.value_at_quantile(quantile) as f64;
        middle_of_told(index).unwrap_or_else(own) / 1000.0
    });
    println!(
        "| {workload} | {queue} | {median:.0} | {:.0} to {:.0} | {p50:.2} / {p99:.2} |",
        rates[0],
        rates[rates.len() - 1]
    );
}
