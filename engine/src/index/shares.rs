//! Which segments have messages of a queue: 16 bytes for each queue and segment.
//!
//! The compactor puts one segment in the place of several, and each may have a share of every
//! queue. So the lists are not changed at once: it is noted what replaces what, which a lookup
//! follows, and the lists are tidied one by one.

use std::collections::HashMap;

use crate::ids::{QueueId, Seq};

/// A segment's number in this index: given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct SegmentKey(pub(super) u32);

/// Each queue's segments.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Each list ascends; none is empty.
    queues: HashMap<QueueId, Vec<Share>>,
    /// The segments that are gone, and what is in the place of each, as long as a list may name it.
    replaced: HashMap<SegmentKey, SegmentKey>,
    /// The queues whose lists may name segments that are gone.
    untidy: Vec<QueueId>,
}

/// That a queue has messages in a segment: none before this one.
#[derive(Debug, Clone, Copy)]
struct Share {
    first: Seq,
    segment: SegmentKey,
}

const _: () = assert!(size_of::<Share>() == 16, "kept for each queue and segment");

impl Shares {
    /// Adds a queue's share of a segment, wherever in its list it belongs.
    pub(super) fn add(&mut self, queue: QueueId, first: Seq, segment: SegmentKey) {
        let shares = self.queues.entry(queue).or_default();
        let at = shares.partition_point(|share| share.first < first);
        shares.insert(at, Share { first, segment });
    }

    /// The segment that has the message, if any has.
    pub(super) fn segment_of(&self, queue: QueueId, seq: Seq) -> Option<SegmentKey> {
        let shares = self.queues.get(&queue)?;
        let after = shares.partition_point(|share| share.first <= seq);
        Some(present(&self.replaced, shares.get(after.checked_sub(1)?)?.segment))
    }

    /// The segments that may have messages of the queue, in their order.
    pub(super) fn segments_of(&self, queue: QueueId) -> Vec<SegmentKey> {
        let shares = self.queues.get(&queue).map_or(&[][..], Vec::as_slice);
        let mut segments: Vec<_> =
            shares.iter().map(|share| present(&self.replaced, share.segment)).collect();
        segments.dedup();
        segments
    }

    /// One segment is in the place of several neighbours, which have messages of these queues.
    pub(super) fn replace(
        &mut self,
        removed: &[SegmentKey],
        by: SegmentKey,
        queues: impl Iterator<Item = QueueId>,
    ) {
        self.replaced.extend(removed.iter().map(|removed| (*removed, by)));
        self.untidy.extend(queues);
        // Mostly ascending already, which this sort makes use of.
        self.untidy.sort();
        self.untidy.dedup();
        self.untidy.shrink_to_fit();
    }

    /// Tidies one list, if any is not: it names the segments that are there now and have messages
    /// of the queue, each once.
    pub(super) fn tidy_one(&mut self, has_messages: impl Fn(SegmentKey, QueueId) -> bool) {
        let Some(queue) = self.untidy.pop() else { return };
        if let Some(shares) = self.queues.get_mut(&queue) {
            let mut before = None;
            shares.retain_mut(|share| {
                let segment = present(&self.replaced, share.segment);
                let is_changed = segment != share.segment;
                share.segment = segment;
                // The first share of several begins no later than what is left of all.
                before.replace(segment) != Some(segment)
                    && (!is_changed || has_messages(segment, queue))
            });
            if shares.is_empty() {
                self.queues.remove(&queue);
            } else if shares.len() < shares.capacity() / 4 {
                shares.shrink_to(2 * shares.len());
            }
        }
        if self.untidy.is_empty() {
            // Their memory too: as a rule there is nothing to tidy.
            self.untidy = Vec::new();
            self.replaced = HashMap::new();
        }
    }

    /// Forgets a queue.
    pub(super) fn remove_queue(&mut self, queue: QueueId) {
        self.queues.remove(&queue);
    }

    /// The memory that is reserved for all of it, about. Looks at every queue.
    pub(super) fn heap_bytes(&self) -> u64 {
        let lists = self.queues.values().map(|shares| shares.capacity() * size_of::<Share>());
        let of_queues = self.queues.capacity() * size_of::<(QueueId, Vec<Share>)>();
        let of_replaced = self.replaced.capacity() * size_of::<(SegmentKey, SegmentKey)>();
        let of_untidy = self.untidy.capacity() * size_of::<QueueId>();
        (lists.sum::<usize>() + of_queues + of_replaced + of_untidy) as u64
    }
}

/// What is in a segment's place now.
fn present(replaced: &HashMap<SegmentKey, SegmentKey>, mut segment: SegmentKey) -> SegmentKey {
    while let Some(by) = replaced.get(&segment) {
        segment = *by;
    }
    segment
}
