//! What an index knows of a message, of a run of messages, and of a queue (FORMAT.md section 4).

use crate::ids::{QueueId, Seq};

/// One message's place in its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    /// Where its record begins in the segment's file.
    pub(crate) offset: u32,
    /// The record's bytes, its header included.
    pub(crate) bytes: u32,
    /// When it was sent, in ms since the segment was created: a message that was moved may be older.
    /// No segment spans more (`SEGMENT_SPAN_MS_MAX`).
    pub(crate) sent_ms: i32,
    /// The CRC-32 of its group's id, or 1 if that is 0; 0 is no group.
    pub(crate) group: u32,
}

/// A message as an index takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Indexed {
    pub(crate) queue: QueueId,
    pub(crate) seq: Seq,
    pub(crate) slot: Slot,
    /// Whether its record is a `Moved`, which says something of another queue too.
    pub(crate) is_moved: bool,
}

/// Messages of one queue whose numbers have no gap, and where their slots begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) first: Seq,
    /// The number of the first one's slot, among those of the same list.
    pub(super) slot: u32,
    pub(super) count: u32,
}

/// A queue's messages in one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueRow {
    /// The queue.
    pub queue: QueueId,
    /// Its first message here.
    pub first: Seq,
    /// Its last one.
    pub last: Seq,
    /// How many there are: in a compacted segment fewer than first to last.
    pub messages: u32,
    /// Of their records.
    pub bytes: u64,
    /// Whether it is known that none of these is a `Moved`.
    pub is_all_sent: bool,
}

/// A slot and a run take this much, in memory as in a file.
pub(super) const ITEM_BYTES: usize = 16;

const _: () = assert!(size_of::<Slot>() == ITEM_BYTES, "FORMAT.md section 4");
const _: () = assert!(size_of::<Run>() == ITEM_BYTES, "FORMAT.md section 4");

impl Slot {
    pub(super) fn encode(&self) -> [u8; ITEM_BYTES] {
        let mut item = [0; ITEM_BYTES];
        item[..4].copy_from_slice(&self.offset.to_le_bytes());
        item[4..8].copy_from_slice(&self.bytes.to_le_bytes());
        item[8..12].copy_from_slice(&self.sent_ms.to_le_bytes());
        item[12..].copy_from_slice(&self.group.to_le_bytes());
        item
    }

    pub(super) fn decode(item: &[u8; ITEM_BYTES]) -> Self {
        let [offset, bytes, sent_ms, group] = words(item);
        Self { offset, bytes, sent_ms: sent_ms.cast_signed(), group }
    }
}

impl Run {
    /// The number after its last message's.
    pub(super) fn end(&self) -> Seq {
        Seq(self.first.0.saturating_add(u64::from(self.count)))
    }

    /// The number of a message's slot.
    pub(super) fn slot_of(&self, seq: Seq) -> Option<u32> {
        let offset = u32::try_from(seq.0.checked_sub(self.first.0)?).ok()?;
        (offset < self.count).then(|| self.slot + offset)
    }

    /// The message of a slot.
    pub(super) fn seq_of(&self, slot: u32) -> Option<Seq> {
        let offset = slot.checked_sub(self.slot)?;
        (offset < self.count).then(|| Seq(self.first.0 + u64::from(offset)))
    }

    pub(super) fn encode(&self) -> [u8; ITEM_BYTES] {
        let mut item = [0; ITEM_BYTES];
        item[..8].copy_from_slice(&self.first.0.to_le_bytes());
        item[8..12].copy_from_slice(&self.slot.to_le_bytes());
        item[12..].copy_from_slice(&self.count.to_le_bytes());
        item
    }

    pub(super) fn decode(item: &[u8; ITEM_BYTES]) -> Self {
        let [low, high, slot, count] = words(item);
        let first = Seq(u64::from(high) << 32 | u64::from(low));
        Self { first, slot, count }
    }
}

fn words(item: &[u8; ITEM_BYTES]) -> [u32; 4] {
    let (words, _) = item.as_chunks::<4>();
    std::array::from_fn(|at| u32::from_le_bytes(words[at]))
}
