//! Queues with dead-letter queues, messages that die, and redrives, in a word each.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module that each test file includes and uses in part"
)]

use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Delivery, Peeked, RedriveInfo, RedriveState, Reply};
use forebay_engine::ids::{RedriveId, Seq};
use forebay_engine::{LogTime, RequestError, StoredMessage};

use crate::client::{Client, body_of};
use crate::common::peek;

/// A queue's dead letters go to that one when they were received so often.
pub fn policy(dead_letter_queue: &str, receive_count_max: u64) -> AttributeChanges {
    AttributeChanges {
        dead_letter_queue: Some(dead_letter_queue.to_owned()),
        receive_count_max: Some(receive_count_max),
        ..AttributeChanges::default()
    }
}

pub fn fifo(attributes: AttributeChanges) -> AttributeChanges {
    AttributeChanges { fifo: Some(true), ..attributes }
}

pub fn alter(client: &mut Client, name: &str, attributes: AttributeChanges) {
    let command = Command::AlterQueue { name: name.to_owned(), attributes: attributes.into() };
    assert_eq!(client.ask(command), Ok(Reply::Altered));
}

pub fn delete(client: &mut Client, name: &str) {
    let deleted = client.ask(Command::DeleteQueue { name: name.to_owned() });
    assert_eq!(deleted, Ok(Reply::Deleted));
}

/// A dead-letter queue "dead", and a queue "jobs" that gives a message out so often.
pub fn jobs_and_dead(client: &mut Client, receive_count_max: u64) {
    client.create("dead");
    client.create_with("jobs", policy("dead", receive_count_max));
}

/// Everything visible is received and comes back, until all of it has died.
pub fn let_die(client: &mut Client, queue: &str) {
    for _ in 0..10_000 {
        client.receive_max(queue, 1000, 0);
        client.keep();
        if client.counts(queue)[0] == 0 {
            return;
        }
    }
    panic!("{queue} is never empty");
}

/// A message of a queue as a consumer gets it, with what its dead letter tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub body: String,
    pub source: Option<String>,
    /// Queue and number.
    pub origin: (u32, u64),
    /// In all queues.
    pub receive_count: u32,
    pub sent: LogTime,
    pub first_received: LogTime,
    /// Why it was last given back, in whatever queue.
    pub reason: String,
}

pub fn told(client: &mut Client, delivery: &Delivery) -> Told {
    let stored: StoredMessage = client.store().read(&delivery.location).unwrap();
    let body = body_of(&stored);
    let reason = delivery.reason.as_deref().unwrap_or_default().to_owned();
    match stored.dead_letter {
        None => Told {
            body,
            source: None,
            origin: (delivery.location.queue.0, delivery.seq.0),
            receive_count: delivery.receive_count,
            sent: delivery.sent,
            first_received: delivery.first_received,
            reason,
        },
        Some(letter) => Told {
            body,
            source: Some(letter.source),
            origin: (letter.origin_queue.0, letter.origin_seq.0),
            receive_count: letter.receive_count + delivery.receive_count,
            sent: letter.sent,
            first_received: letter.first_received,
            reason: if reason.is_empty() { letter.reason } else { reason },
        },
    }
}

/// Receives one message, which must be there, and says what it tells.
pub fn receive_told(client: &mut Client, queue: &str, visibility_ms: u64) -> Told {
    let delivery = client.receive_one(queue, visibility_ms);
    told(client, &delivery)
}

/// What is in a queue, in the order of the numbers.
pub fn messages_in(client: &mut Client, queue: &str) -> Vec<Peeked> {
    let (mut found, mut from) = (Vec::new(), Some(Seq(1)));
    while let Some(seq) = from {
        let peeked = client.ask(peek(queue, seq, 100));
        let Ok(Reply::Peeked { messages, next, .. }) = peeked else { panic!("{peeked:?}") };
        found.extend(messages);
        from = next;
    }
    found
}

/// The bodies in a queue, in the order of their numbers.
pub fn bodies_in(client: &mut Client, queue: &str) -> Vec<String> {
    let messages = messages_in(client, queue);
    let body =
        |message: Peeked| body_of(&client.store().read(&message.location).expect("it can be read"));
    messages.into_iter().map(body).collect()
}

/// Why each message of a queue was last given back, in whatever queue, as a peek tells it.
pub fn reasons_in(client: &mut Client, queue: &str) -> Vec<String> {
    let messages = messages_in(client, queue);
    let reason = |message: Peeked| match message.reason {
        Some(reason) => reason.to_string(),
        None => {
            let stored = client.store().read(&message.location).expect("it can be read");
            stored.dead_letter.map_or_else(String::new, |letter| letter.reason)
        }
    };
    messages.into_iter().map(reason).collect()
}

pub fn start_command(queue: &str, destination: &str, rate: u64) -> Command {
    let (queue, destination) = (queue.to_owned(), destination.to_owned());
    Command::StartRedrive { queue, destination, rate }
}

pub fn start(client: &mut Client, queue: &str, destination: &str, rate: u64) -> RedriveId {
    match client.ask(start_command(queue, destination, rate)) {
        Ok(Reply::RedriveStarted { redrive, .. }) => redrive,
        other => panic!("{other:?}"),
    }
}

pub fn refused(client: &mut Client, command: Command) -> RequestError {
    client.ask(command).expect_err("it is refused")
}

/// The newest first.
pub fn list(client: &mut Client, queue: &str) -> Vec<RedriveInfo> {
    match client.ask(Command::ListRedrives { queue: queue.to_owned() }) {
        Ok(Reply::RedrivesListed { redrives }) => redrives,
        other => panic!("{other:?}"),
    }
}

/// State, moved, and to move of a queue's newest redrive.
pub fn newest(client: &mut Client, queue: &str) -> (RedriveState, u64, u64) {
    let redrives = list(client, queue);
    let newest = redrives.first().expect("there is one");
    (newest.state, newest.moved, newest.to_move)
}
