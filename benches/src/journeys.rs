//! How long messages are on their way: from when each was sent, or due, until it was delivered.
//!
//! Bodies carry no time: they were encoded before the clock started. So a message is known by its number,
//! which its sender learns with the answer, and a consumer may know before.
//!
//! A message counts if it was sent, or due, in the time that counts, whenever it came: a stall at the end
//! of that time holds up what was sent in it. All deliveries are waited for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::measure::Measure;
use crate::pace::Pace;

/// All messages of a run that are on their way.
#[derive(Debug)]
pub(crate) struct Journeys {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    queues: HashMap<u32, Queue>,
    found: Measure,
}

/// One queue's messages, by their numbers from `first` on.
#[derive(Debug)]
struct Queue {
    first: u64,
    stages: VecDeque<Stage>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Unknown,
    Sent(Instant),
    Delivered(Instant),
    Done,
}

impl Journeys {
    /// Of queues that are known by their id and the number of their next message.
    pub(crate) fn new(queues: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let empty = |(id, first)| (id, Queue { first, stages: VecDeque::new() });
        let queues = queues.into_iter().map(empty).collect();
        Self { inner: Mutex::new(Inner { queues, found: Measure::new() }) }
    }

    /// A batch was answered that was sent, or due, at `since`.
    pub(crate) fn sent(&self, queue: u32, first: u64, count: u32, since: Instant, pace: Pace) {
        self.step(queue, first..first + u64::from(count), Stage::Sent(since), pace);
    }

    /// Messages were delivered.
    pub(crate) fn delivered(
        &self,
        queue: u32,
        seqs: impl Iterator<Item = u64>,
        now: Instant,
        pace: Pace,
    ) {
        self.step(queue, seqs, Stage::Delivered(now), pace);
    }

    fn step(&self, queue: u32, seqs: impl Iterator<Item = u64>, stage: Stage, pace: Pace) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { queues, found } = &mut *inner;
        let Some(queue) = queues.get_mut(&queue) else { return };
        for (sent, delivered) in seqs.filter_map(|seq| queue.step(seq, stage)) {
            if pace.counts(sent) {
                found.note(1, delivered.saturating_duration_since(sent));
            }
        }
    }

    /// What was found of all that were sent, or due, in the time that counts, and have been delivered.
    pub(crate) fn found(&self) -> Measure {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).found.clone()
    }
}

impl Queue {
    /// When a message was sent and when it was delivered, if both is known now.
    fn step(&mut self, seq: u64, stage: Stage) -> Option<(Instant, Instant)> {
        let Queue { first, stages } = self;
        // One that came again, or was there before.
        let index = seq.checked_sub(*first)?;
        let index = usize::try_from(index).expect("few are on their way at one time");
        if stages.len() <= index {
            stages.resize(index + 1, Stage::Unknown);
        }
        let (sent, delivered) = match (stages[index], stage) {
            (Stage::Unknown, stage) => {
                stages[index] = stage;
                return None;
            }
            (Stage::Sent(sent), Stage::Delivered(delivered))
            | (Stage::Delivered(delivered), Stage::Sent(sent)) => (sent, delivered),
            _ => return None,
        };
        stages[index] = Stage::Done;
        while let Some(Stage::Done) = stages.front() {
            stages.pop_front();
            *first += 1;
        }
        Some((sent, delivered))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stall_at_the_end_of_the_time_that_counts_is_in_the_figures() {
        let pace = Pace::start(Duration::from_secs(1));
        let ms = |ms| pace.from() + Duration::from_millis(ms);
        let journeys = Journeys::new([(7, 1)]);
        journeys.sent(7, 1, 1, ms(0) - Duration::from_millis(1), pace);
        journeys.sent(7, 2, 1, ms(999), pace);
        journeys.sent(7, 3, 1, ms(1000), pace);
        // The first comes in the time that counts, the others long after it.
        journeys.delivered(7, std::iter::once(1), ms(5), pace);
        journeys.delivered(7, 2..=3, ms(2999), pace);
        let found = journeys.found();
        assert_eq!(found.messages, 1, "the first and the last were not sent in time that counts");
        assert!((found.latency_us(1.0) - 2_000_000.0).abs() < 4_000.0, "{}", found.latency_us(1.0));
    }

    #[test]
    fn a_journey_counts_whichever_end_of_it_is_known_first() {
        let pace = Pace::start(Duration::from_secs(10));
        let ms = |ms| pace.from() + Duration::from_millis(ms);
        let journeys = Journeys::new([(7, 101)]);
        journeys.sent(7, 101, 2, ms(0), pace);
        journeys.delivered(7, std::iter::once(103), ms(15), pace);
        journeys.delivered(7, std::iter::once(102), ms(20), pace);
        journeys.delivered(7, std::iter::once(101), ms(30), pace);
        journeys.sent(7, 103, 1, ms(5), pace);
        // A second delivery, and a queue that is not the run's.
        journeys.delivered(7, std::iter::once(101), ms(900), pace);
        journeys.delivered(8, std::iter::once(101), ms(900), pace);
        let found = journeys.found();
        assert_eq!((found.messages, found.latencies()), (3, 3));
        let us = [0.0, 0.5, 1.0].map(|quantile| found.latency_us(quantile).round());
        for (found, expected) in us.into_iter().zip([10_000.0, 20_000.0, 30_000.0]) {
            assert!((found - expected).abs() < expected / 500.0, "{us:?}");
        }
    }
}
