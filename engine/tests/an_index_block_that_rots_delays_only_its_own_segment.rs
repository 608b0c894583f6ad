//! Without this: a block of an index that rots while the store is open would be believed, and a
//! receive get a wrong message; or one bad block would hold up the store until somebody noticed.
//!
//! A block is checked when it is first used. What it hides is delivered as soon as the index was
//! made anew from its segment, by the keeper and without a restart.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::path::PathBuf;

use client::{Client, DAY_MS, receive};
use common::tiny;
use forebay_engine::command::Command;
use forebay_engine::error::Damage;
use forebay_engine::verify::Outcome;
use forebay_engine::{Options, ReadError};

const PAGE: u64 = 4096;

/// With one queue in a segment: the header, the queue table, the runs, the slots.
const BLOCKS: [(&str, u64); 2] = [("runs", 2 * PAGE), ("slots", 3 * PAGE)];

const EARLY: u8 = 12;

fn body(number: u8) -> Vec<u8> {
    vec![number; 1000]
}

/// Queue "early" begins in the first segment and ends in the second, "late" begins there. Opened
/// from a snapshot and indexes, of which the first one has a flipped bit at this offset.
fn rotten(offset: u64) -> Client {
    rotten_behind(offset, |_| {})
}

/// As [`rotten`], and before it rots something more is done.
fn rotten_behind(offset: u64, more: impl Fn(&mut Client)) -> Client {
    let mut client = Client::with(Options { garbage_segment_percent: 1 << 20, ..tiny() });
    client.create("early");
    client.create("late");
    for number in (1..=EARLY).step_by(2) {
        client.send_all("early", &[body(number), body(number + 1)]);
    }
    assert_eq!(client.files_of("log").len(), 2, "the last ones are in the second segment");
    for _ in 0..8 {
        client.send_all("late", &[body(99), body(99), body(99)]);
    }
    more(&mut client);
    client.keep();
    client.close();
    let first = &client.files_of("idx")[0];
    client.disk.flip_bit(first, offset, 3).unwrap();
    let opening = client.open().unwrap();
    assert_eq!(opening.warnings, [""; 0], "header and table are good");
    assert_eq!((opening.indexes_rebuilt, opening.segments_read), (0, 1), "only the active one");
    client
}

/// The bodies of "early" that a receive gets.
fn early(client: &mut Client, visibility_ms: u64) -> Vec<String> {
    let received = client.receive_max("early", 100, visibility_ms);
    received.iter().map(|delivery| client.body(delivery)).collect()
}

fn all_early() -> Vec<String> {
    (1..=EARLY).map(|number| String::from_utf8(body(number)).unwrap()).collect()
}
#[test]
fn the_messages_come_when_the_index_was_made_anew() {
    for (part, offset) in BLOCKS {
        // The head of the block, an item that is used, and one behind the last.
        for at in [0, 5, 17, 24, 4095] {
            let mut client = rotten(offset + at);
            assert_eq!(
                early(&mut client, 0),
                [""; 0],
                "{part}: nothing comes before it is known where it is"
            );
            client.keep();
            assert_eq!(early(&mut client, DAY_MS / 2), all_early(), "{part}");
            client.stop();
            let report = client.verify();
            assert_eq!(report.outcome, Outcome::Clean, "{report}");
            assert_eq!(report.indexes, report.segments - 1, "it is on disk again: {report}");
        }
    }
}

#[test]
fn messages_of_other_segments_flow_meanwhile() {
    for (part, offset) in BLOCKS {
        let mut client = rotten(offset + 20);
        assert_eq!(early(&mut client, 0), [""; 0], "{part}");
        assert_eq!(client.receive_max("late", 100, 0).len(), 24, "{part}");
        client.send("late", "after it was noticed");
        assert_eq!(client.receive_max("late", 100, 0).len(), 25, "{part}");
        client.create("new");
        client.send("new", "at once");
        assert_eq!(client.bodies("new", 0), ["at once"], "{part}");
        assert_eq!(early(&mut client, 0), [""; 0], "{part}: nothing was kept yet");
    }
}

#[test]
fn a_waiting_receive_is_served_when_the_index_was_made_anew() {
    for (part, offset) in BLOCKS {
        let mut client = rotten(offset + 20);
        let waiting = client.begin(receive("early", 100, 20_000, DAY_MS / 2));
        assert_eq!(client.received(waiting), None, "{part}");
        client.keep();
        assert_eq!(client.received(waiting), Some(all_early()), "{part}");
    }
}

#[test]
fn a_peek_says_where_it_stopped_and_goes_on_from_there() {
    for (_, offset) in BLOCKS {
        let mut client = rotten(offset + 20);
        let peek = |client: &mut Client| {
            use forebay_engine::command::Reply;
            match client.ask(common::peek("early", forebay_engine::ids::Seq(1), 100)) {
                Ok(Reply::Peeked { messages, next, .. }) => (messages.len(), next),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(peek(&mut client), (0, Some(forebay_engine::ids::Seq(1))));
        client.keep();
        assert_eq!(peek(&mut client), (12, None));
    }
}

#[test]
fn a_compaction_that_needs_it_waits_and_goes_on() {
    for (part, offset) in BLOCKS {
        // The acks of the first segment's messages lie behind it: whether they are still needed is
        // asked of its index.
        let mut client = rotten_behind(offset + 20, |client| {
            client.consume("early", 4, |_| true);
            client.consume("late", 100, |seq| !seq.is_multiple_of(5));
        });
        client.stop();
        client.options = tiny();
        client.open().unwrap();
        client.send("late", "so that there is a newer snapshot");
        client.keep_all();
        assert!(client.stats().disk.compactions > 0, "{part}");
        let before = client.show_at_last();
        let left: Vec<u64> = before["early"].messages.keys().copied().collect();
        assert_eq!(left, (5..=u64::from(EARLY)).collect::<Vec<_>>(), "{part}");
        client.stop();
        assert_eq!(client.verify().outcome, Outcome::Clean, "{part}");
        common::lose_derived(&client.disk, u64::MAX);
        client.open().unwrap();
        assert_eq!(client.show(), before, "{part}");
    }
}

#[test]
fn what_is_gone_is_compacted_with_its_rotten_index() {
    for (part, offset) in BLOCKS {
        let mut client = rotten_behind(offset + 20, |client| {
            for name in ["early", "late"] {
                client.ask(Command::PurgeQueue { name: name.to_owned() }).unwrap();
            }
        });
        let first = client.files_of("log")[0].clone();
        client.stop();
        client.options = tiny();
        client.open().unwrap();
        client.send("late", "so that there is a newer snapshot");
        client.keep_all();
        assert!(!client.disk.files().contains(&first), "{part}");
        let before = client.show();
        assert_eq!(before["early"].messages.len() + before["late"].messages.len(), 1, "{part}");
        client.stop();
        assert_eq!(client.verify().outcome, Outcome::Clean, "{part}");
        common::lose_derived(&client.disk, u64::MAX);
        client.open().unwrap();
        assert_eq!(client.show(), before, "{part}");
    }
}

/// The first segment is damaged beside its index: at this offset a bit is flipped.
fn rotten_at(at: u64) -> (Client, PathBuf) {
    let client = rotten(PAGE * 3 + 20);
    let first = client.files_of("log")[0].clone();
    client.disk.flip_bit(&first, at, 1).unwrap();
    (client, first)
}

/// The messages of "early" that are whole, and the damage that a read of each other one tells of.
fn whole_and_damaged(client: &mut Client) -> (Vec<u64>, Vec<(u64, Damage)>) {
    // That the index is broken is found now, if it still is.
    client.receive_max("early", 100, 0);
    client.keep();
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    for delivery in client.receive_max("early", 100, 0) {
        match client.store().read(&delivery.location) {
            Ok(stored) => {
                assert_eq!(stored.payload, body(delivery.seq.0 as u8));
                whole.push(delivery.seq.0);
            }
            Err(ReadError::Damaged(damage)) => {
                let queue = delivery.location.queue;
                let set_aside = Command::SetAside { queue, seq: delivery.seq };
                client.ask(set_aside).unwrap();
                damaged.push((delivery.seq.0, damage));
            }
            Err(error) => panic!("{error}"),
        }
    }
    (whole, damaged)
}

/// Where the record of a message of "early" is in its segment, as long as that can be said.
fn record_of(seq: u64) -> (u64, u64) {
    let mut client = rotten(PAGE * 3 + 20);
    assert_eq!(early(&mut client, 0), [""; 0]);
    client.keep();
    let received = client.receive_max("early", 100, 0);
    let location = &received[seq as usize - 1].location;
    (location.offset.into(), location.bytes.into())
}

#[test]
fn where_the_segment_is_damaged_too_a_message_is_set_aside_and_its_neighbours_flow() {
    let (offset, bytes) = record_of(3);
    // Length, kind, seal, queue, seq, position, body.
    for at in [0, 4, 8, 12, 16, 24, bytes - 1] {
        let (mut client, path) = rotten_at(offset + at);
        let (whole, damaged) = whole_and_damaged(&mut client);
        let others: Vec<u64> = (1..=u64::from(EARLY)).filter(|seq| *seq != 3).collect();
        assert_eq!(whole, others, "byte {at}");
        let [(3, damage)] = &damaged[..] else { panic!("byte {at}: {damaged:?}") };
        let found = (&damage.path, damage.offset, damage.bytes);
        assert_eq!(found, (&path, offset, bytes), "byte {at}");
        assert_eq!(client.counts("early"), [u64::from(EARLY) - 1, 0, 0, 1], "byte {at}");
        // It is the same after a restart, though nothing of it is in a file.
        client.stop();
        client.open().unwrap();
        assert_eq!(whole_and_damaged(&mut client), (whole, damaged), "byte {at}");
    }
}

#[test]
fn a_damaged_entry_header_hides_no_message() {
    let (offset, _) = record_of(3);
    let (mut client, _) = rotten_at(offset - 20);
    let (whole, damaged) = whole_and_damaged(&mut client);
    assert_eq!((whole.len(), damaged), (EARLY.into(), vec![]));
}

#[test]
fn what_a_lost_block_hides_is_set_aside_and_the_rest_flows() {
    let mut client = rotten(PAGE * 3 + 20);
    let path = client.files_of("log")[0].clone();
    client.disk.zero_block(&path, 2).unwrap();
    let (whole, damaged) = whole_and_damaged(&mut client);
    assert_eq!(whole.len() + damaged.len(), usize::from(EARLY));
    assert!((3..=6).contains(&damaged.len()), "a block has four messages: {damaged:?}");
    for (seq, damage) in &damaged {
        let extent = damage.offset..damage.offset + damage.bytes;
        assert!(extent.start < 3 * PAGE && extent.end > 2 * PAGE, "message {seq}: {damage}");
    }
    assert_eq!(client.counts("early"), [whole.len() as u64, 0, 0, damaged.len() as u64]);
    // What is acked stays so, whatever of it is hidden.
    client.consume("early", 100, |_| true);
    client.consume("late", 100, |_| true);
    client.options = tiny();
    client.stop();
    client.open().unwrap();
    client.keep_all();
    assert!(client.disk.files().contains(&path), "a damaged segment is left as it is");
    let (whole, hidden) = whole_and_damaged(&mut client);
    assert_eq!((whole, hidden), (vec![], damaged));
}

/// Numbers that descend where a block stands in the place of another one would end the process, again and again.
#[test]
fn what_a_misplaced_block_shows_twice_is_taken_once() {
    for (early, late) in [(1, 2), (2, 1)] {
        let mut client = rotten(PAGE * 3 + 20);
        let path = client.files_of("log")[0].clone();
        let bytes = client.disk.image(&path).unwrap();
        let block = bytes[late * 4096..(late + 1) * 4096].to_vec();
        let before = bytes[early * 4096..(early + 1) * 4096].to_vec();
        for (at, (old, new)) in before.iter().zip(&block).enumerate() {
            for bit in (0..8).filter(|bit| (old ^ new) >> bit & 1 == 1) {
                client.disk.flip_bit(&path, (early * 4096 + at) as u64, bit).unwrap();
            }
        }
        let (whole, damaged) = whole_and_damaged(&mut client);
        let mut found: Vec<u64> =
            whole.iter().chain(damaged.iter().map(|(seq, _)| seq)).copied().collect();
        found.dedup();
        let count = found.len();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), count, "block {late} in the place of {early}");
        assert!(whole.len() > 1, "block {late} in the place of {early}");
    }
}

/// What stands behind a message with a greater number was set aside, although it is whole.
#[test]
fn where_two_blocks_of_an_entry_are_exchanged_only_what_they_cut_is_set_aside() {
    let mut client = Client::with(Options { garbage_segment_percent: 1 << 20, ..tiny() });
    client.create("early");
    client.create("late");
    let bodies: Vec<_> = (1..=30).map(|number| vec![number; 150]).collect();
    client.send_all("early", &bodies);
    let last = client.receive_max("early", 30, 0).pop().unwrap().location;
    for _ in 0..8 {
        client.send_all("late", &[body(99), body(99), body(99)]);
    }
    client.keep();
    client.close();
    client.disk.flip_bit(&client.files_of("idx")[0], PAGE * 3 + 20, 3).unwrap();
    client.open().unwrap();
    let path = client.files_of("log")[0].clone();
    let bytes = client.disk.image(&path).unwrap();
    let (one, other) = (10 * 512, last.offset as usize / 512 * 512 - 512);
    assert!(other - one > 5 * 512, "much stands between them");
    for (at, bits) in (0..512).map(|at| (at, bytes[one + at] ^ bytes[other + at])) {
        for bit in (0..8).filter(|bit| bits >> bit & 1 == 1) {
            for block in [one, other] {
                client.disk.flip_bit(&path, (block + at) as u64, bit).unwrap();
            }
        }
    }
    // That the index is broken is found now.
    client.receive_max("early", 100, 0);
    client.keep();
    let received = client.receive_max("early", 100, 0);
    assert_eq!(received.len(), 30);
    let is_whole = |seq: u64, payload: &[u8]| payload == bodies[seq as usize - 1];
    let whole = received.iter().filter(|delivery| match client.store().read(&delivery.location) {
        Ok(stored) => {
            assert!(is_whole(delivery.seq.0, &stored.payload), "{}", delivery.seq);
            true
        }
        Err(ReadError::Damaged(_)) => false,
        Err(error) => panic!("{error}"),
    });
    // Each of the four ends of a block cuts one message, and may hide the next.
    let whole = whole.count();
    assert!((22..30).contains(&whole), "{whole}");
}
