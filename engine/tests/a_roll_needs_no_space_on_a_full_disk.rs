//! Without this: a disk that another program fills to the last byte while the next segment lies
//! prepared would stop the engine in the middle of a roll, instead of having sends refused.

mod common;

use common::{Answers, ask, message, open, show};
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::{RequestError, SimClock};

#[test]
fn a_disk_full_to_the_last_byte_refuses_sends_and_stops_nothing() {
    let (disk, clock, mut answers) = (SimDisk::new(1), SimClock::new(0), Answers::default());
    let mut store = open(&disk, &clock).unwrap();
    let create = Command::CreateQueue { name: "q".to_owned(), attributes: Default::default() };
    ask(&mut store, &mut answers, create).unwrap();
    let body = |number: u8| vec![number; 1000];
    let send = |number| Command::Send {
        queue: "q".to_owned(),
        messages: vec![message(&body(number), None)],
        batch: None,
    };
    ask(&mut store, &mut answers, send(0)).unwrap();

    disk.set_capacity(Some(disk.used()));
    let mut sent = 1;
    let refused = loop {
        match ask(&mut store, &mut answers, send(sent)) {
            Ok(_) => sent += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, RequestError::StorageFull { .. }), "{refused}");
    assert!(sent > 10, "both segments that were reserved are used: {sent} messages");

    // Everything that was answered can still be received and deleted.
    let receive = Command::Receive {
        queue: "q".to_owned(),
        max: 100,
        wait_ms: None,
        visibility_ms: None,
        bytes_max: u64::MAX,
        attempt: None,
    };
    let answer = ask(&mut store, &mut answers, receive).unwrap();
    let Reply::Received { deliveries, .. } = answer else { panic!("{answer:?}") };
    for (number, delivery) in (0..sent).zip(&deliveries) {
        assert_eq!(store.read(&delivery.location).unwrap().payload, body(number));
    }
    assert_eq!(deliveries.len(), usize::from(sent));
    let receipts = deliveries.iter().map(|delivery| delivery.receipt).collect();
    let ack = Command::Ack { queue: "q".to_owned(), receipts };
    ask(&mut store, &mut answers, ack).unwrap();
    drop(store);
    // An opening makes a new segment: where not even the smallest has space it says so.
    disk.set_capacity(None);
    let mut store = open(&disk, &clock).unwrap();
    assert!(show(&mut store, &mut answers)["q"].messages.is_empty());
}
