//! Without this: a consumer that did its work while the server restarted could not say so, and the
//! work would be done again; or its late word would delete what another has begun since.

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use forebay_engine::RequestError;
use forebay_engine::ids::Seq;
use forebay_engine::receipt::SealedReceipt;

/// A message whose only lease was lost in a crash, and that lease's receipt.
fn lost_lease() -> (Client, SealedReceipt) {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "work");
    let receipt = client.receive_one("jobs", 60_000).receipt;
    client.kill();
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0], "a crash may end a lease early");
    (client, receipt)
}

#[test]
fn it_still_deletes_and_for_good() {
    let (mut client, receipt) = lost_lease();
    client.ack("jobs", receipt).unwrap();
    assert_eq!(client.counts("jobs"), [0; 4]);
    client.kill();
    assert_eq!(client.counts("jobs"), [0; 4]);
}

#[test]
fn it_still_holds_the_message_when_its_consumer_asks_for_more_time() {
    let (mut client, receipt) = lost_lease();
    client.change("jobs", receipt, 30_000).unwrap();
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
    client.commit_and_kill();
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
    client.advance(30_000);
    assert_eq!(client.receive_one("jobs", 1_000).receive_count, 2, "that lease was one");
}

#[test]
fn it_never_touches_a_lease_that_came_later() {
    let (mut client, old) = lost_lease();
    let new = client.receive_one("jobs", 60_000).receipt;
    assert_ne!(old, new);
    let stale = Err(RequestError::ReceiptStale { seq: Seq(1) });
    assert_eq!(client.ack("jobs", old), stale);
    assert_eq!(client.change("jobs", old, 0), stale);
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
    client.ack("jobs", new).unwrap();
    assert_eq!(client.counts("jobs"), [0; 4]);
}

#[test]
fn of_a_lost_lease_after_a_kept_one_both_receipts_delete() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "first");
    client.send("jobs", "second");
    let kept: Vec<_> = client.receive("jobs", 1_000).iter().map(|d| d.receipt).collect();
    client.store().commit().unwrap();
    client.advance(1_000);
    let lost: Vec<_> = client.receive("jobs", 1_000).iter().map(|d| d.receipt).collect();
    client.kill();
    // Nobody can tell any more which of the two is the newer one.
    client.ack("jobs", kept[0]).unwrap();
    client.ack("jobs", lost[1]).unwrap();
    assert_eq!(client.counts("jobs"), [0; 4]);
}
