//! Without this: a store whose creation was interrupted could never be opened, or someone's own
//! files could be taken for the remains of a store.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Answers, DATA, Slot, ask, assert_no_leaked_files, message, open, show};
use forebay_engine::command::Command;
use forebay_engine::disk::{Disk, SimDisk};
use forebay_engine::inspect::inspect;
use forebay_engine::verify::{Outcome, verify};
use forebay_engine::{OpenError, SimClock, Store};

fn at(name: &str) -> std::path::PathBuf {
    Path::new(DATA).join(name)
}

fn clock() -> SimClock {
    SimClock::new(1_800_000_000_000)
}

/// Opens, and uses the store.
fn use_it(disk: &SimDisk) -> Result<Store<Slot>, OpenError> {
    let mut store = open(disk, &clock())?;
    let mut answers = Answers::default();
    let (name, attributes) = ("q".to_owned(), Default::default());
    ask(&mut store, &mut answers, Command::CreateQueue { name, attributes }).unwrap();
    let (queue, messages) = ("q".to_owned(), vec![message(b"works", None)]);
    ask(&mut store, &mut answers, Command::Send { queue, messages, batch: None }).unwrap();
    assert_eq!(show(&mut store, &mut answers)["q"].messages[&1].body, &b"works"[..]);
    Ok(store)
}

#[test]
fn unfinished_files_are_removed_and_creation_goes_on() {
    let leftovers = ["LOCK", "store.tmp", "MANIFEST.tmp", "log/next.tmp", "log/other.tmp"];
    // Without store.toml there is no log directory yet.
    for with_identity in [false, true] {
        let disk = SimDisk::new(1);
        if with_identity {
            drop(open(&disk, &clock()).unwrap());
            disk.remove(&at("MANIFEST")).unwrap();
            disk.remove(&at("log/0000000000000001.log")).unwrap();
        }
        for name in leftovers.iter().filter(|name| with_identity || !name.contains('/')) {
            disk.put(at(name), b"half of it").unwrap();
        }
        drop(use_it(&disk).unwrap());
        assert_no_leaked_files(&disk);
    }
}

#[test]
fn a_first_segment_without_a_manifest_is_made_again_only_if_it_is_empty() {
    let disk = SimDisk::new(1);
    drop(open(&disk, &clock()).unwrap());
    disk.remove(&at("MANIFEST")).unwrap();
    let segment = at("log/0000000000000001.log");
    let refused = open(&disk, &clock()).map(drop);
    let Err(OpenError::Damaged(damage)) = refused else { panic!("{refused:?}") };
    assert_eq!(damage.path, segment);
    let mut bytes = disk.image(&segment).unwrap();
    bytes[4096..].fill(0);
    disk.put(&segment, &bytes).unwrap();
    drop(use_it(&disk).unwrap());
}

#[test]
fn several_empty_segments_of_interrupted_rolls_are_removed() {
    let disk = SimDisk::new(1);
    let store = use_it(&disk).unwrap();
    drop(store);
    let mut page = disk.image(at("log/0000000000000001.log")).unwrap();
    page[4096..].fill(0);
    for name in ["log/0000000000000009.log", "log/00000000000000aa.log"] {
        disk.put(at(name), &page).unwrap();
    }
    let mut store = open(&disk, &clock()).unwrap();
    assert_eq!(show(&mut store, &mut Answers::default())["q"].messages.len(), 1);
    assert!(!disk.files().contains(&at("log/0000000000000009.log")));
    assert!(!disk.files().contains(&at("log/00000000000000aa.log")));
}

/// Found by images of a real file system after a power cut.
#[test]
fn a_store_whose_creation_was_interrupted_behind_its_identity_is_no_damage() {
    let disk = SimDisk::new(1);
    drop(open(&disk, &clock()).unwrap());
    let identity = disk.image(at("store.toml")).unwrap();
    let fresh = SimDisk::new(1);
    fresh.put(at("store.toml"), &identity).unwrap();
    let report = verify(&fresh, Path::new(DATA), &mut |_| {}).unwrap();
    assert_eq!((&report.outcome, report.segments), (&Outcome::Clean, 0), "{report}");
    inspect(&fresh, Path::new(DATA), &mut |_| {}).unwrap();
    drop(use_it(&fresh).unwrap());
}

#[test]
fn someone_elses_directory_is_left_alone() {
    for name in ["notes.txt", "log/0000000000000001.log", "MANIFEST", "tmp"] {
        let disk = SimDisk::new(1);
        disk.put(at(name), b"precious").unwrap();
        let refused = use_it(&disk).map(drop);
        let first = name.split('/').next().unwrap();
        let text = refused.unwrap_err().to_string();
        let expected =
            format!("{DATA} is not a Forebay store: it holds \"{first}\" and no store.toml");
        assert_eq!(text, expected);
        let expected = [at("LOCK"), at(name)];
        assert!(disk.files().iter().all(|path| expected.contains(path)), "{:?}", disk.files());
        assert_eq!(disk.image(at(name)).unwrap(), b"precious");
    }
}

#[test]
fn a_file_where_a_directory_should_be_and_the_other_way_round_is_named() {
    for (planted, named) in [
        ("log", "data/log"),
        ("LOCK/x", "data/LOCK"),
        ("store.toml/x", "data/store.toml"),
        ("MANIFEST/x", "data/MANIFEST"),
        ("log/0000000000000001.log/x", "data/log/0000000000000001.log"),
    ] {
        let disk = SimDisk::new(1);
        if planted.starts_with("log") || planted.starts_with("MANIFEST") {
            drop(open(&disk, &clock()).unwrap());
            let files = disk.files();
            let identity = disk.image(at("store.toml")).unwrap();
            files.iter().for_each(|path| disk.remove(path).unwrap());
            let fresh = SimDisk::new(1);
            fresh.put(at("store.toml"), &identity).unwrap();
            fresh.put(at(planted), b"x").unwrap();
            let error = open(&fresh, &clock()).map(drop).unwrap_err();
            assert!(error.to_string().contains(named), "{planted}: {error}");
            continue;
        }
        disk.put(at(planted), b"x").unwrap();
        let error = open(&disk, &clock()).map(drop).unwrap_err();
        assert!(error.to_string().contains(named), "{planted}: {error}");
    }
}

#[test]
fn a_file_that_is_no_concern_of_ours_stays_and_is_mentioned() {
    let disk = SimDisk::new(1);
    drop(use_it(&disk).unwrap());
    disk.put(at("log/README"), b"hello").unwrap();
    let (shared, clock) = (Arc::new(disk.clone()), Arc::new(clock()));
    let (_, opening) = Store::<Slot>::open(shared, clock, Path::new(DATA), common::tiny()).unwrap();
    assert_eq!(opening.warnings, ["log/README is no file of a store"]);
    assert_eq!(disk.image(at("log/README")).unwrap(), b"hello");
}
