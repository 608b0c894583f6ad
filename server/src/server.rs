//! The server: it accepts connections until it is to end, then drains them.
//!
//! The order of the end: accept no more; each connection refuses new requests, writes the
//! answers it owes and says why it closes; after [`Limits::drain_timeout`] what is left is cut.
//! The engine outlives all of it, so that undelivered messages can be given back.

use std::net::SocketAddr;
use std::sync::Arc;

use forebay_protocol::{ErrorCode, ProtocolError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::accept::{accept, drain, report};
use crate::caller::EngineHandle;
use crate::chaos::Duplicates;
use crate::connection::{Connection, Shared, refuse};
use crate::ending::{Ending, EndingReceiver};
use crate::limits::Limits;
use crate::memory::Memory;
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

    /// How many bytes of its memory nobody holds or waits for.
    pub fn memory_free_bytes(&self) -> u64 {
        self.memory.free_bytes()
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
    let take = |connections: &mut JoinSet<()>, stream, peer| server.take(connections, stream, peer);
    let (reason, connections) = accept(listener, &mut ending, take).await;
    tracing::info!(connections = connections.len(), "draining");
    drain(connections, server.shared.limits.drain_timeout, "connections").await;
    server.refusals.shutdown().await;
    reason
}

struct Server {
    shared: Shared,
    /// Room for connections.
    room: Arc<Semaphore>,
    workers: Arc<Workers>,
    refusals: JoinSet<()>,
}

impl Server {
    fn new(engine: EngineHandle, limits: Limits, budget: Budget, ending: EndingReceiver) -> Self {
        let Budget { connections: room, memory, disk_reads, duplicates, workers } = budget;
        let limits = Arc::new(limits);
        let shared = Shared { engine, memory, disk_reads, duplicates, limits, ending };
        Self { shared, room, workers, refusals: JoinSet::new() }
    }

    /// Serves a connection, or refuses it.
    fn take(&mut self, connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr) {
        let connections_max = self.shared.limits.connections_max;
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::info!(%peer, connections_max, "refused a connection: there are too many");
            while let Some(ended) = self.refusals.try_join_next() {
                report(ended);
            }
            if self.refusals.len() < REFUSALS_MAX {
                let text = format!("the server has {connections_max} connections, its maximum");
                let error = ProtocolError::new(ErrorCode::TooManyConnections, text);
                self.refusals.spawn(refuse(stream, error));
            }
            return;
        };
        let shared = self.shared.clone();
        let serve = move |stream| async move {
            Connection::new(stream, shared).serve(peer).await;
            drop(place);
        };
        self.workers.serve(connections, (stream, peer), serve);
    }
}
