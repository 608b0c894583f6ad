//! Without these, a request that asks for something wrong could get an answer that does not say
//! what was wrong, or do half of what it asked.

use bytes::Bytes;
use forebay_protocol::client::ReceiveOptions;
use forebay_protocol::{
    Ack, Block, ErrorCode, ListQueues, OutgoingMessage, QueueAttributes, Receipt, Receive, Reply,
    Send, VisibilityChange,
};

use crate::support::{Server, assert_served, receive, refusal, send};

#[tokio::test]
async fn an_unknown_queue_is_named_whatever_was_asked_of_it() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    let message = vec![OutgoingMessage::new("x")];
    let receipt = Receipt::new(vec![0; 28]).unwrap();
    let refusals = [
        refusal(client.send("nowhere", message).await),
        refusal(client.receive("nowhere", ReceiveOptions::default()).await),
        refusal(client.ack("nowhere", &[receipt]).await),
        refusal(client.peek("nowhere", Default::default()).await),
        refusal(client.describe_queue("nowhere").await),
        refusal(client.alter_queue("nowhere", QueueAttributes::default()).await),
        refusal(client.purge_queue("nowhere").await),
        refusal(client.delete_queue("nowhere").await),
    ];
    for (code, text) in refusals {
        assert_eq!(code, ErrorCode::UnknownQueue);
        assert!(text.contains("\"nowhere\""), "{text}");
    }
    assert_served(&client).await;
}

#[tokio::test]
async fn a_bad_queue_name_is_refused_with_the_rule_it_breaks() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    for name in ["", "a b", "a/b", "ü", "../../etc", &"x".repeat(81)] {
        let (code, text) = refusal(client.create_queue(name, Default::default()).await);
        assert_eq!(code, ErrorCode::BadQueueName, "{name:?}");
        assert!(text.contains("1 to 80 characters"), "{text}");
    }
    assert_served(&client).await;
}

#[tokio::test]
async fn an_attribute_out_of_range_is_refused_with_the_range() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    let attributes =
        QueueAttributes { message_bytes_max: Some(1 << 40), ..QueueAttributes::default() };
    let (code, text) = refusal(client.create_queue("orders", attributes).await);
    assert_eq!(code, ErrorCode::OutOfRange);
    assert!(text.contains("message-bytes-max is 1TiB, expected 1KiB to"), "{text}");
    assert_served(&client).await;
}

#[tokio::test]
async fn a_queue_that_exists_with_other_attributes_is_not_taken_for_the_one_asked_for() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    assert!(client.create_queue("orders", Default::default()).await.unwrap().created);
    assert!(!client.create_queue("orders", Default::default()).await.unwrap().created);
    let other = QueueAttributes { delay_ms: Some(7), ..QueueAttributes::default() };
    let (code, text) = refusal(client.create_queue("orders", other).await);
    assert_eq!(code, ErrorCode::QueueExists);
    assert!(text.contains("delay 0s, not 7ms"), "{text}");
}

#[tokio::test]
async fn an_oversized_message_refuses_its_batch_and_is_named_by_its_index() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    let small = QueueAttributes { message_bytes_max: Some(1024), ..QueueAttributes::default() };
    client.create_queue("small", small).await.unwrap();
    let batch = vec![OutgoingMessage::new(vec![0; 1024]), OutgoingMessage::new(vec![0; 1025])];
    let (code, text) = refusal(client.send("small", batch).await);
    assert_eq!(code, ErrorCode::MessageTooLarge);
    assert!(text.contains("message 1 of the batch has 1025 bytes"), "{text}");
    assert_eq!(client.describe_queue("small").await.unwrap().next_seq, 1, "nothing was stored");
    assert_served(&client).await;
}

#[tokio::test]
async fn an_oversized_batch_is_refused_whole() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    // More messages than a batch may have.
    let many = (0..4097).map(|_| OutgoingMessage::new("")).collect();
    let (code, text) = refusal(client.send("orders", many).await);
    assert_eq!(code, ErrorCode::BatchTooLarge);
    assert!(text.contains("4097"), "{text}");
    // More items than a list may have.
    let too_many = vec![Receipt::new(vec![0; 28]).unwrap(); 65_537];
    assert!(client.ack("orders", &too_many).await.is_err());
    // More bytes than the log takes at once, with the small segments of these tests.
    let large = (0..3).map(|_| OutgoingMessage::new(vec![0; 300 << 10])).collect();
    let (code, _) = refusal(client.send("orders", large).await);
    assert_eq!(code, ErrorCode::BatchTooLarge);
    let (code, _) = refusal(client.send("orders", Vec::new()).await);
    assert_eq!(code, ErrorCode::EmptyBatch);
    assert_eq!(client.describe_queue("orders").await.unwrap().next_seq, 1, "nothing was stored");
    assert_served(&client).await;
}

#[tokio::test]
async fn a_message_that_does_not_match_its_checksum_is_never_stored() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let sound = Block::new("sound");
    let damaged = Block::from_parts(sound.crc(), Bytes::new(), Bytes::from("Sound"));
    let messages = [sound, damaged].map(|block| OutgoingMessage { delay_ms: None, block });
    let mut raw = server.greeted().await;
    raw.request(2, Send::new("orders".to_owned(), messages.to_vec())).await;
    let (correlation, code, text) = raw.error().await;
    assert_eq!((correlation, code), (2, ErrorCode::ChecksumMismatch));
    assert!(text.contains("message 1 of the batch"), "{text}");
    assert_eq!(client.describe_queue("orders").await.unwrap().next_seq, 1, "nothing was stored");
    assert_served(&client).await;
}

#[tokio::test]
async fn a_stale_receipt_does_not_delete_what_another_consumer_holds() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    send(&client, "orders", &[b"one"]).await;
    let at_once = ReceiveOptions { visibility_ms: Some(0), ..ReceiveOptions::default() };
    let first = client.receive("orders", at_once).await.unwrap().messages.remove(0);
    let second = receive(&client, "orders", 1).await.remove(0);
    assert_eq!((second.seq, second.receive_count), (first.seq, 2));
    let failures = client.ack("orders", std::slice::from_ref(&first.receipt)).await.unwrap();
    assert_eq!(failures[0].code, ErrorCode::ReceiptStale);
    let change = VisibilityChange { receipt: first.receipt, visibility_ms: 0 };
    let failures = client.change_visibility("orders", vec![change]).await.unwrap();
    assert_eq!(failures[0].code, ErrorCode::ReceiptStale);
    assert_eq!(client.describe_queue("orders").await.unwrap().in_flight, 1);
    assert_eq!(client.ack("orders", &[second.receipt]).await.unwrap(), []);
}

#[tokio::test]
async fn a_forged_or_foreign_receipt_fails_alone_and_deletes_nothing() {
    let server = Server::start(Default::default()).await;
    let other_store = Server::start(Default::default()).await;
    let (client, stranger) = (server.client().await, other_store.client().await);
    for (client, queue) in [(&client, "orders"), (&client, "other"), (&stranger, "orders")] {
        client.create_queue(queue, Default::default()).await.unwrap();
        send(client, queue, &[b"one"]).await;
    }
    let good = receive(&client, "orders", 1).await.remove(0).receipt;
    let of_other_queue = receive(&client, "other", 1).await.remove(0).receipt;
    let of_other_store = receive(&stranger, "orders", 1).await.remove(0).receipt;
    let mut forged = good.as_bytes().to_vec();
    forged[4] ^= 1;
    let longer = [good.as_bytes(), b"!"].concat();
    let bad = [
        Receipt::new(forged).unwrap(),
        of_other_queue,
        of_other_store,
        Receipt::new(longer).unwrap(),
        Receipt::new(Vec::new()).unwrap(),
    ];
    let failures = client.ack("orders", &bad).await.unwrap();
    let found: Vec<_> = failures.iter().map(|failure| (failure.index, failure.code)).collect();
    let expected: Vec<_> = (0..5).map(|index| (index, ErrorCode::ReceiptInvalid)).collect();
    assert_eq!(found, expected);
    let [forged, ..] = bad;
    let failures = client.ack("orders", &[forged, good]).await.unwrap();
    assert_eq!(failures.len(), 1, "the good one beside the bad one is acked: {failures:?}");
    assert_eq!(client.describe_queue("orders").await.unwrap().in_flight, 0);
    assert_eq!(client.describe_queue("other").await.unwrap().in_flight, 1);
}

#[tokio::test]
async fn numbers_out_of_range_are_refused_by_name_and_the_connection_goes_on() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let mut raw = server.greeted().await;
    let receive = |max, wait_ms, visibility_ms| Receive {
        queue: "orders".to_owned(),
        max,
        wait_ms,
        visibility_ms,
        bytes_max: 0,
        attempt: String::new(),
    };
    for request in [
        receive(0, None, None),
        receive(4097, None, None),
        receive(1, Some(20_001), None),
        receive(1, None, Some(u64::MAX - 1)),
    ] {
        raw.request(2, request.clone()).await;
        let (correlation, code, _) = raw.error().await;
        assert_eq!((correlation, code), (2, ErrorCode::OutOfRange), "{request:?}");
    }
    raw.request(3, ListQueues { prefix: String::new(), after: String::new(), max: 0 }).await;
    assert_eq!(raw.error().await.1, ErrorCode::OutOfRange);
    raw.request(4, Ack { queue: "orders".to_owned(), receipts: Vec::new() }).await;
    assert_eq!(raw.error().await.1, ErrorCode::EmptyBatch);
    raw.request(5, receive(1, Some(0), None)).await;
    assert!(matches!(raw.reply().await, Some((5, Reply::Received(_)))));
}
