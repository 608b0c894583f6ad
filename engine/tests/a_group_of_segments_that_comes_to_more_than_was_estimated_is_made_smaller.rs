//! Without this: a compaction could come to more than a segment can have, since what stays of a segment is
//! estimated by the mean size of its messages; the process would end there, again after each restart.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use common::tiny;
use forebay_engine::Options;

#[test]
fn few_large_messages_among_many_small_ones_are_compacted_all_the_same() {
    let options = Options { segment_bytes: 64 << 10, ..tiny() };
    let mut client = Client::with(options.clone());
    client.create_for_ever("jobs");
    let large = "x".repeat(24_000);
    let mut stays = Vec::new();
    for _ in 0..40 {
        stays.push(client.send("jobs", &large));
        let small: Vec<Vec<u8>> = (0..200).map(|_| b"small".to_vec()).collect();
        client.send_all("jobs", &small);
    }
    while client.consume("jobs", 10, |seq| !stays.contains(&seq)) > 0 {}
    for _ in 0..3 {
        client.send("jobs", "so that there are newer snapshots");
        let last = client.describe("jobs").next_seq.0 - 1;
        while client.consume("jobs", 10, |seq| seq == last) > 0 {}
        client.keep_all();
    }
    let disk = client.stats().disk;
    assert!(disk.compactions > 0 && disk.compacted_bytes_freed > 0, "{disk:?}");
    for path in client.files_of("log") {
        let bytes = client.disk.image(&path).unwrap().len() as u64;
        assert!(bytes <= 2 * options.segment_bytes, "{} has {bytes} bytes", path.display());
    }
    client.advance(client::DAY_MS);
    let received = client.receive_max("jobs", 100, 0);
    assert_eq!(received.iter().map(|delivery| delivery.seq.0).collect::<Vec<_>>(), stays);
}
