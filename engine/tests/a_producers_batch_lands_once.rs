//! Without this: a producer whose answer was lost would store its batch twice, or would not dare to
//! send it again.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use common::message;
use forebay_engine::RequestError;
use forebay_engine::command::{Command, ProducerBatch, Reply};
use forebay_engine::ids::ProducerId;

fn batch(producer: u128, number: u64, oldest: u64, messages: usize) -> Command {
    Command::Send {
        queue: "jobs".to_owned(),
        messages: vec![message(&[0; 300], None); messages],
        batch: Some(ProducerBatch { producer: ProducerId(producer), number, oldest }),
    }
}

fn first(client: &mut Client, command: Command) -> u64 {
    match client.ask(command) {
        Ok(Reply::Sent(stored)) => stored.first.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whenever_it_is_sent_again() {
    let mut client = Client::new();
    client.create("jobs");
    assert_eq!(first(&mut client, batch(1, 1, 1, 2)), 1);
    assert_eq!(first(&mut client, batch(1, 1, 1, 2)), 1);
    assert_eq!(first(&mut client, batch(1, 2, 1, 2)), 3);
    assert_eq!(first(&mut client, batch(2, 1, 1, 2)), 5, "another producer's");
    assert_eq!(first(&mut client, batch(1, 1, 1, 2)), 1);
    assert_eq!(client.counts("jobs"), [6, 0, 0, 0]);
}

/// Over restarts, whatever of the snapshots and indexes is lost, and after compactions.
#[test]
fn over_restarts_and_compactions() {
    for lost in [0, 0x5555_5555, u64::MAX] {
        let mut client = Client::new();
        client.create("jobs");
        for number in 1..=100 {
            first(&mut client, batch(1, number, number.saturating_sub(9), 3));
            client.consume("jobs", 3, |_| true);
        }
        client.keep_all();
        assert!(client.stats().disk.compactions > 0);
        client.close();
        common::lose_derived(&client.disk, lost);
        client.open().unwrap();
        for number in 91..=100 {
            let again = first(&mut client, batch(1, number, 91, 3));
            assert_eq!(again, (number - 1) * 3 + 1, "{lost:x}");
        }
        assert_eq!(client.counts("jobs"), [0, 0, 0, 0]);
        let forgotten = client.ask(batch(1, 90, 90, 3));
        let is_forgotten =
            matches!(forgotten, Err(RequestError::BatchForgotten { oldest: 91, .. }));
        assert!(is_forgotten, "{forgotten:?}");
    }
}

/// The entry has both or neither: messages without the note that they landed would land again.
#[test]
fn after_a_crash_at_any_disk_operation() {
    for at in 0.. {
        let mut client = Client::new();
        client.create("jobs");
        let before = client.disk.operations();
        client.disk.fail_at(before + at, forebay_engine::disk::Fault::Crash);
        let number = client.begin(batch(1, 1, 1, 2));
        if client.store().commit().is_ok() {
            assert!(at > 1, "there were operations to crash at");
            return;
        }
        assert!(!matches!(client.answer(number), Some(Ok(_))), "{at}: nothing was answered");
        client.stop();
        client.disk.crash(at);
        client.open().unwrap();
        assert_eq!(first(&mut client, batch(1, 1, 1, 2)), 1);
        assert_eq!(client.counts("jobs"), [2, 0, 0, 0], "{at}");
    }
}
