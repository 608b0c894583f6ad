//! Ping shows that both sides are there; it also counts as traffic for the idle timeout.

layout! {
    /// Asks for a sign of life.
    pub struct Ping {}
}

layout! {
    /// The answer to [`Ping`].
    pub struct Pong {}
}
