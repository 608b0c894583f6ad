//! Without this: the compactor would copy rotten bytes under a fresh checksum, or give a damaged
//! segment back and with it the last chance to repair it; or one bad sector would end compaction.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::path::PathBuf;

use client::{Client, DAY_MS};
use common::peek;
use forebay_engine::ReadError;
use forebay_engine::command::{Command, Reply};
use forebay_engine::ids::{QueueId, Seq};
use forebay_engine::verify::Outcome;

const MESSAGES: u64 = 100;

fn body(number: u64) -> Vec<u8> {
    vec![number as u8; 900]
}

fn stays(seq: u64) -> bool {
    seq.is_multiple_of(7)
}

/// Messages 1 to 100 in sealed segments, a bit of one of them flipped, where it is and in which
/// file. Then all but every seventh are acked.
fn damaged(seq: u64, at: u32) -> (Client, PathBuf, u64) {
    let mut client = Client::new();
    client.create("jobs");
    for first in (1..=MESSAGES).step_by(5) {
        client.send_all("jobs", &(first..first + 5).map(body).collect::<Vec<_>>());
    }
    client.keep_all();
    assert_eq!(client.stats().disk.compactions, 0, "nothing is gone yet");
    let peeked = client.ask(peek("jobs", Seq(seq), 1));
    let Ok(Reply::Peeked { messages, .. }) = peeked else { panic!("it is there") };
    let location = &messages[0].location;
    let (path, offset) = (location.segment.path.clone(), u64::from(location.offset));
    client.disk.flip_bit(&path, offset + u64::from(at), 2).unwrap();
    while client.consume("jobs", 10, |seq| !stays(seq)) > 0 {}
    (client, path, offset)
}

/// Compacts what can be compacted.
fn compact(client: &mut Client) {
    for _ in 0..3 {
        client.send("jobs", "so that there are newer snapshots");
        let last = client.describe("jobs").next_seq.0 - 1;
        while client.consume("jobs", 10, |seq| seq == last) > 0 {}
        client.keep_all();
    }
}

#[test]
fn it_stays_as_it_is_and_the_others_are_compacted() {
    // A body that somebody waits for, and a record's header.
    for (seq, at) in [(49, 200), (49, 3)] {
        let (mut client, path, _) = damaged(seq, at);
        let bytes = client.disk.image(&path).unwrap();
        let sealed = client.stats().disk.sealed_bytes;
        compact(&mut client);
        let disk = client.stats().disk;
        assert!(disk.compactions >= 2, "on both sides of it: {disk:?}");
        assert!(disk.sealed_bytes < sealed / 2, "{} of {sealed} bytes", disk.sealed_bytes);
        assert_eq!(client.disk.image(&path).unwrap(), bytes, "not a byte of it was touched");
        // The next process comes to the same.
        client.close();
        client.open().unwrap();
        compact(&mut client);
        assert_eq!(client.disk.image(&path).unwrap(), bytes);
    }
}

/// A sector that the device cannot read, in a message that somebody waits for.
#[test]
fn one_that_cannot_be_read_stays_as_it_is_and_the_others_are_compacted() {
    let (mut client, path, offset) = damaged(49, 200);
    client.disk.make_unreadable(&path, (offset + 200) / 4096).unwrap();
    let sealed = client.stats().disk.sealed_bytes;
    for _ in 0..3 {
        compact(&mut client);
    }
    let disk = client.stats().disk;
    assert!(disk.compactions >= 2, "on both sides of it: {disk:?}");
    assert!(disk.sealed_bytes < sealed / 2, "{} of {sealed} bytes", disk.sealed_bytes);
    assert!(client.disk.files().contains(&path));
}

#[test]
fn what_rots_in_messages_that_are_gone_goes_with_them() {
    for at in [3, 200] {
        let (mut client, path, _) = damaged(50, at);
        compact(&mut client);
        assert!(!client.disk.files().contains(&path));
        client.stop();
        assert_eq!(client.verify().outcome, Outcome::Clean);
        common::lose_derived(&client.disk, u64::MAX);
        client.open().unwrap();
        client.advance(DAY_MS);
        let received = client.receive_max("jobs", 100, 0);
        let seqs: Vec<u64> = received.iter().map(|delivery| delivery.seq.0).collect();
        assert_eq!(seqs, (1..=MESSAGES).filter(|seq| stays(*seq)).collect::<Vec<_>>());
    }
}

#[test]
fn its_other_messages_and_those_of_other_segments_flow() {
    let (mut client, path, _) = damaged(49, 200);
    compact(&mut client);
    for is_opened_again in [false, true] {
        if is_opened_again {
            client.close();
            client.open().unwrap();
        }
        client.advance(DAY_MS);
        let received = client.receive_max("jobs", 100, DAY_MS / 2);
        let seqs: Vec<u64> = received.iter().map(|delivery| delivery.seq.0).collect();
        assert_eq!(seqs, (1..=MESSAGES).filter(|seq| stays(*seq)).collect::<Vec<_>>());
        let here = received.iter().filter(|d| d.location.segment.path == path).count();
        assert!(here > 1, "it has other messages too");
        for delivery in &received {
            match client.store().read(&delivery.location) {
                Ok(stored) => assert_eq!(stored.payload, body(delivery.seq.0)),
                Err(ReadError::Damaged(damage)) => {
                    assert_eq!((delivery.seq, &damage.path), (Seq(49), &path));
                }
                Err(error) => panic!("{error}"),
            }
        }
        let set_aside = Command::SetAside { queue: QueueId(1), seq: Seq(49) };
        assert_eq!(client.ask(set_aside), Ok(Reply::SetAside));
        assert_eq!(client.counts("jobs"), [0, 13, 0, 1]);
    }
}

#[test]
fn verify_names_what_is_damaged() {
    let (mut client, path, offset) = damaged(49, 200);
    compact(&mut client);
    client.stop();
    let report = client.verify();
    let Outcome::Damaged(damages) = &report.outcome else { panic!("{report}") };
    let [damage] = &damages[..] else { panic!("{report}") };
    assert_eq!(damage.path, path);
    let extent = damage.offset..damage.offset + damage.bytes;
    assert!(extent.contains(&(offset + 200)), "{damage}");
    assert!(
        damage.detail.contains("message 49 of queue 1") && damage.detail.contains("intact"),
        "{damage}"
    );
}

#[test]
fn nothing_acked_in_it_returns_when_its_acks_are_compacted() {
    let (mut client, path, offset) = damaged(49, 200);
    compact(&mut client);
    let before: Vec<u64> = {
        client.advance(DAY_MS);
        client.receive_max("jobs", 100, 0).iter().map(|delivery| delivery.seq.0).collect()
    };
    // Whoever repairs the segment out of a backup gets what was there, and no more.
    client.stop();
    client.disk.flip_bit(&path, offset + 200, 2).unwrap();
    assert_eq!(client.verify().outcome, Outcome::Clean);
    common::lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    client.advance(DAY_MS);
    let after: Vec<u64> =
        client.receive_max("jobs", 100, 0).iter().map(|delivery| delivery.seq.0).collect();
    assert_eq!(after, before);
    // And now it is compacted like any other.
    compact(&mut client);
    assert!(!client.disk.files().contains(&path));
}
