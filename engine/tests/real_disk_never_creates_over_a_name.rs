//! The real disk's names: created once, replaced whole, listed in order, in nested directories.
//!
//! Without it a segment could be created over another one, and its messages with it.

use std::io::ErrorKind;

use forebay_engine::disk::{Access, Disk, RealDisk, read_file, replace_file};

#[test]
fn names_are_created_once_listed_in_order_and_directories_nest() {
    let dir = tempfile::tempdir().unwrap();
    let nested = dir.path().join("a/b/c");
    RealDisk.create_dir(&nested).unwrap();
    RealDisk.create_dir(&nested).unwrap();
    for name in ["2", "10", "1"] {
        RealDisk.create(&nested.join(name)).unwrap();
    }
    assert_eq!(RealDisk.create(&nested.join("1")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    RealDisk.rename(&nested.join("10"), &nested.join("3")).unwrap();
    RealDisk.remove(&nested.join("2")).unwrap();
    RealDisk.sync_dir(&nested).unwrap();
    assert_eq!(RealDisk.list(&nested).unwrap(), ["1", "3"]);
    let missing = nested.join("missing");
    assert_eq!(RealDisk.open(&missing, Access::Read).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(RealDisk.remove(&missing).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(RealDisk.list(&missing).unwrap_err().kind(), ErrorKind::NotFound);
    let below_a_file = nested.join("1").join("d");
    assert_eq!(RealDisk.create_dir(&below_a_file).unwrap_err().kind(), ErrorKind::NotADirectory);
}

#[test]
fn a_replaced_file_is_whole_and_leaves_no_temporary_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.toml");
    replace_file(&RealDisk, &path, b"old").unwrap();
    std::fs::write(dir.path().join("store.tmp"), "left by a crash").unwrap();
    replace_file(&RealDisk, &path, b"new").unwrap();
    assert_eq!(read_file(&RealDisk, &path, 3).unwrap(), b"new");
    assert_eq!(read_file(&RealDisk, &path, 2).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(RealDisk.list(dir.path()).unwrap(), ["store.toml"]);
}
