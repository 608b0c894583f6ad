//! What of a group's records is still needed.
//!
//! The rule for each kind: a record stays if replaying the log without it could come to another
//! state. What is gone stays gone, and what was superseded stays superseded, so a view that is a
//! little old only keeps too much.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Views;
use super::skips::skips;
use crate::broken::{Mistake, makes};
use crate::command::ProducerBatch;
use crate::ids::{LeaseId, Position, QueueId, RedriveId, Seq};
use crate::index::BadBlock;
use crate::log::scan::Skip;
use crate::pace::Pace;
use crate::record::{EncodedAttributes, Lease, LeaseList, List, Moved, Record, RecordWriter, Sent};
use crate::state::frozen::FrozenQueue;
use crate::state::past::{Expiry, Swept};
use crate::state::redrives::Redrive;
use crate::time::LogTime;
use crate::upkeep::SealedSegment;

/// Judges the records of one group, in their order.
#[derive(Debug)]
pub(super) struct Judge {
    views: Arc<Views>,
    /// The segments before the group.
    older: Vec<SealedSegment>,
    /// For each queue that was asked for, which of those have messages of it: where these begin
    /// and end, and the segment.
    present: HashMap<QueueId, Vec<(Seq, Seq, usize)>>,
    /// Queues that are gone and were created in the group.
    created: BTreeSet<QueueId>,
    /// The greatest number of a queue that was deleted in the group.
    deleted_max: QueueId,
    /// For each queue, the number behind the last message that was left out, and behind the last
    /// that stayed.
    left_out: BTreeMap<QueueId, Seq>,
    kept: HashMap<QueueId, Seq>,
}

/// The index of an older segment is damaged: it must be made anew first.
#[derive(Debug)]
pub(super) struct BadIndex {
    pub(super) segment: Position,
    pub(super) block: BadBlock,
}

impl Judge {
    pub(super) fn new(views: Arc<Views>, older: Vec<SealedSegment>) -> Self {
        Self {
            views,
            older,
            present: HashMap::new(),
            created: BTreeSet::new(),
            deleted_max: QueueId(0),
            left_out: BTreeMap::new(),
            kept: HashMap::new(),
        }
    }

    /// What of a segment of the group need not be read: it is judged with this.
    pub(super) fn skips(
        &mut self,
        sealed: &SealedSegment,
        bytes_min: u64,
        pace: &Pace,
    ) -> Vec<Skip> {
        let views = Arc::clone(&self.views);
        skips(sealed, &views, bytes_min, pace, |queue, next| self.leave_out(queue, next))
    }

    /// Writes what is needed of `record`.
    pub(super) fn write_needed(
        &mut self,
        record: &Record<'_>,
        out: &mut RecordWriter<'_>,
    ) -> Result<(), BadIndex> {
        match *record {
            // An opening changes nothing; the manifest counts them.
            Record::Opened { .. } => {}
            Record::QueueCreated { queue, time, attributes, name } => {
                match self.views.queues.contains_key(&queue) {
                    true => out.queue_created(queue, time, &attributes.changes(), name),
                    false => drop(self.created.insert(queue)),
                }
            }
            Record::QueueChanged { queue, time, attributes } => {
                self.write_changed(queue, time, attributes, out);
            }
            Record::QueuePurged { queue, through, time } => {
                if self.is_purge_needed(queue, through, time) {
                    out.queue_purged(queue, through, time);
                }
            }
            Record::Expired { queue, below, time, late_before } => {
                if self.is_expiry_needed(queue, Expiry { below, at: time, late_before }) {
                    out.expired(queue, below, time, late_before);
                }
            }
            Record::QueueDeleted { queue } => {
                self.deleted_max = self.deleted_max.max(queue);
                // Its creation may be in a segment before the group.
                if !self.created.contains(&queue) && !self.older.is_empty() {
                    out.queue_deleted(queue);
                }
            }
            Record::Sent(ref sent) => self.write_sent(sent, out),
            Record::Produced { queue, producer, batch, oldest, first, count, time } => {
                if self.view(queue).is_some_and(|view| view.producers.knows(producer, batch)) {
                    let batch = ProducerBatch { producer, number: batch, oldest };
                    out.produced(queue, batch, first, count, time);
                }
            }
            Record::Deduplicated { queue, seq, key, time } => {
                if self.view(queue).is_some_and(|view| view.deduplication.has(seq)) {
                    out.deduplicated(queue, seq, key, time);
                }
            }
            Record::Compacted { queue, next } => {
                if self.views.queues.contains_key(&queue) {
                    self.leave_out(queue, next);
                }
            }
            Record::Leased { queue, time, until, first_lease, messages } => {
                if let Some(view) = self.view(queue) {
                    write_leased(view, time, until, first_lease, messages, out);
                }
            }
            Record::LeaseChanged { queue, changes } => {
                if let Some(view) = self.view(queue) {
                    write_lease_changed(view, changes, out);
                }
            }
            Record::Returned { queue, until, is_counted, reason, messages } => {
                if let Some(view) = self.view(queue) {
                    write_returned(view, until, is_counted, reason, messages, out);
                }
            }
            Record::Acked { queue, messages } => self.write_acked(queue, messages, out)?,
            Record::Moved(ref moved) => self.write_moved(moved, out)?,
            Record::RedriveStarted(ref started) => {
                if self.redrive(started.redrive).is_some() {
                    out.redrive_started(started);
                }
            }
            Record::RedriveEnded(ref ended) => {
                if self.redrive(ended.redrive).is_some() {
                    out.redrive_ended(ended);
                }
            }
        }
        Ok(())
    }

    fn view(&self, queue: QueueId) -> Option<&FrozenQueue> {
        self.views.queues.get(&queue)
    }

    /// What an attribute is not any more was changed again by a later record.
    fn write_changed(
        &self,
        queue: QueueId,
        time: LogTime,
        attributes: EncodedAttributes<'_>,
        out: &mut RecordWriter<'_>,
    ) {
        let Some(view) = self.view(queue) else { return };
        let mut changes = attributes.changes();
        changes.retain_current(&view.attributes);
        // A replay tells copies by the window of that time.
        if view.attributes.fifo {
            changes.deduplication_window_ms = attributes.changes().deduplication_window_ms;
        }
        if time == view.modified || changes.iter().next().is_some() {
            out.queue_changed(queue, time, &changes);
        }
    }

    fn is_purge_needed(&mut self, queue: QueueId, through: Seq, time: Option<LogTime>) -> bool {
        let Some(view) = self.views.queues.get(&queue) else { return false };
        // The newest is remembered.
        let is_last =
            time.is_some_and(|at| view.messages.past.last_purge == Some(Swept { through, at }));
        // It has emptied the deduplication window too, of which an older segment may tell.
        let is_fifo = view.attributes.fifo && !self.older.is_empty();
        let present = self.present(queue);
        is_last || is_fifo || present.first().is_some_and(|(first, _, _)| *first <= through)
    }

    fn is_expiry_needed(&mut self, queue: QueueId, this: Expiry) -> bool {
        let Some(view) = self.views.queues.get(&queue) else { return false };
        let Expiry { below, late_before, .. } = this;
        // A newer one ends whatever this one ended, unless retention was lengthened between.
        let says_more = |last: Expiry| below > last.below || late_before > last.late_before;
        match view.messages.past.last_expiry {
            Some(last) if last == this => true,
            last if last.is_none_or(says_more) => {
                let is_late = late_before > LogTime(0);
                let present = self.present(queue);
                present.first().is_some_and(|(first, _, _)| is_late || *first < below)
            }
            _ => false,
        }
    }

    /// Of a message that is gone its key is left, as long as the deduplication window has it.
    fn write_sent(&mut self, sent: &Sent<'_>, out: &mut RecordWriter<'_>) {
        let Some(view) = self.views.queues.get(&sent.queue) else { return };
        if view.messages.is_live(sent.seq) {
            out.sent(sent);
            self.kept.insert(sent.queue, sent.seq.next());
            return;
        }
        if let Some((key, time)) = sent.deduplication
            && view.deduplication.has(sent.seq)
            && !makes(Mistake::CopiesForgotten)
        {
            out.deduplicated(sent.queue, sent.seq, key, time);
        }
        self.leave_out(sent.queue, sent.seq.next());
    }

    fn write_acked(
        &mut self,
        queue: QueueId,
        messages: List<'_, Seq>,
        out: &mut RecordWriter<'_>,
    ) -> Result<(), BadIndex> {
        let mut needed = Vec::new();
        for seq in messages.iter() {
            if self.may_come_back(queue, seq)? {
                needed.push(seq);
            }
        }
        if !needed.is_empty() {
            out.acked(queue, &needed);
        }
        Ok(())
    }

    /// Of a move, the message stays if it is in the queue that it went to. If it is not, what is
    /// left is what the move ended, and how far the redrive had come.
    fn write_moved(
        &mut self,
        moved: &Moved<'_>,
        out: &mut RecordWriter<'_>,
    ) -> Result<(), BadIndex> {
        let Sent { queue, seq, .. } = moved.message;
        if let Some(view) = self.views.queues.get(&queue) {
            if view.messages.is_live(seq) {
                out.moved(moved);
                self.kept.insert(queue, seq.next());
                return Ok(());
            }
            self.leave_out(queue, seq.next());
        }
        if self.may_come_back(moved.from_queue, moved.from_seq)? {
            out.acked(moved.from_queue, &[moved.from_seq]);
        }
        if let Some((id, count)) = moved.redrive
            && let Some(redrive) = self.redrive(id)
            && redrive.end.is_none()
            && redrive.moved == count
        {
            out.redrive_started(&redrive.as_started());
        }
        Ok(())
    }

    /// A redrive, if it is remembered.
    fn redrive(&self, id: RedriveId) -> Option<&Redrive> {
        self.views.queues.get(&id.queue())?.redrives.get(id)
    }

    /// Writes what stands for all that was left out: the next numbers of queues whose last
    /// messages are gone, and of the next queue.
    pub(super) fn write_rest(&self, out: &mut RecordWriter<'_>) {
        for (queue, next) in &self.left_out {
            let is_behind = self.kept.get(queue).is_none_or(|kept| kept < next);
            if is_behind && !makes(Mistake::NumberForgotten) {
                out.compacted(*queue, *next);
            }
        }
        let newest = self.views.queues.last_key_value().map(|(queue, _)| *queue);
        if self.deleted_max > newest.unwrap_or_default() {
            out.queue_deleted(self.deleted_max);
        }
    }

    fn leave_out(&mut self, queue: QueueId, next: Seq) {
        let left_out = self.left_out.entry(queue).or_default();
        *left_out = next.max(*left_out);
    }

    /// Whether a message that was acked is still in a segment before the group.
    fn may_come_back(&mut self, queue: QueueId, seq: Seq) -> Result<bool, BadIndex> {
        if !self.views.queues.contains_key(&queue) || makes(Mistake::AckForgotten) {
            return Ok(false);
        }
        let present = self.present(queue);
        let after = present.partition_point(|(first, _, _)| *first <= seq);
        let Some((_, last, at)) = after.checked_sub(1).and_then(|at| present.get(at)).copied()
        else {
            return Ok(false);
        };
        if last < seq {
            return Ok(false);
        }
        let older = &self.older[at];
        older
            .index
            .contains(queue, seq)
            .map_err(|block| BadIndex { segment: older.segment.first, block })
    }

    fn present(&mut self, queue: QueueId) -> &[(Seq, Seq, usize)] {
        let older = &self.older;
        self.present.entry(queue).or_insert_with(|| {
            let rows = older.iter().enumerate();
            rows.filter_map(|(at, sealed)| {
                let row = sealed.index.row(queue)?;
                Some((row.first, row.last, at))
            })
            .collect()
        })
    }
}

/// Of a message's leases the newest one counts, and the first one for its time.
fn write_leased(
    view: &FrozenQueue,
    time: LogTime,
    until: LogTime,
    first_lease: LeaseId,
    messages: LeaseList<'_>,
    out: &mut RecordWriter<'_>,
) {
    let is_needed = |seq: Seq, lease: LeaseId| {
        let held = view.messages.held(seq);
        held.is_some_and(|held| held.lease == lease || held.first_received == time)
            && !makes(Mistake::LeaseForgotten)
    };
    // The leases of a record follow one another: what is left out ends one record and begins
    // another.
    let mut run: Vec<Lease> = Vec::new();
    let mut run_lease = first_lease;
    for (offset, message) in (0..).zip(messages.iter()) {
        let lease = first_lease.plus(offset);
        if is_needed(message.seq, lease) {
            if run.is_empty() {
                run_lease = lease;
            }
            run.push(message);
        } else if !run.is_empty() {
            out.leased(view.id, time, until, run_lease, &run);
            run.clear();
        }
    }
    if !run.is_empty() {
        out.leased(view.id, time, until, run_lease, &run);
    }
}

/// Of the times at which a lease ends the last counts.
fn write_lease_changed(
    view: &FrozenQueue,
    changes: List<'_, (Seq, LogTime)>,
    out: &mut RecordWriter<'_>,
) {
    let is_last = |seq, until| view.messages.held(seq).is_some_and(|held| held.until == until);
    let needed: Vec<_> = changes.iter().filter(|(seq, until)| is_last(*seq, *until)).collect();
    out.lease_changed(view.id, &needed);
}

/// When the lease ends, whether it counts, and why the message was given back may each have been said again
/// since.
fn write_returned(
    view: &FrozenQueue,
    until: LogTime,
    is_counted: bool,
    reason: &str,
    messages: List<'_, Seq>,
    out: &mut RecordWriter<'_>,
) {
    let is_last = |seq: &Seq| {
        let messages = &view.messages;
        messages.held(*seq).is_some_and(|held| held.until == until)
            || messages.given_back(*seq).is_some_and(|known| known.is_of(is_counted, reason))
    };
    let needed: Vec<_> = messages.iter().filter(is_last).collect();
    if !needed.is_empty() {
        out.returned(view.id, until, is_counted, reason, &needed);
    }
}
