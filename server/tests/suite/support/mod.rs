//! Servers to test: in this process, or as the real binary.

mod process;
mod raw;
mod server;

pub(crate) use process::{Process, forebay, free_address, output};
pub(crate) use raw::{Raw, frame};
pub(crate) use server::{Server, small_limits};

use std::time::Duration;

use forebay_protocol::client::{Client, ClientError, ReceiveOptions};
use forebay_protocol::{ErrorCode, OutgoingMessage, ReceivedMessage};

/// Awaits what must happen; a hang becomes a failure.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen in a minute"),
    }
}

/// Sends bodies, each as a message.
pub(crate) async fn send(client: &Client, queue: &str, bodies: &[&[u8]]) {
    let messages = bodies.iter().map(|body| OutgoingMessage::new(body.to_vec())).collect();
    within("a send", client.send(queue, messages)).await.unwrap();
}

/// Receives up to `max` messages; waits for the first.
pub(crate) async fn receive(client: &Client, queue: &str, max: u32) -> Vec<ReceivedMessage> {
    let options = ReceiveOptions { max, wait_ms: Some(20_000), ..ReceiveOptions::default() };
    within("a receive", client.receive(queue, options)).await.unwrap().messages
}

/// The code and text that a request was refused with.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (ErrorCode, String) {
    match result {
        Err(ClientError::Refused(error)) => (error.code, error.text),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

/// Shows that another client is served as if nothing had happened.
pub(crate) async fn assert_served(client: &Client) {
    client.create_queue("healthy", Default::default()).await.unwrap();
    send(client, "healthy", &[b"still here"]).await;
    let received = receive(client, "healthy", 1).await;
    assert_eq!(received[0].block.body().as_ref(), b"still here");
    let receipts = [received[0].receipt.clone()];
    assert_eq!(client.ack("healthy", &receipts).await.unwrap(), []);
}
