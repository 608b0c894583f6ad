//! What a killed process leaves is more than what the next one reads: a power cut may still take it.
//!
//! Without it a campaign would take such states for one, and never try what the power cut leaves.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use forebay_engine::disk::{Disk, Fault, SimDisk};

/// A disk with one file, on which `end` was done behind a write.
fn disk(end: impl Fn(&SimDisk, &dyn forebay_engine::disk::DiskFile)) -> SimDisk {
    let disk = SimDisk::new(0);
    let file = disk.create(Path::new("log")).unwrap();
    file.write_all_at(0, b"written").unwrap();
    end(&disk, &*file);
    disk.kill();
    disk
}

#[test]
fn by_what_is_unsynced_where_reads_show_the_same() {
    let all = [
        disk(|_, _| ()),
        disk(|_, file| file.sync().unwrap()),
        disk(|disk, _| disk.sync_dir(Path::new("")).unwrap()),
        disk(|disk, file| {
            file.sync().unwrap();
            disk.sync_dir(Path::new("")).unwrap();
        }),
        // The pages count as written, and are not.
        disk(|disk, file| {
            disk.fail_at(disk.operations(), Fault::SyncDropsPages);
            file.sync().unwrap_err();
        }),
    ];
    for (number, one) in all.iter().enumerate() {
        assert_eq!(one.fingerprint_unsynced(), one.fork().fingerprint_unsynced());
        for other in &all[..number] {
            assert_eq!(one.fingerprint(), other.fingerprint());
            assert_ne!(one.fingerprint_unsynced(), other.fingerprint_unsynced(), "{number}");
        }
    }
}

#[test]
fn and_not_by_what_a_power_cut_has_taken() {
    let cut = |disk: SimDisk| {
        disk.sync_dir(Path::new("")).unwrap();
        disk.crash_way(0);
        disk.fingerprint_unsynced()
    };
    let lost = cut(disk(|_, _| ()));
    assert_eq!(lost, cut(disk(|_, file| file.write_all_at(3, b"more").unwrap())));
    assert_ne!(lost, cut(disk(|_, file| file.sync().unwrap())));
}
