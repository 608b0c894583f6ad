//! Without these, a dead letter could reach its consumer as another message, or an operator be
//! without means to look after dead letters.

use forebay_protocol::client::{Client, PeekOptions};
use forebay_protocol::{
    ErrorCode, MessageAttribute, MessageId, OutgoingMessage, QueueAttributes, RedriveId,
    RedriveState,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, Server, output, receive, refusal, send, within};

/// "jobs", whose messages are given out once, for no time.
fn once() -> QueueAttributes {
    QueueAttributes {
        dead_letter_queue: Some("dead".to_owned()),
        receive_count_max: Some(1),
        visibility_timeout_ms: Some(0),
        ..QueueAttributes::default()
    }
}

async fn create(client: &Client) {
    client.create_queue("dead", QueueAttributes::default()).await.unwrap();
    client.create_queue("jobs", once()).await.unwrap();
}

#[tokio::test]
async fn it_reaches_its_consumer_as_the_message_that_was_sent() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    create(&client).await;
    let message =
        OutgoingMessage::new("poison").attribute(MessageAttribute::string("colour", "green"));
    let block = message.block.clone();
    let sent = client.send("jobs", vec![message]).await.unwrap();
    let first = receive(&client, "jobs", 1).await.remove(0);
    let origin = (sent.queue_id, sent.first_seq);
    assert_eq!((first.receive_count, &*first.source), (1, ""));
    assert_eq!((first.origin_queue_id, first.origin_seq), origin);
    // Whoever asks for it once more sends it away.
    let none = client.receive("jobs", Default::default()).await.unwrap();
    assert_eq!(none.messages, []);
    let letter = receive(&client, "dead", 1).await.remove(0);
    assert_eq!((letter.receive_count, &*letter.source, &letter.block), (2, "jobs", &block));
    assert_eq!((letter.origin_queue_id, letter.origin_seq), origin);
    assert_eq!(letter.sent_ms, first.sent_ms);
    assert_eq!(letter.first_received_ms, first.first_received_ms);
    let shown = client.peek("dead", Default::default()).await.unwrap().messages.remove(0);
    assert_eq!((shown.receive_count, &*shown.source, &shown.block), (2, "jobs", &block));
    assert_eq!((shown.origin_queue_id, shown.origin_seq), origin);
    assert_eq!(client.ack("dead", &[letter.receipt]).await.unwrap(), []);
    assert_eq!(client.describe_queue("dead").await.unwrap().in_flight, 0);
}

#[tokio::test]
async fn a_redrive_is_started_listed_and_cancelled() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    create(&client).await;
    send(&client, "jobs", &[b"a", b"b", b"c"]).await;
    receive(&client, "jobs", 3).await;
    client.receive("jobs", Default::default()).await.unwrap();
    let mut dead = 0;
    while dead < 3 {
        let letters = receive(&client, "dead", 3).await;
        let receipts: Vec<_> = letters.into_iter().map(|letter| letter.receipt).collect();
        dead += receipts.len();
        client.end_leases("dead", &receipts).await.unwrap();
        if dead < 3 {
            dead = 0;
        }
    }
    let started = client.start_redrive("dead", "", 1).await.unwrap();
    let redrive = RedriveId(started.redrive);
    assert_eq!(started.to_move, 3);
    let running = client.start_redrive("dead", "", 0).await;
    assert_eq!(refusal(running).0, ErrorCode::RedriveRunning);
    assert_eq!(receive(&client, "jobs", 1).await[0].block.body().as_ref(), b"a");
    let listed = client.list_redrives("dead").await.unwrap();
    assert_eq!((listed.len(), listed[0].redrive), (1, redrive.0));
    assert_eq!((&*listed[0].source, listed[0].rate), ("dead", 1));
    let moved = client.cancel_redrive(redrive).await.unwrap();
    assert!((1..=3).contains(&moved), "{moved}");
    let ended = client.list_redrives("dead").await.unwrap().remove(0);
    assert_eq!((ended.state, ended.moved, ended.to_move), (RedriveState::Cancelled, moved, 3));
    assert!(ended.ended_ms >= ended.started_ms);
    assert_eq!(refusal(client.cancel_redrive(redrive).await).0, ErrorCode::UnknownRedrive);

    for (queue, destination, rate, code) in [
        ("nobody", "", 0, ErrorCode::UnknownQueue),
        ("jobs", "", 0, ErrorCode::NotDeadLetterQueue),
        ("dead", "dead", 0, ErrorCode::BadDestination),
        ("dead", "nobody", 0, ErrorCode::UnknownQueue),
        ("dead", "", 100_001, ErrorCode::OutOfRange),
    ] {
        let refused = refusal(client.start_redrive(queue, destination, rate).await);
        assert_eq!(refused.0, code, "{}", refused.1);
    }
    assert_eq!(refusal(client.list_redrives("nobody").await).0, ErrorCode::UnknownQueue);
}

#[tokio::test]
async fn without_a_limit_everything_is_back_soon() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    create(&client).await;
    let bodies: Vec<Vec<u8>> = (0..2000).map(|at| format!("{at}").into_bytes()).collect();
    for few in bodies.chunks(500) {
        send(&client, "dead", &few.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    }
    client.start_redrive("dead", "jobs", 0).await.unwrap();
    within("the end of a redrive", async {
        while client.list_redrives("dead").await.unwrap()[0].state == RedriveState::Running {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let ended = client.list_redrives("dead").await.unwrap().remove(0);
    assert_eq!((ended.state, ended.moved), (RedriveState::Completed, 2000));
    let all = PeekOptions { max: 4096, ..PeekOptions::default() };
    let page = client.peek("jobs", all).await.unwrap();
    assert!(page.messages.iter().map(|m| m.block.body()).eq(&bodies), "in their order");
}

#[test]
fn the_command_line_shows_and_redrives() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let run = |arguments: &[&str]| {
        let output = output(&server, arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json = |arguments: &[&str]| serde_json::from_str::<Value>(&run(arguments)).unwrap();
    run(&["queue", "create", "dead"]);
    let policy = ["--dead-letter-queue", "dead", "--receive-count-max", "1"];
    run(&[&["queue", "create", "jobs", "--visibility-timeout", "0s"], &policy[..]].concat());
    let id = run(&["send", "jobs", "poison"]);
    assert_eq!(run(&["receive", "jobs"]), "poison\n");
    assert_eq!(run(&["receive", "jobs"]), "");
    let letter = json(&["receive", "dead", "--wait", "20s", "--visibility", "0s", "--json"]);
    assert_eq!((&letter["source"], &letter["receive_count"]), (&"jobs".into(), &2.into()));
    assert_eq!(letter["message_id"], id.trim());
    let shown = json(&["peek", "dead", "--json"]);
    assert_eq!((&shown["source"], &shown["message_id"]), (&"jobs".into(), &id.trim().into()));

    let started = run(&["redrive", "start", "dead", "--rate", "50"]);
    assert_eq!(started, "redrive 1-1 started, messages: 1\n");
    let back = json(&["receive", "jobs", "--wait", "20s", "--json"]);
    assert_eq!((&back["receive_count"], back.get("source")), (&1.into(), None));
    assert_ne!(back["message_id"], id.trim(), "it is a new message");
    let listed = json(&["redrive", "list", "dead", "--json"]);
    assert_eq!((&listed["redrive"], &listed["moved"]), (&"1-1".into(), &1.into()));
    assert_eq!((&listed["rate"], listed.get("destination")), (&50.into(), None));
    let shown = run(&["redrive", "list", "dead"]);
    assert!(
        shown.contains("1 of 1 moved\tto where they came from\tat most 50 a second"),
        "{shown}"
    );
    let refused = output(&server, &["redrive", "cancel", "1-7"]);
    assert_eq!(refused.status.code(), Some(1));
    let wrong = output(&server, &["redrive", "cancel", "seven"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(id.trim().parse::<MessageId>().is_ok());
}

/// Nothing else would show why messages come again and again.
#[test]
fn a_dead_letter_queue_that_does_not_exist_is_told() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let run = |arguments: &str| {
        let done = output(&server, &arguments.split(' ').collect::<Vec<_>>());
        let (stdout, stderr) = (done.stdout, String::from_utf8(done.stderr).unwrap());
        (String::from_utf8(stdout).unwrap(), stderr, done.status.code())
    };
    run("queue create dead");
    run("queue create jobs --dead-letter-queue dead --receive-count-max 1");
    let missing = "its dead-letter queue \"dead\" does not exist: until it does";
    let shown = "dead letter queue            dead (does not exist: messages stay)\n";
    assert!(!run("explain jobs").0.contains(missing));
    assert!(!run("queue show jobs").0.contains(shown));
    run("queue delete dead");
    assert!(run("explain jobs").0.contains(missing));
    assert!(run("queue show jobs").0.contains(shown));
    let json: Value = serde_json::from_str(&run("queue show jobs --json").0).unwrap();
    assert_eq!(json["attributes"]["dead_letter_queue"], "dead");
    run("queue create dead");
    assert!(!run("explain jobs").0.contains(missing));
}

#[test]
fn what_cannot_be_redriven_is_refused_with_a_way_out() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    output(&server, &["queue", "create", "dead"]);
    let refused = output(&server, &["redrive", "start", "dead", "--to", "jobs"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("NotDeadLetterQueue: "), "{told}");
    let hint = "; to move its messages to another queue: forebay forward dead jobs\n";
    assert!(told.ends_with(hint), "{told}");
}
