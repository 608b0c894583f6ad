//! Without this: a derived file could decide what a store holds. Deleting one, or one flipped bit
//! in it, would cost messages that the log still has, or show wrong ones.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use client::{Client, DAY_MS};
use common::{ShownQueue, tiny};
use forebay_engine::Options;
use forebay_engine::verify::Outcome;

/// A closed store with indexed segments, and what it held.
struct Indexed {
    client: Client,
    queues: BTreeMap<String, ShownQueue>,
    indexes: Vec<PathBuf>,
}

impl Indexed {
    fn build() -> Self {
        // Never compacted: the indexes stay those of the same segments.
        let mut client = Client::with(Options { garbage_segment_percent: 1 << 20, ..tiny() });
        for name in ["alpha", "beta"] {
            client.create(name);
        }
        for round in 0..5_u8 {
            for (queue, bytes) in [("alpha", 700), ("beta", 300)] {
                let bodies: Vec<_> = (0..6).map(|n| vec![round * 6 + n; bytes]).collect();
                client.send_all(queue, &bodies);
            }
            client.consume("alpha", 3, |seq| seq.is_multiple_of(2));
        }
        client.keep();
        let queues = client.show();
        client.stop();
        let indexes = client.files_of("idx");
        assert!(indexes.len() >= 2, "{indexes:?}");
        Self { client, queues, indexes }
    }

    /// Opens a copy with some files changed: everything is there, and after some upkeep the index
    /// too. Whether the opening said that it made one anew.
    fn check(&self, what: &str, change: impl FnOnce(&mut BTreeMap<PathBuf, Vec<u8>>)) -> bool {
        let (mut client, opening) = self.client.copied(change).unwrap();
        let is_told = match &*opening.warnings {
            [] => false,
            [warning] => {
                assert!(warning.contains(".idx") && warning.contains("made anew"), "{warning}");
                true
            }
            more => panic!("{what}: {more:?}"),
        };
        assert_eq!(opening.indexes_rebuilt, usize::from(is_told), "{what}");
        assert_eq!(client.show_at_last(), self.queues, "{what}");
        client.keep();
        assert_eq!(client.show(), self.queues, "{what}, and kept");
        client.stop();
        let report = client.verify();
        assert_eq!(report.outcome, Outcome::Clean, "{what}: {report}");
        assert_eq!(report.indexes, report.segments - 1, "{what}: {report}");
        let told = report.notes.iter().chain(&report.spoiled);
        assert!(!told.into_iter().any(|note| note.contains(".idx")), "{what}: {report}");
        is_told
    }
}

#[test]
fn a_whole_one_is_used() {
    assert!(!Indexed::build().check("nothing", |_| {}));
}

#[test]
fn a_deleted_one() {
    let indexed = Indexed::build();
    for path in &indexed.indexes {
        assert!(indexed.check("deleted", |files| drop(files.remove(path))));
    }
}

#[test]
fn one_that_is_too_short_or_too_long() {
    let indexed = Indexed::build();
    let path = &indexed.indexes[0];
    let whole = indexed.client.disk.image(path).unwrap().len();
    for bytes in [0, 1, 15, 16, 100, 512, 4095, 4096, 8191, 8192, 12_288, whole - 4096, whole - 1] {
        let cut = |files: &mut BTreeMap<_, Vec<u8>>| files.get_mut(path).unwrap().truncate(bytes);
        assert!(indexed.check(&format!("cut to {bytes} bytes"), cut));
    }
    for bytes in [whole + 1, whole + 4096] {
        let extend =
            |files: &mut BTreeMap<_, Vec<u8>>| files.get_mut(path).unwrap().resize(bytes, 0);
        assert!(indexed.check(&format!("extended to {bytes} bytes"), extend));
    }
}

#[test]
fn one_with_a_flipped_bit_anywhere() {
    let indexed = Indexed::build();
    let path = &indexed.indexes[0];
    let whole = indexed.client.disk.image(path).unwrap();
    // Everything that says something, and some of the zeros between.
    let all = std::env::var_os("FOREBAY_FULL_SWEEP").is_some();
    let places: Vec<usize> =
        (0..whole.len()).filter(|at| all || whole[*at] != 0 || at.is_multiple_of(509)).collect();
    assert!(places.len() > 150, "there is something in it: {}", places.len());
    let mut told = 0;
    for at in places {
        let bit = at % 8;
        let flip = |files: &mut BTreeMap<_, Vec<u8>>| files.get_mut(path).unwrap()[at] ^= 1 << bit;
        told += usize::from(indexed.check(&format!("bit {bit} of byte {at} flipped"), flip));
    }
    assert!(told > 50, "header and table are checked when the store is opened: {told}");
}

#[test]
fn one_of_another_segment_or_another_store() {
    let (indexed, other) = (Indexed::build(), Indexed::build());
    assert_eq!(indexed.indexes, other.indexes, "their files have the same names");
    let theirs = other.client.files();
    for path in &indexed.indexes {
        let put =
            |files: &mut BTreeMap<_, _>| drop(files.insert(path.clone(), theirs[path].clone()));
        assert!(indexed.check("another store's", put));
        for from in indexed.indexes.iter().filter(|from| *from != path) {
            let copy = |files: &mut BTreeMap<PathBuf, Vec<u8>>| {
                let bytes = files[from].clone();
                files.insert(path.clone(), bytes);
            };
            assert!(indexed.check("another segment's", copy));
        }
    }
}

#[test]
fn all_of_them_together_with_the_snapshots() {
    let indexed = Indexed::build();
    let is_derived = |path: &Path| path.extension().is_some_and(|e| e == "idx" || e == "snap");
    let lose = |files: &mut BTreeMap<PathBuf, _>| files.retain(|path, _| !is_derived(path));
    let (mut client, opening) = indexed.client.copied(lose).unwrap();
    assert_eq!(opening.indexes_rebuilt, indexed.indexes.len());
    assert_eq!(opening.warnings.len(), indexed.indexes.len());
    assert_eq!(client.show(), indexed.queues);
    // They go on where they were.
    client.send("alpha", "one more");
    client.advance(DAY_MS);
    client.keep();
    client.stop();
    let report = client.verify();
    assert_eq!((report.outcome.clone(), report.indexes), (Outcome::Clean, report.segments - 1));
}
