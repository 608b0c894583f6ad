//! The server: it accepts connections until it is to end, then drains them.
//!
//! Invariants:
//! - A connection's end, its panic too, costs nobody else anything.
//! - Accepting never spins: an error that would come again at once is waited out.
//! - The order of the end: accept no more; each connection refuses new requests, writes the
//!   answers it owes and says why it closes; after [`Limits::drain_timeout`] what is left is cut.
//!   The engine outlives all of it, so that undelivered messages can be given back.

use std::sync::Arc;

use forebay_protocol::{ErrorCode, ProtocolError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use crate::accept::{ACCEPT_BACKOFF, concerns_one_peer};
use crate::caller::EngineHandle;
use crate::chaos::Duplicates;
use crate::connection::{Connection, Shared, refuse};
use crate::ending::{Ending, EndingReceiver, ended};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::socket;
use crate::workers::Workers;

/// The most refusals under way; beyond it a connection is closed without a word.
const REFUSALS_MAX: usize = 64;

/// What the front doors of one process share: connections and who serves them, memory, blocking reads of the disk,
/// and what ends leases early, if anything does. Clones are the same.
#[derive(Debug, Clone)]
pub struct Budget {
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) memory: Memory,
    pub(crate) disk_reads: Arc<Semaphore>,
    pub(crate) duplicates: Option<Duplicates>,
    pub(crate) workers: Arc<Workers>,
}

impl Budget {
    /// What these limits allow in all; connections are served on the caller's runtime.
    pub fn new(limits: &Limits) -> Self {
        let connections = limits.connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            connections: Arc::new(Semaphore::new(connections)),
            memory: Memory::new(limits.memory_bytes_max),
            disk_reads: Arc::new(Semaphore::new(limits.disk_reads_max)),
            duplicates: None,
            workers: Arc::new(Workers::here()),
        }
    }

    /// The same, with connections that are served by these.
    pub fn on(self, workers: Workers) -> Self {
        Self { workers: Arc::new(workers), ..self }
    }

    /// The same, with leases that end early.
    pub(crate) fn with_duplicates(self, duplicates: Duplicates) -> Self {
        Self { duplicates: Some(duplicates), ..self }
    }
}

/// Serves the engine on the listener until `ending` says to end, and returns why, when every
/// connection is closed.
pub async fn run(
    listener: TcpListener,
    engine: EngineHandle,
    limits: Limits,
    ending: EndingReceiver,
) -> Ending {
    let budget = Budget::new(&limits);
    run_within(listener, engine, limits, budget, ending).await
}

/// As [`run`], with a budget that others may share.
pub async fn run_within(
    listener: TcpListener,
    engine: EngineHandle,
    limits: Limits,
    budget: Budget,
    mut ending: EndingReceiver,
) -> Ending {
    let mut server = Server::new(engine, limits, budget, ending.clone());
    let mut backoff = ACCEPT_BACKOFF.0;
    let reason = loop {
        tokio::select! {
            reason = ended(&mut ending) => break reason,
            Some(ended) = server.connections.join_next() => report(ended),
            Some(ended) = server.refusals.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    backoff = ACCEPT_BACKOFF.0;
                    server.take(stream, peer);
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
    };
    // From here on a connect is refused by the system.
    drop(listener);
    server.drain().await;
    reason
}

struct Server {
    shared: Shared,
    /// Room for connections.
    room: Arc<Semaphore>,
    workers: Arc<Workers>,
    connections: JoinSet<()>,
    refusals: JoinSet<()>,
}

impl Server {
    fn new(engine: EngineHandle, limits: Limits, budget: Budget, ending: EndingReceiver) -> Self {
        let Budget { connections: room, memory, disk_reads, duplicates, workers } = budget;
        let limits = Arc::new(limits);
        let shared = Shared { engine, memory, disk_reads, duplicates, limits, ending };
        Self { shared, room, workers, connections: JoinSet::new(), refusals: JoinSet::new() }
    }

    fn take(&mut self, stream: TcpStream, peer: std::net::SocketAddr) {
        let connections_max = self.shared.limits.connections_max;
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::info!(%peer, connections_max, "refused a connection: there are too many");
            if self.refusals.len() < REFUSALS_MAX {
                let text = format!("the server has {connections_max} connections, its maximum");
                let error = ProtocolError::new(ErrorCode::TooManyConnections, text);
                self.refusals.spawn(refuse(stream, error));
            }
            return;
        };
        if let Err(error) = socket::prepare(&stream) {
            tracing::debug!(%peer, %error, "a connection was gone before it was served");
            return;
        }
        let shared = self.shared.clone();
        let serve = move |stream| async move {
            Connection::new(stream, shared).serve(peer).await;
            drop(place);
        };
        self.workers.serve(&mut self.connections, (stream, peer), serve);
    }

    /// Waits until all connections have ended, but not for ever.
    async fn drain(mut self) {
        let connections = self.connections.len();
        tracing::info!(connections, "draining");
        let all_ended = async {
            while let Some(ended) = self.connections.join_next().await {
                report(ended);
            }
        };
        let drain_timeout = self.shared.limits.drain_timeout;
        if tokio::time::timeout(drain_timeout, all_ended).await.is_err() {
            let connections = self.connections.len();
            tracing::warn!(connections, ?drain_timeout, "connections were cut: drain timed out");
            self.connections.shutdown().await;
        }
        self.refusals.shutdown().await;
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
