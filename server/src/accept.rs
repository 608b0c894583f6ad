//! A front door: connections are accepted until the server ends, and then drained.
//!
//! Invariants:
//! - A connection's end, its panic too, costs nobody else anything.
//! - Accepting never spins: an error that would come again at once is waited out.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};

use crate::ending::{Ending, EndingReceiver, ended};

/// The waits after errors of accept: doubled from the first to the last.
pub(crate) const ACCEPT_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_secs(1));

/// Accepts connections until the server is to end; says why, and which connections are left. `on_peer` adds
/// the task of a connection to the others.
pub(crate) async fn accept(
    listener: TcpListener,
    ending: &mut EndingReceiver,
    mut on_peer: impl FnMut(&mut JoinSet<()>, TcpStream, SocketAddr),
) -> (Ending, JoinSet<()>) {
    let mut connections = JoinSet::new();
    let mut backoff = ACCEPT_BACKOFF.0;
    // When this returns, a connect is refused by the system.
    loop {
        tokio::select! {
            reason = ended(ending) => return (reason, connections),
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    backoff = ACCEPT_BACKOFF.0;
                    on_peer(&mut connections, stream, peer);
                }
                Err(error) if concerns_one_peer(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(%error, wait = ?backoff, "cannot accept connections");
                    // Connections that close meanwhile give back what accept lacks.
                    tokio::time::sleep(backoff).await;
                    backoff = (2 * backoff).min(ACCEPT_BACKOFF.1);
                }
            },
        }
    }
}

/// Waits until all connections have ended, but not for ever; `what` they are, in the log.
pub(crate) async fn drain(mut connections: JoinSet<()>, drain_timeout: Duration, what: &str) {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(drain_timeout, all_ended).await.is_err() {
        let connections_left = connections.len();
        tracing::warn!(connections_left, ?drain_timeout, "{what} were cut: drain timed out");
        connections.shutdown().await;
    }
}

/// The edge at which a task's panic ends: it is logged, and nothing else happens.
pub(crate) fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked; the others go on");
    }
}

/// Whether accept failed because of the peer, so that the next may succeed at once.
fn concerns_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
