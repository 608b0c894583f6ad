//! Without these, a client that is slow, silent or greedy could hold what others need.

use std::time::Duration;

use forebay::Limits;
use forebay_protocol::{ErrorCode, OutgoingMessage, Ping, Receive, Reply, Send};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Server, assert_served, frame, send, small_limits, within};

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_its_messages_go_to_others() {
    let limits = Limits { write_timeout: Duration::from_millis(300), ..small_limits() };
    let server = Server::start(limits).await;
    let healthy = server.client().await;
    healthy.create_queue("orders", Default::default()).await.unwrap();
    // More than the sockets' own buffers hold.
    let body = vec![7; 256 << 10];
    for _ in 0..64 {
        send(&healthy, "orders", &[&body]).await;
    }
    let mut greedy = server.greeted().await;
    let receive = Receive {
        queue: "orders".to_owned(),
        max: 1,
        wait_ms: None,
        visibility_ms: Some(3_600_000),
        bytes_max: 0,
        attempt: String::new(),
    };
    for correlation in 2..66 {
        greedy.request(correlation, receive.clone()).await;
    }
    // It never reads; so it learns of its end by writing. A server that does not read either
    // shows nothing before it closes.
    let ping = frame(99, Ping {});
    while greedy.try_send(&ping).await {}
    // What was not written came back at once, though its lease would have lasted an hour.
    let came_back = async {
        loop {
            let queue = healthy.describe_queue("orders").await.unwrap();
            if queue.waiting > 0 {
                return;
            }
        }
    };
    within("the return of unwritten messages", came_back).await;
    assert_served(&healthy).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_told_and_closed() {
    let limits = Limits {
        hello_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let healthy = server.client().await;
    let (mut silent, mut idle) = (server.raw().await, server.greeted().await);
    assert_eq!(silent.error().await.1, ErrorCode::HelloExpected);
    silent.closed().await;
    let (correlation, code, text) = idle.error().await;
    assert_eq!((correlation, code), (0, ErrorCode::IdleTimeout));
    assert!(text.contains("200ms"), "{text}");
    idle.closed().await;
    // Its pings kept this one.
    assert_served(&healthy).await;
}

#[tokio::test]
async fn a_frame_that_does_not_end_is_not_waited_for_for_ever() {
    let limits = Limits { frame_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = Server::start(limits).await;
    let healthy = server.client().await;
    let mut slow = server.greeted().await;
    slow.send(&frame(2, Ping {})[..5]).await;
    assert_eq!(slow.error().await.1, ErrorCode::IdleTimeout);
    slow.closed().await;
    assert_served(&healthy).await;
}

#[tokio::test]
async fn a_client_that_waits_for_a_message_is_not_idle() {
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = Server::start(limits).await;
    let healthy = server.client().await;
    healthy.create_queue("orders", Default::default()).await.unwrap();
    let mut waiting = server.greeted().await;
    let receive = Receive {
        queue: "orders".to_owned(),
        max: 1,
        wait_ms: Some(500),
        visibility_ms: None,
        bytes_max: 0,
        attempt: String::new(),
    };
    waiting.request(2, receive).await;
    assert!(matches!(waiting.reply().await, Some((2, Reply::Received(_)))));
    assert_eq!(waiting.error().await.1, ErrorCode::IdleTimeout, "from then on it is");
}

#[tokio::test]
async fn a_client_whose_send_was_answered_and_that_says_no_more_is_idle() {
    let limits = Limits { idle_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start(limits).await;
    let healthy = server.client().await;
    healthy.create_queue("orders", Default::default()).await.unwrap();
    let mut quiet = server.greeted().await;
    for correlation in 2..5 {
        quiet.request(correlation, Send::new("orders", vec![OutgoingMessage::new("once")])).await;
        assert!(matches!(quiet.reply().await, Some((_, Reply::Sent(_)))));
    }
    assert_eq!(quiet.error().await.1, ErrorCode::IdleTimeout);
    quiet.closed().await;
}

#[tokio::test]
async fn a_thousand_idle_connections_cost_a_working_one_nothing() {
    // Both ends are in this process.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let server = Server::start(Default::default()).await;
    let mut idle = Vec::new();
    for index in 0..1000 {
        idle.push(if index % 2 == 0 { server.raw().await } else { server.greeted().await });
    }
    assert_served(&server.client().await).await;
    let last = idle.last_mut().unwrap();
    last.request(2, Ping {}).await;
    assert!(matches!(last.reply().await, Some((2, Reply::Pong(_)))), "idle, not forgotten");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_a_later_one_is_welcome() {
    let server = Server::start(Limits { connections_max: 2, ..Limits::default() }).await;
    let healthy = server.client().await;
    let second = server.greeted().await;
    let mut third = server.raw().await;
    let (correlation, code, text) = third.error().await;
    assert_eq!((correlation, code), (0, ErrorCode::TooManyConnections));
    assert!(text.contains('2'), "{text}");
    third.closed().await;
    drop(second);
    // The place is free as soon as the server has noticed.
    let welcome = async {
        loop {
            let mut next = server.raw().await;
            next.try_send(&frame(1, forebay_protocol::Hello::new("x"))).await;
            if let Some((1, Reply::Welcome(_))) = next.reply().await {
                return;
            }
        }
    };
    within("a welcome", welcome).await;
    assert_served(&healthy).await;
}

#[tokio::test]
async fn announced_bytes_cost_nothing_and_sent_ones_no_more_than_the_budget() {
    const BUDGET: u64 = 1 << 20;
    let limits = Limits { memory_bytes_max: BUDGET, ..Limits::default() };
    let server = Server::start(limits).await;
    let healthy = server.client().await;
    assert_eq!(server.memory_free_bytes(), BUDGET);
    let mut greedy = Vec::new();
    for _ in 0..50 {
        let mut raw = server.greeted().await;
        // Each announces 16 MiB, in all far more than the budget, and sends a part of it.
        raw.send(&(16_u32 << 20).to_le_bytes()).await;
        raw.send(&[0; 12 << 10]).await;
        greedy.push(raw);
    }
    assert_served(&healthy).await;
    // Three times the budget, which the sockets hold as long as the server does not read it.
    for raw in &mut greedy {
        raw.send(&[0; 52 << 10]).await;
    }
    // From here on one of them at a time is read, and the others wait for memory: all but the reserve is spent.
    server.memory_is_free(BUDGET / 8).await;
    drop(greedy);
    server.memory_is_free(BUDGET).await;
    assert_served(&healthy).await;
}

#[tokio::test]
async fn frames_that_never_end_spend_the_budget_and_keep_no_small_request_waiting() {
    let limits = Limits { memory_bytes_max: 1 << 20, ..Limits::default() };
    let server = Server::start(limits).await;
    let healthy = server.client().await;
    // Far more than the budget and what sockets hold: this one goes beyond the budget, and stops.
    let mut first = server.greeted().await;
    first.send(&(17_u32 << 20).to_le_bytes()).await;
    first.send(&vec![0; 16 << 20]).await;
    let mut others = Vec::new();
    for _ in 0..20 {
        let mut raw = server.greeted().await;
        raw.send(&(17_u32 << 20).to_le_bytes()).await;
        raw.send(&[0; 64 << 10]).await;
        others.push(raw);
    }
    assert_served(&healthy).await;
    assert_served(&server.client().await).await;
}

#[tokio::test]
async fn requests_that_together_exceed_the_budget_are_all_served_in_turn() {
    const BUDGET: u64 = 256 << 10;
    let limits = Limits { memory_bytes_max: BUDGET, ..Limits::default() };
    let server = Server::start(limits).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    assert_eq!(server.memory_free_bytes(), BUDGET);

    // Of each all but the last byte, so that what was read of them is held.
    let (finish, _) = tokio::sync::watch::channel(false);
    let (mut greeted, mut held) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        greeted.push(server.greeted().await);
    }
    for mut raw in greeted {
        let mut may_finish = finish.subscribe();
        held.push(tokio::spawn(async move {
            let body = OutgoingMessage::new(vec![7; 200 << 10]);
            let request = frame(2, Send::new("orders", vec![body]));
            let (last, first) = request.split_last().unwrap();
            raw.send(first).await;
            may_finish.wait_for(|finish| *finish).await.unwrap();
            raw.send(&[*last]).await;
            assert!(matches!(raw.reply().await, Some((2, Reply::Sent(_)))));
        }));
    }
    server.memory_is_free(BUDGET / 8).await;
    finish.send_replace(true);
    for held in held {
        within("the answer to a request that was held", held).await.unwrap();
    }

    let senders: Vec<_> = (0..20)
        .map(|number| {
            let server = server.address;
            tokio::spawn(async move {
                let client = forebay_protocol::client::Client::connect(
                    server.to_string(),
                    Default::default(),
                );
                let client = client.await.unwrap();
                for _ in 0..5 {
                    send(&client, "orders", &[&vec![number; 200 << 10]]).await;
                }
            })
        })
        .collect();
    for sender in senders {
        within("a sender's end", sender).await.unwrap();
    }
    let mut received = 0;
    while received < 104 {
        received += crate::support::receive(&client, "orders", 10).await.len();
    }
    assert_eq!(client.describe_queue("orders").await.unwrap().next_seq, 105);
    server.memory_is_free(BUDGET).await;
}
