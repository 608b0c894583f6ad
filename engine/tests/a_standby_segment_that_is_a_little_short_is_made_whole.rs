//! Without this: a standby segment that lacks less than a page, as one may that grew on a full disk, would never be
//! whole, and the work of making it so never done.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Answers, Slot, ask, message, open};
use forebay_engine::command::Command;
use forebay_engine::disk::SimDisk;
use forebay_engine::{SimClock, Store};

const STANDBY: &str = "data/log/standby.tmp";

/// Does what is to be done beside the log, which must come to an end.
fn keep(store: &mut Store<Slot>) {
    for _ in 0..1000 {
        store.commit().unwrap();
        if !store.keep().unwrap() {
            return;
        }
    }
    panic!("the keeper is never done");
}

#[test]
fn whatever_it_lacks_it_is_whole_when_there_is_space() {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(1_800_000_000_000));
    let mut store = open(&disk, &clock).unwrap();
    let mut answers = Answers::default();
    let create = Command::CreateQueue { name: "jobs".to_owned(), attributes: Default::default() };
    ask(&mut store, &mut answers, create).unwrap();
    keep(&mut store);
    drop(store);
    disk.kill();
    let whole = disk.image(STANDBY).unwrap();
    for missing in [1, 100, 472, 4095, 4096, 4097, 9000] {
        let disk = disk.fork();
        disk.put(STANDBY, &whole[..whole.len() - missing]).unwrap();
        let mut store = open(&disk, &clock.fork()).unwrap();
        let mut answers = Answers::default();
        let messages = vec![message(b"one", None)];
        ask(
            &mut store,
            &mut answers,
            Command::Send { queue: "jobs".to_owned(), messages, batch: None },
        )
        .unwrap();
        keep(&mut store);
        assert_eq!(disk.image(STANDBY).unwrap().len(), whole.len(), "{missing} bytes were missing");
    }
}
