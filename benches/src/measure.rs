//! What one run found: messages, time, and every latency.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Latencies are kept to three digits, from 1 ns; longer than a minute counts as a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// The result of a run, or of a part of it.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) messages: u64,
    pub(crate) took: Duration,
    latency_ns: Histogram<u64>,
}

impl Measure {
    pub(crate) fn new() -> Self {
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .expect("the bounds and digits are constants in range");
        Self { messages: 0, took: Duration::ZERO, latency_ns }
    }

    /// Notes the answer to a request of so many messages.
    pub(crate) fn note(&mut self, messages: u64, latency: Duration) {
        self.messages += messages;
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency_ns.saturating_record(ns.max(1));
    }

    /// Adds what another connection found in the same time.
    pub(crate) fn add(&mut self, other: &Measure) {
        self.messages += other.messages;
        self.took = self.took.max(other.took);
        let added = self.latency_ns.add(&other.latency_ns);
        added.expect("all histograms have the same bounds");
    }

    pub(crate) fn messages_per_second(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    /// The latency that this share of the requests did not exceed, in us.
    pub(crate) fn latency_us(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1000.0
    }
}
