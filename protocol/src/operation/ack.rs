//! Ack deletes messages that were received and are done with.

use crate::error::ErrorCode;
use crate::receipt::Receipt;

layout! {
    /// Deletes the messages that the receipts are of, each on its own. Errors: `UnknownQueue`,
    /// `EmptyBatch`, `BatchTooLarge`, `StorageFailed`.
    pub struct Ack {
        /// The queue's name.
        pub queue: String,
        /// The receipts, from 1 to `batch_messages_max`.
        pub receipts: Vec<Receipt>,
    }
}

layout! {
    /// The answer to [`Ack`]: all messages are durably deleted, but those that failed.
    pub struct Acked {
        /// The receipts that were refused, in the order of their indexes.
        pub failures: Vec<Failure>,
    }
}

layout! {
    /// One item of a batch that was refused: `ReceiptInvalid`, `ReceiptStale`, `MessageGone`, or
    /// for a visibility `OutOfRange`.
    pub struct Failure {
        fields_bytes {
            /// The item's index in the batch, from 0.
            pub index: u32,
            /// Why.
            pub code: ErrorCode,
            /// What was wrong with it.
            pub text: String,
        }
    }
}
