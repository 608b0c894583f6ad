//! Without this: what is decided by a message's group would be decided otherwise once its segment was
//! sealed, compacted, or indexed anew.
//!
//! The index files are read here by FORMAT.md section 4 alone.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use client::Client;
use common::{lose_derived, message};
use forebay_engine::checksum;
use forebay_engine::command::{Command, NewMessage, Reply};

const MESSAGES: u64 = 120;

/// The group of a message; every fourth has none.
fn group(seq: u64) -> Option<String> {
    (!seq.is_multiple_of(4)).then(|| format!("group {}", seq % 7))
}

fn grouped(seq: u64) -> NewMessage {
    let mut payload = Vec::new();
    if let Some(group) = group(seq) {
        payload.push(1);
        payload.extend((group.len() as u32).to_le_bytes());
        payload.extend(group.as_bytes());
    }
    let attributes_bytes = payload.len() as u32;
    payload.extend(vec![seq as u8; 500]);
    let checksum = checksum::message(attributes_bytes, &payload);
    NewMessage { attributes_bytes, checksum, payload: Bytes::from(payload), ..message(b"", None) }
}

/// What an index is to say of a message's group.
fn expected(seq: u64) -> u32 {
    group(seq).map_or(0, |group| crc32fast::hash(group.as_bytes()))
}

/// The items of `count` blocks from `at` on.
fn items(file: &[u8], at: usize, count: usize) -> Vec<&[u8]> {
    let blocks = file[at..].chunks_exact(4096).take(count.div_ceil(255));
    blocks.flat_map(|block| block[16..].chunks_exact(16)).take(count).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The groups that the indexes tell of the messages of queue 1, by their numbers.
fn indexed(client: &Client) -> BTreeMap<u64, u32> {
    let mut groups = BTreeMap::new();
    for path in client.files_of("idx") {
        let file = client.disk.image(&path).unwrap();
        assert!(file.starts_with(b"FOREBAYI"));
        let [queues, runs, slots] = [52, 56, 60].map(|at| u32_at(&file, at) as usize);
        let runs_at = 4096 + (queues * 48).next_multiple_of(4096);
        let slots_at = runs_at + runs.div_ceil(255) * 4096;
        let slots = items(&file, slots_at, slots);
        let run_items = items(&file, runs_at, runs);
        for row in file[4096..].chunks_exact(48).take(queues) {
            assert_eq!(u32_at(row, 0), 1, "there is one queue");
            let first_run = u32_at(row, 4) as usize;
            for run in &run_items[first_run..first_run + u32_at(row, 8) as usize] {
                let first = u64::from_le_bytes(run[..8].try_into().unwrap());
                for offset in 0..u32_at(run, 12) {
                    let slot = slots[(u32_at(run, 8) + offset) as usize];
                    groups.insert(first + u64::from(offset), u32_at(slot, 12));
                }
            }
        }
    }
    groups
}

fn index_files(client: &Client) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.clone(), client.disk.image(&path).unwrap());
    client.files_of("idx").into_iter().map(read).collect()
}

#[track_caller]
fn assert_groups(client: &Client, messages: usize) {
    let found = indexed(client);
    assert!(found.len() >= messages, "only {} messages are indexed", found.len());
    for (seq, found) in found {
        assert_eq!(found, expected(seq), "message {seq}");
    }
}

#[test]
fn from_the_first_index_through_a_compaction_to_indexes_made_anew() {
    let mut client = Client::new();
    client.create("jobs");
    for first in (1..=MESSAGES).step_by(4) {
        let messages = (first..first + 4).map(grouped).collect();
        let send = Command::Send { queue: "jobs".to_owned(), messages, batch: None };
        assert!(matches!(client.ask(send), Ok(Reply::Sent(_))));
    }
    client.keep();
    // The newest segment is in no file yet.
    assert_groups(&client, MESSAGES as usize - 40);

    client.consume("jobs", 100, |seq| !seq.is_multiple_of(3));
    client.keep_all();
    assert!(client.stats().disk.compactions > 0);
    let compacted = client.files_of("idx").iter().any(|path| path.to_str().unwrap().contains('-'));
    assert!(compacted, "{:?}", client.files_of("idx"));
    assert_groups(&client, 25);

    client.stop();
    let before = index_files(&client);
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    client.keep();
    for (path, bytes) in before {
        if let Ok(again) = client.disk.image(&path) {
            assert!(again == bytes, "{} is another", path.display());
        }
    }
    // The segment that was active is sealed now: all that are left are indexed.
    assert_groups(&client, 20 + 33);
}

#[test]
fn what_was_sent_with_a_group_is_read_back_with_it() {
    let mut client = Client::new();
    client.create("jobs");
    let sent = grouped(1);
    let send =
        Command::Send { queue: "jobs".to_owned(), messages: vec![sent.clone()], batch: None };
    client.ask(send).unwrap();
    client.commit_and_kill();
    let delivery = client.receive_one("jobs", 0);
    let stored = client.store().read(&delivery.location).unwrap();
    assert_eq!((stored.attributes_bytes, stored.payload), (sent.attributes_bytes, sent.payload));
}
