//! Whatever happens to the bytes of an index, no lookup gives a wrong place.

use super::*;
use crate::disk::RealDisk;

/// Several queues, one of them with gaps.
fn small() -> Messages {
    messages(&[(1, &[1, 2, 7]), (2, &[5]), (3, &[10, 11, 12])])
}

/// As [`small`], with two blocks of slots.
fn two_blocks() -> Messages {
    let many: Vec<u64> = (10..300).collect();
    messages(&[(1, &[1, 2, 7]), (2, &[5]), (3, &many)])
}

/// Whether the damage was reported: at the opening, or by a lookup, and surely by the check of all.
fn is_reported(disk: &SimDisk, messages: &Messages) -> bool {
    let Ok(mapped) = MappedIndex::open(disk, Path::new(PATH), &identity()) else { return true };
    let mut reported = false;
    for ((queue, seq), slot) in messages {
        match mapped.find(*queue, *seq) {
            Ok(found) => assert_eq!(found, Some(*slot), "queue {queue}, message {seq}"),
            Err(_) => reported = true,
        }
    }
    for (queue, seq) in [(1, 3), (1, 8), (2, 4), (3, 9), (3, 301), (4, 1)] {
        assert_ne!(mapped.find(QueueId(queue), Seq(seq)).ok().flatten(), Some(slot(queue, seq)));
        assert!(!mapped.contains(QueueId(queue), Seq(seq)).unwrap_or(false));
    }
    let all_right = mapped.check_all().is_ok();
    assert!(!(reported && all_right), "what a lookup finds, the check of all finds");
    !all_right
}

#[test]
fn every_flipped_byte_is_reported() {
    let (disk, messages) = (disk(), small());
    mapped(&disk, &messages);
    let bytes = disk.image(PATH).unwrap();
    assert!(!is_reported(&disk, &messages), "whole");
    let mut damaged = bytes.clone();
    for at in 0..bytes.len() {
        // Each bit has its turn.
        damaged[at] ^= 1 << (at % 8);
        disk.put(PATH, &damaged).unwrap();
        assert!(is_reported(&disk, &messages), "byte {at}");
        damaged[at] = bytes[at];
    }
}

#[test]
fn every_truncation_is_refused() {
    let (disk, messages) = (disk(), small());
    mapped(&disk, &messages);
    let bytes = disk.image(PATH).unwrap();
    for length in 0..bytes.len() {
        disk.put(PATH, &bytes[..length]).unwrap();
        assert!(MappedIndex::open(&disk, Path::new(PATH), &identity()).is_err(), "{length} bytes");
    }
    disk.put(PATH, &[&bytes[..], &[0]].concat()).unwrap();
    assert!(MappedIndex::open(&disk, Path::new(PATH), &identity()).is_err(), "a byte too many");
}

#[test]
fn a_block_in_anothers_place_is_reported() {
    let (disk, messages) = (disk(), two_blocks());
    mapped(&disk, &messages);
    disk.swap_blocks(PATH, 3, 4).unwrap();
    assert!(is_reported(&disk, &messages), "swapped");
    disk.swap_blocks(PATH, 3, 4).unwrap();
    assert!(!is_reported(&disk, &messages), "whole");
    disk.zero_block(PATH, 3).unwrap();
    assert!(is_reported(&disk, &messages), "lost");
}

#[test]
fn the_block_that_is_bad_is_named_and_the_others_are_used() {
    let (disk, messages) = (disk(), two_blocks());
    mapped(&disk, &messages);
    disk.flip_bit(PATH, 4 * 4096 + 100, 0).unwrap();
    let mapped = MappedIndex::open(&disk, Path::new(PATH), &identity()).unwrap();
    let bad = mapped.check_all().unwrap_err();
    assert_eq!((bad.block, bad.path.as_path()), (4, Path::new(PATH)));
    assert!(bad.to_string().starts_with("log/0000000000000001.idx at offset 16384: checksum "));
    // The first block has 255 of the 294 slots, four of which are other queues'.
    let slots: Vec<_> = mapped.slots(QueueId(3)).collect();
    assert_eq!(slots.len(), 290);
    assert!(slots[..251].iter().all(Result::is_ok));
    assert!(slots[251..].iter().all(|slot| slot.as_ref() == Err(&bad)));
    assert_eq!(mapped.find(QueueId(3), Seq(10 + 251)), Err(bad));
    assert_eq!(mapped.find(QueueId(3), Seq(10 + 250)), Ok(Some(slot(3, 260))));
    assert_eq!(mapped.contains(QueueId(3), Seq(10 + 251)), Ok(true), "needs no slot");
}

#[test]
fn a_map_of_a_real_file_is_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, messages) = (scratch.path().join("1.idx"), two_blocks());
    write(&RealDisk, &path, &identity(), &heap(&messages)).unwrap();
    let disk = disk();
    mapped(&disk, &messages);
    assert!(std::fs::read(&path).unwrap() == disk.image(PATH).unwrap());
    let mapped = MappedIndex::open(&RealDisk, &path, &identity()).unwrap();
    std::fs::remove_file(&path).unwrap();
    for ((queue, seq), slot) in &messages {
        assert_eq!(mapped.find(*queue, *seq), Ok(Some(*slot)));
    }
    assert_eq!(mapped.check_all(), Ok(()));
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
