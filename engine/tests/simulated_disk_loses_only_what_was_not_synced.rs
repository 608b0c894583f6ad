//! A crash of the simulated disk keeps all that was synced, and of the rest any sectors at all.
//!
//! Without it the crash tests could pass because the simulated disk never loses, never tears and
//! never reorders anything, and recovery would first meet a hole before data at a customer's.

use std::path::Path;
use std::sync::Arc;

use forebay_engine::disk::{Disk, DiskFile, SimDisk};

const SECTOR_BYTES: usize = 512;
const SEEDS: u64 = 500;

/// A disk with one file of eight sectors, all of them synced, its name too.
fn disk_with_file(byte: u8) -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new(0);
    let file = disk.create(Path::new("f")).expect("an empty disk takes a file");
    file.write_all_at(0, &[byte; 8 * SECTOR_BYTES]).expect("no fault is planned");
    file.sync().expect("no fault is planned");
    disk.sync_dir(Path::new("")).expect("no fault is planned");
    (disk, file)
}

#[test]
fn a_synced_write_survives_every_crash() {
    for seed in 0..SEEDS {
        let (disk, file) = disk_with_file(1);
        file.write_all_at(100, &[2; 1000]).unwrap();
        file.sync().unwrap();
        let synced = disk.image("f").unwrap();
        disk.crash(seed);
        assert_eq!(disk.image("f").unwrap(), synced, "seed {seed}");
        assert_eq!(disk.durable_image("f").unwrap(), synced, "seed {seed}");
    }
}

#[test]
fn an_unsynced_write_is_kept_lost_or_torn_between_sectors_and_never_inside_one() {
    let (mut kept, mut lost, mut torn, mut hole_before_data) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let (disk, file) = disk_with_file(1);
        file.write_all_at(0, &[2; 8 * SECTOR_BYTES]).unwrap();
        disk.crash(seed);
        let image = disk.image("f").unwrap();
        let sectors: Vec<u8> = image
            .chunks(SECTOR_BYTES)
            .map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "seed {seed}: torn inside");
                sector[0]
            })
            .collect();
        match (sectors.contains(&1), sectors.contains(&2)) {
            (false, true) => kept += 1,
            (true, false) => lost += 1,
            _ => torn += 1,
        }
        hole_before_data += i32::from(sectors.windows(2).any(|pair| pair == [1, 2]));
    }
    assert!(kept > 0 && lost > 0 && torn > 0 && hole_before_data > 0);
}

#[test]
fn a_later_write_may_survive_an_earlier_one() {
    let mut reordered = 0;
    for seed in 0..SEEDS {
        let (disk, file) = disk_with_file(0);
        file.write_all_at(0, &[1; SECTOR_BYTES]).unwrap();
        file.write_all_at(4 * SECTOR_BYTES as u64, &[2; SECTOR_BYTES]).unwrap();
        disk.crash(seed);
        let image = disk.image("f").unwrap();
        reordered += i32::from(image[0] == 0 && image[4 * SECTOR_BYTES] == 2);
    }
    assert!(reordered > 0);
}

#[test]
fn every_sector_after_a_crash_is_one_that_the_file_once_had() {
    for seed in 0..SEEDS {
        let (disk, file) = disk_with_file(1);
        let mut versions = vec![disk.image("f").unwrap()];
        for write in 0..6_u64 {
            // Overlapping, and never at a sector's edge.
            let offset = (seed * 37 + write * 311) % 3000;
            file.write_all_at(offset, &[write as u8 + 2; 700]).unwrap();
            versions.push(disk.image("f").unwrap());
        }
        disk.crash(seed);
        let image = disk.image("f").unwrap();
        for (at, sector) in image.chunks(SECTOR_BYTES).enumerate() {
            let once = |version: &Vec<u8>| version.chunks(SECTOR_BYTES).nth(at) == Some(sector);
            assert!(versions.iter().any(once), "seed {seed}, sector {at}");
        }
    }
}

#[test]
fn a_size_may_be_lost_with_its_data_or_kept_without() {
    let (mut size_lost, mut size_without_data) = (0, 0);
    for seed in 0..SEEDS {
        let (disk, file) = disk_with_file(1);
        file.write_all_at(8 * SECTOR_BYTES as u64, &[2; 2 * SECTOR_BYTES]).unwrap();
        disk.crash(seed);
        let image = disk.image("f").unwrap();
        match image.len() / SECTOR_BYTES {
            8 => size_lost += 1,
            10 => size_without_data += i32::from(!image.contains(&2)),
            other => panic!("seed {seed}: a size of {other} sectors never was"),
        }
    }
    assert!(size_lost > 0 && size_without_data > 0);
}

#[test]
fn what_was_cut_away_does_not_come_back_when_the_file_grows() {
    for seed in 0..SEEDS {
        let (disk, file) = disk_with_file(1);
        file.set_size(100).unwrap();
        file.set_size(2000).unwrap();
        file.write_all_at(1000, &[2; 10]).unwrap();
        let cached = disk.image("f").unwrap();
        assert!(cached[..100].iter().all(|byte| *byte == 1));
        assert!(cached[100..1000].iter().all(|byte| *byte == 0));
        disk.crash(seed);
        let image = disk.image("f").unwrap();
        match image.len() {
            4096 => assert_eq!(image, [1; 4096], "seed {seed}: the cut was lost"),
            100 => assert_eq!(image, [1; 100], "seed {seed}: only the cut was kept"),
            2000 => assert!(image[100..1000].iter().all(|byte| *byte == 0), "seed {seed}"),
            other => panic!("seed {seed}: a size of {other} bytes never was"),
        }
    }
}
