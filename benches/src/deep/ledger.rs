//! The bytes that a client knows to be stored: of bodies whose sends were answered, and of those
//! whose acks were.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of bodies, counted as they are answered.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: AtomicU64,
    acked: AtomicU64,
    /// Requests that were answered.
    pub(super) answered: AtomicU64,
}

impl Ledger {
    pub(super) fn note_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_acked(&self, bytes: u64) {
        self.acked.fetch_add(bytes, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// All that was ever sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// What was sent and not acked.
    pub(super) fn live(&self) -> u64 {
        // In this order: what is acked meanwhile was sent before.
        let acked = self.acked.load(Ordering::Relaxed);
        self.sent() - acked
    }
}
