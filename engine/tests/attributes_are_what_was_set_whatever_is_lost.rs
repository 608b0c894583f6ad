//! Without this: a restart, a lost snapshot or a compaction could give a queue back with another
//! retention, without its dead-letter queue, or as one that is not FIFO.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::sync::Arc;

use client::{Client, DAY_MS};
use forebay_engine::Options;
use forebay_engine::attributes::{
    AttributeChanges, Attributes, DeduplicationScope, Durability, FifoThroughputLimit,
    RETENTION_MS_MAX, RedrivePermission, TextMap,
};
use forebay_engine::command::{Command, Reply};

/// Segments that hold the largest attributes.
fn options() -> Options {
    Options { segment_bytes: 512 << 10, ..common::tiny() }
}

fn map(pairs: impl IntoIterator<Item = (String, String)>) -> Option<TextMap> {
    Some(pairs.into_iter().collect())
}

/// Every attribute at another value than its default, texts as long as they may be.
fn all(dead_letter_queue: &str) -> AttributeChanges {
    let name = |number: usize| format!("{}{number}.fifo", "n".repeat(74));
    AttributeChanges {
        visibility_timeout_ms: Some(1),
        delay_ms: Some(2),
        receive_wait_ms: Some(3),
        message_bytes_max: Some(4096),
        retention_ms: Some(60_000),
        in_flight_max: Some(6),
        receive_count_max: Some(7),
        fifo: Some(true),
        content_based_deduplication: Some(true),
        deduplication_scope: Some(DeduplicationScope::Group),
        fifo_throughput_limit: Some(FifoThroughputLimit::Group),
        deduplication_window_ms: Some(604_800_000),
        durability: Some(Durability::Written),
        redrive_permission: Some(RedrivePermission::ByQueue),
        dead_letter_queue: Some(dead_letter_queue.to_owned()),
        redrive_sources: Some((0..10).map(name).collect()),
        tags: map((10..60).map(|number| (format!("{number}"), "\u{fc}".repeat(256)))),
        notes: map([("n".to_owned(), "x".repeat((24 << 10) - 5))]),
    }
}

/// Compares the attributes in every way that they can come back.
fn assert_survives(client: &mut Client, expected: &[(&str, Arc<Attributes>)]) {
    let check = |client: &mut Client, when: &str| {
        for (name, attributes) in expected {
            assert_eq!(client.describe(name).attributes, *attributes, "{name} {when}");
        }
    };
    check(client, "at once");
    client.store().commit().unwrap();
    client.kill();
    check(client, "out of the log");
    client.keep_all();
    client.close();
    let opening = client.open().unwrap();
    assert!(opening.snapshot.0 > 0);
    check(client, "out of a snapshot");
    client.close();
    common::lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    check(client, "out of the log alone");
}

#[test]
fn all_of_them_at_their_limits() {
    let mut client = Client::with(options());
    let fifo = AttributeChanges { fifo: Some(true), ..AttributeChanges::default() };
    client.create_with("dead.fifo", fifo);
    client.create_with("all.fifo", all("dead.fifo"));
    client.create("plain");
    let expected = Attributes::default().with(&all("dead.fifo"));
    let all_at_once = client.describe("all.fifo").attributes;
    assert_eq!(*all_at_once, expected);
    let plain = client.describe("plain").attributes;
    assert_eq!(*plain, Attributes::default());
    assert_eq!(plain.retention_ms, 4 * DAY_MS);
    assert_survives(&mut client, &[("all.fifo", all_at_once), ("plain", plain)]);
}

#[test]
fn one_after_the_other() {
    let mut client = Client::with(options());
    let fifo = AttributeChanges { fifo: Some(true), ..AttributeChanges::default() };
    client.create_with("dead.fifo", fifo.clone());
    client.create_with("all.fifo", fifo);
    let alter = |client: &mut Client, attributes: AttributeChanges| {
        let command =
            Command::AlterQueue { name: "all.fifo".to_owned(), attributes: attributes.into() };
        assert_eq!(client.ask(command), Ok(Reply::Altered));
    };
    // The scope comes before the limit that needs it, by their ids.
    let all = all("dead.fifo");
    for (id, value) in all.iter().filter(|(id, _)| ![7, 0x8001].contains(id)) {
        let mut change = AttributeChanges::default();
        change.set(id, value).unwrap();
        alter(&mut client, change);
    }
    let (receive_count_max, dead_letter_queue) = (Some(7), all.dead_letter_queue.clone());
    alter(
        &mut client,
        AttributeChanges { receive_count_max, dead_letter_queue, ..AttributeChanges::default() },
    );
    let attributes = client.describe("all.fifo").attributes;
    assert_eq!(*attributes, Attributes::default().with(&all));
    assert_survives(&mut client, &[("all.fifo", attributes)]);
    // And back again: an empty text is no text.
    let back = AttributeChanges { fifo: None, ..Attributes::default().as_changes() };
    alter(&mut client, back);
    let attributes = client.describe("all.fifo").attributes;
    assert_eq!(*attributes, Attributes { fifo: true, ..Attributes::default() });
    assert_survives(&mut client, &[("all.fifo", attributes)]);
}

#[test]
fn also_when_their_records_are_compacted() {
    let mut client = Client::with(options());
    client.create("dead");
    let given = AttributeChanges {
        receive_count_max: Some(3),
        dead_letter_queue: Some("dead".to_owned()),
        retention_ms: Some(RETENTION_MS_MAX),
        tags: map([("team".to_owned(), "water".to_owned())]),
        ..AttributeChanges::default()
    };
    client.create_with("jobs", given);
    for _ in 0..40 {
        client.send_all("jobs", &vec![vec![7; 1000]; 50]);
        while client.consume("jobs", 50, |_| true) > 0 {}
    }
    client.keep_all();
    client.send("jobs", "stays");
    client.keep_all();
    assert!(client.stats().disk.compactions > 0);
    let attributes = client.describe("jobs").attributes;
    assert_eq!((attributes.receive_count_max, attributes.tags.len()), (3, 1));
    assert_survives(&mut client, &[("jobs", attributes)]);
}

/// A change that was changed again is garbage: else a queue that is tagged every minute would fill
/// the disk.
#[test]
fn what_was_changed_again_gives_its_space_back() {
    let mut client = Client::with(options());
    client.create("jobs");
    let change = |client: &mut Client, number: usize| {
        let attributes = AttributeChanges {
            retention_ms: Some(60_000 + number as u64 % 2),
            notes: map([("n".to_owned(), format!("{number:020000}"))]),
            ..AttributeChanges::default()
        };
        let alter = Command::AlterQueue { name: "jobs".to_owned(), attributes: attributes.into() };
        assert_eq!(client.ask(alter), Ok(Reply::Altered));
        client.clock.advance(1);
    };
    let delay = AttributeChanges { delay_ms: Some(77), ..AttributeChanges::default() };
    client.ask(Command::AlterQueue { name: "jobs".to_owned(), attributes: delay.into() }).unwrap();
    (0..200).for_each(|number| change(&mut client, number));
    // The log goes on, so that the segments are sealed and two snapshots cover them.
    for _ in 0..2 {
        client.send_all("jobs", &vec![vec![7; 10_000]; 20]);
        client.keep_all();
        client.advance(DAY_MS);
        while client.consume("jobs", 50, |_| true) > 0 {}
    }
    client.keep_all();
    let disk = client.stats().disk;
    assert!(disk.compactions > 0 && disk.sealed_bytes < 2_000_000, "{disk:?}");
    let info = client.describe("jobs");
    assert_eq!((info.attributes.delay_ms, info.attributes.retention_ms), (77, 60_001));
    assert_survives(&mut client, &[("jobs", info.attributes)]);
    assert_eq!(client.describe("jobs").modified, info.modified);
}

#[test]
fn on_a_small_segment_what_does_not_fit_is_refused() {
    let mut client = Client::new();
    client.create("jobs");
    let notes = map([("n".to_owned(), "x".repeat(20_000))]);
    let attributes = AttributeChanges { notes, ..AttributeChanges::default() };
    let alter =
        Command::AlterQueue { name: "jobs".to_owned(), attributes: attributes.clone().into() };
    let create = Command::CreateQueue { name: "new".to_owned(), attributes: attributes.into() };
    for command in [alter, create] {
        let text = client.ask(command).unwrap_err().to_string();
        assert!(text.starts_with("the batch needs 20517 bytes in the log"), "{text}");
    }
    client.kill();
    assert_eq!(client.describe("jobs").attributes.notes.len(), 0);
}
