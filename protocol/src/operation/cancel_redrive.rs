//! CancelRedrive ends a redrive; what it has moved stays moved.

layout! {
    /// Ends a redrive that runs. Errors: `UnknownRedrive`, `StorageFull`.
    pub struct CancelRedrive {
        /// Its number.
        pub redrive: u64,
    }
}

layout! {
    /// The answer to [`CancelRedrive`].
    pub struct RedriveCancelled {
        /// How many messages it has moved.
        pub moved: u64,
    }
}
