//! Without this: a message that no consumer can deal with would be given again and again, and those behind it
//! never, wherever consumers give back what they could not deal with (SQS: three receives).

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use client::{Client, DAY_MS, deliveries, receive};
use forebay_engine::command::{Command, Reply};
use forebay_engine::facts::Fact;
use forebay_engine::ids::Seq;
use letters::jobs_and_dead;

/// The first message is received three times, and given back.
fn wear(client: &mut Client) {
    for _ in 0..3 {
        client.advance(1);
        assert_eq!(client.receive_one("jobs", 0).seq, Seq(1));
    }
}

/// A queue whose first message was received three times, and one that was sent behind that.
fn worn() -> Client {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "worn");
    client.send("jobs", "fresh");
    wear(&mut client);
    client.advance(1);
    client.send("jobs", "later");
    client
}

/// The numbers of what a receive gets, which nobody else gets meanwhile.
fn seqs(client: &mut Client, max: u32, bytes_max: u64) -> Vec<u64> {
    let mut command = receive("jobs", max, 0, DAY_MS / 2);
    if let Command::Receive { bytes_max: bytes, .. } = &mut command {
        *bytes = bytes_max;
    }
    let deliveries = deliveries(client.ask(command));
    deliveries.iter().map(|delivery| delivery.seq.0).collect()
}

fn explain(client: &mut Client, seq: Option<Seq>) -> Vec<Fact> {
    let answer = client.ask(Command::Explain { queue: "jobs".to_owned(), seq });
    let Ok(Reply::Explained { facts, .. }) = answer else { panic!("{answer:?}") };
    facts
}

#[test]
fn behind_what_was_sent_before_it_was_last_received() {
    assert_eq!(seqs(&mut worn(), 10, u64::MAX), [2, 1, 3]);

    // As far as a receive goes, and each once.
    let mut client = worn();
    assert_eq!(seqs(&mut client, 2, u64::MAX), [2, 1]);
    assert_eq!(seqs(&mut client, 2, u64::MAX), [3]);
    let mut client = worn();
    for seq in [2, 1, 3] {
        assert_eq!(seqs(&mut client, 10, 1), [seq]);
    }
}

#[test]
fn nor_is_one_passed_over_that_is_too_large_for_what_is_left() {
    let queue = || {
        let mut client = Client::new();
        client.create("jobs");
        for body in ["worn", "small", "a large one"] {
            client.send("jobs", body);
        }
        wear(&mut client);
        client
    };
    let all = deliveries(queue().ask(receive("jobs", 10, 0, 0)));
    let bytes = all.iter().map(|delivery| u64::from(delivery.location.bytes)).collect::<Vec<_>>();
    let [small, large, worn] = bytes[..] else { panic!("{bytes:?}") };
    assert!(worn < large);
    // What comes again would fit behind the small one, but comes behind the large one.
    let mut client = queue();
    assert_eq!(seqs(&mut client, 10, small + worn), [2]);
    assert_eq!(seqs(&mut client, 10, u64::MAX), [3, 1]);
}

#[test]
fn so_each_gets_its_turn() {
    let mut client = Client::new();
    client.create("jobs");
    for body in ["one", "two", "three"] {
        client.send("jobs", body);
    }
    let turns = (0..15).map(|_| {
        client.advance(1);
        client.receive_one("jobs", 0).seq.0
    });
    assert_eq!(turns.collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 2, 3, 1, 2, 3]);
}

#[test]
fn also_after_a_restart() {
    let mut client = worn();
    client.commit_and_kill();
    assert_eq!(seqs(&mut client, 10, u64::MAX), [2, 1, 3]);

    let mut client = worn();
    client.close();
    client.open().unwrap();
    assert_eq!(seqs(&mut client, 10, u64::MAX), [2, 1, 3]);
}

#[test]
fn explain_knows_it() {
    let mut client = worn();
    let next = Some(Seq(2));
    assert_eq!(explain(&mut client, None), [Fact::Waiting { messages: 3, next }]);
    let before = |before| [Fact::MessageWaiting { before }];
    assert_eq!(explain(&mut client, Some(Seq(2))), before(0));
    // No more than the one that was sent later is counted too many.
    assert_eq!(explain(&mut client, Some(Seq(1))), before(2));
    assert_eq!(seqs(&mut client, 1, u64::MAX), [2]);
    let next = Some(Seq(1));
    assert_eq!(explain(&mut client, None)[0], Fact::Waiting { messages: 2, next });
}

#[test]
fn a_dead_letter_moves_as_soon_as_anybody_receives() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 3);
    client.send("jobs", "dead");
    client.send("jobs", "fresh");
    wear(&mut client);
    client.advance(1);
    assert_eq!(seqs(&mut client, 1, u64::MAX), [2]);
    client.keep();
    assert_eq!(client.bodies("dead", 0), ["dead"]);
}
