//! Segments: a store whose active segment holds any bytes is found clean, torn or damaged; what
//! opens can be read; and what is read was written.
//!
//! The input is a list of what happens to the segment of a small store: bytes written over,
//! zeroed, copied, cut off or put behind, and watermarks with right checksums that claim anything.

#![no_main]

use std::sync::LazyLock;

use forebay_engine::entry::{EntryBuilder, seal_entry};
use forebay_engine::ids::Position;
use forebay_engine::log::SegmentHeader;
use forebay_engine::verify::{Outcome, verify};
use forebay_engine::{LogTime, OpenError};
use forebay_fuzz::{BaseStore, Choices, open_and_read};
use libfuzzer_sys::fuzz_target;

static BASE: LazyLock<BaseStore> = LazyLock::new(BaseStore::new);

const CHANGES_MAX: usize = 16;
const BYTES_MAX: usize = 256;
const SEGMENT_BYTES_MAX: usize = 24 << 10;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let mut bytes = BASE.bytes.clone();
    for _ in 0..CHANGES_MAX {
        if choices.is_empty() {
            break;
        }
        change(&mut choices, &mut bytes);
    }
    check(&bytes);
});

/// Does one thing to the segment's bytes.
fn change(choices: &mut Choices<'_>, bytes: &mut Vec<u8>) {
    let what = choices.byte() % 8;
    let at = place(choices, bytes.len());
    match what {
        0 => bytes.truncate(at),
        1 => {
            let more = choices.bytes(BYTES_MAX);
            bytes.extend_from_slice(more);
        }
        2 => {
            let until = place(choices, bytes.len()).max(at);
            bytes[at..until].fill(0);
        }
        3 => {
            let from = place(choices, bytes.len());
            let count = choices.below(BYTES_MAX).min(bytes.len() - at.max(from));
            bytes.copy_within(from..from + count, at);
        }
        4 | 5 => overwrite(bytes, at, choices.bytes(BYTES_MAX)),
        6 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (choices.byte() % 8);
            }
        }
        _ => {
            let Ok(header) = SegmentHeader::decode(&BASE.bytes[..4096]) else { return };
            let at = match choices.byte() % 2 {
                0 => BASE.written_bytes.next_multiple_of(8),
                _ => at.next_multiple_of(8),
            };
            overwrite(bytes, at, &watermark(choices, &header));
        }
    }
    bytes.truncate(SEGMENT_BYTES_MAX);
}

/// An offset, in the written part most of the time.
fn place(choices: &mut Choices<'_>, bytes: usize) -> usize {
    let end = match choices.byte() % 4 {
        0 => bytes,
        _ => (BASE.written_bytes + BYTES_MAX).min(bytes),
    };
    choices.below(end + 1)
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    let count = with.len().min(bytes.len().saturating_sub(at));
    if count > 0 {
        bytes[at..at + count].copy_from_slice(&with[..count]);
    }
}

/// A watermark that every checksum vouches for, near the end of the log. Not one with records:
/// records that contradict the state under right checksums are a mistake of the engine's own, and
/// it stops at an assertion.
fn watermark(choices: &mut Choices<'_>, segment: &SegmentHeader) -> Vec<u8> {
    let position = Position(segment.first.0 + choices.number() % 32);
    let durable = Position(choices.number().min(position.0 - 1));
    let (mut entry, count) = EntryBuilder::new().finish();
    let log_time = LogTime(choices.number());
    seal_entry(&mut entry, segment.salt, position, durable, log_time, count);
    entry.to_vec()
}

fn check(bytes: &[u8]) {
    let disk = BASE.with_active(bytes);
    let found = verify(&disk, BaseStore::data(), &mut |_| {});
    let found = match found {
        Ok(report) => report.outcome,
        Err(OpenError::FormatTooNew { .. }) => {
            assert!(matches!(open_and_read(&disk), Err(OpenError::FormatTooNew { .. })));
            return;
        }
        Err(error) => panic!("a store that cannot be verified: {error}"),
    };
    let opened = open_and_read(&disk);
    match (found, opened) {
        (Outcome::Damaged(damages), Err(OpenError::Damaged(damage))) => {
            assert!(damages.contains(&damage), "{damage} is not in {damages:?}");
        }
        (Outcome::Clean | Outcome::TornTail { .. }, Ok(contents)) => {
            let written = |(at, body)| BASE.sent.get(at) == Some(body);
            assert!(contents.iter().all(written), "what was read was not written");
            let after = verify(&disk, BaseStore::data(), &mut |_| {}).map(|report| report.outcome);
            assert!(matches!(after, Ok(Outcome::Clean)), "left unclean: {after:?}");
        }
        (found, opened) => {
            panic!("verify says {found:?}, opening says {:?}", opened.map(|all| all.len()))
        }
    }
}
