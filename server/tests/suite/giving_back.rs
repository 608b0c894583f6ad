//! Without these, a message that fails again and again would not say why, and whoever gives one back
//! with a reason could not trust that it arrived.

use forebay_protocol::client::NackOptions;
use forebay_protocol::{ErrorCode, MessageState, QueueAttributes};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, Server, output, receive, refusal, send};

#[tokio::test]
async fn a_reason_travels_to_whoever_peeks() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    send(&client, "orders", &[b"one", b"two"]).await;
    let received = receive(&client, "orders", 2).await;
    let receipts: Vec<_> = received.into_iter().map(|message| message.receipt).collect();
    let reason = "grüße".to_owned();
    let options = NackOptions { delay_ms: 3_600_000, uncounted: true, reason: reason.clone() };
    assert_eq!(client.nack("orders", &receipts[..1], options).await.unwrap(), []);
    let page = client.peek("orders", Default::default()).await.unwrap();
    let shown: Vec<_> = page
        .messages
        .iter()
        .map(|message| (message.state, message.receive_count, message.reason.as_str()))
        .collect();
    let (state, none) = (MessageState::InFlight, "");
    assert_eq!(shown, [(state, 0, reason.as_str()), (state, 1, none)]);
    // Each receipt stands for itself.
    assert_eq!(client.ack("orders", &receipts[1..]).await.unwrap(), []);
    let failures = client.nack("orders", &receipts, NackOptions::default()).await.unwrap();
    let failed: Vec<_> = failures.iter().map(|failure| (failure.index, failure.code)).collect();
    assert_eq!(failed, [(1, ErrorCode::MessageGone)]);
    assert_eq!(receive(&client, "orders", 1).await[0].receive_count, 1);
    // A reason has its limit.
    let long = NackOptions { reason: "x".repeat(257), ..NackOptions::default() };
    let (code, text) = refusal(client.nack("orders", &receipts, long).await);
    assert_eq!((code, &*text), (ErrorCode::OutOfRange, "reason bytes is 257, expected 0 to 256"));
}

/// The reason is of most use where the message comes to rest.
#[tokio::test]
async fn a_reason_reaches_whoever_receives_the_dead_letter() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("dead", Default::default()).await.unwrap();
    let policy = QueueAttributes {
        dead_letter_queue: Some("dead".to_owned()),
        receive_count_max: Some(1),
        ..QueueAttributes::default()
    };
    client.create_queue("orders", policy).await.unwrap();
    send(&client, "orders", &[b"poison"]).await;
    let nack = async |queue: &str, reason: &str| {
        let message = receive(&client, queue, 1).await.remove(0);
        let options = NackOptions { reason: reason.to_owned(), ..NackOptions::default() };
        assert_eq!(client.nack(queue, &[message.receipt], options).await.unwrap(), []);
        message.reason
    };
    assert_eq!(nack("orders", "no stock").await, "");
    // Whoever asks for it once more sends it away.
    assert_eq!(client.receive("orders", Default::default()).await.unwrap().messages, []);
    assert_eq!(nack("dead", "").await, "no stock");
    let peeked = client.peek("dead", Default::default()).await.unwrap().messages.remove(0);
    assert_eq!(peeked.reason, "no stock");
    assert_eq!(nack("dead", "still none").await, "no stock");
    assert_eq!(nack("dead", "").await, "still none");
}

#[test]
fn release_tells_why_and_peek_shows_it() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    assert!(output(&server, &["queue", "create", "orders"]).status.success());
    output(&server, &["send", "orders", "one"]);
    let received = output(&server, &["receive", "orders", "--json"]);
    let received: Value = serde_json::from_slice(&received.stdout).unwrap();
    let receipt = received["receipt"].as_str().unwrap();
    let arguments =
        ["release", "orders", receipt, "--delay", "1h", "--reason", "no stock", "--uncounted"];
    let released = output(&server, &arguments);
    assert_eq!(released.status.code(), Some(0));
    assert_eq!(released.stderr, b"1 of 1 released\n");
    let peeked = output(&server, &["peek", "orders", "--json"]);
    let peeked: Value = serde_json::from_slice(&peeked.stdout).unwrap();
    assert_eq!(peeked["reason"], "no stock");
    assert_eq!((&peeked["state"], &peeked["receive_count"]), (&"in-flight".into(), &0.into()));
    output(&server, &["release", "orders", receipt]);
    let again = output(&server, &["receive", "orders", "--json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["receive_count"], 1);
}
