//! Without this: a number at the end of its range, under a right checksum, would end the server and
//! `verify` in an overflow, where they should say which file is wrong.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use client::Client;
use common::DATA;
use forebay_engine::checksum::Salt;
use forebay_engine::entry::{EntryError, EntryHeader, seal_entry};
use forebay_engine::ids::{Epoch, LeaseId, Position, QueueId, RedriveId, Seq};
use forebay_engine::log::SegmentHeader;
use forebay_engine::record::{Lease, Record, RecordWriter, RedriveEnded, RedriveOutcome};
use forebay_engine::verify::{Outcome, verify};
use forebay_engine::{LogTime, OpenError};

/// The offset of the first row in a manifest, and what a row has where (FORMAT.md section 2).
const ROWS_AT: usize = 48;
const ROW_BYTES: usize = 40;

/// The checksum of a manifest, a snapshot's header or a segment's stands here, and covers the rest.
fn make_right(bytes: &mut [u8]) {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..12]);
    crc.update(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.finalize().to_le_bytes());
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
    make_right(bytes);
}

/// A closed store with sealed segments, indexes and a snapshot.
fn closed() -> Client {
    let mut client = Client::new();
    client.create("jobs");
    for round in 0..10_u8 {
        client.send_all("jobs", &(0..5).map(|n| vec![round * 5 + n; 700]).collect::<Vec<_>>());
        client.keep();
    }
    client.close();
    client
}

/// The store with one file changed is refused because of that file, by `verify` and by opening.
fn is_refused(client: &Client, path: &Path, what: &str, change: impl Fn(&mut [u8])) {
    let disk = client.forked().disk;
    let mut bytes = disk.image(path).unwrap();
    change(&mut bytes);
    disk.put(path, &bytes).unwrap();
    let verified = verify(&disk, Path::new(DATA), &mut |_| {});
    let damages = match verified.map(|report| report.outcome) {
        Err(OpenError::Damaged(damage)) => vec![damage],
        Ok(Outcome::Damaged(damages)) => damages,
        other => panic!("{what}: verify found {other:?}"),
    };
    assert!(damages.iter().any(|damage| damage.path == path), "{what}: {damages:?}");
    let opened = client.copied(|files| drop(files.insert(path.to_path_buf(), bytes)));
    match opened.map(|(_, opening)| opening) {
        Err(OpenError::Damaged(damage)) => assert_eq!(damage.path, path, "{what}: {damage}"),
        other => panic!("{what}: opening gave {other:?}"),
    }
}

#[test]
fn in_the_manifest() {
    let client = closed();
    let manifest = Path::new(DATA).join("MANIFEST");
    let row = |at: usize| ROWS_AT + at;
    let cases: [(&str, usize, &[u8]); 8] = [
        ("the last position", row(8), &u64::MAX.to_le_bytes()),
        ("the position before the last", row(8), &(u64::MAX - 1).to_le_bytes()),
        ("the first position", row(0), &u64::MAX.to_le_bytes()),
        ("sealed bytes", row(24), &u64::MAX.to_le_bytes()),
        ("a byte", row(24), &1_u64.to_le_bytes()),
        ("a generation", row(32), &u32::MAX.to_le_bytes()),
        ("compacted through", 40, &u64::MAX.to_le_bytes()),
        ("the epoch", 32, &u32::MAX.to_le_bytes()),
    ];
    for (what, at, value) in cases {
        is_refused(&client, &manifest, what, |bytes| put(bytes, at, value));
        // In the last row no other follows whose first position could contradict.
        if at >= ROWS_AT {
            let what = format!("{what} of the newest segment");
            is_refused(&client, &manifest, &what, |bytes| {
                let rows = bytes.len() - ROWS_AT;
                put(bytes, rows - ROW_BYTES + at, value);
                // It is sealed.
                if bytes[rows - ROW_BYTES + row(24)..][..8] == [0; 8] {
                    put(bytes, rows - ROW_BYTES + row(24), &4096_u64.to_le_bytes());
                }
            });
        }
    }
}

#[test]
fn in_a_segments_header() {
    let client = closed();
    let [segment, ..] = &*client.files_of("log") else { panic!("there are segments") };
    let cases: [(&str, usize, &[u8]); 2] = [
        ("the first position", 32, &u64::MAX.to_le_bytes()),
        ("the epoch", 48, &u32::MAX.to_le_bytes()),
    ];
    for (what, at, value) in cases {
        is_refused(&client, segment, what, |bytes| put(&mut bytes[..4096], at, value));
    }
    // Whoever has no manifest reads the header alone.
    let mut page = client.disk.image(segment).unwrap()[..4096].to_vec();
    put(&mut page, 32, &u64::MAX.to_le_bytes());
    assert!(SegmentHeader::decode(&page).is_err());
}

#[test]
fn the_last_opening_is_refused_and_no_damage() {
    let client = closed();
    let manifest = Path::new(DATA).join("MANIFEST");
    let refused = client.copied(|files| {
        put(files.get_mut(&manifest).unwrap(), 32, &Epoch::MAX.0.to_le_bytes());
    });
    let refused = refused.map(|(_, opening)| opening);
    assert!(matches!(refused, Err(OpenError::OpeningsUsedUp { .. })), "{refused:?}");
}

/// What is derived is not used, and nothing is lost with it.
fn is_done_without(client: &Client, path: &Path, what: &str, change: impl Fn(&mut [u8])) {
    let (mut whole, _) = client.copied(|_| ()).unwrap();
    let (mut without, opening) =
        client.copied(|files| change(files.get_mut(path).unwrap())).unwrap();
    assert!(!opening.warnings.is_empty(), "{what}");
    assert_eq!(without.show(), whole.show(), "{what}");
}

#[test]
fn in_a_snapshot() {
    let client = closed();
    let newest: PathBuf = client.files_of("snap").pop().unwrap();
    is_done_without(&client, &newest, "through", |bytes| {
        put(&mut bytes[..64], 40, &u64::MAX.to_le_bytes());
    });
}

#[test]
fn in_an_index() {
    let client = closed();
    let [index, ..] = &*client.files_of("idx") else { panic!("there are indexes") };
    // A queue's row begins at 4096; its first message stands at 16, its last at 24, its bytes at 32.
    let shifted = |bytes: &mut [u8]| {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let span = number(4096 + 24) - number(4096 + 16);
        bytes[4096 + 16..][..8].copy_from_slice(&(u64::MAX - span).to_le_bytes());
        bytes[4096 + 24..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
        make_right(&mut bytes[..8192]);
    };
    is_done_without(&client, index, "the last message", shifted);
    is_done_without(&client, index, "bytes", |bytes| {
        put(&mut bytes[..8192], 4096 + 32, &u64::MAX.to_le_bytes());
    });
    is_done_without(&client, index, "control bytes", |bytes| {
        put(&mut bytes[..8192], 88, &u64::MAX.to_le_bytes());
    });
}

#[test]
fn in_an_entry() {
    let salt = Salt(7);
    for position in [Position(u64::MAX), Position(Position::MAX.0 + 1)] {
        let mut entry = BytesMut::zeroed(56);
        seal_entry(&mut entry, salt, position, position.previous(), LogTime(1), 0);
        let refused = EntryHeader::decode(&entry, salt, 56);
        assert!(
            matches!(refused, Err(EntryError::Header { field: "position", .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn in_a_record() {
    type Write = Box<dyn Fn(&mut RecordWriter<'_>)>;
    let (queue, last, now) = (QueueId(1), Seq(u64::MAX), LogTime(1));
    let lease = Lease { seq: last, receive_count: 1, group: Default::default() };
    let ended = move |redrive, moved| RedriveEnded {
        redrive,
        time: now,
        outcome: RedriveOutcome::Completed,
        moved,
        reason: "",
    };
    let wrong: [(&str, Write); 8] = [
        ("a purge", Box::new(move |out| out.queue_purged(queue, last, None))),
        ("an expiry", Box::new(move |out| out.expired(queue, last, now, now))),
        ("acks", Box::new(move |out| out.acked(queue, &[Seq(1), last]))),
        ("other ends", Box::new(move |out| out.lease_changed(queue, &[(last, now)]))),
        ("a lease", Box::new(move |out| out.leased(queue, now, now, LeaseId(1), &[lease]))),
        (
            "the last lease's number",
            Box::new(move |out| {
                let lease = Lease { seq: Seq(1), ..lease };
                out.leased(queue, now, now, LeaseId(u64::MAX), &[lease]);
            }),
        ),
        (
            "the last redrive",
            Box::new(move |out| out.redrive_ended(&ended(RedriveId::new(queue, u32::MAX), 1))),
        ),
        (
            "what a redrive moved",
            Box::new(move |out| out.redrive_ended(&ended(RedriveId::new(queue, 1), u64::MAX))),
        ),
    ];
    for (what, write) in wrong {
        let mut bytes = BytesMut::new();
        write(&mut RecordWriter::new(&mut bytes));
        assert!(Record::decode(&bytes).is_err(), "{what}");
    }
}
