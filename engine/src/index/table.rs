//! The queue table of an index file: a row for each queue, ascending (FORMAT.md section 4).

use std::ops::Range;

use super::header::{Counts, ROW_BYTES};
use super::slot::QueueRow;
use crate::codec::Fields;
use crate::ids::{QueueId, Seq};
use crate::options::SEGMENT_BYTES_MAX;

/// Says of a row that none of its messages is a `Moved`. In indexes of older programs it says so of none.
const ALL_SENT: u64 = 1;

/// A row as it is in the file: the queue, and which runs are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TableRow {
    pub(super) row: QueueRow,
    pub(super) first_run: u32,
    pub(super) runs: u32,
}

impl TableRow {
    pub(super) fn encode(&self) -> [u8; ROW_BYTES] {
        let Self { row, first_run, runs } = self;
        let mut bytes = [0; ROW_BYTES];
        bytes[..4].copy_from_slice(&row.queue.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&first_run.to_le_bytes());
        bytes[8..12].copy_from_slice(&runs.to_le_bytes());
        bytes[12..16].copy_from_slice(&row.messages.to_le_bytes());
        bytes[16..24].copy_from_slice(&row.first.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&row.last.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&row.bytes.to_le_bytes());
        bytes[40..].copy_from_slice(&(u64::from(row.is_all_sent) * ALL_SENT).to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; ROW_BYTES]) -> Self {
        let mut fields = Fields::new(bytes);
        let mut u32 = || fields.u32().expect("a row is 48 bytes");
        let (queue, first_run, runs, messages) = (QueueId(u32()), u32(), u32(), u32());
        let mut u64 = || fields.u64().expect("a row is 48 bytes");
        let (first, last, bytes) = (Seq(u64()), Seq(u64()), u64());
        let is_all_sent = u64() == ALL_SENT;
        Self { row: QueueRow { queue, first, last, messages, bytes, is_all_sent }, first_run, runs }
    }

    /// The queue of a row that is not decoded otherwise.
    pub(super) fn queue_of(bytes: &[u8; ROW_BYTES]) -> QueueId {
        let [a, b, c, d, ..] = *bytes;
        QueueId(u32::from_le_bytes([a, b, c, d]))
    }

    /// The numbers of its runs.
    pub(super) fn runs(&self) -> Range<u32> {
        self.first_run..self.first_run + self.runs
    }

    /// Whether first to last, runs and messages go together.
    fn is_possible(&self) -> bool {
        let QueueRow { first, last, messages, bytes, .. } = self.row;
        let span = last.0.checked_sub(first.0);
        let missing = span.and_then(|span| span.checked_add(1)?.checked_sub(messages.into()));
        let (Some(missing), Some(gaps)) = (missing, self.runs.checked_sub(1)) else {
            return false;
        };
        // Each gap lies behind a message, and is of one number or more.
        let is_in_range = last <= Seq::MAX && bytes <= SEGMENT_BYTES_MAX;
        let has_gaps = gaps < messages && u64::from(gaps) <= missing;
        is_in_range && has_gaps && (gaps == 0) == (missing == 0)
    }
}

/// Whether the rows ascend, and share out all runs and slots without a gap; if not, what is wrong.
pub(super) fn check(rows: &[[u8; ROW_BYTES]], counts: Counts) -> Result<(), String> {
    let (mut runs, mut slots) = (0_u64, 0_u64);
    let mut before = None;
    for bytes in rows {
        let row = TableRow::decode(bytes);
        let queue = row.row.queue;
        if before.is_some_and(|before| before >= queue) {
            return Err(format!("queue {queue} is not in its place"));
        }
        if !row.is_possible() || u64::from(row.first_run) != runs {
            return Err(format!("the row of queue {queue} cannot be: {row:?}"));
        }
        runs += u64::from(row.runs);
        slots += u64::from(row.row.messages);
        before = Some(queue);
    }
    match (runs, slots) == (counts.runs.into(), counts.slots.into()) {
        true => Ok(()),
        false => Err(format!(
            "rows with {runs} runs and {slots} slots, expected {} and {}",
            counts.runs, counts.slots
        )),
    }
}
