//! CreateQueue is idempotent: the same name and attributes again change nothing and succeed.

use crate::attributes::QueueAttributes;

layout! {
    /// Creates a queue. Attributes not given take their defaults; if the queue exists, only those
    /// given are compared. Errors: `BadQueueName`, `QueueExists`, `OutOfRange`, `UnknownAttribute`,
    /// `AttributeInvalid`, `BatchTooLarge`, `StorageFull`.
    pub struct CreateQueue {
        /// The queue's name.
        pub name: String,
        /// Its attributes, as far as they are to differ from the defaults.
        pub attributes: QueueAttributes,
    }
}

layout! {
    /// The answer to [`CreateQueue`].
    pub struct QueueCreated {
        /// The queue's id, never used again after the queue is deleted.
        pub queue_id: u32,
        /// Whether this request created it: false if it was there.
        pub created: bool,
    }
}
