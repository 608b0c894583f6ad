//! Without this: who looks for one message among a million would have to look at all of them, or would
//! be told that what is there is not.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use bytes::Bytes;
use client::Client;
use common::{lose_derived, message};
use forebay_engine::LogTime;
use forebay_engine::attributes_section::group_of;
use forebay_engine::command::{
    Command, Deduplication, MessageState, NewMessage, PeekFilter, Peeked, Reply, States,
};
use forebay_engine::ids::Seq;

/// Every message that the filter lets through, however many requests it takes; and how many did.
fn peek(client: &mut Client, from: u64, filter: PeekFilter) -> (Vec<Peeked>, usize) {
    let (mut found, mut from, mut requests) = (Vec::new(), Some(Seq(from)), 0);
    while let Some(seq) = from {
        let queue = "jobs".to_owned();
        let peek = Command::Peek { queue, from: seq, max: 50, bytes_max: u64::MAX, filter };
        let Ok(Reply::Peeked { messages, next, .. }) = client.ask(peek) else { panic!("peeked") };
        assert!(next.is_none_or(|next| next > seq), "it goes on");
        found.extend(messages);
        from = next;
        requests += 1;
    }
    (found, requests)
}

fn seqs(client: &mut Client, from: u64, filter: PeekFilter) -> Vec<u64> {
    peek(client, from, filter).0.iter().map(|message| message.seq.0).collect()
}

fn in_states(waiting: bool, in_flight: bool, delayed: bool) -> PeekFilter {
    let states = States { waiting, in_flight, delayed, damaged: false };
    PeekFilter { states, ..PeekFilter::default() }
}

/// A message with a group, as the protocol has it.
fn grouped(group: &str, body: &str) -> NewMessage {
    let mut payload = vec![1];
    payload.extend((group.len() as u32).to_le_bytes());
    payload.extend(group.as_bytes());
    let attributes_bytes = payload.len() as u32;
    payload.extend(body.as_bytes());
    NewMessage {
        delay_ms: None,
        checksum: forebay_engine::checksum::message(attributes_bytes, &payload),
        attributes_bytes,
        payload: Bytes::from(payload),
        deduplication: Deduplication::None,
    }
}

/// It stopped the server, and the client that asked asked again after each restart.
#[test]
fn behind_the_end_there_is_nothing_whatever_number_is_asked_for() {
    let mut client = Client::new();
    client.create("jobs");
    for sent in 0..2 {
        for from in [3, u64::MAX - 1, u64::MAX] {
            let since = Some(LogTime(u64::MAX));
            for filter in [PeekFilter::default(), PeekFilter { since, ..PeekFilter::default() }] {
                assert_eq!(peek(&mut client, from, filter), (Vec::new(), 1), "{sent} sent");
            }
            let (queue, seq) = ("jobs".to_owned(), Some(Seq(from)));
            assert!(client.ask(Command::Explain { queue, seq }).is_ok());
        }
        client.send("jobs", "one");
        let receipt = client.receive_one("jobs", 0).receipt;
        client.ack("jobs", receipt).unwrap();
    }
}

#[test]
fn each_state_is_found_alone_and_with_others() {
    let mut client = Client::new();
    client.create("jobs");
    for body in ["in flight", "returned", "acked", "waiting"] {
        client.send("jobs", body);
    }
    client.send_delayed("jobs", "delayed", Some(60_000));
    client.send_delayed("jobs", "due", Some(10));
    client.send("jobs", "waiting too");
    let received = client.receive_max("jobs", 3, 60_000);
    client.change("jobs", received[1].receipt, 0).unwrap();
    client.ack("jobs", received[2].receipt).unwrap();
    client.advance(10);
    assert_eq!(seqs(&mut client, 1, in_states(true, false, false)), [2, 4, 6, 7]);
    assert_eq!(seqs(&mut client, 1, in_states(false, true, false)), [1]);
    assert_eq!(seqs(&mut client, 1, in_states(false, false, true)), [5]);
    assert_eq!(seqs(&mut client, 1, in_states(false, true, true)), [1, 5]);
    assert_eq!(seqs(&mut client, 1, in_states(true, false, true)), [2, 4, 5, 6, 7]);
    assert_eq!(seqs(&mut client, 1, PeekFilter::default()), [1, 2, 4, 5, 6, 7]);
    assert_eq!(seqs(&mut client, 5, in_states(true, true, false)), [6, 7]);
    assert_eq!(seqs(&mut client, 1, in_states(false, false, false)), [0; 0]);
    // Nothing was touched.
    assert_eq!(client.counts("jobs"), [4, 1, 1, 0]);
}

#[test]
fn those_sent_after_a_time_are_found_in_every_segment_and_after_compaction() {
    let mut client = Client::new();
    client.create("jobs");
    client.create("other");
    let mut sent: Vec<(u64, LogTime)> = Vec::new();
    for round in 0..60u64 {
        for _ in 0..1 + round % 3 {
            let now = client.store().now();
            sent.push((client.send("jobs", &"x".repeat(300 + round as usize)), now));
        }
        client.send("other", &"y".repeat(700));
        client.store().commit().unwrap();
        client.advance(round % 4 * 250);
    }
    // Gaps, and what the compactor makes of them.
    let received = client.receive_max("jobs", 200, 3_600_000);
    let is_gone = |seq: u64| seq.is_multiple_of(3) || (20..40).contains(&seq);
    for delivery in received.iter().filter(|delivery| is_gone(delivery.seq.0)) {
        client.ack("jobs", delivery.receipt).unwrap();
    }
    sent.retain(|(seq, _)| !is_gone(*seq));
    let (first, last) = (sent[0].1, sent[sent.len() - 1].1);
    for what in ["as it was written", "compacted", "opened again", "from the log alone"] {
        match what {
            "compacted" => client.keep_all(),
            "opened again" => client.kill(),
            "from the log alone" => {
                client.stop();
                lose_derived(&client.disk, u64::MAX);
                client.open().unwrap();
            }
            _ => {}
        }
        for time in (first.0 - 2..last.0 + 3).step_by(83).chain(sent.iter().map(|(_, t)| t.0)) {
            let since = Some(LogTime(time));
            let expected: Vec<_> =
                sent.iter().filter(|(_, t)| t.0 > time).map(|(s, _)| *s).collect();
            let filter = PeekFilter { since, ..PeekFilter::default() };
            assert_eq!(seqs(&mut client, 1, filter), expected, "{what}, after {time}");
            let behind: Vec<_> = expected.into_iter().filter(|seq| *seq >= 30).collect();
            assert_eq!(seqs(&mut client, 30, filter), behind, "{what}, after {time}");
        }
    }
    assert!(client.stats().disk.segments_sealed > 3);
}

#[test]
fn a_group_is_found_among_others() {
    let mut client = Client::new();
    client.create("jobs");
    for (group, body) in [("eu", "1"), ("us", "2"), ("eu", "3")] {
        let messages = vec![grouped(group, body)];
        client.ask(Command::Send { queue: "jobs".to_owned(), messages, batch: None }).unwrap();
    }
    client.send("jobs", "of none");
    let group =
        |id: &str| PeekFilter { group: Some(group_of(id.as_bytes())), ..Default::default() };
    assert_eq!(seqs(&mut client, 1, group("eu")), [1, 3]);
    assert_eq!(seqs(&mut client, 2, group("eu")), [3]);
    assert_eq!(seqs(&mut client, 1, group("us")), [2]);
    assert_eq!(seqs(&mut client, 1, group("")), [0; 0]);
    client.receive_max("jobs", 1, 60_000);
    let in_flight = PeekFilter { states: in_states(false, true, false).states, ..group("eu") };
    let (found, _) = peek(&mut client, 1, in_flight);
    assert_eq!(found.len(), 1);
    assert!(matches!(found[0].state, MessageState::InFlight { .. }));
}

#[test]
fn one_request_looks_at_so_many_and_says_where_to_go_on() {
    let mut client = Client::with(forebay_engine::Options::default());
    client.create("jobs");
    for _ in 0..40 {
        let messages = vec![message(b"", None); 4096];
        client.ask(Command::Send { queue: "jobs".to_owned(), messages, batch: None }).unwrap();
    }
    let messages = vec![grouped("rare", "it")];
    client.ask(Command::Send { queue: "jobs".to_owned(), messages, batch: None }).unwrap();
    let rare = PeekFilter { group: Some(group_of(b"rare")), ..PeekFilter::default() };
    let (found, requests) = peek(&mut client, 1, rare);
    assert_eq!((found.len(), found[0].seq, requests), (1, Seq(163_841), 3));
    // Of those that wait none is looked at for the sake of others.
    let (found, requests) = peek(&mut client, 1, in_states(false, true, true));
    assert_eq!((found.len(), requests), (0, 1));
}
