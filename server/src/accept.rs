//! Accepting connections.

use std::io;
use std::time::Duration;

/// The waits after errors of accept: doubled from the first to the last.
pub(crate) const ACCEPT_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_secs(1));

/// Whether accept failed because of the peer, so that the next may succeed at once.
pub(crate) fn concerns_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
