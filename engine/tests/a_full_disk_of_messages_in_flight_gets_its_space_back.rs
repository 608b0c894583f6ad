//! Without this: a disk that is full while a lot is in flight would stay full, whatever is acked:
//! there would be no space for the snapshot that says what is gone.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::BTreeMap;
use std::path::Path;

use client::{Client, DAY_MS, send};
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::Fault;
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::verify::Outcome;
use forebay_engine::{Options, RequestError};

/// What a snapshot keeps of a message that is in flight.
const HELD_BYTES: u64 = 48;

/// How much is in flight, and in how large segments. The reserve is a sixteenth of one.
#[derive(Debug, Clone, Copy)]
struct Size {
    segment_bytes: u64,
    messages: usize,
    batch: usize,
}

const SMALL: Size = Size { segment_bytes: 16 << 10, messages: 2_000, batch: 50 };
const MIDDLE: Size = Size { segment_bytes: 512 << 10, messages: 40_000, batch: 1_000 };
const MILLION: Size = Size { segment_bytes: 16 << 20, messages: 1_000_000, batch: 4_000 };

/// A full disk, and the messages that are in flight in the order in which they were sent.
struct Full {
    client: Client,
    in_flight: BTreeMap<u64, SealedReceipt>,
    fillers: usize,
}

impl Full {
    /// Everything is received as soon as it is sent, then others fill the disk to the last byte.
    fn new(size: Size, has_snapshots: bool) -> Self {
        let Size { segment_bytes, messages, batch } = size;
        let options = Options { segment_bytes, snapshot_ms: 1_000, ..Options::default() };
        let mut client = Client::with(options);
        client.create("jobs");
        client.create("fillers");
        let mut in_flight = BTreeMap::new();
        for first in (0..messages).step_by(batch) {
            let bodies: Vec<_> = (first..first + batch).map(body).collect();
            client.send_all("jobs", &bodies);
            let received = client.receive_max("jobs", batch as u32, DAY_MS / 2);
            in_flight.extend(received.iter().map(|delivery| (delivery.seq.0, delivery.receipt)));
            if has_snapshots && first % (messages / 4) == 0 {
                client.keep_all();
            }
        }
        assert_eq!(in_flight.len(), messages);
        client.disk.set_capacity(Some(client.disk.used() + 2 * segment_bytes));
        let mut fillers = 0;
        loop {
            match client.ask(send("fillers", &"x".repeat(segment_bytes as usize / 64), None)) {
                Ok(_) => fillers += 1,
                Err(RequestError::StorageFull { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        client.disk.set_capacity(Some(client.disk.used()));
        Self { client, in_flight, fillers }
    }

    /// Acks the oldest, so many of them; some space may have to come back meanwhile.
    fn ack(&mut self, count: usize, batch: usize) {
        let acked: Vec<(u64, SealedReceipt)> =
            self.in_flight.iter().take(count).map(|(seq, receipt)| (*seq, *receipt)).collect();
        for batch in acked.chunks(batch) {
            let receipts = batch.iter().map(|(_, receipt)| *receipt).collect();
            let ack = Command::Ack { queue: "jobs".to_owned(), receipts };
            let mut answer = self.client.ask(ack.clone());
            if matches!(answer, Err(RequestError::StorageFull { .. })) {
                self.client.keep_all();
                answer = self.client.ask(ack);
            }
            assert_eq!(answer, Ok(Reply::Changed { failures: vec![] }));
            self.in_flight.retain(|seq, _| *seq > batch[batch.len() - 1].0);
        }
    }

    fn log_bytes(&self) -> u64 {
        let bytes = |path| self.client.disk.image(path).unwrap().len() as u64;
        self.client.files_of("log").iter().map(bytes).sum()
    }

    /// There is no more garbage than on any other disk.
    fn check_garbage(&mut self, size: Size) {
        let disk = self.client.stats().disk;
        assert!(disk.live_bytes > 0, "it was estimated: {disk:?}");
        let garbage = disk.sealed_bytes - disk.live_bytes;
        assert!(garbage <= disk.live_bytes * 35 / 100 + size.segment_bytes / 4, "{disk:?}");
    }

    /// Exactly what is in flight is there.
    fn check(&mut self) {
        let shown = self.client.show();
        let found: Vec<_> =
            shown["jobs"].messages.iter().map(|(seq, m)| (*seq, m.body.to_vec())).collect();
        let expected: Vec<_> =
            self.in_flight.keys().map(|seq| (*seq, body(*seq as usize - 1))).collect();
        assert!(found == expected, "{} found, {} expected", found.len(), expected.len());
        assert_eq!(self.client.counts("jobs")[1], self.in_flight.len() as u64);
        assert_eq!(shown["fillers"].messages.len(), self.fillers);
    }
}

fn body(number: usize) -> Vec<u8> {
    format!("{number:>10} in flight").into_bytes()
}

fn fill_ack_and_look(size: Size, has_snapshots: bool) {
    let mut full = Full::new(size, has_snapshots);
    let before = full.log_bytes();
    full.ack(size.messages * 3 / 4, size.batch);
    let left = full.in_flight.len() as u64;
    assert!(left * HELD_BYTES > 4 * size.segment_bytes / 16, "a snapshot is far above the reserve");
    full.client.keep_all();
    let after = full.log_bytes();
    assert!(after < before, "{after} of {before} bytes are left, {left} are in flight");
    full.check_garbage(size);
    full.client.send("fillers", "there is space");
    full.fillers += 1;
    full.ack(left as usize, size.batch);
    full.client.keep_all();
    let at_last = full.log_bytes();
    assert!(at_last < after, "{at_last} of {after} bytes are left, nothing is in flight");
    full.check_garbage(size);
    full.check();
    full.client.disk.set_capacity(None);
    full.client.stop();
    assert_eq!(full.client.verify().outcome, Outcome::Clean);
    full.client.open().unwrap();
    full.check();
    full.client.stop();
    common::lose_derived(&full.client.disk, u64::MAX);
    full.client.open().unwrap();
    full.check();
}

#[test]
fn while_snapshots_were_taken_until_then() {
    fill_ack_and_look(MIDDLE, true);
}

#[test]
fn when_there_was_no_snapshot_yet() {
    fill_ack_and_look(MIDDLE, false);
}

#[test]
fn with_only_a_part_of_the_compactors_space() {
    let mut full = Full::new(SMALL, false);
    full.client.stop();
    let disk = full.client.disk.clone();
    let reserve = Path::new(common::DATA).join("log/compact.tmp");
    disk.put(&reserve, &[0; 12 << 10]).unwrap();
    disk.set_capacity(Some(disk.used() + OPENING_BYTES));
    full.client.open().unwrap();
    // Enough for the manifest of a swap.
    disk.set_capacity(Some(disk.used() + (3 << 10)));
    full.client.store().keep().unwrap();
    disk.set_capacity(Some(disk.used()));
    assert_eq!(disk.image(&reserve).unwrap().len(), 12 << 10, "the rest has no space");
    let before = full.log_bytes();
    full.ack(SMALL.messages / 2, SMALL.batch);
    for _ in 0..150 {
        full.client.keep();
        full.client.clock.advance(100);
    }
    assert!(full.log_bytes() < before, "nothing came back");
    full.check();
}

#[test]
fn with_a_million_in_flight() {
    if std::env::var("FOREBAY_FULL_SWEEP").is_ok() {
        fill_ack_and_look(MILLION, true);
        fill_ack_and_look(MILLION, false);
    }
}

#[test]
fn a_crash_at_any_disk_operation_loses_nothing() {
    at_any_disk_operation(SMALL, Reopened::WithSpace);
}

#[test]
fn a_crash_at_any_disk_operation_costs_no_space_for_good() {
    at_any_disk_operation(SMALL, Reopened::OnTheFullDisk);
}

/// Of what an opening needs.
const OPENING_BYTES: u64 = 20 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reopened {
    WithSpace,
    /// There is space for a small first segment.
    OnTheFullDisk,
}

fn at_any_disk_operation(size: Size, reopened: Reopened) {
    for has_snapshots in [true, false] {
        let mut full = Full::new(size, has_snapshots);
        full.ack(size.messages * 3 / 4, size.batch);
        full.client.store().commit().unwrap();
        let mut at = 0;
        while crash_at(&full, at, reopened) {
            at += 1;
        }
        assert!(at > 30, "{at} operations were struck");
    }
}

/// Lets a copy of the full disk be compacted with a crash at one of the disk operations; false if
/// there are fewer.
fn crash_at(full: &Full, at: u64, reopened: Reopened) -> bool {
    let (client, _) = full.client.copied(|_| {}).unwrap();
    let (in_flight, fillers) = (full.in_flight.clone(), full.fillers);
    let mut full = Full { client, in_flight, fillers };
    let disk = full.client.disk.clone();
    // The reserve is made, then others take the rest.
    full.client.store().keep().unwrap();
    let capacity = disk.used();
    disk.set_capacity(Some(capacity));
    disk.fail_at(disk.operations() + at, Fault::Crash);
    for _ in 0..150 {
        // Without a commit: space must come back without a further entry.
        if full.client.store().keep().is_err() || disk.is_stopped() {
            break;
        }
        full.client.clock.advance(100);
    }
    let has_struck = disk.is_stopped();
    if !has_struck {
        let done = full.client.stats().disk;
        assert!(done.compactions > 0 && done.snapshots > 0, "space comes back, {done:?}");
    }
    full.client.stop();
    disk.clear_faults();
    disk.crash(at);
    let is_full = reopened == Reopened::OnTheFullDisk;
    disk.set_capacity(is_full.then_some(capacity + OPENING_BYTES));
    let opening = full.client.open().unwrap();
    let had_the_reserve =
        opening.warnings.iter().any(|warning| warning.ends_with("left by a compaction"));
    let reserve = disk.image(Path::new(common::DATA).join("log/compact.tmp"));
    assert!(!had_the_reserve || reserve.is_ok_and(|file| !file.is_empty()), "operation {at}");
    if is_full {
        full.client.keep_all();
        full.check_garbage(SMALL);
    }
    full.check();
    has_struck
}
