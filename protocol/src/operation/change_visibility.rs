//! ChangeVisibility makes leases end at another time than they would.

use super::ack::Failure;
use crate::receipt::Receipt;

layout! {
    /// Changes leases, each on its own. Errors: `UnknownQueue`, `EmptyBatch`, `BatchTooLarge`.
    pub struct ChangeVisibility {
        /// The queue's name.
        pub queue: String,
        /// The changes, from 1 to `batch_messages_max`.
        pub changes: Vec<VisibilityChange>,
    }
}

layout! {
    /// One change of a [`ChangeVisibility`].
    pub struct VisibilityChange {
        fields_bytes {
            /// The lease.
            pub receipt: Receipt,
            /// How long it lasts from now, up to 12 hours. 0 releases the message: it may be
            /// received at once.
            pub visibility_ms: u64,
        }
    }
}

layout! {
    /// The answer to [`ChangeVisibility`]: all leases are changed, but those that failed.
    pub struct VisibilityChanged {
        /// The changes that were refused, in the order of their indexes.
        pub failures: Vec<Failure>,
    }
}
