//! Without these, an attribute could get lost on the way between a client and the log, or one that
//! means nothing be taken for another.

use forebay_protocol::{ErrorCode, QueueAttributes, TextMap};

use crate::support::{Server, assert_served, refusal};

fn map(pairs: &[(&str, &str)]) -> Option<TextMap> {
    Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

fn fifo() -> QueueAttributes {
    QueueAttributes { fifo: Some(1), ..QueueAttributes::default() }
}

/// Every attribute at its largest, texts as long as they may be.
fn largest(dead_letter_queue: &str) -> QueueAttributes {
    let mut all = QueueAttributes {
        dead_letter_queue: Some(dead_letter_queue.to_owned()),
        redrive_sources: Some((0..10).map(|n| format!("{}{n}.fifo", "s".repeat(74))).collect()),
        tags: Some((10..52).map(|n| (n.to_string(), "\u{4e2d}".repeat(256))).collect()),
        notes: Some([("policy".to_owned(), "x".repeat(24 * 1024 - 10))].into()),
        ..QueueAttributes::default()
    };
    for row in QueueAttributes::TABLE {
        *all.by_id(row.id).unwrap() = Some(row.max);
    }
    all
}

#[tokio::test]
async fn every_attribute_comes_back_as_it_was_given() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("dead.fifo", fifo()).await.unwrap();
    let given = largest("dead.fifo");
    let name = format!("{}.fifo", "a".repeat(75));
    client.create_queue(&name, given.clone()).await.unwrap();
    assert_eq!(client.describe_queue(&name).await.unwrap().attributes, given);
    assert!(!client.create_queue(&name, given.clone()).await.unwrap().created);
    client.create_queue("plain", QueueAttributes::default()).await.unwrap();
    let plain = client.describe_queue("plain").await.unwrap().attributes;
    assert_eq!(plain, QueueAttributes::defaults());
    let listed = client.list_queues("", "", 10).await.unwrap();
    assert_eq!(listed.queues[0].attributes, given);
    let defaults = QueueAttributes { fifo: None, ..QueueAttributes::defaults() };
    client.alter_queue(&name, defaults).await.unwrap();
    let expected = QueueAttributes { fifo: Some(1), ..QueueAttributes::defaults() };
    assert_eq!(client.describe_queue(&name).await.unwrap().attributes, expected);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_the_rule() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("jobs", QueueAttributes::default()).await.unwrap();
    let none = QueueAttributes::default;
    for (attributes, code, expected) in [
        (
            QueueAttributes { durability: Some(2), ..none() },
            ErrorCode::OutOfRange,
            "durability is 2, expected 0 to 1",
        ),
        (
            QueueAttributes { retention_ms: Some(59_999), ..none() },
            ErrorCode::OutOfRange,
            "retention is 59s999ms, expected 1m to 36500d",
        ),
        (
            QueueAttributes { receive_count_max: Some(3), ..none() },
            ErrorCode::AttributeInvalid,
            "receive-count-max is 3, expected 0 without a dead-letter-queue",
        ),
        (
            QueueAttributes { tags: map(&[("aws:team", "water")]), ..none() },
            ErrorCode::AttributeInvalid,
            "the key of a tag is \"aws:team\", expected one that does not begin with aws:",
        ),
        (
            QueueAttributes {
                notes: Some([("n".to_owned(), "x".repeat(30_000))].into()),
                ..none()
            },
            ErrorCode::AttributeInvalid,
            "notes is 30005 bytes, expected at most 24576",
        ),
    ] {
        for refused in [
            refusal(client.alter_queue("jobs", attributes.clone()).await),
            refusal(client.create_queue("new", attributes).await),
        ] {
            assert_eq!(refused, (code, expected.to_owned()));
        }
    }
    let (code, text) = refusal(client.create_queue("jobs", fifo()).await);
    assert_eq!(code, ErrorCode::QueueExists);
    assert!(text.contains("fifo false, not true"), "{text}");
    let (code, _) = refusal(client.create_queue("new", fifo()).await);
    assert_eq!(code, ErrorCode::BadQueueName);
    assert_served(&client).await;
}

#[tokio::test]
async fn tags_are_added_and_taken_away() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("jobs", QueueAttributes::default()).await.unwrap();
    client.tag_queue("jobs", map(&[("a", "1"), ("b", "2")]).unwrap()).await.unwrap();
    client.tag_queue("jobs", map(&[("b", "3")]).unwrap()).await.unwrap();
    client.untag_queue("jobs", vec!["a".to_owned(), "c".to_owned()]).await.unwrap();
    let tags = client.describe_queue("jobs").await.unwrap().attributes.tags;
    assert_eq!(tags, map(&[("b", "3")]));
    let (code, _) = refusal(client.tag_queue("jobs", map(&[("", "")]).unwrap()).await);
    assert_eq!(code, ErrorCode::AttributeInvalid);
    for refused in [
        refusal(client.tag_queue("nowhere", TextMap::new()).await),
        refusal(client.untag_queue("nowhere", Vec::new()).await),
        refusal(client.list_dead_letter_sources("nowhere", "", 1).await),
    ] {
        assert_eq!(refused.0, ErrorCode::UnknownQueue);
    }
}

#[tokio::test]
async fn the_sources_of_dead_letters_are_listed_a_page_at_a_time() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    client.create_queue("dead", QueueAttributes::default()).await.unwrap();
    for name in ["c", "a", "b"] {
        let attributes = QueueAttributes {
            dead_letter_queue: Some("dead".to_owned()),
            receive_count_max: Some(1),
            ..QueueAttributes::default()
        };
        client.create_queue(name, attributes).await.unwrap();
    }
    let page = client.list_dead_letter_sources("dead", "", 2).await.unwrap();
    assert_eq!((page.names.join(""), page.more), ("ab".to_owned(), true));
    let page = client.list_dead_letter_sources("dead", "b", 2).await.unwrap();
    assert_eq!((page.names.join(""), page.more), ("c".to_owned(), false));
    let (code, _) = refusal(client.list_dead_letter_sources("dead", "", 0).await);
    assert_eq!(code, ErrorCode::OutOfRange);
}

/// A thousand queues with the longest texts are more than any frame.
#[tokio::test]
async fn a_list_of_long_attributes_is_never_longer_than_a_frame() {
    let server = Server::start(Default::default()).await;
    let client = server.client().await;
    let notes = Some(TextMap::from([("n".to_owned(), "x".repeat(24 * 1024 - 5))]));
    let attributes = QueueAttributes { notes, ..QueueAttributes::default() };
    for number in 0..50 {
        client.create_queue(&format!("queue-{number:02}"), attributes.clone()).await.unwrap();
    }
    let page = client.list_queues("", "", 1000).await.unwrap();
    assert!(page.more && page.queues.len() < 50, "{} queues", page.queues.len());
    let after = page.queues.last().unwrap().name.clone();
    let rest = client.list_queues("", &after, 1000).await.unwrap();
    assert_eq!((page.queues.len() + rest.queues.len(), rest.more), (50, false));
}
