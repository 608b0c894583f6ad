//! The leases of one receive, on their way to the client.
//!
//! Invariant: a lease is either written to the client's socket to its last byte, or given back to
//! the engine at once, whatever ends it on the way: a closed connection, a cancelled task, a
//! panic. The value itself sees to that: dropped before [`Leases::written`], it gives back.

use forebay_engine::attributes::FIFO_SUFFIX;
use forebay_engine::command::{Command, Delivery};
use forebay_engine::ids::QueueId;
use forebay_engine::receipt::SealedReceipt;

use super::{Caller, EngineHandle};

/// Leased messages that the client has not got yet.
pub(crate) struct Leases {
    pub(crate) queue_id: QueueId,
    /// What the messages take where they are stored.
    pub(crate) stored_bytes: usize,
    queue: String,
    deliveries: Vec<Delivery>,
    /// Of those whose messages were let go.
    receipts: Vec<SealedReceipt>,
    engine: EngineHandle,
}

impl Leases {
    /// The leases that a receive from `queue` got.
    pub(crate) fn new(
        engine: EngineHandle,
        queue: String,
        queue_id: QueueId,
        deliveries: Vec<Delivery>,
    ) -> Self {
        let bytes = deliveries.iter().map(|delivery| delivery.location.bytes as usize);
        Self {
            queue_id,
            stored_bytes: bytes.sum(),
            queue,
            deliveries,
            receipts: Vec::new(),
            engine,
        }
    }

    /// Whether the order of messages counts: the name says so.
    pub(crate) fn is_fifo(&self) -> bool {
        self.queue.ends_with(FIFO_SUFFIX)
    }

    /// The leased messages, in order.
    pub(crate) fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Takes those out that `keep` refuses, by index: they are the caller's to deal with.
    pub(crate) fn take_unless(&mut self, mut keep: impl FnMut(usize) -> bool) -> Vec<Delivery> {
        let mut indexes = 0..;
        self.deliveries.extract_if(.., |_| indexes.next().is_some_and(|i| !keep(i))).collect()
    }

    /// Gives some back that were taken out, as if they had not been received; they are not visible before
    /// so many ms from now.
    pub(crate) fn give_back_uncounted(&self, receipts: Vec<SealedReceipt>, delay_ms: u64) {
        self.submit(receipts, |receipts| {
            let (queue, is_counted, reason) = (self.queue.clone(), false, String::new());
            Command::Nack { queue, receipts, delay_ms, is_counted, reason }
        });
    }

    fn submit(
        &self,
        receipts: Vec<SealedReceipt>,
        command: impl FnOnce(Vec<SealedReceipt>) -> Command,
    ) {
        if receipts.is_empty() {
            return;
        }
        tracing::debug!(queue = self.queue, count = receipts.len(), "undelivered messages go back");
        self.engine.submit(command(receipts), Caller::nobody());
    }

    /// The bodies were read. From here on the receipts do: a client that reads slowly must not
    /// keep the files that its messages were in, which the compactor may have removed.
    pub(crate) fn let_go_of_messages(&mut self) {
        self.receipts.extend(self.deliveries.drain(..).map(|delivery| delivery.receipt));
        self.deliveries = Vec::new();
    }

    /// The client's socket has taken every byte of them.
    pub(crate) fn written(mut self) {
        self.deliveries.clear();
        self.receipts.clear();
    }

    /// The queue's name and all receipts, which are from here on the caller's to deal with.
    pub(crate) fn into_receipts(mut self) -> (String, Vec<SealedReceipt>) {
        self.let_go_of_messages();
        (std::mem::take(&mut self.queue), std::mem::take(&mut self.receipts))
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.let_go_of_messages();
        let receipts = std::mem::take(&mut self.receipts);
        self.submit(receipts, |receipts| {
            let queue = self.queue.clone();
            Command::ReturnUndelivered { queue, receipts, delay_ms: 0 }
        });
    }
}
