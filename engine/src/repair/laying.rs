//! Lays down what is left as a new log: a state, and the messages that are in it.
//!
//! Entries get new positions, from 1 on: no snapshot knows the old ones. Messages keep their numbers and
//! their sent times, and the segments are what the compactor's are: numbers may be missing.

use std::collections::HashMap;
use std::path::Path;

use super::facts;
use super::reading::{Found, Hole, Reader};
use super::times::Times;
use crate::compactor::{Identity, Output};
use crate::disk::{Disk, DiskError};
use crate::entry::{EntryBuilder, EntryHeader, SEGMENT_HEADER_BYTES, entry_bytes};
use crate::error::{Damage, OpenError};
use crate::ids::{Position, QueueId, Seq, StoreId};
use crate::log::{ListedSegment, SEGMENT_AGE_MS_MAX, Sealed, names};
use crate::record::{Moved, Record, Sent};
use crate::state::deduplication::Entry;
use crate::state::{Queue, State};
use crate::time::LogTime;

/// The generation of the segments.
const GENERATION: u32 = 1;

/// Where a new log goes.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) disk: &'p dyn Disk,
    pub(super) data: &'p Path,
    pub(super) store: StoreId,
    /// A segment is no larger, unless one entry is.
    pub(super) segment_bytes: u64,
}

/// A new log while it is written.
pub(super) struct Laying<'s> {
    state: &'s State,
    times: &'s Times,
    writer: Writer<'s>,
    /// The entry that is read, and what there is of it.
    entry: Option<(Position, LogTime, EntryBuilder)>,
    queues: HashMap<QueueId, Written>,
}

/// What of a queue was written.
#[derive(Default)]
struct Written {
    /// Its newest message.
    last: Seq,
    /// What the deduplication window has of messages that are gone, ...
    gone: Option<Vec<Entry>>,
    /// ... of which so many are written.
    passed: usize,
}

impl<'s> Laying<'s> {
    /// Begins a log with all that is to be said before the messages come.
    pub(super) fn begin(
        place: Place<'s>,
        state: &'s State,
        times: &'s Times,
    ) -> Result<Self, DiskError> {
        let mut writer = Writer::new(place);
        for entry in facts::before_messages(state) {
            writer.add(entry, times.first())?;
        }
        Ok(Self { state, times, writer, entry: None, queues: HashMap::new() })
    }

    /// Every message came. Returns the segments.
    pub(super) fn finish(mut self) -> Result<Vec<ListedSegment>, DiskError> {
        self.end_entry()?;
        let time = self.times.last();
        let mut gone = EntryBuilder::new();
        for queue in self.state.queues() {
            let written = self.queues.entry(queue.id).or_default();
            while !written.pass(queue, Seq(u64::MAX), &mut gone) {
                self.writer.add(std::mem::take(&mut gone), time)?;
            }
        }
        self.writer.add(gone, time)?;
        let last = |id: QueueId| self.queues.get(&id).map_or(Seq(0), |written| written.last);
        let entries = facts::behind_messages(self.state, |queue| {
            last(queue.id).next() == queue.messages.next_seq()
        });
        for entry in entries {
            self.writer.add(entry, time)?;
        }
        self.writer.finish()
    }

    fn end_entry(&mut self) -> Result<(), DiskError> {
        match self.entry.take() {
            Some((_, time, entry)) => self.writer.add(entry, time),
            None => Ok(()),
        }
    }
}

impl Written {
    /// Says of what copies are looked for, of messages before `seq` that are gone; what is there says it
    /// itself. False: the entry is full.
    fn pass(&mut self, queue: &Queue, seq: Seq, out: &mut EntryBuilder) -> bool {
        let gone = self.gone.get_or_insert_with(|| {
            let window = queue.deduplication.window().iter();
            window.filter(|entry| !queue.messages.contains(entry.seq)).copied().collect()
        });
        while let Some(entry) = gone.get(self.passed)
            && entry.seq < seq
        {
            if out.body_bytes() >= facts::ENTRY_BYTES {
                return false;
            }
            self.passed += 1;
            out.append(|out| out.deduplicated(queue.id, entry.seq, entry.key, entry.time));
        }
        true
    }
}

impl Reader for Laying<'_> {
    fn segment(&mut self, _: &ListedSegment) -> Result<(), OpenError> {
        Ok(())
    }

    fn record(&mut self, found: &Found<'_>) -> Result<(), OpenError> {
        let Some(sent) = found.record.message() else { return Ok(()) };
        let Some(queue) = self.state.get(sent.queue) else { return Ok(()) };
        let is_first = self.queues.get(&queue.id).is_none_or(|written| written.last < sent.seq);
        if !is_first || !queue.messages.contains(sent.seq) || sent.check_payload().is_err() {
            return Ok(());
        }
        if self.entry.as_ref().is_some_and(|(position, _, _)| *position != found.position) {
            self.end_entry()?;
        }
        let time = found.log_time.unwrap_or_else(|| self.times.of(found.position));
        let mut written = self.queues.remove(&queue.id).unwrap_or_default();
        let mut gone = EntryBuilder::new();
        while !written.pass(queue, sent.seq, &mut gone) {
            self.end_entry()?;
            self.writer.add(std::mem::take(&mut gone), time)?;
        }
        written.last = sent.seq;
        self.queues.insert(queue.id, written);
        let (_, _, entry) =
            self.entry.get_or_insert_with(|| (found.position, time, EntryBuilder::new()));
        entry.extend(&gone);
        let message = Sent { position: self.writer.next, ..*sent };
        entry.append(|out| match found.record {
            Record::Moved(moved) => out.moved(&Moved { message, ..moved }),
            _ => out.sent(&message),
        });
        Ok(())
    }

    fn hole(&mut self, _: &Hole) -> Result<(), OpenError> {
        Ok(())
    }

    fn damage(&mut self, _: Damage) {}
}

/// Writes entries, and begins segments.
struct Writer<'p> {
    place: Place<'p>,
    output: Option<(Position, Output)>,
    /// Bytes of the segment, with what is not written yet.
    bytes: u64,
    /// The next entry's position.
    next: Position,
    /// When the segment begins.
    created: LogTime,
    /// The last entry's time.
    time: LogTime,
    listed: Vec<ListedSegment>,
}

impl<'p> Writer<'p> {
    fn new(place: Place<'p>) -> Self {
        let (next, time) = (Position(1), LogTime(0));
        Self { place, output: None, bytes: 0, next, created: time, time, listed: Vec::new() }
    }

    fn add(&mut self, records: EntryBuilder, time: LogTime) -> Result<(), DiskError> {
        if records.is_empty() {
            return Ok(());
        }
        let bytes = entry_bytes(records.body_bytes() as u64);
        let (position, time) = (self.next, time.max(self.time));
        let is_full = self.bytes + bytes > self.place.segment_bytes;
        let is_old = time.ms_since(self.created) >= SEGMENT_AGE_MS_MAX;
        if self.output.is_some() && (is_full || is_old) {
            self.end_segment()?;
        }
        let Place { disk, data, store, .. } = self.place;
        if self.output.is_none() {
            let path = names::compaction(data);
            let file = disk.create(&path)?;
            let (first, last, created) = (position, position, time);
            let identity = Identity { store, first, last, generation: GENERATION, created };
            self.output = Some((first, Output::new(disk, file, path, identity)?));
            self.bytes = SEGMENT_HEADER_BYTES;
            self.created = created;
        }
        let (_, output) = self.output.as_mut().expect("it was made above");
        output.add(&EntryHeader::without_body(position, time), records)?;
        self.bytes += bytes;
        self.next = position.next();
        self.time = time;
        Ok(())
    }

    fn end_segment(&mut self) -> Result<(), DiskError> {
        let Some((first, mut output)) = self.output.take() else { return Ok(()) };
        let Place { disk, data, .. } = self.place;
        let (segment, bytes) = output.finish(disk, data, self.time, EntryBuilder::new())?;
        let sealed = Some(Sealed { bytes, last: self.next.previous() });
        let (generation, salt) = (GENERATION, segment.salt);
        self.listed.push(ListedSegment { first, generation, salt, sealed, pages: 0 });
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<ListedSegment>, DiskError> {
        self.end_segment()?;
        Ok(self.listed)
    }
}
