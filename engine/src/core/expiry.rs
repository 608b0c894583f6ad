//! Retention: what is older than its queue keeps it is removed.
//!
//! Before a command looks at a queue, what has expired there is removed ([`Core::expire`]). So nobody
//! sees it, whenever that is. For a quiet queue there is an alarm, so that its space comes back too.
//!
//! Sent times ascend with a queue's numbers, so what has expired is a prefix, found by halves and removed
//! by one record. Dead letters keep older times: each is in a stretch of time ([`Late`]), about a minute.
//! Whole stretches go at once; of the one that is expiring the messages are known by their times
//! ([`Ripe`]), and go one by one, like acked ones. Where they cannot, because there is no room to say so
//! or because there are too many of them, whoever comes upon one that has expired passes over it.
//!
//! Nothing here is stored. What retention removed is, so replay reads no clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::room::{ACKED_ITEM_BYTES, EXPIRED_BYTES, HEADERS_BYTES};
use super::{Core, LAST_BYTES};
use crate::command::ReplyTo;
use crate::ids::{QueueId, Seq};
use crate::index::BrokenIndex;
use crate::state::Queue;
use crate::state::State;
use crate::state::late::Late;
use crate::time::LogTime;

/// Alarms go off at whole minutes, so that the queues in which something expires all the time share an
/// entry a minute.
const ALARM_MS: u64 = 60_000;

/// What could not be done is tried again after so long.
const REST_MS: u64 = 1_000;

/// So many queues are looked at when alarms go off, then others have their turn.
const QUEUES_A_TICK: usize = 64;

/// So many messages are looked at one by one at once, among dead letters.
const LOOKS_MAX: usize = 1 << 16;

/// Of so many messages of a stretch the times are known, at the most.
const RIPE_MAX: u64 = 1 << 16;

/// So many of them go in one record.
const RIPE_A_RECORD: usize = 256;

/// The late messages of the stretch that is expiring.
#[derive(Debug, Default)]
struct Ripe {
    stretch: u64,
    /// The last one whose time was looked up. Those behind it came since, or are not durable yet.
    last: Seq,
    /// Those that have not expired.
    by_sent: BTreeSet<(LogTime, Seq)>,
}

/// When something may expire.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    /// The queues in which something will.
    queues: HashMap<QueueId, Due>,
    alarms: BTreeSet<(LogTime, QueueId)>,
    ripe: HashMap<QueueId, Ripe>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    /// Nothing expires before this.
    from: LogTime,
    alarm: LogTime,
}

impl Expiries {
    /// As it is after an opening: nothing is known of when, so each queue is looked at soon.
    pub(super) fn of(state: &State) -> Self {
        let mut expiry = Self::default();
        for queue in state.queues() {
            expiry.look_at(queue);
        }
        expiry
    }

    /// The queue is looked at as soon as there is time for it, unless nothing can expire there.
    pub(super) fn look_at(&mut self, queue: &Queue) {
        match queue.attributes.expires_at(LogTime(0)).and(queue.messages.first()) {
            Some(_) => self.set(queue.id, LogTime(0), LogTime(0)),
            None => self.forget(queue.id),
        }
    }

    /// A message comes that was sent then.
    pub(super) fn message_comes(&mut self, queue: &Queue, sent: LogTime) {
        let Some(at) = queue.attributes.expires_at(sent) else { return };
        if self.queues.get(&queue.id).is_none_or(|due| at < due.from) {
            self.set_from(queue.id, at);
        }
    }

    pub(super) fn forget(&mut self, queue: QueueId) {
        self.ripe.remove(&queue);
        if let Some(due) = self.queues.remove(&queue) {
            self.alarms.remove(&(due.alarm, queue));
        }
    }

    /// Nothing expires in the queue before this.
    pub(super) fn next_of(&self, queue: QueueId) -> Option<LogTime> {
        self.queues.get(&queue).map(|due| due.from)
    }

    fn is_due(&self, queue: QueueId, now: LogTime) -> bool {
        self.next_of(queue).is_some_and(|from| from <= now)
    }

    fn set_from(&mut self, queue: QueueId, from: LogTime) {
        self.set(queue, from, LogTime(from.0.next_multiple_of(ALARM_MS)));
    }

    fn set(&mut self, queue: QueueId, from: LogTime, alarm: LogTime) {
        if let Some(before) = self.queues.insert(queue, Due { from, alarm }) {
            self.alarms.remove(&(before.alarm, queue));
        }
        self.alarms.insert((alarm, queue));
    }

    /// A queue whose alarm has gone off, and goes off again unless something is done about it.
    fn take_alarm(&mut self, now: LogTime) -> Option<QueueId> {
        let (_, queue) = self.alarms.first().filter(|(alarm, _)| *alarm <= now).copied()?;
        let from = self.queues[&queue].from;
        self.set(queue, from, now.plus_ms(REST_MS));
        Some(queue)
    }

    /// When the first alarm goes off.
    pub(super) fn next_alarm(&self) -> Option<LogTime> {
        self.alarms.first().map(|(alarm, _)| *alarm)
    }
}

impl<R: ReplyTo> Core<R> {
    /// Removes what has expired in the queue, if anything has, and gives what that lets go on to those
    /// who wait.
    pub(super) fn expire(&mut self, id: QueueId, now: LogTime) {
        if self.expiry.is_due(id, now) {
            self.serve(id, now);
        }
    }

    /// A queue's retention may have changed.
    pub(super) fn look_at_retention(&mut self, id: QueueId) {
        self.expiry.look_at(self.state.get(id).expect("the caller found the queue"));
    }

    /// A message came that was sent then.
    pub(super) fn message_came(&mut self, id: QueueId, sent: LogTime) {
        self.expiry.message_comes(self.state.get(id).expect("it has the message"), sent);
    }

    /// Removes what has expired in queues where nobody asks.
    pub(super) fn tick_expiry(&mut self, now: LogTime) {
        for _ in 0..QUEUES_A_TICK {
            let Some(queue) = self.expiry.take_alarm(now) else { return };
            self.serve(queue, now);
        }
    }

    /// Removes what has expired wherever something has.
    pub(super) fn expire_everywhere(&mut self, now: LogTime) {
        let due = self.expiry.queues.iter().filter(|(_, due)| due.from <= now);
        let mut queues: Vec<_> = due.map(|(queue, _)| *queue).collect();
        // In order, so that the same commands make the same log.
        queues.sort_unstable();
        for queue in queues {
            self.serve(queue, now);
        }
    }

    /// Whether a message has expired that may not have been removed yet: it came late, or there was no
    /// room to say so.
    pub(super) fn has_expired(&mut self, id: QueueId, seq: Seq, now: LogTime) -> bool {
        let queue = self.state.get(id).expect("the caller found the queue");
        let Some(expired) = queue.attributes.expired_by(now) else { return false };
        let sent = match queue.messages.may_be_late(seq) || self.expiry.is_due(id, now) {
            true => self.index.group(id, seq).ok().flatten().map(|(_, sent)| sent),
            false => None,
        };
        sent.is_some_and(|sent| sent <= expired)
    }

    /// Removes what has expired in the queue, as far as there is room to say so.
    pub(super) fn remove_expired(&mut self, id: QueueId, now: LogTime) {
        if !self.expiry.is_due(id, now) {
            return;
        }
        // What the command itself takes was counted without this.
        if !self.has_room_now(self.command_bytes + EXPIRED_BYTES, LAST_BYTES / 2) {
            return;
        }
        if self.remove_expired_with_room(id, now).is_err() {
            // What a damaged index hides is looked at when that was made anew.
            self.expiry.set(id, now.plus_ms(REST_MS), now.plus_ms(REST_MS));
        }
    }

    fn remove_expired_with_room(&mut self, id: QueueId, now: LogTime) -> Result<(), BrokenIndex> {
        let queue = self.state.by_id(id).expect("a queue that is deleted has no alarm");
        let Some(expired) = queue.attributes.expired_by(now) else {
            self.look_again(id, now);
            return Ok(());
        };
        // Those that go with their stretch need not be looked at.
        let late_before = match queue.messages.late().is_empty() {
            true => LogTime(0),
            false => Late::end_by(expired),
        };
        if queue.messages.has_late_before(late_before) {
            let below = queue.messages.past().last_expiry.map_or(Seq(0), |last| last.below);
            self.record_expired(id, below, now, late_before);
        }
        let queue = self.state.by_id(id).expect("it was there above");
        queue.messages.forget_late_before(late_before);
        self.remove_ripe(id, expired)?;
        let queue = self.state.by_id(id).expect("it was there above");
        let Some(first) = queue.messages.first() else {
            self.expiry.forget(id);
            return Ok(());
        };
        let below = match queue.messages.may_be_late(first) {
            false => self.index.first_sent_after(id, expired)?,
            true => self.walk_expired(id, first, expired)?,
        };
        if below > first {
            self.record_expired(id, below, now, late_before);
        }
        self.look_again(id, now);
        Ok(())
    }

    /// The first message from `first` on that has not expired, where some came late: found one by one,
    /// but for whole segments. Whoever is not late behind it was sent later still.
    fn walk_expired(
        &mut self,
        id: QueueId,
        first: Seq,
        expired: LogTime,
    ) -> Result<Seq, BrokenIndex> {
        let mut below = first.max(self.index.came_by(id, expired));
        for _ in 0..LOOKS_MAX {
            let queue = self.state.get(id).expect("the caller found the queue");
            let Some(seq) = queue.messages.first_from(below) else { break };
            match self.index.group(id, seq)? {
                Some((_, sent)) if sent <= expired => below = seq.next(),
                _ => break,
            }
        }
        Ok(below)
    }

    /// Removes, of the stretch that is expiring, the late messages that have expired, as far as there
    /// is room to say so.
    fn remove_ripe(&mut self, id: QueueId, expired: LogTime) -> Result<(), BrokenIndex> {
        let stretch = Late::stretch_of(expired);
        let messages = &self.state.get(id).expect("the caller found the queue").messages;
        let sent_in = messages.late().sent_in(stretch).filter(|sent_in| sent_in.len() <= RIPE_MAX);
        let Some(sent_in) = sent_in.map(Arc::clone) else {
            self.expiry.ripe.remove(&id);
            return Ok(());
        };
        let known = self.expiry.ripe.entry(id).or_default();
        if known.stretch != stretch {
            *known = Ripe { stretch, ..Ripe::default() };
        }
        // Numbers ascend, also of those that came late.
        let mut new = sent_in.iter();
        new.advance_to(known.last.0 + 1);
        for seq in new.map(Seq) {
            match self.index.group(id, seq)? {
                Some((_, sent)) => drop(known.by_sent.insert((sent, seq))),
                // It is gone.
                None if messages.is_durable(seq) => {}
                // It is in no index yet.
                None => break,
            }
            known.last = seq;
        }
        loop {
            let ripe = &self.expiry.ripe[&id].by_sent;
            let ripe = ripe.iter().take_while(|(sent, _)| *sent <= expired).take(RIPE_A_RECORD);
            let ripe: Vec<_> = ripe.copied().collect();
            let bytes = self.command_bytes + HEADERS_BYTES + ripe.len() as u64 * ACKED_ITEM_BYTES;
            if ripe.is_empty() || !self.has_room_now(bytes, LAST_BYTES / 2) {
                return Ok(());
            }
            let known = self.expiry.ripe.get_mut(&id).expect("it was there above");
            for each in &ripe {
                known.by_sent.remove(each);
            }
            let messages = &self.state.get(id).expect("it was there above").messages;
            let gone = ripe.iter().map(|(_, seq)| *seq).filter(|seq| messages.contains(*seq));
            let gone: Vec<Seq> = gone.collect();
            if !gone.is_empty() {
                self.record(|out| out.acked(id, &gone));
                self.counters.expired_messages.add(gone.len() as u64);
            }
        }
    }

    /// When the first of the late messages expires, or a time before that: reckoned by when it was sent.
    fn first_late(&self, queue: &Queue) -> Option<LogTime> {
        let (stretch, begins, ends) = queue.messages.late().first()?;
        let sent_in = queue.messages.late().sent_in(stretch)?;
        let ripe = self.expiry.ripe.get(&queue.id).filter(|ripe| ripe.stretch == stretch);
        Some(match ripe {
            _ if sent_in.len() > RIPE_MAX => ends,
            None => begins,
            // One of them was not looked up yet.
            Some(ripe) if sent_in.max().is_some_and(|last| ripe.last.0 < last) => begins,
            Some(ripe) => ripe.by_sent.first().map_or(ends, |(sent, _)| *sent),
        })
    }

    fn record_expired(&mut self, id: QueueId, below: Seq, now: LogTime, late_before: LogTime) {
        let messages = |core: &Self| core.state.get(id).map_or(0, |queue| queue.messages.len());
        let before = messages(self);
        self.record(|out| out.expired(id, below, now, late_before));
        self.counters.expired_messages.add(before - messages(self));
    }

    /// Finds out when something expires next in the queue.
    fn look_again(&mut self, id: QueueId, now: LogTime) {
        let queue = self.state.get(id).expect("the caller found the queue");
        let (Some(first), true) =
            (queue.messages.first(), queue.attributes.expires_at(now).is_some())
        else {
            self.expiry.forget(id);
            return;
        };
        // What is not in the index yet is of now.
        let sent = self.index.group(id, first).ok().flatten().map_or(now, |(_, sent)| sent);
        let sent = self.first_late(queue).map_or(sent, |late| late.min(sent));
        let at = queue.attributes.expires_at(sent).expect("it was asked above");
        match at > now {
            true => self.expiry.set_from(id, at),
            // There were too many to look at.
            false => self.expiry.set(id, at, now.plus_ms(1)),
        }
    }
}
