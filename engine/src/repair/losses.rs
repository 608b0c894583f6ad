//! What is lost with what is damaged, and what has to be said in the new segments so that nothing comes back.
//!
//! Two states are made. One is what an opening would come to: the newest snapshot, and what can be read of the log
//! behind it. The other is what the repaired log alone says. What the first one knows to be gone and the second one
//! has was acked in an entry that is lost: the new segments say so again. What the first one has and the second one
//! has not is lost.

use std::collections::{BTreeMap, BTreeSet};

use super::left::{DamagedStretch, Left, read_left};
use super::lists::entry_header;
use super::{Part, Repair};
use crate::attributes::{AttributeChanges, Attributes, RETENTION_MS_MAX};
use crate::entry::{EntryBuilder, EntryHeader, records};
use crate::error::OpenError;
use crate::ids::{Epoch, Position, QueueId, Seq};
use crate::log::replay::{LogEnd, Replay};
use crate::log::scan::{Scan, Step};
use crate::log::{Known, SegmentHeader};
use crate::record::{Record, RecordWriter};
use crate::recovery::Recovery;
use crate::state::State;
use crate::time::LogTime;

/// Of lost messages so many runs of numbers are told for each queue.
const RUNS_TOLD: usize = 20;

/// What is lost, and what is said again.
#[derive(Debug, Default)]
pub(super) struct Losses {
    lines: Vec<String>,
    /// Queues whose creation is lost: created again before anything else.
    pub(super) created: Vec<Created>,
    /// Goes into the last of the new segments.
    pub(super) said_again: SaidAgain,
}

/// A queue that is created again.
#[derive(Debug)]
pub(super) struct Created {
    queue: QueueId,
    time: LogTime,
    attributes: AttributeChanges,
    name: String,
    /// Whether nothing is known of it but its messages.
    is_guessed: bool,
}

/// What the lost entries said, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct SaidAgain {
    acked: BTreeMap<QueueId, Vec<Seq>>,
    deleted: Vec<QueueId>,
    /// No number up to this one is given again.
    next: BTreeMap<QueueId, Seq>,
    last_queue: QueueId,
}

/// Runs of messages' numbers.
type Runs = BTreeMap<QueueId, Vec<(Seq, Seq)>>;

/// Finds what is lost. `recovery` has read a snapshot, if there is a good one.
pub(super) fn find(repair: &Repair, recovery: Recovery, known: Known) -> Result<Losses, OpenError> {
    let mut walk = Walk::new(recovery, known, Vec::new());
    walk.parts(repair)?;
    let created = walk.created_again();
    if !created.is_empty() {
        // Once more, with the queues that nobody creates any more.
        let (disk, data) = (repair.disk.clone(), &repair.data);
        let mut recovery = Recovery::new(disk, data, repair.store, Default::default());
        recovery.load_snapshot(repair.manifest.compacted_through)?;
        walk = Walk::new(recovery, known, created);
        walk.parts(repair)?;
    }
    Ok(walk.losses())
}

/// Reads everything that is left, in order.
struct Walk {
    recovery: Recovery,
    /// What the snapshot knows.
    known: Known,
    /// What an opening would come to.
    expected: State,
    /// What the log alone says.
    log: State,
    created: Vec<Created>,
    /// Queues that messages were sent to and that were never created.
    orphans: BTreeMap<QueueId, Orphan>,
    deleted: BTreeSet<QueueId>,
    lines: Vec<String>,
    rotten: Runs,
    missing: Runs,
    /// Of each queue, the newest message that was read.
    newest: BTreeMap<QueueId, Seq>,
    /// Queues whose next message may come behind lost ones; whether all between are lost, as it is unless
    /// something was compacted.
    in_doubt: BTreeMap<QueueId, bool>,
    is_any_compacted: bool,
    records_max: u64,
    is_any_lost: bool,
}

/// What is known of a queue without its creation.
#[derive(Debug, Clone, Copy)]
struct Orphan {
    is_fifo: bool,
    /// When and where a message was sent to it first.
    time: LogTime,
    position: Position,
}

impl Walk {
    fn new(recovery: Recovery, known: Known, created: Vec<Created>) -> Self {
        Self {
            recovery,
            known,
            expected: State::default(),
            log: State::default(),
            created,
            orphans: BTreeMap::new(),
            deleted: BTreeSet::new(),
            lines: Vec::new(),
            rotten: Runs::new(),
            missing: Runs::new(),
            newest: BTreeMap::new(),
            in_doubt: BTreeMap::new(),
            is_any_compacted: false,
            records_max: 0,
            is_any_lost: false,
        }
    }

    fn parts(&mut self, repair: &Repair) -> Result<(), OpenError> {
        let mut is_created = false;
        for part in &repair.parts {
            if part.listed.generation > 0 {
                self.is_any_compacted = true;
                self.in_doubt.values_mut().for_each(|is_certain| *is_certain = false);
            }
            if !part.is_damaged {
                self.whole(part)?;
                continue;
            }
            if !is_created {
                is_created = true;
                self.create_again();
            }
            read_left(part, &mut |left| {
                match left {
                    Left::Entry { header, body } => self.entry(header, body),
                    Left::Damaged(stretch) => self.stretch(part, &stretch),
                }
                Ok(())
            })?;
        }
        self.expected = self.recovery.finish(&LogEnd::default()).state;
        Ok(())
    }

    fn whole(&mut self, part: &Part) -> Result<(), OpenError> {
        let Some(file) = &part.file else { return Ok(()) };
        let (salt, first) = (part.listed.salt, part.listed.first);
        let scan = Scan::new(&**file, part.was_active, salt, first, part.bytes);
        let mut scan = scan.with_gaps(part.listed.generation > 0);
        while let Step::Entry { header, body, .. } = scan.step()? {
            self.entry(&header, body);
        }
        Ok(())
    }

    fn entry(&mut self, header: &EntryHeader, body: &[u8]) {
        self.note(body, header.log_time);
        for (record, _, _) in records(body) {
            self.log.apply(&record);
        }
        self.recovery.entry(&no_segment(), 0, header, body);
    }

    fn create_again(&mut self) {
        let mut known = EntryBuilder::new();
        self.created.iter().for_each(|one| drop(known.append(|out| one.write(out))));
        for (record, _, _) in records(known.body()) {
            self.log.apply(&record);
        }
        let mut guessed = EntryBuilder::new();
        let guesses = self.created.iter().filter(|one| one.is_guessed);
        guesses.for_each(|one| drop(guessed.append(|out| one.write(out))));
        // Behind whatever a snapshot has.
        let header = entry_header(Position(u64::MAX), LogTime::default());
        self.recovery.entry(&no_segment(), 0, &header, guessed.body());
    }

    fn stretch(&mut self, part: &Part, stretch: &DamagedStretch) {
        self.is_any_lost = true;
        self.records_max += stretch.records_max;
        let is_certain = part.listed.generation == 0;
        self.in_doubt.extend(self.newest.keys().map(|queue| (*queue, is_certain)));
        for (queue, seq) in &stretch.rotten {
            add(&mut self.rotten, *queue, *seq, *seq);
        }
        let (first, last) = (stretch.first, stretch.next.previous());
        let kept: u64 = stretch.kept.values().map(|kept| records(kept.body()).count() as u64).sum();
        self.lines.push(format!(
            "{}: of entries {first} to {last} at most {} records are lost, {kept} are kept",
            part.path.display(),
            stretch.records_max,
        ));
        for (position, kept) in &stretch.kept {
            self.entry(&entry_header(*position, stretch.log_time), kept.body());
        }
    }

    /// Notes what is missing between messages, and which queues are not there.
    fn note(&mut self, body: &[u8], time: LogTime) {
        for (record, _, _) in records(body) {
            if let Record::QueueDeleted { queue } = record {
                self.deleted.insert(queue);
            }
            let Some(sent) = record.message() else { continue };
            if self.log.get(sent.queue).is_none() {
                let orphan = Orphan { is_fifo: false, time, position: sent.position };
                let orphan = self.orphans.entry(sent.queue).or_insert(orphan);
                orphan.is_fifo |= sent.deduplication.is_some();
            }
            let newest = self.newest.insert(sent.queue, sent.seq);
            let due = newest.map_or(Seq(1), Seq::next);
            let in_doubt = self.in_doubt.remove(&sent.queue);
            let is_first = newest.is_none() && self.is_any_lost && !self.is_any_compacted;
            if in_doubt.unwrap_or(is_first) && due < sent.seq {
                add(&mut self.missing, sent.queue, due, Seq(sent.seq.0 - 1));
            }
        }
    }

    /// Queues whose creation was in a lost entry.
    fn created_again(&self) -> Vec<Created> {
        let known = self.expected.queues().filter(|queue| self.log.get(queue.id).is_none());
        let mut created: Vec<_> = known
            .map(|queue| Created {
                queue: queue.id,
                time: queue.created,
                attributes: queue.attributes.as_changes(),
                name: queue.name.clone(),
                is_guessed: false,
            })
            .collect();
        for (queue, Orphan { is_fifo, time, position }) in &self.orphans {
            let is_known = created.iter().any(|one| one.queue == *queue);
            // A snapshot from behind the message would have the queue.
            let is_gone = self.deleted.contains(queue) || *position <= self.known.position;
            if is_known || is_gone {
                continue;
            }
            let ending = if *is_fifo { ".fifo" } else { "" };
            let attributes = Attributes {
                fifo: *is_fifo,
                retention_ms: RETENTION_MS_MAX,
                ..Attributes::default()
            };
            created.push(Created {
                queue: *queue,
                time: *time,
                attributes: attributes.as_changes(),
                name: format!("lost-{queue}{ending}"),
                is_guessed: true,
            });
        }
        created.sort_by_key(|one| one.queue);
        created
    }

    fn losses(mut self) -> Losses {
        let has_snapshot = self.known.position > Position(0);
        let mut said_again = SaidAgain::default();
        let mut lines = std::mem::take(&mut self.lines);
        for one in &self.created {
            lines.push(format!(
                "the creation of queue {} is lost: it is created again as \"{}\"",
                one.queue, one.name
            ));
        }
        if has_snapshot {
            self.compare(&mut said_again);
        }
        let name = |queue: QueueId| match self.log.get(queue).or(self.expected.get(queue)) {
            Some(known) => format!("queue \"{}\"", known.name),
            None => format!("queue {queue}"),
        };
        for (queue, runs) in &self.rotten {
            lines.push(format!("{}: the bytes of messages {} are lost", name(*queue), told(runs)));
        }
        for (queue, runs) in &self.missing {
            lines.push(format!("{}: messages {} are lost", name(*queue), told(runs)));
        }
        if self.is_any_lost {
            lines.push(match has_snapshot {
                true => "acks, leases and other changes of lost entries are known as far as the newest snapshot \
                         goes; what was acked in them behind it comes again"
                    .to_owned(),
                false => "acks, leases and other changes of lost entries are lost, for there is no good \
                          snapshot: what was acked in them comes again"
                    .to_owned(),
            });
            self.spare_numbers(&mut said_again);
        }
        Losses { lines, created: self.created, said_again }
    }

    /// What an opening would know beside what the log says.
    fn compare(&mut self, said_again: &mut SaidAgain) {
        for queue in self.log.queues() {
            let Some(expected) = self.expected.get(queue.id) else {
                said_again.deleted.push(queue.id);
                continue;
            };
            let mut from = Seq(0);
            while let Some(seq) = queue.messages.first_from(from) {
                if !expected.messages.contains(seq) {
                    said_again.acked.entry(queue.id).or_default().push(seq);
                }
                from = seq.next();
            }
            let mut from = Seq(0);
            while let Some(seq) = expected.messages.first_from(from) {
                if !queue.messages.contains(seq) {
                    add(&mut self.missing, queue.id, seq, seq);
                }
                from = seq.next();
            }
        }
        for runs in self.missing.values_mut() {
            runs.sort_unstable();
            runs.dedup();
        }
    }

    /// Numbers of messages and queues that may have been given in lost entries are not given again.
    fn spare_numbers(&self, said_again: &mut SaidAgain) {
        for queue in self.log.queues() {
            let known = self.expected.get(queue.id).map_or(Seq(1), |one| one.messages.next_seq());
            // What comes behind in the log says more; only the newest numbers are in doubt.
            if self.in_doubt.contains_key(&queue.id) || !self.newest.contains_key(&queue.id) {
                let next = queue.messages.next_seq().max(known);
                said_again.next.insert(queue.id, Seq(next.0 + self.records_max));
            }
        }
        let last = self.log.last_queue().max(self.expected.last_queue());
        // At least one: it is said to be deleted.
        let more = u32::try_from(self.records_max).unwrap_or(u32::MAX / 2).max(1);
        said_again.last_queue = QueueId(last.0.saturating_add(more));
    }
}

impl Losses {
    /// What is lost, a line each.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl Created {
    pub(super) fn write(&self, out: &mut RecordWriter<'_>) {
        out.queue_created(self.queue, self.time, &self.attributes, &self.name);
    }
}

impl SaidAgain {
    pub(super) fn write(&self, out: &mut RecordWriter<'_>) {
        for (queue, seqs) in &self.acked {
            out.acked(*queue, seqs);
        }
        for (queue, next) in &self.next {
            out.compacted(*queue, *next);
        }
        for queue in &self.deleted {
            out.queue_deleted(*queue);
        }
        if self.last_queue > QueueId(0) {
            out.queue_deleted(self.last_queue);
        }
    }
}

fn add(runs: &mut Runs, queue: QueueId, first: Seq, last: Seq) {
    let runs = runs.entry(queue).or_default();
    match runs.last_mut() {
        Some((_, end)) if end.next() == first => *end = last,
        _ => runs.push((first, last)),
    }
}

fn told(runs: &[(Seq, Seq)]) -> String {
    let one = |(first, last): &(Seq, Seq)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    };
    let mut told: Vec<_> = runs.iter().take(RUNS_TOLD).map(one).collect();
    if let Some(more @ 1..) = runs.len().checked_sub(RUNS_TOLD) {
        told.push(format!("and {more} runs more"));
    }
    told.join(", ")
}

/// A recovery asks in which segment an entry is when it makes its index, which this one does not.
fn no_segment() -> SegmentHeader {
    SegmentHeader {
        store: crate::ids::StoreId(uuid::Uuid::nil()),
        first: Position(0),
        generation: 0,
        salt: crate::checksum::Salt(0),
        epoch: Epoch(0),
        created: LogTime::default(),
        capacity: 0,
    }
}
