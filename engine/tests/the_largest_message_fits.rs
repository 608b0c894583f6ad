//! Without this: the largest message that the limits promise could be refused by the log, or stop
//! the engine because no segment holds it.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Answers, DATA, ask, message};
use forebay_engine::attributes::{AttributeChanges, MESSAGE_BYTES_MAX};
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::{Options, RequestError, SimClock, Store};

/// As large a segment as the limits of the default options come with, and no larger: filling it
/// takes its time.
fn options() -> Options {
    let options = Options { segment_bytes: 36 << 20, tail_cache_bytes: 0, ..Options::default() };
    assert_eq!(options.command_bytes_max(), Options::default().command_bytes_max());
    options
}

#[test]
fn a_message_of_16_mib_is_stored_and_read_back() {
    let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(SimClock::new(0)));
    let open = || Store::open(disk.clone(), clock.clone(), Path::new(DATA), options()).unwrap().0;
    let (mut store, mut answers) = (open(), Answers::default());
    let attributes =
        AttributeChanges { message_bytes_max: Some(MESSAGE_BYTES_MAX), ..Default::default() };
    let create = Command::CreateQueue { name: "large".to_owned(), attributes: attributes.into() };
    ask(&mut store, &mut answers, create).unwrap();
    let body: Vec<u8> = (0..MESSAGE_BYTES_MAX as u32).map(|at| (at / 3) as u8).collect();
    let large = message(&body, Some(1));
    let send = |messages| Command::Send { queue: "large".to_owned(), messages, batch: None };
    ask(&mut store, &mut answers, send(vec![large.clone()])).unwrap();

    let two = ask(&mut store, &mut answers, send(vec![large.clone(), large]));
    assert!(matches!(two, Err(RequestError::BatchTooLarge { .. })), "{two:?}");
    let over = message(&vec![0; body.len() + 1], None);
    let over = ask(&mut store, &mut answers, send(vec![over]));
    assert!(matches!(over, Err(RequestError::MessageTooLarge { index: 0, .. })), "{over:?}");

    drop(store);
    let mut store = open();
    clock.advance(1);
    let receive = Command::Receive {
        queue: "large".to_owned(),
        max: 10,
        wait_ms: None,
        visibility_ms: None,
        bytes_max: 1,
        attempt: None,
    };
    let answer = ask(&mut store, &mut answers, receive).unwrap();
    let Reply::Received { deliveries, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(deliveries.len(), 1);
    let stored = store.read(&deliveries[0].location).unwrap();
    assert!(stored.payload == body, "the body is another");
}
