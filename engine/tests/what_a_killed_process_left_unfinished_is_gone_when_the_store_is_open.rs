//! Without this: half a snapshot would keep space that the log needs on a full disk, for as long as no other is
//! written.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::path::Path;

use client::Client;
use common::DATA;

#[test]
fn half_a_snapshot_is_removed_by_an_opening() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "x");
    client.commit_and_kill();
    client.stop();
    let half = Path::new(DATA).join("snapshot/next.tmp");
    client.disk.put(&half, &[7; 50_000]).unwrap();
    client.open().unwrap();
    assert!(!client.disk.files().contains(&half));
    assert_eq!(client.bodies("jobs", 0), ["x"]);
}
