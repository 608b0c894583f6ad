//! A name on the simulated disk is durable once its directory is synced, and not before.
//!
//! Without it the engine could forget the directory's sync after creating a segment, pass every
//! crash test, and lose the whole segment on a real machine.

use std::io::ErrorKind;
use std::path::Path;

use forebay_engine::disk::{Disk, Fault, SimDisk, read_file, replace_file};

const SEEDS: u64 = 300;

fn create(disk: &SimDisk, path: &str, bytes: &[u8]) {
    let file = disk.create(Path::new(path)).expect("the name is free");
    file.write_all_at(0, bytes).expect("no fault is planned");
    file.sync().expect("no fault is planned");
}

#[test]
fn a_synced_file_without_a_synced_name_may_be_lost() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..SEEDS {
        let disk = SimDisk::new(0);
        disk.create_dir(Path::new("data/log")).unwrap();
        create(&disk, "data/log/1", b"one");
        disk.crash(seed);
        match disk.image("data/log/1") {
            Ok(bytes) => {
                assert_eq!(bytes, b"one");
                kept += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                lost += 1;
            }
        }
        assert_eq!(disk.list(Path::new("data")).unwrap(), ["log"], "create_dir syncs its names");
    }
    assert!(kept > 0 && lost > 0);
}

#[test]
fn a_synced_name_survives_every_crash_and_a_synced_removal_too() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(0);
        create(&disk, "1", b"one");
        create(&disk, "2", b"two");
        disk.sync_dir(Path::new("")).unwrap();
        disk.remove(Path::new("1")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk.crash(seed);
        assert_eq!(disk.files(), [Path::new("2")]);
    }
}

#[test]
fn an_unsynced_removal_may_be_undone_with_the_bytes() {
    let mut undone = 0;
    for seed in 0..SEEDS {
        let disk = SimDisk::new(0);
        create(&disk, "1", b"one");
        disk.sync_dir(Path::new("")).unwrap();
        disk.remove(Path::new("1")).unwrap();
        disk.crash(seed);
        if let Ok(bytes) = disk.image("1") {
            assert_eq!(bytes, b"one");
            undone += 1;
        }
    }
    assert!(undone > 0);
}

#[test]
fn names_in_one_directory_may_be_kept_out_of_order() {
    let (mut only_later, mut only_earlier) = (0, 0);
    for seed in 0..SEEDS {
        let disk = SimDisk::new(0);
        create(&disk, "1", b"one");
        create(&disk, "2", b"two");
        disk.crash(seed);
        only_later += i32::from(disk.files() == [Path::new("2")]);
        only_earlier += i32::from(disk.files() == [Path::new("1")]);
    }
    assert!(only_later > 0 && only_earlier > 0);
}

#[test]
fn a_rename_is_kept_whole_or_lost_whole() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..SEEDS {
        let disk = SimDisk::new(0);
        create(&disk, "store.toml", b"old");
        create(&disk, "store.tmp", b"new");
        disk.sync_dir(Path::new("")).unwrap();
        disk.rename(Path::new("store.tmp"), Path::new("store.toml")).unwrap();
        disk.crash(seed);
        match disk.image("store.toml").unwrap().as_slice() {
            b"old" => {
                assert_eq!(disk.image("store.tmp").unwrap(), b"new");
                old += 1;
            }
            _ => {
                assert_eq!(disk.image("store.toml").unwrap(), b"new");
                assert_eq!(disk.files().len(), 1);
                new += 1;
            }
        }
    }
    assert!(old > 0 && new > 0);
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one_after_a_crash_at_any_operation() {
    let path = Path::new("data/store.toml");
    let old_disk = || {
        let disk = SimDisk::new(5);
        disk.create_dir(Path::new("data")).expect("no fault is planned");
        replace_file(&disk, path, b"old").expect("no fault is planned");
        disk
    };
    let clean = old_disk();
    let before = clean.operations();
    replace_file(&clean, path, b"new, and longer").unwrap();
    for operation in before..clean.operations() {
        for seed in 0..SEEDS {
            let disk = old_disk();
            disk.fail_at(operation, Fault::Crash);
            replace_file(&disk, path, b"new, and longer").unwrap_err();
            assert!(disk.is_stopped());
            disk.crash(seed);
            let bytes = read_file(&disk, path, 100).unwrap();
            assert!(bytes == b"old" || bytes == b"new, and longer", "seed {seed}: {bytes:?}");
            // What was left behind is in nobody's way.
            replace_file(&disk, path, b"again").unwrap();
            disk.crash(seed);
            assert_eq!(disk.image(path).unwrap(), b"again");
        }
    }
}

#[test]
fn a_directory_made_by_a_process_that_was_killed_is_durable_once_it_is_asked_for_again() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.fail_at(0, Fault::Crash);
        disk.create_dir(Path::new("srv/forebay/data")).unwrap_err();
        disk.kill();
        disk.create_dir(Path::new("srv/forebay/data")).unwrap();
        disk.crash(seed);
        assert!(disk.list(Path::new("srv/forebay/data")).unwrap().is_empty());
    }
}

#[test]
fn a_file_renamed_away_from_a_name_that_is_taken_again_keeps_one_of_the_two() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(0);
        create(&disk, "1", b"old");
        disk.sync_dir(Path::new("")).unwrap();
        disk.rename(Path::new("1"), Path::new("2")).unwrap();
        create(&disk, "1", b"new");
        disk.crash(seed);
        let has_old = |name: &str| disk.image(name).is_ok_and(|bytes| bytes == b"old");
        assert!(has_old("1") || has_old("2"), "seed {seed}");
    }
}

#[test]
fn a_file_in_a_directory_that_is_lost_is_lost_with_it() {
    let (dir, mut lost) = (Path::new("data"), 0);
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.fail_at(0, Fault::Crash);
        disk.create_dir(dir).unwrap_err();
        disk.kill();
        if disk.list(dir).is_err() {
            continue;
        }
        // This process trusts the directory that it sees, and should not.
        create(&disk, "data/1", b"one");
        disk.sync_dir(dir).unwrap();
        disk.crash(seed);
        assert_eq!(disk.files().is_empty(), disk.list(dir).is_err());
        lost += i32::from(disk.files().is_empty());
    }
    assert!(lost > 0);
}
