//! AlterQueue sets attributes of a queue.

use crate::attributes::QueueAttributes;

layout! {
    /// Sets the attributes that are given and leaves the others. Errors: `UnknownQueue`,
    /// `OutOfRange`, `UnknownAttribute`, `AttributeInvalid`.
    pub struct AlterQueue {
        /// The queue's name.
        pub name: String,
        /// The attributes to set.
        pub attributes: QueueAttributes,
    }
}

layout! {
    /// The answer to [`AlterQueue`]: the attributes are durable.
    pub struct QueueAltered {}
}
