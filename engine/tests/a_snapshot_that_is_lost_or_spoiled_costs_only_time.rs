//! Without this: a derived file could decide what a store holds. Deleting a snapshot, or one
//! flipped bit in it, would lose queues, bring back deleted messages, or keep the store closed.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use client::{Client, DAY_MS};
use common::ShownQueue;
use forebay_engine::Opening;
use forebay_engine::ids::Position;
use forebay_engine::verify::Outcome;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A killed store with two snapshots, compacted segments and some log behind the newest one.
struct Taken {
    client: Client,
    queues: BTreeMap<String, ShownQueue>,
    older: PathBuf,
    newest: PathBuf,
}

fn position(path: &std::path::Path) -> Position {
    Position(u64::from_str_radix(path.file_stem().unwrap().to_str().unwrap(), 16).unwrap())
}

impl Taken {
    fn build() -> Self {
        let mut client = Client::new();
        for name in ["alpha", "beta", "gone"] {
            client.create(name);
        }
        for round in 0..8_u8 {
            for (queue, bytes) in [("alpha", 700), ("beta", 300), ("gone", 100)] {
                let bodies: Vec<_> = (0..4).map(|n| vec![round * 4 + n; bytes]).collect();
                client.send_all(queue, &bodies);
            }
            client.consume("alpha", 3, |seq| !seq.is_multiple_of(3));
            client.consume("beta", 1, |_| false);
            client.send_delayed("beta", "later", Some(DAY_MS));
            client.keep_all();
        }
        let Ok(_) =
            client.ask(forebay_engine::command::Command::DeleteQueue { name: "gone".into() })
        else {
            panic!("it is there")
        };
        client.keep();
        client.send("beta", "behind the newest snapshot");
        client.consume("alpha", 3, |_| true);
        assert!(client.stats().disk.compactions > 2, "{:?}", client.stats().disk);
        let queues = client.show();
        client.stop();
        let [older, newest] = client.files_of("snap").try_into().unwrap();
        Self { client, queues, older, newest }
    }

    /// Opens a copy with some files changed; it must hold the same.
    fn check(&self, what: &str, change: impl FnOnce(&mut Files)) -> (Client, Opening) {
        let (mut client, opening) = match self.client.copied(change) {
            Ok(opened) => opened,
            Err(error) => panic!("{what}: {error}"),
        };
        assert_eq!(client.show(), self.queues, "{what}");
        (client, opening)
    }

    /// It goes on too: the next snapshots, compactions, and what those leave in the log.
    fn check_on(&self, what: &str, change: impl FnOnce(&mut Files)) -> Opening {
        let (mut client, opening) = self.check(what, change);
        client.send("alpha", "more");
        client.consume("beta", 5, |_| true);
        client.keep_all();
        let after = client.show();
        client.stop();
        assert_eq!(client.verify().outcome, Outcome::Clean, "{what}");
        common::lose_derived(&client.disk, u64::MAX);
        client.open().unwrap();
        assert_eq!(client.show(), after, "{what}, without anything derived");
        opening
    }
}

#[test]
fn the_newest_good_one_is_used() {
    let taken = Taken::build();
    let (older, newest) = (&taken.older, &taken.newest);
    let used =
        |change: &dyn Fn(&mut Files)| taken.check_on("deleted", |files| change(files)).snapshot;
    assert_eq!(used(&|_| {}), position(newest));
    assert_eq!(used(&|files| drop(files.remove(older))), position(newest));
    assert_eq!(used(&|files| drop(files.remove(newest))), position(older));
    assert_eq!(used(&|files| files.retain(|path, _| path != older && path != newest)), Position(0));
}

#[test]
fn one_with_a_flipped_bit_anywhere_but_in_its_version_is_not_used() {
    let taken = Taken::build();
    flip_each(&taken, |at| !(8..12).contains(&at));
}

#[test]
fn one_with_a_flipped_bit_in_its_version_is_not_used() {
    let taken = Taken::build();
    flip_each(&taken, |at| (8..12).contains(&at));
}

fn flip_each(taken: &Taken, is_meant: impl Fn(usize) -> bool) {
    let bytes = taken.client.disk.image(&taken.newest).unwrap().len();
    for at in (0..bytes).filter(|at| is_meant(*at)) {
        let (bit, newest) = (at % 8, &taken.newest);
        let what = format!("bit {bit} of byte {at} of {bytes} flipped");
        let flip = |files: &mut Files| files.get_mut(newest).unwrap()[at] ^= 1 << bit;
        let opening = match at.is_multiple_of(101) {
            true => taken.check_on(&what, flip),
            false => taken.check(&what, flip).1,
        };
        assert_eq!(opening.snapshot, position(&taken.older), "{what}");
        let [warning] = &*opening.warnings else { panic!("{what}: {:?}", opening.warnings) };
        assert!(warning.contains(newest.to_str().unwrap()), "{what}: {warning}");
    }
}

/// Otherwise the one that was used would go in its place, and the next damage would cost the whole log.
#[test]
fn one_that_is_damaged_is_replaced_before_a_good_one() {
    let taken = Taken::build();
    let (mut client, _) = taken.check("a bit flipped", |files| {
        files.get_mut(&taken.newest).unwrap()[100] ^= 1;
    });
    client.send("alpha", "more");
    client.keep_all();
    let snapshots = client.files_of("snap");
    assert!(!snapshots.contains(&taken.newest), "{snapshots:?}");
    assert_eq!(snapshots.len(), 2, "{snapshots:?}");
    client.stop();
    // So the store opens from the older of the two as well.
    let older = position(&snapshots[0]);
    let (_, opening) = client.copied(|files| drop(files.remove(&snapshots[1]))).unwrap();
    assert_eq!(opening.snapshot, older);
}

/// A sector that cannot be read would keep the store closed although everything else is there.
#[test]
fn one_that_the_disk_does_not_give_is_not_used() {
    let taken = Taken::build();
    let mut client = taken.client.forked();
    client.disk.make_unreadable(&taken.newest, 0).unwrap();
    let report = client.verify();
    assert_eq!((&report.outcome, report.spoiled.len()), (&Outcome::Clean, 1), "{report:?}");
    let opening = client.open().unwrap();
    assert_eq!(opening.snapshot, position(&taken.older));
    assert_eq!(client.show(), taken.queues);
    let [warning] = &*opening.warnings else { panic!("{:?}", opening.warnings) };
    assert!(warning.contains(taken.newest.to_str().unwrap()), "{warning}");
}

#[test]
fn one_that_is_cut_anywhere_is_not_used() {
    let taken = Taken::build();
    let bytes = taken.client.disk.image(&taken.newest).unwrap().len();
    for length in (0..bytes).filter(|length| *length < 70 || length.is_multiple_of(7)) {
        let what = format!("cut to {length} of {bytes} bytes");
        let newest = &taken.newest;
        let cut = |files: &mut Files| files.get_mut(newest).unwrap().truncate(length);
        let (_, opening) = taken.check(&what, cut);
        assert_eq!(opening.snapshot, position(&taken.older), "{what}");
        assert_eq!(opening.warnings.len(), 1, "{what}: {:?}", opening.warnings);
    }
}

#[test]
fn two_bad_ones_leave_the_log() {
    let taken = Taken::build();
    let opening = taken.check_on("both flipped", |files| {
        for path in [&taken.older, &taken.newest] {
            files.get_mut(path).unwrap()[40] ^= 1;
        }
    });
    assert_eq!(opening.snapshot, Position(0));
    assert_eq!(opening.warnings.len(), 2, "{:?}", opening.warnings);
}
