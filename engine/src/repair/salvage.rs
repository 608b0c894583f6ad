//! What is left: the state that a damaged log gives, what is lost of it, and what is in doubt.
//!
//! The log is replayed through [`State::apply_to`], as in a recovery, from the newest good snapshot. But
//! where entries are lost,
//! - messages are taken for sent that an index, a gap in the numbers or a later record tells of: what
//!   happens to them later happens, and those that are there in the end without their bytes are *lost*;
//! - every message that was there is *in doubt* from then on, because what is lost may have deleted it:
//!   until it is deleted, or a record behind the hole says that it was still there. It is not if the
//!   index of the segment, or the sizes of what was found, show that no such record is lost;
//! - what contradicts the state is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};

use roaring::RoaringTreemap;

use super::doubt::Doubts;
use super::numbers::Numbers;
use super::reading::{Found, Hole, Reader};
use super::times::Times;
use crate::disk::Disk;
use crate::error::{Damage, OpenError};
use crate::ids::{Epoch, Position, QueueId, Seq, StoreId};
use crate::index::{IndexIdentity, MappedIndex};
use crate::log::{ListedSegment, names};
use crate::record::{Moved, RECORD_HEADER_BYTES, Record};
use crate::recovery::Contained;
use crate::state::State;

/// The smallest record that takes messages away: `QueueDeleted`.
const DELETING_BYTES_MIN: u64 = RECORD_HEADER_BYTES as u64 + 4;

/// The smallest record that makes a queue, with a name of one character and no attributes.
const CREATING_BYTES_MIN: u64 = RECORD_HEADER_BYTES as u64 + 4 + 8 + 2 + 1;

/// Messages of a queue, by their numbers.
pub(super) type Messages = HashMap<QueueId, RoaringTreemap>;

/// What is left of a store, while its log is read and behind.
pub(super) struct Salvage<'d> {
    disk: &'d dyn Disk,
    data: PathBuf,
    store: StoreId,
    pub(super) state: State,
    known: Contained,
    /// Messages whose bytes are there.
    pub(super) found: Messages,
    /// Messages that may have been deleted by what is lost, ...
    pub(super) in_doubt: Messages,
    /// ... those without their bytes included.
    pub(super) doubted: Messages,
    doubts: Doubts,
    numbers: Numbers,
    segment: Option<Segment>,
    /// Of the hole that is read, the messages that the index has in it and that have not come yet; `None`
    /// outside of holes, and without an index.
    due: Option<VecDeque<(u64, QueueId, Seq)>>,
    /// Bytes of records that are no messages and are lost, at the most, ...
    pub(super) control_bytes_lost: u64,
    /// ... unless of a hole nobody knows how much is lost.
    pub(super) is_bound_known: bool,
    pub(super) holes: Vec<Hole>,
    pub(super) damages: Vec<Damage>,
    /// Messages of queues that are not there.
    homeless: BTreeMap<QueueId, RoaringTreemap>,
    deleted: BTreeSet<QueueId>,
    pub(super) epoch: Epoch,
    pub(super) times: Times,
    /// Records that contradict what is known.
    pub(super) contradictions: u64,
    /// Whether numbers of messages may have been given that are greater than can be told: the compactor
    /// says in a few bytes how many there were.
    pub(super) are_numbers_lost: bool,
}

/// What is lost.
pub(super) struct Lost {
    pub(super) messages: Messages,
    /// Messages of queues that are lost themselves.
    pub(super) homeless: BTreeMap<QueueId, RoaringTreemap>,
}

/// The segment that is read.
struct Segment {
    listed: ListedSegment,
    index: Option<MappedIndex>,
    /// Bytes of the records that are no messages.
    control_bytes: u64,
    /// Each queue's first message in it.
    first: HashMap<QueueId, Seq>,
    has_hole: bool,
    /// Whether what is lost of it may be about a queue of which no snapshot from behind it tells.
    is_news: bool,
}

impl<'d> Salvage<'d> {
    pub(super) fn new(
        disk: &'d dyn Disk,
        data: &Path,
        store: StoreId,
        state: State,
        known: Contained,
        times: Times,
    ) -> Self {
        Self {
            disk,
            data: data.to_path_buf(),
            store,
            numbers: Numbers::of(&known.parts),
            state,
            known,
            found: Messages::new(),
            in_doubt: Messages::new(),
            doubted: Messages::new(),
            doubts: Doubts::default(),
            segment: None,
            due: None,
            control_bytes_lost: 0,
            is_bound_known: true,
            holes: Vec::new(),
            damages: Vec::new(),
            homeless: BTreeMap::new(),
            deleted: BTreeSet::new(),
            epoch: Epoch(0),
            times,
            contradictions: 0,
            are_numbers_lost: false,
        }
    }

    /// Everything was read: what is lost, which the state does not have from here on.
    pub(super) fn finish(&mut self) -> Lost {
        self.end_segment();
        self.in_doubt = self.doubts.take();
        self.doubted.clone_from(&self.in_doubt);
        let mut lost = Messages::new();
        let ids: Vec<QueueId> = self.state.queues().map(|queue| queue.id).collect();
        for id in &ids {
            let skipped = self.numbers.skipped(*id);
            let Some(queue) = self.state.by_id(*id) else { continue };
            let live = queue.messages.live();
            let found = self.found.remove(id).unwrap_or_default();
            let without_bytes = &live - &found;
            queue.messages.take_out(&without_bytes);
            // A number that may have been given is not given again: an old receipt would fit it.
            let next = queue.messages.next_seq().0.saturating_add(skipped);
            queue.messages.skip_to(Seq(next));
            let here = &live & &found;
            if let Some(in_doubt) = self.in_doubt.get_mut(id) {
                *in_doubt &= &here;
            }
            self.found.insert(*id, here);
            if !without_bytes.is_empty() {
                lost.insert(*id, without_bytes);
            }
        }
        self.in_doubt.retain(|id, messages| ids.binary_search(id).is_ok() && !messages.is_empty());
        let queues_lost = self.control_bytes_lost / CREATING_BYTES_MIN;
        // So many are assumed; but queues can still be created, whatever is lost.
        let last = u64::from(self.state.last_queue().0);
        let assumed = queues_lost.min((u64::from(u32::MAX) - last) / 2);
        self.state.set_last_queue(QueueId((last + assumed) as u32));
        let mut homeless = std::mem::take(&mut self.homeless);
        homeless.retain(|queue, _| !self.deleted.contains(queue) && self.control_bytes_lost > 0);
        Lost { messages: lost, homeless }
    }

    /// Where a segment should be.
    pub(super) fn path_of(&self, listed: &ListedSegment) -> PathBuf {
        names::segment(&self.data, listed.name())
    }

    /// Whether messages of a queue may have been sent in what is lost of which nobody knows how many.
    pub(super) fn may_lack(&self, queue: QueueId) -> bool {
        self.numbers.skipped(queue) > 0
    }

    /// Messages before `next` were sent if they are not known: they are in what was lost.
    fn fill(&mut self, queue: QueueId, next: Seq) {
        let has_gap = self.numbers.has_gap(queue);
        let Some(queue) = self.state.by_id(queue) else { return };
        let known = queue.messages.next_seq();
        if has_gap && known < next {
            queue.messages.were_sent_before(next);
            let mut filled = RoaringTreemap::new();
            filled.insert_range(known.0..next.0);
            self.doubts.raise(queue.id, filled, false);
        }
    }

    /// What the index has in a hole before an offset, and did not come, was sent all the same.
    fn assume_before(&mut self, hole: &Hole, offset: u64) {
        if self.due.is_none() && !self.numbers.is_in_unindexed {
            self.due = self.indexed(hole);
            self.numbers.is_in_unindexed = self.due.is_none();
        }
        let Some(mut due) = self.due.take() else { return };
        while let Some((at, queue, seq)) = due.front().copied()
            && at <= offset
        {
            due.pop_front();
            if at < offset {
                self.assume_sent(hole, queue, seq);
            }
        }
        self.due = Some(due);
    }

    fn assume_sent(&mut self, hole: &Hole, queue: QueueId, seq: Seq) {
        self.note_first(queue, seq);
        self.fill(queue, seq);
        match self.state.by_id(queue) {
            // What a snapshot contains is not new.
            Some(known) if known.messages.is_new(seq) => {
                known.messages.skip_to(seq);
                known.messages.were_sent_before(Seq(seq.0.saturating_add(1)));
                self.numbers.know(queue, hole.first);
            }
            Some(_) => {}
            None if self.known.contains(hole.first, Some(queue)) => {}
            None => drop(self.homeless.entry(queue).or_default().insert(seq.0)),
        }
    }

    fn note_first(&mut self, queue: QueueId, seq: Seq) {
        if let Some(segment) = &mut self.segment {
            segment.first.entry(queue).or_insert(seq);
        }
    }

    /// Applies what a record says, as far as it does not contradict what is known.
    fn apply(&mut self, record: &Record<'_>, position: Position) {
        let mut not_of = None;
        if let Some(queue) = record.queue() {
            self.state.set_last_queue(queue);
        }
        match *record {
            Record::Opened { epoch } => self.epoch = self.epoch.max(epoch),
            Record::QueueCreated { queue, name, .. } => {
                if self.known.contains(position, Some(queue)) {
                    return;
                }
                if self.state.contains(queue) {
                    self.contradictions += 1;
                    return;
                }
                // A name is given again when the queue that had it was deleted.
                let older = self.state.by_name(name).map(|older| older.id);
                if let Some(older) = older.filter(|older| *older < queue) {
                    self.state.apply(&Record::QueueDeleted { queue: older });
                }
                self.numbers.know(queue, position);
            }
            Record::QueueDeleted { queue } => drop(self.deleted.insert(queue)),
            Record::Compacted { queue, next } if !self.known.contains(position, Some(queue)) => {
                self.fill(queue, next);
                self.numbers.know(queue, position);
            }
            Record::Leased { queue, first_lease, messages, .. } => {
                self.epoch = self.epoch.max(first_lease.epoch());
                let messages: Vec<Seq> = messages.iter().map(|lease| lease.seq).collect();
                self.concerns(queue, position, &messages);
            }
            Record::LeaseChanged { queue, changes } => {
                let messages: Vec<Seq> = changes.iter().map(|(seq, _)| seq).collect();
                self.concerns(queue, position, &messages);
            }
            Record::Returned { queue, messages, .. } => {
                let messages: Vec<Seq> = messages.iter().collect();
                self.concerns(queue, position, &messages);
            }
            Record::Acked { queue, messages } => {
                self.ends(queue, position, messages.iter().max());
            }
            Record::Moved(Moved { from_queue, from_seq, .. }) => {
                self.ends(from_queue, position, Some(from_seq));
            }
            _ => {}
        }
        if let Some(sent) = record.message() {
            let queue = sent.queue;
            if !self.known.contains(position, Some(queue)) {
                match self.state.get(queue) {
                    Some(state) if !state.messages.is_new(sent.seq) => {
                        self.contradictions += 1;
                        not_of = Some(queue);
                    }
                    Some(_) => self.fill(queue, sent.seq),
                    None => drop(self.homeless.entry(queue).or_default().insert(sent.seq.0)),
                }
                self.numbers.know(queue, position);
            }
        }
        if not_of.is_some() && !matches!(record, Record::Moved(_)) {
            return;
        }
        let known = &self.known;
        self.state.apply_to(record, |queue| queue != not_of && !known.contains(position, queue));
    }

    /// A record tells of messages that are in the queue.
    fn concerns(&mut self, queue: QueueId, position: Position, messages: &[Seq]) {
        self.ends(queue, position, messages.iter().copied().max());
        if !self.known.contains(position, Some(queue)) {
            self.doubts.lift(queue, messages);
        }
    }

    /// A record tells of messages that were in the queue, and are not behind it.
    fn ends(&mut self, queue: QueueId, position: Position, last: Option<Seq>) {
        if let Some(last) = last
            && !self.known.contains(position, Some(queue))
        {
            self.fill(queue, Seq(last.0.saturating_add(1)));
        }
    }

    /// Every message that is there is in doubt, but for what the compactor left in the segment with the
    /// hole: it was there when that was written.
    fn doubt(&mut self, hole: &Hole, is_indexed: bool) {
        for queue in self.state.queues() {
            let part = self.known.parts.get(&queue.id).copied().unwrap_or_default();
            if part >= hole.last {
                continue;
            }
            let mut live = queue.messages.live();
            if let Some(Segment { listed, first, .. }) = &self.segment
                && listed.generation > 0
                && let Some(first) = first.get(&queue.id)
            {
                live.remove_range(first.0..);
            }
            if !live.is_empty() {
                self.doubts.raise(queue.id, live, is_indexed);
            }
        }
    }

    /// Whether there is a queue of which no snapshot tells how it was behind the hole.
    fn is_news(&self, hole: &Hole) -> bool {
        let part = |id| self.known.parts.get(&id).copied().unwrap_or_default();
        self.state.queues().any(|queue| part(queue.id) < hole.last)
    }

    fn end_segment(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        let index = segment.index.filter(|_| segment.has_hole);
        let lost =
            index.map_or(0, |index| index.control_bytes().saturating_sub(segment.control_bytes));
        let is_any_lost = lost >= DELETING_BYTES_MIN;
        if is_any_lost {
            self.control_bytes_lost += lost;
            self.are_numbers_lost |= segment.is_news && segment.listed.generation > 0;
        }
        self.doubts.decide(is_any_lost);
    }

    /// The messages that the segment's index has in a hole, in the order of their places.
    fn indexed(&self, hole: &Hole) -> Option<VecDeque<(u64, QueueId, Seq)>> {
        // Of the end of a log nobody knows what was in it.
        let segment = self.segment.as_ref().filter(|_| !hole.is_open())?;
        let index = segment.index.as_ref()?;
        let mut messages = Vec::new();
        for row in index.rows() {
            for slot in index.slots(row.queue) {
                let (seq, slot) = slot.ok()?;
                let offset = u64::from(slot.offset);
                if hole.path.is_none() || hole.bytes.contains(&offset) {
                    messages.push((offset, row.queue, seq));
                }
            }
        }
        messages.sort_unstable();
        Some(messages.into())
    }
}

impl Reader for Salvage<'_> {
    fn segment(&mut self, listed: &ListedSegment) -> Result<(), OpenError> {
        self.end_segment();
        let path = names::index(&self.path_of(listed));
        let is_its = |index: &IndexIdentity| {
            listed.sealed.is_some_and(|sealed| {
                let of = (index.store, index.first, index.generation, index.salt);
                of == (self.store, listed.first, listed.generation, listed.salt)
                    && (index.last, index.sealed_bytes) == (sealed.last, sealed.bytes)
            })
        };
        let identity = MappedIndex::identity_of(self.disk, &path).filter(is_its);
        let index = identity.and_then(|is| MappedIndex::open(self.disk, &path, &is).ok());
        self.segment = Some(Segment {
            listed: *listed,
            index: index.filter(|index| index.check_all().is_ok()),
            control_bytes: 0,
            first: HashMap::new(),
            has_hole: false,
            is_news: false,
        });
        Ok(())
    }

    fn record(&mut self, found: &Found<'_>) -> Result<(), OpenError> {
        let Found { ref record, position, .. } = *found;
        self.times.note(position, found.log_time);
        if let Some(hole) = found.hole {
            // Not where it stands: its block may be another one's.
            let place = record.message().and_then(|sent| self.place(hole, sent.queue, sent.seq));
            self.assume_before(hole, place.unwrap_or(found.offset));
        }
        match record.message() {
            Some(sent) => {
                self.note_first(sent.queue, sent.seq);
                if sent.check_payload().is_ok() {
                    self.found.entry(sent.queue).or_default().insert(sent.seq.0);
                }
            }
            None => {
                if let Some(segment) = &mut self.segment {
                    segment.control_bytes += found.bytes;
                }
            }
        }
        self.apply(record, position);
        Ok(())
    }

    fn place(&self, hole: &Hole, queue: QueueId, seq: Seq) -> Option<u64> {
        let segment = self.segment.as_ref().filter(|_| !hole.is_open())?;
        let slot = segment.index.as_ref()?.find(queue, seq).ok()??;
        Some(u64::from(slot.offset)).filter(|offset| hole.bytes.contains(offset))
    }

    fn hole(&mut self, hole: &Hole) -> Result<(), OpenError> {
        if hole.listed.is_none() {
            self.end_segment();
        }
        let is_news = self.is_news(hole);
        if let Some(segment) = &mut self.segment {
            segment.has_hole = true;
            segment.is_news |= is_news;
        }
        self.assume_before(hole, u64::MAX);
        let is_indexed = self.due.take().is_some();
        self.numbers.is_in_unindexed = false;
        let bytes_lost = hole.bytes_assumed();
        let takes_away = hole.is_open() || bytes_lost >= DELETING_BYTES_MIN;
        if is_indexed || takes_away {
            self.doubt(hole, is_indexed);
        }
        if !is_indexed && takes_away {
            let is_as_written = hole.listed.is_some_and(|listed| listed.generation == 0);
            self.are_numbers_lost |= !is_as_written && self.is_news(hole);
            self.control_bytes_lost = self.control_bytes_lost.saturating_add(bytes_lost);
            self.is_bound_known &= hole.bytes_lost().is_some();
            self.numbers.add(hole);
        }
        self.holes.push(hole.clone());
        Ok(())
    }

    fn damage(&mut self, damage: Damage) {
        self.damages.push(damage);
    }
}
