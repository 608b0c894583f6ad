//! Without this: a queue whose messages are all gone would begin at 1 again once the compactor has
//! left them out of the log, and an old receipt would delete a new message. And a new queue would
//! get the number of a deleted one, and with it what is left of that one in the log.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use common::lose_derived;
use forebay_engine::RequestError;
use forebay_engine::command::{Command, Reply};
use forebay_engine::verify::Outcome;

/// Sends, receives and acks, over several segments.
fn use_up(client: &mut Client, queue: &str, messages: u64) {
    for _ in 0..messages / 5 {
        client.send_all(queue, &(0..5).map(|_| vec![7; 900]).collect::<Vec<_>>());
    }
    while client.consume(queue, 5, |_| true) > 0 {}
}

/// Rolls the active segment and lets everything be compacted that can be. Another queue is used
/// for it, whose messages are gone in the end.
fn compact(client: &mut Client) {
    let compactions = client.stats().disk.compactions;
    client.create("other");
    for _ in 0..3 {
        use_up(client, "other", 20);
        client.keep_all();
    }
    assert!(client.stats().disk.compactions > compactions);
}

fn rebuild(client: &mut Client) {
    client.stop();
    assert_eq!(client.verify().outcome, Outcome::Clean);
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
}

/// What the log says of the queue's messages: nothing is left of their bytes.
fn is_compacted_away(client: &mut Client, queue: u32) -> bool {
    use forebay_engine::inspect::{Inspected, inspect};
    use forebay_engine::record::Record;
    client.stop();
    let mut is_away = true;
    inspect(&client.disk, std::path::Path::new(common::DATA), &mut |seen| {
        if let Inspected::Record { record: Record::Sent(sent), .. } = seen {
            is_away &= sent.queue.0 != queue;
        }
    })
    .unwrap();
    client.open().unwrap();
    is_away
}

#[test]
fn a_messages_number_when_all_are_gone() {
    let mut client = Client::new();
    let jobs = client.create("jobs");
    let mut expected = 1;
    for round in 0..4 {
        assert_eq!(client.send("jobs", "the next"), expected, "round {round}");
        let delivery = client.receive_one("jobs", 1_000);
        client.ack("jobs", delivery.receipt).unwrap();
        use_up(&mut client, "jobs", 30);
        expected += 31;
        compact(&mut client);
        assert!(is_compacted_away(&mut client, jobs), "round {round}");
        assert_eq!(client.describe("jobs").next_seq.0, expected, "round {round}");
        rebuild(&mut client);
        assert_eq!(client.describe("jobs").next_seq.0, expected, "round {round}, rebuilt");
        // Whoever acks twice does no harm to what came since.
        let fresh = client.send("jobs", "fresh");
        assert_eq!(fresh, expected, "round {round}");
        expected += 1;
        client.ack("jobs", delivery.receipt).unwrap();
        assert_eq!(client.bodies("jobs", 1_000), ["fresh"]);
        client.advance(1_000);
        let delivery = client.receive_one("jobs", 1_000);
        client.ack("jobs", delivery.receipt).unwrap();
        // And the record that tells of the number is itself compacted in the next round.
    }
}

#[test]
fn a_messages_number_when_all_were_purged() {
    let mut client = Client::new();
    let jobs = client.create("jobs");
    for round in 1..=3 {
        for _ in 0..6 {
            client.send_all("jobs", &(0..5).map(|_| vec![7; 900]).collect::<Vec<_>>());
        }
        let purged = client.ask(Command::PurgeQueue { name: "jobs".to_owned() });
        assert_eq!(purged, Ok(Reply::Purged { count: 30 }));
        compact(&mut client);
        assert!(is_compacted_away(&mut client, jobs), "round {round}");
        rebuild(&mut client);
        assert_eq!(client.describe("jobs").next_seq.0, 30 * round + 1);
    }
}

#[test]
fn a_queues_number_when_the_newest_queues_are_gone() {
    let mut client = Client::new();
    // The one that stays has a lesser number than those that go.
    client.create("other");
    let mut given = client.create("jobs");
    for round in 0..4 {
        for _ in 0..3 {
            use_up(&mut client, "jobs", 20);
            let delete = Command::DeleteQueue { name: "jobs".to_owned() };
            assert_eq!(client.ask(delete), Ok(Reply::Deleted));
            let id = client.create("jobs");
            assert!(id > given, "round {round}: {id} behind {given}");
            given = id;
        }
        client.send("jobs", "of an old queue");
        let delivery = client.receive_one("jobs", 1_000);
        assert_eq!(
            client.ask(Command::DeleteQueue { name: "jobs".to_owned() }),
            Ok(Reply::Deleted)
        );
        compact(&mut client);
        assert!(is_compacted_away(&mut client, given), "round {round}");
        rebuild(&mut client);
        let id = client.create("jobs");
        assert!(id > given, "round {round}, rebuilt: {id} behind {given}");
        given = id;
        client.send("jobs", "of the new queue");
        let refused = client.ack("jobs", delivery.receipt);
        assert!(matches!(refused, Err(RequestError::ReceiptOfOtherQueue { .. })), "{refused:?}");
        assert_eq!(client.bodies("jobs", 0), ["of the new queue"]);
    }
}

#[test]
fn a_queues_number_when_no_queue_is_left() {
    let mut client = Client::new();
    let mut given = 0;
    for round in 0..4 {
        let id = client.create("jobs");
        assert!(id > given, "round {round}: {id} behind {given}");
        use_up(&mut client, "jobs", 40);
        compact(&mut client);
        given = client.create("last");
        assert!(given > id);
        for name in ["jobs", "other", "last"] {
            assert_eq!(
                client.ask(Command::DeleteQueue { name: name.to_owned() }),
                Ok(Reply::Deleted)
            );
        }
        // The deletions are compacted too, which needs something behind them.
        let passing = client.create("passing");
        use_up(&mut client, "passing", 40);
        let delete = Command::DeleteQueue { name: "passing".to_owned() };
        assert_eq!(client.ask(delete), Ok(Reply::Deleted));
        client.keep_all();
        client.kill();
        client.keep_all();
        client.kill();
        client.keep_all();
        rebuild(&mut client);
        assert!(client.show().is_empty());
        given = given.max(passing);
    }
}
