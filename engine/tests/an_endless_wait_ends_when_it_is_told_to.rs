//! Without this: a subscriber that has gone would stand in line for ever, or take a message with it;
//! or one that is there would be passed over.

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive};
use forebay_engine::RequestError;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Reply};
use forebay_engine::ids::{QueueId, WaitId};

fn wait_for(queue: u32, wait: u64, max: u32) -> Command {
    Command::Await {
        queue: QueueId(queue),
        wait: WaitId(wait),
        max,
        visibility_ms: None,
        bytes_max: u64::MAX,
    }
}

fn end(wait: u64) -> Command {
    Command::EndWait { wait: WaitId(wait) }
}

fn one(body: &str) -> Option<Vec<String>> {
    Some(vec![body.to_owned()])
}

#[test]
fn it_takes_what_is_there_or_whatever_comes_however_late() {
    let mut client = Client::new();
    let queue = client.create_for_ever("jobs");
    client.send("jobs", "there");
    let first = client.begin(wait_for(queue, 1, 10));
    assert_eq!(client.received(first), one("there"));
    // The same number waits again.
    let second = client.begin(wait_for(queue, 1, 10));
    client.advance(client::DAY_MS * 365);
    client.store().commit().unwrap();
    // The lease of the first has ended meanwhile.
    assert_eq!(client.received(second), one("there"));
    let third = client.begin(wait_for(queue, 1, 10));
    client.send_delayed("jobs", "late", Some(client::DAY_MS * 1000));
    client.advance(30_000);
    assert_eq!(client.received(third), one("there"));
    let fourth = client.begin(wait_for(queue, 1, 1));
    client.advance(client::DAY_MS * 1000);
    assert!(client.received(fourth).is_some());
}

#[test]
fn it_stands_in_one_line_with_receives() {
    let mut client = Client::new();
    let queue = client.create("jobs");
    let endless = client.begin(wait_for(queue, 1, 1));
    let receive = client.begin(receive("jobs", 1, 20_000, 60_000));
    let last = client.begin(wait_for(queue, 2, 1));
    for (body, waits) in [("0", endless), ("1", receive), ("2", last)] {
        client.send("jobs", body);
        assert_eq!(client.received(waits), one(body));
    }
}

#[test]
fn once_ended_it_takes_no_message_and_the_others_wait_on() {
    let mut client = Client::new();
    let queue = client.create("jobs");
    let waits = [1, 2, 3].map(|wait| client.begin(wait_for(queue, wait, 1)));
    for wait in [2, 1] {
        assert_eq!(client.ask(end(wait)), Ok(Reply::WaitEnded));
    }
    assert_eq!(client.received(waits[0]), Some(Vec::new()));
    assert_eq!(client.received(waits[1]), Some(Vec::new()));
    client.send("jobs", "for the third");
    assert_eq!(client.received(waits[2]), one("for the third"));
    // Of one that was answered, and of one that never was.
    for wait in [3, 4] {
        assert_eq!(client.ask(end(wait)), Ok(Reply::WaitEnded));
    }
    client.send("jobs", "for nobody");
    assert_eq!(client.counts("jobs"), [1, 1, 0, 0]);
}

#[test]
fn it_ends_with_its_queue_and_knows_no_other_of_the_name() {
    let mut client = Client::new();
    let queue = client.create("jobs");
    let wait = client.begin(wait_for(queue, 1, 1));
    client.ask(Command::DeleteQueue { name: "jobs".to_owned() }).unwrap();
    assert!(matches!(client.answer(wait), Some(Err(RequestError::UnknownQueue { .. }))));
    client.create("jobs");
    client.send("jobs", "of another queue");
    let again = client.ask(wait_for(queue, 1, 1));
    assert!(matches!(again, Err(RequestError::UnknownQueue { .. })), "{again:?}");
}

#[test]
fn its_leases_last_as_long_as_the_queue_says_when_they_are_given() {
    let mut client = Client::new();
    let queue = client.create("jobs");
    let wait = client.begin(wait_for(queue, 1, 1));
    let attributes =
        AttributeChanges { visibility_timeout_ms: Some(5_000), ..AttributeChanges::default() };
    client
        .ask(Command::AlterQueue { name: "jobs".to_owned(), attributes: attributes.into() })
        .unwrap();
    client.send("jobs", "one");
    assert_eq!(client.received(wait), one("one"));
    client.advance(4_999);
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
    client.advance(1);
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
}

#[test]
fn what_it_asks_for_is_checked() {
    let mut client = Client::new();
    let queue = client.create("jobs");
    for max in [0, 4097] {
        let refused = client.ask(wait_for(queue, 1, max));
        assert!(matches!(refused, Err(RequestError::OutOfRange { parameter: "max", .. })));
    }
}
