//! Why a measurement failed. There is no going on: a figure with an error in it is no figure.

use std::io;

use forebay_protocol::{FrameError, ProtocolError, TooLong};

/// What went wrong, in words.
#[derive(Debug)]
pub struct BenchError {
    text: String,
    kind: BenchErrorKind,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchErrorKind {
    /// Something did not work while it was measured.
    Failed,
    /// The command was used wrongly, and nothing was measured.
    Usage,
    /// Nobody reads the results any more.
    OutputClosed,
}

impl BenchError {
    /// A failure in these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: BenchErrorKind::Failed }
    }

    /// A setting that cannot be.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: BenchErrorKind::Usage }
    }

    /// Whoever read stdout has closed it.
    pub(crate) fn output_closed() -> Self {
        Self { text: "stdout is closed".to_owned(), kind: BenchErrorKind::OutputClosed }
    }

    /// What is to be done about it.
    pub fn kind(&self) -> BenchErrorKind {
        self.kind
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
