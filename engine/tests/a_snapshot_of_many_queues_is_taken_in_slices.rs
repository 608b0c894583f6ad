//! Without this: a store of many queues would stand still while all of them are copied for a
//! snapshot; or slices of different moments would not fit together after a crash.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::BTreeMap;
use std::path::Path;

use client::{Client, send};
use common::{DATA, tiny};
use forebay_engine::Options;
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::Fault;
use forebay_engine::ids::Position;
use forebay_engine::inspect::{Inspected, inspect};

const QUEUES: u64 = 10_000;
const SLICE_QUEUES_MAX: u64 = 256;

/// Queues that something happens to between any two slices: of the first slice, of one in the
/// middle, of the last.
const BUSY: [&str; 3] = ["queue-00003", "queue-05000", "queue-09999"];

fn options(snapshot_bytes: u64) -> Options {
    let snapshot_ms = if snapshot_bytes == 1 { 0 } else { u64::MAX };
    Options { segment_bytes: 4 << 20, snapshot_bytes, snapshot_ms, ..tiny() }
}

/// A killed store of 10,000 queues, never snapshot.
fn many_queues() -> Client {
    let mut client = Client::with(options(u64::MAX));
    for number in 0..QUEUES {
        let (name, attributes) = (format!("queue-{number:05}"), Default::default());
        client.begin(Command::CreateQueue { name, attributes });
        if number % 500 == 499 {
            client.store().commit().unwrap();
        }
    }
    client.keep_all();
    client.stop();
    assert!(client.files_of("snap").is_empty());
    client.options = options(1);
    client
}

/// Each queue's number, the next message's number, and how many messages there are.
fn queues(client: &mut Client) -> BTreeMap<String, (u32, u64, u64)> {
    let mut found = BTreeMap::new();
    let mut after = String::new();
    loop {
        let list = Command::ListQueues { prefix: String::new(), after: after.clone(), max: 1000 };
        let Ok(Reply::Listed { queues, more }) = client.ask(list) else { panic!("listed") };
        after = queues.last().expect("there are more").name.clone();
        found.extend(queues.into_iter().map(|queue| {
            let messages = queue.counts.waiting + queue.counts.in_flight;
            (queue.name, (queue.id.0, queue.next_seq.0, messages))
        }));
        if !more {
            return found;
        }
    }
}

/// One keep after the other until there is a snapshot, and between any two of them messages for
/// each of the busy queues. How many keeps there were, and messages answered for; less when the
/// disk fails.
fn snapshot_beside_sends(client: &mut Client) -> (u64, u64) {
    let (mut keeps, mut answered) = (0, 0);
    while client.stats().disk.snapshots == 0 {
        let sent: Vec<usize> = BUSY
            .iter()
            .map(|queue| {
                let (number, slot) = client.answers.slot();
                drop(client.store().handle(send(queue, "between", None), slot));
                number
            })
            .collect();
        if client.store().commit().is_err() || client.store().keep().is_err() {
            break;
        }
        let all = sent.into_iter().all(|number| matches!(client.answer(number), Some(Ok(_))));
        assert!(all, "they are answered when they are durable");
        answered += 1;
        keeps += 1;
        assert!(keeps < 1_000, "there is a snapshot at last");
    }
    (keeps, answered)
}

#[test]
fn at_most_256_between_two_entries() {
    let mut client = many_queues();
    client.open().unwrap();
    let before = queues(&mut client);
    let (keeps, answered) = snapshot_beside_sends(&mut client);
    assert!((QUEUES / SLICE_QUEUES_MAX..60).contains(&keeps), "{keeps}");
    client.stop();
    let mut slices: BTreeMap<Position, u64> = BTreeMap::new();
    inspect(&client.disk, Path::new(DATA), &mut |seen| {
        if let Inspected::Snapshot { queue, .. } = seen {
            *slices.entry(queue.position).or_default() += 1;
        }
    })
    .unwrap();
    assert_eq!(slices.values().sum::<u64>(), QUEUES, "each queue is in it once");
    let largest = slices.values().copied().max().unwrap();
    assert!(largest <= SLICE_QUEUES_MAX, "{largest} queues were frozen at once");
    // And the slices fit together.
    let opening = client.open().unwrap();
    assert_eq!(opening.snapshot, *slices.keys().next().unwrap());
    let mut expected = before;
    for queue in BUSY {
        let (id, _, _) = expected[queue];
        expected.insert(queue.to_owned(), (id, answered + 1, answered));
    }
    assert_eq!(queues(&mut client), expected);
    for queue in BUSY {
        let bodies = client.receive_max(queue, 100, 0);
        assert_eq!(bodies.len() as u64, answered, "{queue}");
        for delivery in bodies {
            assert_eq!(client.body(&delivery), "between", "{queue}");
        }
    }
}

/// Twice the longest time there is was waited for, for a few bytes behind a large snapshot.
#[test]
fn with_no_end_of_the_time_between_two_bytes_alone_count() {
    let mut client = Client::with(options(8 << 10));
    for number in 0..300 {
        client.create(&format!("queue-{number}"));
    }
    client.keep_all();
    assert_eq!(client.stats().disk.snapshots, 1);
    client.send("queue-7", "a few bytes");
    client.advance(365 * 24 * 3_600_000);
    client.keep_all();
    assert_eq!(client.stats().disk.snapshots, 1);
}

#[test]
fn a_crash_at_any_moment_of_it_changes_nothing() {
    let prepared = many_queues();
    let (mut whole, _) = prepared.copied(|_| {}).unwrap();
    let begun = whole.disk.operations();
    snapshot_beside_sends(&mut whole);
    let operations = whole.disk.operations() - begun;
    assert!(operations > 100, "{operations}");
    let before = queues(&mut prepared.copied(|_| {}).unwrap().0);
    let every = if std::env::var_os("FOREBAY_FULL_SWEEP").is_some() { 1 } else { 37 };
    // The last ones, at which the snapshot gets its name, are all tried.
    let places = (0..operations).filter(|at| at % every == 0 || at + 12 > operations);
    for at in places {
        let (mut client, _) = prepared.copied(|_| {}).unwrap();
        client.disk.fail_at(client.disk.operations() + at, Fault::Crash);
        let (_, answered) = snapshot_beside_sends(&mut client);
        client.disk.crash(at);
        client.stop();
        client.open().unwrap_or_else(|error| panic!("operation {at}: {error}"));
        let mut after = queues(&mut client);
        for queue in BUSY {
            let (id, next, messages) = after[queue];
            assert_eq!((id, next), (before[queue].0, messages + 1), "operation {at}");
            // The newest may have been on its way.
            assert!((answered..=answered + 1).contains(&messages), "operation {at}: {queue}");
            after.insert(queue.to_owned(), before[queue]);
        }
        assert!(after == before, "operation {at}: other queues changed");
    }
}
