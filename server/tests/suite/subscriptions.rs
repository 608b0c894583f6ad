//! Without these, a subscriber could be flooded, starved or forgotten; or its death could hold
//! messages that others could work on.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay::Limits;
use forebay_protocol::client::{Client, PeekOptions, ReceiveOptions, SubscribeOptions};
use forebay_protocol::{
    Ack, ChangeVisibility, Credit, Delivered, DescribeQueue, ErrorCode, FRAME_HEADER_BYTES, Nack,
    OutgoingMessage, QueueInfo, ReceivedMessage, Reply, Subscribe, Transact, TransactAcks,
    Unsubscribe, VisibilityChange,
};

use crate::support::{Raw, Server, assert_served, receive, send, small_limits, within};

/// The correlation of most subscriptions here.
const SUBSCRIPTION: u32 = 7;

fn subscribe() -> Subscribe {
    Subscribe {
        queue: "orders".to_owned(),
        credits: 1000,
        credit_bytes: 1 << 30,
        batch_max: 10,
        bytes_max: 0,
        visibility_ms: Some(3_600_000),
        release_on_close: false,
    }
}

/// A server with a queue, and a client that has no part in what is tested.
async fn server(limits: Limits) -> (Server, Client) {
    let server = Server::start(limits).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    (server, client)
}

/// A connection with a subscription that stands.
async fn subscriber(server: &Server, request: Subscribe) -> Raw {
    let mut raw = server.greeted().await;
    begin(&mut raw, SUBSCRIPTION, request).await;
    raw
}

async fn begin(raw: &mut Raw, correlation: u32, request: Subscribe) {
    raw.request(correlation, request).await;
    assert_eq!(pushed(raw, correlation).await, [], "the first says that it stands");
}

/// The messages of the next frame, which must be the subscription's.
async fn pushed(raw: &mut Raw, correlation: u32) -> Vec<ReceivedMessage> {
    match raw.reply().await {
        Some((found, Reply::Delivered(Delivered { messages, last: false, .. })))
            if found == correlation =>
        {
            messages
        }
        other => panic!("expected messages for {correlation}, found {other:?}"),
    }
}

/// So many messages, in as many frames as it takes.
async fn pushed_all(raw: &mut Raw, count: usize) -> Vec<ReceivedMessage> {
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.extend(pushed(raw, SUBSCRIPTION).await);
    }
    messages
}

fn body(message: &ReceivedMessage) -> &str {
    std::str::from_utf8(message.block.body()).unwrap()
}

/// Shows that nothing more is pushed: what the engine was asked for before this question, it has
/// answered before it, and an answer comes behind what was pushed before it.
async fn described(raw: &mut Raw) -> QueueInfo {
    raw.request(99, DescribeQueue { name: "orders".to_owned() }).await;
    match raw.reply().await {
        Some((99, Reply::QueueDescribed(described))) => *described.queue,
        other => panic!("expected nothing but the description, found {other:?}"),
    }
}

async fn credit(raw: &mut Raw, credits: u32, credit_bytes: u32) {
    raw.request(98, Credit { subscription: SUBSCRIPTION, credits, credit_bytes }).await;
    assert!(matches!(raw.reply().await, Some((98, Reply::Credited(_)))));
}

#[tokio::test]
async fn no_more_messages_are_pushed_than_there_are_credits() {
    let (server, client) = server(Default::default()).await;
    let mut raw = subscriber(&server, Subscribe { credits: 3, ..subscribe() }).await;
    send(&client, "orders", &[b"0", b"1", b"2", b"3", b"4"]).await;
    let first = pushed_all(&mut raw, 3).await;
    assert_eq!(first.iter().map(body).collect::<Vec<_>>(), ["0", "1", "2"]);
    let queue = described(&mut raw).await;
    assert_eq!((queue.waiting, queue.in_flight), (2, 3), "nor leased");
    credit(&mut raw, 1, 0).await;
    assert_eq!(body(&pushed_all(&mut raw, 1).await[0]), "3");
    described(&mut raw).await;
    credit(&mut raw, 2, 0).await;
    assert_eq!(body(&pushed_all(&mut raw, 1).await[0]), "4");
    // One credit is left for what comes.
    send(&client, "orders", &[b"5", b"6"]).await;
    assert_eq!(body(&pushed_all(&mut raw, 1).await[0]), "5");
    assert_eq!(described(&mut raw).await.waiting, 1);
}

#[tokio::test]
async fn no_more_bytes_are_pushed_than_there_are_credits_but_for_one_message() {
    let (server, client) = server(Default::default()).await;
    for _ in 0..3 {
        send(&client, "orders", &[&[7; 5000]]).await;
    }
    let mut raw = subscriber(&server, Subscribe { credit_bytes: 1, ..subscribe() }).await;
    let messages = pushed_all(&mut raw, 1).await;
    assert_eq!(described(&mut raw).await.waiting, 2);
    let mut frame = bytes::BytesMut::new();
    let delivered = Delivered { messages, queue_id: 1, last: false };
    Reply::from(delivered).encode(SUBSCRIPTION, &mut frame).unwrap();
    let length = frame.len() as u32 - 4;
    assert_eq!(frame.len() - FRAME_HEADER_BYTES, length as usize - 8);
    // What was owed is paid, and nothing is left.
    credit(&mut raw, 0, length - 1).await;
    assert_eq!(described(&mut raw).await.waiting, 2);
    credit(&mut raw, 0, 1).await;
    pushed_all(&mut raw, 1).await;
    assert_eq!(described(&mut raw).await.waiting, 1);
}

#[tokio::test]
async fn a_subscription_without_credits_stands_and_is_served_when_it_gets_some() {
    let (server, client) = server(Default::default()).await;
    send(&client, "orders", &[b"one"]).await;
    let nothing = Subscribe { credits: 0, credit_bytes: 0, ..subscribe() };
    let mut raw = subscriber(&server, nothing).await;
    assert_eq!(described(&mut raw).await.waiting, 1);
    credit(&mut raw, 1, 0).await;
    assert_eq!(described(&mut raw).await.waiting, 1, "messages, and no bytes");
    credit(&mut raw, 0, 1).await;
    assert_eq!(body(&pushed_all(&mut raw, 1).await[0]), "one");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_no_more_and_is_still_heard() {
    let (server, client) = server(small_limits()).await;
    // Far more than the sockets' own buffers hold.
    let (messages, large) = (160, vec![7; 256 << 10]);
    for _ in 0..messages {
        send(&client, "orders", &[&large]).await;
    }
    let mut raw = subscriber(&server, Subscribe { batch_max: 1, ..subscribe() }).await;
    let first = pushed_all(&mut raw, 1).await.remove(0);
    // From here on it does not read. When nothing has changed for a while, it is full.
    let mut looks = (0, 0);
    while looks.1 < 100 {
        let in_flight = client.describe_queue("orders").await.unwrap().in_flight;
        looks = if looks.0 == in_flight { (in_flight, looks.1 + 1) } else { (in_flight, 0) };
    }
    raw.request(8, Ack { queue: "orders".to_owned(), receipts: vec![first.receipt] }).await;
    let one = PeekOptions { max: 1, ..PeekOptions::default() };
    let oldest = PeekOptions { bytes_max: 1, ..one.clone() };
    let acked = async {
        while client.peek("orders", oldest.clone()).await.unwrap().messages[0].seq == first.seq {}
    };
    within("the ack", acked).await;
    let newest = PeekOptions { from_seq: messages, ..one };
    let last = client.peek("orders", newest).await.unwrap().messages.remove(0);
    assert_eq!((last.seq, last.receive_count), (messages, 0), "it was never leased");
    drop(raw);
    // What was leased and not written comes back, though its lease would have lasted an hour.
    let came_back = async {
        loop {
            let queue = client.describe_queue("orders").await.unwrap();
            if queue.waiting + queue.in_flight == messages - 1 && queue.waiting > 0 {
                return;
            }
        }
    };
    within("the return of unwritten messages", came_back).await;
    assert_served(&client).await;
}

#[tokio::test]
async fn after_unsubscribing_nothing_comes_and_what_came_can_be_acked() {
    let (server, client) = server(Default::default()).await;
    let mut raw = subscriber(&server, subscribe()).await;
    send(&client, "orders", &[b"one"]).await;
    let receipts = vec![pushed_all(&mut raw, 1).await.remove(0).receipt];
    raw.request(8, Unsubscribe { subscription: SUBSCRIPTION }).await;
    let Some((SUBSCRIPTION, Reply::Delivered(last))) = raw.reply().await else {
        panic!("the last")
    };
    assert!(last.last && last.messages.is_empty());
    assert!(matches!(raw.reply().await, Some((8, Reply::Unsubscribed(_)))));
    send(&client, "orders", &[b"two"]).await;
    let queue = described(&mut raw).await;
    assert_eq!((queue.waiting, queue.in_flight), (1, 1));
    raw.request(9, Ack { queue: "orders".to_owned(), receipts }).await;
    let Some((9, Reply::Acked(acked))) = raw.reply().await else { panic!("an answer") };
    assert_eq!(acked.failures, []);
    raw.request(10, Unsubscribe { subscription: SUBSCRIPTION }).await;
    assert_eq!(raw.error().await.1, ErrorCode::UnknownSubscription);
    raw.request(11, Credit { subscription: SUBSCRIPTION, credits: 1, credit_bytes: 1 }).await;
    assert_eq!(raw.error().await.1, ErrorCode::UnknownSubscription);
    // Its correlation is free again.
    begin(&mut raw, SUBSCRIPTION, subscribe()).await;
    assert_eq!(body(&pushed_all(&mut raw, 1).await[0]), "two");
}

#[tokio::test]
async fn a_deleted_queue_ends_its_subscriptions_and_its_name_is_another_queue() {
    let (server, client) = server(Default::default()).await;
    let mut raw = subscriber(&server, subscribe()).await;
    begin(&mut raw, 8, Subscribe { credits: 0, ..subscribe() }).await;
    client.delete_queue("orders").await.unwrap();
    client.create_queue("orders", Default::default()).await.unwrap();
    send(&client, "orders", &[b"of another queue"]).await;
    let (correlation, code, text) = raw.error().await;
    assert_eq!((correlation, code), (SUBSCRIPTION, ErrorCode::UnknownQueue));
    assert!(text.contains("\"orders\""), "{text}");
    // The one that did not wait learns of it when it would.
    raw.request(9, Credit { subscription: 8, credits: 1, credit_bytes: 0 }).await;
    assert!(matches!(raw.reply().await, Some((9, Reply::Credited(_)))));
    let (correlation, code, _) = raw.error().await;
    assert_eq!((correlation, code), (8, ErrorCode::UnknownQueue));
    assert_eq!(described(&mut raw).await.waiting, 1);
}

#[tokio::test]
async fn the_death_of_a_connection_releases_what_it_did_not_settle_if_asked_to() {
    let (server, client) = server(Default::default()).await;
    let request = Subscribe { release_on_close: true, ..subscribe() };
    let mut raw = subscriber(&server, request).await;
    let bodies: [&[u8]; 6] =
        [b"acked", b"changed", b"dropped", b"dropped too", b"given back", b"forwarded"];
    send(&client, "orders", &bodies).await;
    let messages = pushed_all(&mut raw, 6).await;
    let receipt = |index: usize| messages[index].receipt.clone();
    raw.request(8, Ack { queue: "orders".to_owned(), receipts: vec![receipt(0)] }).await;
    assert!(matches!(raw.reply().await, Some((8, Reply::Acked(_)))));
    let changes = vec![VisibilityChange { receipt: receipt(1), visibility_ms: 3_600_000 }];
    raw.request(9, ChangeVisibility { queue: "orders".to_owned(), changes }).await;
    assert!(matches!(raw.reply().await, Some((9, Reply::VisibilityChanged(_)))));
    let nack = Nack {
        queue: "orders".to_owned(),
        receipts: vec![receipt(4)],
        delay_ms: 3_600_000,
        uncounted: false,
        reason: String::new(),
    };
    raw.request(11, nack).await;
    assert!(matches!(raw.reply().await, Some((11, Reply::Nacked(_)))));
    let acks = vec![TransactAcks { queue: "orders".to_owned(), receipts: vec![receipt(5)] }];
    raw.request(12, Transact { acks, sends: Vec::new() }).await;
    assert!(matches!(raw.reply().await, Some((12, Reply::Transacted(_)))));
    // Unsubscribed or not.
    raw.request(10, Unsubscribe { subscription: SUBSCRIPTION }).await;
    assert!(matches!(raw.reply().await, Some((SUBSCRIPTION, Reply::Delivered(_)))));
    drop(raw);
    let mut released = Vec::new();
    while released.len() < 2 {
        released.extend(receive(&client, "orders", 10).await);
    }
    let found: Vec<_> = released.iter().map(|m| (body(m), m.receive_count)).collect();
    assert_eq!(found, [("dropped", 2), ("dropped too", 2)]);
    let queue = client.describe_queue("orders").await.unwrap();
    assert_eq!((queue.waiting, queue.in_flight), (0, 4), "what was changed stays as it was");
}

#[tokio::test]
async fn without_being_asked_the_death_of_a_connection_releases_nothing_that_was_pushed() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let (server, client) = server(limits).await;
    let mut raw = subscriber(&server, subscribe()).await;
    send(&client, "orders", &[b"one"]).await;
    pushed_all(&mut raw, 1).await;
    drop(raw);
    // Another is let in when the server has done with the first.
    let let_in = async {
        loop {
            let mut next = server.raw().await;
            let hello = crate::support::frame(1, forebay_protocol::Hello::new("x"));
            next.try_send(&hello).await;
            if let Some((1, Reply::Welcome(_))) = next.reply().await {
                return;
            }
        }
    };
    within("a welcome", let_in).await;
    let queue = client.describe_queue("orders").await.unwrap();
    assert_eq!((queue.waiting, queue.in_flight), (0, 1));
}

#[tokio::test]
async fn a_subscriber_that_died_takes_no_message_with_it() {
    let (server, client) = server(Default::default()).await;
    for round in 0..20 {
        drop(subscriber(&server, subscribe()).await);
        let text = format!("round {round}");
        send(&client, "orders", &[text.as_bytes()]).await;
        // The lease would last an hour: only a return brings the message here.
        let received = receive(&client, "orders", 1).await;
        assert_eq!(body(&received[0]), text);
        assert_eq!(client.ack("orders", &[received[0].receipt.clone()]).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_server_that_ends_says_so_to_each_subscription() {
    let (server, _client) = server(Default::default()).await;
    let mut raw = subscriber(&server, subscribe()).await;
    server.end();
    let (correlation, code, _) = raw.error().await;
    assert_eq!((correlation, code), (SUBSCRIPTION, ErrorCode::ShuttingDown));
    let (correlation, code, _) = raw.error().await;
    assert_eq!((correlation, code), (0, ErrorCode::ShuttingDown));
    raw.closed().await;
    drop(raw);
    server.stop().await;
}

#[tokio::test]
async fn wrong_numbers_are_refused_by_name_and_the_connection_goes_on() {
    let (server, _client) = server(Default::default()).await;
    let mut raw = server.greeted().await;
    for (request, named) in [
        (Subscribe { credits: 65_537, ..subscribe() }, "credits is 65537, expected 0 to 65536"),
        (Subscribe { credit_bytes: (1 << 30) + 1, ..subscribe() }, "credit-bytes is 1073741825"),
        (Subscribe { batch_max: 0, ..subscribe() }, "batch-max is 0, expected 1 to 4096"),
        (Subscribe { batch_max: 4097, ..subscribe() }, "batch-max is 4097"),
        (Subscribe { visibility_ms: Some(43_200_001), ..subscribe() }, "visibility is 12h1ms"),
    ] {
        raw.request(2, request).await;
        let (correlation, code, text) = raw.error().await;
        assert_eq!((correlation, code), (2, ErrorCode::OutOfRange));
        assert!(text.contains(named), "{text}");
    }
    raw.request(2, Subscribe { queue: "nowhere".to_owned(), ..subscribe() }).await;
    let (correlation, code, text) = raw.error().await;
    assert_eq!((correlation, code), (2, ErrorCode::UnknownQueue));
    assert!(text.contains("\"nowhere\""), "{text}");
    // A credit too many changes nothing.
    begin(&mut raw, SUBSCRIPTION, Subscribe { credits: 65_536, ..subscribe() }).await;
    for (credits, credit_bytes) in [(1, 0), (u32::MAX, 0), (0, 1), (0, u32::MAX)] {
        raw.request(3, Credit { subscription: SUBSCRIPTION, credits, credit_bytes }).await;
        assert_eq!(raw.error().await.1, ErrorCode::OutOfRange);
    }
    credit(&mut raw, 0, 0).await;
}

#[tokio::test]
async fn a_connection_has_no_more_subscriptions_than_it_may() {
    let (server, client) = server(Default::default()).await;
    let mut raw = server.greeted().await;
    for correlation in 2..18 {
        begin(&mut raw, correlation, Subscribe { batch_max: 4096, ..subscribe() }).await;
    }
    raw.request(18, subscribe()).await;
    let (correlation, code, text) = raw.error().await;
    assert_eq!((correlation, code), (18, ErrorCode::TooManySubscriptions));
    assert!(text.contains("65536"), "{text}");
    raw.request(19, Unsubscribe { subscription: 2 }).await;
    assert!(matches!(raw.reply().await, Some((2, Reply::Delivered(_)))));
    assert!(matches!(raw.reply().await, Some((19, Reply::Unsubscribed(_)))));
    begin(&mut raw, 18, subscribe()).await;
    // Under the correlation of one that stands nothing could be told apart.
    raw.request(18, subscribe()).await;
    let (correlation, code, _) = raw.error().await;
    assert_eq!((correlation, code), (0, ErrorCode::Malformed));
    raw.closed().await;
    assert_served(&client).await;
}

#[tokio::test]
async fn subscriptions_of_a_queue_are_served_in_turns() {
    let (server, client) = server(Default::default()).await;
    let one_by_one = Subscribe { batch_max: 1, ..subscribe() };
    let mut subscribers = Vec::new();
    for _ in 0..3 {
        let mut raw = subscriber(&server, one_by_one.clone()).await;
        // It stands in line when this is answered.
        described(&mut raw).await;
        subscribers.push(raw);
    }
    for number in 0..9 {
        send(&client, "orders", &[number.to_string().as_bytes()]).await;
        let served = pushed(&mut subscribers[number % 3], SUBSCRIPTION).await;
        assert_eq!(body(&served[0]), number.to_string());
    }
}

#[tokio::test]
async fn a_message_is_pushed_when_its_delay_passes_or_a_lease_on_it_ends() {
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let (server, client) = server(limits).await;
    send(&client, "orders", &[b"leased"]).await;
    let briefly = ReceiveOptions { visibility_ms: Some(300), ..ReceiveOptions::default() };
    client.receive("orders", briefly).await.unwrap();
    // It is quiet for far longer than the idle timeout.
    let mut raw = subscriber(&server, subscribe()).await;
    let message = pushed_all(&mut raw, 1).await.remove(0);
    assert_eq!((body(&message), message.receive_count), ("leased", 2));
    let delayed = OutgoingMessage::new("delayed").delayed(Duration::from_millis(200));
    client.send("orders", vec![delayed]).await.unwrap();
    assert_eq!(body(&pushed_all(&mut raw, 1).await[0]), "delayed");
    send(&client, "orders", &[b"released"]).await;
    let pushed = pushed_all(&mut raw, 1).await.remove(0);
    client.end_leases("orders", &[pushed.receipt]).await.unwrap();
    let again = pushed_all(&mut raw, 1).await.remove(0);
    assert_eq!((body(&again), again.receive_count), ("released", 2));
    raw.request(8, Unsubscribe { subscription: SUBSCRIPTION }).await;
    raw.reply().await;
    raw.reply().await;
    assert_eq!(raw.error().await.1, ErrorCode::IdleTimeout, "without a subscription it is idle");
}

#[tokio::test]
async fn many_subscribers_get_every_message_and_none_twice() {
    let (server, client) = server(Default::default()).await;
    let messages = 3000;
    let (found, mut all) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..3 {
        let (client, found) = (server.client().await, found.clone());
        tokio::spawn(async move {
            let options = SubscribeOptions {
                window_messages: 50,
                batch_max: 20,
                ..SubscribeOptions::default()
            };
            let mut subscription = client.subscribe("orders", options).await.unwrap();
            while let Some(delivery) = subscription.next().await {
                let messages = delivery.unwrap().messages;
                let receipts: Vec<_> = messages.iter().map(|m| m.receipt.clone()).collect();
                let pending = client.begin_ack("orders", receipts).await.unwrap();
                assert_eq!(pending.failures().await.unwrap(), []);
                for message in messages {
                    found.send((message.seq, message.receive_count)).unwrap();
                }
            }
        });
    }
    for batch in 0..messages / 100 {
        let bodies: Vec<_> = (0..100).map(|n| format!("{batch} {n}")).collect();
        let bodies: Vec<_> = bodies.iter().map(|text| text.as_bytes()).collect();
        send(&client, "orders", &bodies).await;
    }
    let mut seqs = BTreeSet::new();
    while seqs.len() < messages {
        let (seq, count) = within("a message", all.recv()).await.unwrap();
        assert_eq!(count, 1);
        assert!(seqs.insert(seq), "{seq} came twice");
    }
    let queue = client.describe_queue("orders").await.unwrap();
    assert_eq!((queue.waiting, queue.in_flight), (0, 0));
}
