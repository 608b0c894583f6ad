//! Without this: of messages that depend on one another a later one could be worked on before, or
//! beside, an earlier one; or a group would wait for ever.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, deliveries, receive};
use common::{peek, tiny};
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Delivery, MessageState, Reply};
use forebay_engine::facts::Fact;
use forebay_engine::ids::Seq;
use forebay_engine::{Options, RequestError};

const QUEUE: &str = "line.fifo";

/// A FIFO queue with messages of groups; the first letter of a body is its group.
fn client(bodies: &[&str]) -> Client {
    let mut client = Client::new();
    client.create_fifo(QUEUE);
    send(&mut client, bodies);
    client
}

fn send(client: &mut Client, bodies: &[&str]) {
    for body in bodies {
        let id = body.bytes().fold(0u64, |id, byte| id << 8 | u64::from(byte));
        client.send_in_groups(QUEUE, &[(&body[..1], Some(id), body)]);
    }
}

fn take(client: &mut Client, max: u32, visibility_ms: u64) -> (Vec<Delivery>, Vec<String>) {
    let received = client.receive_max(QUEUE, max, visibility_ms);
    let bodies = received.iter().map(|delivery| client.body(delivery)).collect();
    (received, bodies)
}

fn bodies(client: &mut Client, max: u32) -> Vec<String> {
    take(client, max, 60_000).1
}

#[test]
fn a_receive_takes_what_one_group_gives_then_the_next() {
    let mut client = client(&["a1", "b1", "a2", "b2", "a3", "c1"]);
    assert_eq!(bodies(&mut client, 5), ["a1", "a2", "a3", "b1", "b2"]);
    assert_eq!(bodies(&mut client, 5), ["c1"]);
}

#[test]
fn a_message_in_flight_holds_back_those_behind_it_in_its_group_only() {
    let mut client = client(&["a1", "a2", "b1", "a3", "b2"]);
    assert_eq!(bodies(&mut client, 1), ["a1"]);
    assert_eq!(bodies(&mut client, 9), ["b1", "b2"]);
    assert_eq!(bodies(&mut client, 9), [""; 0]);
    send(&mut client, &["a4"]);
    assert_eq!(bodies(&mut client, 9), [""; 0], "one that was sent later too");
}

#[test]
fn an_ack_lets_the_next_one_go() {
    let mut client = client(&["a1", "a2", "a3"]);
    let (received, _) = take(&mut client, 2, 60_000);
    client.ack(QUEUE, received[1].receipt).unwrap();
    assert_eq!(bodies(&mut client, 9), [""; 0], "the first is in flight");
    client.ack(QUEUE, received[0].receipt).unwrap();
    assert_eq!(bodies(&mut client, 9), ["a3"]);
}

#[test]
fn when_the_first_comes_back_only_what_is_before_the_next_invisible_one_is_given() {
    let mut client = client(&["a1", "a2", "a3", "a4"]);
    let (received, _) = take(&mut client, 3, 60_000);
    client.change(QUEUE, received[0].receipt, 0).unwrap();
    assert_eq!(bodies(&mut client, 9), ["a1"]);
    client.change(QUEUE, received[1].receipt, 0).unwrap();
    assert_eq!(bodies(&mut client, 9), [""; 0], "the first is in flight again");
}

#[test]
fn a_lease_that_ends_gives_the_group_from_its_beginning() {
    let mut client = client(&["a1", "a2", "b1"]);
    take(&mut client, 1, 1_000);
    client.advance(999);
    assert_eq!(bodies(&mut client, 1), ["b1"]);
    client.advance(1);
    assert_eq!(bodies(&mut client, 9), ["a1", "a2"]);
}

#[test]
fn a_receive_that_waits_gets_what_an_ack_releases() {
    let mut client = client(&["a1", "a2"]);
    let (received, _) = take(&mut client, 1, 60_000);
    let wait = client.begin(receive(QUEUE, 9, 20_000, 60_000));
    assert_eq!(client.received(wait), None);
    client.ack(QUEUE, received[0].receipt).unwrap();
    assert_eq!(client.received(wait), Some(vec!["a2".to_owned()]));
}

#[test]
fn a_receipt_whose_lease_has_ended_deletes_nothing() {
    let mut client = client(&["a1", "a2"]);
    let (received, _) = take(&mut client, 1, 1_000);
    client.advance(1_000);
    let refused = client.ack(QUEUE, received[0].receipt);
    assert!(matches!(refused, Err(RequestError::ReceiptExpired { .. })), "{refused:?}");
    assert_eq!(bodies(&mut client, 9), ["a1", "a2"]);
}

/// The lease of both is lost; to give the second its lease again, and then to end that, would let it
/// come first while the walk has not passed the first.
#[test]
fn a_receipt_whose_lease_was_lost_brings_no_message_before_its_turn() {
    let mut client = client(&["a1", "a2"]);
    let (received, _) = take(&mut client, 2, 60_000);
    client.kill();
    let delay = AttributeChanges { delay_ms: Some(5_000), ..Default::default() };
    let (name, attributes) = (QUEUE.to_owned(), delay.into());
    client.ask(Command::AlterQueue { name, attributes }).unwrap();
    let refused = client.change(QUEUE, received[1].receipt, 0);
    assert!(matches!(refused, Err(RequestError::ReceiptExpired { .. })), "{refused:?}");
    assert_eq!(bodies(&mut client, 9), [""; 0]);
    client.advance(5_000);
    assert_eq!(bodies(&mut client, 9), ["a1", "a2"]);
}

#[test]
fn order_holds_over_a_restart_with_messages_in_flight() {
    for lose_snapshots in [false, true] {
        let mut client = client(&["a1", "a2", "b1", "a3"]);
        let (received, _) = take(&mut client, 1, 60_000);
        client.close();
        if lose_snapshots {
            for path in client.files_of("snap") {
                forebay_engine::disk::Disk::remove(&client.disk, &path).unwrap();
            }
        }
        client.open().unwrap();
        assert_eq!(bodies(&mut client, 9), ["b1"], "{lose_snapshots}");
        client.ack(QUEUE, received[0].receipt).unwrap();
        assert_eq!(bodies(&mut client, 9), ["a2", "a3"], "{lose_snapshots}");
    }
}

/// More messages of one group than one walk passes, and one of another behind them.
fn with_a_long_group() -> Client {
    let mut client = Client::with(Options { segment_bytes: 1 << 20, ..tiny() });
    client.create_fifo(QUEUE);
    for id in (0..70_000u64).step_by(500) {
        let batch: Vec<_> = (id..id + 500).map(|id| ("a", Some(id), "a")).collect();
        client.send_in_groups(QUEUE, &batch);
    }
    client.send_in_groups(QUEUE, &[("b", Some(u64::MAX), "b1")]);
    client
}

#[test]
fn a_long_locked_group_is_walked_over_once_and_hides_nothing() {
    let mut client = with_a_long_group();
    assert_eq!(bodies(&mut client, 1).len(), 1);
    // One walk is bounded: what is behind comes with the next.
    let found = (0..3).find_map(|_| bodies(&mut client, 1).pop());
    assert_eq!(found.as_deref(), Some("b1"));
    let memory = client.stats().memory;
    assert!(memory.timers_bytes < 10_000, "a stretch of one group takes nothing: {memory:?}");
}

#[test]
fn a_waiting_receive_gets_what_lies_behind_a_long_locked_group() {
    let mut client = with_a_long_group();
    bodies(&mut client, 1);
    let wait = client.begin(receive(QUEUE, 1, 20_000, 60_000));
    for _ in 0..3 {
        client.advance(1);
    }
    assert_eq!(client.received(wait), Some(vec!["b1".to_owned()]));
}

#[test]
fn a_receive_that_may_not_wait_is_told_nothing_before_the_walk_has_come_to_its_end() {
    let mut client = with_a_long_group();
    bodies(&mut client, 1);
    let asked = client.begin(receive(QUEUE, 1, 0, 60_000));
    assert_eq!(client.received(asked), None);
    let next = client.begin(receive(QUEUE, 1, 0, 60_000));
    client.advance(1);
    client.advance(1);
    client.store().commit().unwrap();
    assert_eq!(client.received(asked), Some(vec!["b1".to_owned()]));
    assert_eq!(client.received(next), Some(Vec::new()));
    let asked = client.begin(receive(QUEUE, 1, 0, 60_000));
    assert_eq!(client.received(asked), Some(Vec::new()), "now it is known");
}

#[test]
fn a_queues_delay_holds_for_what_is_stored_too() {
    let mut client = client(&["a1"]);
    client.clock.advance(1_000);
    let delay = |ms| Command::AlterQueue {
        name: QUEUE.to_owned(),
        attributes: AttributeChanges { delay_ms: Some(ms), ..Default::default() }.into(),
    };
    client.ask(delay(5_000)).unwrap();
    send(&mut client, &["b1"]);
    assert_eq!(bodies(&mut client, 9), [""; 0]);
    let wait = client.begin(receive(QUEUE, 1, 20_000, 60_000));
    client.advance(3_999);
    assert_eq!(client.received(wait), None);
    client.advance(1);
    assert_eq!(client.received(wait), Some(vec!["a1".to_owned()]));
    client.ask(delay(0)).unwrap();
    assert_eq!(bodies(&mut client, 9), ["b1"]);
}

#[test]
fn a_longer_delay_holds_back_what_was_visible_but_not_what_was_received() {
    let mut client = client(&["a1", "b1", "b2"]);
    take(&mut client, 1, 0);
    let delay = AttributeChanges { delay_ms: Some(5_000), ..Default::default() };
    let (name, attributes) = (QUEUE.to_owned(), delay.into());
    client.ask(Command::AlterQueue { name, attributes }).unwrap();
    assert_eq!(bodies(&mut client, 9), ["a1"]);
    client.advance(5_000);
    assert_eq!(bodies(&mut client, 9), ["b1", "b2"]);
}

/// As SQS counts them, and as a peek and an explanation tell them.
#[test]
fn what_a_queues_delay_holds_back_counts_as_delayed() {
    let mut client = client(&["a1", "b1"]);
    take(&mut client, 1, 60_000);
    client.clock.advance(1_000);
    let delay = |ms| Command::AlterQueue {
        name: QUEUE.to_owned(),
        attributes: AttributeChanges { delay_ms: Some(ms), ..Default::default() }.into(),
    };
    client.ask(delay(5_000)).unwrap();
    send(&mut client, &["a2", "c1"]);
    let sent = client.store().now();
    assert_eq!(client.counts(QUEUE), [0, 1, 3, 0], "what was received is not held back");
    let states = |client: &mut Client| -> Vec<_> {
        let Ok(Reply::Peeked { messages, .. }) = client.ask(peek(QUEUE, Seq(1), 10)) else {
            panic!("they are peeked");
        };
        messages.iter().map(|message| (message.state, message.visible_from)).collect()
    };
    let in_flight = (MessageState::InFlight { until: sent.plus_ms(59_000) }, None);
    let delayed = |ms| (MessageState::Delayed, Some(sent.plus_ms(ms)));
    assert_eq!(states(&mut client), [in_flight, delayed(4_000), delayed(5_000), delayed(5_000)]);
    let explain = |client: &mut Client, seq| {
        let command = Command::Explain { queue: QUEUE.to_owned(), seq };
        let Ok(Reply::Explained { facts, .. }) = client.ask(command) else { panic!("explained") };
        facts
    };
    let facts = explain(&mut client, None);
    let first_due = sent.plus_ms(4_000);
    assert!(facts.contains(&Fact::Delayed { messages: 3, first_due }), "{facts:?}");
    assert!(facts.contains(&Fact::QueueDelay { ms: 5_000 }), "{facts:?}");
    assert_eq!(explain(&mut client, Some(Seq(2))), [Fact::MessageDelayed]);
    client.advance(4_000);
    assert_eq!(client.counts(QUEUE), [1, 1, 2, 0]);
    client.commit_and_kill();
    assert_eq!(client.counts(QUEUE), [1, 1, 2, 0]);
    client.ask(delay(0)).unwrap();
    assert_eq!(client.counts(QUEUE), [3, 1, 0, 0]);
}

#[test]
fn what_was_purged_blocks_nobody() {
    let mut client = client(&["a1", "a2"]);
    take(&mut client, 1, 60_000);
    client.ask(Command::PurgeQueue { name: QUEUE.to_owned() }).unwrap();
    send(&mut client, &["a3"]);
    assert_eq!(bodies(&mut client, 9), ["a3"]);
}

#[test]
fn a_damaged_message_is_set_aside_and_its_group_goes_on() {
    let mut client = client(&["a1", "a2"]);
    let (received, _) = take(&mut client, 1, 0);
    let location = &received[0].location;
    let aside = Command::SetAside { queue: location.queue, seq: location.seq };
    client.ask(aside).unwrap();
    assert_eq!(bodies(&mut client, 9), ["a2"]);
    assert!(deliveries(client.ask(receive(QUEUE, 9, 0, 0))).is_empty());
}
