//! A clock that can be moved ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use forebay_engine::{Clock, SystemClock};

/// The machine's clocks, and so much more. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct MovableClock {
    ahead_ms: Arc<AtomicU64>,
}

impl MovableClock {
    pub(super) fn new(ahead_ms: u64) -> Self {
        Self { ahead_ms: Arc::new(AtomicU64::new(ahead_ms)) }
    }

    /// Lets so much time pass at once; how far it is ahead then.
    pub(super) fn advance(&self, ms: u64) -> u64 {
        let add = |ahead: u64| Some(ahead.saturating_add(ms));
        let before = self.ahead_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
        before.unwrap_or_else(|before| before).saturating_add(ms)
    }

    /// How far it is ahead.
    pub(super) fn ahead_ms(&self) -> u64 {
        self.ahead_ms.load(Ordering::SeqCst)
    }
}

impl Clock for MovableClock {
    fn wall_ms(&self) -> u64 {
        SystemClock.wall_ms().saturating_add(self.ahead_ms())
    }

    fn boot_ms(&self) -> u64 {
        SystemClock.boot_ms().saturating_add(self.ahead_ms())
    }
}
