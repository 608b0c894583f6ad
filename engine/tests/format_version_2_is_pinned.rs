//! Without this: a change of an index, a snapshot, a compacted segment or the manifest would go
//! unnoticed until somebody's data no longer opened, or opened with less in it.
//!
//! `golden/v2` is a store with each kind of file that FORMAT.md knows: sealed segments with
//! indexes, one of them compacted, two snapshots, a manifest of version 2. It is read, compared
//! with what it is known to hold, and its indexes are made anew to the same bytes. It is never made
//! anew itself: a new format version gets a folder of its own.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use client::{Client, DAY_MS};
use common::{DATA, ShownQueue, tiny};
use forebay_engine::attributes::{AttributeChanges, Attributes};
use forebay_engine::command::{Command, MessageState, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::ids::Position;
use forebay_engine::inspect::inspect;
use forebay_engine::verify::Outcome;
use forebay_engine::{LogTime, Opening, Options};

type Files = BTreeMap<PathBuf, Vec<u8>>;

const BEGUN_MS: u64 = 1_800_000_000_000;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v2")
}

/// The golden store's files, by their places in a simulated disk.
fn files() -> Files {
    let mut files = BTreeMap::new();
    for dir in ["", "log", "snapshot"] {
        for entry in std::fs::read_dir(golden().join(dir)).expect("the golden store is there") {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with("inspected.txt") {
                let name = path.strip_prefix(golden()).unwrap();
                files.insert(Path::new(DATA).join(name), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Never compacted: its segments stay what they are.
fn reading() -> Options {
    Options { garbage_segment_percent: 1 << 20, ..tiny() }
}

/// Opens the golden store, some of its files changed.
fn open(change: impl FnOnce(&mut Files)) -> (Client, Opening) {
    let mut empty = Client::with(reading());
    empty.stop();
    empty.clock.set_wall(0);
    let opened = empty.copied(|all| {
        *all = files();
        change(all);
    });
    opened.expect("a store of version 2 opens")
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}

fn inspected(disk: &SimDisk) -> String {
    let mut text = String::new();
    inspect(disk, Path::new(DATA), &mut |line| {
        text.push_str(&line.to_string());
        text.push('\n');
    })
    .expect("the golden store is readable");
    text
}

fn body(seq: u64) -> Vec<u8> {
    vec![seq as u8; 500 + seq as usize]
}

/// What the golden store was made to hold.
fn assert_holds_what_it_held(shown: &BTreeMap<String, ShownQueue>) {
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["drained", "jobs", "later"]);
    let jobs = &shown["jobs"];
    assert_eq!((jobs.id, jobs.attributes.visibility_timeout_ms, jobs.next_seq), (1, 45_000, 67));
    let seqs: Vec<u64> = jobs.messages.keys().copied().collect();
    let expected: Vec<u64> = (1..=66).filter(|seq| *seq > 50 || seq % 10 == 0).collect();
    assert_eq!(seqs, expected);
    for (seq, message) in &jobs.messages {
        assert_eq!(message.body, body(*seq), "{seq}");
        let is_in_flight = matches!(message.state, MessageState::InFlight { .. });
        assert_eq!(is_in_flight, *seq <= 53 && *seq != 51, "{seq}: {:?}", message.state);
        let count = match seq {
            10 => 2,
            0..=53 => 1,
            _ => 0,
        };
        assert_eq!(message.receive_count, count, "{seq}");
    }
    let until = LogTime(BEGUN_MS + 20 * DAY_MS / 24);
    assert_eq!(jobs.messages[&66].state, MessageState::Delayed);
    assert_eq!(jobs.messages[&66].delayed_until, Some(until));
    let later = &shown["later"];
    assert_eq!((later.id, later.next_seq, later.messages.len()), (2, 4, 1), "1 and 2 were purged");
    assert_eq!(later.messages[&3].state, MessageState::Delayed);
    assert_eq!(later.messages[&3].delayed_until, Some(until));
    assert_eq!(later.messages[&3].body, "at last");
    let drained = &shown["drained"];
    assert_eq!((drained.id, drained.next_seq, drained.messages.len()), (3, 6, 0));
}

#[test]
fn every_byte_reads_as_it_did() {
    let (mut client, _) = open(|_| {});
    client.stop();
    let files = files();
    let disk = SimDisk::new(1);
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes).unwrap());
    let expected = std::fs::read_to_string(golden().join("inspected.txt")).unwrap();
    let text = inspected(&disk);
    assert_eq!(text, expected);
    for kind in ["generation=", "compacted_through=", "Compacted queue=", "indexed queue=", "held="]
    {
        assert!(text.contains(kind), "{kind} is in it");
    }
    let report = forebay_engine::verify::verify(&disk, Path::new(DATA), &mut |_| {}).unwrap();
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    assert_eq!(report.notes, [""; 0], "{report}");
    assert_eq!((report.indexes, report.snapshots), (report.segments - 1, 2), "{report}");
}

#[test]
fn it_opens_from_each_snapshot_and_from_the_log_to_the_same() {
    let snapshots: Vec<PathBuf> =
        files().into_keys().filter(|path| has_extension(path, "snap")).collect();
    let [_, newest] = &snapshots[..] else { panic!("{snapshots:?}") };
    let (mut client, opening) = open(|_| {});
    assert_eq!((opening.warnings.len(), opening.indexes_rebuilt), (0, 0), "{:?}", opening.warnings);
    assert_holds_what_it_held(&client.show());
    let from_newest = opening.snapshot;
    let (mut client, opening) = open(|files| drop(files.remove(newest)));
    assert!(Position(0) < opening.snapshot && opening.snapshot < from_newest);
    assert_holds_what_it_held(&client.show());
    let is_derived = |path: &Path| has_extension(path, "snap") || has_extension(path, "idx");
    let (mut client, opening) = open(|files| files.retain(|path, _| !is_derived(path)));
    assert_eq!(opening.snapshot, Position(0));
    assert_holds_what_it_held(&client.show());
    // What neither says anything of is as it was: nothing expired.
    for lose in [false, true] {
        let (mut client, _) = open(|files| files.retain(|path, _| !lose || !is_derived(path)));
        let attributes = client.describe("jobs").attributes;
        let expected = Attributes { visibility_timeout_ms: 45_000, ..Attributes::as_before() };
        assert_eq!(*attributes, expected);
    }
    // What a snapshot knows beyond that: when it was first received.
    for lose in [false, true] {
        let (mut client, _) = open(|files| files.retain(|path, _| !lose || !is_derived(path)));
        client.advance(DAY_MS);
        let received = client.receive_max("jobs", 2, 0);
        let times = received.iter().map(|d| (d.seq.0, d.receive_count, d.first_received.0));
        assert_eq!(
            times.collect::<Vec<_>>(),
            [(10, 3, BEGUN_MS + 1_000), (20, 2, BEGUN_MS + 1_000)]
        );
    }
}

/// An index of the golden store as it is written today: with a word that its messages were all sent to their queues.
fn as_today(mut bytes: Vec<u8>) -> Vec<u8> {
    let queues = u32::from_le_bytes(bytes[52..56].try_into().unwrap()) as usize;
    let table = 4096..4096 + (queues * 48).next_multiple_of(4096);
    for row in bytes[table.clone()].chunks_exact_mut(48).take(queues) {
        row[40] = 1;
    }
    let crc = crc32fast::hash(&[&bytes[..12], &bytes[16..table.end]].concat());
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn its_indexes_are_made_anew_to_the_same_bytes() {
    let (mut client, opening) = open(|files| files.retain(|path, _| !has_extension(path, "idx")));
    let golden: Files =
        files().into_iter().filter(|(path, _)| has_extension(path, "idx")).collect();
    assert_eq!(opening.indexes_rebuilt, golden.len());
    client.keep();
    for (path, bytes) in golden {
        assert!(client.disk.image(&path).unwrap() == as_today(bytes), "{}", path.display());
    }
}

#[test]
fn it_goes_on_and_is_compacted() {
    let (mut client, _) = open(|_| {});
    client.options = tiny();
    client.kill();
    assert_eq!(client.send("drained", "its sixth"), 6);
    assert_eq!(client.create("new"), 5, "4 was a queue that is gone");
    client.advance(DAY_MS);
    while client.consume("jobs", 10, |_| true) > 0 {}
    client.keep_all();
    client.send("drained", "its seventh");
    client.keep_all();
    assert!(client.stats().disk.compactions > 0);
    client.stop();
    common::lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    let shown = client.show();
    let numbers = |name: &str| shown[name].messages.keys().copied().collect::<Vec<_>>();
    assert_eq!(
        (numbers("jobs"), numbers("drained"), numbers("later")),
        (vec![], vec![6, 7], vec![3])
    );
}

/// How the golden store was made. Run by hand, once for a format version:
/// `cargo test -p forebay-engine --test format_version_2_is_pinned -- --ignored`
#[test]
#[ignore = "makes the golden store, which is never made anew"]
fn make_the_golden_store() {
    assert!(!golden().exists(), "a golden store is never made anew");
    let mut client = Client::new();
    for name in ["jobs", "later", "drained", "gone"] {
        client.create(name);
    }
    client.send("gone", "with its queue");
    client.send_delayed("later", "purged", None);
    client.send_delayed("later", "purged too", Some(1_000));
    let attributes =
        AttributeChanges { visibility_timeout_ms: Some(45_000), ..AttributeChanges::default() };
    let alter = Command::AlterQueue { name: "jobs".to_owned(), attributes: attributes.into() };
    assert_eq!(client.ask(alter), Ok(Reply::Altered));
    for first in (1..=50).step_by(5) {
        client.send_all("jobs", &(first..first + 5).map(body).collect::<Vec<_>>());
        if first < 25 {
            client.send("drained", "for now");
        }
    }
    client.clock.advance(1_000);
    let received = client.receive_max("jobs", 50, DAY_MS / 2);
    for delivery in received.iter().filter(|delivery| !delivery.seq.0.is_multiple_of(10)) {
        client.ack("jobs", delivery.receipt).unwrap();
    }
    // A lease that ended early, and another one.
    client.change("jobs", received[9].receipt, 0).unwrap();
    client.clock.advance(1_000);
    assert_eq!(client.receive_one("jobs", DAY_MS / 2).seq.0, 10);
    assert_eq!(client.consume("drained", 50, |_| true), 5);
    assert_eq!(
        client.ask(Command::PurgeQueue { name: "later".to_owned() }),
        Ok(Reply::Purged { count: 2 })
    );
    assert_eq!(client.ask(Command::DeleteQueue { name: "gone".to_owned() }), Ok(Reply::Deleted));
    client.keep();
    // A second generation of the log: what follows is not compacted any more.
    client.send_all("jobs", &(51..=55).map(body).collect::<Vec<_>>());
    client.keep();
    client.close();
    client.options = reading();
    client.open().unwrap();
    client.send_delayed("later", "at last", Some(20 * DAY_MS / 24 - 2_000));
    // One that is given back.
    let again = client.receive_max("jobs", 3, DAY_MS / 2);
    assert_eq!(again.iter().map(|d| d.seq.0).collect::<Vec<_>>(), [51, 52, 53]);
    client.change("jobs", again[0].receipt, 0).unwrap();
    client.send_all("jobs", &(56..=65).map(body).collect::<Vec<_>>());
    // Delayed behind a backlog: apart from it.
    let text = String::from_utf8(body(66)).unwrap();
    client.send_delayed("jobs", &text, Some(20 * DAY_MS / 24 - 2_000));
    client.keep();
    client.clock.advance(1_000);
    client.store().commit().unwrap();
    client.stop();
    for (path, bytes) in client.files() {
        let name = path.strip_prefix(DATA).unwrap();
        if !name.ends_with("LOCK") && !has_extension(name, "tmp") {
            let to = golden().join(name);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
    }
    std::fs::write(golden().join("inspected.txt"), inspected(&client.disk)).unwrap();
}
