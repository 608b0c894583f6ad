//! Without this: a receive could hang for ever, or give up before the message that was due in time.

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive};
use forebay_engine::RequestError;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::Command;

#[test]
fn it_ends_empty_at_the_deadline_and_not_before() {
    let mut client = Client::new();
    client.create("jobs");
    let waits: Vec<_> =
        [3_000, 1, 20_000].map(|ms| client.begin(receive("jobs", 1, ms, 60_000))).into();
    for (ms, ended) in [(1, 1), (2_999, 0), (17_000, 2)] {
        client.advance(ms - 1);
        assert!(waits.iter().all(|wait| client.received(*wait).is_none()), "not before {ms}");
        client.advance(1);
        let empty = |wait: usize| (wait == ended).then(Vec::new);
        let received: Vec<_> = waits.iter().map(|wait| client.received(*wait)).collect();
        assert_eq!(received, [empty(0), empty(1), empty(2)]);
    }
    client.send("jobs", "too late");
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0], "nobody waits any more");
}

#[test]
fn a_message_that_is_due_at_the_deadline_is_given() {
    let mut client = Client::new();
    client.create("jobs");
    client.send_delayed("jobs", "just in time", Some(5_000));
    let wait = client.begin(receive("jobs", 1, 5_000, 60_000));
    client.advance(5_000);
    assert_eq!(client.received(wait), Some(vec!["just in time".to_owned()]));
}

#[test]
fn a_clock_that_leaps_ends_all_waits_in_one_tick() {
    let mut client = Client::new();
    for queue in ["a", "b", "c"] {
        client.create(queue);
    }
    let waits = ["a", "b", "c", "a"].map(|queue| client.begin(receive(queue, 1, 20_000, 60_000)));
    client.advance(client::DAY_MS * 365);
    assert!(waits.iter().all(|wait| client.received(*wait) == Some(Vec::new())));
}

#[test]
fn how_long_is_said_by_the_receive_or_by_the_queue() {
    let mut client = Client::new();
    let receive_wait_ms = Some(2_000);
    client.create_with("jobs", AttributeChanges { receive_wait_ms, ..Default::default() });
    let by_the_queue = Command::Receive {
        queue: "jobs".to_owned(),
        max: 1,
        wait_ms: None,
        visibility_ms: None,
        bytes_max: u64::MAX,
        attempt: None,
    };
    let wait = client.begin(by_the_queue);
    // Nothing is a length too: the receive's word counts before the queue's.
    let no_wait = client.begin(receive("jobs", 1, 0, 60_000));
    assert_eq!(client.received(no_wait), Some(Vec::new()));
    client.advance(1_999);
    assert_eq!(client.received(wait), None);
    client.advance(1);
    assert_eq!(client.received(wait), Some(Vec::new()));
}

#[test]
fn it_ends_with_the_queue() {
    let mut client = Client::new();
    client.create("jobs");
    let waits = [0; 3].map(|_| client.begin(receive("jobs", 1, 20_000, 60_000)));
    client.ask(Command::DeleteQueue { name: "jobs".to_owned() }).unwrap();
    for wait in waits {
        let name = "jobs".to_owned();
        assert_eq!(client.answer(wait), Some(Err(RequestError::UnknownQueue { name })));
    }
    // One of the same name has no part in it.
    client.create("jobs");
    client.send("jobs", "fresh");
    client.advance(20_000);
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
}
