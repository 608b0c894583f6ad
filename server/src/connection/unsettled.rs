//! Messages that were pushed to a client and that it has neither acked nor changed: given back when
//! the connection ends, because the client asked for that.
//!
//! Invariants:
//! - It holds at most [`UNSETTLED_MAX`]: the newest. A client that never acks costs no more than that.
//! - Dropped, it gives back what it holds, whatever ended the connection.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use forebay_engine::command::Command;
use forebay_engine::receipt::SealedReceipt;

use crate::caller::{Caller, EngineHandle, Leases};

/// The most messages of a connection that are remembered.
pub(super) const UNSETTLED_MAX: usize = 65_536;

/// The most that one command gives back, so that the engine gets to do other things in between.
const RETURN_BATCH: usize = 1024;

/// The pushed messages of one connection, whatever their queues and subscriptions.
pub(super) struct Unsettled {
    receipts: HashSet<SealedReceipt>,
    /// As they were pushed, with their queues, settled ones among them.
    order: VecDeque<(Arc<str>, SealedReceipt)>,
    engine: EngineHandle,
}

impl Unsettled {
    pub(super) fn new(engine: EngineHandle) -> Self {
        Self { receipts: HashSet::new(), order: VecDeque::new(), engine }
    }

    /// Remembers messages that the client's socket has taken.
    pub(super) fn add(&mut self, leases: Leases) {
        let (queue, receipts) = leases.into_receipts();
        let queue: Arc<str> = queue.into();
        for receipt in receipts {
            self.receipts.insert(receipt);
            self.order.push_back((Arc::clone(&queue), receipt));
        }
        while self.receipts.len() > UNSETTLED_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.receipts.remove(&oldest);
        }
    }

    /// Forgets messages whose receipts the client has shown.
    pub(super) fn settle<'r>(&mut self, receipts: impl Iterator<Item = &'r SealedReceipt>) {
        if self.receipts.is_empty() {
            return;
        }
        for receipt in receipts {
            self.receipts.remove(receipt);
        }
        // As a rule the oldest are settled first; what is settled among unsettled ones is cleared
        // away when it is the greater part.
        while self.order.front().is_some_and(|(_, oldest)| !self.receipts.contains(oldest)) {
            self.order.pop_front();
        }
        if self.order.len() > 2 * self.receipts.len() {
            self.order.retain(|(_, receipt)| self.receipts.contains(receipt));
        }
    }

    /// Gives all of them back.
    pub(super) fn release(&mut self) {
        let mut left = std::mem::take(&mut self.order);
        let receipts = std::mem::take(&mut self.receipts);
        left.retain(|(_, receipt)| receipts.contains(receipt));
        for part in left.make_contiguous().chunk_by(|(a, _), (b, _)| a == b) {
            for batch in part.chunks(RETURN_BATCH) {
                let queue = batch[0].0.to_string();
                tracing::debug!(queue, count = batch.len(), "unsettled messages go back");
                let receipts = batch.iter().map(|(_, receipt)| *receipt).collect();
                let command = Command::ReturnUndelivered { queue, receipts, delay_ms: 0 };
                self.engine.submit(command, Caller::nobody());
            }
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.release();
    }
}
