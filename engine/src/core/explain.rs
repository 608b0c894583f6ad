//! Facts about queues and messages, for whoever wonders why nothing comes.

use super::found::comes_before;
use super::{Core, Decided, Decision};
use crate::command::{MessageState, Reply, ReplyTo};
use crate::facts::Fact;
use crate::ids::{QueueId, Seq};
use crate::log::NextSegment;
use crate::state::past::{End, Expiry};
use crate::time::LogTime;

impl<R: ReplyTo> Core<R> {
    pub(super) fn explain(&mut self, name: &str, seq: Option<Seq>, now: LogTime) -> Decision {
        let queue = self.queue(name)?.id;
        self.expire(queue, now);
        self.state.by_id(queue).expect("its name was found").messages.settle(now);
        // As a receive would: what is next in a queue with groups is known only then.
        self.walk(queue, 1, now);
        let facts = match seq {
            None => self.facts_of_queue(queue, now),
            Some(seq) => vec![self.fact_of_message(queue, seq, now)],
        };
        Ok(Decided::Now(Reply::Explained { queue, now, facts }))
    }

    fn facts_of_queue(&mut self, id: QueueId, now: LogTime) -> Vec<Fact> {
        let counts = self.counts(id, now);
        let held_back_until = self.first_held_back_until(id, now);
        let next = self.next_of(id);
        let queue = self.state.get(id).expect("the caller found the queue");
        let (messages, attributes, mut facts) = (&queue.messages, &queue.attributes, Vec::new());
        let moving = messages.moving_before(messages.next_seq());
        let waiting = counts.waiting.saturating_sub(moving);
        let is_full = counts.in_flight >= attributes.in_flight_max;
        if waiting > 0 {
            facts.push(Fact::Waiting { messages: waiting, next: next.filter(|_| !is_full) });
            if let Some(seq) = next.filter(|seq| self.index.find(id, *seq).is_err()) {
                facts.push(Fact::IndexDamaged { seq });
            }
        }
        if moving > 0 {
            facts.push(Fact::Moving { messages: moving });
        }
        if counts.delayed > 0 {
            let first_due = held_back_until.or(messages.first_due()).unwrap_or(now).max(now);
            facts.push(Fact::Delayed { messages: counts.delayed, first_due });
            if attributes.delay_ms > 0 {
                facts.push(Fact::QueueDelay { ms: attributes.delay_ms });
            }
        }
        if counts.in_flight > 0 {
            let first_ends = messages.first_lease_ends().unwrap_or(now);
            facts.push(Fact::InFlight { messages: counts.in_flight, first_ends });
        }
        if is_full {
            facts.push(Fact::InFlightLimit { max: attributes.in_flight_max });
        }
        if counts.damaged > 0 {
            facts.push(Fact::Damaged { messages: counts.damaged });
        }
        if facts.is_empty() {
            facts.push(Fact::Empty);
        }
        if let Some(order) = messages.order() {
            let (groups, locked) = order.counts();
            if order.is_fifo()
                && let Some(blocker) = order.first_blocker()
            {
                facts.push(Fact::GroupsLocked { groups, locked, blocker });
            }
            let noisy = order.noisy();
            if noisy > 0 {
                facts.push(Fact::GroupsNoisy { groups: noisy });
            }
        }
        if let Some(Expiry { below, at, .. }) = messages.past().last_expiry {
            facts.push(Fact::Expired { below, at });
        }
        let receives = self.waiters.count(id);
        if receives > 0 {
            facts.push(Fact::ReceivesWait { receives });
        }
        if let NextSegment::Full { detail, .. } = &self.tail.next {
            facts.push(Fact::StorageFull { detail: detail.clone() });
        }
        facts
    }

    /// The message that a receive would get first.
    fn next_of(&mut self, id: QueueId) -> Option<Seq> {
        let messages = &self.state.get(id).expect("the caller found the queue").messages;
        let goes_round = self.goes_round(messages);
        let again = messages.again().next().filter(|_| goes_round);
        let Some((again, _)) = again else {
            return messages.waiting().next().map(|(seq, _)| seq);
        };
        let received = messages.last_received(again);
        let fresh = messages.fresh().next().map(|(seq, _)| seq);
        let sent = fresh.and_then(|fresh| self.sent(id, fresh));
        fresh.filter(|_| !sent.is_some_and(|sent| comes_before(received, sent))).or(Some(again))
    }

    /// When a message was sent, as far as the index says.
    fn sent(&mut self, queue: QueueId, seq: Seq) -> Option<LogTime> {
        self.index.find(queue, seq).ok().flatten().map(|(_, sent)| sent)
    }

    fn fact_of_message(&mut self, id: QueueId, seq: Seq, now: LogTime) -> Fact {
        let has_expired = self.has_expired(id, seq, now);
        let held_back = self.held_back(id, now).ok().flatten();
        let messages = &self.state.get(id).expect("the caller found the queue").messages;
        let next = messages.next_seq();
        if seq == Seq(0) || seq >= next {
            return Fact::MessageUnknown { next };
        }
        if !messages.contains(seq) {
            return match messages.past().end_of(seq) {
                End::Purged(at) => Fact::MessagePurged { at },
                End::Expired(at) => Fact::MessageExpired { at },
                End::Acked => Fact::MessageAcked,
            };
        }
        if has_expired {
            return Fact::MessageExpired { at: now };
        }
        if !messages.is_durable(seq) {
            return Fact::MessageNotDurable;
        }
        match messages.held(seq).map(|held| (held.state, held)) {
            Some((MessageState::InFlight { until }, held)) => {
                let (since, receive_count) = (held.received, held.receive_count);
                Fact::MessageInFlight { since, until, receive_count }
            }
            Some((MessageState::Damaged, _)) => {
                let found = self.index.find(id, seq).ok().flatten();
                let place = found.map(|(location, _)| {
                    (location.segment.path.clone(), u64::from(location.offset))
                });
                let (path, offset) = place.unwrap_or_default();
                Fact::MessageDamaged { path, offset }
            }
            _ if messages.is_delayed(seq) => Fact::MessageDelayed,
            None if held_back.is_some_and(|held_back| seq >= held_back.from) => {
                Fact::MessageDelayed
            }
            _ if messages.is_moving(seq) => Fact::MessageMoving,
            _ => {
                let fifo = messages.order().filter(|order| order.is_fifo());
                let group = self.index.group(id, seq).ok().flatten().map(|(group, _)| group);
                let blocker = fifo.zip(group).and_then(|(order, group)| order.blocker(group));
                match blocker.filter(|blocker| *blocker < seq) {
                    Some(moving) if messages.is_moving(moving) => {
                        Fact::MessageBehindMoving { moving }
                    }
                    Some(blocker) => Fact::MessageBehind { blocker },
                    None => Fact::MessageWaiting { before: self.waiting_before(id, seq) },
                }
            }
        }
    }

    /// About how many messages wait that come before this one; 0: it is next.
    fn waiting_before(&mut self, id: QueueId, seq: Seq) -> u64 {
        if self.next_of(id) == Some(seq) {
            return 0;
        }
        let sent = self.sent(id, seq);
        let messages = &self.state.get(id).expect("the caller found the queue").messages;
        match sent.filter(|_| self.goes_round(messages)) {
            Some(sent) if messages.order().is_none() => messages.waiting_before(seq, sent),
            // In what order groups come, only a receive finds out.
            _ => messages.waiting_below(seq).max(1),
        }
    }
}
