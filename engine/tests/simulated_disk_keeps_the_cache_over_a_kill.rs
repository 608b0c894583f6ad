//! A killed process loses nothing that it wrote, until the power fails as well.
//!
//! Without it the engine could serve what it found in the page cache after a `kill -9` without
//! syncing it first, and lose it to the next power cut after having shown it to a consumer.

use std::path::Path;

use forebay_engine::disk::{Access, Disk, Fault, SimDisk};

fn killed_after_a_write() -> SimDisk {
    let disk = SimDisk::new(0);
    let file = disk.create(Path::new("log")).expect("the name is free");
    disk.sync_dir(Path::new("")).expect("no fault is planned");
    file.write_all_at(0, b"written").expect("no fault is planned");
    disk.kill();
    disk
}

#[test]
fn what_was_written_is_read_after_a_kill_and_may_be_lost_in_a_later_crash() {
    let mut lost = 0;
    for seed in 0..100 {
        let disk = killed_after_a_write();
        assert_eq!(disk.image("log").unwrap(), b"written");
        assert_eq!(disk.durable_image("log").unwrap(), b"");
        disk.crash(seed);
        lost += i32::from(disk.image("log").unwrap() != b"written");
    }
    assert!(lost > 0);
}

#[test]
fn a_sync_by_the_next_process_makes_it_durable() {
    for seed in 0..100 {
        let disk = killed_after_a_write();
        disk.open(Path::new("log"), Access::Read).unwrap().sync().unwrap();
        disk.crash(seed);
        assert_eq!(disk.image("log").unwrap(), b"written");
    }
}

#[test]
fn handles_die_and_locks_are_released_with_the_process() {
    let disk = SimDisk::new(0);
    for end_process in [SimDisk::kill, |disk: &SimDisk| disk.crash(3)] {
        let file = disk.create(Path::new("log")).unwrap();
        let lock = disk.lock(Path::new("LOCK")).unwrap();
        let held = disk.lock(Path::new("LOCK")).unwrap_err();
        assert_eq!(held.kind(), std::io::ErrorKind::WouldBlock);
        assert!(held.to_string().contains("held by process"), "{held}");
        disk.sync_dir(Path::new("")).unwrap();

        end_process(&disk);
        for error in [
            file.size().unwrap_err(),
            file.read_at(0, &mut [0]).unwrap_err(),
            file.write_all_at(0, b"x").unwrap_err(),
            file.sync().unwrap_err(),
        ] {
            assert!(error.to_string().contains("from before the crash"), "{error}");
        }
        let next_lock = disk.lock(Path::new("LOCK")).unwrap();
        // The old guard is dropped late, and must not open the door of the new process.
        drop(lock);
        disk.lock(Path::new("LOCK")).unwrap_err();
        drop(next_lock);
        disk.lock(Path::new("LOCK")).unwrap();
        disk.remove(Path::new("log")).unwrap();
    }
}

#[test]
fn a_stopped_machine_does_nothing_until_it_is_started_again() {
    let disk = SimDisk::new(0);
    let file = disk.create(Path::new("log")).unwrap();
    disk.fail_at(disk.operations(), Fault::Crash);
    file.write_all_at(0, b"x").unwrap_err();
    let operations = disk.operations();
    file.size().unwrap_err();
    file.sync().unwrap_err();
    disk.list(Path::new("")).unwrap_err();
    disk.open(Path::new("log"), Access::Read).unwrap_err();
    disk.create_dir(Path::new("d")).unwrap_err();
    assert_eq!(disk.operations(), operations);
    disk.kill();
    disk.open(Path::new("log"), Access::Read).unwrap().sync().unwrap();
}
