//! Without this: a group whose first message no consumer can deal with would be given again and again, and the groups
//! behind it never, wherever consumers give back what they could not deal with (SQS does so).

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, DAY_MS};
use forebay_engine::command::{Command, Reply};
use forebay_engine::facts::Fact;
use forebay_engine::ids::Seq;

/// Of group a messages 1, 2 and 4, of group b 3, of group c 5.
fn line() -> Client {
    let mut client = Client::new();
    client.create_fifo("line.fifo");
    for (seq, group) in (1..).zip(["a", "a", "b", "a", "c"]) {
        client.send_in_groups("line.fifo", &[(group, Some(seq), "body")]);
        client.advance(1);
    }
    client
}

fn receive(client: &mut Client, max: u32, visibility_ms: u64) -> Vec<u64> {
    let received = client.receive_max("line.fifo", max, visibility_ms);
    client.advance(1);
    received.iter().map(|delivery| delivery.seq.0).collect()
}

#[test]
fn behind_the_groups_whose_first_message_was_sent_before_that() {
    let mut client = line();
    assert_eq!(receive(&mut client, 4, 0), [1, 2, 4, 3]);
    // Group a was received before group b: not sooner, but its first message is the older one.
    assert_eq!(receive(&mut client, 10, 0), [5, 1, 2, 4, 3]);

    let mut client = line();
    assert_eq!(receive(&mut client, 2, 1_000), [1, 2]);
    assert_eq!(receive(&mut client, 1, 1_000), [3], "what is left of group a waits");
    client.send_in_groups("line.fifo", &[("d", Some(6), "body")]);
    client.advance(2_000);
    assert_eq!(receive(&mut client, 10, DAY_MS / 2), [5, 1, 2, 4, 3, 6]);
}

#[test]
fn so_each_gets_its_turn() {
    let mut client = line();
    let turns: Vec<u64> = (0..9).flat_map(|_| receive(&mut client, 1, 0)).collect();
    assert_eq!(turns, [1, 3, 5, 1, 3, 5, 1, 3, 5]);
}

#[test]
fn but_not_when_what_was_received_of_it_is_gone() {
    let mut client = line();
    let received = client.receive_max("line.fifo", 2, DAY_MS / 2);
    for delivery in received {
        client.ack("line.fifo", delivery.receipt).unwrap();
    }
    assert_eq!(receive(&mut client, 10, 0), [3, 4, 5]);
}

#[test]
fn also_after_a_restart_and_explain_knows_it() {
    for ends_in_order in [false, true] {
        let mut client = line();
        assert_eq!(receive(&mut client, 3, 0), [1, 2, 4]);
        match ends_in_order {
            true => {
                client.close();
                client.open().unwrap();
            }
            false => client.commit_and_kill(),
        }
        let explain = Command::Explain { queue: "line.fifo".to_owned(), seq: None };
        let Ok(Reply::Explained { facts, .. }) = client.ask(explain) else { panic!("it is told") };
        assert_eq!(facts[0], Fact::Waiting { messages: 5, next: Some(Seq(3)) });
        for (seq, is_next) in [(1, false), (3, true)] {
            let explain = Command::Explain { queue: "line.fifo".to_owned(), seq: Some(Seq(seq)) };
            let Ok(Reply::Explained { facts, .. }) = client.ask(explain) else {
                panic!("it is told")
            };
            let Fact::MessageWaiting { before } = facts[0] else { panic!("{facts:?}") };
            assert_eq!(before == 0, is_next, "{seq}");
        }
        assert_eq!(receive(&mut client, 10, 0), [3, 5, 1, 2, 4]);
    }
}

/// Otherwise all that was sent with them would be read again for them, and be known until then.
#[test]
fn but_where_there_are_many_every_second_receive_gives_them_first() {
    let names: Vec<String> = (0..1_200).map(|group| group.to_string()).collect();
    let messages: Vec<_> =
        (1..).zip(&names).map(|(seq, name)| (&**name, Some(seq), "body")).collect();
    let mut client = Client::new();
    client.create_fifo("line.fifo");
    for some in messages.chunks(50) {
        client.send_in_groups("line.fifo", some);
    }
    client.advance(1);
    (0..16).for_each(|_| assert_eq!(receive(&mut client, 64, 0).len(), 64));
    let turns: Vec<u64> = (0..6).flat_map(|_| receive(&mut client, 1, 0)).collect();
    assert_eq!(turns, [1_025, 1, 1_026, 2, 1_027, 3]);
}
