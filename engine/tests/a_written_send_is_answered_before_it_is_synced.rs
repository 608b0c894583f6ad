//! Without this: a queue whose owner chose speed over power cuts would wait for the disk all the
//! same; or a sender who chose safety would get an answer too early.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

use client::{Client, send};
use common::engine::start;
use common::gate::GatedDisk;
use forebay_engine::Options;
use forebay_engine::attributes::{AttributeChanges, Durability};
use forebay_engine::command::{Command, ProducerBatch, Reply};
use forebay_engine::disk::{Fault, SimDisk};
use forebay_engine::ids::ProducerId;

fn fast() -> AttributeChanges {
    AttributeChanges { durability: Some(Durability::Written), ..Default::default() }
}

fn client() -> Client {
    let mut client = Client::new();
    client.create_with("fast", fast());
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
fn and_not_before_it_is_written() {
    let disk = GatedDisk::new(SimDisk::new(1));
    let running = start(Arc::new(disk.clone()), Options::default());
    let (name, attributes) = ("fast".to_owned(), fast().into());
    running.ask(Command::CreateQueue { name, attributes }).unwrap();
    disk.close();
    disk.close_writes();
    let sent = running.submit(send("fast", "fast", None));
    disk.wait_for_a_write();
    // The core has heard of everything that was told before, once it answers this.
    let describe = Command::DescribeQueue { name: "fast".to_owned() };
    running.ask(describe).unwrap();
    assert_eq!(sent.try_recv(), Err(TryRecvError::Empty), "it is not written");
    disk.open_writes();
    sent.recv().unwrap().expect("it is written, and its sync hangs");
    disk.open(false);
    running.engine.shutdown().unwrap();
}

#[test]
fn what_was_answered_survives_a_killed_process() {
    // At the write, and at the sync behind it.
    for (operation, is_written) in [(0, false), (1, true)] {
        let mut client = client();
        let fast = client.begin(send("fast", "fast", None));
        client.disk.fail_at(client.disk.operations() + operation, Fault::Crash);
        client.store().commit().unwrap_err();
        let is_answered = matches!(client.answer(fast), Some(Ok(Reply::Sent(_))));
        assert_eq!(is_answered, is_written);
        client.kill();
        let bodies = client.bodies("fast", 0);
        assert!(bodies == ["fast"] || !is_answered && bodies.is_empty(), "{bodies:?}");
    }
}

/// Or the test above would not show anything.
#[test]
fn and_was_not_synced_then() {
    let mut client = client();
    let fast = client.begin(send("fast", "fast", None));
    client.disk.fail_at(client.disk.operations() + 1, Fault::Io);
    client.store().commit().unwrap_err();
    assert!(matches!(client.answer(fast), Some(Ok(Reply::Sent(_)))));
    client.stop();
    // A power cut that takes all it can.
    client.disk.crash_way(0);
    client.open().unwrap();
    assert!(client.bodies("fast", 0).is_empty());
}
