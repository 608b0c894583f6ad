//! Without this: the next segment, which waits for the compactor's reserve, would wait for all that a
//! compaction gives back to be cut as well, and sends would be refused on a disk with space.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::path::Path;

use client::{Client, DAY_MS};
use forebay_engine::command::{Command, Reply};

#[test]
fn the_step_behind_a_compaction_makes_the_reserve() {
    let mut client = Client::new();
    client.create("jobs");
    for number in 0..50 {
        client.send_all("jobs", &[vec![number; 900]]);
    }
    let receipts = client.receive_max("jobs", 50, DAY_MS / 2).iter().map(|d| d.receipt).collect();
    let ack = Command::Ack { queue: "jobs".into(), receipts };
    assert_eq!(client.ask(ack), Ok(Reply::Changed { failures: vec![] }));

    let reserve = Path::new(common::DATA).join("log/compact.tmp");
    let disk = client.disk.clone();
    let is_there = || disk.files().contains(&reserve);
    let mut compactions = 0;
    for _ in 0..10 {
        client.send("jobs", "a newer snapshot");
        loop {
            let was_there = is_there();
            if !client.store().keep().unwrap() {
                break;
            }
            if was_there && !is_there() {
                // It has become a segment.
                compactions += 1;
                let used = disk.used();
                client.store().keep().unwrap();
                assert!(is_there() && disk.used() > used);
            }
        }
        client.advance(10_000);
    }
    assert!(compactions > 0);
}
