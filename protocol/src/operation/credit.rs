//! Credit lets a subscription push more.

layout! {
    /// Adds to what a subscription may push. Errors: `UnknownSubscription`, and `OutOfRange` if there
    /// would then be more than [`CREDITS_MAX`](crate::CREDITS_MAX) or
    /// [`CREDIT_BYTES_MAX`](crate::CREDIT_BYTES_MAX).
    pub struct Credit {
        /// The correlation of the [`Subscribe`](super::Subscribe).
        pub subscription: u32,
        /// So many messages more.
        pub credits: u32,
        /// So many bytes more, as the `length` of frames counts them.
        pub credit_bytes: u32,
    }
}

layout! {
    /// The answer to [`Credit`].
    pub struct Credited {}
}
