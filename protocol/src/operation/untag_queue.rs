//! UntagQueue takes tags away from a queue.

layout! {
    /// Takes tags away. A key that the queue has no tag of changes nothing. Errors: `UnknownQueue`.
    pub struct UntagQueue {
        /// The queue's name.
        pub name: String,
        /// The tags' keys.
        pub keys: Vec<String>,
    }
}

layout! {
    /// The answer to [`UntagQueue`]: it is durable that they are gone.
    pub struct QueueUntagged {}
}
