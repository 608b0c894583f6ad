//! Without this: a consumer that repeats a receive while the first one still waits would get other messages, and
//! those of the first would wait for their timeout, with their groups.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use common::{Answer, in_group};
use forebay_engine::command::{Command, Reply};

const QUEUE: &str = "line.fifo";

fn client() -> Client {
    let mut client = Client::new();
    client.create_fifo(QUEUE);
    client
}

/// A receive of one message that waits for it, or does not.
fn attempt(name: &str, wait_ms: u64) -> Command {
    Command::Receive {
        queue: QUEUE.to_owned(),
        max: 1,
        wait_ms: Some(wait_ms),
        visibility_ms: Some(60_000),
        bytes_max: u64::MAX,
        attempt: Some(name.to_owned()),
    }
}

/// Two messages of two groups become visible at once.
fn send_two(client: &mut Client) {
    client.send_in_groups(QUEUE, &[("a", Some(1), "1"), ("b", Some(2), "2")]);
}

fn body(client: &mut Client, wait: usize) -> Vec<String> {
    client.received(wait).expect("it is answered")
}

#[test]
fn with_the_same_receipts() {
    let mut client = client();
    let waits = [client.begin(attempt("x", 5_000)), client.begin(attempt("x", 20_000))];
    send_two(&mut client);
    let answers = waits.map(|wait| client.answer(wait).expect("it is answered"));
    let receipts = |answer: &Answer| match answer {
        Ok(Reply::Received { deliveries, .. }) => {
            deliveries.iter().map(|delivery| (delivery.seq.0, delivery.receipt)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(receipts(&answers[0]), receipts(&answers[1]));
    assert_eq!(client.counts(QUEUE), [1, 1, 0, 0]);
    assert_eq!(client.bodies(QUEUE, 0), ["2"]);
}

#[test]
fn also_when_others_stand_between_them() {
    let mut client = client();
    let names = ["x", "y", "x", "z", "x", "y"];
    let waits = names.map(|name| client.begin(attempt(name, 20_000)));
    client.begin(client::receive(QUEUE, 1, 20_000, 0));
    send_two(&mut client);
    let of = |client: &mut Client, at: usize| client.received(waits[at]);
    for (at, expected) in [(0, "1"), (2, "1"), (4, "1"), (1, "2"), (5, "2")] {
        assert_eq!(of(&mut client, at), Some(vec![expected.to_owned()]), "{at}");
    }
    assert_eq!(of(&mut client, 3), None);
    client.send_in_groups(QUEUE, &[("c", Some(3), "3")]);
    assert_eq!(of(&mut client, 3), Some(vec!["3".to_owned()]));
}

#[test]
fn also_one_that_does_not_wait() {
    let mut client = client();
    client.send_in_groups(QUEUE, &[("a", Some(1), "1"), ("b", Some(2), "2")]);
    let held = client.receive(QUEUE, 5_000);
    assert_eq!(held.len(), 2);
    let waiting = client.begin(attempt("x", 20_000));
    // Nobody has told the store that the leases have ended.
    client.clock.advance(5_000);
    let at_once = client.begin(attempt("x", 0));
    assert_eq!(body(&mut client, waiting), ["1"]);
    assert_eq!(body(&mut client, at_once), ["1"]);
}

#[test]
fn a_wait_ends_at_its_own_time_also_when_it_has_gone_forward() {
    let mut client = client();
    let waits = [attempt("x", 1_000), attempt("y", 20_000), attempt("x", 2_000)];
    let waits = waits.map(|wait| client.begin(wait));
    client.advance(1_000);
    assert_eq!(body(&mut client, waits[0]), [""; 0]);
    client.advance(1_000);
    assert_eq!(body(&mut client, waits[2]), [""; 0]);
    let message = in_group("a", Some(1), b"1");
    let send = Command::Send { queue: QUEUE.to_owned(), messages: vec![message], batch: None };
    client.ask(send).unwrap();
    assert_eq!(body(&mut client, waits[1]), ["1"]);
}
