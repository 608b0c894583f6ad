//! Nack gives received messages back, and says why.

use super::ack::Failure;
use crate::receipt::Receipt;

layout! {
    /// Gives messages back, each on its own. Errors: `UnknownQueue`, `EmptyBatch`, `BatchTooLarge`,
    /// `OutOfRange` for the reason, `StorageFull`.
    pub struct Nack {
        /// The queue's name.
        pub queue: String,
        /// The receipts, from 1 to `batch_messages_max`.
        pub receipts: Vec<Receipt>,
        /// How long the messages stay hidden from now, up to 12 hours from their receive.
        pub delay_ms: u64,
        /// Whether this attempt is taken off the receive count again.
        pub uncounted: bool,
        /// Why, at most [`REASON_BYTES_MAX`](crate::REASON_BYTES_MAX); empty leaves the reason that the messages have.
        pub reason: String,
    }
}

layout! {
    /// The answer to [`Nack`]: all messages are given back, but those that failed.
    pub struct Nacked {
        /// The receipts that were refused, in the order of their indexes.
        pub failures: Vec<Failure>,
    }
}
