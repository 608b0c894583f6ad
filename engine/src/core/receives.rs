//! Decisions about messages that go out: receive, and serving those who wait.

use std::sync::Arc;

use super::attempts::Again;
use super::found::{Candidate, Quota};
use super::room::{HEADERS_BYTES, LEASED_ITEM_BYTES, leased_bytes};
use super::waiters::{Demand, Until, Waiter};
use super::walk::REST_MS as WALK_REST_MS;
use super::{Core, Decided, Decision};
use crate::attributes::{RECEIVE_WAIT_MS_MAX, VISIBILITY_MS_MAX, check_range, check_range_ms};
use crate::command::{ATTEMPT_BYTES_MAX, BATCH_MESSAGES_MAX, Delivery, Reply, ReplyTo};
use crate::error::RequestError;
use crate::ids::{LeaseId, QueueId, WaitId};
use crate::receipt::Receipt;
use crate::record::Lease;
use crate::time::LogTime;

/// A receive that may not wait waits for so long at the most until it is certain that there is nothing: while
/// dead letters are read and synced, and the walk along the backlog goes on.
const CERTAIN_WAIT_MS: u64 = 1_000;

/// What a receive asks for, before it is held against the queue's attributes.
pub(super) struct Asked {
    pub(super) max: u32,
    pub(super) wait_ms: Option<u64>,
    pub(super) visibility_ms: Option<u64>,
    pub(super) bytes_max: u64,
    /// What it is called, if it may be asked again.
    pub(super) attempt: Option<Arc<str>>,
}

impl<R: ReplyTo> Core<R> {
    pub(super) fn receive(&mut self, name: &str, asked: Asked, now: LogTime) -> Decision {
        let Asked { max, wait_ms, visibility_ms, bytes_max, attempt } = asked;
        let queue = self.queue(name)?;
        let (id, attributes) = (queue.id, Arc::clone(&queue.attributes));
        check_range("max", u64::from(max), 1, BATCH_MESSAGES_MAX as u64)?;
        let wait_ms = wait_ms.unwrap_or(attributes.receive_wait_ms);
        check_range_ms("wait", wait_ms, 0, RECEIVE_WAIT_MS_MAX)?;
        let visibility_ms = visibility_ms.unwrap_or(attributes.visibility_timeout_ms);
        check_range_ms("visibility", visibility_ms, 0, VISIBILITY_MS_MAX)?;
        let attempt_bytes = attempt.as_ref().map_or(1, |attempt| attempt.len() as u64);
        check_range("attempt bytes", attempt_bytes, 1, ATTEMPT_BYTES_MAX)?;
        let messages_max = self.leases_max(max);
        let demand = Demand { messages_max, bytes_max, visibility_ms: Some(visibility_ms) };
        self.check_room(leased_bytes(messages_max), self.deletes_bytes())?;
        self.expire(id, now);
        // Who came first is served first, and may make the same attempt.
        self.serve(id, now);
        let attempt = attempt.filter(|_| attributes.fifo);
        let again = match &attempt {
            Some(attempt) => self.receive_again(id, attempt, visibility_ms, 0, now)?,
            None => Again::New,
        };
        match again {
            Again::New => {}
            Again::Same(deliveries) => {
                // Its leases may end sooner now, for which somebody may wait.
                self.serve(id, now);
                return Ok(Decided::Now(Reply::Received { queue: id, deliveries }));
            }
            Again::NoRoom(bytes) => {
                self.check_room(bytes, self.deletes_bytes())?;
                self.postponed.insert(id);
                // It is served when there is room.
                let until = now.plus_ms(wait_ms.max(CERTAIN_WAIT_MS));
                return Ok(Decided::Waits(id, demand, attempt, Until::Deadline(until)));
            }
        }
        let deliveries = self.lease(id, &demand, now);
        if deliveries.is_empty() && wait_ms > 0 {
            let until = Until::Deadline(now.plus_ms(wait_ms));
            return Ok(Decided::Waits(id, demand, attempt, until));
        }
        if deliveries.is_empty() && !attributes.fifo && self.in_flight_room(id) == 0 {
            let (queue, max) = (name.to_owned(), attributes.in_flight_max);
            return Err(RequestError::InFlightFull { queue, max });
        }
        if deliveries.is_empty() && !self.is_certain(id, now) {
            let until = Until::Certain(now.plus_ms(CERTAIN_WAIT_MS));
            return Ok(Decided::Waits(id, demand, attempt, until));
        }
        if let Some(attempt) = attempt.filter(|_| !deliveries.is_empty())
            && self.remember_attempt(id, &attempt, &deliveries, now)
        {
            self.serve(id, now);
        }
        // Not held back until the lease is durable: a crash may end a lease early, and the lease's
        // number is never given again, so its receipt cannot be taken for a later one.
        Ok(Decided::Now(Reply::Received { queue: id, deliveries }))
    }

    /// Checks an endless wait. Whether there is something for it is seen when it stands in line.
    pub(super) fn await_messages(
        &mut self,
        queue: QueueId,
        wait: WaitId,
        demand: Demand,
    ) -> Decision {
        if !self.state.contains(queue) {
            return Err(RequestError::UnknownQueue { name: format!("number {queue}") });
        }
        check_range("max", u64::from(demand.messages_max), 1, BATCH_MESSAGES_MAX as u64)?;
        check_range_ms("visibility", demand.visibility_ms.unwrap_or(0), 0, VISIBILITY_MS_MAX)?;
        let demand = Demand { messages_max: self.leases_max(demand.messages_max), ..demand };
        Ok(Decided::Waits(queue, demand, None, Until::Ended(wait)))
    }

    pub(super) fn end_wait(&mut self, wait: WaitId) -> Decision {
        if let Some((queue, waiter)) = self.waiters.take_endless(wait) {
            let reply = Reply::Received { queue, deliveries: Vec::new() };
            self.answers.push((waiter.reply_to, Ok(reply)));
        }
        Ok(Decided::Now(Reply::WaitEnded))
    }

    /// No more than one entry holds the leases of: of a segment of 1 MiB or more, all.
    fn leases_max(&self, max: u32) -> u32 {
        let leases_max = (self.options.command_bytes_max() - HEADERS_BYTES) / LEASED_ITEM_BYTES;
        u64::from(max).min(leases_max) as u32
    }

    /// Puts a receive, or an endless wait, at the end of the queue's line.
    pub(super) fn wait(&mut self, queue: QueueId, waiter: Waiter<R>, now: LogTime) {
        let is_endless = matches!(waiter.until, Until::Ended(_));
        let attempt = waiter.attempt.clone();
        self.waiters.add(queue, waiter);
        // It waits for room in the log alone.
        if let Some(attempt) = attempt.filter(|attempt| self.attempts.is_made(queue, attempt)) {
            self.waiters.bring_forward(queue, &attempt);
        }
        if is_endless {
            // A receive has looked for messages before it waits; this one has not.
            self.serve(queue, now);
        } else {
            self.set_alarm(queue, now);
        }
    }

    /// Gives the queue's visible messages to its waiters.
    pub(super) fn serve(&mut self, queue: QueueId, now: LogTime) {
        // Also when nothing can be leased: an alarm set for a moment that has come would go off
        // again and again.
        if let Some(queue) = self.state.by_id(queue) {
            queue.messages.settle(now);
        }
        self.remove_expired(queue, now);
        while let Some(waiter) = self.waiters.first(queue) {
            if waiter.reply_to.is_gone() {
                self.waiters.take_first(queue);
                continue;
            }
            let (demand, attempt) = (waiter.demand, waiter.attempt.clone());
            // What the command itself takes is not theirs.
            let bytes = self.command_bytes + leased_bytes(demand.messages_max);
            if !self.has_room_now(bytes, self.deletes_bytes()) {
                self.postponed.insert(queue);
                return self.set_alarm(queue, now);
            }
            let deliveries = match self.give(queue, &demand, attempt.as_ref(), now) {
                Ok(Some(deliveries)) => Ok(deliveries),
                Ok(None) => {
                    self.postponed.insert(queue);
                    return self.set_alarm(queue, now);
                }
                Err(error) => Err(error),
            };
            if deliveries.as_ref().is_ok_and(Vec::is_empty) {
                break;
            }
            let waiter = self.waiters.take_first(queue).expect("there was a first");
            match deliveries {
                Ok(deliveries) => {
                    self.answer_waiter(waiter, Reply::Received { queue, deliveries });
                }
                Err(error) => self.answers.push((waiter.reply_to, Err(error))),
            }
        }
        if self.is_certain(queue, now) {
            while let Some(waiter) = self.waiters.take_uncertain(queue) {
                self.answer_waiter(waiter, Reply::Received { queue, deliveries: Vec::new() });
            }
        }
        self.set_alarm(queue, now);
    }

    /// What the first in line gets: what another receive of its attempt got since it waits, or else the messages that
    /// come first. `None`: there is no room in the log for it.
    fn give(
        &mut self,
        queue: QueueId,
        demand: &Demand,
        attempt: Option<&Arc<str>>,
        now: LogTime,
    ) -> Result<Option<Vec<Delivery>>, RequestError> {
        let Some(attempt) = attempt else { return Ok(Some(self.lease(queue, demand, now))) };
        let visibility_ms = self.visibility_ms(queue, demand);
        match self.receive_again(queue, attempt, visibility_ms, self.command_bytes, now)? {
            Again::Same(deliveries) => return Ok(Some(deliveries)),
            Again::NoRoom(_) => return Ok(None),
            Again::New => {}
        }
        let deliveries = self.lease(queue, demand, now);
        if !deliveries.is_empty() {
            // It stays the first of those that make this attempt.
            self.remember_attempt(queue, attempt, &deliveries, now);
        }
        Ok(Some(deliveries))
    }

    fn visibility_ms(&self, queue: QueueId, demand: &Demand) -> u64 {
        let queue = self.state.get(queue).expect("the caller found the queue");
        demand.visibility_ms.unwrap_or(queue.attributes.visibility_timeout_ms)
    }

    /// Whether a queue that gave nothing has nothing. Its dead letters have moved when that is said (SQS): in a
    /// FIFO queue others of their groups may come then. And the walk has come to its end.
    fn is_certain(&self, queue: QueueId, now: LogTime) -> bool {
        let walks = self.state.get(queue).is_some_and(|queue| {
            // Where a queue's delay stops the walk it goes on when that has passed.
            let is_delayed = queue.attributes.fifo && queue.attributes.delay_ms > 0;
            let next = queue.messages.next_walk();
            !is_delayed && next.is_some_and(|at| at <= now.plus_ms(WALK_REST_MS))
        });
        !walks && !self.moves.are_awaited(queue)
    }

    /// Whoever waited for dead letters is answered when they can be seen where they are.
    fn answer_waiter(&mut self, waiter: Waiter<R>, reply: Reply) {
        match waiter.until {
            Until::Certain(_) => self.answer_when_durable(waiter.reply_to, Ok(reply)),
            Until::Deadline(_) | Until::Ended(_) => {
                self.answers.push((waiter.reply_to, Ok(reply)));
            }
        }
    }

    pub(super) fn set_alarm(&mut self, id: QueueId, now: LogTime) {
        let queue = self.state.get(id);
        let timer = queue.and_then(|queue| queue.messages.next_timer());
        // What is in flight may hold others back, until it expires.
        let holds_back = queue.is_some_and(|queue| queue.messages.in_flight() > 0);
        let expiry = self.expiry.next_of(id).filter(|at| holds_back && *at > now);
        self.waiters.set_alarm(id, timer.into_iter().chain(expiry).min());
    }

    /// How many more messages of the queue may be in flight.
    fn in_flight_room(&mut self, id: QueueId) -> u64 {
        let queue = self.state.by_id(id).expect("the caller found the queue");
        queue.attributes.in_flight_max.saturating_sub(queue.messages.in_flight())
    }

    fn lease(&mut self, id: QueueId, demand: &Demand, now: LogTime) -> Vec<Delivery> {
        let queue = self.state.by_id(id).expect("the caller found the queue");
        queue.messages.settle(now);
        let messages_max = u64::from(demand.messages_max).min(self.in_flight_room(id)) as u32;
        self.walk(id, messages_max, now);
        let quota = Quota { messages_max: messages_max as usize, bytes_max: demand.bytes_max };
        let found = self.find_waiting(id, quota, now);
        if found.is_empty() {
            return Vec::new();
        }
        let queue = self.state.by_id(id).expect("the caller found the queue");
        if let Some(order) = queue.messages.order_mut() {
            order.take_turn();
        }
        let first_lease = LeaseId::new(self.epoch, self.leases);
        self.leases += found.len() as u64;
        let until = now.plus_ms(self.visibility_ms(id, demand));
        let leased: Vec<_> = found.iter().map(|found| found.lease).collect();
        self.record(|out| out.leased(id, now, until, first_lease, &leased));
        let messages = &self.state.get(id).expect("it was there above").messages;
        let deliveries = (0..).zip(found).map(|(offset, found)| {
            let Candidate { lease: leased, location, sent, first_received } = found;
            let Lease { seq, receive_count, .. } = leased;
            let lease = first_lease.plus(offset);
            let receipt = self.receipts.seal(Receipt { queue: id, seq, lease });
            let reason = messages.reason(seq).cloned();
            Delivery { seq, receipt, receive_count, sent, first_received, reason, location }
        });
        deliveries.collect()
    }
}
