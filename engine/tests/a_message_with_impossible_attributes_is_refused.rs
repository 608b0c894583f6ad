//! Without this: a caller that states more attribute bytes than its message has would have a
//! record written that nothing can read, and the store would call itself damaged at the next start.

mod common;

use common::{Answers, ask, message, open, show};
use forebay_engine::command::{Command, NewMessage};
use forebay_engine::disk::SimDisk;
use forebay_engine::unit::Unit;
use forebay_engine::{RequestError, SimClock, checksum};

#[test]
fn attributes_longer_than_the_message_are_refused_and_cost_nobody_anything() {
    let (disk, clock, mut answers) = (SimDisk::new(1), SimClock::new(0), Answers::default());
    let mut store = open(&disk, &clock).unwrap();
    let create = Command::CreateQueue { name: "q".to_owned(), attributes: Default::default() };
    ask(&mut store, &mut answers, create).unwrap();
    let with_attributes = |attributes_bytes| NewMessage {
        attributes_bytes,
        checksum: checksum::message(attributes_bytes, b"12345"),
        ..message(b"12345", None)
    };
    let send = |messages| Command::Send { queue: "q".to_owned(), messages, batch: None };
    for attributes_bytes in [6, u32::MAX] {
        let batch = vec![message(b"good", None), with_attributes(attributes_bytes)];
        let refused = ask(&mut store, &mut answers, send(batch)).unwrap_err();
        let (value, min, max) = (u64::from(attributes_bytes), 0, 5);
        let expected = RequestError::OutOfRange {
            parameter: "attributes bytes",
            unit: Unit::Count,
            value,
            min,
            max,
        };
        assert_eq!(refused, expected);
    }
    // All of a message may be attributes.
    ask(&mut store, &mut answers, send(vec![with_attributes(5)])).unwrap();
    let held = show(&mut store, &mut answers);
    assert_eq!(held["q"].messages.len(), 1);
    drop(store);
    let mut store = open(&disk, &clock).unwrap();
    assert_eq!(show(&mut store, &mut answers), held);
}
