//! Without this: whoever finds a message that failed again and again would have to guess why, and
//! an attempt that never was one would bring it nearer to the dead letters.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive};
use common::lose_derived;
use forebay_engine::RequestError;
use forebay_engine::attributes::VISIBILITY_MS_MAX;
use forebay_engine::command::{Command, MessageState, Reply};
use forebay_engine::record::REASON_BYTES_MAX;

/// Receive count and reason of the only message.
fn known(client: &mut Client) -> (u32, Option<String>) {
    let queue = client.show().remove("jobs").unwrap();
    let (_, message) = queue.messages.into_iter().next().unwrap();
    (message.receive_count, message.reason)
}

fn with_one_message() -> Client {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "work");
    client
}

/// Rolls the log on and lets everything be compacted that can be.
fn compact(client: &mut Client) {
    client.create("other");
    for _ in 0..8 {
        client.send_all("other", &vec![vec![0; 1000]; 5]);
        client.consume("other", 5, |_| true);
    }
    client.keep_all();
    assert!(client.stats().disk.compactions > 0);
    client.ask(Command::DeleteQueue { name: "other".to_owned() }).unwrap();
}

#[test]
fn it_comes_back_after_its_delay_and_wakes_who_waits() {
    let mut client = with_one_message();
    let receipt = client.receive_one("jobs", 60_000).receipt;
    let waiting = client.begin(receive("jobs", 1, 20_000, 60_000));
    client.nack("jobs", receipt, 5_000, true, "busy").unwrap();
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
    client.advance(4_999);
    assert_eq!(client.received(waiting), None);
    client.advance(1);
    assert_eq!(client.received(waiting), Some(vec!["work".to_owned()]));
    // At once.
    client.advance(60_000);
    let receipt = client.receive_one("jobs", 60_000).receipt;
    let waiting = client.begin(receive("jobs", 1, 20_000, 60_000));
    client.nack("jobs", receipt, 0, true, "").unwrap();
    assert_eq!(client.received(waiting), Some(vec!["work".to_owned()]));
}

#[test]
fn the_newest_reason_stays_through_crashes_receives_and_compaction() {
    let mut client = with_one_message();
    assert_eq!(known(&mut client), (0, None));
    let receipt = client.receive_one("jobs", 60_000).receipt;
    client.nack("jobs", receipt, 0, true, "no such customer").unwrap();
    client.commit_and_kill();
    let first = Some("no such customer".to_owned());
    assert_eq!(known(&mut client), (1, first.clone()));
    let receipt = client.receive_one("jobs", 60_000).receipt;
    assert_eq!(known(&mut client), (2, first.clone()), "a receive takes it not away");
    client.nack("jobs", receipt, 0, true, "").unwrap();
    assert_eq!(known(&mut client), (2, first.clone()), "nor does who has nothing to say");
    compact(&mut client);
    client.stop();
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    assert_eq!(known(&mut client), (2, first));
    let receipt = client.receive_one("jobs", 60_000).receipt;
    client.nack("jobs", receipt, 0, true, "still none").unwrap();
    compact(&mut client);
    client.kill();
    assert_eq!(known(&mut client), (3, Some("still none".to_owned())));
}

#[test]
fn an_attempt_that_does_not_count_is_taken_off_once() {
    let mut client = with_one_message();
    client.receive_one("jobs", 0);
    let first_received = client.store().now();
    client.advance(10);
    let receipt = client.receive_one("jobs", 60_000).receipt;
    // Who does not know whether it was heard says it again.
    for _ in 0..3 {
        client.nack("jobs", receipt, 1_000, false, "shutting down").unwrap();
        assert_eq!(known(&mut client).0, 1);
        client.commit_and_kill();
    }
    client.advance(1_000);
    let delivery = client.receive_one("jobs", 60_000);
    assert_eq!((delivery.receive_count, delivery.first_received), (2, first_received));
    client.nack("jobs", delivery.receipt, 0, false, "").unwrap();
    assert_eq!(known(&mut client).0, 1);
    compact(&mut client);
    client.stop();
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    assert_eq!(known(&mut client), (1, Some("shutting down".to_owned())));
}

#[test]
fn the_only_attempt_may_not_count_either() {
    let mut client = with_one_message();
    let first = client.receive_one("jobs", 60_000);
    client.nack("jobs", first.receipt, 0, false, "").unwrap();
    assert_eq!(known(&mut client), (0, None));
    client.advance(5);
    client.commit_and_kill();
    let again = client.receive_one("jobs", 60_000);
    assert_eq!((again.receive_count, again.first_received), (1, first.first_received));
}

#[test]
fn a_lease_that_a_crash_took_is_taken_off_no_earlier_one() {
    let mut client = with_one_message();
    client.receive_one("jobs", 0);
    client.commit_and_kill();
    let lost = client.receive_one("jobs", 60_000).receipt;
    client.kill();
    assert_eq!(known(&mut client).0, 1);
    client.nack("jobs", lost, 0, false, "why").unwrap();
    assert_eq!(known(&mut client), (1, Some("why".to_owned())));
    // One of which nothing is left is one, and then none.
    client.send("jobs", "second");
    client.receive_one("jobs", 60_000);
    let lost = client.receive_one("jobs", 60_000).receipt;
    client.kill();
    client.nack("jobs", lost, 60_000, false, "why").unwrap();
    let second = client.show().remove("jobs").unwrap().messages.remove(&2).unwrap();
    assert_eq!(second.receive_count, 0);
    assert!(matches!(second.state, MessageState::InFlight { .. }));
}

#[test]
fn only_a_receipt_that_still_holds_gives_back() {
    let mut client = with_one_message();
    let old = client.receive_one("jobs", 0).receipt;
    let new = client.receive_one("jobs", 1_000).receipt;
    let stale = client.nack("jobs", old, 0, false, "old");
    assert!(matches!(stale, Err(RequestError::ReceiptStale { .. })), "{stale:?}");
    let beyond = client.nack("jobs", new, VISIBILITY_MS_MAX + 1, true, "");
    assert!(matches!(beyond, Err(RequestError::OutOfRange { .. })), "{beyond:?}");
    client.advance(1_000);
    let beyond = client.nack("jobs", new, VISIBILITY_MS_MAX - 999, true, "");
    assert!(matches!(beyond, Err(RequestError::OutOfRange { .. })), "{beyond:?}");
    let reason = "x".repeat(REASON_BYTES_MAX);
    client.nack("jobs", new, VISIBILITY_MS_MAX - 1_000, true, &reason).unwrap();
    assert_eq!(known(&mut client), (2, Some(reason)));
    client.ack("jobs", new).unwrap();
    let gone = client.nack("jobs", new, 0, true, "");
    assert!(matches!(gone, Err(RequestError::MessageGone { .. })), "{gone:?}");
}

#[test]
fn a_reason_that_is_too_long_refuses_all_of_it() {
    let mut client = with_one_message();
    let receipts = vec![client.receive_one("jobs", 60_000).receipt];
    let (queue, reason) = ("jobs".to_owned(), "x".repeat(REASON_BYTES_MAX + 1));
    let nack = Command::Nack { queue, receipts, delay_ms: 0, is_counted: false, reason };
    let error = client.ask(nack).unwrap_err();
    assert_eq!(error.to_string(), "reason bytes is 257, expected 0 to 256");
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
    assert_eq!(known(&mut client), (1, None));
}

#[test]
fn what_was_said_of_a_message_goes_with_it() {
    let mut client = Client::new();
    client.create("jobs");
    for end in ["ack", "purge"] {
        client.send("jobs", "work");
        let receipt = client.receive_one("jobs", 60_000).receipt;
        client.nack("jobs", receipt, 60_000, true, "x".repeat(200).as_str()).unwrap();
        let with_reason = client.stats().memory.held_bytes;
        assert!(with_reason > 200);
        match end {
            "ack" => client.ack("jobs", receipt).unwrap(),
            _ => {
                let purged = client.ask(Command::PurgeQueue { name: "jobs".to_owned() });
                assert_eq!(purged, Ok(Reply::Purged { count: 1 }));
            }
        }
        assert_eq!(client.stats().memory.held_bytes, 0);
    }
}
