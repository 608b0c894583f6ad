//! Without this: a program that asks once, as programs of SQS do, would be told that there is nothing, and
//! find neither the dead letter in its queue nor the next message of its group.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use client::{Client, receive};
use forebay_engine::RequestError;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::Command;
use forebay_engine::disk::Fault;
use letters::{bodies_in, delete, fifo, jobs_and_dead, let_die, policy, start};

/// The longest wait.
const WAIT_MS: u64 = 1_000;

/// A dead-letter queue "dead", and a queue "jobs" whose messages, sent as one group and received once, die.
fn dying_group(client: &mut Client, bodies: &[&str]) {
    client.create_with("dead.fifo", fifo(AttributeChanges::default()));
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    let messages: Vec<_> = (0..).zip(bodies).map(|(id, body)| ("group", Some(id), *body)).collect();
    client.send_in_groups("jobs.fifo", &messages);
}

fn ask_once(client: &mut Client, queue: &str) -> usize {
    client.begin(receive(queue, 10, 0, 60_000))
}

#[test]
fn it_is_answered_when_they_can_be_seen_where_they_are() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "poison");
    client.receive_one("jobs", 0);
    let asked = ask_once(&mut client, "jobs");
    client.store().commit().unwrap();
    assert_eq!(client.received(asked), None, "it moves");
    assert!(client.store().keep().unwrap());
    assert_eq!(client.received(asked), None, "it has moved, and nobody may see it yet");
    client.store().commit().unwrap();
    assert_eq!(client.received(asked), Some(Vec::new()));
    assert_eq!(bodies_in(&mut client, "dead"), ["poison"]);
}

#[test]
fn it_gets_the_next_message_of_the_group() {
    let mut client = Client::new();
    dying_group(&mut client, &["1", "2"]);
    client.receive_one("jobs.fifo", 0);
    let asked = ask_once(&mut client, "jobs.fifo");
    client.keep();
    assert_eq!(client.received(asked), Some(vec!["2".to_owned()]));
    assert_eq!(bodies_in(&mut client, "dead.fifo"), ["1"]);
}

#[test]
fn it_waits_for_all_of_a_group_that_die_one_after_the_other() {
    let mut client = Client::new();
    let bodies = ["1", "2", "3", "4", "5"];
    dying_group(&mut client, &bodies);
    assert_eq!(client.receive("jobs.fifo", 0).len(), bodies.len());
    let asked = ask_once(&mut client, "jobs.fifo");
    client.keep();
    assert_eq!(client.received(asked), Some(Vec::new()));
    assert_eq!(bodies_in(&mut client, "dead.fifo"), bodies);
}

#[test]
fn an_attempt_that_waited_may_be_made_again() {
    let mut client = Client::new();
    dying_group(&mut client, &["1", "2"]);
    client.receive_one("jobs.fifo", 0);
    let attempt = || Command::Receive {
        queue: "jobs.fifo".to_owned(),
        max: 10,
        wait_ms: Some(0),
        visibility_ms: Some(60_000),
        bytes_max: u64::MAX,
        attempt: Some("attempt".to_owned()),
    };
    let asked = client.begin(attempt());
    client.keep();
    assert_eq!(client.received(asked), Some(vec!["2".to_owned()]));
    let again = client.begin(attempt());
    assert_eq!(client.received(again), Some(vec!["2".to_owned()]));
}

#[test]
fn who_came_before_is_served_before() {
    let mut client = Client::new();
    dying_group(&mut client, &["1", "2"]);
    client.receive_one("jobs.fifo", 0);
    let patient = client.begin(receive("jobs.fifo", 10, 20_000, 60_000));
    let asked = ask_once(&mut client, "jobs.fifo");
    client.keep();
    assert_eq!(client.received(patient), Some(vec!["2".to_owned()]));
    assert_eq!(client.received(asked), Some(Vec::new()));
}

#[test]
fn a_message_that_comes_meanwhile_ends_the_wait() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "poison");
    client.receive_one("jobs", 0);
    let asked = ask_once(&mut client, "jobs");
    client.send("jobs", "sound");
    client.store().commit().unwrap();
    assert_eq!(client.received(asked), Some(vec!["sound".to_owned()]));
}

#[test]
fn it_waits_a_second_and_no_longer() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "poison");
    client.receive_one("jobs", 0);
    let asked = ask_once(&mut client, "jobs");
    client.advance(WAIT_MS - 1);
    assert_eq!(client.received(asked), None);
    client.advance(1);
    assert_eq!(client.received(asked), Some(Vec::new()));
    client.keep();
    assert_eq!(bodies_in(&mut client, "dead"), ["poison"]);
}

#[test]
fn it_does_not_wait_for_what_cannot_be_read() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", &"poison".repeat(500));
    // More than the tail cache keeps.
    client.create("others");
    client.send("others", &"x".repeat(4000));
    client.receive("jobs", 0);
    let asked = ask_once(&mut client, "jobs");
    client.disk.fail_at(client.disk.operations(), Fault::ReadIo);
    assert!(client.store().keep().is_ok());
    client.disk.clear_faults();
    client.keep();
    assert_eq!(client.received(asked), Some(Vec::new()));
    let asked = ask_once(&mut client, "jobs");
    assert_eq!(client.received(asked), Some(Vec::new()), "until it is read again");
}

#[test]
fn it_does_not_wait_for_what_a_redrive_moves() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "poison");
    let_die(&mut client, "jobs");
    start(&mut client, "dead", "", 0);
    client.store().tick();
    assert_eq!(client.counts("dead")[0], 1, "it has not moved yet");
    let asked = ask_once(&mut client, "dead");
    assert_eq!(client.received(asked), Some(Vec::new()));
    client.keep();
    assert_eq!(bodies_in(&mut client, "jobs"), ["poison"]);
}

/// More than move at once: those of other queues, and then its own.
#[test]
fn it_waits_for_its_turn() {
    let mut client =
        Client::with(forebay_engine::Options { segment_bytes: 4 << 20, ..common::tiny() });
    jobs_and_dead(&mut client, 1);
    client.create_with("more", policy("dead", 1));
    for _ in 0..15 {
        client.send_all("jobs", &vec![vec![b'x'; 100]; 100]);
    }
    client.send("more", "poison");
    client.receive_one("more", 0);
    for _ in 0..15 {
        client.receive_max("jobs", 100, 60_000);
    }
    client.advance(60_000);
    let first = ask_once(&mut client, "jobs");
    let second = ask_once(&mut client, "more");
    client.keep();
    assert_eq!(client.received(first), Some(Vec::new()));
    assert_eq!(client.received(second), Some(Vec::new()));
    assert_eq!((client.counts("jobs")[0], client.counts("more")[0]), (0, 0));
    assert_eq!(client.counts("dead")[0], 1501);
}

#[test]
fn it_ends_with_its_queue_and_with_the_store() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.create_with("more", policy("dead", 1));
    for queue in ["jobs", "more"] {
        client.send(queue, "poison");
        client.receive_one(queue, 0);
    }
    let asked = ask_once(&mut client, "jobs");
    delete(&mut client, "jobs");
    let expected = RequestError::UnknownQueue { name: "jobs".to_owned() };
    assert_eq!(client.answer(asked), Some(Err(expected)));
    let asked = ask_once(&mut client, "more");
    assert_eq!(client.received(asked), None);
    client.close();
    assert_eq!(client.answer(asked).map(client::deliveries).map(|got| got.len()), Some(0));
}
