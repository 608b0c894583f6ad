//! Without these, who looks for a message would have to look at all of them.

use std::time::Duration;

use forebay_protocol::client::PeekOptions;
use forebay_protocol::{MessageState, OutgoingMessage};
use tempfile::TempDir;

use crate::support::{Process, Server, output, receive, send};

#[tokio::test]
async fn a_peek_shows_only_what_it_is_asked_for() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    send(&client, "orders", &[b"in flight"]).await;
    receive(&client, "orders", 1).await;
    let delayed = OutgoingMessage::new("delayed").delayed(Duration::from_secs(3600)).group("eu");
    let messages = vec![OutgoingMessage::new("waiting").group("eu"), delayed];
    client.send("orders", messages).await.unwrap();
    // CRC-32 does not tell these two groups apart, and both are asked for by their names.
    let alike = ["plumless", "buckeroo"].map(|group| OutgoingMessage::new(group).group(group));
    client.send("orders", alike.to_vec()).await.unwrap();
    let peek = |options: PeekOptions| {
        let client = client.clone();
        async move {
            let page = client.peek("orders", options).await.unwrap();
            assert_eq!(page.next_seq, 0);
            let body = |message: forebay_protocol::PeekedMessage| {
                String::from_utf8(message.block.body().to_vec()).unwrap()
            };
            page.messages.into_iter().map(body).collect::<Vec<_>>()
        }
    };
    let group = |group: &str| PeekOptions { group: group.to_owned(), ..PeekOptions::default() };
    assert_eq!(peek(group("eu")).await, ["waiting", "delayed"]);
    assert_eq!(peek(group("plumless")).await, ["plumless"]);
    assert_eq!(peek(group("buckeroo")).await, ["buckeroo"]);
    let delayed = PeekOptions { states: vec![MessageState::Delayed], ..group("eu") };
    assert_eq!(peek(delayed).await, ["delayed"]);
    let states = vec![MessageState::InFlight, MessageState::Delayed];
    let two = PeekOptions { states, ..PeekOptions::default() };
    assert_eq!(peek(two.clone()).await, ["in flight", "delayed"]);
    assert_eq!(peek(PeekOptions { from_seq: 2, ..two }).await, ["delayed"]);
    let page = client.peek("orders", Default::default()).await.unwrap();
    let sent_ms = page.messages[0].sent_ms;
    let since = |since_ms| PeekOptions { since_ms, max: 1, ..PeekOptions::default() };
    let page = client.peek("orders", since(sent_ms - 1)).await.unwrap();
    assert_eq!((page.messages[0].seq, page.next_seq), (1, 2));
    assert_eq!(peek(since(u64::MAX)).await, [""; 0]);
}

#[test]
fn peek_takes_filters() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    assert!(output(&server, &["queue", "create", "orders"]).status.success());
    output(&server, &["send", "orders", "one", "--group", "eu"]);
    output(&server, &["send", "orders", "two", "--delay", "1h"]);
    output(&server, &["send", "orders", "three"]);
    output(&server, &["receive", "orders"]);
    let peek = |arguments: &[&str]| {
        let peeked = output(&server, &[&["peek", "orders"][..], arguments].concat());
        assert_eq!(peeked.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(peeked.stdout).unwrap()
    };
    assert_eq!(peek(&["--state", "waiting"]), "three\n");
    assert_eq!(peek(&["--state", "delayed", "--state", "in-flight"]), "one\ntwo\n");
    assert_eq!(peek(&["--group", "eu", "--since", "1h"]), "one\n");
    assert_eq!(peek(&["--since", "1h", "--max", "2"]), "one\ntwo\n");
    assert_eq!(peek(&["--from", "2"]), "two\nthree\n");
    let wrong = output(&server, &["peek", "orders", "--from", "2", "--since", "1h"]);
    assert_eq!(wrong.status.code(), Some(2));
}
