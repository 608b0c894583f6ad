//! Without this: one failed operation of a compaction could end all compaction until the next start, and the disk
//! would fill.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use forebay_engine::disk::{Disk, Fault};

/// A store that is closed, with garbage in sealed segments and snapshots that know.
fn with_garbage() -> Client {
    let mut client = Client::new();
    client.create_for_ever("jobs");
    for _ in 0..20 {
        client.send_all("jobs", &vec![vec![b'x'; 900]; 5]);
    }
    while client.consume("jobs", 10, |seq| !seq.is_multiple_of(7)) > 0 {}
    client.close();
    client
}

/// Lets the keeper do what it can; whether the store goes on.
fn keep(client: &mut Client) -> bool {
    for _ in 0..40 {
        for _ in 0..10_000 {
            let store = client.store();
            if store.commit().is_err() {
                return false;
            }
            match store.keep() {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return false,
            }
        }
        client.advance(6_000);
    }
    true
}

#[test]
fn whatever_operation_failed_once() {
    let base = with_garbage();
    let whole = {
        let mut client = base.forked();
        client.open().unwrap();
        let before = client.disk.operations();
        assert!(keep(&mut client));
        assert!(client.stats().disk.compactions > 0);
        client.disk.operations() - before
    };
    let (mut went_on, mut ended) = (0, 0);
    for operation in 0..whole.min(600) {
        let mut client = base.forked();
        client.open().unwrap();
        client.disk.fail_at(client.disk.operations() + operation, Fault::Io);
        // A failed write of the log, or a swap of which nobody knows whether it happened, ends the store.
        if !keep(&mut client) {
            ended += 1;
            continue;
        }
        went_on += 1;
        let seq = client.send("jobs", "so that there are newer snapshots");
        client.consume("jobs", 10, |found| found == seq);
        assert!(keep(&mut client), "operation {operation}");
        let disk = client.stats().disk;
        assert!(disk.compactions > 0 && !disk.is_compacting, "operation {operation}: {disk:?}");
        assert!(disk.sealed_bytes < 60_000, "operation {operation}: {disk:?}");
    }
    assert!(went_on > 50 && ended > 0, "{went_on} went on, {ended} ended");
}

/// An administrator makes space by hand, say.
#[test]
fn after_the_compactors_space_was_removed() {
    let mut client = with_garbage();
    client.open().unwrap();
    client.disk.remove("data/log/compact.tmp".as_ref()).unwrap();
    assert!(keep(&mut client));
    let disk = client.stats().disk;
    assert!(disk.compactions > 0 && disk.sealed_bytes < 60_000, "{disk:?}");
}
