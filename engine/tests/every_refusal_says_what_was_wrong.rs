//! Without this: someone whose request is refused would have to guess which value was wrong and
//! what it should have been.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::BTreeSet;

use client::{Client, deliveries, receive, send};
use common::{in_group, message, peek, tiny};
use forebay_engine::RequestError;
use forebay_engine::attributes::{ATTRIBUTES, AttributeChanges, TextMap};
use forebay_engine::command::{
    BATCH_MESSAGES_MAX, Command, LIST_QUEUES_MAX, NewMessage, ProducerBatch, TransactAcks,
    TransactSends,
};
use forebay_engine::disk::Fault;
use forebay_engine::ids::{ProducerId, QueueId, RedriveId, Seq};
use forebay_engine::receipt::SealedReceipt;

/// The variant's name. A new variant does not compile until it is in the list.
fn variant(error: &RequestError) -> &'static str {
    macro_rules! name {
        ($($variant:ident),*) => {
            match error { $(RequestError::$variant { .. } => stringify!($variant)),* }
        };
    }
    name!(
        UnknownQueue,
        QueueExists,
        BadQueueName,
        UnknownAttribute,
        AttributeInvalid,
        OutOfRange,
        EmptyBatch,
        TooManyInBatch,
        MessageTooLarge,
        BatchTooLarge,
        MessageInvalid,
        BatchForgotten,
        ReceiptInvalid,
        ReceiptOfOtherQueue,
        ReceiptStale,
        ReceiptExpired,
        InFlightFull,
        AttemptSpent,
        MessageGone,
        TransactionRefused,
        NotDeadLetterQueue,
        BadDestination,
        RedriveRunning,
        TooManyRedrives,
        UnknownRedrive,
        StorageFull,
        StorageFailed,
        ShuttingDown
    )
}

const VARIANTS: usize = 28;

fn create(name: &str, attributes: AttributeChanges) -> Command {
    Command::CreateQueue { name: name.to_owned(), attributes: attributes.into() }
}

fn with(id: u16, value: u64) -> AttributeChanges {
    let mut attributes = AttributeChanges::default();
    attributes.set(id, value).unwrap();
    attributes
}

fn tags(key: &str, value: &str) -> TextMap {
    TextMap::from([(key.to_owned(), value.to_owned())])
}

fn batch(messages: Vec<NewMessage>) -> Command {
    Command::Send { queue: "jobs".to_owned(), messages, batch: None }
}

fn transact(
    from: &str,
    receipts: &[SealedReceipt],
    to: &str,
    messages: Vec<NewMessage>,
) -> Command {
    let acks = TransactAcks { queue: from.to_owned(), receipts: receipts.to_vec() };
    let sends = TransactSends { queue: to.to_owned(), messages };
    Command::Transact { acks: vec![acks], sends: vec![sends] }
}

fn to_jobs(messages: Vec<NewMessage>) -> Command {
    let sends = vec![TransactSends { queue: "jobs".to_owned(), messages }];
    Command::Transact { acks: vec![], sends }
}

/// Refused commands, in order, and the texts of their refusals.
fn refusals(client: &mut Client) -> Vec<(Command, String)> {
    let queue = || "jobs".to_owned();
    let too_many = BATCH_MESSAGES_MAX + 1;
    let long = "x".repeat(81);
    let name_rule = "a name is 1 to 80 characters of A-Z a-z 0-9 _ -, \
                     and ends in .fifo if the queue is FIFO";
    client.send("jobs", "gone");
    let gone = client.receive_one("jobs", 60_000).receipt;
    client.ack("jobs", gone).unwrap();
    let max = tiny().command_bytes_max();
    let of = |text: &str| text.to_owned();
    vec![
        (send("nobody", "", None), of("queue \"nobody\" does not exist")),
        (
            create("jobs", with(1, 5_000)),
            of("queue \"jobs\" exists with visibility-timeout 30s, not 5s"),
        ),
        (
            create("jobs", AttributeChanges { tags: Some(tags("a", "b")), ..Default::default() }),
            of("queue \"jobs\" exists with tags {}, not {\"a\": \"b\"}"),
        ),
        (
            create("jobs", AttributeChanges { tags: Some(tags("", "b")), ..Default::default() }),
            of("the key of a tag is \"\", expected 1 to 128 characters"),
        ),
        (create("jobs", with(8, 1)), of("queue \"jobs\" exists with fifo false, not true")),
        (create("", with(1, 0)), format!("queue name \"\": it is empty; {name_rule}")),
        (create(&long, with(1, 0)), format!("queue name {long:?}: it is too long; {name_rule}")),
        (
            create("a b", with(1, 0)),
            format!("queue name \"a b\": it has another character; {name_rule}"),
        ),
        (
            create("\u{e9}", with(1, 0)),
            format!("queue name \"\u{e9}\": it has another character; {name_rule}"),
        ),
        (batch(vec![]), of("the batch is empty, expected at least one message")),
        (
            batch(vec![message(b"", None); too_many]),
            of("the batch has 4097 messages, expected at most 4096"),
        ),
        (
            batch(vec![message(b"", None), message(b"", Some(u64::MAX))]),
            of("delay is 213503982334d14h25m51s615ms, expected 0s to 36500d"),
        ),
        (
            batch(vec![message(b"", None), message(&[0; 1025], None)]),
            of("message 1 of the batch has 1025 bytes, queue \"jobs\" allows 1024"),
        ),
        (
            batch(vec![message(&[0; 1024], None); 20]),
            format!("the batch needs 21440 bytes in the log, expected at most {max}"),
        ),
        (
            Command::Transact { acks: vec![], sends: vec![] },
            of("the batch is empty, expected at least one item"),
        ),
        (
            transact("jobs", &[gone], "jobs", vec![]),
            of("acks[0].receipts[0]: message 1 is no longer in the queue"),
        ),
        (
            transact("nobody", &[gone], "jobs", vec![message(b"", None)]),
            of("acks[0]: queue \"nobody\" does not exist"),
        ),
        (
            transact("jobs", &[], "jobs", vec![message(b"", None)]),
            of("acks[0]: the batch is empty, expected at least one receipt"),
        ),
        (
            to_jobs(vec![message(b"", None), message(&[0; 1025], None)]),
            of("sends[0].messages[1]: message 1 of the batch has 1025 bytes, \
                queue \"jobs\" allows 1024"),
        ),
        (
            to_jobs(vec![message(b"", None); too_many]),
            of("the batch has 4097 items, expected at most 4096"),
        ),
        (
            to_jobs(vec![message(&[0; 1024], None); 20]),
            format!("the batch needs 21440 bytes in the log, expected at most {max}"),
        ),
        (receive("jobs", 0, 0, 0), of("max is 0, expected 1 to 4096")),
        (receive("jobs", 4097, 0, 0), of("max is 4097, expected 1 to 4096")),
        (receive("jobs", 1, 20_001, 0), of("wait is 20s1ms, expected 0s to 20s")),
        (receive("jobs", 1, 0, 43_200_001), of("visibility is 12h1ms, expected 0s to 12h")),
        (
            Command::Ack { queue: queue(), receipts: vec![] },
            of("the batch is empty, expected at least one receipt"),
        ),
        (
            Command::ChangeVisibility { queue: queue(), changes: vec![] },
            of("the batch is empty, expected at least one change"),
        ),
        (peek("jobs", Seq(1), 0), of("max is 0, expected 1 to 4096")),
        (
            Command::ListQueues { prefix: of(""), after: of(""), max: LIST_QUEUES_MAX + 1 },
            of("max is 1001, expected 1 to 1000"),
        ),
        (
            Command::StartRedrive { queue: queue(), destination: of(""), rate: 0 },
            of("queue \"jobs\" is the dead-letter queue of no queue"),
        ),
        (
            Command::CancelRedrive { redrive: RedriveId::new(QueueId(1), 7) },
            of("redrive 1-7 does not run: none of this number is known"),
        ),
    ]
}

#[test]
fn of_a_command() {
    let mut client = Client::new();
    client.create_with("jobs", with(4, 1024));
    let before = client.describe("jobs");
    let mut seen = BTreeSet::new();
    let refusals = refusals(&mut client);
    let held = client.describe("jobs");
    assert_eq!(held.counts, before.counts);
    for (command, text) in refusals {
        let error = client.ask(command).unwrap_err();
        assert_eq!(error.to_string(), text);
        seen.insert(variant(&error));
    }
    assert_eq!(client.describe("jobs"), held, "what is refused changes nothing");

    let unknown = AttributeChanges::default().set(99, 0).unwrap_err();
    assert_eq!(unknown.to_string(), "no attribute has the id 99");

    // Those of single receipts.
    client.send("jobs", "work");
    let old = client.receive_one("jobs", 0).receipt;
    let new = client.receive_one("jobs", 0).receipt;
    let stale = client.ack("jobs", old).unwrap_err();
    assert_eq!(stale.to_string(), "the receipt is stale: message 2 was received again since");
    client.ack("jobs", new).unwrap();
    let gone = client.change("jobs", new, 0).unwrap_err();
    assert_eq!(gone.to_string(), "message 2 is no longer in the queue");
    let mut forged = new;
    forged.0[0] ^= 1;
    let invalid = client.ack("jobs", forged).unwrap_err();
    assert_eq!(invalid.to_string(), "the receipt is not valid: this store did not make it");
    client.create("other");
    let foreign = client.ack("other", new).unwrap_err();
    let text = "the receipt is not valid: it is of queue 1, not of queue 2";
    assert_eq!(foreign.to_string(), text);
    let long = client.change("jobs", new, 43_200_001).unwrap_err();
    assert_eq!(long.to_string(), "visibility is 12h1ms, expected 0s to 12h");

    // Those of a FIFO queue, of producers, and of a queue with too much in flight.
    let fifo = AttributeChanges { fifo: Some(true), ..AttributeChanges::default() };
    client.ask(create("line.fifo", fifo)).unwrap();
    let without_group = client.ask(send("line.fifo", "work", None)).unwrap_err();
    let text =
        "message 0 of the batch: it has no group id, which every message of a FIFO queue has";
    assert_eq!(without_group.to_string(), text);
    let grouped = in_group("a", Some(1), b"work");
    let once =
        Command::Send { queue: "line.fifo".to_owned(), messages: vec![grouped], batch: None };
    client.ask(once).unwrap();
    let receipt = client.receive_one("line.fifo", 1_000).receipt;
    client.clock.advance(1_000);
    let expired = client.ack("line.fifo", receipt).unwrap_err();
    assert_eq!(expired.to_string(), "the receipt has expired: the lease of message 1 has ended");
    let receive_once = Command::Receive {
        queue: "line.fifo".to_owned(),
        max: 1,
        wait_ms: Some(0),
        visibility_ms: Some(1_000),
        bytes_max: u64::MAX,
        attempt: Some("job-7".to_owned()),
    };
    let received = deliveries(client.ask(receive_once.clone()));
    client.ack("line.fifo", received[0].receipt).unwrap();
    let spent = client.ask(receive_once).unwrap_err();
    let text = "attempt \"job-7\" cannot be made again: of the messages that it got one was acked, or its \
                visibility changed, since";
    assert_eq!(spent.to_string(), text);
    let produce = |number, oldest| Command::Send {
        queue: "few".to_owned(),
        messages: vec![message(b"work", None)],
        batch: Some(ProducerBatch { producer: ProducerId(1), number, oldest }),
    };
    client.create_with("few", with(6, 1));
    client.ask(produce(7, 7)).unwrap();
    client.ask(produce(8, 7)).unwrap();
    let forgotten = client.ask(produce(6, 5)).unwrap_err();
    let text = "batch 6 is too old to know whether it has landed: of this producer batches from 7 on are known";
    assert_eq!(forgotten.to_string(), text);
    client.receive_one("few", 1_000);
    let full_flight = client.ask(receive("few", 1, 0, 1_000)).unwrap_err();
    let text = "queue \"few\" has as many messages in flight as it may: its maximum is 1";
    assert_eq!(full_flight.to_string(), text);

    // Those of the disk.
    client.disk.set_capacity(Some(client.disk.used() + 8192));
    let full = loop {
        if let Err(error) = client.ask(batch(vec![message(&[0; 1000], None)])) {
            break error;
        }
    };
    let text = "there is no space in the log: the next segment cannot be prepared: write data/log/next.tmp: No \
                space left on device (os error 28)";
    assert_eq!(full.to_string(), text);
    client.disk.set_capacity(None);
    client.store().commit().unwrap();
    let number = client.begin(send("jobs", "lost", None));
    client.disk.fail_at(client.disk.operations(), Fault::SyncDropsPages);
    client.store().commit().unwrap_err();
    let failed = client.answer(number).unwrap().unwrap_err();
    let text = failed.to_string();
    let expected = "the outcome is unknown, the log failed: sync data/log/";
    assert!(text.starts_with(expected) && text.contains("Input/output error"), "{text}");
    assert_eq!(RequestError::ShuttingDown.to_string(), "the store is shutting down");

    let errors = [
        unknown,
        stale,
        gone,
        invalid,
        foreign,
        without_group,
        expired,
        spent,
        forgotten,
        full_flight,
        full,
        failed,
        RequestError::ShuttingDown,
    ];
    seen.extend(errors.iter().map(variant));
    // Met in `a_redrive_brings_dead_letters_back`, which has dead letters.
    seen.extend(["BadDestination", "RedriveRunning", "TooManyRedrives"]);
    assert_eq!(seen.len(), VARIANTS, "each kind of refusal is met: {seen:?}");
}

#[test]
fn of_an_attribute_outside_its_range() {
    let mut client = Client::new();
    client.create("jobs");
    let before = client.describe("jobs");
    for row in ATTRIBUTES {
        let below = row.min.checked_sub(1);
        for value in below.into_iter().chain([row.max + 1, u64::MAX]) {
            let name = row.name;
            let shown = |number| row.unit.shown(number);
            let (found, min, max) = (shown(value), shown(row.min), shown(row.max));
            let text = format!("{name} is {found}, expected {min} to {max}");
            let mut attributes = AttributeChanges::default();
            if let Err(error) = attributes.set(row.id, value) {
                // No word has this number.
                assert_eq!(error.to_string(), text);
                continue;
            }
            let alter = Command::AlterQueue {
                name: "jobs".to_owned(),
                attributes: attributes.clone().into(),
            };
            let create_it = create("jobs", attributes.clone());
            for command in [create("new", attributes), create_it, alter] {
                assert_eq!(client.ask(command).unwrap_err().to_string(), text);
            }
        }
        // Those that a plain queue can have without others.
        if (7..=12).contains(&row.id) {
            continue;
        }
        for value in [row.min, row.default, row.max] {
            let attributes = with(row.id, value);
            let alter = Command::AlterQueue {
                name: "jobs".to_owned(),
                attributes: attributes.clone().into(),
            };
            client.ask(alter).unwrap();
            client.ask(create("jobs", attributes)).unwrap();
        }
        let attributes = with(row.id, row.default);
        client
            .ask(Command::AlterQueue { name: "jobs".to_owned(), attributes: attributes.into() })
            .unwrap();
    }
    assert_eq!(client.describe("jobs").attributes, before.attributes);
}
