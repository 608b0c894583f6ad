//! Subscribe has messages pushed as they come, as many as credits allow.
//!
//! The one request that is answered by a stream: [`Delivered`] frames under its correlation, until
//! one of them is the last, or an error.

use super::receive::ReceivedMessage;

layout! {
    /// Asks for all messages of a queue from now on. Errors: `UnknownQueue`, `OutOfRange`,
    /// `TooManySubscriptions`.
    pub struct Subscribe {
        /// The queue's name.
        pub queue: String,
        /// How many messages may be pushed before a [`Credit`](super::Credit) adds more, at most
        /// [`CREDITS_MAX`](crate::CREDITS_MAX).
        pub credits: u32,
        /// How many bytes, as the `length` of frames counts them, at most [`CREDIT_BYTES_MAX`](crate::CREDIT_BYTES_MAX).
        pub credit_bytes: u32,
        /// The most messages of a [`Delivered`], from 1 to
        /// [`RECEIVE_MESSAGES_MAX`](crate::RECEIVE_MESSAGES_MAX).
        pub batch_max: u32,
        /// The most bytes of bodies of a [`Delivered`]; the first message comes whatever its size.
        /// 0 leaves it to the server.
        pub bytes_max: u32,
        /// How long the leases last; `None` for the queue's `visibility_timeout_ms`.
        pub visibility_ms: Option<u64>,
        /// Whether messages that were pushed, and neither acked nor changed over this connection,
        /// go back when it ends.
        pub release_on_close: bool,
    }
}

layout! {
    /// A part of the answer to [`Subscribe`]. The first has no messages, and neither has the last.
    pub struct Delivered {
        /// The messages, leased to whoever has their receipts.
        pub messages: Vec<ReceivedMessage>,
        /// The queue's id.
        pub queue_id: u32,
        /// Whether nothing comes behind it under its correlation.
        pub last: bool,
    }
}
