//! Without this: the compactor would take a segment away from a receiver who was told where its
//! message is and has not read it yet: an answered receive without a body.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, DAY_MS};
use common::peek;
use forebay_engine::command::{Command, Reply};
use forebay_engine::ids::Seq;
use forebay_engine::location::Location;

fn body(number: u64) -> Vec<u8> {
    vec![number as u8; 900]
}

/// Messages 1 to 50, every seventh of which stays. Where each was, as receives and a peek said.
fn about_to_be_compacted() -> (Client, Vec<(u64, Location)>) {
    let mut client = Client::new();
    client.create("jobs");
    for number in 1..=50 {
        client.send_all("jobs", &[body(number)]);
    }
    let peeked = client.ask(peek("jobs", Seq(1), 25));
    let Ok(Reply::Peeked { messages, .. }) = peeked else { panic!("they are there") };
    let mut locations: Vec<_> = messages.into_iter().map(|m| (m.seq.0, m.location)).collect();
    let received = client.receive_max("jobs", 50, DAY_MS / 2);
    locations.extend(received.iter().map(|d| (d.seq.0, d.location.clone())));
    let acked = received.iter().filter(|d| !d.seq.0.is_multiple_of(7)).map(|d| d.receipt);
    let ack = Command::Ack { queue: "jobs".into(), receipts: acked.collect() };
    assert_eq!(client.ask(ack), Ok(Reply::Changed { failures: vec![] }));
    assert_eq!(locations.len(), 75);
    (client, locations)
}

#[test]
fn what_was_received_or_peeked_is_read_from_the_old_file() {
    let (mut client, locations) = about_to_be_compacted();
    let before = client.files_of("log");
    client.keep_all();
    client.send("jobs", "a newer snapshot");
    client.keep_all();
    assert!(client.stats().disk.compactions > 0);
    let is_gone = |location: &Location| !client.disk.files().contains(&location.segment.path);
    let gone = locations.iter().filter(|(_, location)| is_gone(location)).count();
    assert!(gone > 60, "{gone} of 75 are in files that are gone; there were {before:?}");
    for (number, location) in &locations {
        assert_eq!(client.store().read(location).unwrap().payload, body(*number), "{number}");
    }
    // Whoever asks now is told of the new place, and reads the same.
    client.advance(DAY_MS / 2);
    for delivery in client.receive_max("jobs", 7, 1_000) {
        assert!(client.disk.files().contains(&delivery.location.segment.path));
        assert_eq!(client.store().read(&delivery.location).unwrap().payload, body(delivery.seq.0));
    }
}

#[test]
fn its_space_comes_back_when_the_last_reader_is_gone() {
    let (mut client, locations) = about_to_be_compacted();
    client.keep_all();
    client.send("jobs", "a newer snapshot");
    client.keep_all();
    let listed = client.files().values().map(|bytes| bytes.len() as u64).sum::<u64>();
    // Up to whole sectors.
    let listed = listed..listed + 512 * client.disk.files().len() as u64;
    assert!(client.disk.used() > listed.end + 20_000, "the old files are held");
    drop(locations);
    client.keep_all();
    assert!(listed.contains(&client.disk.used()), "{} of {listed:?}", client.disk.used());
}

#[test]
fn its_files_are_gone_from_the_directory() {
    let (mut client, _) = about_to_be_compacted();
    client.keep_all();
    client.send("jobs", "a newer snapshot");
    client.keep_all();
    let stem = |path: &std::path::PathBuf| path.with_extension("");
    let logs: Vec<_> = client.files_of("log").iter().map(stem).collect();
    let indexes: Vec<_> = client.files_of("idx").iter().map(stem).collect();
    // All but the active one.
    assert_eq!(indexes.len(), logs.len() - 1);
    assert!(indexes.iter().all(|index| logs.contains(index)), "{indexes:?} of {logs:?}");
    let sealed = client.stats().disk.segments_sealed;
    assert_eq!(logs.len() as u64, sealed + 1);
    client.close();
    common::assert_no_leaked_files(&client.disk);
    let report = client.verify();
    assert_eq!(report.notes, [""; 0]);
}
