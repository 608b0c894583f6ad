//! The index of one segment in memory: while it is the active one, and until its file is written.
//!
//! Per queue all slots lie in one list, 16 bytes a message, and runs say which numbers they have. A
//! log has one run a queue and segment; only the compactor leaves gaps.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::slot::{Indexed, QueueRow, Run, Slot};
use crate::ids::{QueueId, Seq};

/// The places of one segment's messages.
#[derive(Debug, Default)]
pub(crate) struct HeapIndex {
    queues: HashMap<QueueId, QueueSlots, BuildHasherDefault<QueueHasher>>,
    control_bytes: u64,
    messages: u64,
}

/// Of a queue's number, which the store itself gave: nobody chooses those that collide.
#[derive(Debug, Default)]
struct QueueHasher(u64);

impl Hasher for QueueHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        // Odd, and its bits in no order: the golden ratio's. The map takes the upper bits and the lower.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// One queue's messages in the segment; at least one.
#[derive(Debug, Default)]
pub(super) struct QueueSlots {
    pub(super) runs: Vec<Run>,
    pub(super) slots: Vec<Slot>,
    /// Of all records.
    bytes: u64,
    has_moved: bool,
}

impl HeapIndex {
    /// Adds a message: a queue's messages are added in the order of their numbers. Returns whether
    /// it is the first one of its queue.
    pub(crate) fn add(&mut self, message: Indexed) -> bool {
        let slots = self.queues.entry(message.queue).or_default();
        slots.add(message);
        self.messages += 1;
        slots.slots.len() == 1
    }

    /// Counts bytes of records that are no messages.
    pub(crate) fn add_control(&mut self, bytes: u64) {
        self.control_bytes += bytes;
    }

    /// The bytes of all records that are no messages.
    pub(crate) fn control_bytes(&self) -> u64 {
        self.control_bytes
    }

    /// A message's place.
    pub(crate) fn find(&self, queue: QueueId, seq: Seq) -> Option<Slot> {
        let slots = self.queues.get(&queue)?;
        let after = slots.runs.partition_point(|run| run.first <= seq);
        let slot = slots.runs.get(after.checked_sub(1)?)?.slot_of(seq)?;
        slots.slots.get(slot as usize).copied()
    }

    /// The place of a queue's last message before `seq`.
    pub(super) fn last_before(&self, queue: QueueId, seq: Seq) -> Option<Slot> {
        let slots = self.queues.get(&queue)?;
        let after = slots.runs.partition_point(|run| run.first < seq);
        let run = slots.runs.get(after.checked_sub(1)?)?;
        let last = run.end().0.min(seq.0) - 1;
        slots.slots.get(run.slot_of(Seq(last))? as usize).copied()
    }

    /// The first of a queue's messages that is behind others; those that are come last.
    pub(super) fn first_after(
        &self,
        queue: QueueId,
        is_behind: impl Fn(&Slot) -> bool,
    ) -> Option<Seq> {
        let slots = self.queues.get(&queue)?;
        let at = slots.slots.partition_point(|slot| !is_behind(slot)) as u32;
        let after = slots.runs.partition_point(|run| run.slot <= at);
        slots.runs.get(after.checked_sub(1)?)?.seq_of(at)
    }

    /// A row for each queue, ascending.
    pub(crate) fn rows(&self) -> Vec<QueueRow> {
        self.queues_sorted().into_iter().map(|(queue, slots)| slots.row(queue)).collect()
    }

    /// A queue's row.
    pub(crate) fn row(&self, queue: QueueId) -> Option<QueueRow> {
        Some(self.queues.get(&queue)?.row(queue))
    }

    /// A queue's messages, ascending.
    pub(crate) fn slots(&self, queue: QueueId) -> impl Iterator<Item = (Seq, Slot)> + '_ {
        self.queues.get(&queue).into_iter().flat_map(|slots| {
            let seqs = slots.runs.iter().flat_map(|run| run.first.0..run.end().0).map(Seq);
            seqs.zip(slots.slots.iter().copied())
        })
    }

    /// How many messages there are.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// The memory that is reserved for all of it, about.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let of_queue = |slots: &QueueSlots| {
            slots.slots.capacity() * size_of::<Slot>() + slots.runs.capacity() * size_of::<Run>()
        };
        let of_queues = self.queues.capacity() * size_of::<(QueueId, QueueSlots)>();
        (of_queues + self.queues.values().map(of_queue).sum::<usize>()) as u64
    }

    /// Each queue, ascending.
    pub(super) fn queues_sorted(&self) -> Vec<(QueueId, &QueueSlots)> {
        let mut queues: Vec<_> = self.queues.iter().map(|(queue, slots)| (*queue, slots)).collect();
        queues.sort_unstable_by_key(|(queue, _)| *queue);
        queues
    }
}

impl QueueSlots {
    fn add(&mut self, Indexed { queue, seq, slot, is_moved }: Indexed) {
        match self.runs.last_mut() {
            Some(run) if run.end() == seq => run.count += 1,
            Some(run) if run.end() > seq => {
                panic!("message {seq} of queue {queue} is added behind {}", run.end().0 - 1)
            }
            _ => {
                // As a rule there is one run: a list of four would be kept for it otherwise.
                self.runs.reserve_exact(usize::from(self.runs.is_empty()));
                let slot = u32::try_from(self.slots.len()).expect("a segment is at most 4 GiB");
                self.runs.push(Run { first: seq, slot, count: 1 });
            }
        }
        self.slots.push(slot);
        self.bytes += u64::from(slot.bytes);
        self.has_moved |= is_moved;
    }

    pub(super) fn row(&self, queue: QueueId) -> QueueRow {
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else {
            unreachable!("a queue is made with its first message")
        };
        QueueRow {
            queue,
            first: first.first,
            last: Seq(last.end().0 - 1),
            messages: self.slots.len() as u32,
            bytes: self.bytes,
            is_all_sent: !self.has_moved,
        }
    }
}
