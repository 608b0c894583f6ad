//! Without this: a queue whose owner chose speed over power cuts would wait for the disk all the
//! same; or a sender who chose safety would get an answer too early.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, send};
use forebay_engine::attributes::{AttributeChanges, Durability};
use forebay_engine::command::{Command, ProducerBatch, Reply};
use forebay_engine::disk::Fault;
use forebay_engine::ids::ProducerId;

fn client() -> Client {
    let mut client = Client::new();
    let fast = AttributeChanges { durability: Some(Durability::Written), ..Default::default() };
    client.create_with("fast", fast);
    client.create("safe");
    client
}

#[test]
fn the_sync_that_fails_fails_only_who_waits_for_it() {
    is_answered_although_the_sync_fails(send("fast", "fast", None));
}

#[test]
fn also_that_of_a_producer_which_may_send_it_again() {
    is_answered_although_the_sync_fails(Command::Send {
        queue: "fast".to_owned(),
        messages: vec![common::message(b"fast", None)],
        batch: Some(ProducerBatch { producer: ProducerId(7), number: 1, oldest: 1 }),
    });
}

fn is_answered_although_the_sync_fails(written: Command) {
    let mut client = client();
    let fast = client.begin(written);
    let safe = client.begin(send("safe", "safe", None));
    assert!(client.answer(fast).is_none(), "it is not written yet");
    // The write, then the sync.
    client.disk.fail_at(client.disk.operations() + 1, Fault::SyncDropsPages);
    client.store().commit().unwrap_err();
    assert!(matches!(client.answer(fast), Some(Ok(Reply::Sent(_)))));
    assert!(matches!(client.answer(safe), Some(Err(_))));
}

#[test]
fn what_was_answered_survives_a_killed_process() {
    let mut client = client();
    client.begin(send("fast", "fast", None));
    client.store().commit().unwrap();
    client.kill();
    assert_eq!(client.bodies("fast", 0), ["fast"]);
}
