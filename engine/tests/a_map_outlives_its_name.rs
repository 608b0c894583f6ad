//! A mapped file can be replaced and removed while it is used: whoever has the map keeps the old
//! bytes.
//!
//! Without this an index could not be made anew, nor a segment compacted, while others read it.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::ErrorKind;
use std::path::Path;

use forebay_engine::disk::{Disk, Fault, RealDisk, SimDisk, replace_file};

fn replaced_and_removed(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    assert_eq!(disk.map(&path).unwrap_err().kind(), ErrorKind::NotFound);
    let old: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
    replace_file(disk, &path, &old).unwrap();
    let of_old = disk.map(&path).unwrap();
    replace_file(disk, &path, b"new").unwrap();
    let of_new = disk.map(&path).unwrap();
    disk.remove(&path).unwrap();
    of_old.will_need(5_000..20_000);
    assert!(of_old.bytes() == old);
    assert_eq!(of_new.bytes(), b"new");
    replace_file(disk, &path, b"").unwrap();
    let empty = disk.map(&path).unwrap();
    empty.will_need(0..1);
    assert!(empty.bytes().is_empty());
}

#[test]
fn a_real_map_keeps_the_old_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    replaced_and_removed(&RealDisk, scratch.path());
}

#[test]
fn a_simulated_map_keeps_the_old_bytes() {
    replaced_and_removed(&SimDisk::new(1), Path::new(""));
}

#[test]
fn a_simulated_map_keeps_the_space_and_fails_as_a_read_does() {
    let (disk, path) = (SimDisk::new(1), Path::new("file"));
    disk.put(path, &[1; 4096]).unwrap();
    let operations = disk.operations();
    disk.fail_at(operations, Fault::ReadIo);
    let error = disk.map(path).unwrap_err();
    assert_eq!(error.to_string(), "map file: Input/output error (os error 5)");
    let map = disk.map(path).unwrap();
    assert_eq!(disk.operations(), operations + 2);
    disk.remove(path).unwrap();
    assert_eq!(disk.used(), 4096, "as long as it is mapped");
    drop(map);
    assert_eq!(disk.used(), 0);
}
