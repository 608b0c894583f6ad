//! Reads a new log, as an opening will, and compares the state that it gives with what it was made of.

use std::collections::BTreeMap;
use std::path::Path;

use roaring::RoaringTreemap;

use crate::disk::Disk;
use crate::entry::{EntryHeader, records};
use crate::error::{Damage, OpenError};
use crate::ids::{Position, Seq};
use crate::log::replay::{Replay, replay};
use crate::log::{Manifest, SegmentHeader};
use crate::state::deduplication::Entry;
use crate::state::held::Held;
use crate::state::{Queue, State};
use crate::time::LogTime;

/// Reads all of a log and checks it; the state that it gives.
pub(super) fn read(disk: &dyn Disk, data: &Path, manifest: &Manifest) -> Result<State, OpenError> {
    let mut read = Read { state: State::default() };
    replay(disk, data, manifest, Position(0), &mut read)?;
    Ok(read.state)
}

struct Read {
    state: State,
}

impl Replay for Read {
    fn entry(&mut self, _: &SegmentHeader, _: u64, _: &EntryHeader, body: &[u8]) {
        records(body).for_each(|(record, _, _)| self.state.apply(&record));
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        Err(damage)
    }
}

/// What of a state is not as expected.
pub(super) fn difference(expected: &State, found: &State) -> Option<String> {
    if expected.last_queue() != found.last_queue() {
        let (found, expected) = (found.last_queue(), expected.last_queue());
        return Some(format!("the last queue is {found}, expected {expected}"));
    }
    let ids = |state: &State| state.queues().map(|queue| queue.id).collect::<Vec<_>>();
    if ids(expected) != ids(found) {
        return Some(format!("there are queues {:?}, expected {:?}", ids(found), ids(expected)));
    }
    expected.queues().zip(found.queues()).find_map(|(expected, found)| {
        let what = differs(expected, found)?;
        Some(format!("queue \"{}\" has other {what} than expected", expected.name))
    })
}

fn differs(expected: &Queue, found: &Queue) -> Option<&'static str> {
    let (messages, others) = (&expected.messages, &found.messages);
    let named = |queue: &Queue| (queue.name.clone(), queue.created, queue.modified);
    let redrives = |queue: &Queue| queue.redrives.iter().cloned().collect::<Vec<_>>();
    let producers = |queue: &Queue| {
        queue
            .producers
            .iter()
            .filter(|(_, producer)| !producer.batches.is_empty())
            .map(|(id, producer)| (id.0, producer.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    let returns = |queue: &Queue| {
        let returns = queue.messages.returns();
        returns.iter().map(|(seq, known)| (seq, known.clone())).collect::<Vec<_>>()
    };
    [
        (named(expected) == named(found), "names or times"),
        (expected.attributes == found.attributes, "attributes"),
        (messages.next_seq() == others.next_seq(), "numbers"),
        (messages.live() == others.live(), "messages"),
        (held(expected) == held(found), "leases"),
        (delays_agree(expected, found), "delays"),
        (returns(expected) == returns(found), "reasons"),
        (messages.past() == others.past(), "purges or expiries"),
        (late(expected) == late(found), "messages that came late"),
        (redrives(expected) == redrives(found), "redrives"),
        (producers(expected) == producers(found), "batches of producers"),
        (window_is_in(expected, found), "deduplication keys"),
    ]
    .into_iter()
    .find_map(|(is_same, what)| (!is_same).then_some(what))
}

/// What is held of messages that were received. Whether a lease has ended is the clock's to say.
fn held(queue: &Queue) -> Vec<(Seq, [u64; 5], u32)> {
    let received = queue.messages.all_held().filter(|(_, held)| held.was_received());
    let facts = |(seq, held): (Seq, &Held)| {
        let Held { until, receive_count, lease, first_received, received, group, .. } = *held;
        let numbers = [until.0, u64::from(receive_count), lease.0, first_received.0, received.0];
        (seq, numbers, group.0)
    };
    received.map(facts).collect()
}

/// Whether each delayed message becomes visible when it was to. Some of the found ones may be visible
/// already.
fn delays_agree(expected: &Queue, found: &Queue) -> bool {
    let times = |queue: &Queue| queue.messages.delays().iter().collect::<BTreeMap<Seq, LogTime>>();
    let found = times(found);
    times(expected).iter().all(|(seq, until)| found.get(seq) == Some(until))
}

/// The late messages that are there, by the stretches in which they were sent.
fn late(queue: &Queue) -> BTreeMap<u64, RoaringTreemap> {
    let live = queue.messages.live();
    let stretches = queue.messages.late().stretches();
    let there = stretches.map(|(stretch, messages)| (stretch, messages & &live));
    there.filter(|(_, messages)| !messages.is_empty()).collect()
}

/// Whether copies are looked for of every message of which they were. Of older ones they may be, too: the
/// window's time says no. So entries that the window has outlived are not expected: where it was made shorter,
/// they stay until the next message is sent, and the new log does not keep them.
fn window_is_in(expected: &Queue, found: &Queue) -> bool {
    let window_ms = expected.attributes.deduplication_window_ms;
    let window = || expected.deduplication.window().iter();
    let last = window().map(|entry| entry.time).max().unwrap_or_default();
    let since = LogTime(last.0.saturating_sub(window_ms));
    let key = |Entry { key, seq, time }: &Entry| (*seq, (key.0, *time));
    let found: BTreeMap<_, _> = found.deduplication.window().iter().map(key).collect();
    let mut wanted = window().filter(|entry| entry.time >= since).map(key);
    wanted.all(|(seq, key)| found.get(&seq) == Some(&key))
}
