//! Without this: a redrive of a FIFO queue would let a message overtake those before it in its group, where a full
//! disk gets space back while they are on their way.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use client::{Client, send};
use forebay_engine::attributes::{AttributeChanges, TextMap};
use forebay_engine::command::{Command, RedriveState};
use forebay_engine::{Options, RequestError};
use letters::{bodies_in, fifo, newest, policy, start};

const MIB: usize = 1 << 20;
const LARGE_BYTES: usize = MIB / 2;
const NOTES_BYTES: usize = 20_000;

/// Changes a queue, which takes a little more than `NOTES_BYTES` of the entry that fills.
fn note(client: &mut Client, at: usize) {
    let notes = TextMap::from([("n".to_owned(), format!("{at:NOTES_BYTES$}"))]);
    let attributes = AttributeChanges { notes: Some(notes), ..AttributeChanges::default() };
    let altered = Command::AlterQueue { name: "jobs".to_owned(), attributes: attributes.into() };
    let number = client.begin(altered);
    assert_eq!(client.answer(number), None, "it is in an entry that is not written yet");
}

#[test]
fn although_the_next_one_found_space() {
    let options = Options { segment_bytes: 8 << 20, ..Options::default() };
    let entry_bytes = 2 * options.group_bytes_max() as usize;
    let mut client = Client::with(options);
    client.create_fifo("dead.fifo");
    client.create_fifo("target.fifo");
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    client.create("jobs");
    let bodies = ["a".to_owned(), "b".repeat(LARGE_BYTES), "c".to_owned()];
    let messages: Vec<_> =
        (1..).zip(&bodies).map(|(id, body)| ("g", Some(id), body.as_str())).collect();
    client.send_in_groups("dead.fifo", &messages);
    // All three are marked, and will be read when the disk is full.
    start(&mut client, "dead.fifo", "target.fifo", 0);
    client.store().tick();
    client.disk.set_capacity(Some(client.disk.used() + (64 << 10)));
    loop {
        match client.ask(send("jobs", &"x".repeat(MIB - 1), None)) {
            Ok(_) => {}
            Err(RequestError::StorageFull { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // The entry that fills has room for the first and the last, but not for the one between them.
    let left = LARGE_BYTES / 2;
    (0..(entry_bytes - left) / (NOTES_BYTES + 100)).for_each(|at| note(&mut client, at));
    client.store().keep().unwrap();
    client.disk.set_capacity(None);
    client.store().commit().unwrap();
    client.keep();
    assert_eq!(newest(&mut client, "dead.fifo"), (RedriveState::Completed, 3, 3));
    let moved = bodies_in(&mut client, "target.fifo");
    assert_eq!(moved.iter().filter_map(|body| body.chars().next()).collect::<String>(), "abc");
}
