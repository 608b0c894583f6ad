//! Without this: a receive of one message that repeats one of many would write more than it was let in for, and end
//! the process.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, deliveries, send};
use forebay_engine::RequestError;
use forebay_engine::command::{Command, Delivery, Reply};
use forebay_engine::receipt::SealedReceipt;

const QUEUE: &str = "line.fifo";
const MESSAGES: u32 = 360;

fn attempt(max: u32) -> Command {
    Command::Receive {
        queue: QUEUE.to_owned(),
        max,
        wait_ms: Some(0),
        visibility_ms: Some(60_000),
        bytes_max: u64::MAX,
        attempt: Some("x".to_owned()),
    }
}

/// An attempt that got many messages.
fn client() -> (Client, Vec<Delivery>) {
    let mut client = Client::new();
    client.create_fifo(QUEUE);
    client.create("jobs");
    for first in (0..MESSAGES).step_by(20) {
        let ids = u64::from(first)..u64::from(first) + 20;
        let messages: Vec<_> = ids.map(|id| ("a", Some(id), "m")).collect();
        client.send_in_groups(QUEUE, &messages);
    }
    let received = deliveries(client.ask(attempt(MESSAGES)));
    assert_eq!(received.len(), MESSAGES as usize);
    (client, received)
}

fn receipts(deliveries: &[Delivery]) -> Vec<SealedReceipt> {
    deliveries.iter().map(|delivery| delivery.receipt).collect()
}

#[test]
fn what_fits_no_entry_any_more_comes_with_the_next() {
    let (mut client, first) = client();
    let again: Vec<usize> = (0..20).map(|_| client.begin(attempt(1))).collect();
    for _ in 0..20 {
        client.store().commit().unwrap();
    }
    for number in again {
        let answer = client.answer(number).expect("there was room for it");
        assert_eq!(receipts(&deliveries(answer)), receipts(&first));
    }
}

#[test]
fn on_a_full_disk_it_is_refused() {
    let (mut client, first) = client();
    client.disk.set_capacity(Some(client.disk.used() + (8 << 10)));
    while client.ask(send("jobs", &"x".repeat(500), None)).is_ok() {}
    let mut refused = 0;
    for _ in 0..40 {
        let number = client.begin(attempt(1));
        match client.answer(number) {
            Some(Ok(Reply::Received { deliveries, .. })) => {
                assert_eq!(receipts(&deliveries), receipts(&first));
            }
            Some(Err(RequestError::StorageFull { .. })) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "the log is full");
    client.store().commit().unwrap();
    // Deletes have room.
    client.ack(QUEUE, first[0].receipt).unwrap();
    client.kill();
    assert_eq!(client.counts(QUEUE)[1], u64::from(MESSAGES) - 1);
}
