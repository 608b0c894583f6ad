//! How fast the keeper goes: disk and processor are the log's first. And how fast the log goes when the
//! keeper cannot keep up: then the disk would fill with garbage.
//!
//! What is moved is spread evenly over time: a piece, then a rest. A disk works off what it was given
//! in the order in which it came, so the log's next sync waits for whatever burst is before it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counters::Counters;

/// The keeper may always write so many bytes a second, ...
const BYTES_PER_SECOND_MIN: u64 = 16 << 20;

/// ... and so many while the log writes nothing: nobody waits then.
const BYTES_PER_SECOND_ALONE: u64 = 128 << 20;

/// And so many for each byte that the log writes.
const BYTES_PER_LOG_BYTE: u64 = 4;

/// To read so many bytes counts as one that is written, ...
pub(crate) const BYTES_READ_PER_BYTE: u64 = 4;

/// ... to see what of so many is needed, too, ...
pub(crate) const BYTES_JUDGED_PER_BYTE: u64 = 4;

/// ... and so does freeing so many.
pub(crate) const BYTES_CUT_PER_BYTE: u64 = 4;

/// As many more for each percent that there is more garbage than is tolerated, ...
const MORE_PER_PERCENT: f64 = 0.4;

/// ... up to so many percent, and of what the log writes faster than the least rate provides for. A log
/// that hardly moves makes nothing urgent: the disk hardly grows, and its senders would notice.
const PERCENT_MAX: u64 = 30;

/// The log's rate is measured over so long.
const WINDOW: Duration = Duration::from_millis(250);

/// What took longer than it should is made up for as far back.
const MADE_UP: Duration = Duration::from_millis(10);

/// Rests are gathered to so long, and what is left of a longer one is for the next time: it may have
/// become urgent meanwhile.
const REST_MIN: Duration = Duration::from_micros(200);
const REST_MAX: Duration = Duration::from_millis(50);

/// A piece is as small as the disk lets it be at that rate: each costs a sync. It is doubled when the
/// rate is missed, and becomes an eighth smaller when there is time for a rest.
const PIECE_BYTES_MIN: u64 = 64 << 10;
const PIECE_BYTES_MAX: u64 = 4 << 20;

/// The piece of a store without threads, where nobody rests: small, so that simulations with their
/// small files have a crash between two pieces, too.
const PIECE_BYTES_UNPACED: u64 = 16 << 10;

/// The log writes no more than so many bytes a second as soon as it is slowed, ...
const LOG_BYTES_PER_SECOND_MAX: u64 = 256 << 20;

/// ... and so many at least, whatever there is of garbage: between them, half as many for each third of
/// the way.
const LOG_BYTES_PER_SECOND_MIN: u64 = 32 << 20;

/// What the log may write at once although it is slowed: who sends little is not held up.
const LOG_AHEAD: Duration = Duration::from_millis(20);

/// The longest rest of the log before an entry.
const LOG_REST_MAX: Duration = Duration::from_millis(100);

/// The pace of one keeper.
#[derive(Debug)]
pub(crate) struct Pace {
    counters: Arc<Counters>,
    /// Whether there is a log beside the keeper, on another thread.
    is_kept: AtomicBool,
    /// By how many percent there is more garbage than is tolerated.
    excess_percent: AtomicU64,
    rate: Mutex<Option<Rate>>,
    /// Bytes a second to which the log is slowed.
    log_bytes_per_second: AtomicU64,
    /// When what the log has written so far would have been written at that rate.
    log_due: Mutex<Option<Instant>>,
}

/// The log is not slowed.
const UNSLOWED: u64 = u64::MAX;

impl Pace {
    /// No rests before [`Pace::keep`].
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            is_kept: AtomicBool::new(false),
            excess_percent: AtomicU64::new(0),
            rate: Mutex::new(None),
            log_bytes_per_second: AtomicU64::new(UNSLOWED),
            log_due: Mutex::new(None),
        }
    }

    /// There are rests from here on, or no more: an engine that is being closed has no time.
    pub(crate) fn keep(&self, is_kept: bool) {
        self.is_kept.store(is_kept, Ordering::Relaxed);
    }

    /// What there is of garbage beside what is tolerated.
    pub(crate) fn set_garbage(&self, bytes: u64, bytes_max: u64) {
        let percent = bytes.saturating_sub(bytes_max) * 100 / bytes_max.max(1);
        self.excess_percent.store(percent, Ordering::Relaxed);
    }

    /// So much garbage there is, and can be compacted: slows the log according to how far it is in
    /// the range.
    pub(crate) fn slow_log(&self, bytes: u64, slowing: &Range<u64>) {
        let bytes_per_second = log_bytes_per_second(bytes, slowing);
        let before = self.log_bytes_per_second.swap(bytes_per_second, Ordering::Relaxed);
        if (before == UNSLOWED) != (bytes_per_second == UNSLOWED) {
            let Range { start, .. } = slowing;
            match bytes_per_second {
                UNSLOWED => {
                    tracing::info!("the log is not slowed any more: the compactor keeps up")
                }
                _ => tracing::info!(
                    "the log is slowed, so that the compactor can keep up: there are {bytes} bytes of \
                     garbage, expected fewer than {start}"
                ),
            }
        }
    }

    /// The log is about to write so many bytes: rests before, if it is slowed and has just written much.
    pub(crate) fn log_writes(&self, bytes: u64) {
        let bytes_per_second = self.log_bytes_per_second.load(Ordering::Relaxed);
        if bytes_per_second == UNSLOWED || !self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let mut due = self.log_due.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = log_rest(&mut due, now, bytes, bytes_per_second);
        drop(due);
        if rest >= REST_MIN {
            std::thread::sleep(rest);
            self.counters.log_rested_us.add(rest.as_micros() as u64);
        }
    }

    /// The most to be moved at once.
    pub(crate) fn piece_bytes(&self) -> u64 {
        match self.lock().as_ref() {
            Some(rate) => rate.piece_bytes,
            None => PIECE_BYTES_UNPACED,
        }
    }

    /// So many bytes were written, or what counts as that: rests until the next may be.
    pub(crate) fn moved(&self, bytes: u64) {
        let rest = self.owe(bytes);
        // Nothing is more urgent than space for those who are refused, and what they would be refused
        // for: without the compactor's reserve no segment is prepared.
        let is_urgent =
            self.counters.signals.is_refusing.get() || !self.counters.signals.has_reserve.get();
        if rest >= REST_MIN && !is_urgent {
            std::thread::sleep(rest.min(REST_MAX));
        }
    }

    /// The same, but rests later; says for how long.
    pub(crate) fn owe(&self, bytes: u64) -> Duration {
        if !self.is_kept.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let logged = self.counters.log_bytes_written.get();
        let excess_percent = self.excess_percent.load(Ordering::Relaxed);
        let now = Instant::now();
        let mut rate = self.lock();
        let rate = rate.get_or_insert_with(|| Rate::new(now, logged));
        rate.rest(now, bytes, logged, excess_percent)
    }

    /// Nothing was to be done for a while: that is not to be made up for.
    pub(crate) fn was_idle(&self) {
        if let Some(rate) = self.lock().as_mut() {
            rate.due = rate.due.max(Instant::now());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Rate>> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_bytes_per_second(garbage_bytes: u64, slowing: &Range<u64>) -> u64 {
    if garbage_bytes <= slowing.start {
        return UNSLOWED;
    }
    let way = (garbage_bytes - slowing.start) as f64 / (slowing.end - slowing.start) as f64;
    let bytes_per_second = LOG_BYTES_PER_SECOND_MAX as f64 * (-3.0 * way).exp2();
    LOG_BYTES_PER_SECOND_MIN.max(bytes_per_second as u64)
}

/// The rest before so many bytes: for what was written before them, at that rate.
fn log_rest(
    due: &mut Option<Instant>,
    now: Instant,
    bytes: u64,
    bytes_per_second: u64,
) -> Duration {
    let oldest = now.checked_sub(LOG_AHEAD).unwrap_or(now);
    let since = due.unwrap_or(oldest).max(oldest);
    let rest = since.saturating_duration_since(now).min(LOG_REST_MAX);
    let takes = Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
    *due = Some(since.min(now + LOG_REST_MAX) + takes);
    rest
}

/// Says how long to rest.
#[derive(Debug)]
struct Rate {
    window_began: Instant,
    log_bytes_then: u64,
    bytes_per_second: u64,
    piece_bytes: u64,
    /// When what was moved so far would have been moved at the right pace.
    due: Instant,
}

impl Rate {
    fn new(now: Instant, log_bytes: u64) -> Self {
        Self {
            window_began: now,
            log_bytes_then: log_bytes,
            bytes_per_second: BYTES_PER_SECOND_ALONE,
            piece_bytes: PIECE_BYTES_MIN,
            due: now,
        }
    }

    /// The rest that is due after so many bytes were moved. `log_bytes` is what the log has written
    /// in all.
    fn rest(&mut self, now: Instant, bytes: u64, log_bytes: u64, excess_percent: u64) -> Duration {
        let passed = now - self.window_began;
        if passed >= WINDOW {
            let logged = (log_bytes - self.log_bytes_then) as f64 / passed.as_secs_f64();
            let more = excess_percent.min(PERCENT_MAX) as f64 * MORE_PER_PERCENT;
            let provided_for = (BYTES_PER_SECOND_MIN / BYTES_PER_LOG_BYTE) as f64;
            let rate = logged * BYTES_PER_LOG_BYTE as f64 + (logged - provided_for).max(0.0) * more;
            self.bytes_per_second = match log_bytes == self.log_bytes_then {
                true => BYTES_PER_SECOND_ALONE,
                false => BYTES_PER_SECOND_MIN.max(rate as u64),
            };
            (self.window_began, self.log_bytes_then) = (now, log_bytes);
        }
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let oldest = now.checked_sub(MADE_UP).unwrap_or(now);
        let bytes = match self.due < oldest {
            true => self.piece_bytes * 2,
            false => self.piece_bytes - self.piece_bytes / 8,
        };
        self.piece_bytes = bytes.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
        self.due = self.due.max(oldest) + takes;
        self.due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_log_that_hardly_moves_leaves_the_least_rate_whatever_there_is_of_garbage() {
        let rate_with = |logged| {
            let began = Instant::now();
            let mut rate = Rate::new(began, 0);
            rate.rest(began + 2 * WINDOW, 0, logged, 1000);
            rate.bytes_per_second
        };
        // In half a second.
        assert_eq!([1, 2 * MIB].map(rate_with), [BYTES_PER_SECOND_MIN; 2]);
        assert_eq!(rate_with(0), BYTES_PER_SECOND_ALONE);
    }

    #[test]
    fn what_is_moved_is_rested_for() {
        let began = Instant::now();
        let mut rate = Rate::new(began, 0);
        let rest = rate.rest(began, BYTES_PER_SECOND_ALONE, 0, 0);
        assert!(rest <= Duration::from_secs(1) && rest >= Duration::from_secs(1) - MADE_UP);
    }

    #[test]
    fn the_rate_follows_the_log_and_the_garbage() {
        let rate_of = |excess_percent| {
            let began = Instant::now();
            let mut rate = Rate::new(began, 7);
            // The log wrote 100 MiB in a second.
            rate.rest(began + Duration::from_secs(1), 0, 7 + 100 * MIB, excess_percent);
            rate.bytes_per_second / MIB
        };
        assert_eq!([0, 10, 30, 1000].map(rate_of), [400, 784, 1552, 1552]);
    }

    #[test]
    fn a_slow_disk_gets_larger_pieces_and_no_burst() {
        let began = Instant::now();
        let mut rate = Rate::new(began, 0);
        // One piece took a tenth of a second: what follows is not six MiB at once.
        let later = began + Duration::from_millis(100);
        assert_eq!(rate.rest(later, 1, 0, 0), Duration::ZERO);
        assert_eq!(rate.piece_bytes, 2 * PIECE_BYTES_MIN);
        assert!(rate.rest(later, 2 * MIB, 0, 0) > Duration::ZERO);
        assert!(rate.piece_bytes < 2 * PIECE_BYTES_MIN);
        for _ in 0..100 {
            rate.rest(later, 1, 0, 0);
        }
        assert_eq!(rate.piece_bytes, PIECE_BYTES_MIN);
    }

    #[test]
    fn a_log_is_slowed_by_garbage_beyond_a_range_and_never_stopped() {
        let rate_with =
            |garbage| match log_bytes_per_second(garbage * MIB, &(1000 * MIB..1300 * MIB)) {
                UNSLOWED => None,
                bytes_per_second => Some(bytes_per_second / MIB),
            };
        let expected = [None, None, Some(128), Some(64), Some(32), Some(32)];
        assert_eq!([0, 1000, 1100, 1200, 1300, 1_000_000].map(rate_with), expected);
    }

    #[test]
    fn a_slowed_log_rests_for_what_it_wrote_and_who_sends_little_does_not() {
        let (mut due, began) = (None, Instant::now());
        let mut rest = |passed_ms, bytes| {
            log_rest(&mut due, began + Duration::from_millis(passed_ms), bytes, 100 * MIB)
        };
        // A message each 2 ms.
        for n in 0..1000 {
            assert_eq!(rest(2 * n, 1024), Duration::ZERO);
        }
        // Two MiB may be written at once; for eight more, 80 ms are to pass.
        assert_eq!(rest(2000, 10 * MIB), Duration::ZERO);
        assert_eq!(rest(2000, 1), Duration::from_millis(80));
        assert!(rest(2079, 1) <= Duration::from_millis(2));
        // However large an entry was, the next one does not wait for ever.
        rest(2080, 1000 * MIB);
        assert_eq!(rest(2081, 1), LOG_REST_MAX);
        assert!(rest(2181, 1) <= Duration::from_millis(1));
    }

    #[test]
    fn without_a_log_beside_it_nobody_rests() {
        let pace = Pace::new(Arc::default());
        assert_eq!(pace.owe(u64::MAX / 2), Duration::ZERO);
        assert_eq!(pace.piece_bytes(), PIECE_BYTES_UNPACED);
        pace.keep(true);
        assert!(pace.owe(MIB) > Duration::ZERO);
        pace.keep(false);
        assert_eq!(pace.owe(MIB), Duration::ZERO);
    }
}
