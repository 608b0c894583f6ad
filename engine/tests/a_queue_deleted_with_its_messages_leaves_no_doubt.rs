//! Without this: where a producer still sends while its queue is deleted, a repair would take the bytes of those
//! messages for lost acks, and be in doubt of every message of every queue.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::path::Path;

use client::{Client, send};
use common::{DATA, peek};
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::Disk;
use forebay_engine::ids::Seq;
use forebay_engine::repair::examine;

#[test]
fn a_flipped_bit_costs_one_message_beside_it() {
    let mut client = Client::new();
    client.create("gone");
    client.create("jobs");
    client.send("jobs", "one");
    client.send("jobs", "two");
    client.store().commit().unwrap();
    // In one entry.
    for _ in 0..3 {
        client.begin(send("gone", &"x".repeat(500), None));
    }
    client.begin(Command::DeleteQueue { name: "gone".to_owned() });
    client.store().commit().unwrap();
    for _ in 0..40 {
        client.send("jobs", &"y".repeat(900));
    }
    client.keep_all();
    let peeked = client.ask(peek("jobs", Seq(2), 1));
    let Ok(Reply::Peeked { messages, .. }) = peeked else { panic!("it is there") };
    let location = messages[0].location.clone();
    client.stop();
    // They would know what there was.
    for path in client.files_of("snap") {
        client.disk.remove(&path).unwrap();
    }
    let byte = u64::from(location.offset + location.bytes - 1);
    client.disk.flip_bit(&location.segment.path, byte, 0).unwrap();
    let repair = examine(&client.disk, Path::new(DATA), &mut |_| {}).unwrap();
    assert_eq!(repair.losses().in_doubt(), 0);
}
