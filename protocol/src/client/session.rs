//! The session: the background task that keeps a client's calls going over one connection after
//! another.

use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Order;
use super::calls::Calls;
use super::connection::Connection;
use super::dialer::Dialer;
use super::end::End;
use super::error::ClientError;
use crate::operation::Welcome;

/// Runs until `closing` or until nobody holds `incoming`'s other end.
pub(super) async fn run(
    mut connection: Connection,
    mut dialer: Dialer,
    mut incoming: mpsc::UnboundedReceiver<Order>,
    welcome: watch::Sender<Welcome>,
    closing: CancellationToken,
) {
    let mut calls = Calls::default();
    loop {
        let end = connection.drive(&mut calls, &mut incoming).await;
        // One that stood for long was no trouble either, though nothing was asked of it.
        if connection.answered || connection.age() > dialer.longest_pause() {
            dialer.reset();
        }
        // The socket closes before the next one opens: one client is one connection.
        drop(connection);
        match end {
            End::Unused => return,
            End::Lost(cause) => {
                info!(cause, "connection lost");
                calls.lost(&cause);
            }
            End::Refused(error) => {
                warn!(%error, "connection refused");
                calls.fail(&ClientError::Refused(error));
            }
        }
        let reconnected = select! {
            reconnected = reconnect(&mut dialer, &mut calls, &mut incoming) => reconnected,
            () = closing.cancelled() => return,
        };
        let Some(next) = reconnected else { return };
        connection = next;
        // First what came meanwhile: a subscription may have ended.
        while let Ok(order) = incoming.try_recv() {
            hold(&mut calls, order);
        }
        if welcome.borrow().store_id != connection.welcome().store_id {
            warn!(store_id = %connection.welcome().store_id, "the server has another store than before");
        }
        welcome.send_replace(connection.welcome().clone());
    }
}

/// The next connection; `None` if nobody holds the client any more. When the dialer gives up, all
/// calls fail, and the next call makes it try again.
async fn reconnect(
    dialer: &mut Dialer,
    calls: &mut Calls,
    incoming: &mut mpsc::UnboundedReceiver<Order>,
) -> Option<Connection> {
    loop {
        let error = match dialer.dial().await {
            Ok(connection) => return Some(connection),
            Err(error) => error,
        };
        warn!(%error, "no connection");
        while let Ok(order) = incoming.try_recv() {
            hold(calls, order);
        }
        calls.fail(&error);
        dialer.reset();
        while !hold(calls, incoming.recv().await?) {}
    }
}

/// Keeps an order for the next connection; whether it needs one.
fn hold(calls: &mut Calls, order: Order) -> bool {
    match order {
        Order::Call(call) if call.abandoned() => false,
        Order::Call(call) => {
            calls.add(call);
            true
        }
        Order::Subscribe(feed) => {
            calls.add_feed(feed);
            true
        }
        Order::Note(note) => {
            // Without a connection nothing of it is to be told.
            calls.feeds.note(&note);
            false
        }
    }
}
