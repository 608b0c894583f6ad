//! One queue's messages: which are waiting, held back, or gone.
//!
//! ```text
//!              cursor                      next_seq
//!   1 ───────────┼───────────────────────────┤
//!   gone, but    │  the backlog: waiting,     │
//!   for the held │  but for those set apart   │
//! ```
//!
//! Invariants. A message below the cursor is in the queue exactly if it is *held*. One from the
//! cursor on is waiting unless it is *apart*: then it is held, or gone. So a backlog costs
//! nothing, and only what is in flight, delayed or redelivered takes memory. Everything here is a
//! consequence of the records applied and of the time told to [`Messages::settle`].
//!
//! Numbers may be missing from the log: those messages were gone when the compactor left them out,
//! and here they are gone like any others.

use std::collections::BTreeSet;

use roaring::RoaringTreemap;

use super::held::{Held, HeldMap};
use crate::command::{Counts, MessageState};
use crate::ids::{LeaseId, Seq};
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
    /// Messages that were delayed or received, and are not gone.
    pub(super) held: HeldMap,
    /// Held messages that become visible with time, by their `until`.
    pub(super) timers: BTreeSet<(LogTime, Seq)>,
    /// Held messages that are visible.
    pub(super) visible: BTreeSet<Seq>,
    pub(super) counts: HeldCounts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HeldCounts {
    pub(super) in_flight: u64,
    pub(super) delayed: u64,
    pub(super) damaged: u64,
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
            visible: BTreeSet::new(),
            counts: HeldCounts::default(),
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
        if let Some(until) = visible_from {
            self.set_apart(seq);
            let state = MessageState::Delayed { until };
            self.hold(seq, Held { state, until, ..Held::new() });
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
        seq: Seq,
        lease: LeaseId,
        receive_count: u32,
        received: LogTime,
        until: LogTime,
    ) {
        if !self.contains(seq) {
            return;
        }
        self.set_apart(seq);
        let first_received = match self.held.get(seq) {
            Some(held) if held.receive_count > 0 => held.first_received,
            _ => received,
        };
        let state = MessageState::InFlight { until };
        self.hold(seq, Held { state, until, receive_count, lease, first_received, received });
    }

    /// A lease ends at another time.
    pub(crate) fn lease_changed(&mut self, seq: Seq, until: LogTime) {
        if let Some(held) = self.held.get(seq).copied() {
            self.hold(seq, Held { state: MessageState::InFlight { until }, until, ..held });
        }
    }

    /// A message is gone.
    pub(crate) fn acked(&mut self, seq: Seq) {
        if seq < self.next {
            self.set_apart(seq);
            self.release(seq);
        }
    }

    /// Every message up to `through` is gone.
    pub(crate) fn purged(&mut self, through: Seq) {
        let through = through.min(Seq(self.next.0 - 1));
        if self.held.range(through.next()..).next().is_none() {
            self.release_all();
        } else {
            let gone: Vec<Seq> = self.held.range(..=through).map(|(seq, _)| seq).collect();
            for seq in gone {
                self.release(seq);
            }
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
        let held = self.held.get(seq).copied().unwrap_or(Held::new());
        self.hold(seq, Held { state: MessageState::Damaged, ..held });
    }

    /// Makes visible what time has made visible. Must be told before anything is asked.
    pub(crate) fn settle(&mut self, now: LogTime) {
        while let Some((until, seq)) = self.timers.first().copied()
            && until <= now
        {
            let held = *self.held.get(seq).expect("a timer belongs to a held message");
            self.hold(seq, Held { state: MessageState::Waiting, ..held });
        }
    }

    /// When the next held message becomes visible.
    pub(crate) fn next_timer(&self) -> Option<LogTime> {
        self.timers.first().map(|(until, _)| *until)
    }

    /// The messages that a receive would get, in the order in which it would get them.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Seq> + '_ {
        let mut held = self.visible.range(..self.durable_end).copied().peekable();
        let mut backlog = self.backlog_from(self.cursor).peekable();
        // By their numbers, whether new or received before: the oldest first.
        std::iter::from_fn(move || match (held.peek(), backlog.peek()) {
            (Some(a), Some(b)) if a < b => held.next(),
            (Some(_), None) => held.next(),
            _ => backlog.next(),
        })
    }

    fn backlog_from(&self, from: Seq) -> impl Iterator<Item = Seq> + '_ {
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

    /// The messages from `from` on that are in the queue, with what is held of them.
    pub(crate) fn from(&self, from: Seq) -> impl Iterator<Item = (Seq, Held)> + '_ {
        let waiting = Held::new();
        let range = from..self.durable_end.max(from);
        let mut held = self.held.range(range).map(|(seq, held)| (seq, *held)).peekable();
        let mut backlog = self.backlog_from(from).map(move |seq| (seq, waiting)).peekable();
        std::iter::from_fn(move || match (held.peek(), backlog.peek()) {
            (Some((a, _)), Some((b, _))) if a < b => held.next(),
            (Some(_), None) => held.next(),
            _ => backlog.next(),
        })
    }

    /// What is held of a message; `None` when it is in the backlog, or gone.
    pub(crate) fn held(&self, seq: Seq) -> Option<&Held> {
        self.held.get(seq)
    }

    /// Whether the message is in the queue.
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.held.get(seq).is_some()
            || (self.cursor..self.next).contains(&seq) && !self.apart.contains(seq.0)
    }

    /// How many messages are in each state. Those that are not durable yet are not counted.
    pub(crate) fn counts(&self) -> Counts {
        let undurable = self.durable_end..self.next;
        let in_backlog = |from: Seq, to: Seq| {
            to.0.saturating_sub(from.0) - self.apart.range_cardinality(from.0..to.0.max(from.0))
        };
        let mut counts = Counts {
            waiting: in_backlog(self.cursor, self.durable_end) + self.visible.len() as u64,
            in_flight: self.counts.in_flight,
            delayed: self.counts.delayed,
            damaged: self.counts.damaged,
        };
        if !undurable.is_empty() {
            for held in self.held.range(undurable).map(|(_, held)| held) {
                match held.state {
                    MessageState::Delayed { .. } => counts.delayed -= 1,
                    MessageState::Waiting => counts.waiting -= 1,
                    MessageState::InFlight { .. } | MessageState::Damaged => {}
                }
            }
        }
        counts
    }

    /// How many messages are in the queue, durable or not.
    pub(crate) fn len(&self) -> u64 {
        self.next.0 - self.cursor.0 - self.apart.len() + self.held.len()
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
    fn hold(&mut self, seq: Seq, held: Held) {
        if let Some(before) = self.held.insert(seq, held) {
            self.forget(seq, &before);
        }
        match held.state {
            MessageState::Waiting => {
                self.visible.insert(seq);
            }
            MessageState::InFlight { .. } => {
                self.timers.insert((held.until, seq));
                self.counts.in_flight += 1;
            }
            MessageState::Delayed { .. } => {
                self.timers.insert((held.until, seq));
                self.counts.delayed += 1;
            }
            MessageState::Damaged => self.counts.damaged += 1,
        }
    }

    /// Holds a message no longer.
    fn release(&mut self, seq: Seq) {
        if let Some(before) = self.held.remove(seq) {
            self.forget(seq, &before);
        }
    }

    /// Holds no message any longer.
    fn release_all(&mut self) {
        self.held = HeldMap::default();
        self.timers.clear();
        self.visible.clear();
        self.counts = HeldCounts::default();
    }

    /// Takes out what followed from what was held of a message.
    fn forget(&mut self, seq: Seq, before: &Held) {
        match before.state {
            MessageState::Waiting => {
                self.visible.remove(&seq);
            }
            MessageState::InFlight { .. } => {
                self.timers.remove(&(before.until, seq));
                self.counts.in_flight -= 1;
            }
            MessageState::Delayed { .. } => {
                self.timers.remove(&(before.until, seq));
                self.counts.delayed -= 1;
            }
            MessageState::Damaged => self.counts.damaged -= 1,
        }
    }
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
