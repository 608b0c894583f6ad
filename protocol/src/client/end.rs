//! How a connection ends, and so what its calls may hope for.

use std::io;

use crate::error::ProtocolError;
use crate::frame::FrameError;

/// How a connection ended, or why there is none.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody holds the client any more.
    Unused,
    /// It was lost, and another may do better; the text says how.
    Lost(String),
    /// The server refuses this connection, and would refuse the next.
    Refused(ProtocolError),
}

/// How a connection ended of which nothing more is read.
pub(super) const CLOSED: &str = "the server closed the connection";

/// Reading nothing is the end.
pub(super) fn check_read(read: io::Result<usize>) -> Result<(), End> {
    match read? {
        0 => Err(End::Lost(CLOSED.to_owned())),
        _ => Ok(()),
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Lost(error.to_string())
    }
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> End {
        End::Lost(error.to_string())
    }
}
