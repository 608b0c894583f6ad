//! Without these, a message could arrive late, under a wrong name, or not at all because the
//! connection it was leased to has died.

use bytes::BytesMut;
use forebay::Limits;
use forebay_protocol::client::ReceiveOptions;
use forebay_protocol::{
    DescribeQueue, MessageId, MessageState, OutgoingMessage, Ping, Receive, Reply,
};

use crate::support::{Server, frame, receive, send, within};

fn waiting_receive(queue: &str) -> Receive {
    Receive {
        queue: queue.to_owned(),
        max: 10,
        wait_ms: Some(20_000),
        visibility_ms: Some(3_600_000),
        bytes_max: 0,
        attempt: String::new(),
    }
}

#[tokio::test]
async fn a_waiting_receive_gets_the_next_message_and_holds_up_nothing_behind_it() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let mut raw = server.greeted().await;
    raw.request(2, waiting_receive("orders")).await;
    raw.request(3, Ping {}).await;
    assert!(matches!(raw.reply().await, Some((3, Reply::Pong(_)))), "answered out of order");
    send(&client, "orders", &[b"one"]).await;
    let Some((2, Reply::Received(received))) = raw.reply().await else { panic!("a message") };
    assert_eq!(received.messages[0].block.body().as_ref(), b"one");
}

#[tokio::test]
async fn a_message_keeps_its_bytes_id_and_counts() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let bodies: [&[u8]; 3] = [b"", b"\xff\x00\n\r", "grüße".as_bytes()];
    let sent = client
        .send("orders", bodies.iter().map(|body| OutgoingMessage::new(body.to_vec())).collect())
        .await
        .unwrap();
    let received = receive(&client, "orders", 10).await;
    let found: Vec<_> = received.iter().map(|message| message.block.body().as_ref()).collect();
    assert_eq!(found, bodies);
    for (message, seq) in received.iter().zip(sent.first_seq..) {
        assert_eq!((message.seq, message.receive_count), (seq, 1));
        let id = MessageId::new(client.store_id(), sent.queue_id, message.seq);
        assert!(id.is_of(server.engine().store_id().0));
        assert_eq!((id.queue_id(), id.seq()), (sent.queue_id, seq));
        assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
    }
}

#[tokio::test]
async fn peek_shows_every_state_and_changes_none() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    send(&client, "orders", &[b"in flight", b"waiting"]).await;
    let delayed = OutgoingMessage::new("delayed").delayed(std::time::Duration::from_secs(3600));
    client.send("orders", vec![delayed]).await.unwrap();
    receive(&client, "orders", 1).await;
    let page = client.peek("orders", Default::default()).await.unwrap();
    let states: Vec<_> = page.messages.iter().map(|message| message.state).collect();
    assert_eq!(states, [MessageState::InFlight, MessageState::Waiting, MessageState::Delayed]);
    assert_eq!(page.next_seq, 0);
    let queue = client.describe_queue("orders").await.unwrap();
    assert_eq!((queue.in_flight, queue.waiting, queue.delayed), (1, 1, 1));
}

#[tokio::test]
async fn a_receive_of_a_dead_connection_takes_no_message_with_it() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    for round in 0..20 {
        let mut dying = server.greeted().await;
        dying.request(2, waiting_receive("orders")).await;
        // The answer to this shows that the receive was taken before the connection dies.
        dying.request(3, Ping {}).await;
        dying.reply().await;
        drop(dying);
        let body = format!("round {round}");
        send(&client, "orders", &[body.as_bytes()]).await;
        // The lease would last an hour: only a return brings the message here.
        let received = receive(&client, "orders", 10).await;
        assert_eq!(received[0].block.body().as_ref(), body.as_bytes());
        assert_eq!(client.ack("orders", &[received[0].receipt.clone()]).await.unwrap(), []);
    }
}

#[tokio::test]
async fn messages_larger_than_a_frame_together_arrive_in_several_answers() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let body = vec![1; 400 << 10];
    for _ in 0..60 {
        send(&client, "orders", &[&body]).await;
    }
    let mut received = 0;
    while received < 60 {
        // Beyond the tail's memory some come from the disk.
        let messages = receive(&client, "orders", 4096).await;
        assert!(messages.iter().all(|message| message.block.body() == &body));
        received += messages.len();
    }
    let empty = client.receive("orders", ReceiveOptions::default()).await.unwrap();
    assert_eq!(empty.messages, []);
}

#[tokio::test]
async fn a_thousand_pipelined_requests_are_each_answered_once() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let mut raw = server.greeted().await;
    for correlation in 2..3002 {
        let messages = vec![OutgoingMessage::new(correlation.to_string())];
        raw.request(correlation, forebay_protocol::Send::new("orders".to_owned(), messages)).await;
    }
    let mut answered: Vec<u32> = Vec::new();
    let all = async {
        while answered.len() < 3000 {
            let (correlation, reply) = raw.reply().await.unwrap();
            assert!(matches!(reply, Reply::Sent(_)), "{reply:?}");
            answered.push(correlation);
        }
    };
    within("3000 answers", all).await;
    answered.sort_unstable();
    assert_eq!(answered, (2..3002).collect::<Vec<_>>());
}

#[tokio::test]
async fn requests_beyond_every_bound_of_a_connection_are_served_when_there_is_room_again() {
    let limits = Limits {
        unwritten_bytes_max: 100,
        connection_requests_max: 3,
        connection_bytes_max: 1,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let mut raw = server.greeted().await;
    // In one write, so that no later byte wakes the server.
    let mut requests = BytesMut::new();
    for correlation in (2..1002).step_by(2) {
        requests.extend(frame(correlation, Ping {}));
        requests.extend(frame(correlation + 1, DescribeQueue { name: "orders".to_owned() }));
    }
    raw.send(&requests).await;
    let mut answered: Vec<u32> = Vec::new();
    while answered.len() < 1000 {
        answered.push(raw.reply().await.unwrap().0);
    }
    answered.sort_unstable();
    assert_eq!(answered, (2..1002).collect::<Vec<_>>());
}
