//! Without this: whoever has a lot in flight, or many queues, would have all of it copied by the one
//! thread that decides, and everybody would wait for that at each snapshot.
//!
//! With `FOREBAY_FULL_SWEEP` in a release build: a million messages in flight, and 10,000 queues. The
//! time is what `freeze_us_max` of the stats says: of the longest turn of the core in which queues
//! were frozen, whatever else was done in it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use common::engine::{Running, deliveries, send, start};
use common::message;
use forebay_engine::Options;
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::stats::Stats;

/// No pause is to be longer.
const PAUSE_US_MAX: u64 = 10_000;

fn is_full_sweep() -> bool {
    std::env::var("FOREBAY_FULL_SWEEP").is_ok()
}

fn stats(running: &Running) -> Stats {
    match running.ask(Command::Stats) {
        Ok(Reply::Stats(stats)) => *stats,
        other => panic!("{other:?}"),
    }
}

/// Sends so many messages into a queue and receives them all.
fn put_in_flight(running: &Running, queue: &str, count: usize) {
    for first in (0..count).step_by(4_000) {
        let batch = (count - first).min(4_000);
        let messages = vec![message(b"in flight", None); batch];
        running.ask(Command::Send { queue: queue.to_owned(), messages, batch: None }).unwrap();
        let received = deliveries(running.ask(Command::Receive {
            queue: queue.to_owned(),
            max: batch as u32,
            wait_ms: Some(0),
            visibility_ms: Some(12 * 3600 * 1000),
            bytes_max: u64::MAX,
            attempt: None,
        }));
        assert_eq!(received.len(), batch);
    }
}

fn longest_pause(queues: usize, messages: usize) -> u64 {
    let options = Options { segment_bytes: 64 << 20, snapshot_ms: 20, ..Options::default() };
    let running = start(Arc::new(SimDisk::new(1)), options);
    for number in 0..queues {
        running.create(&format!("queue-{number}"));
        put_in_flight(&running, &format!("queue-{number}"), messages);
    }
    let held = (queues * messages) as u64;
    let before = stats(&running).disk.snapshots;
    let stats = loop {
        // A snapshot is taken of a log that has grown.
        running.ask(send("queue-0", b"one more")).unwrap();
        let stats = stats(&running);
        assert_eq!(stats.held_messages, held);
        if stats.disk.snapshots >= before + 3 {
            break stats;
        }
    };
    running.engine.shutdown().unwrap();
    let pause_us = stats.disk.freeze_us_max;
    println!("{queues} queues, {held} messages in flight: at most {pause_us} us");
    pause_us
}

#[test]
fn with_many_messages_in_flight() {
    let messages = if is_full_sweep() { 1_000_000 } else { 20_000 };
    let pause_us = longest_pause(1, messages);
    assert!(!is_full_sweep() || pause_us < PAUSE_US_MAX, "{pause_us} us");
}

#[test]
fn with_many_queues() {
    let queues = if is_full_sweep() { 10_000 } else { 600 };
    let pause_us = longest_pause(queues, 1);
    assert!(!is_full_sweep() || pause_us < PAUSE_US_MAX, "{pause_us} us");
}
