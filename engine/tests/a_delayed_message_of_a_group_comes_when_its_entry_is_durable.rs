//! Without this: a message whose delay passes while the disk still syncs the entry before it would not be
//! delivered until the store is opened again.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive};
use common::in_group;
use forebay_engine::command::{Command, NewMessage};
use forebay_engine::ids::Seq;

const QUEUE: &str = "tenants";
const DELAY_MS: u64 = 1_000;

/// A fair queue whose first message is in flight, and one whose delay has passed before its entry is closed.
fn due_before_it_is_written() -> Client {
    let mut client = Client::new();
    client.create(QUEUE);
    client.send_in_groups(QUEUE, &[("a", None, "first")]);
    assert_eq!(client.bodies(QUEUE, 600_000), ["first"]);
    let late = NewMessage { delay_ms: Some(DELAY_MS), ..in_group("b", None, b"late") };
    client.begin(Command::Send { queue: QUEUE.to_owned(), messages: vec![late], batch: None });
    client.advance(DELAY_MS);
    client
}

/// It comes once its entry is durable, and so does what was sent behind it.
fn comes(client: &mut Client) {
    client.store().commit().unwrap();
    assert_eq!(client.counts(QUEUE), [1, 1, 0, 0]);
    client.send_in_groups(QUEUE, &[("c", None, "next")]);
    assert_eq!(client.bodies(QUEUE, 600_000), ["late", "next"]);
}

#[test]
fn whoever_receives_meanwhile() {
    let mut client = due_before_it_is_written();
    let early = client.begin(receive(QUEUE, 10, 0, 600_000));
    assert_eq!(client.received(early), Some(Vec::new()), "nobody sees what is not durable");
    comes(&mut client);
}

#[test]
fn whoever_waits_for_it() {
    let mut client = due_before_it_is_written();
    let waiting = client.begin(receive(QUEUE, 10, 20_000, 600_000));
    client.advance(1);
    assert_eq!(client.received(waiting), None);
    client.store().commit().unwrap();
    assert_eq!(client.received(waiting), Some(vec!["late".to_owned()]));
}

#[test]
fn whoever_asks_about_it_meanwhile() {
    for seq in [None, Some(Seq(2))] {
        let mut client = due_before_it_is_written();
        client.begin(Command::Explain { queue: QUEUE.to_owned(), seq });
        comes(&mut client);
    }
}

#[test]
fn whoever_sends_the_queues_first_group_behind_it() {
    let mut client = Client::new();
    client.create(QUEUE);
    client.begin(client::send(QUEUE, "late", Some(DELAY_MS)));
    client.advance(DELAY_MS);
    let grouped = vec![in_group("c", None, b"next")];
    client.begin(Command::Send { queue: QUEUE.to_owned(), messages: grouped, batch: None });
    client.begin(receive(QUEUE, 10, 0, 600_000));
    client.store().commit().unwrap();
    assert_eq!(client.bodies(QUEUE, 600_000), ["late", "next"]);
}
