//! The state: every queue, as the records say.
//!
//! [`State::apply`] is the only thing that changes it, live and in recovery; no clock is read and
//! no choice made here. Time makes messages visible ([`queue::Messages::settle`]), which is no
//! change of what is stored.
//!
//! A queue can be [frozen](Queue::freeze) at the end of an entry, and a state restored from such
//! queues goes on as if everything before had been applied.

mod counts;
pub(crate) mod deduplication;
pub(crate) mod delays;
pub(crate) mod frozen;
pub(crate) mod held;
pub(crate) mod late;
pub(crate) mod memory;
pub(crate) mod order;
mod ordered;
pub(crate) mod past;
pub(crate) mod producers;
pub(crate) mod queue;
pub(crate) mod redrives;
pub(crate) mod returns;
pub(crate) mod runs;
mod salvage;
mod sets;
#[cfg(test)]
mod tests;
mod visible;
pub(crate) mod worn;

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use crate::attributes::{AttributeChanges, Attributes};
use crate::command::QueueInfo;
use crate::ids::{Group, Position, QueueId, Seq};
use crate::record::{Moved, Record, Sent};
use crate::time::LogTime;
use deduplication::{Deduplication, Entry};
use frozen::FrozenQueue;
use order::Discipline;
use producers::{Batch, Producers};
use queue::Messages;
use redrives::Redrives;

/// Every queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    queues: BTreeMap<QueueId, Queue>,
    /// The newest queue of each name.
    names: BTreeMap<String, QueueId>,
    /// The greatest number given to a queue: never reused, also after that queue is deleted.
    last_queue: QueueId,
}

/// One queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) id: QueueId,
    pub(crate) name: String,
    pub(crate) created: LogTime,
    pub(crate) modified: LogTime,
    /// Shared with frozen queues and answers until they change.
    pub(crate) attributes: Arc<Attributes>,
    pub(crate) messages: Messages,
    /// In a FIFO queue, which messages were sent of late.
    pub(crate) deduplication: Deduplication,
    /// In any other, which batches have landed.
    pub(crate) producers: Producers,
    /// Of its messages, if it is a dead-letter queue.
    pub(crate) redrives: Redrives,
}

impl State {
    /// Makes the change that a record tells of. A record of a queue that is gone changes nothing:
    /// it was decided before the queue was deleted.
    pub(crate) fn apply(&mut self, record: &Record<'_>) {
        self.apply_to(record, |_| true);
    }

    /// As [`State::apply`], where an index may know the group of a message that was never received. Otherwise all
    /// groups are searched for it, once their order was walked.
    pub(crate) fn apply_with_groups(
        &mut self,
        record: &Record<'_>,
        group_of: impl FnMut(QueueId, Seq) -> Option<Group>,
    ) {
        self.apply_knowing(record, |_| true, group_of);
    }

    /// As [`State::apply`], of what is about queues that are `concerned`: in recovery, a snapshot
    /// may contain what a record says of one queue and not what it says of another.
    pub(crate) fn apply_to(
        &mut self,
        record: &Record<'_>,
        concerned: impl Fn(Option<QueueId>) -> bool,
    ) {
        self.apply_knowing(record, concerned, |_, _| None);
    }

    fn apply_knowing(
        &mut self,
        record: &Record<'_>,
        concerned: impl Fn(Option<QueueId>) -> bool,
        mut group_of: impl FnMut(QueueId, Seq) -> Option<Group>,
    ) {
        if let Record::Moved(moved) = record {
            return self.apply_move(moved, |queue| concerned(Some(queue)));
        }
        if !concerned(record.queue()) {
            return;
        }
        match *record {
            Record::Opened { .. } => {}
            Record::QueueCreated { queue, time, attributes, name } => {
                let attributes = Attributes::as_before().with(&attributes.changes());
                self.insert(Queue::new(queue, name, attributes, time));
            }
            Record::QueueChanged { queue, time, attributes } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.change(&attributes.changes(), time);
                }
            }
            Record::QueuePurged { queue, through, time } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.messages.purged_at(through, time);
                    queue.deduplication = Deduplication::default();
                }
            }
            Record::QueueDeleted { queue } => {
                self.set_last_queue(queue);
                if let Some(queue) = self.queues.remove(&queue)
                    && self.names.get(&queue.name) == Some(&queue.id)
                {
                    self.names.remove(&queue.name);
                }
            }
            Record::Compacted { queue, next } => {
                self.messages(queue, |messages| messages.skip_to(next));
            }
            Record::Sent(sent) => {
                if let Some(queue) = self.queues.get_mut(&sent.queue) {
                    queue.sent(&sent);
                }
            }
            Record::Produced { queue, producer, batch, oldest, first, count, time } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    let batch = Batch { number: batch, first, count };
                    queue.producers.landed(producer, batch, oldest, time);
                }
            }
            Record::Deduplicated { queue, seq, key, time } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.deduplicate(Entry { key, seq, time });
                }
            }
            Record::Leased { queue, time, until, first_lease, messages: leased } => {
                self.messages(queue, |messages| {
                    for (offset, message) in (0..).zip(leased.iter()) {
                        messages.leased(message, first_lease.plus(offset), time, until);
                    }
                });
            }
            Record::LeaseChanged { queue, changes } => {
                self.messages(queue, |messages| {
                    changes.iter().for_each(|(seq, until)| messages.lease_changed(seq, until));
                });
            }
            Record::Acked { queue, messages: acked } => {
                self.messages(queue, |messages| {
                    acked.iter().for_each(|seq| messages.acked(seq, || group_of(queue, seq)));
                });
            }
            Record::Returned { queue, until, is_counted, reason, messages: returned } => {
                let reason = (!reason.is_empty()).then(|| Arc::from(reason));
                self.messages(queue, |messages| {
                    for seq in returned.iter() {
                        messages.given_back(seq, until, is_counted, reason.as_ref());
                    }
                });
            }
            Record::Expired { queue, below, time, late_before } => {
                self.messages(queue, |messages| messages.expired(below, time, late_before));
            }
            Record::Moved(_) => unreachable!("it is about two queues, and applied above"),
            Record::RedriveStarted(ref started) => {
                if let Some(queue) = self.queues.get_mut(&started.redrive.queue()) {
                    queue.redrives.started(started);
                }
            }
            Record::RedriveEnded(ref ended) => {
                if let Some(queue) = self.queues.get_mut(&ended.redrive.queue()) {
                    queue.redrives.ended(ended);
                }
            }
        }
    }

    /// A message ends in one queue and begins in another.
    fn apply_move(&mut self, moved: &Moved<'_>, concerned: impl Fn(QueueId) -> bool) {
        if concerned(moved.from_queue)
            && let Some(queue) = self.queues.get_mut(&moved.from_queue)
        {
            queue.messages.moved_away(moved.from_seq, moved.message.group());
            if let Some((redrive, count)) = moved.redrive {
                queue.redrives.moved(redrive, count);
            }
        }
        if concerned(moved.message.queue)
            && let Some(queue) = self.queues.get_mut(&moved.message.queue)
        {
            queue.sent(&moved.message);
            if moved.sent < moved.time {
                queue.messages.came_late(moved.message.seq, moved.sent);
            }
        }
    }

    /// Adds a queue. In recovery, the replay of a queue that was deleted may come behind the
    /// restoring of a newer one of its name, which keeps the name.
    fn insert(&mut self, queue: Queue) {
        let named = self.names.entry(queue.name.clone()).or_insert(queue.id);
        *named = queue.id.max(*named);
        self.set_last_queue(queue.id);
        self.queues.insert(queue.id, queue);
    }

    fn messages(&mut self, queue: QueueId, change: impl FnOnce(&mut Messages)) {
        if let Some(queue) = self.queues.get_mut(&queue) {
            change(&mut queue.messages);
        }
    }

    /// The queue of that name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Queue> {
        self.queues.get(self.names.get(name)?)
    }

    /// The queue of that number.
    pub(crate) fn by_id(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.queues.get_mut(&id)
    }

    /// The queue of that number, to be looked at.
    pub(crate) fn get(&self, id: QueueId) -> Option<&Queue> {
        self.queues.get(&id)
    }

    /// All of them.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.queues.values()
    }

    /// The redrives that run.
    pub(crate) fn running_redrives(&self) -> impl Iterator<Item = &redrives::Redrive> {
        self.queues.values().filter_map(|queue| queue.redrives.running())
    }

    /// The number that the next queue gets.
    pub(crate) fn next_queue(&self) -> QueueId {
        self.last_queue.next()
    }

    /// The greatest number given to a queue so far; 0 if there never was one.
    pub(crate) fn last_queue(&self) -> QueueId {
        self.last_queue
    }

    /// Numbers up to this one were given to queues, which may all be gone.
    pub(crate) fn set_last_queue(&mut self, last: QueueId) {
        self.last_queue = self.last_queue.max(last);
    }

    /// Whether there is a queue of that number.
    pub(crate) fn contains(&self, id: QueueId) -> bool {
        self.queues.contains_key(&id)
    }

    /// At most `max` queues as they are now, at the end of the entry at `position`: those whose
    /// numbers come after `after`, in their order.
    pub(crate) fn freeze_after(
        &self,
        after: QueueId,
        max: usize,
        position: Position,
    ) -> Vec<FrozenQueue> {
        let queues = self.queues.range((Excluded(after), Unbounded)).take(max);
        queues.map(|(_, queue)| queue.freeze(position)).collect()
    }

    /// Adds a queue as it was frozen.
    pub(crate) fn restore(&mut self, queue: FrozenQueue) {
        self.insert(queue.into());
    }

    /// Queues whose names start with `prefix` and come after `after`, in the order of names.
    pub(crate) fn list(&self, prefix: &str, after: &str) -> impl Iterator<Item = QueueId> {
        let from = match after >= prefix && !after.is_empty() {
            true => Excluded(after.to_owned()),
            false => Included(prefix.to_owned()),
        };
        self.names
            .range::<String, _>((from, Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(_, id)| *id)
    }

    /// The names after `after` of queues whose dead-letter queue has that name, in order.
    pub(crate) fn dead_letter_sources(
        &self,
        name: &str,
        after: &str,
    ) -> impl Iterator<Item = &str> {
        let queues = self.list("", after).map(|id| &self.queues[&id]);
        queues
            .filter(move |queue| queue.attributes.dead_letter_queue == name)
            .map(|queue| queue.name.as_str())
    }

    /// Everything that was applied is durable: it was read from the log.
    pub(crate) fn all_durable(&mut self) {
        self.queues.values_mut().for_each(|queue| queue.messages.all_durable());
    }

    /// How many queues there are, and how many messages in them.
    pub(crate) fn totals(&self) -> (usize, u64) {
        (self.queues.len(), self.queues.values().map(|queue| queue.messages.len()).sum())
    }
}

impl Queue {
    /// An empty queue, created at that time.
    fn new(id: QueueId, name: &str, attributes: Attributes, created: LogTime) -> Self {
        let mut messages = Messages::default();
        if attributes.fifo {
            messages.set_order(Discipline::Fifo);
        }
        Self {
            id,
            name: name.to_owned(),
            created,
            modified: created,
            attributes: Arc::new(attributes),
            messages,
            deduplication: Deduplication::default(),
            producers: Producers::default(),
            redrives: Redrives::default(),
        }
    }

    fn change(&mut self, changes: &AttributeChanges, time: LogTime) {
        let attributes = self.attributes.with(changes);
        // The walk has passed messages that a longer delay holds back.
        if attributes.fifo && attributes.delay_ms > self.attributes.delay_ms {
            self.messages.renew_order();
        }
        self.attributes = Arc::new(attributes);
        self.modified = time;
    }

    fn sent(&mut self, sent: &Sent<'_>) {
        self.messages.sent(sent.seq, sent.visible_from);
        if self.messages.order().is_none() && sent.group() != Group::NONE {
            self.messages.set_order(Discipline::Fair);
        }
        if let Some((key, time)) = sent.deduplication {
            self.deduplicate(Entry { key, seq: sent.seq, time });
        }
    }

    fn deduplicate(&mut self, entry: Entry) {
        let window_ms = self.attributes.deduplication_window_ms;
        let since = LogTime(entry.time.0.saturating_sub(window_ms));
        self.deduplication.insert(entry, since);
    }

    /// Attributes and counts; what a FIFO queue's delay holds back counts as waiting here.
    pub(crate) fn info(&self) -> QueueInfo {
        QueueInfo {
            name: self.name.clone(),
            id: self.id,
            created: self.created,
            modified: self.modified,
            attributes: Arc::clone(&self.attributes),
            counts: self.messages.counts(),
            next_seq: self.messages.next_seq(),
        }
    }

    /// The last message's number; 0 if there never was one.
    pub(crate) fn last_seq(&self) -> Seq {
        Seq(self.messages.next_seq().0 - 1)
    }
}
