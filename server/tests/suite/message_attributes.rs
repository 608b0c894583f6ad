//! Without these, what a producer says of its message could be lost, changed or made up on the way to
//! the consumer, or something be stored that no SQS client could be given.

use std::sync::Arc;

use bytes::Bytes;
use forebay_engine::disk::RealDisk;
use forebay_protocol::client::{Producer, ProducerOptions, ReceiveOptions};
use forebay_protocol::{
    Block, ErrorCode, MessageAttribute, MessageAttributes, OutgoingMessage, QueueAttributes, Send,
};
use tempfile::TempDir;

use crate::support::{Server, assert_served, receive, refusal};

fn all_kinds() -> MessageAttributes {
    MessageAttributes {
        group: Some("customer-7".to_owned()),
        deduplication: Some("order/1".to_owned()),
        trace: Some("Root=1-5759e988-bd862e3fe1be46a994272793".to_owned()),
        attributes: vec![
            MessageAttribute::string("colour", "grün"),
            MessageAttribute::number("pieces", -12.5),
            MessageAttribute::binary("picture", &b"\0\xff\n"[..]),
            MessageAttribute::new("size", "Number.int", "5"),
        ],
    }
}

fn fifo() -> QueueAttributes {
    QueueAttributes { fifo: Some(1), ..QueueAttributes::default() }
}

#[tokio::test]
async fn what_travels_with_a_message_arrives_as_it_was_sent_also_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let server = Server::start_on(Arc::new(RealDisk), dir.path(), Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders.fifo", fifo()).await.unwrap();
    let message = OutgoingMessage::new("one").with_attributes(&all_kinds());
    let plain = MessageAttributes {
        group: Some("g".to_owned()),
        deduplication: Some("d".to_owned()),
        ..MessageAttributes::default()
    };
    let sent = message.block.clone();
    let messages = vec![message, OutgoingMessage::new("two").with_attributes(&plain)];
    client.send("orders.fifo", messages).await.unwrap();
    let peeked = client.peek("orders.fifo", Default::default()).await.unwrap().messages;
    assert_eq!(peeked[0].attributes(), Ok(all_kinds()));
    drop(client);
    server.stop().await;

    let server = Server::start_on(Arc::new(RealDisk), dir.path(), Default::default()).await;
    let client = server.client().await;
    let received = receive(&client, "orders.fifo", 10).await;
    assert_eq!(received[0].block, sent, "the same bytes, checksum included");
    assert_eq!(received[0].attributes(), Ok(all_kinds()));
    assert_eq!(received[0].block.body().as_ref(), b"one");
    assert_eq!(received[1].attributes(), Ok(plain));
    assert_eq!(received[1].block.body().as_ref(), b"two");
}

#[tokio::test]
async fn a_producer_sends_attributes_too() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let mut producer = Producer::new(client.clone(), "orders", ProducerOptions::default());
    for number in 0..100 {
        let message = OutgoingMessage::new("").attribute(MessageAttribute::number("n", number));
        producer.push(message.group(format!("g{}", number % 3))).await.unwrap();
    }
    producer.flush().await.unwrap();
    let mut received = Vec::new();
    while received.len() < 100 {
        received.extend(receive(&client, "orders", 100).await);
    }
    for (number, message) in received.iter().enumerate() {
        let attributes = message.attributes().unwrap();
        assert_eq!(attributes.group, Some(format!("g{}", number % 3)));
        assert_eq!(attributes.attributes, [MessageAttribute::number("n", number)]);
    }
}

#[tokio::test]
async fn what_breaks_a_rule_refuses_its_batch_and_is_named_with_its_index() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let of = |attribute| OutgoingMessage::new("x").attribute(attribute);
    let eleven = (0..11).fold(OutgoingMessage::new("x"), |message, number| {
        message.attribute(MessageAttribute::number(format!("n{number}"), number))
    });
    for (bad, rule) in [
        (OutgoingMessage::new("x").group("two words"), "group id \"two words\", expected 1 to 128"),
        (OutgoingMessage::new("x").deduplication(""), "deduplication id \"\", expected 1 to 128"),
        (OutgoingMessage::new("x").trace("x".repeat(1025)), "text of 1 to 1024 bytes"),
        (of(MessageAttribute::string("AWS.x", "v")), "message attribute \"AWS.x\": names that"),
        (of(MessageAttribute::new("a", "Text", "v")), "expected String, Number or Binary"),
        (of(MessageAttribute::number("a", "five")), "number \"five\": expected a decimal number"),
        (of(MessageAttribute::string("a", "")), "message attribute \"a\": the value is empty"),
        (of(MessageAttribute::string("a", "\0")), "message attribute \"a\": the value has '\\0'"),
        (eleven, "more than 10 message attributes"),
    ] {
        let (code, text) =
            refusal(client.send("orders", vec![OutgoingMessage::new("good"), bad]).await);
        assert_eq!(code, ErrorCode::BadMessageAttribute, "{text}");
        assert!(text.starts_with("message 1 of the batch: ") && text.contains(rule), "{text}");
    }
    assert_eq!(client.describe_queue("orders").await.unwrap().next_seq, 1, "nothing was stored");
    assert_served(&client).await;
}

#[tokio::test]
async fn attributes_that_cannot_be_read_or_are_of_a_later_version_are_refused_and_not_stored() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let mut raw = server.greeted().await;
    for (correlation, section, what) in [
        (2, &b"\x01\xff\xff\xff\xffg"[..], "expected at least 4294967295 bytes, found 1"),
        (3, b"\x02\x01\0\0\0d\x01\x01\0\0\0g", "kind 1 follows kind 2"),
        (4, b"\x09\0\0\0\0", "kind 9 is not known"),
        (5, b"junk", "expected at least 4 bytes, found 3"),
    ] {
        // A block with a right checksum over a wrong section.
        let payload = Bytes::from([section, b"body"].concat());
        let crc = forebay_engine::checksum::message(section.len() as u32, &payload);
        let block = Block::from_payload(crc, section.len(), payload);
        let messages = vec![OutgoingMessage { delay_ms: None, block }];
        raw.request(correlation, Send::new("orders".to_owned(), messages)).await;
        let (answered, code, text) = raw.error().await;
        assert_eq!((answered, code), (correlation, ErrorCode::Malformed), "{text}");
        assert!(text.starts_with("message 0 of the batch: attributes: [") && text.contains(what));
    }
    // Damage is damage, whatever became of the attributes.
    let sound = OutgoingMessage::new("body").group("g").block;
    let section = Bytes::from_static(b"\x01\x02\0\0\0g");
    let block = Block::from_parts(sound.crc(), section, sound.body().clone());
    let messages = vec![OutgoingMessage { delay_ms: None, block }];
    raw.request(6, Send::new("orders".to_owned(), messages)).await;
    assert_eq!(raw.error().await.1, ErrorCode::ChecksumMismatch);
    assert_eq!(client.describe_queue("orders").await.unwrap().next_seq, 1, "nothing was stored");
    assert_served(&client).await;
}

#[tokio::test]
async fn attributes_count_for_the_size_of_a_message_and_ids_do_not() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    let small = QueueAttributes { message_bytes_max: Some(1024), ..QueueAttributes::default() };
    client.create_queue("small", small).await.unwrap();
    let message = |body_bytes: usize| {
        let ids = OutgoingMessage::new(vec![0; body_bytes]).group("g".repeat(128));
        ids.trace("t".repeat(1024)).attribute(MessageAttribute::string("name", "value"))
    };
    // Name, type and value: 15 bytes.
    client.send("small", vec![message(1024 - 15)]).await.unwrap();
    let (code, text) = refusal(client.send("small", vec![message(1024 - 14)]).await);
    assert_eq!(code, ErrorCode::MessageTooLarge);
    assert!(text.contains("message 0 of the batch has 1025 bytes"), "{text}");
}

#[tokio::test]
async fn the_largest_message_that_the_limits_allow_travels_with_all_its_attributes() {
    let dir = TempDir::new().unwrap();
    let options =
        forebay_engine::Options { segment_bytes: 40 << 20, ..forebay_engine::Options::default() };
    let data = dir.path().to_owned();
    let server = Server::start_with(Arc::new(RealDisk), data, options, Default::default()).await;
    let client = server.client().await;
    let message_bytes_max = Some(16 << 20);
    let large = QueueAttributes { message_bytes_max, ..fifo() };
    client.create_queue("large.fifo", large).await.unwrap();
    let attributes = all_kinds();
    let body = vec![7; (16 << 20) - attributes.counted_bytes()];
    let message = OutgoingMessage::new(body).with_attributes(&attributes);
    let sent = message.block.clone();
    client.send("large.fifo", vec![message]).await.unwrap();
    let received = client.receive("large.fifo", ReceiveOptions::default()).await.unwrap().messages;
    assert!(received[0].block == sent, "the block is another");
}
