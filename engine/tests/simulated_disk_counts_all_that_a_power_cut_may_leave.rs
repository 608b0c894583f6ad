//! Without this: a campaign that goes through all ways that a power cut has could pass over the one that
//! loses a message.

use std::collections::BTreeSet;
use std::path::Path;

use forebay_engine::disk::{Access, Disk, SimDisk};

const DIR: &str = "data";

/// A disk with something unsynced of every kind: bytes written once and twice, a larger file, a shorter one, a
/// new name, another name, and one that is gone.
fn unsynced() -> SimDisk {
    let disk = SimDisk::new(1);
    let path = |name: &str| Path::new(DIR).join(name);
    disk.create_dir(Path::new(DIR)).expect("no fault is planned");
    for (name, bytes) in [("one", 1024), ("two", 2048), ("three", 512)] {
        disk.put(path(name), &vec![1; bytes]).expect("no fault is planned");
    }
    let one = disk.open(&path("one"), Access::Write).expect("no fault is planned");
    one.write_all_at(0, &[2; 1024]).expect("no fault is planned");
    one.write_all_at(512, &[3; 1024]).expect("no fault is planned");
    // The same again, and zeros behind the end: a sector with what it has makes no difference.
    one.write_all_at(0, &[2; 512]).expect("no fault is planned");
    let two = disk.open(&path("two"), Access::Write).expect("no fault is planned");
    two.set_size(700).expect("no fault is planned");
    two.write_all_at(1024, &[4; 512]).expect("no fault is planned");
    disk.create(&path("new"))
        .expect("no fault is planned")
        .write_all_at(0, &[5; 512])
        .expect("no fault is planned");
    disk.rename(&path("new"), &path("newer")).expect("no fault is planned");
    disk.remove(&path("three")).expect("no fault is planned");
    disk
}

fn left_by(crash: impl FnOnce(&SimDisk)) -> u128 {
    let disk = unsynced();
    crash(&disk);
    disk.fingerprint()
}

#[test]
fn what_is_drawn_is_among_what_is_counted() {
    let ways = unsynced().ways();
    let counted: BTreeSet<u128> =
        (0..ways).map(|way| left_by(|disk| disk.crash_way(way))).collect();
    let drawn: BTreeSet<u128> = (0..20_000).map(|seed| left_by(|disk| disk.crash(seed))).collect();
    assert!(drawn.is_subset(&counted), "{} of {}", drawn.len(), counted.len());
    assert!(drawn.len() > counted.len() / 4, "{} of {}", drawn.len(), counted.len());
    assert!(ways < 10_000, "what makes no difference is not counted: {ways}");
}

#[test]
fn the_first_way_loses_all_that_can_be_lost() {
    let disk = unsynced();
    let names = |disk: &SimDisk| disk.files();
    let lost: Vec<_> = ["one", "two", "three"].map(|name| Path::new(DIR).join(name)).into();
    let durable = ["one", "two"].map(|name| disk.durable_image(Path::new(DIR).join(name)).unwrap());
    disk.crash_way(0);
    let mut left = names(&disk);
    left.sort();
    let mut expected = lost;
    expected.sort();
    assert_eq!(left, expected);
    let images = ["one", "two"].map(|name| disk.image(Path::new(DIR).join(name)).unwrap());
    assert_eq!(images, durable);
}

#[test]
fn a_disk_that_is_synced_has_one_way() {
    let disk = unsynced();
    let synced = disk.files();
    for path in &synced {
        disk.open(path, Access::Write).unwrap().sync().unwrap();
    }
    disk.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(disk.ways(), 1);
    let before = disk.fingerprint();
    disk.crash_way(0);
    assert_eq!(disk.fingerprint(), before);
}
