//! Without this: a backlog would take memory by the message, and a long outage of the consumers end
//! with the store killed for want of it.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, DAY_MS};
use forebay_engine::Options;

const MESSAGES: u64 = 50_000;
const QUEUES: u64 = 5;

fn options() -> Options {
    Options { segment_bytes: 1 << 20, tail_cache_bytes: 64 << 10, ..Options::default() }
}

/// 50,000 messages in five queues, in sealed segments with indexes.
fn backlog() -> Client {
    let mut client = Client::with(options());
    let names: Vec<String> = (0..QUEUES).map(|queue| format!("queue-{queue}")).collect();
    for name in &names {
        client.create(name);
    }
    let bodies: Vec<_> = (0..250).map(|_| vec![7; 40]).collect();
    for _ in 0..MESSAGES / QUEUES / 250 {
        for name in &names {
            client.send_all(name, &bodies);
        }
    }
    client.keep_all();
    client
}

#[test]
fn a_backlog_takes_none() {
    let mut client = backlog();
    for is_opened_again in [false, true] {
        if is_opened_again {
            client.close();
            client.open().unwrap();
            client.keep_all();
        }
        let stats = client.stats();
        assert_eq!((stats.messages, stats.held_messages), (MESSAGES, 0));
        let memory = stats.memory;
        assert_eq!((memory.held_bytes, memory.timers_bytes), (0, 0), "{memory:?}");
        assert!(memory.apart_bytes < 100 * QUEUES, "{memory:?}");
        assert!(memory.queues_bytes < 1_000 * QUEUES, "{memory:?}");
        // 16 bytes a queue and segment, and what a growing list reserves.
        let segments = stats.disk.segments_sealed + 1;
        assert!(segments > 3, "{segments}");
        assert!(memory.index_runs_bytes < 64 * QUEUES * segments, "{memory:?}");
        // Those of the active segment at the most: 16 bytes each, and what a growing list reserves.
        let active_max = (1 << 20) / 100;
        assert!(memory.index_heap_bytes < 32 * active_max, "{memory:?}");
        if is_opened_again {
            assert!(memory.index_heap_bytes < 1_000, "nothing is in the active one: {memory:?}");
        }
        assert!(memory.index_mapped_bytes >= 16 * MESSAGES * 3 / 4, "{memory:?}");
    }
}

#[test]
fn what_was_received_takes_some_until_it_is_acked() {
    let mut client = backlog();
    client.close();
    client.open().unwrap();
    let mut received = Vec::new();
    for _ in 0..10 {
        received.extend(client.receive_max("queue-1", 100, DAY_MS / 2));
    }
    let stats = client.stats();
    assert_eq!((stats.messages, stats.held_messages), (MESSAGES, 1_000));
    let memory = stats.memory;
    assert!((48_000..400_000).contains(&memory.held_bytes), "{memory:?}");
    assert!(memory.timers_bytes > 0 && memory.timers_bytes < 100_000, "{memory:?}");
    assert!(memory.apart_bytes < 10_000, "{memory:?}");
    // Every other one is acked, out of order; after a restart the others still take some.
    for delivery in received.iter().rev().step_by(2) {
        client.ack("queue-1", delivery.receipt).unwrap();
    }
    assert_eq!(client.stats().held_messages, 500);
    client.close();
    client.open().unwrap();
    let stats = client.stats();
    assert_eq!((stats.messages, stats.held_messages), (MESSAGES - 500, 500));
    for delivery in received.iter().rev().skip(1).step_by(2) {
        client.ack("queue-1", delivery.receipt).unwrap();
    }
    let stats = client.stats();
    assert_eq!((stats.messages, stats.held_messages), (MESSAGES - 1_000, 0));
    assert_eq!(stats.memory.timers_bytes, 0, "{:?}", stats.memory);
    assert!(stats.memory.held_bytes < 10_000, "{:?}", stats.memory);
    assert!(stats.memory.apart_bytes < 1_000, "{:?}", stats.memory);
}
