//! Without this: a change of how an attribute is written would go unnoticed until somebody's queue
//! had another retention, or no dead-letter queue any more.
//!
//! One record with every attribute, byte by byte; and bytes that are no attributes.

#![allow(clippy::unwrap_used, reason = "a test")]

use bytes::BytesMut;
use forebay_engine::LogTime;
use forebay_engine::attributes::{
    AttributeChanges, Attributes, DeduplicationScope, Durability, FifoThroughputLimit,
    RedrivePermission, TextMap,
};
use forebay_engine::ids::QueueId;
use forebay_engine::record::{Record, RecordWriter};

/// What is behind queue and time in the record of [`all`], without its name.
const ENCODED: &str = "
    12 00
    01 00  01 00 00 00 00 00 00 00    02 00  02 00 00 00 00 00 00 00
    03 00  03 00 00 00 00 00 00 00    04 00  04 00 00 00 00 00 00 00
    05 00  00 30 35 41 de 02 00 00    06 00  06 00 00 00 00 00 00 00
    07 00  07 00 00 00 00 00 00 00    08 00  01 00 00 00 00 00 00 00
    09 00  01 00 00 00 00 00 00 00    0a 00  01 00 00 00 00 00 00 00
    0b 00  01 00 00 00 00 00 00 00    0c 00  0c 00 00 00 00 00 00 00
    0d 00  01 00 00 00 00 00 00 00    0e 00  02 00 00 00 00 00 00 00
    01 80  04 00  64 65 61 64
    02 80  07 00  02 00 62 62  01 00 61
    03 80  0c 00  01 00 61  02 00 c3 a9  01 00 62  00 00
    04 80  00 00";

fn all() -> AttributeChanges {
    let map = |pairs: &[(&str, &str)]| -> TextMap {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let all = Attributes {
        visibility_timeout_ms: 1,
        delay_ms: 2,
        receive_wait_ms: 3,
        message_bytes_max: 4,
        retention_ms: 3_153_600_000_000,
        in_flight_max: 6,
        receive_count_max: 7,
        fifo: true,
        content_based_deduplication: true,
        deduplication_scope: DeduplicationScope::Group,
        fifo_throughput_limit: FifoThroughputLimit::Group,
        deduplication_window_ms: 12,
        durability: Durability::Written,
        redrive_permission: RedrivePermission::ByQueue,
        dead_letter_queue: "dead".to_owned(),
        redrive_sources: vec!["bb".to_owned(), "a".to_owned()],
        tags: map(&[("b", ""), ("a", "\u{e9}")]),
        notes: TextMap::new(),
    };
    all.as_changes()
}

fn written(attributes: &AttributeChanges) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    RecordWriter::new(&mut bytes).queue_changed(QueueId(1), LogTime(2), attributes);
    bytes.to_vec()
}

fn pinned() -> Vec<u8> {
    ENCODED.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// A record whose attributes are these bytes.
fn record_of(attributes: &[u8]) -> Vec<u8> {
    let mut bytes = written(&AttributeChanges::default());
    bytes.truncate(24);
    bytes.extend(attributes);
    let (whole, fields) = (bytes.len() as u32, bytes.len() as u16 - 12);
    bytes[..4].copy_from_slice(&whole.to_le_bytes());
    bytes[6..8].copy_from_slice(&fields.to_le_bytes());
    bytes
}

fn decoded(bytes: &[u8]) -> Option<AttributeChanges> {
    match Record::decode(bytes).ok()?.0 {
        Record::QueueChanged { attributes, .. } => Some(attributes.changes()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_attribute_has_its_bytes() {
    assert_eq!(written(&all())[24..], pinned());
    assert_eq!(decoded(&record_of(&pinned())), Some(all()));
    assert_eq!(decoded(&written(&AttributeChanges::default())), Some(Default::default()));
}

#[test]
fn what_is_not_written_so_is_not_read() {
    let one = |attribute: &[u8]| record_of(&[&[1, 0], attribute].concat());
    let number = |id: u16, value: u64| one(&[&id.to_le_bytes()[..], &value.to_le_bytes()].concat());
    let text = |id: u16, bytes: &[u8]| {
        one(&[&id.to_le_bytes(), &(bytes.len() as u16).to_le_bytes(), bytes].concat())
    };
    for (id, value) in [(1, u64::MAX), (8, 1), (13, 1), (14, 2)] {
        assert!(decoded(&number(id, value)).is_some(), "{id} {value}");
    }
    for (id, value) in [(0, 0), (15, 0), (8, 2), (13, 2), (14, 3), (14, u64::MAX)] {
        assert_eq!(decoded(&number(id, value)), None, "{id} {value}");
    }
    let good: [(u16, &[u8]); 4] = [
        (0x8001, b"dead"),
        (0x8002, b"\x01\0b\x01\0a"),
        (0x8003, b"\x01\0a\0\0\x01\0b\0\0"),
        (0x8004, b""),
    ];
    for (id, bytes) in good {
        assert!(decoded(&text(id, bytes)).is_some(), "{id:#x}");
    }
    let bad: [(u16, &[u8]); 8] = [
        (0x8000, b""),
        (0x8005, b""),
        (0x8001, b"\xff"),
        (0x8002, b"\x02\0a"),
        (0x8002, b"a"),
        (0x8003, b"\x01\0a"),
        (0x8003, b"\x01\0b\0\0\x01\0a\0\0"),
        (0x8004, b"\x01\0a\0\0\x01\0a\0\0"),
    ];
    for (id, bytes) in bad {
        assert_eq!(decoded(&text(id, bytes)), None, "{id:#x} {bytes:?}");
    }
    // Out of order, twice, or fewer than announced.
    let item = |id: u8| [&[id, 0][..], &[0; 8]].concat();
    for ids in [[2, 1], [1, 1]] {
        assert_eq!(
            decoded(&record_of(&[&[2, 0], &item(ids[0])[..], &item(ids[1])].concat())),
            None
        );
    }
    assert_eq!(decoded(&record_of(&[&[2, 0], &item(1)[..]].concat())), None);
    for end in 0..pinned().len() {
        assert_eq!(decoded(&record_of(&pinned()[..end])), None, "{end}");
    }
}
