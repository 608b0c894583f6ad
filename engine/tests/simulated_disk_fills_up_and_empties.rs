//! A full simulated disk writes what fits, refuses the rest, and takes writes again once files go.
//!
//! Without it the deadlock of a full disk, where deleting needs space, would be found by the
//! first customer whose disk fills up.

use std::path::Path;

use forebay_engine::disk::{Disk, Fault, SimDisk};

#[test]
fn a_write_beyond_the_capacity_is_cut_short_and_space_returns_with_the_last_handle() {
    let disk = SimDisk::new(0);
    disk.set_capacity(Some(4096));
    let file = disk.create(Path::new("1")).unwrap();
    file.write_all_at(0, &[1; 3000]).unwrap();
    let error = file.write_all_at(3000, &[2; 3000]).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(file.size().unwrap(), 4096, "what fits is in place");
    assert_eq!(disk.used(), 4096);
    // Nothing that is already there needs space, nor does making it durable.
    file.write_all_at(0, &[3; 4096]).unwrap();
    file.sync().unwrap();

    let other = disk.create(Path::new("2")).unwrap();
    assert!(other.write_all_at(0, &[4]).unwrap_err().is_full());
    disk.remove(Path::new("1")).unwrap();
    assert!(other.write_all_at(0, &[4]).unwrap_err().is_full(), "a handle is still open");
    drop(file);
    other.write_all_at(0, &[4; 4096]).unwrap();
    other.set_size(512).unwrap();
    assert_eq!(disk.used(), 512);
}

#[test]
fn zeros_take_space_and_holes_take_none() {
    let disk = SimDisk::new(0);
    disk.set_capacity(Some(1 << 20));
    let file = disk.create(Path::new("f")).unwrap();
    file.set_size(1 << 30).unwrap();
    assert_eq!(disk.used(), 0);
    file.write_all_at(0, &vec![0; 1 << 20]).unwrap();
    assert_eq!(disk.used(), 1 << 20);
    assert!(file.write_all_at(1 << 20, &[0]).unwrap_err().is_full());
}

#[test]
fn a_planned_full_disk_leaves_a_prefix_of_the_write_and_refuses_a_creation() {
    let mut prefixes = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let file = disk.create(Path::new("f")).unwrap();
        disk.fail_at(disk.operations(), Fault::Full);
        assert!(file.write_all_at(0, &[1; 1000]).unwrap_err().is_full());
        prefixes.insert(file.size().unwrap());
        disk.fail_at(disk.operations(), Fault::Full);
        assert!(disk.create(Path::new("g")).unwrap_err().is_full());
        assert_eq!(disk.list(Path::new("")).unwrap(), ["f"]);
        disk.create(Path::new("g")).unwrap();
    }
    assert_eq!(prefixes.into_iter().collect::<Vec<_>>(), [0, 512, 1000]);
}

#[test]
fn a_write_to_an_absurd_offset_is_an_error() {
    let file = SimDisk::new(0).create(Path::new("f")).unwrap();
    for offset in [1 << 40, u64::MAX] {
        file.write_all_at(offset, &[1]).unwrap_err();
        file.set_size(offset).unwrap_err();
        assert_eq!(file.read_at(offset, &mut [0]).unwrap(), 0);
    }
}
