//! What could be made of a broken index whose segment is damaged too: where those messages are that
//! still prove themselves, and where the damage begins that hides the others.
//!
//! It is never written to a file: the next opening finds the broken index again, and makes this of it.

use std::sync::Arc;

use super::file::MappedIndex;
use super::heap::HeapIndex;
use super::slot::{QueueRow, Slot};
use crate::error::Damage;
use crate::ids::{QueueId, Seq};

/// As much of a hole is taken for a hidden message's record: how long that was is not known.
const HIDDEN_BYTES_MAX: u64 = 64 << 10;

/// Where each message of a damaged segment is, or is hidden.
#[derive(Debug)]
pub(crate) struct SalvagedIndex {
    /// The index that was found broken. Its queue table was checked when it was opened.
    broken: Arc<MappedIndex>,
    found: HeapIndex,
    /// Ascending; at least one.
    holes: Vec<Hole>,
}

/// An extent of a segment in which no record proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl From<&Damage> for Hole {
    fn from(damage: &Damage) -> Self {
        Self { offset: damage.offset, bytes: damage.bytes }
    }
}

impl SalvagedIndex {
    pub(crate) fn new(broken: Arc<MappedIndex>, found: HeapIndex, holes: Vec<Hole>) -> Self {
        assert!(!holes.is_empty(), "a whole segment has a whole index");
        Self { broken, found, holes }
    }

    /// A row for each queue, ascending.
    pub(super) fn rows(&self) -> impl Iterator<Item = QueueRow> + '_ {
        self.broken.rows()
    }

    /// A queue's row.
    pub(super) fn row(&self, queue: QueueId) -> Option<QueueRow> {
        self.broken.row(queue)
    }

    /// A message's place. One that is hidden has the beginning of the damage for its place: whoever
    /// reads it finds the damage there, as that of any other message.
    pub(super) fn find(&self, queue: QueueId, seq: Seq) -> Option<Slot> {
        if let Some(slot) = self.found.find(queue, seq) {
            return Some(slot);
        }
        if !self.may_contain(queue, seq) {
            return None;
        }
        // A queue's messages lie in their order.
        let before = self.found.last_before(queue, seq);
        let behind = before.map_or(0, |slot| u64::from(slot.offset));
        let hole = self.holes.iter().find(|hole| hole.offset > behind);
        let hole = hole.or(self.holes.last()).expect("there is at least one");
        Some(Slot {
            offset: u32::try_from(hole.offset).expect("a segment is at most 4 GiB"),
            bytes: hole.bytes.min(HIDDEN_BYTES_MAX) as u32,
            sent_ms: before.map_or(0, |slot| slot.sent_ms),
            group: 0,
        })
    }

    /// The first of a queue's messages that is behind others, of those that are not hidden.
    pub(super) fn first_after(
        &self,
        queue: QueueId,
        is_behind: impl Fn(&Slot) -> bool,
    ) -> Option<Seq> {
        self.found.first_after(queue, is_behind)
    }

    /// Whether the message may be in the segment, readable or not. In a segment that the compactor
    /// wrote it may also be one that was left out.
    pub(super) fn may_contain(&self, queue: QueueId, seq: Seq) -> bool {
        self.row(queue).is_some_and(|row| (row.first..=row.last).contains(&seq))
    }

    pub(super) fn control_bytes(&self) -> u64 {
        self.broken.control_bytes()
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        self.found.heap_bytes() + (self.holes.len() * size_of::<Hole>()) as u64
    }

    pub(super) fn mapped_bytes(&self) -> u64 {
        self.broken.mapped_bytes()
    }
}
