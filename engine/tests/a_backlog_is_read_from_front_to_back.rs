//! Without this: what is read ahead of those who drain a backlog could be of no use to them, or hide what was
//! written since.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use common::engine::{Caller, ask, deliveries, receive, start_at};
use common::message;
use forebay_engine::command::Command;
use forebay_engine::location::Location;
use forebay_engine::{Engine, Options, StoredMessage};

const BATCH: usize = 32;

fn open(data: &Path) -> Engine<Caller> {
    let options =
        Options { segment_bytes: 4 << 20, tail_cache_bytes: 64 << 10, ..Options::default() };
    let engine = start_at(data, options);
    let (name, attributes) = ("jobs".to_owned(), Default::default());
    ask(&engine, Command::CreateQueue { name, attributes }).unwrap();
    engine
}

fn body(number: usize) -> Vec<u8> {
    (0..1000 + number % 300).map(|at| ((at + number) % 251) as u8).collect()
}

/// Sends batches of messages, counted on from before.
fn send(engine: &Engine<Caller>, batches: std::ops::Range<usize>) {
    for batch in batches {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let messages = numbers.map(|number| message(&body(number), None)).collect();
        ask(engine, Command::Send { queue: "jobs".to_owned(), messages, batch: None }).unwrap();
    }
}

/// Receives the next batch, and reads it as a server does; whether all of it was in memory.
fn read(engine: &Engine<Caller>, batch: usize) -> bool {
    let received = deliveries(ask(engine, receive("jobs", BATCH as u32, 0)));
    assert_eq!(received.len(), BATCH);
    let handle = engine.handle();
    let locations: Vec<Location> = received.into_iter().map(|received| received.location).collect();
    let hot: Option<Vec<_>> = handle.read_hot(locations.iter()).into_iter().collect();
    let is_hot = hot.is_some();
    let messages = hot.unwrap_or_else(|| handle.read_all(&locations));
    if handle.reads_on() {
        handle.read_on();
    }
    let payload = |read: Result<StoredMessage, _>| read.unwrap().payload;
    for (payload, number) in messages.into_iter().map(payload).zip(batch * BATCH..) {
        assert!(payload == body(number), "message {number} is another");
    }
    is_hot
}

#[test]
fn a_backlog_is_in_memory_when_it_is_wanted() {
    let data = tempfile::tempdir().unwrap();
    let engine = open(data.path());
    // Three segments.
    send(&engine, 0..300);
    let cold = (0..300).filter(|batch| !read(&engine, *batch)).count();
    // The first of each segment, which tell that somebody reads there.
    assert!((1..=9).contains(&cold), "{cold} batches of 300 had to wait for the disk");
    engine.shutdown().unwrap();
}

#[test]
fn what_is_sent_while_a_backlog_is_read_is_read_too() {
    let data = tempfile::tempdir().unwrap();
    let engine = open(data.path());
    // What is read ahead ends among zeros, time and again, and more is written there.
    send(&engine, 0..6);
    for batch in 0..200 {
        send(&engine, batch + 6..batch + 7);
        read(&engine, batch);
    }
    engine.shutdown().unwrap();
}
