//! A store's lock is held by one process, and whoever is refused learns by which.
//!
//! Without it two servers could append to one log, each over the other's messages.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Answers, Slot, message, tiny};
use forebay_engine::command::Command;
use forebay_engine::disk::{Disk, RealDisk};
use forebay_engine::verify::{Outcome, verify};
use forebay_engine::{SimClock, Store};

/// A store on the real disk, with one queue.
struct Owned {
    store: Store<Slot>,
    answers: Answers,
}

impl Owned {
    fn open(path: &Path) -> Self {
        let (disk, clock) = (Arc::new(RealDisk), Arc::new(SimClock::new(0)));
        let (store, _) = Store::open(disk, clock, path, tiny()).unwrap();
        let mut owned = Self { store, answers: Answers::default() };
        let create = Command::CreateQueue { name: "q".to_owned(), attributes: Default::default() };
        owned.ask(create).unwrap();
        owned
    }

    fn send(&mut self, body: &[u8]) -> Result<(), String> {
        let messages = vec![message(body, None)];
        self.ask(Command::Send { queue: "q".to_owned(), messages, batch: None })
    }

    fn ask(&mut self, command: Command) -> Result<(), String> {
        let (number, slot) = self.answers.slot();
        self.store.handle(command, slot).map_err(|failure| failure.to_string())?;
        self.store.commit().map_err(|failure| failure.to_string())?;
        let answer = self.answers.take(number).expect("what is durable is answered");
        answer.map(drop).map_err(|refused| refused.to_string())
    }
}

/// All files below, and what is in them.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn a_second_lock_is_refused_and_names_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    // Longer than any process id: what an earlier holder left must not show through.
    std::fs::write(&path, "99999999999999\n").unwrap();
    let lock = RealDisk.lock(&path).unwrap();
    let error = RealDisk.lock(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(error.to_string().ends_with(&format!("held by process {}", std::process::id())));
    drop(lock);
    RealDisk.lock(&path).unwrap();
}

/// Whoever tidies up would let a second server in.
#[test]
fn a_lock_whose_file_was_removed_is_held_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    let lock = RealDisk.lock(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = RealDisk.lock(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    lock.check().unwrap();
    drop(lock);
    RealDisk.lock(&path).unwrap();
}

/// Whoever may only read the file, because another user runs the server, would take a store that is written
/// for one that is not.
#[test]
fn a_file_that_may_only_be_read_is_locked_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    std::fs::write(&path, "1\n").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
    let lock = RealDisk.lock(&path).unwrap();
    assert_eq!(RealDisk.lock(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(lock);
}

/// Its paths lead to whatever came in the place of its directory.
#[test]
fn a_store_whose_directory_was_moved_away_touches_nothing_there() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("store"), dir.path().join("moved"));
    let mut first = Owned::open(&path);
    first.send(b"one").unwrap();
    std::fs::rename(&path, &moved).unwrap();
    let mut second = Owned::open(&path);
    second.send(b"two").unwrap();
    let before = files(&path);
    let failed = (0..10_000).find_map(|_| first.send(&[7; 2_000]).err());
    let failed = failed.expect("a roll needs a name").to_string();
    assert!(failed.contains("was moved away"), "{failed}");
    drop(first);
    assert_eq!(files(&path), before);
    second.send(b"three").unwrap();
    drop(second);
    for path in [path, moved] {
        let report = verify(&RealDisk, &path, &mut |_| {}).unwrap();
        assert_eq!(report.outcome, Outcome::Clean, "{}: {report:?}", path.display());
    }
}
