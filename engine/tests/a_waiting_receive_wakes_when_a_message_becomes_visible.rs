//! Without this: a consumer that waits would sleep through a message, or be handed one that the
//! next power cut takes back.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive, send};
use forebay_engine::command::Command;

/// A client with a queue, and a receive that waits for 20 s.
fn waiting() -> (Client, usize) {
    let mut client = Client::new();
    client.create("jobs");
    let wait = client.begin(receive("jobs", 10, 20_000, 60_000));
    (client, wait)
}

/// A client whose one message is leased for 10 s, and a receive that waits for it.
fn waiting_for_a_lease() -> (Client, usize, forebay_engine::receipt::SealedReceipt) {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "leased");
    let receipt = client.receive_one("jobs", 10_000).receipt;
    client.store().commit().unwrap();
    let wait = client.begin(receive("jobs", 10, 20_000, 60_000));
    assert_eq!(client.received(wait), None);
    (client, wait, receipt)
}

#[test]
fn by_a_send_and_only_when_it_is_durable() {
    let (mut client, wait) = waiting();
    let sent = client.begin(send("jobs", "new", None));
    client.advance(1_000);
    assert_eq!(client.received(wait), None, "nobody sees what a power cut may still take");
    assert_eq!(client.answer(sent), None);
    client.store().commit().unwrap();
    assert_eq!(client.received(wait), Some(vec!["new".to_owned()]));
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0], "it is leased to who waited");
}

#[test]
fn by_the_end_of_a_delay() {
    let (mut client, wait) = waiting();
    client.send_delayed("jobs", "later", Some(5_000));
    client.advance(4_999);
    assert_eq!(client.received(wait), None);
    client.advance(1);
    assert_eq!(client.received(wait), Some(vec!["later".to_owned()]));
}

#[test]
fn by_the_end_of_a_delay_that_ends_before_the_send_is_durable() {
    let (mut client, wait) = waiting();
    client.begin(send("jobs", "soon", Some(10)));
    client.advance(10);
    assert_eq!(client.received(wait), None);
    client.store().commit().unwrap();
    assert_eq!(client.received(wait), Some(vec!["soon".to_owned()]));
}

#[test]
fn by_the_end_of_a_lease() {
    let (mut client, wait, _) = waiting_for_a_lease();
    client.advance(9_999);
    assert_eq!(client.received(wait), None);
    client.advance(1);
    assert_eq!(client.received(wait), Some(vec!["leased".to_owned()]));
}

#[test]
fn by_a_visibility_timeout_changed_to_nothing() {
    let (mut client, wait, receipt) = waiting_for_a_lease();
    client.change("jobs", receipt, 0).unwrap();
    assert_eq!(client.received(wait), Some(vec!["leased".to_owned()]));
}

#[test]
fn by_a_visibility_timeout_made_shorter_or_longer_when_it_ends_then() {
    let (mut client, wait, receipt) = waiting_for_a_lease();
    client.change("jobs", receipt, 15_000).unwrap();
    client.advance(10_000);
    assert_eq!(client.received(wait), None, "the old end counts no more");
    client.change("jobs", receipt, 1_000).unwrap();
    client.advance(1_000);
    assert_eq!(client.received(wait), Some(vec!["leased".to_owned()]));
}

#[test]
fn by_a_message_that_its_receiver_never_got() {
    let (mut client, wait, receipt) = waiting_for_a_lease();
    let receipts = vec![receipt];
    client
        .ask(Command::ReturnUndelivered { queue: "jobs".to_owned(), receipts, delay_ms: 0 })
        .unwrap();
    assert_eq!(client.received(wait), Some(vec!["leased".to_owned()]));
}

#[test]
fn by_nothing_else() {
    let (mut client, wait) = waiting();
    client.create("other");
    client.send("other", "not yours");
    client.ask(Command::PurgeQueue { name: "jobs".to_owned() }).unwrap();
    client.advance(19_999);
    client.store().commit().unwrap();
    assert_eq!(client.received(wait), None);
}
