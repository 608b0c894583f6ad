//! DescribeQueue tells what is known of a queue.

use crate::attributes::QueueAttributes;

layout! {
    /// Asks for a queue's attributes and counts. Errors: `UnknownQueue`.
    pub struct DescribeQueue {
        /// The queue's name.
        pub name: String,
    }
}

layout! {
    /// The answer to [`DescribeQueue`].
    pub struct QueueDescribed {
        /// The queue.
        pub queue: Box<QueueInfo>,
    }
}

layout! {
    /// A queue's attributes and counts, all of the same moment.
    pub struct QueueInfo {
        fields_bytes {
            /// Its name.
            pub name: String,
            /// Its id.
            pub queue_id: u32,
            /// When it was created, in milliseconds since 1970 UTC.
            pub created_ms: u64,
            /// When its attributes were last set, in milliseconds since 1970 UTC.
            pub modified_ms: u64,
            /// Its attributes, all of them set.
            pub attributes: QueueAttributes,
            /// Messages that a receive may get now.
            pub waiting: u64,
            /// Messages that are leased.
            pub in_flight: u64,
            /// Messages whose delay has not passed.
            pub delayed: u64,
            /// Messages whose stored bytes failed their checksum; they are not delivered.
            pub damaged: u64,
            /// The seq that the next message will get.
            pub next_seq: u64,
        }
    }
}
