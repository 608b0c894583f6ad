//! What went wrong.

/// Whatever it was: there is no going on.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
