//! Holds the format still, and what is refused as another's.

use std::io::ErrorKind;

use super::*;
use crate::checksum;
use crate::index::{IndexError, QueueRow};

/// Two queues, the first with a gap, the second with enough for two blocks of slots.
fn small() -> Messages {
    let many: Vec<u64> = (5..305).collect();
    messages(&[(1, &[1, 2, 7]), (9, &many)])
}

#[test]
fn a_small_index_has_these_bytes() {
    let disk = disk();
    mapped(&disk, &small());
    let bytes = disk.durable_image(PATH).unwrap();
    assert_eq!(bytes.len(), 5 * 4096, "header, table, one block of runs, two of slots");
    let hex = |range: std::ops::Range<usize>| {
        bytes[range].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert_eq!(hex(0..16), concat!("464f524542415949", "01000000", "b85998f7"));
    assert_eq!(hex(16..32), "00112233445566778899aabbccddeeff", "store");
    assert_eq!(hex(32..48), concat!("0100000000000000", "efcdab8967452301"), "first, salt");
    assert_eq!(hex(48..64), concat!("02000000", "02000000", "03000000", "2f010000"), "counts");
    assert_eq!(hex(64..80), concat!("0068e5cf8b010000", "8403000000000000"), "created, last");
    assert_eq!(hex(80..96), concat!("0000100000000000", "4d00000000000000"), "sealed, control");
    assert!(bytes[96..4096].iter().all(|byte| *byte == 0));
    let rows = [
        // Queue, first run, runs, messages; first, last; bytes, whether all were sent here.
        concat!("01000000", "00000000", "02000000", "03000000"),
        concat!("0100000000000000", "0700000000000000"),
        concat!("3601000000000000", "0100000000000000"),
        concat!("09000000", "02000000", "01000000", "2c010000"),
        concat!("0500000000000000", "3001000000000000"),
        concat!("e691000000000000", "0100000000000000"),
    ];
    assert_eq!(hex(4096..4192), rows.concat());
    assert!(bytes[4192..8192].iter().all(|byte| *byte == 0));
    let runs = [
        concat!("6ea8c61b", "000000000000000000000000"),
        // First, slot, count.
        concat!("0100000000000000", "00000000", "02000000"),
        concat!("0700000000000000", "02000000", "01000000"),
        concat!("0500000000000000", "03000000", "2c010000"),
    ];
    assert_eq!(hex(8192..8256), runs.concat());
    assert!(bytes[8256..12288].iter().all(|byte| *byte == 0));
    let slots = [
        concat!("8cbc66a1", "000000000000000000000000"),
        // Offset, bytes, sent, group.
        concat!("a8960100", "65000000", "03000000", "01000000"),
        concat!("b0960100", "66000000", "06000000", "01000000"),
    ];
    assert_eq!(hex(12288..12336), slots.concat());
    assert!(bytes[16384 + 16 + (303 - 255) * 16..].iter().all(|byte| *byte == 0));
    assert_eq!(checksum::plain(&[&bytes]), 0x6fcc84d0);
}

#[test]
fn the_checksums_cover_what_the_document_says() {
    let disk = disk();
    mapped(&disk, &small());
    let bytes = disk.image(PATH).unwrap();
    let found = |at: usize| bytes[at..at + 4].to_vec();
    let head = crc32fast::hash(&[&bytes[..12], &bytes[16..8192]].concat());
    assert_eq!(found(12), head.to_le_bytes());
    for block in 2..5_u64 {
        let start = block as usize * 4096;
        let (salt, number) = (identity().salt.0.to_le_bytes(), block.to_le_bytes());
        let covered = [&salt[..], &number, &bytes[start + 4..start + 4096]].concat();
        assert_eq!(found(start), crc32fast::hash(&covered).to_le_bytes());
    }
}

#[test]
fn an_index_without_a_message_is_a_page() {
    let disk = disk();
    let mapped = mapped(&disk, &Messages::new());
    assert_eq!(mapped.mapped_bytes(), 4096);
    assert_eq!((mapped.rows().count(), mapped.messages(), mapped.control_bytes()), (0, 0, 77));
    assert_eq!(mapped.find(QueueId(1), Seq(1)), Ok(None));
    assert_eq!(mapped.check_all(), Ok(()));
}

#[test]
fn rows_tell_of_each_queue() {
    let disk = disk();
    let (mapped, heap) = (mapped(&disk, &small()), heap(&small()));
    let queue = QueueId(1);
    let row =
        QueueRow { queue, first: Seq(1), last: Seq(7), messages: 3, bytes: 310, is_all_sent: true };
    assert_eq!(mapped.row(queue), Some(row));
    assert_eq!(heap.row(queue), Some(row));
    assert_eq!(mapped.row(QueueId(2)), None);
    assert_eq!(mapped.rows().collect::<Vec<_>>(), heap.rows());
    assert_eq!((mapped.messages(), heap.messages()), (303, 303));
}

#[test]
fn one_that_was_moved_is_told_of_and_rows_of_older_programs_do_not_know() {
    let disk = disk();
    let mut heap = heap(&small());
    let (queue, seq, slot) = (QueueId(1), Seq(8), slot(1, 8));
    heap.add(Indexed { is_moved: true, ..sent(queue, seq, slot) });
    write(&disk, Path::new(PATH), &identity(), &heap).unwrap();
    let mapped = MappedIndex::open(&disk, Path::new(PATH), &identity()).unwrap();
    let all_sent = |row: QueueRow| (row.queue.0, row.is_all_sent);
    assert_eq!(mapped.rows().map(all_sent).collect::<Vec<_>>(), [(1, false), (9, true)]);
    // There it was zero.
    let mut bytes = disk.image(PATH).unwrap();
    bytes[4096 + 48 + 40] = 0;
    let head = crc32fast::hash(&[&bytes[..12], &bytes[16..8192]].concat());
    bytes[12..16].copy_from_slice(&head.to_le_bytes());
    disk.put(PATH, &bytes).unwrap();
    let mapped = MappedIndex::open(&disk, Path::new(PATH), &identity()).unwrap();
    assert_eq!(mapped.rows().map(all_sent).collect::<Vec<_>>(), [(1, false), (9, false)]);
}

#[test]
fn the_index_of_another_segment_or_store_is_refused() {
    let disk = disk();
    mapped(&disk, &small());
    let others = [
        IndexIdentity { store: StoreId(Uuid::from_u128(1)), ..identity() },
        IndexIdentity { first: Position(2), ..identity() },
        IndexIdentity { salt: Salt(1), ..identity() },
        IndexIdentity { generation: 1, ..identity() },
        IndexIdentity { last: Position(901), ..identity() },
        IndexIdentity { sealed_bytes: 1, ..identity() },
        IndexIdentity { created: LogTime(0), ..identity() },
    ];
    for other in others {
        let error = MappedIndex::open(&disk, Path::new(PATH), &other).unwrap_err();
        assert!(matches!(error, IndexError::Wrong { .. }), "{error}");
    }
}

#[test]
fn a_missing_index_and_a_newer_one_are_told_from_a_wrong_one() {
    let disk = disk();
    let open = || MappedIndex::open(&disk, Path::new(PATH), &identity()).unwrap_err();
    let missing = open();
    assert!(matches!(&missing, IndexError::Disk(error) if error.kind() == ErrorKind::NotFound));
    let mut newer = b"FOREBAYI".to_vec();
    newer.extend_from_slice(&[2, 0, 0, 0]);
    disk.put(PATH, &newer).unwrap();
    assert!(matches!(open(), IndexError::TooNew { found: 2, supported: 1, .. }));
    disk.put(PATH, b"").unwrap();
    assert!(matches!(open(), IndexError::Wrong { .. }));
}
