//! The index: from a message's identity to its place, without a search in the log.
//!
//! A lookup is: the queue's list of the segments that have messages of it, then that segment's own
//! index. The active segment's is in memory; a sealed one's is a mapped file ([`MappedIndex`]), and
//! in memory until that is written. So what is kept for each sealed segment is 16 bytes a queue, and
//! nothing a message.
//!
//! All of it is derived: an index file may be deleted or damaged, and is made anew from its segment.

mod block;
mod by_time;
mod file;
mod header;
mod heap;
mod salvaged;
mod segment;
mod shares;
mod slot;
mod table;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use block::BadBlock;
pub(crate) use file::{IndexError, MappedIndex};
pub(crate) use header::IndexIdentity;
pub(crate) use heap::HeapIndex;
pub(crate) use salvaged::{Hole, SalvagedIndex};
pub(crate) use segment::SegmentIndex;
#[expect(unreachable_pub, reason = "inspect shows it")]
pub use slot::QueueRow;
pub(crate) use slot::{Indexed, Slot};
pub(crate) use write::write;

use self::shares::{SegmentKey, Shares};
use crate::ids::{Group, QueueId, Seq};
use crate::location::{Location, Segment};
use crate::time::LogTime;

/// Where every stored message is.
#[derive(Debug, Default)]
pub(crate) struct Index {
    shares: Shares,
    sealed: HashMap<SegmentKey, Sealed>,
    active: Option<Active>,
    /// Given to the next segment.
    key_next: SegmentKey,
    /// Found to be broken, and not taken.
    broken: Vec<Arc<Segment>>,
}

/// A segment that nothing is added to.
#[derive(Debug)]
struct Sealed {
    segment: Arc<Segment>,
    index: SegmentIndex,
    is_broken: bool,
}

/// The segment that messages are added to.
#[derive(Debug)]
struct Active {
    key: SegmentKey,
    segment: Arc<Segment>,
    heap: HeapIndex,
}

/// The index of a segment is damaged: its messages cannot be found before it is made anew.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the index of segment {} is damaged: {cause}", segment.path.display())]
pub(crate) struct BrokenIndex {
    pub(crate) segment: Arc<Segment>,
    pub(crate) cause: BadBlock,
}

/// What the index takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IndexMemory {
    /// Of segments whose index is in memory.
    pub(crate) heap_bytes: u64,
    /// Of mapped files, whether they are in memory or not.
    pub(crate) mapped_bytes: u64,
    /// Of the queues' lists of segments.
    pub(crate) runs_bytes: u64,
    /// How many segments there are, the active one included.
    pub(crate) segments: u64,
}

impl Index {
    /// Begins a segment: messages are added to it from now on. The one before it is sealed and
    /// returned with its index, which is used from memory until [`Index::set_mapped`].
    pub(crate) fn begin_segment(
        &mut self,
        segment: Arc<Segment>,
    ) -> Option<(Arc<Segment>, Arc<HeapIndex>)> {
        let key = self.new_key();
        let active = Active { key, segment, heap: HeapIndex::default() };
        let Active { key, segment, heap } = self.active.replace(active)?;
        let heap = Arc::new(heap);
        let index = SegmentIndex::Heap(heap.clone());
        self.sealed.insert(key, Sealed { segment: segment.clone(), index, is_broken: false });
        Some((segment, heap))
    }

    /// Adds a message to the active segment: a queue's messages are added in the order of their
    /// numbers.
    pub(crate) fn add(&mut self, message: Indexed) {
        let active = self.active.as_mut().expect("a segment was begun");
        if active.heap.add(message) {
            self.shares.add(message.queue, message.seq, active.key);
        }
        self.tidy_one();
    }

    /// Counts bytes of the active segment's records that are no messages.
    pub(crate) fn add_control(&mut self, bytes: u64) {
        self.active.as_mut().expect("a segment was begun").heap.add_control(bytes);
    }

    /// Adds a sealed segment that was found when the store was opened. Only queues that exist get
    /// a place in memory.
    pub(crate) fn add_sealed(
        &mut self,
        segment: Arc<Segment>,
        index: SegmentIndex,
        exists: &dyn Fn(QueueId) -> bool,
    ) {
        let key = self.new_key();
        for row in index.rows().filter(|row| exists(row.queue)) {
            self.shares.add(row.queue, row.first, key);
        }
        self.sealed.insert(key, Sealed { segment, index, is_broken: false });
    }

    /// The index file of a sealed segment was written: its slots leave memory. Nothing happens if
    /// the segment is not there any more.
    pub(crate) fn set_mapped(&mut self, segment: &Segment, index: Arc<MappedIndex>) {
        self.set_rebuilt(segment, SegmentIndex::Mapped(index));
    }

    /// The index of a sealed segment was made anew: it is used from now on. Nothing happens if the
    /// segment is not there any more.
    pub(crate) fn set_rebuilt(&mut self, segment: &Segment, index: SegmentIndex) {
        if let Some(sealed) = self.sealed.values_mut().find(|sealed| *sealed.segment == *segment) {
            sealed.index = index;
            sealed.is_broken = false;
            self.broken.retain(|broken| **broken != *segment);
        }
    }

    /// The compactor put one segment in the place of several neighbours, of whose messages it has
    /// some. Takes time for the queues of each, but does not touch their lists.
    pub(crate) fn replace(
        &mut self,
        removed: &[Arc<Segment>],
        segment: Arc<Segment>,
        index: SegmentIndex,
    ) {
        let gone: Vec<(SegmentKey, Sealed)> =
            self.sealed.extract_if(|_, sealed| removed.contains(&sealed.segment)).collect();
        assert_eq!(gone.len(), removed.len(), "only sealed segments are compacted");
        self.broken.retain(|broken| !removed.contains(broken));
        let key = self.new_key();
        let keys: Vec<SegmentKey> = gone.iter().map(|(key, _)| *key).collect();
        let rows = gone.iter().flat_map(|(_, sealed)| sealed.index.rows());
        self.shares.replace(&keys, key, rows.map(|row| row.queue));
        self.sealed.insert(key, Sealed { segment, index, is_broken: false });
    }

    /// A message's place, and when it was sent. An error is remembered for
    /// [`Index::take_broken`].
    pub(crate) fn find(
        &mut self,
        queue: QueueId,
        seq: Seq,
    ) -> Result<Option<(Location, LogTime)>, BrokenIndex> {
        let found = self.slot(queue, seq)?;
        Ok(found.map(|(segment, Slot { offset, bytes, sent_ms, .. })| {
            let sent = segment.created.offset_ms(sent_ms);
            (Location { queue, seq, segment: segment.clone(), offset, bytes }, sent)
        }))
    }

    /// A message's group, and when it was sent. Errors as in [`Index::find`].
    pub(crate) fn group(
        &mut self,
        queue: QueueId,
        seq: Seq,
    ) -> Result<Option<(Group, LogTime)>, BrokenIndex> {
        let found = self.slot(queue, seq)?;
        Ok(found.map(|(segment, Slot { group, sent_ms, .. })| {
            (Group(group), segment.created.offset_ms(sent_ms))
        }))
    }

    fn slot(
        &mut self,
        queue: QueueId,
        seq: Seq,
    ) -> Result<Option<(&Arc<Segment>, Slot)>, BrokenIndex> {
        self.tidy_one();
        let Some(key) = self.shares.segment_of(queue, seq) else { return Ok(None) };
        let (segment, slot) = match &self.active {
            Some(active) if active.key == key => (&active.segment, active.heap.find(queue, seq)),
            _ => {
                let sealed =
                    self.sealed.get_mut(&key).expect("a share is of a segment that is there");
                match sealed.index.find(queue, seq) {
                    Ok(slot) => (&sealed.segment, slot),
                    Err(cause) => {
                        let segment = sealed.segment.clone();
                        if !std::mem::replace(&mut sealed.is_broken, true) {
                            self.broken.push(segment.clone());
                        }
                        return Err(BrokenIndex { segment, cause });
                    }
                }
            }
        };
        Ok(slot.map(|slot| (segment, slot)))
    }

    /// The segments whose index was found broken since this was last asked: each once, until it is
    /// made anew.
    pub(crate) fn take_broken(&mut self) -> Vec<Arc<Segment>> {
        std::mem::take(&mut self.broken)
    }

    /// Forgets a queue that was deleted. Its messages stay in the indexes of their segments.
    pub(crate) fn remove_queue(&mut self, queue: QueueId) {
        self.shares.remove_queue(queue);
    }

    /// What all of it takes. Looks at every queue.
    pub(crate) fn memory(&self) -> IndexMemory {
        let mut memory = IndexMemory {
            runs_bytes: self.shares.heap_bytes(),
            segments: self.sealed.len() as u64,
            ..IndexMemory::default()
        };
        if let Some(active) = &self.active {
            memory.heap_bytes += active.heap.heap_bytes();
            memory.segments += 1;
        }
        for sealed in self.sealed.values() {
            match &sealed.index {
                SegmentIndex::Heap(heap) => memory.heap_bytes += heap.heap_bytes(),
                SegmentIndex::Mapped(mapped) => memory.mapped_bytes += mapped.mapped_bytes(),
                SegmentIndex::Salvaged(salvaged) => {
                    memory.heap_bytes += salvaged.heap_bytes();
                    memory.mapped_bytes += salvaged.mapped_bytes();
                }
            }
        }
        memory
    }

    /// A little of the work that [`Index::replace`] left.
    fn tidy_one(&mut self) {
        self.shares.tidy_one(|key, queue| {
            self.sealed.get(&key).is_some_and(|sealed| sealed.index.row(queue).is_some())
        });
    }

    fn new_key(&mut self) -> SegmentKey {
        let next = SegmentKey(self.key_next.0 + 1);
        std::mem::replace(&mut self.key_next, next)
    }
}
