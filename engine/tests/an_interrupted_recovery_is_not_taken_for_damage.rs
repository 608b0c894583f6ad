//! Without this: what one recovery rightly took for a torn write, the next could take for damage
//! if the power failed in between, and a store that lost nothing would refuse to open.
//!
//! The very first entry of the active segment is spoiled, so that recovery throws the whole
//! segment away; a power cut strikes at each operation of that recovery.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use common::{Answers, DATA, ask, assert_no_leaked_files, assert_undamaged, message, open, show};
use forebay_engine::SimClock;
use forebay_engine::command::Command;
use forebay_engine::disk::{Fault, SimDisk};
use forebay_engine::inspect::{Inspected, inspect};

/// One message in a sealed segment, and an active segment whose only entry is torn.
fn torn(seed: u64, clock: &SimClock) -> SimDisk {
    let (disk, mut answers) = (SimDisk::new(seed), Answers::default());
    let mut store = open(&disk, clock).unwrap();
    let (name, attributes) = ("jobs".to_owned(), Default::default());
    ask(&mut store, &mut answers, Command::CreateQueue { name, attributes }).unwrap();
    let (queue, messages) = ("jobs".to_owned(), vec![message(b"kept", None)]);
    ask(&mut store, &mut answers, Command::Send { queue, messages, batch: None }).unwrap();
    clock.advance(50);
    store.commit().unwrap();
    drop(store);
    drop(open(&disk, clock).unwrap());
    let (mut active, mut entries) = (Default::default(), 0);
    inspect(&disk, Path::new(DATA), &mut |seen| match seen {
        Inspected::Segment { path, .. } => (active, entries) = (path, 0),
        Inspected::Entry { .. } => entries += 1,
        _ => {}
    })
    .unwrap();
    assert_eq!(entries, 1, "an opening writes one entry");
    disk.flip_bit(active, 4096 + 60, 3).unwrap();
    disk
}

#[test]
fn a_torn_segment_is_thrown_away_whenever_the_power_fails() {
    for seed in 0..8 {
        for operation in 0.. {
            let clock = SimClock::new(1_800_000_000_000);
            let disk = torn(seed, &clock);
            disk.fail_at(disk.operations() + operation, Fault::Crash);
            let stopped = open(&disk, &clock).map(drop).is_err();
            disk.clear_faults();
            disk.crash(seed);
            let what = format!("seed {seed}, operation {operation}");
            let mut store = open(&disk, &clock).unwrap_or_else(|e| panic!("{what}: {e}"));
            let queues = show(&mut store, &mut Answers::default());
            assert_eq!(queues["jobs"].messages[&1].body, &b"kept"[..], "{what}");
            drop(store);
            assert_undamaged(&disk);
            assert_no_leaked_files(&disk);
            if !stopped {
                assert!(operation > 20, "recovery takes that many operations");
                break;
            }
        }
    }
}
