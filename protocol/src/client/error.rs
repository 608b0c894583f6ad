//! What a call can come to, other than its reply.

use crate::error::{ErrorCode, ProtocolError};
use crate::wire::TooLong;

/// Why a call has no reply. A clone shares nothing and says the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No connection could be made.
    #[error("cannot connect to {addr}: {cause}")]
    Connect {
        /// The server's address.
        addr: String,
        /// What went wrong: resolving, connecting, or the greeting. (A server that greets with an error
        /// has [`ClientError::Refused`] the connection.)
        cause: String,
        /// Whether another attempt may do better: not if the address cannot be resolved, or what answers there
        /// is no such server.
        may_pass: bool,
    },
    /// The server refused the request, and did nothing of it.
    #[error("{0}")]
    Refused(ProtocolError),
    /// The request may have been carried out or not: its answer was lost, or says so.
    #[error("{operation}: outcome unknown: {cause}")]
    Unknown {
        /// The operation's name.
        operation: &'static str,
        /// How the answer was lost, or what it says.
        cause: String,
        /// What the server answered, if it did: that it does not know either.
        code: Option<ErrorCode>,
    },
    /// A message arrived, but its bytes do not match the checksum its sender gave it.
    #[error("queue {queue}, seq {seq}: checksum {found:08x}, expected {expected:08x}")]
    Damaged {
        /// The queue's name.
        queue: String,
        /// The message's number.
        seq: u64,
        /// The sender's checksum.
        expected: u32,
        /// The checksum of what arrived.
        found: u32,
    },
    /// A name, list or other value cannot be encoded.
    #[error("{0}")]
    TooLong(#[from] TooLong),
    /// The request is larger than the frames that the server accepts.
    #[error("{operation}: a frame of {bytes} bytes; the server accepts at most {bytes_max}")]
    FrameTooLarge {
        /// The operation's name.
        operation: &'static str,
        /// The frame's `length`.
        bytes: usize,
        /// The server's limit.
        bytes_max: usize,
    },
    /// No connection could be made for as long as the options allow, and the request was not sent.
    #[error("gave up on {addr} after {:.1} s: {cause}", *after_ms as f64 / 1000.0)]
    GaveUp {
        /// The server's address.
        addr: String,
        /// How long it was tried.
        after_ms: u64,
        /// The last failure.
        cause: String,
    },
    /// The client was dropped, or its runtime is shutting down; the request was not carried out.
    #[error("the client is closed")]
    Closed,
}
