//! Without this: acks that let waiting receives have their messages could leave no room in the entry for what the
//! same command stores, and the process would end.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive};
use common::tiny;
use forebay_engine::Options;
use forebay_engine::command::{Command, Reply, TransactAcks, TransactSends};

const GROUPS: usize = 9;

#[test]
fn a_transaction_whose_acks_serve_others_has_room_for_its_sends() {
    let mut client = Client::with(Options { segment_bytes: 1 << 20, ..tiny() });
    client.create_fifo("line.fifo");
    client.create("next");
    let groups: Vec<String> = (0..GROUPS).map(|group| format!("group {group}")).collect();
    for (at, group) in (0..).zip(&groups) {
        for first in (at * 5_000..(at + 1) * 5_000u64).step_by(500) {
            let messages: Vec<_> =
                (first..first + 500).map(|number| (&**group, Some(number), "x")).collect();
            client.send_in_groups("line.fifo", &messages);
        }
    }
    client.store().commit().unwrap();
    let locked: Vec<_> =
        (0..GROUPS).map(|_| client.receive_max("line.fifo", 1, 60_000).remove(0)).collect();
    let waiting: Vec<_> =
        (0..GROUPS).map(|_| client.begin(receive("line.fifo", 4096, 20_000, 60_000))).collect();
    client.store().commit().unwrap();
    let body = vec![b'x'; 500_000];
    let transact = Command::Transact {
        acks: vec![TransactAcks {
            queue: "line.fifo".to_owned(),
            receipts: locked.iter().map(|delivery| delivery.receipt).collect(),
        }],
        sends: vec![TransactSends {
            queue: "next".to_owned(),
            messages: vec![common::message(&body, None)],
        }],
    };
    assert!(matches!(client.ask(transact), Ok(Reply::Transacted { .. })));
    client.store().commit().unwrap();
    for waiter in waiting {
        let received = client.received(waiter).expect("it was served");
        assert!(!received.is_empty());
    }
    assert_eq!(client.counts("next"), [1, 0, 0, 0]);
}
