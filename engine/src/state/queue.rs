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
//! Numbers may be missing from the log: those messages were gone when the compactor left them out,
//! and here they are gone like any others.

use std::collections::BTreeSet;

use roaring::RoaringTreemap;

use super::delays::Delays;
use super::held::{Held, HeldMap};
use super::late::Late;
use super::order::{Discipline, Order};
use super::past::Past;
use super::returns::Returns;
use super::worn::Worn;
use crate::broken::{Mistake, makes};
use crate::command::{Counts, MessageState, States};
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

/// A message that is in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: MessageState,
    pub(crate) receive_count: u32,
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

    /// From now on the queue gives its messages in this way. What is not known yet of the order
    /// is found by walking the backlog.
    pub(crate) fn set_order(&mut self, discipline: Discipline) {
        if self.order.as_ref().is_some_and(|order| order.discipline() == discipline) {
            return;
        }
        self.order = Some(Box::new(self.new_order(discipline)));
    }

    /// Forgets what the walk has found: the backlog is walked anew.
    pub(crate) fn renew_order(&mut self) {
        let discipline = self.order().map(Order::discipline);
        self.order = discipline.map(|discipline| Box::new(self.new_order(discipline)));
    }

    /// An order that knows what is held; the walk begins at the front of the backlog.
    fn new_order(&self, discipline: Discipline) -> Order {
        let mut order = Order::new(discipline, self.cursor);
        for (seq, held) in self.held.range(..) {
            match held.state {
                MessageState::Waiting => order.show(held.group, seq, held.last_received()),
                MessageState::InFlight { .. } if makes(Mistake::GroupLockLost) => {}
                MessageState::InFlight { .. } => order.hide(held.group, seq, held.received),
                MessageState::Delayed | MessageState::Damaged => {}
            }
        }
        self.due.iter().for_each(|seq| order.stray(Seq(seq)));
        for seq in self.moving.iter().map(Seq) {
            if let Some(held) = self.held.get(seq) {
                order.hide(held.group, seq, held.received);
            }
        }
        order
    }

    /// In what order messages are given, in a queue whose messages have groups.
    pub(crate) fn order(&self) -> Option<&Order> {
        self.order.as_deref()
    }

    /// The same, to be told what the index says.
    pub(crate) fn order_mut(&mut self) -> Option<&mut Order> {
        self.order.as_deref_mut()
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

    /// A message is gone.
    pub(crate) fn acked(&mut self, seq: Seq) {
        self.gone(seq, None);
    }

    /// A message of this group is in another queue now.
    pub(crate) fn moved_away(&mut self, seq: Seq, group: Group) {
        self.gone(seq, Some(group));
    }

    fn gone(&mut self, seq: Seq, group: Option<Group>) {
        if seq < self.next {
            self.set_apart(seq);
            self.release(seq, group);
        }
    }

    /// Several messages are gone, whose groups are not told.
    pub(super) fn all_gone(&mut self, gone: &[Seq]) {
        // Where there are many, their groups are sooner found by walking the backlog anew.
        let order = if gone.len() > FORGOTTEN_MAX { self.order.take() } else { None };
        gone.iter().for_each(|seq| self.gone(*seq, None));
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
                self.release(seq, None);
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
        if held.is_none() {
            self.forget_in_order(seq);
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

    /// The messages that a receive would get. Of a queue whose messages have groups, as far as its backlog was
    /// walked: of a FIFO queue those that come [`Messages::again`] are the first ones, of a fair one all are in the
    /// order in which they are given. Of any other queue by their numbers.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Seq, Group)> + '_ {
        let ordered = self.order().map(|order| self.known(order.candidates()));
        let plain = ordered.is_none().then(|| self.by_number(true));
        self.unmoved(ordered.into_iter().flatten().chain(plain.into_iter().flatten()))
    }

    /// Those of them that do not come again, in the order in which they are given.
    pub(crate) fn fresh(&self) -> impl Iterator<Item = (Seq, Group)> + '_ {
        let ordered = self.order().map(|order| self.known(order.fresh()));
        let plain = ordered.is_none().then(|| self.by_number(false));
        self.unmoved(ordered.into_iter().flatten().chain(plain.into_iter().flatten()))
    }

    /// Those that were received before, and come behind all that was sent before that: in a queue without groups the
    /// worn messages, in a FIFO queue the groups whose first message was received. In the order in which they are
    /// given.
    pub(crate) fn again(&self) -> impl Iterator<Item = (Seq, Group)> + '_ {
        let groups = self.order().map(|order| self.known(order.again()));
        let worn = groups.is_none().then(|| self.worn.by_time().map(|(_, seq)| without_group(seq)));
        self.unmoved(groups.into_iter().flatten().chain(worn.into_iter().flatten()))
    }

    /// What the order knows may be gone, or, where it was delayed, not be durable yet.
    fn known(
        &self,
        candidates: impl Iterator<Item = (Seq, Group)>,
    ) -> impl Iterator<Item = (Seq, Group)> {
        candidates.filter(|(seq, _)| *seq < self.durable_end && self.contains(*seq))
    }

    /// The messages of a queue without groups that wait, whether new or received before, with or without those
    /// that are worn: the oldest first.
    fn by_number(&self, with_worn: bool) -> impl Iterator<Item = (Seq, Group)> + '_ {
        let returned = between(&self.returned, Seq(0), self.durable_end);
        let worn = self.worn.by_seq().filter(|_| with_worn);
        let worn = worn.map(|worn| between(worn, Seq(0), self.durable_end));
        let held = merge(returned, worn.into_iter().flatten());
        let due = between(&self.due, Seq(0), self.durable_end);
        merge(merge(held, due), self.backlog_from(self.cursor)).map(without_group)
    }

    fn unmoved(
        &self,
        waiting: impl Iterator<Item = (Seq, Group)>,
    ) -> impl Iterator<Item = (Seq, Group)> {
        let any_moving = !self.moving.is_empty();
        waiting.filter(move |(seq, _)| !(any_moving && self.moving.contains(seq.0)))
    }

    /// The walk passes a message of the backlog.
    pub(crate) fn walked(&mut self, group: Group, seq: Seq, sent: LogTime, now: LogTime) {
        let Some(order) = &mut self.order else { return };
        order.walk(group, seq, sent);
        // It was known to be moving before the backlog was walked anew.
        if self.moving.contains(seq.0) {
            order.hide(group, seq, now);
        }
    }

    /// The walk passes over messages that are gone.
    pub(crate) fn walked_to(&mut self, next: Seq) {
        if let Some(order) = &mut self.order {
            order.walk_to(next);
        }
    }

    /// The walk stops before its end, and goes on then.
    pub(crate) fn rest_walk(&mut self, until: LogTime) {
        if let Some(order) = &mut self.order {
            order.rest_until(Some(until));
        }
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

    /// How many of those less than `end` would be waiting otherwise.
    pub(crate) fn moving_before(&self, end: Seq) -> u64 {
        let waits =
            |seq: &Seq| self.held.get(*seq).is_none_or(|held| held.state == MessageState::Waiting);
        between(&self.moving, Seq(0), end).filter(waits).count() as u64
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

    /// When the walk along the backlog goes on, if it stopped before its end.
    pub(crate) fn next_walk(&self) -> Option<LogTime> {
        self.order().and_then(Order::rests_until)
    }

    /// The last message that may be seen; 0 if there was none.
    pub(crate) fn last_durable(&self) -> Seq {
        Seq(self.durable_end.0 - 1)
    }

    /// The next stretch of the backlog that the order should be told of, so that `wanted` messages
    /// can be given: from one message to another, exclusive.
    pub(crate) fn to_be_walked(&self, wanted: u64) -> Option<(Seq, Seq)> {
        let order = self.order().filter(|order| order.wants_more(wanted))?;
        let first = run_end(&self.apart, order.walked().max(self.cursor));
        if first >= self.durable_end {
            return None;
        }
        let apart = between(&self.apart, first, self.durable_end).next();
        Some((first, apart.unwrap_or(self.durable_end)))
    }

    /// The messages of the backlog from one on.
    pub(crate) fn backlog_from(&self, from: Seq) -> impl Iterator<Item = Seq> + '_ {
        let mut next = from.max(self.cursor);
        let any_apart = !self.apart.is_empty();
        std::iter::from_fn(move || {
            if any_apart {
                next = run_end(&self.apart, next);
            }
            let seq = next;
            next = seq.next();
            (seq < self.durable_end).then_some(seq)
        })
    }

    /// The messages from `from` on that are in the queue, each with its state: at least those in one
    /// of `states`.
    pub(crate) fn look(&self, from: Seq, states: States) -> impl Iterator<Item = (Seq, Seen)> + '_ {
        let end = self.durable_end.max(from);
        let all_held = states.in_flight || states.damaged;
        let held = all_held.then(|| self.held.range(from..end).map(|(seq, _)| seq));
        let returned = (states.waiting && !all_held).then(|| {
            let worn = self.worn.by_seq().map(|worn| between(worn, from, self.durable_end));
            let returned = between(&self.returned, from, self.durable_end);
            merge(returned, worn.into_iter().flatten())
        });
        let delayed = states.delayed.then(|| between(self.delays.seqs(), from, self.durable_end));
        let due = states.waiting.then(|| between(&self.due, from, self.durable_end));
        let backlog = states.waiting.then(|| self.backlog_from(from));
        let held = held.into_iter().flatten().chain(returned.into_iter().flatten());
        let never_received = merge(delayed.into_iter().flatten(), due.into_iter().flatten());
        merge(merge(held, never_received), backlog.into_iter().flatten()).map(|seq| {
            let held = self.held.get(seq);
            let state = match held {
                Some(held) => held.state,
                None if self.delays.contains(seq) => MessageState::Delayed,
                None => MessageState::Waiting,
            };
            (seq, Seen { state, receive_count: held.map_or(0, |held| held.receive_count) })
        })
    }

    /// What is held of a message; `None` when it was never received, or is gone.
    pub(crate) fn held(&self, seq: Seq) -> Option<&Held> {
        self.held.get(seq)
    }

    /// When a message was last received, if it was.
    pub(crate) fn last_received(&self, seq: Seq) -> LogTime {
        self.held.get(seq).and_then(Held::last_received).unwrap_or_default()
    }

    /// How many messages wait that have lesser numbers.
    pub(crate) fn waiting_below(&self, seq: Seq) -> u64 {
        let end = seq.min(self.durable_end).0;
        let start = self.cursor.0.min(end);
        let backlog = end - start - self.apart.range_cardinality(start..end);
        let returned = self.returned.range_cardinality(..end);
        let worn = self.worn.by_seq().map_or(0, |worn| worn.range_cardinality(..end));
        let due = self.due.range_cardinality(..end);
        backlog + returned + worn + due - self.moving_before(Seq(end))
    }

    /// The same of a queue without groups in which worn messages come again: how many come before this one, which
    /// was `sent` then. Of one that is worn it is too many if some were sent since it was last received.
    pub(crate) fn waiting_before(&self, seq: Seq, sent: LogTime) -> u64 {
        let worn = || self.worn.by_time().filter(|(_, seq)| !self.moving.contains(seq.0));
        let is_worn = worn().any(|(_, worn)| worn == seq);
        let end = if is_worn { self.durable_end } else { seq };
        let worn_below = worn().filter(|(_, worn)| *worn < end).count() as u64;
        let comes_before = |(received, worn): &(LogTime, Seq)| match is_worn {
            true => *worn != seq,
            false => *received < sent,
        };
        self.waiting_below(end) - worn_below + worn().take_while(comes_before).count() as u64
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

    /// How many messages are in each state. Those that are not durable yet are not counted.
    pub(crate) fn counts(&self) -> Counts {
        let durable = |set: &RoaringTreemap| match self.durable_end == self.next {
            true => set.len(),
            false => set.range_cardinality(..self.durable_end.0),
        };
        Counts {
            waiting: self.backlog_len(self.cursor)
                + self.returned.len()
                + self.worn.len()
                + durable(&self.due),
            in_flight: self.in_flight(),
            delayed: durable(self.delays.seqs()),
            damaged: self.damaged,
        }
    }

    /// How many messages of the backlog there are from one on that are durable.
    pub(crate) fn backlog_len(&self, from: Seq) -> u64 {
        let from = from.max(self.cursor).0;
        let end = self.durable_end.0.max(from);
        end - from - self.apart.range_cardinality(from..end)
    }

    /// How many messages are in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        self.timers.len() as u64
    }

    /// How many messages are in the queue, durable or not.
    pub(crate) fn len(&self) -> u64 {
        let backlog = self.next.0 - self.cursor.0 - self.apart.len();
        backlog + self.held.len() + self.delays.len() + self.due.len()
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
            None => self.undelay(seq),
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

    /// A message is gone, if it is out of the backlog. Its group is told if it is known.
    fn release(&mut self, seq: Seq, group: Option<Group>) {
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
                self.undelay(seq);
                match (group, &mut self.order) {
                    (Some(group), Some(order)) => order.forget(group, seq),
                    _ => self.forget_in_order(seq),
                }
            }
        }
    }

    /// A message is gone of which only the index knows the group: its lease was lost in a crash, or
    /// nobody received it. That is rare.
    fn forget_in_order(&mut self, seq: Seq) {
        if let Some(order) = &mut self.order {
            order.forget_wherever(seq);
        }
    }

    /// A message that was never received is so now, or is gone.
    fn undelay(&mut self, seq: Seq) {
        if !self.due.remove(seq.0) {
            self.delays.remove(seq);
        }
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

fn without_group(seq: Seq) -> (Seq, Group) {
    (seq, Group::NONE)
}

/// The members of a set from one on that are less than `end`.
fn between(set: &RoaringTreemap, from: Seq, end: Seq) -> impl Iterator<Item = Seq> + '_ {
    let mut members = set.iter();
    members.advance_to(from.0);
    members.map(Seq).take_while(move |seq| *seq < end)
}

/// Two ascending lists as one.
fn merge(a: impl Iterator<Item = Seq>, b: impl Iterator<Item = Seq>) -> impl Iterator<Item = Seq> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(x), Some(y)) if x < y => a.next(),
        (Some(_), None) => a.next(),
        _ => b.next(),
    })
}

/// The first number from `from` on that is not in the set. Runs may be as long as all that the
/// compactor left out, so they are measured in steps that double.
fn run_end(set: &RoaringTreemap, from: Seq) -> Seq {
    let (mut end, mut step) = (from.0, 1);
    while set.contains_range(end..end + step) {
        end += step;
        step *= 2;
    }
    while step > 1 {
        step /= 2;
        if set.contains_range(end..end + step) {
            end += step;
        }
    }
    Seq(end)
}
