//! Without this: who takes a message from one queue and sends what came of it to another would, in
//! the wrong moment, do one of the two: a message lost, or its outcome doubled.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, receive};
use common::message;
use forebay_engine::RequestError;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Reply, StoredMessages, TransactAcks, TransactSends};
use forebay_engine::disk::Fault;
use forebay_engine::ids::{QueueId, Seq};
use forebay_engine::receipt::SealedReceipt;

fn acks(queue: &str, receipts: &[SealedReceipt]) -> TransactAcks {
    TransactAcks { queue: queue.to_owned(), receipts: receipts.to_vec() }
}

fn sends(queue: &str, bodies: &[&str]) -> TransactSends {
    let messages = bodies.iter().map(|body| message(body.as_bytes(), None)).collect();
    TransactSends { queue: queue.to_owned(), messages }
}

/// Queues 1 to 3, and two messages of the first that were received.
fn with_two_received() -> (Client, Vec<SealedReceipt>) {
    let mut client = Client::new();
    for name in ["in", "out", "log"] {
        client.create(name);
    }
    client.send("in", "one");
    client.send("in", "two");
    let receipts = client.receive("in", 60_000).iter().map(|delivery| delivery.receipt).collect();
    (client, receipts)
}

fn forward(receipts: &[SealedReceipt]) -> Command {
    Command::Transact {
        acks: vec![acks("in", receipts)],
        sends: vec![sends("out", &["ONE", "TWO"]), sends("log", &["done"])],
    }
}

fn refused(client: &mut Client, command: Command) -> (String, RequestError) {
    match client.ask(command) {
        Err(RequestError::TransactionRefused { item, cause }) => (item, *cause),
        other => panic!("{other:?}"),
    }
}

fn lengths(client: &mut Client) -> [usize; 3] {
    let shown = client.show();
    ["in", "out", "log"].map(|name| shown[name].messages.len())
}

#[test]
fn acks_and_sends_of_several_queues_happen_together() {
    let (mut client, receipts) = with_two_received();
    let stored = |queue, first, count| StoredMessages {
        queue: QueueId(queue),
        first: Seq(first),
        count,
        seqs: Vec::new(),
    };
    let sent = vec![stored(2, 1, 2), stored(3, 1, 1)];
    assert_eq!(client.ask(forward(&receipts)), Ok(Reply::Transacted { sent }));
    client.kill();
    assert_eq!(lengths(&mut client), [0, 2, 1]);
    assert_eq!(client.bodies("out", 0), ["ONE", "TWO"]);
    // The same queue may be met more than once.
    let receipts: Vec<_> = client.receive("out", 60_000).iter().map(|d| d.receipt).collect();
    let command = Command::Transact {
        acks: vec![acks("out", &receipts[..1]), acks("out", &receipts[1..])],
        sends: vec![sends("out", &["a"]), sends("in", &["b"]), sends("out", &["c"])],
    };
    let sent = vec![stored(2, 3, 1), stored(1, 3, 1), stored(2, 4, 1)];
    assert_eq!(client.ask(command), Ok(Reply::Transacted { sent }));
    assert_eq!(client.bodies("out", 0), ["a", "c"]);
}

#[test]
fn whoever_waits_is_served_when_it_is_durable() {
    let (mut client, receipts) = with_two_received();
    let waiting = client.begin(receive("out", 1, 20_000, 60_000));
    let number = client.begin(forward(&receipts));
    assert_eq!((client.answer(number), client.received(waiting)), (None, None));
    client.store().commit().unwrap();
    assert!(matches!(client.answer(number), Some(Ok(Reply::Transacted { .. }))));
    assert_eq!(client.received(waiting), Some(vec!["ONE".to_owned()]));
}

#[test]
fn one_item_that_cannot_be_done_refuses_all() {
    let (mut client, receipts) = with_two_received();
    let small = AttributeChanges { message_bytes_max: Some(1024), ..Default::default() };
    client.create_with("small", small);
    client.create("other");
    client.send("other", "gone");
    let gone = client.receive_one("other", 60_000).receipt;
    client.ack("other", gone).unwrap();
    let before = client.show();
    let large = "x".repeat(1025);
    let good = || acks("in", &receipts);
    let cases = [
        (vec![good(), acks("nobody", &receipts)], vec![sends("out", &["a"])], "acks[1]"),
        (vec![good(), acks("other", &receipts[..1])], vec![], "acks[1].receipts[0]"),
        (vec![good(), acks("other", &[gone])], vec![sends("out", &["a"])], "acks[1].receipts[0]"),
        (vec![good(), acks("in", &receipts[1..])], vec![], "acks[1].receipts[0]"),
        (vec![good(), acks("in", &[])], vec![], "acks[1]"),
        (vec![good()], vec![sends("out", &["a"]), sends("nobody", &["b"])], "sends[1]"),
        (vec![good()], vec![sends("out", &["a"]), sends("log", &[])], "sends[1]"),
        (vec![good()], vec![sends("small", &["a", &large])], "sends[0].messages[1]"),
    ];
    for (acks, sends, named) in cases {
        let (item, cause) = refused(&mut client, Command::Transact { acks, sends });
        assert_eq!(item, named, "{cause}");
        assert_eq!(client.show(), before);
    }
    client.kill();
    assert_eq!(client.show(), before);
}

#[test]
fn a_stale_receipt_refuses_it_although_the_message_is_there() {
    let (mut client, receipts) = with_two_received();
    client.advance(60_000);
    // The lease ended, and nobody has received the message since: the receipt still holds it.
    let newer = client.receive_one("in", 60_000).receipt;
    let (item, cause) = refused(&mut client, forward(&receipts));
    assert_eq!(item, "acks[0].receipts[0]");
    assert_eq!(cause, RequestError::ReceiptStale { seq: Seq(1) });
    assert!(client.ask(forward(&[newer, receipts[1]])).is_ok());
    assert_eq!(lengths(&mut client), [0, 2, 1]);
}

#[test]
fn repeated_after_its_answer_was_lost_it_is_done_once() {
    let (mut client, receipts) = with_two_received();
    let first = client.begin(forward(&receipts));
    let second = client.begin(forward(&receipts));
    // That it is done must not be told before it is.
    assert_eq!((client.answer(first), client.answer(second)), (None, None));
    client.store().commit().unwrap();
    assert!(matches!(client.answer(first), Some(Ok(Reply::Transacted { .. }))));
    let Some(Err(error)) = client.answer(second) else { panic!("it is answered") };
    assert_eq!(error.to_string(), "acks[0].receipts[0]: message 1 is no longer in the queue");
    assert_eq!(lengths(&mut client), [0, 2, 1]);
    client.commit_and_kill();
    let (_, cause) = refused(&mut client, forward(&receipts));
    assert_eq!(cause, RequestError::MessageGone { seq: Seq(1) });
    assert_eq!(lengths(&mut client), [0, 2, 1]);
}

#[test]
fn a_crash_leaves_all_of_it_or_nothing_and_the_repetition_completes_it() {
    let mut outcomes = [0, 0];
    for seed in 0..40 {
        let (mut client, receipts) = with_two_received();
        let number = client.begin(forward(&receipts));
        client.disk.fail_at(client.disk.operations() + seed % 3, Fault::Crash);
        let is_committed = client.store().commit().is_ok();
        let answer = client.answer(number);
        client.stop();
        client.disk.crash(seed);
        client.disk.clear_faults();
        client.open().unwrap();
        let found = lengths(&mut client);
        assert!(found == [2, 0, 0] || found == [0, 2, 1], "{found:?}");
        let is_answered = matches!(answer, Some(Ok(_)));
        assert!(!is_answered || is_committed && found == [0, 2, 1]);
        outcomes[usize::from(found[0] == 0)] += 1;
        let again = client.ask(forward(&receipts));
        assert_eq!(again.is_err(), found[0] == 0, "{again:?}");
        assert_eq!(lengths(&mut client), [0, 2, 1]);
    }
    assert!(outcomes.iter().all(|met| *met > 0), "{outcomes:?}");
}

#[test]
fn on_a_full_disk_acks_go_on_and_sends_do_not() {
    let (mut client, receipts) = with_two_received();
    client.disk.set_capacity(Some(client.disk.used() + 8192));
    let filler = || Command::Send {
        queue: "log".to_owned(),
        messages: vec![message(&[0; 900], None)],
        batch: None,
    };
    while client.ask(filler()).is_ok() {}
    let full = client.ask(forward(&receipts));
    assert!(matches!(full, Err(RequestError::StorageFull { .. })), "{full:?}");
    assert_eq!(client.counts("in"), [0, 2, 0, 0]);
    let command = Command::Transact { acks: vec![acks("in", &receipts)], sends: vec![] };
    assert_eq!(client.ask(command), Ok(Reply::Transacted { sent: vec![] }));
    assert_eq!(client.counts("in"), [0; 4]);
}
