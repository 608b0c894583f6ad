//! The index of one sealed segment, wherever it is.

use std::sync::Arc;

use super::block::BadBlock;
use super::file::MappedIndex;
use super::heap::HeapIndex;
use super::salvaged::SalvagedIndex;
use super::slot::{QueueRow, Slot};
use crate::ids::{QueueId, Seq};

/// Where each message of a segment is.
#[derive(Debug, Clone)]
pub(crate) enum SegmentIndex {
    /// In memory, as long as there is no file.
    Heap(Arc<HeapIndex>),
    /// In its file.
    Mapped(Arc<MappedIndex>),
    /// In memory, as much as could be found: its file is damaged, and the segment is too.
    Salvaged(Arc<SalvagedIndex>),
}

impl SegmentIndex {
    /// A row for each queue, ascending.
    pub(crate) fn rows(&self) -> Box<dyn Iterator<Item = QueueRow> + '_> {
        match self {
            SegmentIndex::Heap(heap) => Box::new(heap.rows().into_iter()),
            SegmentIndex::Mapped(mapped) => Box::new(mapped.rows()),
            SegmentIndex::Salvaged(salvaged) => Box::new(salvaged.rows()),
        }
    }

    /// A queue's row.
    pub(crate) fn row(&self, queue: QueueId) -> Option<QueueRow> {
        match self {
            SegmentIndex::Heap(heap) => heap.row(queue),
            SegmentIndex::Mapped(mapped) => mapped.row(queue),
            SegmentIndex::Salvaged(salvaged) => salvaged.row(queue),
        }
    }

    /// A message's place.
    pub(crate) fn find(&self, queue: QueueId, seq: Seq) -> Result<Option<Slot>, BadBlock> {
        match self {
            SegmentIndex::Heap(heap) => Ok(heap.find(queue, seq)),
            SegmentIndex::Mapped(mapped) => mapped.find(queue, seq),
            SegmentIndex::Salvaged(salvaged) => Ok(salvaged.find(queue, seq)),
        }
    }

    /// Whether the message is in the segment; if that is damaged, whether it may be.
    pub(crate) fn contains(&self, queue: QueueId, seq: Seq) -> Result<bool, BadBlock> {
        match self {
            SegmentIndex::Heap(heap) => Ok(heap.find(queue, seq).is_some()),
            SegmentIndex::Mapped(mapped) => mapped.contains(queue, seq),
            SegmentIndex::Salvaged(salvaged) => Ok(salvaged.may_contain(queue, seq)),
        }
    }

    /// A queue's messages, ascending; of a damaged segment none. A bad block is an error in the place of each
    /// item in it.
    pub(crate) fn slots(
        &self,
        queue: QueueId,
    ) -> Box<dyn Iterator<Item = Result<(Seq, Slot), BadBlock>> + '_> {
        match self {
            SegmentIndex::Heap(heap) => Box::new(heap.slots(queue).map(Ok)),
            SegmentIndex::Mapped(mapped) => Box::new(mapped.slots(queue)),
            SegmentIndex::Salvaged(_) => Box::new(std::iter::empty()),
        }
    }

    /// The bytes of all records that are no messages.
    pub(crate) fn control_bytes(&self) -> u64 {
        match self {
            SegmentIndex::Heap(heap) => heap.control_bytes(),
            SegmentIndex::Mapped(mapped) => mapped.control_bytes(),
            SegmentIndex::Salvaged(salvaged) => salvaged.control_bytes(),
        }
    }
}
