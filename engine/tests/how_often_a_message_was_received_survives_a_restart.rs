//! Without this: a message that kills its consumer would be new after each restart, and never be
//! recognised for what it is.

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use forebay_engine::LogTime;

#[test]
fn the_count_and_the_first_receive_stay() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "poison");
    let sent = client.store().now();
    client.advance(1_000);
    let first = client.store().now();
    for count in 1..=4 {
        let delivery = client.receive_one("jobs", 5_000);
        assert_eq!(delivery.receive_count, count);
        assert_eq!((delivery.sent, delivery.first_received), (sent, first));
        client.advance(5_000);
        client.commit_and_kill();
    }
}

#[test]
fn neither_a_changed_lease_nor_a_return_is_a_receive() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "work");
    let receipt = client.receive_one("jobs", 5_000).receipt;
    client.change("jobs", receipt, 9_000).unwrap();
    client.change("jobs", receipt, 0).unwrap();
    client.commit_and_kill();
    assert_eq!(client.receive_one("jobs", 5_000).receive_count, 2);
}

#[test]
fn a_receive_whose_record_a_crash_took_was_none() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "work");
    let lost = client.receive_one("jobs", 3_600_000);
    assert_ne!(lost.first_received, LogTime::default());
    client.kill();
    client.advance(10);
    let now = client.store().now();
    let delivery = client.receive_one("jobs", 5_000);
    assert_eq!((delivery.receive_count, delivery.first_received), (1, now));
}
