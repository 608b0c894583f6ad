//! Without this: an index would say that a message was sent weeks before it was, where segments of weeks were
//! merged or repaired, and retention would remove messages that nobody had received.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::path::Path;
use std::sync::Arc;

use client::{Client, DAY_MS};
use common::{Answers, DATA, Slot, show, tiny};
use forebay_engine::repair::{InDoubt, examine};
use forebay_engine::{Clock, Options, Store};

const HOUR_MS: u64 = 3_600_000;

/// The bodies of all that waits, and how many hours ago each was sent.
fn waiting(client: &mut Client) -> Vec<(String, u64)> {
    let now = client.clock.wall_ms();
    let deliveries = client.receive_max("jobs", 100, 0);
    let told = |delivery| (client.body(&delivery), (now - delivery.sent.0) / HOUR_MS);
    let mut found: Vec<_> = deliveries.into_iter().map(told).collect();
    found.sort();
    found
}

#[test]
fn segments_of_many_weeks_that_are_merged_keep_when_messages_were_sent() {
    for days in [3, 8, 11, 20, 24] {
        // Of which what was compacted is a small part: it is merged with what is compacted next.
        let mut client = Client::with(Options { segment_bytes: 64 << 10, ..tiny() });
        client.create("jobs");
        for number in 0..12 {
            // A little garbage, then time, then one that stays.
            let garbage: Vec<u64> = (0..5).map(|_| client.send("jobs", &"x".repeat(500))).collect();
            client.consume("jobs", 100, |seq| garbage.contains(&seq));
            client.advance(days * DAY_MS - 1000);
            client.send("jobs", &format!("message {number:02}"));
            client.advance(1000);
            client.close();
            client.open().unwrap();
            for _ in 0..3 {
                let seq = client.send("jobs", "so that there are newer snapshots");
                client.consume("jobs", 100, |found| found == seq);
                client.keep_all();
            }
            client.advance(DAY_MS / 2);
            let expected = (0..=number)
                .map(|sent: u64| {
                    (format!("message {sent:02}"), (number - sent) * (days * 24 + 12) + 12)
                })
                .filter(|(_, hours)| *hours < 4 * 24);
            assert_eq!(waiting(&mut client), expected.collect::<Vec<_>>(), "every {days} days");
        }
        assert!(client.stats().disk.compactions > 0, "every {days} days");
    }
}

#[test]
fn a_repaired_store_keeps_when_messages_were_sent() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "so that the log begins here");
    client.advance(60 * DAY_MS);
    for number in 0..5 {
        client.send("jobs", &format!("message {number}"));
        client.advance(DAY_MS / 4);
    }
    client.close();
    let new = Path::new("mended");
    let repair = examine(&client.disk, Path::new(DATA), &mut |_| {}).unwrap();
    repair.write(new, Some(InDoubt::Deliver), 16 << 10, &mut |_| {}).unwrap();
    let (disk, clock) = (Arc::new(client.disk.clone()), Arc::new(client.clock.clone()));
    let (mut store, _) = Store::<Slot>::open(disk, clock, new, tiny()).unwrap();
    store.tick();
    let shown = show(&mut store, &mut Answers::default());
    assert_eq!(shown["jobs"].messages.len(), 5);
}
