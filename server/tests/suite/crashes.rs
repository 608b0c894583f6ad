//! Without these, what was answered could be gone after a kill, and what was begun could be lost
//! by a stop that was meant to be gentle.

use forebay_protocol::client::{Client, ClientOptions, ReceiveOptions};
use forebay_protocol::{ErrorCode, OutgoingMessage, Ping, Receive, Reply};
use tempfile::TempDir;

use crate::support::{Process, Raw, free_address, receive, send, within};

async fn connect(server: &Process) -> Client {
    Client::connect(server.server(), ClientOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_kill_keeps_all_that_was_answered() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let address = free_address();
    let mut kept: Vec<String> = Vec::new();
    for round in 0..3 {
        let server = Process::serve(&data, address);
        let client = connect(&server).await;
        client.create_queue("orders", Default::default()).await.unwrap();
        for number in 0..100 {
            let body = format!("{round}.{number}");
            send(&client, "orders", &[body.as_bytes()]).await;
            kept.push(body);
        }
        // And what was deleted stays deleted.
        for message in receive(&client, "orders", 30).await {
            let body = String::from_utf8(message.block.body().to_vec()).unwrap();
            assert_eq!(client.ack("orders", &[message.receipt]).await.unwrap(), []);
            kept.retain(|other| *other != body);
        }
        server.kill();
    }
    let server = Process::serve(&data, address);
    let client = connect(&server).await;
    let mut found = Vec::new();
    while found.len() < kept.len() {
        let messages = receive(&client, "orders", 1000).await;
        found.extend(messages.iter().map(|m| String::from_utf8(m.block.body().to_vec()).unwrap()));
    }
    found.sort_unstable();
    kept.sort_unstable();
    assert_eq!(found, kept);
    let empty = client.receive("orders", ReceiveOptions::default()).await.unwrap();
    assert_eq!(empty.messages, []);
}

#[tokio::test]
async fn sigterm_answers_what_was_begun_tells_the_others_and_ends_with_status_0() {
    let dir = TempDir::new().unwrap();
    let mut server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let client = connect(&server).await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let (mut idle, mut waiting) = (greeted(&server).await, greeted(&server).await);
    let receive = Receive {
        queue: "orders".to_owned(),
        max: 1,
        wait_ms: Some(20_000),
        visibility_ms: None,
        bytes_max: 0,
        attempt: String::new(),
    };
    waiting.request(2, receive).await;
    waiting.request(3, Ping {}).await;
    waiting.reply().await;
    let mut busy = greeted(&server).await;
    for correlation in 2..102 {
        let messages = vec![OutgoingMessage::new(vec![0; 1000])];
        busy.request(correlation, forebay_protocol::Send::new("orders".to_owned(), messages)).await;
    }
    server.terminate();
    for raw in [&mut idle, &mut waiting] {
        loop {
            match raw.reply().await {
                // A message may have come before the signal.
                Some((2, Reply::Received(_))) => {}
                Some((0, Reply::Error(error))) => {
                    break assert_eq!(error.code, ErrorCode::ShuttingDown);
                }
                other => panic!("expected ShuttingDown, found {other:?}"),
            }
        }
        raw.closed().await;
    }
    // Each request of the busy one was carried out, or refused, or not read; none is half done.
    let mut answered = 0;
    loop {
        match busy.reply().await {
            Some((0, Reply::Error(error))) => {
                assert_eq!(error.code, ErrorCode::ShuttingDown);
                break;
            }
            Some((_, Reply::Error(error))) => assert_eq!(error.code, ErrorCode::ShuttingDown),
            Some((_, Reply::Sent(_))) => answered += 1,
            other => panic!("expected an answer, found {other:?}"),
        }
    }
    let status = tokio::task::spawn_blocking(move || (server.wait(), server)).await.unwrap().0;
    assert_eq!(status.code(), Some(0));
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let queue = connect(&server).await.describe_queue("orders").await.unwrap();
    assert!(queue.next_seq > answered, "{answered} were answered, {} stored", queue.next_seq - 1);
}

#[tokio::test]
async fn a_second_signal_ends_at_once_what_the_first_one_drains() {
    let dir = TempDir::new().unwrap();
    let mut server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let client = connect(&server).await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let body = vec![7; 256 << 10];
    for _ in 0..64 {
        send(&client, "orders", &[&body]).await;
    }
    // It never reads what it asked for, so the server has answers left for as long as it drains.
    let mut greedy = Raw::connect_narrow(server.address).await.greet().await;
    let receive = Receive {
        queue: "orders".to_owned(),
        max: 1,
        wait_ms: None,
        visibility_ms: None,
        bytes_max: 0,
        attempt: String::new(),
    };
    for correlation in 2..66 {
        greedy.request(correlation, receive.clone()).await;
    }
    let are_under_way = async {
        // More than the server's end of the connection takes: 4 MiB by default.
        while client.describe_queue("orders").await.unwrap().in_flight < 16 {}
    };
    within("the answers that nobody reads", are_under_way).await;
    server.terminate();
    let is_draining = async {
        while !server.log().contains("a second signal ends the process at once") {
            tokio::task::yield_now().await;
        }
    };
    within("the first signal", is_draining).await;
    server.terminate();
    let (status, server) =
        tokio::task::spawn_blocking(move || (server.wait(), server)).await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", server.log());
    assert!(!server.log().contains("were cut"), "it did not wait: {}", server.log());
    drop(greedy);
}

#[tokio::test]
async fn a_client_that_keeps_on_rides_over_a_restart() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let address = free_address();
    let server = Process::serve(&data, address);
    let client = connect(&server).await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { receive(&client, "orders", 1).await }
    });
    client.ping().await.unwrap();
    server.kill();
    let _server = Process::serve(&data, address);
    send(&client, "orders", &[b"after the restart"]).await;
    let received = within("the message", waiting).await.unwrap();
    assert_eq!(received[0].block.body().as_ref(), b"after the restart");
}

async fn greeted(server: &Process) -> Raw {
    Raw::connect(server.address).await.greet().await
}
