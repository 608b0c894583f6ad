//! Without this: a consumer that repeated a receive would lose the messages to another one as soon as the connection
//! of its first answer breaks, and nobody would know.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, deliveries};
use forebay_engine::command::{Command, Delivery};

const QUEUE: &str = "line.fifo";
const VISIBILITY_MS: u64 = 600_000;

/// A queue with two messages of one group.
fn client() -> Client {
    let mut client = Client::new();
    client.create_fifo(QUEUE);
    client.send_in_groups(QUEUE, &[("a", Some(1), "1"), ("a", Some(2), "2")]);
    client
}

/// Receives both, as the same attempt.
fn receive(client: &mut Client) -> Vec<Delivery> {
    let attempt = Command::Receive {
        queue: QUEUE.to_owned(),
        max: 2,
        wait_ms: Some(0),
        visibility_ms: Some(VISIBILITY_MS),
        bytes_max: u64::MAX,
        attempt: Some("x".to_owned()),
    };
    let received = deliveries(client.ask(attempt));
    assert_eq!(received.len(), 2);
    received
}

/// The connection of an answer breaks before these messages of it are written.
fn reach_nobody(client: &mut Client, messages: &[Delivery], delay_ms: u64) {
    let (queue, receipts) = (QUEUE.to_owned(), messages.iter().map(|d| d.receipt).collect());
    client.ask(Command::ReturnUndelivered { queue, receipts, delay_ms }).unwrap();
}

fn assert_exclusive(client: &mut Client) {
    assert_eq!(client.counts(QUEUE), [0, 2, 0, 0]);
    assert_eq!(client.bodies(QUEUE, 0), [""; 0]);
}

#[test]
fn whichever_of_them_breaks_the_other_keeps_the_messages() {
    let mut client = client();
    let first = receive(&mut client);
    let second = receive(&mut client);
    reach_nobody(&mut client, &first, 0);
    assert_exclusive(&mut client);
    // Another one is on its way, and breaks as well.
    let third = receive(&mut client);
    reach_nobody(&mut client, &third, 1_000);
    client.advance(2_000);
    assert_exclusive(&mut client);
    for delivery in second {
        client.ack(QUEUE, delivery.receipt).unwrap();
    }
    assert_eq!(client.counts(QUEUE), [0; 4]);
}

#[test]
fn when_all_of_them_break_the_messages_are_there_again() {
    let mut client = client();
    let answers = [receive(&mut client), receive(&mut client), receive(&mut client)];
    reach_nobody(&mut client, &answers[1], 0);
    reach_nobody(&mut client, &answers[0], 0);
    assert_exclusive(&mut client);
    reach_nobody(&mut client, &answers[2], 0);
    assert_eq!(client.counts(QUEUE), [2, 0, 0, 0]);
    // That is a new receive, of one answer.
    let anew = receive(&mut client);
    assert_ne!(anew[0].receipt, answers[0][0].receipt);
    reach_nobody(&mut client, &anew, 0);
    assert_eq!(client.counts(QUEUE), [2, 0, 0, 0]);
}

#[test]
fn each_message_is_counted_alone() {
    let mut client = client();
    let first = receive(&mut client);
    let second = receive(&mut client);
    // Of one answer the whole, of the other what the disk did not give.
    reach_nobody(&mut client, &first, 0);
    reach_nobody(&mut client, &second[1..], 0);
    assert_eq!(client.counts(QUEUE), [1, 1, 0, 0]);
    client.ack(QUEUE, second[0].receipt).unwrap();
    assert_eq!(client.bodies(QUEUE, 0), ["2"]);
}

#[test]
fn what_its_consumer_did_with_a_message_stays_so() {
    let mut client = client();
    let first = receive(&mut client);
    let second = receive(&mut client);
    client.change(QUEUE, second[0].receipt, 2 * VISIBILITY_MS).unwrap();
    client.nack(QUEUE, second[1].receipt, VISIBILITY_MS, true, "later").unwrap();
    reach_nobody(&mut client, &first, 0);
    client.advance(VISIBILITY_MS - 1);
    assert_exclusive(&mut client);
    client.ack(QUEUE, second[0].receipt).unwrap();
    client.advance(1);
    assert_eq!(client.bodies(QUEUE, 0), ["2"]);
}

#[test]
fn also_when_the_attempt_is_forgotten_by_then() {
    let mut client = client();
    let first = receive(&mut client);
    let second = receive(&mut client);
    client.advance(300_001);
    assert_exclusive(&mut client);
    reach_nobody(&mut client, &first, 0);
    assert_exclusive(&mut client);
    reach_nobody(&mut client, &second, 0);
    assert_eq!(client.counts(QUEUE), [2, 0, 0, 0]);
}

#[test]
fn also_among_thousands_that_have_ended() {
    let mut client = client();
    let kept = (receive(&mut client), receive(&mut client));
    let messages = |from: u64| -> Vec<_> {
        (from..from + 50).map(|at| (format!("g{at}"), Some(10 + at), at.to_string())).collect()
    };
    for from in (0..3_000).step_by(50) {
        let batch = messages(from);
        let batch: Vec<_> = batch.iter().map(|(g, id, body)| (&**g, *id, &**body)).collect();
        client.send_in_groups(QUEUE, &batch);
        let attempt = Command::Receive {
            queue: QUEUE.to_owned(),
            max: 50,
            wait_ms: Some(0),
            visibility_ms: Some(VISIBILITY_MS),
            bytes_max: u64::MAX,
            attempt: Some(format!("of {from}")),
        };
        assert_eq!(deliveries(client.ask(attempt.clone())).len(), 50);
        for delivery in deliveries(client.ask(attempt)) {
            client.ack(QUEUE, delivery.receipt).unwrap();
        }
    }
    reach_nobody(&mut client, &kept.0, 0);
    assert_exclusive(&mut client);
    reach_nobody(&mut client, &kept.1, 0);
    assert_eq!(client.counts(QUEUE), [2, 0, 0, 0]);
}
