//! Without this: the disk would fill up with what is gone, or the compactor write the same messages
//! again and again, and nobody would notice before a disk was full or worn.
//!
//! With the default shares of garbage, on a simulated disk: every figure is the same in each run.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/dice.rs"]
mod dice;

use client::{Client, DAY_MS};
use dice::Dice;
use forebay_engine::Options;
use forebay_engine::command::{Command, Reply};
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::stats::DiskStats;

const SEGMENT_BYTES: u64 = 256 << 10;
const BODY_BYTES: usize = 4096;

fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, tail_cache_bytes: 64 << 10, ..Options::default() }
}

fn client() -> Client {
    let mut client = Client::with(options());
    client.create("jobs");
    client
}

/// Sends so many and receives them at once.
fn send_and_receive(client: &mut Client, count: usize) -> Vec<SealedReceipt> {
    client.send_all("jobs", &vec![vec![7; BODY_BYTES]; count]);
    let received = client.receive_max("jobs", count as u32, DAY_MS / 2);
    assert_eq!(received.len(), count);
    received.into_iter().map(|delivery| delivery.receipt).collect()
}

fn ack(client: &mut Client, receipts: Vec<SealedReceipt>) {
    let acked = client.ask(Command::Ack { queue: "jobs".into(), receipts });
    assert_eq!(acked, Ok(Reply::Changed { failures: vec![] }));
}

/// Sealed bytes; and how many times over what was sent was written.
fn figures(client: &mut Client) -> (u64, f64) {
    let disk = client.stats().disk;
    let written = disk.log_bytes_written + compacted(&disk);
    (disk.sealed_bytes, written as f64 / disk.sent_bytes as f64)
}

/// What the compactor has written, from what it has gone through and given back, which is told apart from
/// that: every compaction that was begun here was finished.
fn compacted(disk: &DiskStats) -> u64 {
    let known = gone_through(disk).saturating_sub(disk.compacted_bytes_freed);
    known.max(disk.compacted_bytes_written)
}

/// The bytes of all segments that were compacted.
fn gone_through(disk: &DiskStats) -> u64 {
    disk.compacted_bytes_read + disk.compacted_bytes_skipped
}

/// A steady state of so many messages, of which a random one goes for each that comes.
fn steady(live: usize, sent: usize, oldest_first_percent: u64) -> Client {
    let mut client = client();
    let mut dice = Dice::new(live as u64);
    let mut receipts = Vec::new();
    for round in 0..sent / 20 {
        receipts.extend(send_and_receive(&mut client, 20));
        let mut acked = Vec::new();
        while receipts.len() > live {
            let at = match dice.percent(oldest_first_percent) {
                true => 0,
                false => dice.below(receipts.len() as u64) as usize,
            };
            acked.push(receipts.remove(at));
        }
        if !acked.is_empty() {
            ack(&mut client, acked);
        }
        client.keep_all();
        let live_bytes = (receipts.len() * BODY_BYTES) as u64;
        let (sealed, _) = figures(&mut client);
        let max = live_bytes * 3 / 2 + 3 * SEGMENT_BYTES;
        assert!(sealed < max, "round {round}: {sealed} bytes sealed, {live_bytes} live, max {max}");
    }
    client
}

#[test]
fn random_deletes_in_a_steady_state() {
    // Seen: sealed at most 1.37 x live + 3 segments, and 1.74 times written.
    let (_, written) = figures(&mut steady(2_000, 12_000, 0));
    assert!(written < 2.5, "{written:.2} times what was sent");
}

#[test]
fn deletes_that_are_mostly_in_order() {
    // Seen: sealed at most 1.17 x live + 3 segments, and 1.10 times written.
    let (_, written) = figures(&mut steady(2_000, 12_000, 90));
    assert!(written < 1.5, "{written:.2} times what was sent");
}

#[test]
fn one_of_a_thousand_stays() {
    let mut client = client();
    let (mut live, mut sent) = (0, 0);
    for _ in 0..200 {
        let mut receipts = Vec::new();
        for receipt in send_and_receive(&mut client, 25) {
            sent += 1;
            match sent % 1_000 == 500 {
                true => live += 1,
                false => receipts.push(receipt),
            }
        }
        ack(&mut client, receipts);
        client.keep_all();
        let (sealed, _) = figures(&mut client);
        let live_bytes = live * BODY_BYTES as u64;
        let max = live_bytes * 6 / 5 + 3 * SEGMENT_BYTES;
        assert!(sealed < max, "{sealed} bytes sealed, {live} of {sent} live, max {max}");
    }
    let (_, written) = figures(&mut client);
    assert!(written < 1.2, "{written:.2} times what was sent");
    assert_eq!(client.stats().messages, live);
}

#[test]
fn what_is_gone_is_hardly_read() {
    let mut client = client();
    for _ in 0..200 {
        let receipts = send_and_receive(&mut client, 25);
        ack(&mut client, receipts);
        client.keep_all();
    }
    let disk = client.stats().disk;
    let (read, all) = (disk.compacted_bytes_read, gone_through(&disk));
    assert!(all > 150 * 25 * BODY_BYTES as u64, "nearly everything was compacted: {disk:?}");
    assert!(read < all / 20, "{read} bytes were read of {all}");
}

#[test]
fn the_compactor_counts_all_that_it_writes() {
    let disk = steady(100, 1_000, 0).stats().disk;
    let said = disk.compacted_bytes_written;
    assert!(said >= gone_through(&disk) - disk.compacted_bytes_freed, "{said} bytes: {disk:?}");
}
