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
use crate::accept::{ACCEPT_BACKOFF, concerns_one_peer};
use crate::caller::EngineHandle;
use crate::ending::{EndingReceiver, ended};
use crate::limits::Limits;
use crate::server::{Budget, report};
use crate::socket;

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
    let mut connections = JoinSet::new();
    let mut backoff = ACCEPT_BACKOFF.0;
    loop {
        tokio::select! {
            _ = ended(&mut ending) => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    backoff = ACCEPT_BACKOFF.0;
                    let place = Arc::clone(&budget.connections).try_acquire_owned();
                    if place.is_err() {
                        tracing::info!(%peer, connections_max, "closed a connection: there are too many");
                    } else if let Err(error) = socket::prepare(&stream) {
                        tracing::debug!(%peer, %error, "a connection was gone before it was served");
                    } else {
                        let endpoint = Arc::clone(&endpoint);
                        let serve = move |stream| async move {
                            serve(stream, peer, endpoint).await;
                            drop(place);
                        };
                        budget.workers.serve(&mut connections, (stream, peer), serve);
                    }
                }
                Err(error) if concerns_one_peer(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(%error, wait = ?backoff, "cannot accept connections");
                    tokio::time::sleep(backoff).await;
                    backoff = (2 * backoff).min(ACCEPT_BACKOFF.1);
                }
            },
        }
    }
    drop(listener);
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(drain_timeout, all_ended).await.is_err() {
        let connections_left = connections.len();
        tracing::warn!(
            connections_left,
            ?drain_timeout,
            "SQS connections were cut: drain timed out"
        );
        connections.shutdown().await;
    }
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
