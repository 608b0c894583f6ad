//! Unsubscribe ends a subscription. What was pushed stays leased.

layout! {
    /// Ends a subscription of this connection. Errors: `UnknownSubscription`.
    pub struct Unsubscribe {
        /// The correlation of the [`Subscribe`](super::Subscribe).
        pub subscription: u32,
    }
}

layout! {
    /// The answer to [`Unsubscribe`], behind the subscription's last frame.
    pub struct Unsubscribed {}
}
