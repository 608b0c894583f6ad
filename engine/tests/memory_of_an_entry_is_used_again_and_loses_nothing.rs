//! Without this: an entry in memory that was another one's, and begins somewhere in it, could be written
//! or kept from the wrong byte on. Small stores never come so far that memory is used again.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use common::engine::{Caller, ask, deliveries, receive, start_at};
use common::message;
use forebay_engine::command::Command;
use forebay_engine::{Engine, Options};

const BATCHES: usize = 60;
const BATCH: usize = 5;

fn open(data: &Path) -> Engine<Caller> {
    let options =
        Options { segment_bytes: 4 << 20, tail_cache_bytes: 1 << 20, ..Options::default() };
    start_at(data, options)
}

/// Of all lengths, so that entries begin anywhere in a page; large enough to be written past the cache.
fn body(number: usize) -> Vec<u8> {
    (0..40_000 + number * 37).map(|at| ((at + number) % 251) as u8).collect()
}

#[test]
fn what_is_sent_in_used_memory_is_read_from_it_and_from_the_disk() {
    let data = tempfile::tempdir().unwrap();
    let engine = open(data.path());
    let queue = || "jobs".to_owned();
    let attributes = Default::default();
    ask(&engine, Command::CreateQueue { name: queue(), attributes }).unwrap();
    for batch in 0..BATCHES {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let messages = numbers.clone().map(|number| message(&body(number), None)).collect();
        ask(&engine, Command::Send { queue: queue(), messages, batch: None }).unwrap();
        // The first ones after that come from memory.
        let received = deliveries(ask(&engine, receive("jobs", 1, 0)));
        let read = engine.handle().read(&received[0].location).unwrap();
        assert_eq!(read.payload, body(batch));
    }
    engine.shutdown().unwrap();

    let engine = open(data.path());
    let rest = BATCHES * BATCH - BATCHES;
    let received = deliveries(ask(&engine, receive("jobs", rest as u32, 0)));
    assert_eq!(received.len(), rest);
    for (delivery, number) in received.iter().zip(BATCHES..) {
        let read = engine.handle().read(&delivery.location).unwrap();
        assert_eq!(read.payload, body(number), "message {number}");
    }
    engine.shutdown().unwrap();
}
