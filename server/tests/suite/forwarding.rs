//! Without these, a message could be lost or doubled on its way from one queue to the next.

use std::collections::BTreeSet;

use bytes::Bytes;
use forebay_protocol::client::{Client, PeekOptions};
use forebay_protocol::{ErrorCode, OutgoingMessage};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, Server, forebay, output, receive, refusal, send, within};

#[tokio::test]
async fn a_transaction_is_done_whole_or_refused_with_the_item_that_cannot_be() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    for name in ["in", "out"] {
        client.create_queue(name, Default::default()).await.unwrap();
    }
    send(&client, "in", &[b"one", b"two"]).await;
    let receipts: Vec<_> =
        receive(&client, "in", 2).await.into_iter().map(|message| message.receipt).collect();
    let forward = |to: &'static str| {
        let messages = ["ONE", "TWO"].map(OutgoingMessage::new);
        client.transaction().ack("in", receipts.clone()).send(to, messages)
    };
    let (code, text) = refusal(forward("nowhere").commit().await);
    let expected = "sends[0]: queue \"nowhere\" does not exist";
    assert_eq!((code, &*text), (ErrorCode::UnknownQueue, expected));
    let wrong = OutgoingMessage::new("x").group("no group");
    let (code, text) = refusal(forward("out").send("out", [wrong]).commit().await);
    assert_eq!(code, ErrorCode::BadMessageAttribute);
    assert!(text.starts_with("sends[1].messages[0]: "), "{text}");
    let done = forward("out").commit().await.unwrap();
    let out = client.describe_queue("out").await.unwrap();
    let sent: Vec<_> = done.sent.iter().map(|s| (s.queue_id, s.first_seq, s.count)).collect();
    assert_eq!(sent, [(out.queue_id, 1, 2)]);
    let (code, text) = refusal(forward("out").commit().await);
    let expected = "acks[0].receipts[0]: message 1 is no longer in the queue";
    assert_eq!((code, &*text), (ErrorCode::MessageGone, expected));
    let bodies: Vec<_> = receive(&client, "out", 10).await;
    let bodies: Vec<_> = bodies.iter().map(|message| message.block.body().as_ref()).collect();
    assert_eq!(bodies, [b"ONE", b"TWO"]);
    assert_eq!(client.describe_queue("in").await.unwrap().in_flight, 0);
}

fn server(dir: &TempDir) -> Process {
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    for name in ["in", "out"] {
        assert!(output(&server, &["queue", "create", name]).status.success());
    }
    server
}

/// The queue took the message for a copy of what it once was itself, or of another one with its
/// deduplication id, and stored nothing; the ack stood, and the message was lost.
#[test]
fn forward_loses_no_message_that_a_fifo_queue_would_take_for_a_copy() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let run = |args: &str| {
        let output = output(&server, &args.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{args}: {output:?}");
        output
    };
    run("queue create dead.fifo --fifo");
    run("queue create jobs.fifo --fifo --dead-letter-queue dead.fifo --receive-count-max 1");
    run("send jobs.fifo precious --group g --dedup 1");
    run("receive jobs.fifo --visibility 0s");
    run("receive jobs.fifo");
    // Another one that has the id of the second.
    run("send jobs.fifo other --group g --dedup 2");
    run("send dead.fifo twin --group g --dedup 2");
    assert_eq!(run("forward dead.fifo jobs.fifo").stderr, b"2 messages forwarded\n");
    let received = run("receive jobs.fifo --max 3");
    assert_eq!(String::from_utf8(received.stdout).unwrap(), "other\nprecious\ntwin\n");
    // To and fro it is another message each time, and nothing that was forwarded is doubled.
    assert_eq!(run("forward dead.fifo jobs.fifo").stderr, b"0 messages forwarded\n");
}

#[test]
fn forward_moves_messages_with_all_that_they_came_with() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["send", "in", "one", "--group", "g", "--attr", "n:Number=5"]);
    output(&server, &["send", "in", "two"]);
    output(&server, &["send", "in", "three"]);
    let forwarded = output(&server, &["forward", "in", "out", "--max", "2"]);
    assert_eq!(
        (forwarded.status.code(), &*forwarded.stderr),
        (Some(0), &b"2 messages forwarded\n"[..])
    );
    let forwarded = output(&server, &["forward", "in", "out"]);
    assert_eq!(forwarded.stderr, b"1 message forwarded\n");
    let received = output(&server, &["receive", "out", "--max", "0", "--json"]);
    let received: Vec<Value> = String::from_utf8(received.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let bodies: Vec<_> = received.iter().map(|message| &message["body"]).collect();
    assert_eq!(bodies, ["one", "two", "three"]);
    assert_eq!(
        (&received[0]["group"], &received[0]["attributes"]["n"]["value"]),
        (&"g".into(), &"5".into())
    );
    assert_eq!(output(&server, &["peek", "in"]).stdout, b"");
    let to_itself = output(&server, &["forward", "out", "out"]);
    assert_eq!(to_itself.status.code(), Some(1), "it would never end");
}

#[test]
fn what_cannot_be_forwarded_stays_and_need_not_be_waited_for() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["queue", "set", "out", "--message-bytes-max", "1KiB"]);
    output(&server, &["send", "in", &"x".repeat(2000)]);
    let forwarded = output(&server, &["forward", "in", "out"]);
    assert_eq!(forwarded.status.code(), Some(1));
    let text = String::from_utf8(forwarded.stderr).unwrap();
    assert!(text.starts_with("0 messages forwarded\n"), "{text}");
    let told =
        "message 1 of \"in\" cannot go to \"out\": it has 2000 bytes, queue \"out\" allows 1024";
    assert!(text.contains(told), "{text}");
    let again = output(&server, &["receive", "in"]);
    assert_eq!(again.stdout.len(), 2001, "it is there at once");
}

#[tokio::test]
async fn killed_in_the_middle_forward_loses_and_doubles_nothing() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let address = server.server();
    let client = Client::connect(address.clone(), Default::default());
    let client = client.await.unwrap();
    let count = 3000u64;
    let messages = (0..count).map(|n| OutgoingMessage::new(n.to_string())).collect();
    client.send("in", messages).await.unwrap();
    // Killed when it has moved some, wherever it is then.
    let mut forwarder =
        forebay(["forward", "in", "out", "--follow"]).args(["--server", &address]).spawn().unwrap();
    while client.describe_queue("out").await.unwrap().waiting == 0 {
        tokio::task::yield_now().await;
    }
    forwarder.kill().unwrap();
    forwarder.wait().unwrap();
    // Its last request may still be carried out. Messages go one way only: who looks there first,
    // and then here, never finds one twice.
    let look = async {
        loop {
            let mut bodies = bodies_of(&client, "out").await;
            let there = bodies.len();
            let here = bodies_of(&client, "in").await;
            let both = there + here.len();
            bodies.extend(here);
            assert_eq!(bodies.len(), both, "in both queues");
            if both as u64 == count {
                break;
            }
        }
    };
    within("every message is in one of them", look).await;
}

/// The bodies of all that is in a queue, each there once.
async fn bodies_of(client: &Client, queue: &str) -> BTreeSet<Bytes> {
    let (mut bodies, mut next) = (BTreeSet::new(), 1);
    while next > 0 {
        let options = PeekOptions { from_seq: next, max: 1000, ..PeekOptions::default() };
        let page = client.peek(queue, options).await.unwrap();
        next = page.next_seq;
        for message in page.messages {
            assert!(bodies.insert(message.block.body().clone()), "twice in {queue}");
        }
    }
    bodies
}

/// Found only when the first message comes, it would be found days later with --follow.
#[test]
fn forward_says_at_once_and_plainly_what_cannot_be() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    for arguments in [["forward", "in", "nowhere"], ["forward", "nowhere", "out"]] {
        for follow in [&[][..], &["--follow"]] {
            let refused = output(&server, &[&arguments[..], follow].concat());
            let stderr = String::from_utf8(refused.stderr).unwrap();
            assert_eq!(refused.status.code(), Some(1), "{stderr}");
            assert_eq!(stderr, "forebay: UnknownQueue: queue \"nowhere\" does not exist\n");
        }
    }
    // What one message is refused for is told of that message, and those before it have gone.
    output(&server, &["queue", "create", "small", "--message-bytes-max", "1KiB"]);
    output(&server, &["send", "in", "one"]);
    output(&server, &["send", "in", &"x".repeat(2000)]);
    let refused = output(&server, &["forward", "in", "small"]);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    let told = "1 message forwarded\nforebay: message 2 of \"in\" cannot go to \"small\": ";
    assert!(stderr.starts_with(told), "{stderr}");
    assert!(!stderr.contains("sends["), "{stderr}");
    output(&server, &["queue", "create", "steps.fifo", "--fifo"]);
    let refused = output(&server, &["forward", "in", "steps.fifo"]);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.contains("message 2 of \"in\" cannot go to \"steps.fifo\": "), "{stderr}");
}
