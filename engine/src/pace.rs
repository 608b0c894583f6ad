//! How fast the keeper may go: so that disk and processor are the log's first.

use std::time::{Duration, Instant};

use crate::counters::Counters;

/// It may always move so many bytes a second.
const BYTES_PER_SECOND_MIN: u64 = 128 << 20;

/// And so many for each byte that the log writes: reading three and writing one keeps up with a
/// log of which a third is still needed when it is compacted.
const BYTES_PER_LOG_BYTE: u64 = 4;

/// The log's rate is measured over so long, and a step that took long is made up for as far back.
const WINDOW: Duration = Duration::from_millis(250);

/// Says how long to rest after moving some bytes.
#[derive(Debug)]
pub(crate) struct Pace {
    window_began: Instant,
    log_bytes_then: u64,
    bytes_per_second: u64,
    /// When what was moved so far would have been moved at the right pace.
    due: Instant,
}

impl Pace {
    pub(crate) fn new(counters: &Counters) -> Self {
        let log_bytes_then = counters.log_bytes_written.get();
        let (now, bytes_per_second) = (Instant::now(), BYTES_PER_SECOND_MIN);
        Self { window_began: now, log_bytes_then, bytes_per_second, due: now }
    }

    /// The rest that is due after so many bytes were moved.
    pub(crate) fn rest(&mut self, bytes: u64, counters: &Counters) -> Duration {
        let now = Instant::now();
        let passed = now - self.window_began;
        if passed >= WINDOW {
            let log_bytes = counters.log_bytes_written.get();
            let logged = (log_bytes - self.log_bytes_then) as f64 / passed.as_secs_f64();
            self.bytes_per_second = BYTES_PER_SECOND_MIN.max(logged as u64 * BYTES_PER_LOG_BYTE);
            (self.window_began, self.log_bytes_then) = (now, log_bytes);
        }
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        self.due = self.due.max(now.checked_sub(WINDOW).unwrap_or(now)) + takes;
        self.due.saturating_duration_since(now)
    }
}
