//! DeleteQueue deletes a queue with all its messages.

layout! {
    /// Deletes a queue. A queue created again under the name has another id, and old receipts do
    /// not fit it. Errors: `UnknownQueue`.
    pub struct DeleteQueue {
        /// The queue's name.
        pub name: String,
    }
}

layout! {
    /// The answer to [`DeleteQueue`]: the deletion is durable.
    pub struct QueueDeleted {}
}
