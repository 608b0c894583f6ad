//! Without this: queues that nobody reads would grow until the disk is full, and consumers would get
//! what its producer meant to be of use for an hour only.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use std::path::Path;

use client::{Client, DAY_MS, receive};
use common::{DATA, lose_derived, message};
use forebay_engine::RequestError;
use forebay_engine::attributes::{AttributeChanges, RETENTION_MS_MAX};
use forebay_engine::command::{Command, PeekFilter, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::facts::Fact;
use forebay_engine::ids::Seq;
use forebay_engine::inspect::{Inspected, inspect};
use forebay_engine::record::Record;
use letters::{alter, bodies_in, fifo, let_die, newest, policy, start};

const HOUR_MS: u64 = 3_600_000;

fn kept(retention_ms: u64) -> AttributeChanges {
    AttributeChanges { retention_ms: Some(retention_ms), ..AttributeChanges::default() }
}

fn facts(client: &mut Client, queue: &str, seq: u64) -> Vec<Fact> {
    let seq = (seq > 0).then_some(Seq(seq));
    match client.ask(Command::Explain { queue: queue.to_owned(), seq }) {
        Ok(Reply::Explained { facts, .. }) => facts,
        other => panic!("{other:?}"),
    }
}

/// The `Expired` records in the log, as they are shown.
fn expired_records(client: &mut Client) -> Vec<String> {
    client.store().commit().unwrap();
    let mut found = Vec::new();
    let mut take = |line: Inspected<'_>| {
        if let Inspected::Record { record: record @ Record::Expired { .. }, .. } = line {
            found.push(record.to_string());
        }
    };
    // A copy: this one is in use.
    let disk = SimDisk::new(1);
    client.files().iter().for_each(|(path, bytes)| disk.put(path, bytes).unwrap());
    inspect(&disk, Path::new(DATA), &mut take).unwrap();
    found
}

#[test]
fn it_is_there_until_then_and_gone_at_that_moment() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    client.send("jobs", "one");
    client.advance(1);
    client.send("jobs", "two");
    client.advance(HOUR_MS - 2);
    assert_eq!(client.counts("jobs"), [2, 0, 0, 0]);
    assert_eq!(client.bodies("jobs", 0), ["one", "two"]);
    client.advance(1);
    assert_eq!(client.bodies("jobs", 0), ["two"]);
    assert_eq!(bodies_in(&mut client, "jobs"), ["two"]);
    client.advance(1);
    assert_eq!(client.counts("jobs"), [0; 4]);
    assert_eq!((client.bodies("jobs", 0), client.stats().expired_messages), (Vec::new(), 2));
    client.send("jobs", "three");
    client.advance(HOUR_MS - 1);
    assert_eq!(client.bodies("jobs", 0), ["three"]);
}

#[test]
fn it_goes_whatever_it_is_in() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    for body in ["in flight", "given back", "waiting"] {
        client.send("jobs", body);
    }
    client.send_delayed("jobs", "delayed", Some(2 * HOUR_MS));
    let in_flight = client.receive_one("jobs", 2 * HOUR_MS).receipt;
    let given_back = client.receive_one("jobs", 2 * HOUR_MS).receipt;
    client.nack("jobs", given_back, 0, true, "busy").unwrap();
    assert_eq!(client.counts("jobs"), [2, 1, 1, 0]);
    client.advance(HOUR_MS);
    // To delete what retention has removed succeeds; nothing else can be done with it.
    let gone = Err(RequestError::MessageGone { seq: Seq(1) });
    assert_eq!(client.change("jobs", in_flight, 10), gone);
    assert_eq!(client.nack("jobs", in_flight, 10, true, ""), gone);
    assert_eq!(client.ack("jobs", in_flight), Ok(()));
    assert_eq!(client.counts("jobs"), [0; 4]);
    assert!(client.show()["jobs"].messages.is_empty());
    client.commit_and_kill();
    assert!(client.show()["jobs"].messages.is_empty());
    assert_eq!(client.ack("jobs", given_back), Ok(()));
}

#[test]
fn a_stretch_of_any_length_goes_with_one_record() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    for _ in 0..40 {
        client.send_all("jobs", &vec![b"body".to_vec(); 100]);
        client.advance(1_000);
    }
    client.advance(HOUR_MS - 20_000);
    assert_eq!(client.counts("jobs"), [1_900, 0, 0, 0]);
    let records = expired_records(&mut client);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert!(record.starts_with("Expired queue=1 below=2101 time_ms="), "{record}");
    assert!(record.ends_with("late_before_ms=0"), "{record}");
}

#[test]
fn a_change_of_retention_applies_to_what_is_stored() {
    let mut client = Client::new();
    client.create_with("jobs", kept(RETENTION_MS_MAX));
    client.send("jobs", "one");
    client.advance(50 * 365 * DAY_MS);
    client.send("jobs", "two");
    assert_eq!(client.counts("jobs")[0], 2);
    alter(&mut client, "jobs", kept(HOUR_MS));
    assert_eq!(bodies_in(&mut client, "jobs"), ["two"]);
    alter(&mut client, "jobs", kept(RETENTION_MS_MAX));
    client.advance(2 * HOUR_MS);
    assert_eq!(bodies_in(&mut client, "jobs"), ["two"]);
    client.commit_and_kill();
    alter(&mut client, "jobs", kept(3 * HOUR_MS));
    client.advance(HOUR_MS - 1);
    assert_eq!(bodies_in(&mut client, "jobs"), ["two"]);
    client.advance(1);
    assert_eq!(bodies_in(&mut client, "jobs"), [""; 0]);
}

#[test]
fn a_quiet_queue_gets_its_space_back_unasked() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    let empty = client.disk.used();
    for _ in 0..120 {
        client.send_all("jobs", &vec![vec![7; 900]; 5]);
    }
    let full = client.disk.used();
    client.advance(HOUR_MS - 1);
    assert_eq!(expired_records(&mut client), [""; 0]);
    client.advance(60_000);
    assert_eq!(expired_records(&mut client).len(), 1);
    client.keep_all();
    let used = client.disk.used();
    assert!(full > empty + 500_000, "{full} bytes with messages, {empty} without");
    assert!(used < full / 3, "{used} bytes are in use of {full}");
}

#[test]
fn what_has_expired_stays_gone_when_the_clock_is_set_back() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    client.send("jobs", "one");
    let before_ms = 1_800_000_000_000;
    client.advance(HOUR_MS);
    assert_eq!(client.counts("jobs"), [0; 4]);
    client.store().commit().unwrap();
    client.stop();
    client.clock.set_wall(before_ms);
    client.open().unwrap();
    assert_eq!(client.counts("jobs"), [0; 4]);
    assert_eq!(expired_records(&mut client).len(), 1, "replay decides nothing");
}

#[test]
fn what_is_not_recorded_yet_is_delivered_to_nobody() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    client.send("jobs", "one");
    client.store().commit().unwrap();
    client.stop();
    // It expires while nothing runs.
    client.clock.advance(HOUR_MS);
    client.open().unwrap();
    assert_eq!(client.bodies("jobs", 0), [""; 0]);
    client.kill();
    assert_eq!(client.bodies("jobs", 0), [""; 0]);
}

#[test]
fn a_message_that_expires_lets_others_go_on() {
    let mut client = Client::new();
    // At no whole minute.
    client.advance(12_345);
    client.create_with("orders.fifo", fifo(kept(HOUR_MS)));
    client.send_in_groups("orders.fifo", &[("a", Some(1), "a1"), ("b", Some(2), "b1")]);
    client.advance(HOUR_MS / 2);
    client.send_in_groups("orders.fifo", &[("a", Some(3), "a2"), ("a", Some(4), "a3")]);
    assert_eq!(client.bodies("orders.fifo", 4 * HOUR_MS), ["a1", "a2", "a3", "b1"]);
    client.send_in_groups("orders.fifo", &[("a", Some(5), "a4")]);
    client.advance(HOUR_MS / 2 - 10_000);
    let waiting = client.begin(receive("orders.fifo", 10, 20_000, 4 * HOUR_MS));
    client.advance(9_999);
    assert_eq!(client.received(waiting), None);
    // The first two are gone; the others of the group are in flight still.
    client.advance(1);
    assert_eq!(client.received(waiting), None);
    client.advance(10_000);
    assert_eq!(client.received(waiting), Some(Vec::new()), "its wait has ended");
    client.advance(HOUR_MS / 2 - 20_000);
    let other = client.begin(receive("orders.fifo", 10, 20_000, 4 * HOUR_MS));
    client.send_in_groups("orders.fifo", &[("a", Some(6), "a5")]);
    assert_eq!(client.received(other), None, "a4 waits behind a3");
    client.advance(10_000);
    assert_eq!(client.received(other), Some(vec!["a5".to_owned()]), "a4 has expired with a3");
    assert_eq!(client.counts("orders.fifo"), [0, 1, 0, 0]);
}

#[test]
fn a_waiting_receive_gets_what_an_expired_message_of_its_group_held_back() {
    let mut client = Client::new();
    client.create_with("orders.fifo", fifo(kept(60_000)));
    client.send_in_groups("orders.fifo", &[("a", Some(1), "a1")]);
    let first = client.receive_one("orders.fifo", HOUR_MS);
    client.advance(59_000);
    client.send_in_groups("orders.fifo", &[("a", Some(2), "a2")]);
    let waiting = client.begin(receive("orders.fifo", 10, 20_000, 0));
    assert_eq!(client.received(waiting), None);
    client.advance(1_000);
    // Whoever asks first, even for something else: the ack of what has expired succeeds.
    assert_eq!(client.ack("orders.fifo", first.receipt), Ok(()));
    assert_eq!(client.received(waiting), Some(vec!["a2".to_owned()]));
    // A copy of the one that has expired is known as long as the window lasts.
    let sent = client.send_in_groups("orders.fifo", &[("a", Some(1), "a1")]);
    assert_eq!(sent, [1]);
}

#[test]
fn among_many_groups_those_that_have_something_left_go_on() {
    let mut client = Client::new();
    client.create_with("orders.fifo", fifo(kept(HOUR_MS)));
    for round in 0..3 {
        for group in 0..50u64 {
            let (name, id) = (format!("g{group}"), Some(round * 50 + group));
            client.send_in_groups("orders.fifo", &[(&name, id, &format!("{name}-{round}"))]);
        }
        client.advance(HOUR_MS / 4);
    }
    // Half of the groups are in flight with their first message.
    for _ in 0..25 {
        client.receive_max("orders.fifo", 1, 4 * HOUR_MS);
    }
    client.advance(HOUR_MS / 4);
    let mut bodies = bodies_in(&mut client, "orders.fifo");
    assert_eq!(bodies.len(), 100, "the first round has expired");
    bodies.sort();
    let received = client.receive_max("orders.fifo", 200, 0);
    let mut got: Vec<String> = received.iter().map(|delivery| client.body(delivery)).collect();
    got.sort();
    assert_eq!(got, bodies);
}

#[test]
fn a_dead_letter_expires_by_when_it_was_sent_first_and_a_redriven_one_is_new() {
    let mut client = Client::new();
    client.create_with("dead", kept(3 * HOUR_MS));
    let jobs = AttributeChanges { retention_ms: Some(RETENTION_MS_MAX), ..policy("dead", 1) };
    client.create_with("jobs", jobs);
    for body in ["one", "two", "three"] {
        client.send("jobs", body);
        client.advance(HOUR_MS);
    }
    // They die in another order than they were sent in.
    let received = client.receive_max("jobs", 3, 1_000);
    for at in [2, 0, 1] {
        client.change("jobs", received[at].receipt, 0).unwrap();
        let_die(&mut client, "jobs");
    }
    // The first one expired there on arrival.
    assert_eq!(bodies_in(&mut client, "dead"), ["three", "two"]);
    client.commit_and_kill();
    client.advance(HOUR_MS - 1);
    assert_eq!(client.bodies("dead", 0), ["three", "two"]);
    client.advance(1);
    assert_eq!(client.bodies("dead", 0), ["three"]);
    assert_eq!(bodies_in(&mut client, "dead"), ["three"]);
    assert_eq!(client.counts("dead"), [1, 0, 0, 0]);
    start(&mut client, "dead", "", 0);
    client.keep();
    client.advance(1);
    client.keep();
    assert_eq!(newest(&mut client, "dead").1, 1);
    alter(&mut client, "jobs", kept(HOUR_MS));
    client.advance(HOUR_MS - 2_000);
    assert_eq!(bodies_in(&mut client, "jobs"), ["three"]);
    client.advance(2_000);
    assert_eq!(bodies_in(&mut client, "jobs"), [""; 0]);
}

#[test]
fn in_a_fifo_queue_a_dead_letter_begins_anew() {
    let mut client = Client::new();
    client.create_with("dead.fifo", fifo(kept(HOUR_MS)));
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    client.send_in_groups("jobs.fifo", &[("a", Some(1), "a1")]);
    client.advance(2 * HOUR_MS);
    let_die(&mut client, "jobs.fifo");
    client.advance(HOUR_MS - 1);
    assert_eq!(bodies_in(&mut client, "dead.fifo"), ["a1"]);
    client.advance(1);
    assert_eq!(bodies_in(&mut client, "dead.fifo"), [""; 0]);
}

#[test]
fn a_message_that_expires_while_it_is_moved_arrives_nowhere() {
    let mut client = Client::new();
    client.create("dead");
    client
        .create_with("jobs", AttributeChanges { retention_ms: Some(HOUR_MS), ..policy("dead", 1) });
    client.send("jobs", "one");
    client.receive("jobs", 0);
    client.advance(HOUR_MS - 1);
    assert_eq!(client.bodies("jobs", 0), [""; 0], "it is marked, and read while time passes");
    assert_eq!(facts(&mut client, "jobs", 1), [Fact::MessageMoving]);
    assert_eq!(facts(&mut client, "jobs", 0), [Fact::Moving { messages: 1 }]);
    client.clock.advance(1);
    client.keep();
    assert_eq!((client.counts("jobs"), client.counts("dead")), ([0; 4], [0; 4]));
}

#[test]
fn dead_letters_of_all_times_go_when_each_is_due() {
    let mut client = Client::new();
    client.create_with("dead", kept(HOUR_MS));
    client
        .create_with("jobs", AttributeChanges { retention_ms: Some(DAY_MS), ..policy("dead", 1) });
    // Sent one a minute; every third goes to the other queue's end at once, the rest die in reverse.
    let mut sent = std::collections::BTreeMap::new();
    for minute in 0..50u64 {
        client.advance(60_000);
        let body = minute.to_string();
        sent.insert(body.clone(), client.store().now());
        client.send(if minute % 3 == 0 { "dead" } else { "jobs" }, &body);
    }
    let received = client.receive_max("jobs", 100, 1_000);
    for delivery in received.iter().rev() {
        client.change("jobs", delivery.receipt, 0).unwrap();
        let_die(&mut client, "jobs");
    }
    client.advance(1_000);
    for step in 0..70 {
        if step % 10 == 0 {
            client.commit_and_kill();
        }
        let now = client.store().now();
        let mut found = bodies_in(&mut client, "dead");
        let is_kept = |sent: &forebay_engine::LogTime| sent.plus_ms(HOUR_MS) > now;
        let mut expected: Vec<String> =
            sent.iter().filter(|(_, sent)| is_kept(sent)).map(|(body, _)| body.clone()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "at step {step}");
        assert_eq!(client.counts("dead")[0], expected.len() as u64, "at step {step}");
        let received = client.receive_max("dead", 100, 0);
        assert_eq!(received.len(), expected.len(), "at step {step}");
        client.advance(60_000);
    }
    assert_eq!(client.counts("dead"), [0; 4]);
}

/// They were sent within a minute, so only their own times tell them apart.
#[test]
fn dead_letters_of_one_minute_are_counted_until_each_is_due() {
    let mut client = Client::new();
    client.create_with("dead", kept(HOUR_MS));
    client
        .create_with("jobs", AttributeChanges { retention_ms: Some(DAY_MS), ..policy("dead", 1) });
    for message in 0..300u64 {
        client.send("jobs", &message.to_string());
        client.advance(100);
    }
    let first = client.store().now().0 - 300 * 100;
    let_die(&mut client, "jobs");
    let now = client.store().now().0;
    client.advance(first + HOUR_MS - 1 - now);
    for due in 0..=300u64 {
        assert_eq!(client.counts("dead"), [300 - due, 0, 0, 0], "{due} are due");
        if due == 150 {
            client.commit_and_kill();
        }
        client.advance(if due == 0 { 1 } else { 100 });
    }
    // What went one by one stays gone.
    client.close();
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    assert_eq!(client.counts("dead"), [0; 4]);
    assert_eq!(client.stats().expired_messages, 0, "nothing was left to expire");
}

#[test]
fn a_peek_by_time_finds_everything_where_dead_letters_were_once() {
    let mut client = Client::new();
    client.create("dead");
    client.create_with("jobs", policy("dead", 1));
    let mut times = Vec::new();
    for body in ["one", "two"] {
        times.push(client.store().now());
        client.send("jobs", body);
        client.advance(1_000);
    }
    for body in ["three", "four"] {
        times.push(client.store().now());
        client.send("dead", body);
        client.advance(1_000);
    }
    let_die(&mut client, "jobs");
    times.push(client.store().now());
    client.send("dead", "five");
    alter(&mut client, "jobs", policy("", 0));
    let since = |client: &mut Client, at: usize| -> Vec<String> {
        let filter = PeekFilter { since: Some(times[at]), ..PeekFilter::default() };
        let (queue, from, bytes_max) = ("dead".to_owned(), Seq(1), u64::MAX);
        let peek = Command::Peek { queue, from, max: 100, bytes_max, filter };
        let Ok(Reply::Peeked { messages, next: None, .. }) = client.ask(peek) else { panic!() };
        let bodies = messages.iter().map(|message| {
            let stored = client.store().read(&message.location).unwrap();
            String::from_utf8(stored.payload[stored.attributes_bytes as usize..].to_vec()).unwrap()
        });
        bodies.collect()
    };
    for _ in 0..2 {
        assert_eq!(since(&mut client, 0), ["three", "four", "two", "five"]);
        assert_eq!(since(&mut client, 1), ["three", "four", "five"]);
        assert_eq!(since(&mut client, 2), ["four", "five"]);
        assert_eq!(since(&mut client, 3), ["five"]);
        assert_eq!(since(&mut client, 4), [""; 0]);
        client.commit_and_kill();
    }
}

/// Found by the model test: the last commit let a message expire, and the store ended at an assertion.
#[test]
fn a_store_is_closed_in_order_at_the_moment_when_something_expires() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    client.send("jobs", "old");
    client.clock.advance(HOUR_MS);
    client.begin(client::send("jobs", "new", None));
    client.close();
    client.open().unwrap();
    assert_eq!(bodies_in(&mut client, "jobs"), ["new"]);
}

#[test]
fn it_goes_on_a_disk_that_takes_nothing_else() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    client.disk.set_capacity(Some(client.disk.used() + 400_000));
    let filler = || Command::Send {
        queue: "jobs".to_owned(),
        messages: vec![message(&[7; 900], None)],
        batch: None,
    };
    while client.ask(filler()).is_ok() {}
    // Leases take whatever receives may take.
    while let Ok(Reply::Received { deliveries, .. }) = client.ask(receive("jobs", 1, 0, 1)) {
        assert_eq!(deliveries.len(), 1);
        client.clock.advance(1);
    }
    client.advance(HOUR_MS);
    assert_eq!(client.counts("jobs"), [0; 4]);
    assert_eq!(expired_records(&mut client).len(), 1);
    client.keep_all();
    assert!(client.ask(filler()).is_ok(), "its space is there again");
}

#[test]
fn it_is_explained() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    client.send("jobs", "one");
    client.advance(HOUR_MS);
    let at = client.store().now();
    let expired = Fact::Expired { below: Seq(2), at };
    assert_eq!(facts(&mut client, "jobs", 1), [Fact::MessageExpired { at }]);
    assert_eq!(facts(&mut client, "jobs", 0), [Fact::Empty, expired.clone()]);
    for _ in 0..2 {
        client.close();
        client.open().unwrap();
        assert_eq!(facts(&mut client, "jobs", 1), [Fact::MessageExpired { at }]);
    }
    // What one of them took is told of that one.
    client.send("jobs", "two");
    let purged = client.ask(Command::PurgeQueue { name: "jobs".to_owned() });
    assert_eq!(purged, Ok(Reply::Purged { count: 1 }));
    let purged = Fact::MessagePurged { at: client.store().now() };
    client.send("jobs", "three");
    client.advance(HOUR_MS);
    let last = Fact::MessageExpired { at: client.store().now() };
    client.counts("jobs");
    assert_eq!(facts(&mut client, "jobs", 2), [purged]);
    assert_eq!(facts(&mut client, "jobs", 3), [last]);
}

#[test]
fn of_its_records_only_what_is_needed_is_kept() {
    let mut client = Client::new();
    client.create_with("jobs", kept(HOUR_MS));
    client.create_with("kept", kept(RETENTION_MS_MAX));
    for round in 0..40 {
        client.send_all("jobs", &vec![vec![7; 900]; 5]);
        client.send("kept", &round.to_string());
        client.advance(HOUR_MS / 4);
        client.counts("jobs");
        if round % 8 == 7 {
            client.keep_all();
        }
    }
    let records = expired_records(&mut client);
    assert!((1..=10).contains(&records.len()), "of 37: {records:?}");
    client.stop();
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    let shown = client.show();
    assert_eq!((shown["jobs"].messages.len(), shown["kept"].messages.len()), (15, 40));
    assert_eq!(shown["jobs"].next_seq, 201);
}
