//! The index: from a message's identity to its place, without a search in the log.
//!
//! Per segment and queue one run of slots, in the order of seqs, which are consecutive in it. A
//! lookup is: the queue's list of runs, then the slot.

use std::collections::HashMap;

use crate::ids::{Position, QueueId, Seq};
use crate::location::Location;
use crate::time::LogTime;

/// Where every stored message is.
#[derive(Debug, Default)]
pub(crate) struct Index {
    queues: HashMap<QueueId, Vec<Run>>,
}

/// A queue's messages in one segment.
#[derive(Debug)]
struct Run {
    first: Seq,
    segment: Position,
    segment_created: LogTime,
    slots: Vec<Slot>,
}

/// One message's place in its segment.
#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: u32,
    bytes: u32,
    /// When it was sent, in ms since the segment was created.
    sent_ms: u32,
}

const _: () = assert!(size_of::<Slot>() <= 16, "a slot is at most 16 bytes");

impl Index {
    /// Adds a message: a queue's messages are added in the order of their seqs.
    pub(crate) fn add(&mut self, location: &Location, sent: LogTime, segment_created: LogTime) {
        let runs = self.queues.entry(location.queue).or_default();
        if runs.last().is_none_or(|run| run.segment != location.segment) {
            let (first, segment) = (location.seq, location.segment);
            runs.push(Run { first, segment, segment_created, slots: Vec::new() });
        }
        let run = runs.last_mut().expect("one was added if there was none");
        assert_eq!(run.first.0 + run.slots.len() as u64, location.seq.0, "seqs are dense");
        run.slots.push(Slot {
            offset: location.offset,
            bytes: location.bytes,
            // A segment is left long before this is full (log::tail).
            sent_ms: u32::try_from(sent.ms_since(segment_created)).unwrap_or(u32::MAX),
        });
    }

    /// A message's place, and when it was sent.
    pub(crate) fn find(&self, queue: QueueId, seq: Seq) -> Option<(Location, LogTime)> {
        let runs = self.queues.get(&queue)?;
        let after = runs.partition_point(|run| run.first <= seq);
        let run = runs.get(after.checked_sub(1)?)?;
        let slot = run.slots.get(usize::try_from(seq.0 - run.first.0).ok()?)?;
        let (segment, offset, bytes) = (run.segment, slot.offset, slot.bytes);
        let sent = run.segment_created.plus_ms(u64::from(slot.sent_ms));
        Some((Location { queue, seq, segment, offset, bytes }, sent))
    }

    /// Forgets a queue that was deleted.
    pub(crate) fn remove_queue(&mut self, queue: QueueId) {
        self.queues.remove(&queue);
    }
}
