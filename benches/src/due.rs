//! When sends are due at a given rate, and a timer that is exact enough for it.
//!
//! An open loop: a send has a time at which it is due, whatever became of those before it, and its
//! latency counts from there. So a server that stalls is not asked less, and what would have been sent
//! meanwhile has its share of the waiting: nothing is omitted by being held up.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::BenchError;

/// The times at which one connection's requests are due: evenly, for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    next: Instant,
    every: Duration,
}

impl Due {
    /// Of the connection with this number, from 0, of so many that have `rate` messages a second
    /// together, in requests of `batch`. They take turns.
    pub(crate) fn new(
        began: Instant,
        rate: u32,
        batch: u32,
        connection: usize,
        connections: usize,
    ) -> Self {
        let between = f64::from(batch) / f64::from(rate);
        let next = began + Duration::from_secs_f64(between * connection as f64);
        Self { next, every: Duration::from_secs_f64(between * connections as f64) }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Takes the next one: when it was due.
    pub(crate) fn take(&mut self) -> Instant {
        let due = self.next;
        self.next += self.every;
        due
    }
}

/// A timer of the kernel: the runtime's own are a millisecond wide.
#[derive(Debug)]
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    pub(crate) fn new() -> Result<Self, BenchError> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "what is there instead is unsafe, for types that change their descriptor; an \
                      OwnedFd keeps it"
        )]
        Ok(Self(AsyncFd::new(timer)?))
    }

    /// Waits for an instant.
    pub(crate) async fn wait(&self, until: Instant) -> Result<(), BenchError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            let it_value = Timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() };
            let timer = Itimerspec { it_interval: zero, it_value };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &timer)?;
            let mut ready = self.0.readable().await?;
            let mut expirations = [0; 8];
            // Nothing to read if it was set again since: then it is waited for again.
            let _ = rustix::io::read(self.0.get_ref(), &mut expirations);
            ready.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measure;

    #[test]
    fn connections_take_turns_and_keep_the_rate_together() {
        let began = Instant::now();
        let mut all: Vec<Duration> = (0..4)
            .flat_map(|connection| {
                let mut due = Due::new(began, 1000, 10, connection, 4);
                (0..25).map(move |_| due.take() - began)
            })
            .collect();
        all.sort();
        // 1,000 messages a second in requests of 10: one every 10 ms.
        let expected: Vec<Duration> = (0..100).map(|n| Duration::from_millis(10 * n)).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_stall_counts_for_all_that_was_due_in_it() {
        let began = Instant::now();
        let answered_ms = |due_ms: u64| if due_ms < 1000 { 1000 } else { due_ms + 1 };
        let mut due = Due::new(began, 100, 1, 0, 1);
        let mut found = Measure::new();
        for _ in 0..200 {
            let due = due.take();
            let at = began + Duration::from_millis(answered_ms((due - began).as_millis() as u64));
            found.note(1, at - due);
        }
        // Half of the sends were due in the second in which nothing was answered. A closed loop would
        // have seen one slow send in a hundred.
        let p75 = found.latency_us(0.75);
        assert!((400_000.0..600_000.0).contains(&p75), "{p75}");
    }
}
