//! Without this: a queue of many small messages on a full disk would be stuck for ever, once the
//! receives and acks that should drain it have used the last of the log.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Answers, DATA, ask, message};
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::{Options, RequestError, SimClock, Store};

fn named(make: fn(String) -> Command) -> Command {
    make("jobs".to_owned())
}

#[test]
fn receives_have_a_reserve_and_a_purge_has_the_last_of_it() {
    let (disk, clock) = (SimDisk::new(3), SimClock::new(0));
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let shared = (Arc::new(disk.clone()), Arc::new(clock.clone()));
    let (mut store, _) = Store::open(shared.0, shared.1, Path::new(DATA), options).expect("opens");
    let mut answers = Answers::default();
    let attributes = Default::default();
    ask(&mut store, &mut answers, Command::CreateQueue { name: "jobs".into(), attributes })
        .expect("created");
    disk.set_capacity(Some(400 << 10));
    let send = || Command::Send {
        queue: "jobs".into(),
        messages: (0..50).map(|_| message(b"x", None)).collect(),
        batch: None,
    };
    while ask(&mut store, &mut answers, send()).is_ok() {}

    // The visibility timeout is 0: every receive takes space, and none is ever the last.
    let receive = || Command::Receive {
        queue: "jobs".into(),
        max: 10,
        wait_ms: Some(0),
        visibility_ms: Some(0),
        bytes_max: u64::MAX,
        attempt: None,
    };
    let mut received = 0u64;
    let refused = loop {
        match ask(&mut store, &mut answers, receive()) {
            Ok(Reply::Received { deliveries, .. }) => received += deliveries.len() as u64,
            Ok(other) => panic!("a receive was answered with {other:?}"),
            Err(refused) => break refused,
        }
        store.commit().expect("nothing fails");
        assert!(received < 1_000_000, "the log is full at last");
    };
    assert!(matches!(refused, RequestError::StorageFull { .. }), "{refused}");
    assert!(received >= 500, "a quarter of a segment was left for receives: {received}");

    let purged = ask(&mut store, &mut answers, named(|name| Command::PurgeQueue { name }));
    assert!(matches!(purged, Ok(Reply::Purged { count }) if count > 1000), "{purged:?}");
    let deleted = ask(&mut store, &mut answers, named(|name| Command::DeleteQueue { name }));
    assert_eq!(deleted, Ok(Reply::Deleted));
}
