//! The endpoint's server: it accepts connections until it is to end, then drains them, as
//! [`crate::server`] does for the native protocol.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::alarm::Alarm;
use super::config::Config;
use super::endpoint::Endpoint;
use super::http::{Client, respond};
use super::known::Known;
use super::recent::Recent;
use super::rooms::Rooms;
use super::stream::{Stream, Unwritten};
use crate::accept::{accept, drain};
use crate::caller::EngineHandle;
use crate::ending::{EndingReceiver, ended};
use crate::limits::Limits;
use crate::server::Budget;

/// The time for a request's head, from the end of the request before it, if connections may not be idle
/// for less.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest head, and what a connection may hold unread of a body.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Serves SQS on the listener until `ending` says to end, and returns when every connection is closed.
/// `budget` is what it shares with the server of the native protocol.
pub async fn run(
    listener: TcpListener,
    engine: EngineHandle,
    limits: Limits,
    budget: Budget,
    config: Config,
    mut ending: EndingReceiver,
) {
    let Config { addresses, pause, credentials, clock } = config;
    let connections_max = limits.connections_max;
    let drain_timeout = limits.drain_timeout;
    let endpoint = Arc::new(Endpoint {
        engine,
        limits: Arc::new(limits),
        memory: budget.memory.clone(),
        rooms: Rooms::default(),
        disk_reads: Arc::clone(&budget.disk_reads),
        duplicates: budget.duplicates.clone(),
        ending: ending.clone(),
        clock,
        addresses,
        credentials,
        known: Known::default(),
        deleted: Recent::new(pause),
        purged: Recent::new(pause),
        changing: tokio::sync::Mutex::default(),
    });
    let on_peer = |connections: &mut JoinSet<()>, stream, peer| {
        let Ok(place) = Arc::clone(&budget.connections).try_acquire_owned() else {
            tracing::info!(%peer, connections_max, "closed a connection: there are too many");
            return;
        };
        let endpoint = Arc::clone(&endpoint);
        let serve = move |stream| async move {
            serve(stream, peer, endpoint).await;
            drop(place);
        };
        budget.workers.serve(connections, (stream, peer), serve);
    };
    let (_, connections) = accept(listener, &mut ending, on_peer).await;
    drain(connections, drain_timeout, "SQS connections").await;
}

async fn serve(stream: TcpStream, peer: SocketAddr, endpoint: Arc<Endpoint>) {
    tracing::debug!(%peer, "connected to SQS");
    let (unwritten, alarm) = (Unwritten::default(), Alarm::default());
    let write_timeout = endpoint.limits.write_timeout;
    let stream = Stream::new(stream, unwritten.clone(), alarm.clone(), write_timeout);
    let mut ending = endpoint.ending.clone();
    let head_timeout = match endpoint.limits.idle_timeout {
        Duration::ZERO => HEAD_TIMEOUT,
        idle_timeout => idle_timeout.min(HEAD_TIMEOUT),
    };
    let client = Client { address: peer.ip(), unwritten, alarm: alarm.clone() };
    let service =
        service_fn(move |request| respond(Arc::clone(&endpoint), client.clone(), request));
    let connection = http1::Builder::new()
        .timer(alarm)
        .header_read_timeout(head_timeout)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        _ = ended(&mut ending) => {
            // The request that it is at is answered, and no other.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match served {
        Ok(()) => tracing::debug!(%peer, "disconnected from SQS"),
        Err(error) => tracing::debug!(%peer, %error, "SQS connection lost"),
    }
}
