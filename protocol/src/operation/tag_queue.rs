//! TagQueue adds tags to a queue.

use crate::attributes::TextMap;

layout! {
    /// Adds tags to those that the queue has, in the place of those of the same keys. Errors:
    /// `UnknownQueue`, `AttributeInvalid`.
    pub struct TagQueue {
        /// The queue's name.
        pub name: String,
        /// The tags, by their keys.
        pub tags: TextMap,
    }
}

layout! {
    /// The answer to [`TagQueue`]: the tags are durable.
    pub struct QueueTagged {}
}
