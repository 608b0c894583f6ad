//! Without this: a consumer of a FIFO queue whose answer was lost would wait for the timeout of
//! messages that it never got, and the groups with it.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, deliveries};
use forebay_engine::RequestError;
use forebay_engine::command::{Command, Delivery, TransactAcks};
use forebay_engine::receipt::SealedReceipt;

const QUEUE: &str = "line.fifo";

fn client() -> Client {
    let mut client = Client::new();
    client.create_fifo(QUEUE);
    let batch =
        [("a", Some(1), "a1"), ("a", Some(2), "a2"), ("b", Some(3), "b1"), ("b", Some(4), "b2")];
    client.send_in_groups(QUEUE, &batch);
    client
}

fn attempt(queue: &str, name: &str) -> Command {
    Command::Receive {
        queue: queue.to_owned(),
        max: 2,
        wait_ms: Some(0),
        visibility_ms: Some(10_000),
        bytes_max: u64::MAX,
        attempt: Some(name.to_owned()),
    }
}

fn receipts(deliveries: &[Delivery]) -> Vec<SealedReceipt> {
    deliveries.iter().map(|delivery| delivery.receipt).collect()
}

fn receive(client: &mut Client, name: &str) -> Vec<Delivery> {
    deliveries(client.ask(attempt(QUEUE, name)))
}

#[test]
fn with_the_same_receipts_and_a_new_timeout() {
    let mut client = client();
    let first = receive(&mut client, "x");
    client.advance(9_000);
    let again = receive(&mut client, "x");
    assert_eq!(receipts(&again), receipts(&first));
    assert_eq!(again.iter().map(|d| d.receive_count).collect::<Vec<_>>(), [1, 1]);
    client.advance(9_000);
    assert_eq!(client.counts(QUEUE), [2, 2, 0, 0], "the timeout began again");
    client.ack(QUEUE, again[0].receipt).unwrap();
}

#[test]
fn who_waits_for_the_messages_gets_them_when_the_new_timeout_ends() {
    let mut client = client();
    let mut of_all = attempt(QUEUE, "x");
    let set = |command: &mut Command, ms| {
        if let Command::Receive { max, visibility_ms, .. } = command {
            (*max, *visibility_ms) = (4, Some(ms));
        }
    };
    set(&mut of_all, 30_000);
    assert_eq!(deliveries(client.ask(of_all.clone())).len(), 4);
    let wait = client.begin(client::receive(QUEUE, 4, 20_000, 60_000));
    set(&mut of_all, 1_000);
    assert_eq!(deliveries(client.ask(of_all)).len(), 4);
    client.advance(999);
    assert_eq!(client.answer(wait), None);
    client.advance(1);
    client.store().commit().unwrap();
    assert!(client.answer(wait).is_some(), "the timeout has ended");
}

#[test]
fn another_attempt_gets_others() {
    let mut client = client();
    let first = receive(&mut client, "x");
    let second = receive(&mut client, "y");
    assert!(first.iter().all(|a| second.iter().all(|b| a.seq != b.seq)));
    assert_eq!(second.len(), 2);
}

#[test]
fn not_when_one_of_them_was_deleted_or_changed() {
    let touch = |command: &dyn Fn(SealedReceipt) -> Command| {
        let mut client = client();
        let first = receive(&mut client, "x");
        let other = receive(&mut client, "y");
        client.ask(command(first[1].receipt)).unwrap();
        let refused = || Err(RequestError::AttemptSpent { attempt: "x".to_owned() });
        assert_eq!(client.ask(attempt(QUEUE, "x")), refused());
        assert_eq!(receipts(&receive(&mut client, "y")), receipts(&other), "it is another attempt");
        // Also when its leases have ended: for five minutes.
        client.advance(300_000);
        assert_eq!(client.ask(attempt(QUEUE, "x")), refused());
        client.advance(1);
        assert!(!receive(&mut client, "x").is_empty(), "a new receive");
    };
    let queue = || QUEUE.to_owned();
    touch(&|receipt| Command::Ack { queue: queue(), receipts: vec![receipt] });
    touch(&|receipt| Command::ChangeVisibility {
        queue: queue(),
        changes: vec![(receipt, 60_000)],
    });
    touch(&|receipt| Command::ChangeVisibility { queue: queue(), changes: vec![(receipt, 0)] });
    touch(&|receipt| Command::Nack {
        queue: queue(),
        receipts: vec![receipt],
        delay_ms: 0,
        is_counted: false,
        reason: String::new(),
    });
    touch(&|receipt| Command::Transact {
        acks: vec![TransactAcks { queue: queue(), receipts: vec![receipt] }],
        sends: vec![],
    });
}

#[test]
fn what_ran_out_or_reached_nobody_is_received_anew() {
    let mut client = client();
    let first = receive(&mut client, "x");
    for delivery in receive(&mut client, "of the other group") {
        client.ack(QUEUE, delivery.receipt).unwrap();
    }
    client.advance(10_000);
    assert_eq!(client.counts(QUEUE), [2, 0, 0, 0], "their leases have ended");
    let second = receive(&mut client, "x");
    assert_eq!(second.iter().map(|d| d.seq).collect::<Vec<_>>(), [first[0].seq, first[1].seq]);
    assert_ne!(receipts(&second), receipts(&first));
    let queue = QUEUE.to_owned();
    let returned = Command::ReturnUndelivered { queue, receipts: receipts(&second), delay_ms: 0 };
    client.ask(returned).unwrap();
    let third = receive(&mut client, "x");
    assert_eq!(third.iter().map(|d| d.receive_count).collect::<Vec<_>>(), [3, 3]);
    // The newest of them is the one that may be made again.
    assert_eq!(receipts(&receive(&mut client, "x")), receipts(&third));
    client.ack(QUEUE, third[0].receipt).unwrap();
    client.ask(attempt(QUEUE, "x")).unwrap_err();
}

#[test]
fn for_five_minutes_from_the_last_time() {
    let mut client = client();
    let mut receive = |ms| {
        client.advance(ms);
        let mut long = attempt(QUEUE, "x");
        if let Command::Receive { visibility_ms, .. } = &mut long {
            *visibility_ms = Some(600_000);
        }
        receipts(&deliveries(client.ask(long)))
    };
    let first = receive(0);
    assert_eq!(receive(200_000), first);
    assert_eq!(receive(300_000), first);
    let other = receive(300_001);
    assert!(other.iter().all(|receipt| !first.contains(receipt)), "their leases have not ended");
    assert_eq!(other.len(), 2, "it is a new attempt");
}

#[test]
fn a_standard_queue_takes_no_notice_of_it() {
    let mut client = Client::new();
    client.create("jobs");
    client.send_all("jobs", &[b"1".to_vec(), b"2".to_vec(), b"3".to_vec()]);
    let first = deliveries(client.ask(attempt("jobs", "x")));
    let second = deliveries(client.ask(attempt("jobs", "x")));
    assert_eq!((first.len(), second.len()), (2, 1));
}
