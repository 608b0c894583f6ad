//! Why a measurement failed. There is no going on: a figure with an error in it is no figure.

use std::io;

use forebay_protocol::{FrameError, ProtocolError, TooLong};

/// What went wrong, in words.
#[derive(Debug)]
pub struct BenchError {
    text: String,
    is_usage: bool,
}

impl BenchError {
    /// A failure in these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_usage: false }
    }

    /// A setting that cannot be.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_usage: true }
    }

    /// Whether the command was used wrongly, and nothing was measured.
    pub fn is_usage(&self) -> bool {
        self.is_usage
    }

    /// For `map_err`: what was being done, and how it failed.
    pub(crate) fn doing(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(format!("{what}: {error}"))
    }
}

impl std::fmt::Display for BenchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(f)
    }
}

impl std::error::Error for BenchError {}

impl From<ProtocolError> for BenchError {
    fn from(error: ProtocolError) -> Self {
        Self::new(format!("the server answered: {error}"))
    }
}

impl From<FrameError> for BenchError {
    fn from(error: FrameError) -> Self {
        Self::new(format!("the server sent {error}"))
    }
}

impl From<TooLong> for BenchError {
    fn from(error: TooLong) -> Self {
        Self::new(error.to_string())
    }
}

impl From<rustix::io::Errno> for BenchError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::new(error.to_string())
    }
}

impl From<io::Error> for BenchError {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}
