//! Without this: a purge could leave messages in flight or delayed to come back, or swallow what
//! was sent after it.

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, send};
use forebay_engine::command::{Command, Reply};

fn purge(client: &mut Client) -> u64 {
    match client.ask(Command::PurgeQueue { name: "jobs".to_owned() }) {
        Ok(Reply::Purged { count }) => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn waiting_delayed_in_flight_and_returned_messages_are_gone() {
    let mut client = Client::new();
    client.create("jobs");
    for body in ["in flight", "returned", "acked", "waiting"] {
        client.send("jobs", body);
    }
    client.send_delayed("jobs", "delayed", Some(5_000));
    let receipts: Vec<_> = client.receive("jobs", 1_000).iter().map(|d| d.receipt).collect();
    client.change("jobs", receipts[1], 0).unwrap();
    client.change("jobs", receipts[3], 0).unwrap();
    client.ack("jobs", receipts[2]).unwrap();
    assert_eq!(client.counts("jobs"), [2, 1, 1, 0]);
    assert_eq!(purge(&mut client), 4);
    for restart in [false, true] {
        if restart {
            client.commit_and_kill();
        }
        client.advance(10_000);
        assert_eq!(client.counts("jobs"), [0; 4]);
        assert_eq!(client.bodies("jobs", 1), [""; 0]);
    }
    // What is gone is gone: a late ack is no error, and changes nothing.
    client.ack("jobs", receipts[0]).unwrap();
    let gone = client.change("jobs", receipts[0], 1_000).unwrap_err();
    assert_eq!(gone.to_string(), "message 1 is no longer in the queue");
    assert_eq!(purge(&mut client), 0);
    assert_eq!(client.send("jobs", "next"), 6, "numbers go on");
    assert_eq!(client.bodies("jobs", 1), ["next"]);
}

#[test]
fn a_send_that_is_not_yet_durable_is_taken_and_answered_all_the_same() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "old");
    let undurable = client.begin(send("jobs", "on its way", None));
    let delayed = client.begin(send("jobs", "on its way, delayed", Some(1_000)));
    let purge = client.begin(Command::PurgeQueue { name: "jobs".to_owned() });
    let later = client.begin(send("jobs", "later", None));
    assert_eq!(client.counts("jobs"), [0; 4], "what is not durable is not counted");
    client.store().commit().unwrap();
    assert_eq!(client.answer(purge), Some(Ok(Reply::Purged { count: 3 })));
    for number in [undurable, delayed, later] {
        assert!(matches!(client.answer(number), Some(Ok(Reply::Sent(_)))));
    }
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
    client.commit_and_kill();
    client.advance(1_000);
    assert_eq!(client.bodies("jobs", 1), ["later"]);
}

#[test]
fn a_purge_that_a_crash_took_has_taken_nothing() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "kept");
    client.begin(Command::PurgeQueue { name: "jobs".to_owned() });
    client.kill();
    assert_eq!(client.bodies("jobs", 1), ["kept"]);
}

#[test]
fn other_queues_keep_theirs() {
    let mut client = Client::new();
    client.create("jobs");
    client.create("other");
    client.send("jobs", "gone");
    client.send("other", "kept");
    purge(&mut client);
    client.commit_and_kill();
    assert_eq!((client.counts("jobs"), client.counts("other")), ([0; 4], [1, 0, 0, 0]));
}
