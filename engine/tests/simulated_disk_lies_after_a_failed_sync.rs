//! After a failed sync the simulated disk does what Linux does: it shows data that it has lost,
//! and calls the next sync a success.
//!
//! Without it an engine that retries `fdatasync`, or that recovers from the page cache, would
//! pass its tests and answer sends that no disk holds.

use std::path::Path;

use forebay_engine::disk::{Access, Disk, Fault, SimDisk};

#[test]
fn the_retry_succeeds_and_the_data_is_still_lost() {
    let disk = SimDisk::new(0);
    let file = disk.create(Path::new("log")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    file.write_all_at(0, b"synced").unwrap();
    file.sync().unwrap();
    file.write_all_at(0, b"doomed").unwrap();

    disk.fail_at(disk.operations(), Fault::SyncDropsPages);
    assert_eq!(file.sync().unwrap_err().source.raw_os_error(), Some(5));
    file.sync().unwrap();

    // A new process sees the page cache, unless it asks the device.
    disk.kill();
    let file = disk.open(Path::new("log"), Access::Read).unwrap();
    file.sync().unwrap();
    let mut bytes = [0; 6];
    file.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"doomed");
    file.read_durable_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"synced");

    for seed in 0..100 {
        disk.crash(seed);
        assert_eq!(disk.image("log").unwrap(), b"synced");
    }
}

#[test]
fn data_lost_at_the_end_of_a_file_reads_as_zeros_from_the_device() {
    let disk = SimDisk::new(0);
    let file = disk.create(Path::new("log")).unwrap();
    file.write_all_at(0, &[7; 1000]).unwrap();
    disk.fail_at(0, Fault::SyncDropsPages);
    file.sync().unwrap_err();
    let mut bytes = [1; 2000];
    assert_eq!(file.read_durable_at(0, &mut bytes).unwrap(), 1000);
    assert!(bytes[..1000].iter().all(|byte| *byte == 0));
}

#[test]
fn a_sync_that_failed_otherwise_leaves_the_data_to_be_synced() {
    let disk = SimDisk::new(0);
    let file = disk.create(Path::new("log")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    file.write_all_at(0, b"late").unwrap();
    disk.fail_at(disk.operations(), Fault::Io);
    file.sync().unwrap_err();
    file.sync().unwrap();
    disk.crash(0);
    assert_eq!(disk.image("log").unwrap(), b"late");
}

#[test]
fn a_failed_read_is_reported_once_and_changes_nothing() {
    let disk = SimDisk::new(0);
    disk.put("data/log", b"here").unwrap();
    disk.fail_at(0, Fault::ReadIo);
    let file = disk.open(Path::new("data/log"), Access::Read).unwrap();
    let mut bytes = [0; 4];
    assert_eq!(file.read_at(0, &mut bytes).unwrap_err().source.raw_os_error(), Some(5));
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 4);
    assert_eq!(&bytes, b"here");
}

#[test]
fn a_failed_sync_does_not_bring_back_what_was_cut_away() {
    let disk = SimDisk::new(0);
    disk.put("log", &[1; 2000]).unwrap();
    let file = disk.open(Path::new("log"), Access::Write).unwrap();
    file.set_size(0).unwrap();
    disk.fail_at(0, Fault::SyncDropsPages);
    file.sync().unwrap_err();
    file.set_size(2000).unwrap();
    file.sync().unwrap();
    disk.crash(0);
    assert_eq!(disk.image("log").unwrap(), [0; 2000]);
}
