//! ListQueues lists queues in the order of their names, a page at a time.

use super::describe_queue::QueueInfo;

layout! {
    /// Asks for a page of queues. Errors: `OutOfRange`.
    pub struct ListQueues {
        /// Only names that begin with this; empty for all.
        pub prefix: String,
        /// Only names behind this one: the last name of the page before, or empty to begin.
        pub after: String,
        /// The most queues to list, from 1; the server may list fewer.
        pub max: u32,
    }
}

layout! {
    /// The answer to [`ListQueues`].
    pub struct QueuesListed {
        /// The queues, in the order of their names' bytes.
        pub queues: Vec<QueueInfo>,
        /// Whether there are more behind the last.
        pub more: bool,
    }
}
