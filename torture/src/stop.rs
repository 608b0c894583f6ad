//! How somebody from outside ends a campaign before it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Once it is set, a campaign ends as if its time were over: what was done until then is told. Clones are
/// the same.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the campaign to end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
