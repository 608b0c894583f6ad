//! Without this: a change of how a move or a redrive is written would go unnoticed until somebody's
//! dead letters had no source any more, or were not found at all.
//!
//! Each record, byte by byte, by FORMAT.md section 3.2; and bytes that are no such records.

#![allow(clippy::unwrap_used, reason = "a test")]

use bytes::BytesMut;
use forebay_engine::LogTime;
use forebay_engine::ids::{Position, QueueId, RedriveId, Seq};
use forebay_engine::record::{
    Moved, Record, RecordWriter, RedriveEnded, RedriveOutcome, RedriveStarted, Sent,
};

const MOVED: &str = "
    7d 00 00 00  16  00  6c 00  00 00 00 00
    01 00 00 00  02 00 00 00 00 00 00 00  03 00 00 00 00 00 00 00
    04 00 00 00 00 00 00 00  05 00 00 00  01 00 00 00
    06 00 00 00  07 00 00 00 00 00 00 00  08 00 00 00  09 00 00 00 00 00 00 00
    0a 00 00 00 00 00 00 00  0b 00 00 00 00 00 00 00  0c 00 00 00
    0d 00 00 00 00 00 00 00  0e 00 00 00 06 00 00 00  0f 00 00 00 00 00 00 00
    6a 6f 62 73
    70 61 79 6c 6f";

/// A dead letter with a reason.
const MOVED_WITH_REASON: &str = "
    82 00 00 00  16  01  71 00  00 00 00 00
    01 00 00 00  02 00 00 00 00 00 00 00  03 00 00 00 00 00 00 00
    04 00 00 00 00 00 00 00  05 00 00 00  01 00 00 00
    06 00 00 00  07 00 00 00 00 00 00 00  08 00 00 00  09 00 00 00 00 00 00 00
    0a 00 00 00 00 00 00 00  0b 00 00 00 00 00 00 00  0c 00 00 00
    0d 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00
    03 00 77 68 79
    6a 6f 62 73
    70 61 79 6c 6f";

const STARTED: &str = "
    40 00 00 00  1a  00  34 00  00 00 00 00
    02 00 00 00 01 00 00 00  03 00 00 00 00 00 00 00  04 00 00 00 00 00 00 00
    05 00 00 00 00 00 00 00  06 00 00 00 00 00 00 00  07 00 00 00 00 00 00 00
    6a 6f 62 73";

const ENDED: &str = "
    28 00 00 00  1b  00  1c 00  00 00 00 00
    02 00 00 00 01 00 00 00  03 00 00 00 00 00 00 00  03  04 00 00 00 00 00 00 00
    77 68 79";

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn moved() -> Moved<'static> {
    Moved {
        message: Sent {
            queue: QueueId(1),
            seq: Seq(2),
            position: Position(3),
            visible_from: Some(LogTime(4)),
            deduplication: None,
            checksum: 5,
            attributes_bytes: 1,
            payload: b"paylo",
        },
        from_queue: QueueId(6),
        from_seq: Seq(7),
        origin_queue: QueueId(8),
        origin_seq: Seq(9),
        sent: LogTime(10),
        first_received: LogTime(11),
        receive_count: 12,
        time: LogTime(13),
        redrive: Some((RedriveId::new(QueueId(6), 14), 15)),
        reason: "",
        source: "jobs",
    }
}

fn started() -> RedriveStarted<'static> {
    RedriveStarted {
        redrive: RedriveId::new(QueueId(1), 2),
        time: LogTime(3),
        rate: 4,
        through: Seq(5),
        to_move: 6,
        moved: 7,
        destination: "jobs",
    }
}

fn ended() -> RedriveEnded<'static> {
    let (redrive, outcome) = (RedriveId::new(QueueId(1), 2), RedriveOutcome::Failed);
    RedriveEnded { redrive, time: LogTime(3), outcome, moved: 4, reason: "why" }
}

fn written(write: impl FnOnce(&mut RecordWriter<'_>)) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    write(&mut RecordWriter::new(&mut bytes));
    bytes.to_vec()
}

#[test]
fn each_record_has_these_bytes_and_reads_back() {
    assert_eq!(written(|out| out.moved(&moved())), bytes(MOVED));
    assert_eq!(written(|out| out.redrive_started(&started())), bytes(STARTED));
    assert_eq!(written(|out| out.redrive_ended(&ended())), bytes(ENDED));
    assert_eq!(Record::decode(&bytes(MOVED)), Ok((Record::Moved(moved()), &[][..])));
    let read = Record::decode(&bytes(STARTED)).unwrap().0.to_string();
    assert_eq!(read, Record::RedriveStarted(started()).to_string());
    let read = Record::decode(&bytes(ENDED)).unwrap().0.to_string();
    assert_eq!(read, Record::RedriveEnded(ended()).to_string());
}

#[test]
fn a_dead_letter_has_no_redrive() {
    let letter = Moved { redrive: None, ..moved() };
    let bytes = written(|out| out.moved(&letter));
    assert_eq!(bytes[12 + 88..12 + 104], [0; 16]);
    assert_eq!(Record::decode(&bytes), Ok((Record::Moved(letter), &[][..])));
}

#[test]
fn a_reason_stands_before_the_source() {
    let letter = Moved { redrive: None, reason: "why", ..moved() };
    assert_eq!(written(|out| out.moved(&letter)), bytes(MOVED_WITH_REASON));
    let written = bytes(MOVED_WITH_REASON);
    assert_eq!(Record::decode(&written), Ok((Record::Moved(letter), &[][..])));
}

#[test]
fn what_contradicts_itself_is_no_record() {
    let refused = |mut bytes: Vec<u8>, at: usize, byte: u8| {
        bytes[at] = byte;
        assert!(Record::decode(&bytes).is_err(), "byte {at} as {byte}");
    };
    // More attributes than payload, a redrive of another queue, and a source that is no text.
    refused(bytes(MOVED), 12 + 32, 6);
    refused(bytes(MOVED), 12 + 92, 7);
    refused(bytes(MOVED), 12 + 104, 0xff);
    // A reason that is longer than what is there, empty, no text, or of another kind of record.
    refused(bytes(MOVED_WITH_REASON), 12 + 104, 8);
    refused(bytes(MOVED_WITH_REASON), 12 + 104, 0);
    refused(bytes(MOVED_WITH_REASON), 12 + 106, 0xff);
    refused(bytes(STARTED), 5, 1);
    refused(bytes(MOVED), 5, 2);
    // An outcome that there is not, and a payload where none belongs.
    refused(bytes(ENDED), 12 + 16, 4);
    refused(bytes(STARTED), 6, 0x30);
}
