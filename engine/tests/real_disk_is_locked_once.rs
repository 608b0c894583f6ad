//! A store's lock is held by one process, and whoever is refused learns by which.
//!
//! Without it two servers could append to one log, each over the other's messages.

use std::io::ErrorKind;

use forebay_engine::disk::{Disk, RealDisk};

#[test]
fn a_second_lock_is_refused_and_names_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    // Longer than any process id: what an earlier holder left must not show through.
    std::fs::write(&path, "99999999999999\n").unwrap();
    let lock = RealDisk.lock(&path).unwrap();
    let error = RealDisk.lock(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(error.to_string().ends_with(&format!("held by process {}", std::process::id())));
    drop(lock);
    RealDisk.lock(&path).unwrap();
}
