//! When a run warms up, counts, and ends: the same for all its connections.

use std::time::{Duration, Instant};

/// Of every run, what comes before this is not counted.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

/// No run takes so long.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The times of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    from: Instant,
    until: Instant,
}

impl Pace {
    /// A run that begins now and counts for `counted`.
    pub(crate) fn start(counted: Duration) -> Self {
        let from = Instant::now() + WARM_UP;
        Self { from, until: from + counted }
    }

    /// A run that begins now, and counts from now on until whatever ends it.
    pub(crate) fn all_from_now() -> Self {
        let from = Instant::now();
        Self { from, until: from + FOR_EVER }
    }

    /// When it began.
    pub(crate) fn began(&self) -> Instant {
        self.from - WARM_UP
    }

    /// When it begins to count.
    pub(crate) fn from(&self) -> Instant {
        self.from
    }

    /// When it ends.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Whether something that happened at `now` counts.
    pub(crate) fn counts(&self, now: Instant) -> bool {
        (self.from..self.until).contains(&now)
    }

    /// Whether nothing more is to be begun.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// The time that counts.
    pub(crate) fn counted(&self) -> Duration {
        self.until - self.from
    }
}
