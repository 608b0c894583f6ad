//! Without this: one rotten sector under an open store could be delivered as a message, take its
//! neighbours with it, or hold up the queue for ever.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive};
use common::peek;
use forebay_engine::ReadError;
use forebay_engine::command::{Command, MessageState, Peeked, Reply};
use forebay_engine::ids::{QueueId, Seq};
use forebay_engine::location::Location;

/// Ten messages of 1 KiB, more than the tail cache holds.
fn filled() -> (Client, Vec<Peeked>) {
    let mut client = Client::new();
    client.create("jobs");
    for number in 0..10 {
        client.send("jobs", &format!("{number}").repeat(1024));
    }
    let peeked = client.ask(peek("jobs", Seq(1), 10));
    let Ok(Reply::Peeked { messages, next: None, .. }) = peeked else {
        panic!("ten messages are there");
    };
    (client, messages)
}

fn flip(client: &Client, location: &Location, at: u32) {
    let path = &location.segment.path;
    client.disk.flip_bit(path, u64::from(location.offset + at), 0).unwrap();
}

#[test]
fn a_flip_anywhere_in_its_record_is_found_when_it_is_read_and_nowhere_else() {
    let (mut client, messages) = filled();
    let location = messages[2].location.clone();
    let path = &location.segment.path;
    // Length, kind, flags, seal, queue, seq, position, checksum, attributes, body.
    for at in [0, 4, 5, 6, 8, 12, 16, 24, 32, 36, 40, location.bytes - 1] {
        flip(&client, &location, at);
        match client.store().read(&location) {
            Err(ReadError::Damaged(damage)) => {
                assert_eq!(damage.path, *path);
                assert_eq!(damage.offset, u64::from(location.offset));
                assert_eq!(damage.bytes, u64::from(location.bytes));
                assert!(damage.detail.starts_with("message 3 of queue 1: "), "{damage}");
            }
            other => panic!("byte {at}: {other:?}"),
        }
        for (number, message) in messages.iter().enumerate().filter(|(number, _)| *number != 2) {
            let read = client.store().read(&message.location).unwrap();
            assert_eq!(read.payload, number.to_string().repeat(1024).as_bytes());
        }
        flip(&client, &location, at);
        client.store().read(&location).expect("whole again");
    }
}

#[test]
fn a_location_of_another_message_does_not_pass_for_it() {
    let (mut client, messages) = filled();
    let (a, b) = (messages[2].location.clone(), messages[3].location.clone());
    for wrong in [
        Location { seq: b.seq, ..a.clone() },
        Location { queue: QueueId(2), ..a.clone() },
        Location { offset: b.offset, ..a.clone() },
        Location { offset: a.offset + 1, ..a.clone() },
        Location { bytes: a.bytes - 1, ..a.clone() },
        Location { bytes: 3, ..a.clone() },
        Location { offset: u32::MAX, ..a.clone() },
    ] {
        let read = client.store().read(&wrong);
        assert!(matches!(read, Err(ReadError::Damaged(_))), "{wrong:?}: {read:?}");
    }
}

#[test]
fn it_is_set_aside_counted_and_in_nobodys_way() {
    let (mut client, messages) = filled();
    flip(&client, &messages[0].location, 100);
    let delivery = client.receive_one("jobs", 1_000);
    assert!(client.store().read(&delivery.location).is_err());
    let set_aside = Command::SetAside { queue: QueueId(1), seq: delivery.seq };
    assert_eq!(client.ask(set_aside.clone()), Ok(Reply::SetAside));
    assert_eq!(client.ask(set_aside), Ok(Reply::SetAside));
    assert_eq!(client.counts("jobs"), [9, 0, 0, 1]);
    client.advance(1_000);
    let next = client.receive_one("jobs", 1_000);
    assert_eq!(next.seq, Seq(2), "its lease does not bring it back");
    let peeked = client.ask(peek("jobs", Seq(1), 1));
    let Ok(Reply::Peeked { messages, .. }) = peeked else { panic!("it is shown") };
    assert_eq!((messages[0].seq, messages[0].state), (Seq(1), MessageState::Damaged));
    // Its consumer may delete it, and no more than that.
    client.change("jobs", delivery.receipt, 0).unwrap_err();
    client.ack("jobs", delivery.receipt).unwrap();
    assert_eq!(client.counts("jobs"), [8, 1, 0, 0]);
}

/// A receive that waits for the rest of its group would wait for the end of a lease that nobody has.
#[test]
fn whoever_waits_for_its_group_gets_the_next_when_it_is_set_aside() {
    let mut client = Client::new();
    client.create_fifo("line.fifo");
    client.send_in_groups("line.fifo", &[("a", Some(1), "first"), ("a", Some(2), "second")]);
    let first = client.receive_max("line.fifo", 1, 60_000).remove(0);
    let waiting = client.begin(receive("line.fifo", 1, 20_000, 60_000));
    assert_eq!(client.received(waiting), None);
    client.ask(Command::SetAside { queue: first.location.queue, seq: first.seq }).unwrap();
    assert_eq!(client.received(waiting), Some(vec!["second".to_owned()]));
}
