//! StartRedrive moves a dead-letter queue's messages back, in the background.

layout! {
    /// Starts to move what is in a dead-letter queue now. Errors: `UnknownQueue`, `OutOfRange`,
    /// `NotDeadLetterQueue`, `BadDestination`, `RedriveRunning`, `TooManyRedrives`, `StorageFull`.
    pub struct StartRedrive {
        /// The dead-letter queue's name.
        pub queue: String,
        /// The queue that gets the messages; empty: each goes to the queue that it came from.
        pub destination: String,
        /// Messages a second, to [`REDRIVE_RATE_MAX`](crate::REDRIVE_RATE_MAX); 0: no limit.
        pub rate: u32,
    }
}

layout! {
    /// The answer to [`StartRedrive`].
    pub struct RedriveStarted {
        /// The redrive's number; see [`RedriveId`](crate::RedriveId).
        pub redrive: u64,
        /// How many messages are in the queue.
        pub to_move: u64,
    }
}
