//! Transact deletes received messages and stores others, in any queues: all of it or nothing.

use super::send::OutgoingMessage;
use crate::receipt::Receipt;

layout! {
    /// What is to be done. What cannot be refuses all, and the error's text names the item, as in
    /// `acks[0].receipts[2]`. Errors: `UnknownQueue`, `EmptyBatch`, `BatchTooLarge`,
    /// `ReceiptInvalid`, `ReceiptStale`, `ReceiptExpired`, `MessageGone`, `MessageTooLarge`,
    /// `BadMessageAttribute`, `MessageInvalid`, `OutOfRange`, `ChecksumMismatch`, `StorageFull`,
    /// `StorageFailed`.
    pub struct Transact {
        /// What is deleted.
        pub acks: Vec<TransactAcks>,
        /// What is stored.
        pub sends: Vec<TransactSends>,
    }
}

layout! {
    /// What a [`Transact`] deletes of one queue.
    pub struct TransactAcks {
        fields_bytes {
            /// The queue's name.
            pub queue: String,
        }
        /// At least one receipt, of each message one.
        pub receipts: Vec<Receipt>,
    }
}

layout! {
    /// What a [`Transact`] stores in one queue.
    pub struct TransactSends {
        fields_bytes {
            /// The queue's name.
            pub queue: String,
        }
        /// At least one message.
        pub messages: Vec<OutgoingMessage>,
    }
}

layout! {
    /// The answer to [`Transact`]: all of it is durable.
    pub struct Transacted {
        /// What was stored, in the order of the request's `sends`.
        pub sent: Vec<TransactSent>,
    }
}

layout! {
    /// What a [`Transact`] has stored in one queue.
    pub struct TransactSent {
        fields_bytes {
            /// The queue's id.
            pub queue_id: u32,
            /// The first message's seq; the others' follow.
            pub first_seq: u64,
            /// How many messages.
            pub count: u32,
            /// In a FIFO queue, if some were copies of messages sent before: the seq of each, or of
            /// the one that it is a copy of. Else empty.
            pub seqs: Vec<u64>,
        }
    }
}
