//! Where an entry's messages are: what an index keeps of each.
//!
//! While an entry fills, the core notes what it stores ([`Stored`]), and the entry's place makes slots of
//! it. Recovery and compactor read the same out of the entry's records ([`sent_slots`]).

use crate::entry::{ENTRY_HEADER_BYTES, records};
use crate::ids::{Group, QueueId, Seq};
use crate::index::{Indexed, Slot};
use crate::record::{Record, Sent};
use crate::time::LogTime;

/// A message in an entry that has no place yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    queue: QueueId,
    seq: Seq,
    group: Group,
    /// Where its record begins in the entry's body, ...
    at: u32,
    /// ... and how long it is.
    bytes: u32,
    /// When it was sent, if it came by a `Moved`.
    sent: Option<LogTime>,
}

impl Stored {
    /// The message that a record stores, if it does, of `bytes` bytes at `at` in the entry's body.
    pub(super) fn of(record: &Record<'_>, at: usize, bytes: usize) -> Option<Self> {
        let stored = |message: &Sent<'_>| Self::sent(message, message.group(), at, bytes);
        record.message().map(|message| Self { sent: sent_before(record), ..stored(message) })
    }

    /// The same of a message whose group is known.
    pub(super) fn sent(sent: &Sent<'_>, group: Group, at: usize, bytes: usize) -> Self {
        Self {
            queue: sent.queue,
            seq: sent.seq,
            group,
            at: u32::try_from(at).expect("an entry is at most 4 GiB"),
            bytes: u32::try_from(bytes).expect("a record is at most 4 GiB"),
            sent: None,
        }
    }

    /// Its place, when the entry begins at `offset` of its segment. `log_time` is the entry's,
    /// `created` the segment's.
    pub(super) fn indexed(&self, offset: u64, (log_time, created): (LogTime, LogTime)) -> Indexed {
        let offset = offset + ENTRY_HEADER_BYTES as u64 + u64::from(self.at);
        let slot = Slot {
            offset: u32::try_from(offset).expect("a segment is at most 4 GiB"),
            bytes: self.bytes,
            sent_ms: slot_ms(self.sent.unwrap_or(log_time), created),
            group: self.group.0,
        };
        let Self { queue, seq, .. } = *self;
        Indexed { queue, seq, slot, is_moved: self.sent.is_some() }
    }
}

/// The messages stored in the entry at `offset` of its segment, each with its place. `log_time` is
/// the entry's, `created` the segment's.
pub(crate) fn sent_slots(
    offset: u64,
    times: (LogTime, LogTime),
    body: &[u8],
) -> impl Iterator<Item = Indexed> + '_ {
    let stored = records(body).filter_map(|(record, at, bytes)| Stored::of(&record, at, bytes));
    stored.map(move |stored| stored.indexed(offset, times))
}

/// When a record's message was sent, if the entry is of that time.
pub(crate) fn sent_at(record: &Record<'_>, log_time: LogTime) -> LogTime {
    sent_before(record).unwrap_or(log_time)
}

/// When a record's message was sent, if that was before its entry.
fn sent_before(record: &Record<'_>) -> Option<LogTime> {
    match record {
        Record::Moved(moved) => Some(moved.sent),
        _ => None,
    }
}

/// A sent time as a slot keeps it. No segment spans more than that holds (`SEGMENT_SPAN_MS_MAX`): the log
/// leaves one in time, and neither compactor nor repair makes one that would.
pub(crate) fn slot_ms(sent: LogTime, segment_created: LogTime) -> i32 {
    match sent >= segment_created {
        true => i32::try_from(sent.ms_since(segment_created)).unwrap_or(i32::MAX),
        false => i32::try_from(segment_created.ms_since(sent)).map_or(i32::MIN, |ms| -ms),
    }
}
