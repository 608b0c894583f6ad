//! How many messages a queue has in each state, without looking at each of them.

use roaring::RoaringTreemap;

use super::queue::Messages;
use super::sets::between;
use crate::command::{Counts, MessageState};
use crate::ids::Seq;
use crate::time::LogTime;

impl Messages {
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

    /// How many of those less than `end` would be waiting otherwise.
    pub(crate) fn moving_before(&self, end: Seq) -> u64 {
        let waits =
            |seq: &Seq| self.held.get(*seq).is_none_or(|held| held.state == MessageState::Waiting);
        between(&self.moving, Seq(0), end).filter(waits).count() as u64
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
}
