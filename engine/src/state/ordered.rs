//! The order of a queue's messages, where groups decide it: what it is told of those that are held, and how the walk
//! along the backlog goes on.

use super::order::{Discipline, Order};
use super::queue::Messages;
use super::sets::{between, run_end};
use crate::broken::{Mistake, makes};
use crate::command::MessageState;
use crate::ids::{Group, Seq};
use crate::time::LogTime;

impl Messages {
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

    /// When the walk along the backlog goes on, if it stopped before its end.
    pub(crate) fn next_walk(&self) -> Option<LogTime> {
        self.order().and_then(Order::rests_until)
    }
}
