//! Without this: whoever holds an old, a foreign or a made-up receipt could delete a message that
//! another consumer is working on.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use forebay_engine::RequestError;
use forebay_engine::command::{Command, Reply};
use forebay_engine::ids::Seq;
use forebay_engine::receipt::SealedReceipt;

/// A client with a queue and a message in it, and a receipt of that.
fn received() -> (Client, SealedReceipt) {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "work");
    let receipt = client.receive_one("jobs", 1_000).receipt;
    (client, receipt)
}

/// Neither command takes the receipt, and the message is as it was.
fn assert_refused(client: &mut Client, queue: &str, receipt: SealedReceipt, text: &str) {
    client.store().commit().unwrap();
    let before = client.describe("jobs");
    for result in [client.ack(queue, receipt), client.change(queue, receipt, 0)] {
        let error = result.expect_err("the receipt counts for nothing");
        assert_eq!(error.to_string(), text);
    }
    let receipts = vec![receipt];
    // Giving back what is no longer held is no error, and does nothing.
    client
        .ask(Command::ReturnUndelivered { queue: queue.to_owned(), receipts, delay_ms: 0 })
        .unwrap();
    assert_eq!(client.describe("jobs"), before);
}

#[test]
fn a_receipt_of_an_earlier_receive_is_stale() {
    let (mut client, old) = received();
    client.advance(1_000);
    let new = client.receive_one("jobs", 60_000).receipt;
    assert_refused(
        &mut client,
        "jobs",
        old,
        "the receipt is stale: message 1 was received again since",
    );
    // It stays so when the newer lease has ended too.
    client.advance(60_000);
    let stale = Err(RequestError::ReceiptStale { seq: Seq(1) });
    assert_eq!(client.ack("jobs", old), stale);
    client.ack("jobs", new).unwrap();
    client.ack("jobs", new).unwrap();
    assert_eq!(client.counts("jobs"), [0; 4]);
}

/// What SQS allows, and the native protocol does not.
#[test]
fn an_earlier_receipt_changes_the_newest_lease_if_that_is_asked_for() {
    let (mut client, old) = received();
    client.advance(1_000);
    client.receive_one("jobs", 60_000);
    let change = |client: &mut Client, receipt| {
        let changes = vec![(receipt, 0)];
        let command = Command::ChangeVisibilityOfMessage { queue: "jobs".to_owned(), changes };
        match client.ask(command).unwrap() {
            Reply::Changed { failures } => failures,
            other => panic!("expected Changed, found {other:?}"),
        }
    };
    assert_eq!(change(&mut client, old), []);
    let newest = client.receive_one("jobs", 60_000).receipt;
    // Of a message that is gone there is no lease.
    client.ack("jobs", newest).unwrap();
    let gone = vec![(0, RequestError::MessageGone { seq: Seq(1) })];
    assert_eq!(change(&mut client, old), gone);
}

#[test]
fn a_forged_receipt_is_refused_whatever_bit_was_changed() {
    let (mut client, receipt) = received();
    for bit in 0..SealedReceipt::BYTES * 8 {
        let mut forged = receipt;
        forged.0[bit / 8] ^= 1 << (bit % 8);
        let text = "the receipt is not valid: this store did not make it";
        assert_refused(&mut client, "jobs", forged, text);
    }
    let short = SealedReceipt::from_bytes(&receipt.0[..27]).unwrap_err().to_string();
    assert_eq!(short, "the receipt is not valid: it has 27 bytes, expected 28");
}

#[test]
fn a_receipt_of_another_queue_is_refused() {
    let (mut client, receipt) = received();
    client.create("other");
    client.send("other", "not yours");
    client.receive_one("other", 60_000);
    let text = "the receipt is not valid: it is of queue 1, not of queue 2";
    assert_refused(&mut client, "other", receipt, text);
    assert_eq!(client.counts("other"), [0, 1, 0, 0]);
}

#[test]
fn a_receipt_of_another_store_is_refused() {
    let (_, foreign) = received();
    let (mut client, _) = received();
    let text = "the receipt is not valid: this store did not make it";
    assert_refused(&mut client, "jobs", foreign, text);
}

#[test]
fn a_receipt_of_a_deleted_queue_is_refused_by_its_successor() {
    let (mut client, old) = received();
    client.ask(Command::DeleteQueue { name: "jobs".to_owned() }).unwrap();
    let name = "jobs".to_owned();
    assert_eq!(client.ack("jobs", old), Err(RequestError::UnknownQueue { name }));
    client.create("jobs");
    client.send("jobs", "another's");
    for _ in 0..2 {
        let text = "the receipt is not valid: it is of queue 1, not of queue 2";
        assert_refused(&mut client, "jobs", old, text);
        client.commit_and_kill();
    }
    assert_eq!(client.bodies("jobs", 1_000), ["another's"]);
}
