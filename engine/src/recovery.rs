//! Recovery: the newest good snapshot, the indexes, and the log behind the snapshot.
//!
//! The log is replayed through the same [`State::apply`] that the live core uses. What a
//! snapshot's part already contains is skipped. Segments that the snapshot contains whole are not
//! read if their index is there; one without a good index is read to make it anew.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::broken::{Mistake, makes};
use crate::core::{Recovered, sent_slots};
use crate::disk::{Disk, DiskFile};
use crate::entry::{EntryHeader, records};
use crate::error::{Damage, OpenError};
use crate::ids::{Position, QueueId, StoreId};
use crate::index::{HeapIndex, Index, IndexError, IndexIdentity, MappedIndex, SegmentIndex};
use crate::location::Segment;
use crate::log::replay::{LogEnd, Replay};
use crate::log::{Known, ListedSegment, SegmentHeader, names};
use crate::progress::{OnProgress, Progress};
use crate::snapshot::{self, Kept};
use crate::state::State;
use crate::time::LogTime;
use crate::upkeep::SealedSegment;

/// Makes state and index anew.
pub(crate) struct Recovery {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    store: StoreId,
    state: State,
    known: Contained,
    /// Snapshots that may be used the next time, in the order of their positions.
    pub(crate) snapshots: Vec<Kept>,
    pub(crate) segments: Vec<SealedSegment>,
    /// The segment whose index is made anew while it is read.
    current: Option<Current>,
    pub(crate) replayed: Replayed,
    pub(crate) warnings: Vec<String>,
    on_progress: OnProgress,
    progress: Progress,
}

/// What the state contains already: that of the snapshot.
#[derive(Debug, Default)]
pub(crate) struct Contained {
    /// For each queue of the snapshot, the position that its part contains.
    pub(crate) parts: HashMap<QueueId, Position>,
    /// The log is replayed from behind this position.
    pub(crate) from: Position,
    /// No part of the snapshot contains an entry behind this one.
    pub(crate) through: Position,
}

/// The state as a snapshot has it.
#[derive(Debug, Default)]
pub(crate) struct Base {
    pub(crate) state: State,
    pub(crate) known: Contained,
    pub(crate) log_time: LogTime,
}

impl Base {
    /// Takes the newest snapshot that is good off the list, which ascends, and those behind it, and
    /// restores it. `None`: there is none.
    pub(crate) fn newest(
        disk: &dyn Disk,
        data: &Path,
        store: StoreId,
        positions: &mut Vec<Position>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, OpenError> {
        while let Some(position) = positions.pop() {
            let (mut state, mut parts) = (State::default(), HashMap::new());
            let read = snapshot::read(disk, data, store, position, &mut |part| {
                parts.insert(part.id, part.position);
                state.restore(part);
            });
            match read {
                Ok(header) => {
                    state.set_last_queue(header.last_queue);
                    let known = Contained { parts, from: header.position, through: header.through };
                    return Ok(Some(Self { state, known, log_time: header.log_time }));
                }
                // Derived, whatever is wrong with it: an older one or the log is as good.
                Err(error) => warnings.push(format!("a snapshot is not used: {error}")),
            }
        }
        Ok(None)
    }
}

/// What was read of the log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Replayed {
    pub(crate) entries: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) segments: usize,
    pub(crate) indexes_rebuilt: usize,
}

struct Current {
    segment: Arc<Segment>,
    index: HeapIndex,
    /// The last position; `None` where that is known only when the segment was read.
    last: Option<Position>,
    /// Where its last entry ends; `None` of the active segment.
    bytes: Option<u64>,
}

impl Recovery {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        data: &Path,
        store: StoreId,
        on_progress: OnProgress,
    ) -> Self {
        Self {
            disk,
            data: data.to_path_buf(),
            store,
            state: State::default(),
            known: Contained::default(),
            snapshots: Vec::new(),
            segments: Vec::new(),
            current: None,
            replayed: Replayed::default(),
            warnings: Vec::new(),
            on_progress,
            progress: Progress::default(),
        }
    }

    /// Restores the newest snapshot that is good. One that lacks what the compactor left out of
    /// the log, being older than `compacted_through`, is none.
    pub(crate) fn load_snapshot(
        &mut self,
        compacted_through: Position,
    ) -> Result<Known, OpenError> {
        let mut positions = snapshot::list(&*self.disk, &self.data)?;
        positions.retain(|position| *position >= compacted_through);
        let (disk, data) = (&*self.disk, &*self.data);
        let base = Base::newest(disk, data, self.store, &mut positions, &mut self.warnings)?;
        let mut known = Known::default();
        if let Some(Base { state, known: contained, log_time }) = base {
            let Contained { from: position, through: durable, .. } = contained;
            known = Known { position, durable, log_time };
            (self.state, self.known) = (state, contained);
            self.snapshots.push(Kept { position, bytes: 0 });
        }
        // The one before stays as it is; it is read only when it is needed.
        if let Some(before) = positions.pop() {
            self.snapshots.insert(0, Kept { position: before, bytes: 0 });
        }
        Ok(known)
    }

    /// Everything was read: the state and the index, and what the keeper keeps.
    pub(crate) fn finish(&mut self, end: &LogEnd) -> Recovered {
        self.end_segment(Some(end));
        let state = std::mem::take(&mut self.state);
        let mut index = Index::default();
        for sealed in &self.segments {
            let exists = |queue: QueueId| state.contains(queue);
            index.add_sealed(sealed.segment.clone(), sealed.index.clone(), &exists);
        }
        Recovered { state, index }
    }

    fn end_segment(&mut self, end: Option<&LogEnd>) {
        let Some(Current { segment, index, last, bytes }) = self.current.take() else { return };
        let Some(last) = last.or(end.map(|end| end.last)) else { return };
        let Some(bytes) = bytes.or(end.and_then(|end| end.active_bytes)) else { return };
        // An active segment without an entry is not there any more.
        if last >= segment.first {
            let index = SegmentIndex::Heap(Arc::new(index));
            self.segments.push(SealedSegment { segment, last, bytes, index });
        }
    }

    /// The index of a sealed segment, if it is there and good.
    fn open_index(&mut self, segment: &Segment, last: Position, bytes: u64) -> Option<MappedIndex> {
        let path = names::index(&segment.path);
        let identity = IndexIdentity::new(self.store, segment, last, bytes);
        match MappedIndex::open(&*self.disk, &path, &identity) {
            Ok(index) => return Some(index),
            Err(IndexError::Disk(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                self.warnings.push(format!("{} is missing: it is made anew", path.display()));
            }
            Err(error) => self.warnings.push(format!("an index is made anew: {error}")),
        }
        self.replayed.indexes_rebuilt += 1;
        None
    }
}

impl Contained {
    /// Whether that is what an entry says of a queue; `None`: of none.
    pub(crate) fn contains(&self, position: Position, queue: Option<QueueId>) -> bool {
        if position > self.through || makes(Mistake::ReplayedTwice) {
            return false;
        }
        let part = queue.and_then(|queue| self.parts.get(&queue));
        position <= part.copied().unwrap_or(self.from)
    }
}

impl Replay for Recovery {
    fn segment(
        &mut self,
        listed: &ListedSegment,
        header: &SegmentHeader,
        file: &Arc<dyn DiskFile>,
    ) -> bool {
        self.end_segment(None);
        let segment = header.segment(file.clone(), file.path().to_path_buf());
        // A version 1 manifest does not say where its last segment ends.
        let last = listed.sealed.map(|sealed| sealed.last).filter(|last| *last >= listed.first);
        let bytes = listed.sealed.map(|sealed| sealed.bytes);
        if let (Some(last), Some(bytes)) = (last, bytes)
            && let Some(index) = self.open_index(&segment, last, bytes)
        {
            let index = SegmentIndex::Mapped(Arc::new(index));
            self.segments.push(SealedSegment { segment, last, bytes, index });
            let is_wanted = last > self.known.from;
            self.replayed.segments += usize::from(is_wanted);
            return is_wanted;
        }
        self.current = Some(Current { segment, index: HeapIndex::default(), last, bytes });
        self.replayed.segments += 1;
        true
    }

    fn entry(&mut self, segment: &SegmentHeader, offset: u64, header: &EntryHeader, body: &[u8]) {
        self.replayed.entries += 1;
        self.replayed.bytes += header.bytes();
        for (record, _, _) in records(body) {
            self.replayed.records += 1;
            let (position, known) = (header.position, &self.known);
            self.state.apply_to(&record, |queue| !known.contains(position, queue));
        }
        if let Some(current) = &mut self.current {
            let mut control_bytes = body.len();
            let times = (header.log_time, segment.created);
            for message in sent_slots(offset, times, body) {
                control_bytes -= message.slot.bytes as usize;
                current.index.add(message);
            }
            current.index.add_control(control_bytes as u64);
        }
        self.progress.bytes += header.bytes();
        self.on_progress.tell(self.progress);
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        if makes(Mistake::DamageSkipped) { Ok(()) } else { Err(damage) }
    }
}
