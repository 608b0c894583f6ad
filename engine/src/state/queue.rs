//! One queue's messages: which are waiting, held back, or gone.
//!
//! ```text
//!              cursor                      next_seq
//!   1 ───────────┼───────────────────────────┤
//!   gone, but    │  the backlog: waiting,     │
//!   for those    │  but for those set apart   │
//!   out of it    │                            │
//! ```
//!
//! Invariants. A message *out of the backlog* is in the queue exactly if it is *held* (received
//! once or more), *delayed*, or *due* (delayed once, never received); it is one of these. Below the
//! cursor every message is out of the backlog; from the cursor on those that are *apart*. So a
//! backlog costs nothing, and only what is in flight, delayed or redelivered takes memory.
//! Everything here is a consequence of the records applied and of the time told to
//! [`Messages::settle`], but for the walk of [`Order`], which knows what the index says.
//!
//! This file has the struct and all that changes it, but for its order (`ordered`). What can be seen is in `visible`,
//! how many messages there are in `counts`.
//!
//! Numbers may be missing from the log: those messages were gone when the compactor left them out,
//! and here they are gone like any others.

use std::collections::BTreeSet;

use roaring::RoaringTreemap;

use super::delays::Delays;
use super::held::{Held, HeldMap};
use super::late::Late;
use super::order::Order;
use super::past::Past;
use super::returns::Returns;
use super::sets::{between, run_end};
use super::worn::Worn;
use crate::broken::{Mistake, makes};
use crate::command::MessageState;
use crate::ids::{Group, LeaseId, Seq};
use crate::record::Lease;
use crate::time::LogTime;

/// A queue's messages.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    /// The next message's number.
    pub(super) next: Seq,
    /// Messages from this one on are not durable yet: nobody may see them.
    pub(super) durable_end: Seq,
    /// The first message of the backlog.
    pub(super) cursor: Seq,
    /// Those from the cursor on that are not in the backlog.
    pub(super) apart: RoaringTreemap,
    /// Messages that were received, and are not gone.
    pub(super) held: HeldMap,
    /// When leases end.
    pub(super) timers: BTreeSet<(LogTime, Seq)>,
    /// Held messages that are visible, ...
    pub(super) returned: RoaringTreemap,
    /// ... but for these.
    pub(super) worn: Worn,
    /// Messages that were never received, and whose delay has not passed, ...
    pub(super) delays: Delays,
    /// ... or has.
    pub(super) due: RoaringTreemap,
    pub(super) damaged: u64,
    /// What consumers said of messages that they gave back, until the messages are gone.
    pub(super) returns: Returns,
    pub(super) past: Past,
    /// Those that were sent before they came.
    pub(super) late: Late,
    /// In a queue whose messages have groups, which of them comes next.
    pub(super) order: Option<Box<Order>>,
    /// Visible messages that are about to go to another queue: nobody gets them meanwhile. No
    /// record says so, and a restart forgets it.
    pub(super) moving: RoaringTreemap,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            next: Seq(1),
            durable_end: Seq(1),
            cursor: Seq(1),
            apart: RoaringTreemap::new(),
            held: HeldMap::default(),
            timers: BTreeSet::new(),
            returned: RoaringTreemap::new(),
            worn: Worn::default(),
            delays: Delays::default(),
            due: RoaringTreemap::new(),
            damaged: 0,
            returns: Returns::default(),
            past: Past::default(),
            late: Late::default(),
            order: None,
            moving: RoaringTreemap::new(),
        }
    }
}

impl Messages {
    /// The number that the next message gets.
    pub(crate) fn next_seq(&self) -> Seq {
        self.next
    }

    /// A message was sent. Those between the newest one and this one are gone.
    pub(crate) fn sent(&mut self, seq: Seq, visible_from: Option<LogTime>) {
        // Every seq of a queue is sent once and in order; one that was purged before it was
        // durable is applied in that order too.
        assert!(seq >= self.next, "message {seq} is sent behind {}", self.next.0 - 1);
        self.skip_to(seq);
        self.next = seq.next();
        if makes(Mistake::SeenBeforeDurable) {
            self.durable_end = self.next;
        }
        if let Some(until) = visible_from {
            self.set_apart(seq);
            self.delays.insert(seq, until);
        }
    }

    /// The messages from the next one on that are less than `next` are gone: they were left out of
    /// the log. The next message's number is at least `next`.
    pub(crate) fn skip_to(&mut self, next: Seq) {
        if next <= self.next {
            return;
        }
        match self.cursor == self.next {
            true => self.cursor = next,
            false => {
                self.apart.insert_range(self.next.0..next.0);
            }
        }
        self.next = next;
    }

    /// Everything sent so far up to `end`, exclusive, is durable.
    pub(crate) fn set_durable_end(&mut self, end: Seq) {
        self.durable_end = self.durable_end.max(end);
    }

    /// Everything sent so far is durable: it was read from the log.
    pub(crate) fn all_durable(&mut self) {
        self.durable_end = self.next;
    }

    /// A message was received.
    pub(crate) fn leased(
        &mut self,
        Lease { seq, receive_count, group }: Lease,
        lease: LeaseId,
        received: LogTime,
        until: LogTime,
    ) {
        if !self.contains(seq) {
            return;
        }
        self.set_apart(seq);
        let first_received = match self.held.get(seq) {
            Some(held) if held.was_received() => held.first_received,
            _ => received,
        };
        let state = MessageState::InFlight { until };
        let held = Held { state, group, until, receive_count, lease, first_received, received };
        self.hold(seq, held);
        self.count_again(seq);
    }

    /// A lease ends at another time.
    pub(crate) fn lease_changed(&mut self, seq: Seq, until: LogTime) {
        if let Some(held) = self.held.get(seq).copied() {
            self.hold(seq, Held { state: MessageState::InFlight { until }, until, ..held });
        }
    }

    /// A message is gone. Its group is asked for if it was never received.
    pub(crate) fn acked(&mut self, seq: Seq, group: impl FnOnce() -> Option<Group>) {
        self.gone(seq, group);
    }

    /// A message of this group is in another queue now.
    pub(crate) fn moved_away(&mut self, seq: Seq, group: Group) {
        self.gone(seq, || Some(group));
    }

    fn gone(&mut self, seq: Seq, group: impl FnOnce() -> Option<Group>) {
        if seq < self.next {
            self.set_apart(seq);
            self.release(seq, group);
        }
    }

    /// Several messages are gone, whose groups are not told.
    pub(super) fn all_gone(&mut self, gone: &[Seq]) {
        // Where there are many, their groups are sooner found by walking the backlog anew.
        let order = if gone.len() > FORGOTTEN_MAX { self.order.take() } else { None };
        gone.iter().for_each(|seq| self.gone(*seq, || None));
        if let Some(order) = order {
            self.set_order(order.discipline());
        }
    }

    /// Every message up to `through` is gone.
    pub(crate) fn purged(&mut self, through: Seq) {
        self.swept(through);
    }

    /// Every message up to `through` is gone, whatever took it.
    pub(super) fn swept(&mut self, through: Seq) {
        let through = through.min(Seq(self.next.0 - 1));
        let are_all = self.held.range(through.next()..).next().is_none();
        let is_any_moving = self.moving.min().is_some_and(|first| first <= through.0);
        // Those of others than what is held.
        let finds_groups = is_any_moving || are_all && self.held.len() > 0;
        if are_all {
            self.release_held();
        } else {
            let gone: Vec<Seq> = self.held.range(..=through).map(|(seq, _)| seq).collect();
            for seq in gone {
                self.release(seq, || None);
            }
        }
        if !makes(Mistake::PurgeHalfDone) {
            self.delays.remove_through(through);
        }
        self.due.remove_range(..=through.0);
        self.returns.remove_through(through);
        self.late.remove_through(through);
        self.moving.remove_range(..=through.0);
        if let Some(order) = &mut self.order {
            order.purge(through, !finds_groups);
        }
        if self.cursor <= through {
            self.cursor = through.next();
            self.apart.remove_range(..self.cursor.0);
            self.advance_cursor();
        }
    }

    /// A message's stored bytes are damaged: nobody gets it.
    pub(crate) fn damaged(&mut self, seq: Seq) {
        if !self.contains(seq) {
            return;
        }
        self.set_apart(seq);
        self.moving.remove(seq.0);
        let held = self.held.get(seq).copied();
        // Its lease was lost in a crash, which is rare.
        if held.is_none()
            && let Some(order) = &mut self.order
        {
            order.forget_wherever(seq);
        }
        self.hold(seq, Held { state: MessageState::Damaged, ..held.unwrap_or(Held::new()) });
    }

    /// Makes visible what time has made visible. Must be told before anything is asked.
    pub(crate) fn settle(&mut self, now: LogTime) {
        while let Some(seq) = self.delays.take_due(now) {
            self.due.insert(seq.0);
            if let Some(order) = &mut self.order {
                order.stray(seq);
            }
        }
        while let Some((until, seq)) = self.timers.first().copied()
            && until <= now
        {
            let held = *self.held.get(seq).expect("a timer belongs to a held message");
            self.hold(seq, Held { state: MessageState::Waiting, ..held });
        }
        // Whoever asks next walks on. A time that has passed would be an alarm for ever.
        if let Some(order) = &mut self.order
            && order.rests_until().is_some_and(|until| until <= now)
        {
            order.rest_until(None);
        }
    }

    /// When time makes something visible next, or has something to be moved on.
    pub(crate) fn next_timer(&self) -> Option<LogTime> {
        let (lease, walk) = (self.first_lease_ends(), self.next_walk());
        lease.into_iter().chain(self.delays.next()).chain(walk).min()
    }

    /// A waiting message is about to go to another queue: nobody gets it, and its group waits.
    pub(crate) fn set_moving(&mut self, seq: Seq, group: Group, now: LogTime) {
        self.moving.insert(seq.0);
        if let Some(order) = &mut self.order {
            order.hide(group, seq, now);
        }
    }

    /// It does not go, or has gone; whether it still can.
    pub(crate) fn end_moving(&mut self, seq: Seq, group: Group) -> bool {
        if !self.moving.remove(seq.0) {
            return false;
        }
        // Meanwhile its last consumer may have acked it, or asked for more time.
        let is_visible = match self.held.get(seq) {
            Some(held) => held.state == MessageState::Waiting,
            None => self.contains(seq) && !self.is_delayed(seq),
        };
        if is_visible && let Some(order) = &mut self.order {
            order.show(group, seq, self.held.get(seq).and_then(Held::last_received));
        }
        is_visible
    }

    /// Whether a message is about to go to another queue.
    pub(crate) fn is_moving(&self, seq: Seq) -> bool {
        self.moving.contains(seq.0)
    }

    /// The first message that is in the queue, durable or not.
    pub(crate) fn first(&self) -> Option<Seq> {
        self.first_from(Seq(0))
    }

    /// The same of those from `from` on.
    pub(crate) fn first_from(&self, from: Seq) -> Option<Seq> {
        let held = self.held.range(from..).next().map(|(seq, _)| seq);
        let delayed = between(self.delays.seqs(), from, self.next).next();
        let due = between(&self.due, from, self.next).next();
        let backlog = run_end(&self.apart, from.max(self.cursor));
        let backlog = (backlog < self.next).then_some(backlog);
        [held, delayed, due, backlog].into_iter().flatten().min()
    }

    /// The last message that may be seen; 0 if there was none.
    pub(crate) fn last_durable(&self) -> Seq {
        Seq(self.durable_end.0 - 1)
    }

    /// What is held of a message; `None` when it was never received, or is gone.
    pub(crate) fn held(&self, seq: Seq) -> Option<&Held> {
        self.held.get(seq)
    }

    /// When a message was last received, if it was.
    pub(crate) fn last_received(&self, seq: Seq) -> LogTime {
        self.held.get(seq).and_then(Held::last_received).unwrap_or_default()
    }

    /// When the first lease ends.
    pub(crate) fn first_lease_ends(&self) -> Option<LogTime> {
        self.timers.first().map(|(until, _)| *until)
    }

    /// When the first delay passes, or a time before that (see [`Delays::first`]).
    pub(crate) fn first_due(&self) -> Option<LogTime> {
        self.delays.first()
    }

    /// Whether everything up to the message is durable.
    pub(crate) fn is_durable(&self, seq: Seq) -> bool {
        seq < self.durable_end
    }

    /// Whether the message's delay has not passed.
    pub(crate) fn is_delayed(&self, seq: Seq) -> bool {
        self.delays.contains(seq)
    }

    /// Whether the message is in the queue.
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.held.get(seq).is_some()
            || (self.cursor..self.next).contains(&seq) && !self.apart.contains(seq.0)
            || self.due.contains(seq.0)
            || self.delays.contains(seq)
    }

    /// Takes a message out of the backlog.
    fn set_apart(&mut self, seq: Seq) {
        if seq == self.cursor {
            self.cursor = seq.next();
            self.advance_cursor();
        } else if seq > self.cursor {
            self.apart.insert(seq.0);
        }
    }

    /// Moves the cursor behind those that are apart.
    fn advance_cursor(&mut self) {
        let end = run_end(&self.apart, self.cursor);
        if end > self.cursor {
            self.apart.remove_range(self.cursor.0..end.0);
            self.cursor = end;
        }
    }

    /// Holds a message, whether or not it was held before.
    pub(super) fn hold(&mut self, seq: Seq, held: Held) {
        match self.held.insert(seq, held) {
            Some(before) => self.forget(seq, &before),
            None => drop(self.undelay(seq)),
        }
        match held.state {
            MessageState::Waiting if held.is_worn() => self.worn.insert(held.received, seq),
            MessageState::Waiting => {
                self.returned.insert(seq.0);
            }
            MessageState::InFlight { .. } => {
                self.timers.insert((held.until, seq));
            }
            MessageState::Damaged => self.damaged += 1,
            MessageState::Delayed => unreachable!("a delayed message was never received"),
        }
        if let Some(order) = &mut self.order {
            match held.state {
                MessageState::Waiting if self.moving.contains(seq.0) => {
                    order.hide(held.group, seq, held.received);
                }
                MessageState::Waiting => order.show(held.group, seq, held.last_received()),
                MessageState::InFlight { .. } => order.hide(held.group, seq, held.received),
                MessageState::Damaged | MessageState::Delayed => order.forget(held.group, seq),
            }
        }
    }

    /// A message is gone, if it is out of the backlog. Its group is asked for if nothing is held of it.
    fn release(&mut self, seq: Seq, group: impl FnOnce() -> Option<Group>) {
        self.returns.remove(seq);
        self.moving.remove(seq.0);
        match self.held.remove(seq) {
            Some(before) => {
                self.forget(seq, &before);
                if let Some(order) = &mut self.order {
                    order.forget(before.group, seq);
                }
            }
            None => {
                let is_delayed = self.is_delayed(seq);
                let was_due = self.undelay(seq);
                if let Some(order) = &mut self.order
                    && !is_delayed
                    && !order.forget_stray(seq)
                    && (was_due || seq < order.walked())
                {
                    match group() {
                        Some(group) => order.forget(group, seq),
                        None => order.forget_wherever(seq),
                    }
                }
            }
        }
    }

    /// A message that was never received is so now, or is gone. Whether it was due.
    fn undelay(&mut self, seq: Seq) -> bool {
        let was_due = self.due.remove(seq.0);
        if !was_due {
            self.delays.remove(seq);
        }
        was_due
    }

    /// Holds no message any longer.
    fn release_held(&mut self) {
        self.held = HeldMap::default();
        self.timers.clear();
        self.returned.clear();
        self.worn = Worn::default();
        self.damaged = 0;
    }

    /// Takes out what followed from what was held of a message.
    fn forget(&mut self, seq: Seq, before: &Held) {
        match before.state {
            MessageState::Waiting if before.is_worn() => self.worn.remove(before.received, seq),
            MessageState::Waiting => {
                self.returned.remove(seq.0);
            }
            MessageState::InFlight { .. } => {
                self.timers.remove(&(before.until, seq));
            }
            MessageState::Damaged => self.damaged -= 1,
            MessageState::Delayed => unreachable!("a delayed message was never received"),
        }
    }
}

/// The groups of so many messages are found among all.
const FORGOTTEN_MAX: usize = 16;
