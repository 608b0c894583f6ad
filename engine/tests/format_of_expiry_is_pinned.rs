//! Without this: a change of how it is written what has expired would go unnoticed until messages came
//! back that were gone, or went that were not.
//!
//! The record, byte by byte, by FORMAT.md section 3.2; and bytes that are no such record.

#![allow(clippy::unwrap_used, reason = "a test")]

use bytes::BytesMut;
use forebay_engine::LogTime;
use forebay_engine::ids::{QueueId, Seq};
use forebay_engine::record::{Record, RecordWriter};

const EXPIRED: [u8; 40] = [
    0x28, 0, 0, 0, 0x1c, 0, 0x1c, 0, 0, 0, 0, 0, // Header.
    1, 0, 0, 0, // Queue.
    2, 1, 0, 0, 0, 0, 0, 0, // Below.
    3, 2, 0, 0, 0, 0, 0, 0, // Time.
    0, 0, 4, 0, 0, 0, 0, 0, // Late before.
];

#[test]
fn it_has_these_bytes_and_reads_back() {
    let (queue, below) = (QueueId(1), Seq(0x102));
    let (time, late_before) = (LogTime(0x203), LogTime(4 << 16));
    let mut written = BytesMut::new();
    RecordWriter::new(&mut written).expired(queue, below, time, late_before);
    assert_eq!(written[..], EXPIRED);
    let expected = Record::Expired { queue, below, time, late_before };
    assert_eq!(Record::decode(&EXPIRED), Ok((expected, &[][..])));
    let shown = "Expired queue=1 below=258 time_ms=515 late_before_ms=262144";
    assert_eq!(expected.to_string(), shown);
}

#[test]
fn what_ends_too_soon_is_no_such_record() {
    for missing in 1..=28u8 {
        let mut bytes = EXPIRED[..40 - usize::from(missing)].to_vec();
        (bytes[0], bytes[6]) = (0x28 - missing, 0x1c - missing);
        assert!(Record::decode(&bytes).is_err(), "{missing} bytes less");
    }
}
