//! Without this: a power cut while a store is repaired could leave one that opens, and has only a part of
//! the messages.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/reference.rs"]
mod reference;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Answers, DATA, Slot, show, tiny};
use forebay_engine::disk::{Fault, SimDisk};
use forebay_engine::repair::{InDoubt, RepairError, examine};
use forebay_engine::{OpenError, SimClock, Store};
use reference::Reference;

const NEW: &str = "mended";

fn repair(disk: &SimDisk) -> Result<(), RepairError> {
    let repair = examine(disk, Path::new(DATA), &mut |_| {}).unwrap();
    repair.write(Path::new(NEW), Some(InDoubt::Deliver), 16 << 10, &mut |_| {})
}

fn open_new(disk: &SimDisk, clock: &SimClock) -> Result<Store<Slot>, OpenError> {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
    Store::open(disk, clock, Path::new(NEW), tiny()).map(|(store, _)| store)
}

fn is_store(disk: &SimDisk) -> bool {
    disk.files().iter().any(|path| *path == Path::new(NEW).join("store.toml"))
}

fn original(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = disk.files().into_iter().filter(|path| path.starts_with(DATA));
    let files = files.filter(|path| !path.ends_with("LOCK"));
    files.map(|path| (path.clone(), disk.image(&path).unwrap())).collect()
}

#[test]
fn a_repair_that_fails_anywhere_leaves_the_original_and_no_half_store() {
    let reference = Reference::build();
    let damaged = reference.disk(|_| {});
    let path = reference.segments()[1].to_path_buf();
    let (start, _) = reference.entries[&path][2];
    damaged.flip_bit(&path, start + 60, 1).unwrap();
    let before = original(&damaged);

    // What is to come of it, and at which operations something can go wrong.
    let whole = damaged.fork();
    whole.record_operations();
    repair(&whole).unwrap();
    let crashes = whole.strikes(Fault::Crash);
    let mut store = open_new(&whole, &reference.clock.fork()).unwrap();
    let expected = show(&mut store, &mut Answers::default());
    assert!(expected.values().map(|queue| queue.messages.len()).sum::<usize>() > 30);
    assert!(crashes.len() > 15, "{}", crashes.len());

    let (mut stores, mut none) = (0, 0);
    for fault in [Fault::Crash, Fault::Full, Fault::Io, Fault::SyncDropsPages] {
        for operation in whole.strikes(fault) {
            for seed in 0..4 {
                let disk = damaged.fork();
                disk.fail_at(disk.operations() + operation, fault);
                // Reading the original may fail too: then nothing is written at all.
                let examined = examine(&disk, Path::new(DATA), &mut |_| {});
                let written = examined.map_err(RepairError::Unreadable).and_then(|repair| {
                    repair.write(Path::new(NEW), Some(InDoubt::Deliver), 16 << 10, &mut |_| {})
                });
                disk.crash(seed);
                disk.clear_faults();
                let what = format!("{fault:?} at operation {operation}, seed {seed}");
                assert_eq!(original(&disk), before, "{what}");
                assert!(written.is_err() || is_store(&disk), "{what}: it was said to be done");
                if is_store(&disk) {
                    stores += 1;
                    let mut store = open_new(&disk, &reference.clock.fork()).expect(&what);
                    assert_eq!(show(&mut store, &mut Answers::default()), expected, "{what}");
                } else {
                    none += 1;
                    let has_files = disk.files().iter().any(|path| path.starts_with(NEW));
                    let opened = open_new(&disk, &reference.clock.fork());
                    assert!(!has_files || opened.is_err(), "{what}: half a store opens");
                }
            }
        }
    }
    assert!(stores > 0 && none > 0, "{stores} stores, {none} times none");
    // And what was damaged can still be repaired.
    repair(&damaged.fork()).unwrap();
}
