//! Without this: a message that its consumers cannot digest would come back for ever, or be lost on
//! its way to the dead-letter queue, or arrive there as something else.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use bytes::Bytes;
use client::{Client, receive};
use common::{lose_derived, message};
use forebay_engine::attributes::{AttributeChanges, RETENTION_MS_MAX};
use forebay_engine::checksum;
use forebay_engine::command::{Command, NewMessage, Reply};
use forebay_engine::record::REASON_BYTES_MAX;
use forebay_engine::verify::Outcome;
use letters::{
    Told, alter, bodies_in, delete, fifo, jobs_and_dead, let_die, policy, reasons_in, receive_told,
    start, told,
};

#[test]
fn a_consumer_gets_it_exactly_so_often_and_the_dead_letter_queue_goes_on_counting() {
    for receive_count_max in [1, 2, 5] {
        let mut client = Client::new();
        jobs_and_dead(&mut client, receive_count_max);
        let sent = client.store().now();
        client.send("jobs", "poison");
        client.advance(1_000);
        let first_received = client.store().now();
        for count in 1..=receive_count_max {
            let delivery = client.receive_one("jobs", 500);
            assert_eq!(u64::from(delivery.receive_count), count);
            client.advance(500);
        }
        // It is in one queue all the time, and nobody gets it once more.
        assert_eq!((client.counts("jobs")[0], client.counts("dead")[0]), (1, 0));
        assert!(client.receive("jobs", 500).is_empty());
        client.keep();
        assert_eq!((client.counts("jobs"), client.counts("dead")[0]), ([0; 4], 1));
        let expected = Told {
            body: "poison".to_owned(),
            source: Some("jobs".to_owned()),
            origin: (2, 1),
            receive_count: receive_count_max as u32 + 1,
            sent,
            first_received,
            reason: String::new(),
        };
        client.advance(10_000);
        assert_eq!(receive_told(&mut client, "dead", 0), expected);
        client.commit_and_kill();
        let again = Told { receive_count: expected.receive_count + 1, ..expected };
        assert_eq!(receive_told(&mut client, "dead", 0), again);
    }
}

/// Found by the model test: it stayed where it was unless somebody asked the queue in between.
#[test]
fn it_is_moved_when_the_time_that_its_last_consumer_asked_for_has_passed() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "poison");
    let receipt = client.receive_one("jobs", 0).receipt;
    assert!(client.receive("jobs", 0).is_empty(), "it begins to move");
    client.change("jobs", receipt, 500).unwrap();
    client.clock.advance(500);
    client.keep();
    assert_eq!((client.counts("jobs"), client.counts("dead")[0]), ([0; 4], 1));
}

/// Who looks after dead letters asks first of all why they are there.
#[test]
fn it_keeps_the_reason_with_which_it_was_given_back_whatever_is_lost() {
    let mut client = Client::new();
    client.create("cemetery");
    client.create_with("dead", policy("cemetery", 2));
    client.create_with("jobs", policy("dead", 1));
    let first = "x".repeat(REASON_BYTES_MAX);
    for reason in [&*first, "", "no stock"] {
        client.send("jobs", "poison");
        let receipt = client.receive_one("jobs", 1_000).receipt;
        client.nack("jobs", receipt, 0, true, reason).unwrap();
        let_die(&mut client, "jobs");
    }
    let before = [&*first, "", "no stock"];
    assert_eq!(reasons_in(&mut client, "dead"), before);
    client.commit_and_kill();
    assert_eq!(reasons_in(&mut client, "dead"), before);
    // A compaction writes the moves anew; then the log alone has to say it.
    client.create("other");
    for _ in 0..8 {
        client.send_all("other", &vec![vec![0; 1000]; 5]);
        client.consume("other", 5, |_| true);
    }
    client.keep_all();
    assert!(client.stats().disk.compactions > 0);
    client.stop();
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    assert_eq!(reasons_in(&mut client, "dead"), before);
    // Another one takes its place, an empty one does not.
    let receipt = client.receive_one("dead", 1_000).receipt;
    client.nack("dead", receipt, 0, true, "").unwrap();
    assert_eq!(reasons_in(&mut client, "dead"), before);
    let letter = client.receive_one("dead", 1_000);
    assert_eq!(told(&mut client, &letter).reason, first);
    client.nack("dead", letter.receipt, 0, true, "still none").unwrap();
    assert_eq!(reasons_in(&mut client, "dead"), ["still none", "", "no stock"]);
    // The next queue gets the one that was given last, in whatever queue.
    let_die(&mut client, "dead");
    let mut after = reasons_in(&mut client, "cemetery");
    after.sort();
    assert_eq!(after, ["", "no stock", "still none"]);
}

#[test]
fn a_redriven_message_starts_without_a_reason() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "told");
    let receipt = client.receive_one("jobs", 1_000).receipt;
    client.nack("jobs", receipt, 0, true, "no stock").unwrap();
    let_die(&mut client, "jobs");
    let receipt = client.receive_one("dead", 1_000).receipt;
    client.nack("dead", receipt, 0, true, "still none").unwrap();
    start(&mut client, "dead", "", 0);
    client.keep();
    assert_eq!(reasons_in(&mut client, "jobs"), [""]);
    client.commit_and_kill();
    assert_eq!(receive_told(&mut client, "jobs", 0).reason, "");
}

#[test]
fn it_dies_only_when_somebody_would_receive_it_again() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "slow");
    let delivery = client.receive_one("jobs", 1_000);
    client.advance(5_000);
    client.keep();
    assert_eq!((client.counts("jobs")[0], client.counts("dead")[0]), (1, 0));
    // Its last consumer was slow, and is done now.
    client.ack("jobs", delivery.receipt).unwrap();
    client.keep();
    assert_eq!((client.counts("jobs"), client.counts("dead")), ([0; 4], [0; 4]));
}

#[test]
fn those_behind_it_are_received_meanwhile() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    for body in ["a", "b", "c"] {
        client.send("jobs", body);
    }
    client.receive_max("jobs", 2, 0);
    assert_eq!(client.bodies("jobs", 1_000), ["c"]);
    client.keep();
    assert_eq!(bodies_in(&mut client, "dead"), ["a", "b"]);
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
}

#[test]
fn who_waits_at_either_queue_is_served() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "poison");
    client.receive_one("jobs", 1_000);
    let at_jobs = client.begin(receive("jobs", 1, 20_000, 1_000));
    let at_dead = client.begin(receive("dead", 1, 20_000, 1_000));
    client.advance(1_000);
    client.keep();
    assert_eq!(client.received(at_dead), Some(vec!["poison".to_owned()]));
    assert_eq!(client.received(at_jobs), None, "what dies is not delivered");
    client.send("jobs", "food");
    assert_eq!(client.received(at_jobs), Some(vec!["food".to_owned()]));
}

#[test]
fn without_a_target_that_fits_it_is_delivered_as_before() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "poison");
    client.receive_one("jobs", 0);
    delete(&mut client, "dead");
    for count in 2..5 {
        assert_eq!(client.receive_one("jobs", 0).receive_count, count);
    }
    client.keep();
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
    // The name is meant, whoever has it.
    client.create("dead");
    let_die(&mut client, "jobs");
    let letter = receive_told(&mut client, "dead", 0);
    assert_eq!((letter.receive_count, letter.origin), (5, (2, 1)));
}

#[test]
fn what_changes_while_it_is_read_is_heeded() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    for body in ["acked", "prolonged", "moved"] {
        client.send("jobs", body);
    }
    let received = client.receive("jobs", 0);
    assert!(client.receive("jobs", 0).is_empty(), "they are marked");
    client.ack("jobs", received[0].receipt).unwrap();
    client.change("jobs", received[1].receipt, 60_000).unwrap();
    client.keep();
    assert_eq!(bodies_in(&mut client, "dead"), ["moved"]);
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
    client.advance(60_000);
    let_die(&mut client, "jobs");
    assert_eq!(bodies_in(&mut client, "dead"), ["moved", "prolonged"]);
}

#[test]
fn a_change_of_the_policy_a_purge_or_a_deletion_comes_in_time() {
    type Change = fn(&mut Client);
    let none = |client: &mut Client| alter(client, "jobs", policy("", 0));
    let more = |client: &mut Client| alter(client, "jobs", policy("dead", 2));
    let purge = |client: &mut Client| {
        client.ask(Command::PurgeQueue { name: "jobs".to_owned() }).unwrap();
    };
    let changes: [(Change, bool); 5] = [
        (none, true),
        (more, true),
        (purge, false),
        (|client| delete(client, "dead"), true),
        (|client| delete(client, "jobs"), false),
    ];
    for (number, (change, stays)) in changes.into_iter().enumerate() {
        let mut client = Client::new();
        jobs_and_dead(&mut client, 1);
        client.send("jobs", "poison");
        client.receive_one("jobs", 0);
        assert!(client.receive("jobs", 0).is_empty(), "it is marked");
        change(&mut client);
        client.keep();
        let shown = client.show();
        let messages = |name: &str| shown.get(name).map_or(0, |queue| queue.messages.len());
        assert_eq!((messages("jobs"), messages("dead")), (usize::from(stays), 0), "{number}");
        if stays {
            assert_eq!(client.bodies("jobs", 0), ["poison"], "{number}");
        }
    }
}

#[test]
fn a_second_dead_letter_queue_gets_it_with_its_first_origin() {
    let mut client = Client::new();
    client.create("cemetery");
    client.create_with("dead", policy("cemetery", 2));
    client.create_with("jobs", policy("dead", 3));
    let sent = client.store().now();
    client.send("jobs", "poison");
    let_die(&mut client, "jobs");
    client.advance(1_000);
    // What was received from "jobs" does not count here.
    let_die(&mut client, "dead");
    let letter = receive_told(&mut client, "cemetery", 0);
    let expected = (Some("dead".to_owned()), (3, 1), 6, sent);
    assert_eq!((letter.source, letter.origin, letter.receive_count, letter.sent), expected);
}

#[test]
fn a_fifo_queue_gives_it_the_time_of_its_death_and_keeps_the_order() {
    let mut client = Client::new();
    client.create_with("dead.fifo", fifo(AttributeChanges::default()));
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    let messages = [("a", Some(1), "1"), ("a", Some(2), "2"), ("a", Some(3), "3")];
    client.send_in_groups("jobs.fifo", &messages);
    client.advance(7_000);
    let died = client.store().now();
    let_die(&mut client, "jobs.fifo");
    client.advance(7_000);
    let received = client.receive("dead.fifo", 0);
    let letters: Vec<_> = received.iter().map(|delivery| told(&mut client, delivery)).collect();
    let of = |letter: &Told| (letter.body.clone(), letter.sent, letter.receive_count);
    let expected = ["1", "2", "3"].map(|body| (body.to_owned(), died, 2));
    assert_eq!(letters.iter().map(of).collect::<Vec<_>>(), expected);
    assert!(received.iter().all(|delivery| delivery.sent == died), "the index says so too");
}

#[test]
fn what_travelled_with_it_travels_on_also_through_compactions_and_lost_files() {
    let mut client = Client::new();
    client.create_for_ever("dead");
    let jobs = AttributeChanges { retention_ms: Some(RETENTION_MS_MAX), ..policy("dead", 1) };
    client.create_with("jobs", jobs);
    let mut payload = vec![1, 5, 0, 0, 0];
    payload.extend(b"group");
    let attributes_bytes = payload.len() as u32;
    payload.extend([0xff; 700]);
    let checksum = checksum::message(attributes_bytes, &payload);
    let sent = client.store().now();
    let new = NewMessage {
        attributes_bytes,
        checksum,
        payload: Bytes::from(payload),
        ..message(b"", None)
    };
    for _ in 0..30 {
        let send =
            Command::Send { queue: "jobs".to_owned(), messages: vec![new.clone()], batch: None };
        assert!(matches!(client.ask(send), Ok(Reply::Sent(_))));
    }
    client.advance(40 * client::DAY_MS);
    let_die(&mut client, "jobs");
    let check = |client: &mut Client| {
        let received = client.receive_max("dead", 100, 0);
        assert_eq!(received.len(), 30);
        for (seq, delivery) in (1..).zip(received) {
            let stored = client.store().read(&delivery.location).unwrap();
            assert_eq!((stored.checksum, stored.attributes_bytes), (checksum, attributes_bytes));
            assert_eq!(stored.payload, new.payload);
            let letter = stored.dead_letter.unwrap();
            // Forty days are more than an index can say; the message itself knows.
            assert_eq!((letter.sent, letter.origin_seq.0, letter.receive_count), (sent, seq, 1));
        }
    };
    check(&mut client);
    client.keep_all();
    assert!(client.stats().disk.compactions > 0, "the bodies in \"jobs\" are garbage");
    check(&mut client);
    client.stop();
    assert_eq!(client.verify().outcome, Outcome::Clean);
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    check(&mut client);
    assert_eq!(client.counts("jobs"), [0; 4]);
}
