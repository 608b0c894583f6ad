//! Receives: what they give must be what the model says.

use std::collections::BTreeSet;

use bytes::Bytes;
use forebay_engine::command::{Command, Delivery, Reply};
use forebay_engine::{LogFailure, LogTime, RequestError};

use super::{Attempt, Held, Receive, Run};
use crate::sim::answers::{Answer, nothing};
use crate::sim::check::{Check, holds};
use crate::sim::model::Model;
use crate::sim::model::queue::{Hidden, ModelQueue};
use crate::sim::op::{is_fair, is_fifo};

const VISIBILITY_MS_MAX: u64 = 12 * 3600 * 1000;

/// How long a receive may be asked again.
const ATTEMPT_MS: u64 = 5 * 60 * 1000;

/// What becomes of a receive that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempted {
    New,
    Again,
    /// A message that it got was deleted or changed.
    Refused,
}

impl Run {
    pub(super) fn receive(&mut self, receive: &Receive<'_>) -> Result<(), LogFailure> {
        let Receive { name, max, visibility_s, attempt } = *receive;
        let (mut model, now) = (self.present().clone(), self.store().now());
        model.expire_in(name, now);
        let again = attempt.filter(|_| is_fifo(name)).and_then(|attempt| {
            let id = model.queues.get(name)?.id;
            Some((id, attempt))
        });
        let attempted = match again.map(|key| self.attempted(&model, key, now)) {
            Some(None) => return Ok(()),
            Some(Some(attempted)) => attempted,
            None => Attempted::New,
        };
        let (queue, wait_ms) = (name.to_owned(), Some(0));
        let (visibility_ms, bytes_max) = (visibility_s.map(|s| s * 1000), u64::MAX);
        let attempt = attempt.map(|attempt| format!("attempt {attempt}"));
        let command = Command::Receive { queue, max, wait_ms, visibility_ms, bytes_max, attempt };
        // It does not wait for dead letters.
        let (number, slot) = self.answers.slot_of_the_gone();
        let handled = self.store().handle(command, slot);
        // Answered at once, or refused. If there was no room, what came before was committed for it.
        let answer = self.answers.take(number);
        self.collect();
        let would_wait = answer.is_none() && handled.is_ok();
        if let Some(answer) = answer.or(would_wait.then(|| Ok(nothing()))) {
            match attempted {
                Attempted::Again => self.received_again(&mut model, receive, now, answer),
                Attempted::New => {
                    self.received(&mut model, receive, again, now, answer, would_wait);
                }
                Attempted::Refused => {
                    let is_full = matches!(answer, Err(RequestError::StorageFull { .. }));
                    let is_refused = matches!(answer, Err(RequestError::AttemptSpent { .. }))
                        || is_full && self.faulty;
                    self.tally.holds(Check::Answer, is_refused, || {
                        format!("an attempt whose messages were changed got {answer:?}")
                    });
                }
            }
        }
        self.push(model);
        handled
    }

    /// Whether an attempt gets what it got before. `None`: a lease has just ended, and whether the
    /// store has noticed is left to chance.
    fn attempted(
        &self,
        model: &Model,
        (id, attempt): (u32, u8),
        now: LogTime,
    ) -> Option<Attempted> {
        let queue = model.queues.values().find(|queue| queue.id == id)?;
        let before = self.attempts.get(&(id, attempt));
        let Some(before) = before.filter(|b| now.ms_since(b.time) <= ATTEMPT_MS) else {
            return Some(Attempted::New);
        };
        if before.leases.iter().any(|(held, _)| queue.spent.contains(&held.lease)) {
            return Some(Attempted::Refused);
        }
        let is_untouched = |(held, until): &(Held, LogTime)| {
            queue.messages.get(&held.seq).is_some_and(|message| {
                message.lease == held.lease && message.hidden == Some(Hidden::InFlight(*until))
            })
        };
        if !before.leases.iter().all(is_untouched) {
            return Some(Attempted::New);
        }
        before.leases.iter().all(|(_, until)| *until > now).then_some(Attempted::Again)
    }

    fn received_again(
        &mut self,
        model: &mut Model,
        receive: &Receive<'_>,
        now: LogTime,
        answer: Answer,
    ) {
        let deliveries = match answer {
            Ok(Reply::Received { deliveries, .. }) => deliveries,
            Err(RequestError::StorageFull { .. }) if self.faulty => return,
            other => panic!("a receive was answered with {other:?}"),
        };
        let queue = model.queues.get_mut(receive.name).expect("the attempt was found");
        let attempt = receive.attempt.expect("only an attempt is made again");
        let attempt = self.attempts.get_mut(&(queue.id, attempt)).expect("it was found");
        let given: Vec<_> = deliveries.iter().map(|d| (d.seq.0, d.receipt)).collect();
        let expected: Vec<_> = attempt.leases.iter().map(|(h, _)| (h.seq, h.receipt)).collect();
        self.tally.holds(Check::Answer, given == expected, || {
            format!(
                "an attempt made again got {given:?} of {}, expected {expected:?}",
                receive.name
            )
        });
        let timeout_ms = queue.attributes.visibility_timeout_ms;
        let visibility_ms = receive.visibility_s.map_or(timeout_ms, |s| s * 1000);
        for (held, until) in &mut attempt.leases {
            let message = queue.messages.get_mut(&held.seq).expect("it is untouched");
            let last = message.received.plus_ms(VISIBILITY_MS_MAX);
            *until = now.plus_ms(visibility_ms).min(last);
            message.hidden = Some(Hidden::InFlight(*until));
            message.answers += 1;
        }
        attempt.time = now;
    }

    /// A receive gives what the model says is waiting, in order, and nothing that is not durable.
    fn received(
        &mut self,
        model: &mut Model,
        receive: &Receive<'_>,
        attempt: Option<(u32, u8)>,
        now: LogTime,
        answer: Answer,
        would_wait: bool,
    ) {
        let Receive { name, max, visibility_s, .. } = *receive;
        let (dead_at, is_plain) = (model.dead_at(name), !is_fair(name) && !is_fifo(name));
        let Some(queue) = model.queues.get_mut(name) else {
            assert!(matches!(answer, Err(RequestError::UnknownQueue { .. })), "{answer:?}");
            return;
        };
        let end = *self.visible.get(&queue.id).unwrap_or(&1);
        let expected = queue.receivable((max, end), dead_at, is_plain, now);
        let deliveries = match answer {
            Ok(Reply::Received { deliveries, .. }) => deliveries,
            Err(RequestError::StorageFull { .. }) if self.faulty => return,
            Err(RequestError::InFlightFull { .. }) => {
                assert_eq!((queue.in_flight_room(now), is_fifo(name)), (0, false));
                return;
            }
            other => panic!("a receive was answered with {other:?}"),
        };
        let given: Vec<u64> = deliveries.iter().map(|delivery| delivery.seq.0).collect();
        // Where the disk is full nothing moves, and nothing goes to the back.
        let depends = dead_at.is_some()
            || queue.messages.values().any(|m| m.is_moving)
            || queue.any_comes_again();
        if is_fair(name) || self.faulty && depends {
            let mut waiting: BTreeSet<u64> = queue.waiting(end, now).into_iter().collect();
            if self.faulty {
                // Where the disk was full for a while nothing was marked.
                let mut unmarked = queue.clone();
                unmarked.messages.values_mut().for_each(|message| message.is_moving = false);
                waiting.extend(unmarked.waiting(end, now));
            }
            let is_good = given.iter().all(|seq| waiting.contains(seq))
                && (self.faulty || given.len() == expected.given.len())
                && (is_fair(name) || queue.keeps_order(&given));
            let waiting: Vec<u64> = waiting.into_iter().collect();
            self.tally.holds(broken_by(queue, &given, &waiting, now), is_good, || {
                format!("a receive from {name} gave {given:?} of {waiting:?}")
            });
        } else {
            let check = broken_by(queue, &given, &expected.given, now);
            self.tally.holds(check, given == expected.given, || {
                format!("a receive from {name} gave {given:?}, expected {:?}", expected.given)
            });
        }
        for check in [Check::NoPhantom, Check::DeleteIsFinal, Check::LeaseIsExclusive] {
            self.tally.count(check, given.len() as u64);
        }
        self.tally.count(Check::GroupOrder, u64::from(is_fifo(name)));
        for seq in expected.dead {
            queue.messages.get_mut(&seq).expect("it was found").is_moving = true;
            self.marked.push((queue.id, seq));
        }
        let is_moving = self.marked.iter().any(|(id, _)| *id == queue.id);
        let waits = given.is_empty() && is_moving;
        self.tally.holds(Check::Answer, self.faulty || would_wait == waits, || {
            format!("a receive from {name} gave {given:?} while {:?} move", self.marked)
        });
        let timeout_ms = queue.attributes.visibility_timeout_ms;
        let until = now.plus_ms(visibility_s.map_or(timeout_ms, |s| s * 1000));
        let mut leases = Vec::new();
        for delivery in &deliveries {
            self.leases += 1;
            let message = queue.lease(delivery.seq.0, self.leases, until, now);
            let counts = (delivery.receive_count, delivery.first_received);
            let expected = (message.receive_count, message.first_received);
            self.tally.holds(Check::Timing, counts == expected, || {
                let seq = delivery.seq;
                format!("message {seq} of {name} was received {counts:?}, expected {expected:?}")
            });
            self.held.push(Held {
                queue: queue.id,
                seq: delivery.seq.0,
                lease: self.leases,
                receipt: delivery.receipt,
            });
            leases.push((*self.held.last().expect("it was pushed"), until));
        }
        if let Some(key) = attempt.filter(|_| !leases.is_empty()) {
            self.attempts.insert(key, Attempt { time: now, leases });
        }
        deliveries.iter().for_each(|delivery| self.check_body(delivery));
        // One of them is read late: whatever becomes of its segment meanwhile.
        if let Some(last) = deliveries.last()
            && let Some(message) = model_message(model, last)
        {
            self.unread.push((last.location.clone(), message));
        }
    }

    fn check_body(&self, delivery: &Delivery) {
        let state = self.present();
        let body = state.queues.values().find_map(|queue| {
            (queue.id == delivery.location.queue.0).then(|| queue.messages.get(&delivery.seq.0))?
        });
        let store = self.store.as_ref().expect("the store is open");
        match store.read(&delivery.location) {
            Ok(read) => holds(
                Check::NoPhantom,
                Some(&read.payload) == body.map(|message| &message.payload),
                || format!("message {} has {:?}", delivery.seq, read.payload),
            ),
            Err(error) => holds(Check::NoLoss, self.faulty, || error.to_string()),
        }
    }
}

/// What a delivery must bring.
fn model_message(model: &Model, delivery: &Delivery) -> Option<Bytes> {
    let id = delivery.location.queue.0;
    let queue = model.queues.values().find(|queue| queue.id == id)?;
    Some(queue.messages.get(&delivery.seq.0)?.payload.clone())
}

/// Which promise a receive broke that gave what was not expected; that nothing is lost, if it gave what it
/// might have, but not all of it.
fn broken_by(queue: &ModelQueue, given: &[u64], expected: &[u64], now: LogTime) -> Check {
    let Some(wrong) = given.iter().find(|seq| !expected.contains(seq)) else {
        return match given.len() == expected.len() && given != expected {
            true => Check::GroupOrder,
            false => Check::NoLoss,
        };
    };
    match queue.messages.get(wrong) {
        None if *wrong < queue.next_seq => Check::DeleteIsFinal,
        None => Check::NoPhantom,
        Some(message) if message.is_in_flight(now) => Check::LeaseIsExclusive,
        Some(message) if message.is_hidden(now) => Check::Timing,
        Some(_) if queue.attributes.fifo => Check::GroupOrder,
        Some(_) => Check::Answer,
    }
}
