//! Without this: consumers that never ack could make a queue take memory without end.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive};
use forebay_engine::RequestError;
use forebay_engine::attributes::AttributeChanges;

fn client(name: &str, is_fifo: bool) -> Client {
    let mut client = Client::new();
    let attributes = AttributeChanges {
        in_flight_max: Some(3),
        fifo: is_fifo.then_some(true),
        ..Default::default()
    };
    client.create_with(name, attributes);
    client
}

#[test]
fn a_receive_gets_no_more_and_then_an_error_that_says_so() {
    let mut client = client("jobs", false);
    client.send_all("jobs", &vec![b"x".to_vec(); 10]);
    let received = client.receive_max("jobs", 9, 60_000);
    assert_eq!(received.len(), 3);
    let full = client.ask(receive("jobs", 1, 0, 60_000));
    assert!(matches!(full, Err(RequestError::InFlightFull { max: 3, .. })), "{full:?}");
    client.ack("jobs", received[0].receipt).unwrap();
    assert_eq!(client.receive_max("jobs", 9, 60_000).len(), 1);
}

#[test]
fn a_receive_that_waits_gets_one_when_another_is_acked() {
    let mut client = client("jobs", false);
    client.send_all("jobs", &vec![b"x".to_vec(); 10]);
    let received = client.receive_max("jobs", 9, 60_000);
    let wait = client.begin(receive("jobs", 9, 20_000, 60_000));
    assert_eq!(client.received(wait), None);
    client.ack("jobs", received[0].receipt).unwrap();
    assert_eq!(client.received(wait).map(|bodies| bodies.len()), Some(1));
}

#[test]
fn a_fifo_queue_gives_nothing_and_no_error() {
    let mut client = client("line.fifo", true);
    let batch: Vec<_> = (0..10).map(|id| ("a", Some(id), "x")).collect();
    client.send_in_groups("line.fifo", &batch);
    assert_eq!(client.receive_max("line.fifo", 9, 60_000).len(), 3);
    assert_eq!(client.receive_max("line.fifo", 9, 60_000).len(), 0);
}
