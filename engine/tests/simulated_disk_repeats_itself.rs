//! Equal seeds and equal operations leave equal disks, whatever was damaged on the way.
//!
//! Without it a failing seed would be a rumour: nobody could run it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use forebay_engine::disk::{Access, Disk, Fault, SimDisk};

/// Three files, each written, synced in part, renamed and interrupted; then two crashes.
fn run(seed: u64) -> BTreeMap<PathBuf, Vec<u8>> {
    let disk = SimDisk::new(seed);
    disk.fail_at(25 + seed % 5, Fault::Crash);
    for name in ["a", "b", "c"] {
        let Ok(file) = disk.create(Path::new(name)) else {
            break;
        };
        for write in 0..10_u64 {
            // Errors are part of the run: after the crash each of these fails.
            file.write_all_at(write * 700, &[write as u8 + 1; 900]).ok();
            if write == 4 {
                file.sync().ok();
                disk.sync_dir(Path::new("")).ok();
            }
        }
        disk.rename(Path::new(name), Path::new(&format!("{name}2"))).ok();
    }
    disk.crash(seed);
    for path in disk.files() {
        let file = disk.open(&path, Access::Write).expect("it was just listed");
        file.write_all_at(10, &[99; 5000]).expect("no fault is planned");
    }
    disk.crash(seed + 1);
    disk.files()
        .into_iter()
        .map(|path| (path.clone(), disk.image(&path).unwrap_or_default()))
        .collect()
}

#[test]
fn the_same_seed_has_the_same_outcome() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let outcome = run(seed);
        assert_eq!(outcome, run(seed), "seed {seed}");
        outcomes.insert(outcome);
    }
    assert!(outcomes.len() > 50, "seeds matter: {} outcomes", outcomes.len());
}

#[test]
fn planted_damage_is_where_it_was_asked_for_and_survives_a_crash() {
    let disk = SimDisk::new(0);
    let bytes: Vec<u8> = (0..10_000_u32).map(|at| (at / 100) as u8 + 1).collect();
    disk.put("data/log/1", &bytes).unwrap();
    let mut expected = bytes.clone();

    disk.flip_bit("data/log/1", 9_999, 7).unwrap();
    expected[9_999] ^= 0x80;
    disk.swap_blocks("data/log/1", 0, 1).unwrap();
    expected[..8192].rotate_left(4096);
    disk.zero_block("data/log/1", 2).unwrap();
    expected[8192..].fill(0);

    let file = disk.open(Path::new("data/log/1"), Access::Read).unwrap();
    let (mut cached, mut durable) = (vec![0; 10_000], vec![0; 10_000]);
    file.read_at(0, &mut cached).unwrap();
    file.read_durable_at(0, &mut durable).unwrap();
    assert!(cached == expected && durable == expected);
    disk.crash(1);
    assert!(disk.image("data/log/1").unwrap() == expected);

    disk.flip_bit("data/log/1", 10_000, 0).unwrap_err();
    disk.zero_block("data/log/1", u64::MAX).unwrap_err();
    disk.swap_blocks("data/log/1", 0, 3).unwrap_err();
    disk.flip_bit("data/log/2", 0, 0).unwrap_err();
}
