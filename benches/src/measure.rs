//! What one run found: messages, time, every latency, and how the messages are spread over the time.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Latencies are kept to three digits, from 1 ns; longer than a minute counts as a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// The result of a run, or of a part of it.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) messages: u64,
    pub(crate) took: Duration,
    /// Requests that were due and were given up; their latencies count as far as they were waited for.
    pub(crate) unanswered: u64,
    latency_ns: Histogram<u64>,
    timeline: Option<Timeline>,
}

/// Messages by when they counted.
#[derive(Debug, Clone)]
struct Timeline {
    from: Instant,
    slices: Vec<u64>,
}

impl Measure {
    /// One piece of a timeline.
    pub(crate) const SLICE: Duration = Duration::from_millis(100);

    pub(crate) fn new() -> Self {
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .expect("the bounds and digits are constants in range");
        Self { messages: 0, took: Duration::ZERO, unanswered: 0, latency_ns, timeline: None }
    }

    /// One that knows, from an instant on, when messages counted.
    pub(crate) fn since(from: Instant) -> Self {
        Self { timeline: Some(Timeline { from, slices: Vec::new() }), ..Self::new() }
    }

    /// Notes the answer to a request of so many messages.
    pub(crate) fn note(&mut self, messages: u64, latency: Duration) {
        self.messages += messages;
        self.note_latency(latency);
    }

    /// As [`Measure::note`], with the time of the answer.
    pub(crate) fn note_at(&mut self, now: Instant, messages: u64, latency: Duration) {
        self.count_at(now, messages);
        self.note_latency(latency);
    }

    /// Counts messages whose latency is not known, or is noted apart.
    pub(crate) fn count_at(&mut self, now: Instant, messages: u64) {
        self.messages += messages;
        if let Some(Timeline { from, slices }) = &mut self.timeline {
            let slice = now.saturating_duration_since(*from).as_nanos() / Self::SLICE.as_nanos();
            let slice = usize::try_from(slice).unwrap_or(usize::MAX - 1);
            if slices.len() <= slice {
                slices.resize(slice + 1, 0);
            }
            slices[slice] += messages;
        }
    }

    /// Notes a latency alone.
    pub(crate) fn note_latency(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency_ns.saturating_record(ns.max(1));
    }

    /// Adds what another connection found in the same time, or another run.
    pub(crate) fn add(&mut self, other: &Measure) {
        self.messages += other.messages;
        self.took = self.took.max(other.took);
        self.unanswered += other.unanswered;
        let added = self.latency_ns.add(&other.latency_ns);
        added.expect("all histograms have the same bounds");
        match (&mut self.timeline, &other.timeline) {
            (Some(mine), Some(others)) => {
                mine.slices.resize(mine.slices.len().max(others.slices.len()), 0);
                mine.slices.iter_mut().zip(&others.slices).for_each(|(mine, other)| *mine += other);
            }
            (mine @ None, Some(others)) => *mine = Some(others.clone()),
            (_, None) => {}
        }
    }

    /// The messages of this one, with the latencies of the other.
    pub(crate) fn with_latencies_of(self, other: Measure) -> Self {
        Self { latency_ns: other.latency_ns, unanswered: other.unanswered, ..self }
    }

    pub(crate) fn messages_per_second(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    /// The latency that this share of the requests did not exceed, in us.
    pub(crate) fn latency_us(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// How many latencies there are.
    pub(crate) fn latencies(&self) -> u64 {
        self.latency_ns.len()
    }

    /// Messages a second over the time: at the middle of each piece, in seconds. The last piece is left
    /// out if it is not whole.
    pub(crate) fn over_time(&self) -> Vec<(f64, f64)> {
        let slices = self.timeline.iter().flat_map(|timeline| &timeline.slices);
        let (piece, whole) = (Self::SLICE.as_secs_f64(), self.took.as_secs_f64() + 1e-9);
        let at = |(index, messages): (usize, &u64)| {
            ((index as f64 + 0.5) * piece, *messages as f64 / piece)
        };
        let is_whole = |point: &(f64, f64)| point.0 + piece / 2.0 <= whole;
        slices.enumerate().map(at).filter(is_whole).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_count_in_the_piece_of_time_in_which_they_were_answered() {
        let from = Instant::now();
        let ms = |ms| from + Duration::from_millis(ms);
        let mut all = Measure::new();
        let mut one = Measure::since(from);
        one.took = Duration::from_millis(350);
        one.note_at(ms(50), 10, Duration::from_millis(1));
        one.note_at(ms(250), 30, Duration::from_millis(1));
        let mut other = one.clone();
        other.count_at(ms(340), 5);
        all.add(&one);
        all.add(&other);
        let rates: Vec<f64> = all.over_time().iter().map(|(_, rate)| *rate).collect();
        // The fourth piece is not whole.
        assert_eq!(rates, [200.0, 0.0, 600.0]);
        assert_eq!((all.messages, all.latencies()), (85, 4));
    }
}
