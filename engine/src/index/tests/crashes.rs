//! Wherever the power fails or the disk refuses while an index is written: under its name is the
//! old one, none, or all of the new one.

use super::*;
use crate::disk::Fault;

const TEMPORARY: &str = "log/0000000000000001.idx.tmp";

fn new() -> Messages {
    let many: Vec<u64> = (1..600).collect();
    messages(&[(1, &[1, 2, 7]), (2, &many)])
}

/// Such a disk as it is before: with an earlier index or without, and with an earlier attempt's
/// rest.
fn before(with_old: bool) -> SimDisk {
    let disk = disk();
    if with_old {
        mapped(&disk, &messages(&[(1, &[1])]));
    }
    disk.put(TEMPORARY, b"the rest of an earlier attempt").unwrap();
    disk
}

fn write_new(disk: &SimDisk) -> bool {
    write(disk, Path::new(PATH), &identity(), &heap(&new())).is_ok()
}

/// How many operations writing takes.
fn operations(disk: &SimDisk) -> u64 {
    let start = disk.operations();
    assert!(write_new(disk));
    disk.operations() - start
}

/// Whether there is an index; the one that is there must be right.
fn is_there(disk: &SimDisk, with_old: bool) -> bool {
    if !disk.files().contains(&PathBuf::from(PATH)) {
        assert!(!with_old, "the old index is gone");
        return false;
    }
    let mapped = MappedIndex::open(disk, Path::new(PATH), &identity()).unwrap();
    assert_eq!(mapped.check_all(), Ok(()));
    let expected = if mapped.messages() == 1 { messages(&[(1, &[1])]) } else { new() };
    assert_eq!(mapped.messages(), expected.len() as u64);
    for ((queue, seq), slot) in &expected {
        assert_eq!(mapped.find(*queue, *seq), Ok(Some(*slot)));
    }
    true
}

#[test]
fn a_crash_at_every_operation_leaves_no_bad_index() {
    let mut outcomes = [0; 2];
    for with_old in [false, true] {
        for operation in 0..operations(&before(with_old)) {
            for seed in 0..20 {
                let disk = before(with_old);
                disk.fail_at(disk.operations() + operation, Fault::Crash);
                assert!(!write_new(&disk));
                disk.crash(seed);
                outcomes[usize::from(is_there(&disk, with_old))] += 1;
                // The next try works.
                assert!(write_new(&disk));
                assert!(is_there(&disk, true));
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 20), "both are seen: {outcomes:?}");
}

#[test]
fn an_index_that_was_written_outlives_a_crash() {
    for seed in 0..20 {
        let disk = before(true);
        assert!(write_new(&disk));
        disk.crash(seed);
        assert!(is_there(&disk, true));
        assert!(!disk.files().contains(&PathBuf::from(TEMPORARY)));
    }
}

#[test]
fn an_error_at_every_operation_leaves_no_bad_index_and_no_rest() {
    for fault in [Fault::Io, Fault::Full, Fault::SyncDropsPages] {
        for with_old in [false, true] {
            let operations = operations(&before(with_old));
            for operation in 0..operations {
                let disk = before(with_old);
                disk.fail_at(disk.operations() + operation, fault);
                if write_new(&disk) {
                    continue; // The fault found nothing to strike.
                }
                let named = disk.files().contains(&PathBuf::from(PATH));
                assert!(!named || is_there(&disk, with_old));
                assert!(!disk.files().contains(&PathBuf::from(TEMPORARY)));
                disk.clear_faults();
                disk.crash(operation);
                is_there(&disk, with_old);
                assert!(write_new(&disk));
                assert!(is_there(&disk, true));
            }
        }
    }
}
