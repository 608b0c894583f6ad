//! PurgeQueue deletes all messages of a queue, and leaves the queue.

layout! {
    /// Deletes all messages sent before it: waiting, leased and delayed. Errors: `UnknownQueue`.
    pub struct PurgeQueue {
        /// The queue's name.
        pub name: String,
    }
}

layout! {
    /// The answer to [`PurgeQueue`]: the deletion is durable.
    pub struct QueuePurged {
        /// How many messages were deleted.
        pub purged: u64,
    }
}
