//! Without these, who wonders why nothing comes would have to know the engine to find out.

use forebay_protocol::{Fact, MessageId};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, Server, output, receive, send};

#[tokio::test]
async fn facts_travel_with_the_queues_id_and_the_servers_time() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let queue_id = client.describe_queue("orders").await.unwrap().queue_id;
    let explained = client.explain("orders", None).await.unwrap();
    assert_eq!((explained.queue_id, explained.facts), (queue_id, vec![Fact::Empty {}]));
    send(&client, "orders", &[b"one", b"two"]).await;
    let received = receive(&client, "orders", 1).await;
    let explained = client.explain("orders", None).await.unwrap();
    let [Fact::Waiting { messages: 1, next_seq: 2 }, Fact::InFlight { messages: 1, first_ends_ms }] =
        explained.facts[..]
    else {
        panic!("{explained:?}");
    };
    assert!(first_ends_ms > explained.now_ms);
    let explained = client.explain("orders", Some(received[0].seq)).await.unwrap();
    let [Fact::MessageInFlight { since_ms, until_ms, receive_count: 1 }] = explained.facts[..]
    else {
        panic!("{explained:?}");
    };
    assert_eq!((since_ms, until_ms), (received[0].first_received_ms, first_ends_ms));
    let explained = client.explain("orders", Some(3)).await.unwrap();
    assert_eq!(explained.facts, [Fact::MessageUnknown { next_seq: 3 }]);
}

#[test]
fn explain_answers_in_words() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let explain = |arguments: &[&str]| {
        let explained = output(&server, &[&["explain"][..], arguments].concat());
        assert_eq!(explained.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(explained.stdout).unwrap()
    };
    let send = |arguments: &[&str]| {
        let sent = output(&server, &[&["send", "orders"][..], arguments].concat());
        String::from_utf8(sent.stdout).unwrap().trim_end().to_owned()
    };
    assert!(output(&server, &["queue", "create", "orders"]).status.success());
    assert!(explain(&["orders"]).starts_with("there are no messages: "));
    let (first, delayed) = (send(&["one"]), send(&["two", "--delay", "1h"]));
    let said = explain(&["orders"]);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "1 message is waiting; number 1 is next");
    assert!(lines[1].starts_with("1 message is delayed, the first until about 20"), "{said}");
    assert_eq!(explain(&["orders", &first]), "it waits, and is next\n");
    assert!(explain(&["orders", &delayed]).starts_with("it is delayed until 20"));
    let received = output(&server, &["receive", "orders", "--json"]);
    let received: Value = serde_json::from_slice(&received.stdout).unwrap();
    assert!(explain(&["orders", &first]).starts_with("it is in flight until 20"));
    output(&server, &["ack", "orders", received["receipt"].as_str().unwrap()]);
    assert_eq!(
        explain(&["orders", &first]),
        "it is gone: it was acked, or moved to another queue\n"
    );
    output(&server, &["queue", "purge", "orders"]);
    assert!(explain(&["orders", &delayed]).starts_with("it is gone: it was purged at 20"));
    // Ids that are not this queue's.
    let id: MessageId = first.parse().unwrap();
    output(&server, &["queue", "delete", "orders"]);
    output(&server, &["queue", "create", "orders"]);
    let said = explain(&["orders", &first]);
    let expected = format!("it was sent to queue number {}, and orders has", id.queue_id());
    assert!(said.starts_with(&expected), "{said}");
    let foreign = MessageId::new(uuid::Uuid::from_u128(7 << 100), 1, 1).to_string();
    let said = explain(&["orders", &foreign]);
    assert_eq!(said, "it is a message of another store than this server's\n");
    let wrong = output(&server, &["explain", "orders", "no-id"]);
    assert_eq!(wrong.status.code(), Some(2));
}

/// A dead letter keeps the id that it was sent with, in whatever queue it is.
#[test]
fn explain_finds_a_dead_letter_by_the_id_that_is_shown() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let run = |arguments: &[&str]| {
        let run = output(&server, arguments);
        assert_eq!(run.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(run.stdout).unwrap().trim_end().to_owned()
    };
    run(&["queue", "create", "dead"]);
    let policy = ["--dead-letter-queue", "dead", "--receive-count-max", "1"];
    run(&[&["queue", "create", "orders"], &policy[..]].concat());
    run(&["send", "dead", "by hand"]);
    let id = run(&["send", "orders", "poison"]);
    run(&["receive", "orders", "--visibility", "0s"]);
    run(&["receive", "orders", "--wait", "1s"]);
    assert_eq!(run(&["receive", "dead", "--max", "1", "--wait", "5s"]), "by hand");
    let received = run(&["receive", "dead", "--wait", "5s", "--json"]);
    let received: Value = serde_json::from_str(&received).unwrap();
    assert_eq!(received["message_id"], Value::from(id.as_str()));
    let said = run(&["explain", "dead", &id]);
    assert!(said.starts_with("it is in flight until 20"), "{said}");
    let said = run(&["explain", "orders", &id]);
    assert_eq!(said, "it is gone: it was acked, or moved to another queue");
}
