//! What the mover does beside the core: read one batch while the disk is full, and the next one when it is not.

use std::sync::Arc;

use super::*;
use crate::attributes::AttributeChanges;
use crate::checksum;
use crate::command::{Command, Deduplication, NewMessage, Reply};
use crate::disk::SimDisk;
use crate::error::RequestError;
use crate::ids::{DeduplicationKey, Seq};
use crate::log::NextSegment;
use crate::options::Options;
use crate::store::Store;
use crate::time::SimClock;

/// Nobody is interested in answers.
#[derive(Debug)]
struct Nobody;

impl ReplyTo for Nobody {
    fn reply(self, result: Result<Reply, RequestError>) {
        result.unwrap();
    }

    fn is_gone(&self) -> bool {
        false
    }
}

fn create(store: &mut Store<Nobody>, name: &str, attributes: AttributeChanges) {
    let attributes = AttributeChanges { fifo: Some(true), ..attributes }.into();
    store.handle(Command::CreateQueue { name: name.to_owned(), attributes }, Nobody).unwrap();
}

/// A message of the only group, with so many bytes of this kind behind it.
fn message(body: u8, bytes: usize) -> NewMessage {
    let mut payload = vec![1, 1, 0, 0, 0, b'g'];
    payload.resize(6 + bytes, body);
    NewMessage {
        delay_ms: None,
        checksum: checksum::message(6, &payload),
        attributes_bytes: 6,
        payload: payload.into(),
        deduplication: Deduplication::Id(DeduplicationKey([body; 16])),
    }
}

/// Without it a message would overtake those before it in its group when a full disk gets space back.
#[test]
fn no_message_of_a_fifo_group_passes_one_that_had_no_space() {
    let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(SimClock::new(0)));
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let group_bytes = 2 * options.group_bytes_max();
    let (mut store, _) = Store::open(disk, clock, "data".as_ref(), options).unwrap();
    create(&mut store, "dead.fifo", AttributeChanges::default());
    create(&mut store, "target.fifo", AttributeChanges::default());
    let (dead_letter_queue, receive_count_max) = (Some("dead.fifo".to_owned()), Some(1));
    let policy = AttributeChanges { dead_letter_queue, receive_count_max, ..Default::default() };
    create(&mut store, "jobs.fifo", policy);
    let queue = "dead.fifo".to_owned();
    let messages = vec![message(b'a', 1), message(b'b', 1_000), message(b'c', 1)];
    store.handle(Command::Send { queue, messages, batch: None }, Nobody).unwrap();
    store.commit().unwrap();
    let (queue, destination) = ("dead.fifo".to_owned(), "target.fifo".to_owned());
    store.handle(Command::StartRedrive { queue, destination, rate: 0 }, Nobody).unwrap();
    store.tick();
    let moving = store.core.take_moving().pop().unwrap();
    assert_eq!(moving.messages.len(), 3);
    // The entry has room for the first one, and not for the second.
    let fill = group_bytes - moved_bytes(&moving.messages[1].location) + 500;
    let fill = (fill - store.core.pending.body_bytes() as u64) / 8;
    let nothing = vec![Seq(u64::MAX); fill as usize];
    store.core.record(|out| out.acked(QueueId(1), &nothing));
    let (read, now) = (moving.read(store.log.reader()), store.now());
    let full = NextSegment::Full { detail: "no space".to_owned(), standby: None };
    let ready = std::mem::replace(&mut store.core.tail.next, full);
    store.core.moving_read(read, now);
    let left = store.core.moves.read.front().map(|read| (read.is_full, read.messages.len()));
    assert_eq!(left, Some((true, 2)), "the first one stays where it is");
    store.core.set_next_segment(ready, now);
    while store.keep().unwrap() {
        store.commit().unwrap();
    }
    let target = store.core.state.by_name("target.fifo").unwrap();
    assert_eq!((target.messages.len(), store.core.redrives.len()), (3, 0));
    let id = target.id;
    let found = [1, 2, 3].map(|seq| store.core.index.find(id, Seq(seq)).unwrap().unwrap().0);
    let bodies = found.map(|location| store.read(&location).unwrap().payload[6]);
    assert_eq!(bodies, *b"abc");
}
