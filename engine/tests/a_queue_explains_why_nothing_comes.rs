//! Without this: whoever gets nothing from a queue, or misses one message, would have to guess why.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive};
use common::{lose_derived, message};
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Reply};
use forebay_engine::facts::Fact;
use forebay_engine::ids::{QueueId, Seq};

fn ask(client: &mut Client, seq: Option<Seq>) -> Vec<Fact> {
    let before = client.describe("jobs");
    let answer = client.ask(Command::Explain { queue: "jobs".to_owned(), seq });
    let Ok(Reply::Explained { queue, now, facts }) = answer else { panic!("{answer:?}") };
    assert_eq!((queue, now), (before.id, client.store().now()));
    assert_eq!(client.describe("jobs"), before, "nothing is touched");
    facts
}

/// What is so of the queue.
fn facts(client: &mut Client) -> Vec<Fact> {
    ask(client, None)
}

/// What is so of a message.
fn fact(client: &mut Client, seq: u64) -> Fact {
    let mut facts = ask(client, Some(Seq(seq)));
    assert_eq!(facts.len(), 1, "{facts:?}");
    facts.remove(0)
}

#[test]
fn of_a_queue_in_each_state_of_its_messages() {
    let mut client = Client::new();
    client.create_with("jobs", AttributeChanges { in_flight_max: Some(2), ..Default::default() });
    assert_eq!(facts(&mut client), [Fact::Empty]);
    client.send("jobs", "one");
    client.send("jobs", "two");
    let waiting = |messages, next| Fact::Waiting { messages, next: Some(Seq(next)) };
    assert_eq!(facts(&mut client), [waiting(2, 1)]);
    let now = client.store().now();
    client.receive_one("jobs", 5_000);
    let in_flight = Fact::InFlight { messages: 1, first_ends: now.plus_ms(5_000) };
    assert_eq!(facts(&mut client), [waiting(1, 2), in_flight]);
    client.advance(1_000);
    client.receive_one("jobs", 60_000);
    let in_flight = Fact::InFlight { messages: 2, first_ends: now.plus_ms(5_000) };
    let limit = Fact::InFlightLimit { max: 2 };
    assert_eq!(facts(&mut client), [in_flight.clone(), limit.clone()]);
    // What waits is not next while no more may be in flight, whoever is first.
    client.send("jobs", "late");
    let none_next = Fact::Waiting { messages: 1, next: None };
    assert_eq!(facts(&mut client), [none_next.clone(), in_flight.clone(), limit.clone()]);
    // Delays, by the message and by the queue.
    client.send_delayed("jobs", "three", Some(90_000));
    let first_due = client.store().now().plus_ms(90_000);
    let delayed = Fact::Delayed { messages: 1, first_due };
    assert_eq!(facts(&mut client), [none_next, delayed.clone(), in_flight, limit]);
    let attributes = AttributeChanges { delay_ms: Some(7_000), ..Default::default() };
    let alter = Command::AlterQueue { name: "jobs".to_owned(), attributes: attributes.into() };
    client.ask(alter).unwrap();
    client.advance(60_000);
    let now = client.store().now();
    client.send("jobs", "four");
    let delayed = Fact::Delayed { messages: 2, first_due: now.plus_ms(7_000) };
    assert_eq!(facts(&mut client), [waiting(3, 1), delayed, Fact::QueueDelay { ms: 7_000 }]);
}

#[test]
fn that_others_wait_in_line_or_the_disk_is_full() {
    let mut client = Client::new();
    client.create("jobs");
    client.begin(receive("jobs", 1, 20_000, 1));
    client.begin(receive("jobs", 1, 20_000, 1));
    assert_eq!(facts(&mut client), [Fact::Empty, Fact::ReceivesWait { receives: 2 }]);
    client.advance(20_000);
    client.create("other");
    client.disk.set_capacity(Some(client.disk.used() + 8192));
    let filler = || Command::Send {
        queue: "other".to_owned(),
        messages: vec![message(&[0; 900], None)],
        batch: None,
    };
    while client.ask(filler()).is_ok() {}
    let found = facts(&mut client);
    assert!(matches!(&found[..], [Fact::Empty, Fact::StorageFull { .. }]), "{found:?}");
}

#[test]
fn of_a_message_from_before_it_is_sent_until_after_it_is_gone() {
    let mut client = Client::new();
    client.create("jobs");
    assert_eq!(fact(&mut client, 1), Fact::MessageUnknown { next: Seq(1) });
    assert_eq!(fact(&mut client, 0), Fact::MessageUnknown { next: Seq(1) });
    client.send("jobs", "one");
    client.send_delayed("jobs", "two", Some(5_000));
    client.send("jobs", "three");
    assert_eq!(fact(&mut client, 3), Fact::MessageWaiting { before: 1 });
    assert_eq!(fact(&mut client, 2), Fact::MessageDelayed);
    client.advance(5_000);
    assert_eq!(fact(&mut client, 3), Fact::MessageWaiting { before: 2 });
    let since = client.store().now();
    let receipt = client.receive_one("jobs", 9_000).receipt;
    client.advance(1);
    let until = since.plus_ms(9_000);
    let in_flight = |until, receive_count| Fact::MessageInFlight { since, until, receive_count };
    assert_eq!(fact(&mut client, 1), in_flight(until, 1));
    assert_eq!(fact(&mut client, 3), Fact::MessageWaiting { before: 1 });
    client.nack("jobs", receipt, 60_000, false, "busy").unwrap();
    assert_eq!(fact(&mut client, 1), in_flight(since.plus_ms(60_001), 0));
    client.ack("jobs", receipt).unwrap();
    assert_eq!(fact(&mut client, 1), Fact::MessageAcked);
}

#[test]
fn a_message_that_nobody_may_see_yet_is_on_its_way() {
    let mut client = Client::new();
    client.create("jobs");
    let number = client.begin(client::send("jobs", "one", None));
    let explain = Command::Explain { queue: "jobs".to_owned(), seq: Some(Seq(1)) };
    let asked = client.begin(explain);
    let Some(Ok(Reply::Explained { queue, facts, .. })) = client.answer(asked) else {
        panic!("it is answered at once");
    };
    assert_eq!((queue, facts), (QueueId(1), vec![Fact::MessageNotDurable]));
    assert_eq!(client.answer(number), None);
}

#[test]
fn the_last_purge_is_remembered_whatever_is_lost() {
    let mut client = Client::new();
    client.create("jobs");
    let purge = || Command::PurgeQueue { name: "jobs".to_owned() };
    client.send("jobs", "one");
    client.ask(purge()).unwrap();
    client.advance(1_000);
    client.send("jobs", "two");
    let at = client.store().now();
    client.ask(purge()).unwrap();
    client.advance(1_000);
    client.send("jobs", "three");
    client.consume("jobs", 1, |_| true);
    let check = |client: &mut Client| {
        for seq in 1..=2 {
            assert_eq!(fact(client, seq), Fact::MessagePurged { at });
        }
        assert_eq!(fact(client, 3), Fact::MessageAcked);
    };
    check(&mut client);
    client.commit_and_kill();
    check(&mut client);
    // Compacted, and read from snapshots or from the log alone.
    client.create("other");
    for _ in 0..8 {
        client.send_all("other", &vec![vec![0; 1000]; 5]);
        client.consume("other", 5, |_| true);
    }
    client.keep_all();
    assert!(client.stats().disk.compactions > 0);
    client.kill();
    check(&mut client);
    client.stop();
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    check(&mut client);
}

#[test]
fn a_message_set_aside_is_named_with_its_file_and_offset() {
    let mut client = Client::new();
    let id = client.create("jobs");
    client.send("jobs", "one");
    let delivery = client.receive_one("jobs", 0);
    client.ask(Command::SetAside { queue: QueueId(id), seq: Seq(1) }).unwrap();
    assert_eq!(facts(&mut client), [Fact::Damaged { messages: 1 }]);
    let path = delivery.location.segment.path.clone();
    let offset = u64::from(delivery.location.offset);
    assert_eq!(fact(&mut client, 1), Fact::MessageDamaged { path, offset });
}
