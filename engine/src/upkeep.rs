//! What the core and the keeper tell each other: the keeper writes indexes and snapshots and
//! compacts segments, and may know only what is durable.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::Disk;
use crate::ids::{Position, QueueId, StoreId};
use crate::index::{MappedIndex, SegmentIndex};
use crate::location::Segment;
use crate::pace::Pace;
use crate::state::frozen::FrozenQueue;
use crate::time::LogTime;

/// Where a store's files are, whose they are, and at what pace the keeper uses them.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) data: PathBuf,
    pub(crate) store: StoreId,
}

/// From the core to the keeper. Everything that it tells of is durable.
#[derive(Debug)]
pub(crate) enum Task {
    /// A segment was sealed.
    Sealed(SealedSegment),
    /// Queues that the keeper asked for.
    Frozen(Frozen),
    /// The index of this segment has a damaged block.
    Broken(Arc<Segment>),
}

/// A segment that the log will write no more.
#[derive(Debug, Clone)]
pub(crate) struct SealedSegment {
    pub(crate) segment: Arc<Segment>,
    /// The last position that it covers.
    pub(crate) last: Position,
    /// Where its last entry ends.
    pub(crate) bytes: u64,
    pub(crate) index: SegmentIndex,
}

/// Queues as they were at the end of one entry.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// That entry.
    pub(crate) position: Position,
    pub(crate) log_time: LogTime,
    pub(crate) queues: Vec<FrozenQueue>,
    /// Whether there is no further queue behind these.
    pub(crate) is_last: bool,
    /// The greatest number given to a queue.
    pub(crate) last_queue: QueueId,
}

/// From the keeper to the core.
#[derive(Debug)]
pub(crate) enum Upkeep {
    /// Asks for queues.
    Freeze(FreezeRequest),
    /// The index of a sealed segment is on disk.
    Indexed(Arc<Segment>, Arc<MappedIndex>),
    /// The index of a segment was made anew from its log.
    Rebuilt(Arc<Segment>, SegmentIndex),
    /// One segment is listed in the place of several.
    Swapped {
        /// Those.
        removed: Vec<Arc<Segment>>,
        /// The one.
        added: SealedSegment,
    },
}

/// Asks for the queues behind one, a bounded number of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreezeRequest {
    /// This queue and those before are not wanted.
    pub(crate) after: QueueId,
    /// They are wanted as they are behind this entry: where the log ends with it, a watermark is
    /// written.
    pub(crate) behind: Option<Position>,
}
