//! Which of a queue's messages can be seen: those that a receive would get, the backlog, and what a peek
//! shows. Nothing that is not durable yet is among them.

use super::queue::Messages;
use super::sets::{between, merge, run_end};
use crate::command::{MessageState, States};
use crate::ids::{Group, Seq};

/// A message that is in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: MessageState,
    pub(crate) receive_count: u32,
}

impl Messages {
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
}

fn without_group(seq: Seq) -> (Seq, Group) {
    (seq, Group::NONE)
}
