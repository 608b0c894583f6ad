//! A store's files on a simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_engine::disk::{Disk, SimDisk};
use forebay_engine::verify::{Outcome, verify};
use forebay_engine::{OpenError, Options, SimClock, Store};

use super::answers::Slot;
use super::check::{Check, holds};

/// The store's directory.
pub const DATA: &str = "data";

/// Small segments, so that the log rolls every few operations.
pub fn tiny() -> Options {
    Options {
        segment_bytes: 16 << 10,
        tail_cache_bytes: 4 << 10,
        // So that snapshots and compactions happen every few operations.
        snapshot_bytes: 1,
        snapshot_ms: 0,
        garbage_percent: 0,
        garbage_segment_percent: 0,
        ..Options::default()
    }
}

/// Opens a store that rolls every few operations.
pub fn open(disk: &SimDisk, clock: &SimClock) -> Result<Store<Slot>, OpenError> {
    open_with(disk, clock, tiny())
}

pub(crate) fn open_with(
    disk: &SimDisk,
    clock: &SimClock,
    options: Options,
) -> Result<Store<Slot>, OpenError> {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
    Store::open(disk, clock, Path::new(DATA), options).map(|(store, _)| store)
}

/// The store must be found clean from outside too, or torn where a crash tore it.
pub fn assert_undamaged(disk: &SimDisk) {
    let report = verify(disk, Path::new(DATA), &mut |_| {}).expect("the store is readable");
    let is_damaged = matches!(report.outcome, Outcome::Damaged(_));
    holds(Check::Undamaged, !is_damaged, || report.to_string());
}

/// No file but those that a closed store consists of.
pub fn assert_no_leaked_files(disk: &SimDisk) {
    for path in disk.files() {
        let name = name_of(&path);
        let reserves =
            ["MANIFEST.tmp", "MANIFEST.swap.tmp", "next.tmp", "compact.tmp", "standby.tmp"];
        let is_known = ["LOCK", "store.toml", "MANIFEST"].contains(&name)
            || reserves.contains(&name)
            || [".log", ".idx", ".snap"].iter().any(|end| name.ends_with(end));
        holds(Check::NoLeakedFile, is_known, || path.display().to_string());
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Removes some of the indexes and snapshots: each bit of `which` stands for one file.
pub fn lose_derived(disk: &SimDisk, which: u64) {
    let derived = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "idx" || extension == "snap")
    };
    for (number, path) in disk.files().into_iter().filter(derived).enumerate() {
        if which >> (number % 64) & 1 == 1 {
            disk.remove(&path).expect("no fault is planned");
            let dir = path.parent().expect("a file of the store lies in a directory");
            disk.sync_dir(dir).expect("no fault is planned");
        }
    }
}
