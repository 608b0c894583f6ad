//! Without this: a producer whose batch is refused for its last message would find the others
//! stored, and send them again.

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use common::{message, show};
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, NewMessage, Reply};

#[test]
fn a_batch_is_stored_whole_or_not_at_all() {
    let mut client = Client::new();
    let message_bytes_max = Some(1024);
    client.create_with("jobs", AttributeChanges { message_bytes_max, ..Default::default() });
    client.send("jobs", "before");
    let good = || message(b"good", None);
    let bad: [NewMessage; 3] = [
        message(&[0; 1025], None),
        message(b"", Some(u64::MAX)),
        NewMessage { attributes_bytes: 5, ..good() },
    ];
    for bad in bad {
        for at in 0..3 {
            let mut messages = vec![good(), good()];
            messages.insert(at, bad.clone());
            let send = Command::Send { queue: "jobs".to_owned(), messages, batch: None };
            client.ask(send).unwrap_err();
        }
    }
    assert_eq!(client.send("jobs", "after"), 2, "no number was used up");
    client.commit_and_kill();
    assert_eq!(client.bodies("jobs", 0), ["before", "after"]);
}

#[test]
fn of_a_batch_that_a_crash_interrupts_all_is_there_or_nothing() {
    for operation in 0..3 {
        for seed in 0..20 {
            let mut client = Client::new();
            client.create("jobs");
            let messages = (0..8).map(|n| message(&[n; 700], None)).collect();
            client.begin(Command::Send { queue: "jobs".to_owned(), messages, batch: None });
            let at = client.disk.operations() + operation;
            client.disk.fail_at(at, forebay_engine::disk::Fault::Crash);
            let failed = client.store().commit().is_err();
            client.disk.clear_faults();
            client.disk.crash(seed);
            client.kill();
            let waiting = client.counts("jobs")[0];
            assert!(waiting == 8 || failed && waiting == 0, "{waiting} of 8");
        }
    }
}

#[test]
fn receipts_and_changes_fail_each_by_itself() {
    let mut client = Client::new();
    client.create("jobs");
    for body in ["a", "b", "c"] {
        client.send("jobs", body);
    }
    let receipts: Vec<_> = client.receive("jobs", 60_000).iter().map(|d| d.receipt).collect();
    let mut forged = receipts[1];
    forged.0[20] ^= 1;
    let queue = || "jobs".to_owned();
    let changes = vec![(receipts[0], 1_000), (forged, 1_000), (receipts[2], u64::MAX)];
    let answer = client.ask(Command::ChangeVisibility { queue: queue(), changes });
    let Ok(Reply::Changed { failures }) = answer else { panic!("{answer:?}") };
    assert_eq!(failures.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    let batch = vec![receipts[0], forged, receipts[2], receipts[2]];
    let answer = client.ask(Command::Ack { queue: queue(), receipts: batch });
    let Ok(Reply::Changed { failures }) = answer else { panic!("{answer:?}") };
    assert_eq!(failures.len(), 1);
    client.commit_and_kill();
    let shown = show(client.store(), &mut Default::default());
    assert_eq!(shown["jobs"].messages.keys().collect::<Vec<_>>(), [&2]);
}
