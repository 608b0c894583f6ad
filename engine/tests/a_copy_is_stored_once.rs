//! Without this: a sender that repeats what it is not sure of would have it worked on twice.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use common::in_group;
use forebay_engine::RequestError;
use forebay_engine::attributes::{AttributeChanges, DeduplicationScope};
use forebay_engine::command::{Command, Deduplication, Reply};
use forebay_engine::ids::DeduplicationKey;

const QUEUE: &str = "line.fifo";
const WINDOW_MS: u64 = 300_000;

fn client() -> Client {
    let mut client = Client::new();
    client.create_fifo(QUEUE);
    client
}

fn send(client: &mut Client, group: &str, id: u64) -> u64 {
    client.send_in_groups(QUEUE, &[(group, Some(id), "body")])[0]
}

#[test]
fn a_copy_is_the_message_that_was_sent_before() {
    let mut client = client();
    assert_eq!(send(&mut client, "a", 7), 1);
    assert_eq!(send(&mut client, "a", 7), 1);
    assert_eq!(send(&mut client, "b", 7), 1, "whatever its group");
    assert_eq!(send(&mut client, "a", 8), 2);
    assert_eq!(client.counts(QUEUE), [2, 0, 0, 0]);
}

#[test]
fn copies_within_a_batch_are_found_too() {
    let mut client = client();
    let batch =
        [("a", Some(1), "x"), ("a", Some(2), "y"), ("a", Some(1), "x"), ("a", Some(3), "z")];
    assert_eq!(client.send_in_groups(QUEUE, &batch), [1, 2, 1, 3]);
    assert_eq!(client.counts(QUEUE), [3, 0, 0, 0]);
}

#[test]
fn also_when_the_message_was_received_and_deleted() {
    let mut client = client();
    send(&mut client, "a", 7);
    let receipt = client.receive_one(QUEUE, 60_000).receipt;
    client.ack(QUEUE, receipt).unwrap();
    assert_eq!(send(&mut client, "a", 7), 1);
    assert_eq!(client.counts(QUEUE), [0, 0, 0, 0]);
}

#[test]
fn for_as_long_as_the_window_is_and_no_longer() {
    let mut client = client();
    send(&mut client, "a", 7);
    client.advance(WINDOW_MS);
    assert_eq!(send(&mut client, "a", 7), 1);
    client.advance(1);
    assert_eq!(send(&mut client, "a", 7), 2);
    let longer =
        AttributeChanges { deduplication_window_ms: Some(WINDOW_MS * 3), ..Default::default() };
    let alter = Command::AlterQueue { name: QUEUE.to_owned(), attributes: longer.into() };
    client.ask(alter).unwrap();
    client.advance(WINDOW_MS * 3);
    assert_eq!(send(&mut client, "a", 7), 2);
}

/// Over restarts, whatever of the snapshots and indexes is lost, and after compactions.
#[test]
fn over_restarts_and_compactions() {
    for lost in [0, u64::MAX] {
        let mut client = client();
        let body = "x".repeat(400);
        for id in 0..200 {
            client.send_in_groups(QUEUE, &[("a", Some(id), &body)]);
            let receipt = client.receive_one(QUEUE, 60_000).receipt;
            client.ack(QUEUE, receipt).unwrap();
        }
        client.keep_all();
        assert!(client.stats().disk.compactions > 0);
        client.close();
        common::lose_derived(&client.disk, lost);
        client.open().unwrap();
        let sent: Vec<u64> = (0..200).map(|id| send(&mut client, "a", id)).collect();
        assert_eq!(sent, (1..=200).collect::<Vec<_>>(), "{lost:x}");
        assert_eq!(send(&mut client, "a", 200), 201);
    }
}

/// The window at that time is what a replay tells copies by.
#[test]
fn over_changes_of_the_window_when_everything_derived_is_lost() {
    for lost in [0, u64::MAX] {
        let mut client = client();
        let set = |client: &mut Client, windows: u64| {
            let window_ms = Some(WINDOW_MS * windows);
            let changes =
                AttributeChanges { deduplication_window_ms: window_ms, ..Default::default() };
            let alter = Command::AlterQueue { name: QUEUE.to_owned(), attributes: changes.into() };
            client.ask(alter).unwrap();
        };
        set(&mut client, 12);
        send(&mut client, "a", 7);
        client.advance(WINDOW_MS * 3);
        send(&mut client, "a", 8);
        set(&mut client, 24);
        // Garbage, so that all of that is compacted.
        let body = "x".repeat(400);
        for id in 100..200 {
            client.send_in_groups(QUEUE, &[("b", Some(id), &body)]);
        }
        let is_garbage = |seq| seq > 2;
        while client.receive_max(QUEUE, 10, 60_000).into_iter().fold(0, |count, delivery| {
            if is_garbage(delivery.seq.0) {
                client.ack(QUEUE, delivery.receipt).unwrap();
            }
            count + 1
        }) > 0
        {}
        client.keep_all();
        assert!(client.stats().disk.compactions > 0);
        client.close();
        common::lose_derived(&client.disk, lost);
        client.open().unwrap();
        assert_eq!(send(&mut client, "a", 7), 1, "{lost:x}");
    }
}

#[test]
fn a_purge_empties_the_window() {
    for lost in [0, u64::MAX] {
        let mut client = client();
        send(&mut client, "a", 7);
        client.ask(Command::PurgeQueue { name: QUEUE.to_owned() }).unwrap();
        client.keep_all();
        client.close();
        common::lose_derived(&client.disk, lost);
        client.open().unwrap();
        assert_eq!(send(&mut client, "a", 7), 2, "{lost:x}");
    }
}

/// Also where the purge's record is compacted away, and something was sent in the same millisecond.
#[test]
fn what_a_purge_took_out_of_the_window_is_not_in_it_after_a_compaction() {
    let mut client = client();
    assert_eq!(send(&mut client, "a", 7), 1);
    client.ask(Command::PurgeQueue { name: QUEUE.to_owned() }).unwrap();
    assert_eq!(send(&mut client, "a", 8), 2);
    client.close();
    client.open().unwrap();
    client.keep_all();
    client.close();
    common::lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    assert_eq!(send(&mut client, "a", 8), 2);
    assert_eq!(send(&mut client, "a", 7), 3);
}

#[test]
fn in_each_group_by_itself_if_that_is_the_scope() {
    let mut client = Client::new();
    let attributes = AttributeChanges {
        fifo: Some(true),
        deduplication_scope: Some(DeduplicationScope::Group),
        ..Default::default()
    };
    client.create_with(QUEUE, attributes);
    assert_eq!(send(&mut client, "a", 7), 1);
    assert_eq!(send(&mut client, "b", 7), 2);
    assert_eq!(send(&mut client, "a", 7), 1);
}

#[test]
fn by_content_only_where_the_queue_says_so() {
    let mut client = client();
    let content = |byte| {
        let mut message = in_group("a", None, b"body");
        message.deduplication = Deduplication::Content(DeduplicationKey([byte; 16]));
        Command::Send { queue: QUEUE.to_owned(), messages: vec![message], batch: None }
    };
    let refused = client.ask(content(1));
    assert!(matches!(refused, Err(RequestError::MessageInvalid { .. })), "{refused:?}");
    let by_content =
        AttributeChanges { content_based_deduplication: Some(true), ..Default::default() };
    let alter = Command::AlterQueue { name: QUEUE.to_owned(), attributes: by_content.into() };
    client.ask(alter).unwrap();
    for byte in [1, 1, 2] {
        assert!(matches!(client.ask(content(byte)), Ok(Reply::Sent(_))));
    }
    assert_eq!(client.counts(QUEUE), [2, 0, 0, 0]);
}

/// A copy is answered like the message itself: when that is durable.
#[test]
fn a_copy_is_not_answered_before_the_message_is_durable() {
    let mut client = client();
    let send = || Command::Send {
        queue: QUEUE.to_owned(),
        messages: vec![in_group("a", Some(1), b"x")],
        batch: None,
    };
    let first = client.begin(send());
    let copy = client.begin(send());
    assert_eq!((client.answer(first), client.answer(copy)), (None, None));
    client.store().commit().unwrap();
    assert!(client.answer(first).is_some() && client.answer(copy).is_some());
}

#[test]
fn a_standard_queue_takes_no_deduplication_id() {
    let mut client = Client::new();
    client.create("jobs");
    let send = Command::Send {
        queue: "jobs".to_owned(),
        messages: vec![in_group("a", Some(1), b"x")],
        batch: None,
    };
    let refused = client.ask(send);
    assert!(matches!(refused, Err(RequestError::MessageInvalid { .. })), "{refused:?}");
}
