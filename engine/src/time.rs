//! Time: what the clock shows, and the log's own time that never goes back.
//!
//! Two clocks are read. The *wall* clock may be set, and jumps; the *boot* clock
//! (`CLOCK_BOOTTIME`) only runs, also while the machine sleeps, but starts anew at each boot. The
//! wall clock is read once, when a store is opened; from then on [`LogClock`] follows the boot
//! clock alone, so a wall clock set a year ahead or back changes no lease and no delay.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::broken::{Mistake, makes};

/// A moment in log time: milliseconds since the Unix epoch, as the log counts them. In one store
/// it never goes back, over restarts too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogTime(pub u64);

impl LogTime {
    /// The end of time: a deadline that never comes.
    pub const NEVER: LogTime = LogTime(u64::MAX);

    /// This moment and `ms` milliseconds, at most [`LogTime::NEVER`].
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This moment and `ms` milliseconds, which may be negative.
    pub fn offset_ms(self, ms: i32) -> Self {
        Self(self.0.saturating_add_signed(ms.into()))
    }

    /// The milliseconds from `earlier` to this moment; 0 when `earlier` is later.
    pub fn ms_since(self, earlier: LogTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// The clocks of a machine, both in milliseconds.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch by the machine's clock. May jump either way.
    fn wall_ms(&self) -> u64;

    /// Milliseconds since the machine started, sleep included. Never goes back.
    fn boot_ms(&self) -> u64;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        milliseconds(rustix::time::clock_gettime(rustix::time::ClockId::Realtime))
    }

    fn boot_ms(&self) -> u64 {
        milliseconds(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
    }
}

fn milliseconds(time: rustix::time::Timespec) -> u64 {
    // A clock before 1970 counts as 1970: log time then simply starts at the last recorded one.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// A clock that a test advances. Clones show the same time.
#[derive(Debug, Clone)]
pub struct SimClock {
    wall: Arc<AtomicU64>,
    boot: Arc<AtomicU64>,
}

impl SimClock {
    /// A clock that shows `wall_ms` and was just booted.
    pub fn new(wall_ms: u64) -> Self {
        Self { wall: Arc::new(AtomicU64::new(wall_ms)), boot: Arc::new(AtomicU64::new(0)) }
    }

    /// Lets `ms` milliseconds pass on both clocks.
    pub fn advance(&self, ms: u64) {
        self.wall.fetch_add(ms, Ordering::SeqCst);
        self.boot.fetch_add(ms, Ordering::SeqCst);
    }

    /// A clock that shows the same, and from here on goes by itself.
    pub fn fork(&self) -> Self {
        Self {
            wall: Arc::new(AtomicU64::new(self.wall_ms())),
            boot: Arc::new(AtomicU64::new(self.boot_ms())),
        }
    }

    /// Sets the wall clock, as an administrator or a time server would; the boot clock runs on.
    pub fn set_wall(&self, wall_ms: u64) {
        self.wall.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn boot_ms(&self) -> u64 {
        self.boot.load(Ordering::SeqCst)
    }
}

/// Log time: starts at the later of the wall clock and the newest time in the log, then follows
/// the boot clock.
#[derive(Clone)]
pub struct LogClock {
    clock: Arc<dyn Clock>,
    base: LogTime,
    boot_ms_at_base: u64,
}

impl LogClock {
    /// Starts log time at the later of now and `newest`, the newest time recorded in the log.
    pub fn start(clock: Arc<dyn Clock>, newest: LogTime) -> Self {
        let wall = LogTime(clock.wall_ms());
        let base = if makes(Mistake::WallClockBelieved) { wall } else { newest.max(wall) };
        let boot_ms_at_base = clock.boot_ms();
        Self { clock, base, boot_ms_at_base }
    }

    /// The present moment.
    pub fn now(&self) -> LogTime {
        self.base.plus_ms(self.clock.boot_ms().saturating_sub(self.boot_ms_at_base))
    }
}

impl fmt::Debug for LogClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogClock({:?})", self.now())
    }
}
