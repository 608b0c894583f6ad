//! Without this: at 100 % a queue would be stuck for ever, because even deleting needs the log.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Answers, DATA, Slot, ask, message};
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::{Fault, SimDisk};
use forebay_engine::{OpenError, Options, RequestError, SimClock, Store};

const BODY: [u8; 500] = [7; 500];

fn send() -> Command {
    Command::Send { queue: "jobs".into(), messages: vec![message(&BODY, None)], batch: None }
}

fn receive() -> Command {
    Command::Receive {
        queue: "jobs".into(),
        max: 10,
        wait_ms: Some(0),
        visibility_ms: None,
        bytes_max: u64::MAX,
        attempt: None,
    }
}

/// Segments of 64 KiB: what is left of the last one when the disk is full is the reserve.
fn open(disk: &SimDisk, clock: &SimClock) -> Result<Store<Slot>, OpenError> {
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let (disk, clock) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
    Store::open(disk, clock, Path::new(DATA), options).map(|(store, _)| store)
}

#[test]
fn a_full_disk_drains_to_empty_and_takes_sends_again_when_there_is_space() {
    let (disk, clock) = (SimDisk::new(3), SimClock::new(0));
    let mut store = open(&disk, &clock).expect("the store is created");
    let mut answers = Answers::default();
    let create = Command::CreateQueue { name: "jobs".into(), attributes: Default::default() };
    ask(&mut store, &mut answers, create).expect("created");
    disk.set_capacity(Some(300 << 10));
    let mut sent = 0u64;
    let refused = loop {
        match ask(&mut store, &mut answers, send()) {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1000, "a disk of 300 KiB is full at last");
    };
    assert!(matches!(refused, RequestError::StorageFull { .. }), "{refused}");
    assert!(refused.to_string().contains("next.tmp"), "says what could not be made: {refused}");
    assert!(sent > 50, "most of the disk was used: {sent} messages");

    let mut received = 0;
    loop {
        let Ok(Reply::Received { deliveries, .. }) = ask(&mut store, &mut answers, receive())
        else {
            panic!("a receive needs no space that is not reserved");
        };
        if deliveries.is_empty() {
            break;
        }
        received += deliveries.len() as u64;
        for delivery in &deliveries {
            assert_eq!(store.read(&delivery.location).expect("it is read").payload, &BODY[..]);
        }
        let receipts = deliveries.iter().map(|delivery| delivery.receipt).collect();
        let acked = ask(&mut store, &mut answers, Command::Ack { queue: "jobs".into(), receipts });
        assert_eq!(acked, Ok(Reply::Changed { failures: vec![] }));
    }
    assert_eq!(received, sent);
    assert!(matches!(ask(&mut store, &mut answers, send()), Err(RequestError::StorageFull { .. })));

    // A restart on the full disk works too, and forgets no delete.
    drop(store);
    disk.kill();
    let mut store = open(&disk, &clock).expect("a full disk can be opened");
    let describe = Command::DescribeQueue { name: "jobs".into() };
    let Ok(Reply::Described(info)) = ask(&mut store, &mut answers, describe) else {
        panic!("the queue is there");
    };
    assert_eq!(info.counts, Default::default());

    disk.set_capacity(None);
    store.commit().expect("nothing failed");
    ask(&mut store, &mut answers, send()).expect("there is space again");
}

/// Found on xfs: a new name needs space there, and the manifest was replaced by way of one before anything was
/// given back.
#[test]
fn a_disk_without_space_for_another_manifest_can_be_opened() {
    for operation in 0..40 {
        let (disk, clock) = (SimDisk::new(3), SimClock::new(0));
        let mut store = open(&disk, &clock).expect("the store is created");
        let mut answers = Answers::default();
        let create = Command::CreateQueue { name: "jobs".into(), attributes: Default::default() };
        ask(&mut store, &mut answers, create).expect("created");
        ask(&mut store, &mut answers, send()).expect("sent");
        drop(store);
        disk.kill();
        disk.fail_at(disk.operations() + operation, Fault::Full);
        match open(&disk, &clock) {
            Ok(mut store) => {
                let received = ask(&mut store, &mut answers, receive());
                let Ok(Reply::Received { deliveries, .. }) = received else {
                    panic!("{received:?}")
                };
                assert_eq!(deliveries.len(), 1);
                // Whatever it was taken for, the compactor has it again.
                assert!(disk.files().contains(&Path::new(DATA).join("MANIFEST.swap.tmp")));
            }
            Err(error) => assert!(!error.to_string().contains("MANIFEST"), "{operation}: {error}"),
        }
    }
}
