//! Decisions about redrives: start, list, cancel; and which messages they move next.
//!
//! A redrive is a fact of its queue's state; how fast it goes is in `runs`, and forgotten by a
//! restart. It takes whatever is visible of the messages that were there when it started, the
//! oldest first, and is at its end when there is nothing more to take.

use super::moves::Chosen;
use super::runs::{LEFT_MAX, Run};
use super::{Core, Decided, Decision, LAST_BYTES};
use crate::attributes::check_range;
use crate::command::{REDRIVE_RATE_MAX, RedriveInfo, RedriveState, Reply, ReplyTo};
use crate::error::RequestError;
use crate::ids::{QueueId, RedriveId};
use crate::location::Location;
use crate::log::reader::StoredMessage;
use crate::record::{Moved, RedriveEnded, RedriveOutcome, RedriveStarted};
use crate::state::Queue;
use crate::state::redrives::Redrive;
use crate::time::LogTime;

/// More than a record of a redrive's start or end takes.
pub(super) const REDRIVE_RECORD_BYTES: u64 = 512;

/// So many redrives run at once (SQS).
const REDRIVES_MAX: usize = 100;

/// What a redrive finds to take.
enum Taken {
    Messages(Vec<Chosen>),
    /// It is not known yet where the next one is, or which comes next.
    Postponed,
    /// The walk along the backlog goes on then.
    Rests(LogTime),
    /// Others must arrive first.
    Nothing,
    /// There is nothing more.
    Done,
}

impl<R: ReplyTo> Core<R> {
    pub(super) fn start_redrive(
        &mut self,
        name: &str,
        destination: &str,
        rate: u64,
        now: LogTime,
    ) -> Decision {
        let id = self.queue(name)?.id;
        self.expire(id, now);
        let queue = self.state.get(id).expect("its name was found");
        check_range("rate", rate, 0, REDRIVE_RATE_MAX)?;
        if self.state.dead_letter_sources(name, "").next().is_none() {
            return Err(RequestError::NotDeadLetterQueue { name: name.to_owned() });
        }
        if !destination.is_empty() {
            let target = self.queue(destination)?;
            if let Some(expected) = mismatch(queue, target) {
                let name = destination.to_owned();
                return Err(RequestError::BadDestination { name, expected });
            }
        }
        if let Some(running) = queue.redrives.running() {
            return Err(RequestError::RedriveRunning {
                name: name.to_owned(),
                redrive: running.id,
            });
        }
        if self.redrives.len() >= REDRIVES_MAX {
            return Err(RequestError::TooManyRedrives { max: REDRIVES_MAX });
        }
        // It takes space for good, as sends do.
        self.check_sends_allowed()?;
        self.check_room(REDRIVE_RECORD_BYTES, LAST_BYTES)?;
        let (id, redrive) = (queue.id, queue.redrives.next_id(queue.id));
        let (through, to_move) = (queue.last_seq(), queue.messages.len());
        let started =
            RedriveStarted { redrive, time: now, rate, through, to_move, moved: 0, destination };
        self.record(|out| out.redrive_started(&started));
        let queue = self.state.get(id).expect("its name was found");
        self.redrives.add(queue.redrives.running().expect("it was started"), now);
        Ok(Decided::WhenDurable(Reply::RedriveStarted { redrive, to_move }))
    }

    /// Answered when it is durable how far they are: what was told of a move stays true.
    pub(super) fn list_redrives(&self, name: &str) -> Decision {
        let queue = self.queue(name)?;
        let redrives = queue.redrives.iter().rev().map(|redrive| info(queue, redrive)).collect();
        Ok(Decided::WhenDurable(Reply::RedrivesListed { redrives }))
    }

    pub(super) fn cancel_redrive(&mut self, redrive: RedriveId, now: LogTime) -> Decision {
        let known = self.state.get(redrive.queue()).and_then(|queue| queue.redrives.get(redrive));
        let end = known.map(|known| known.end.as_ref().map(|end| end.outcome));
        let reason = match end {
            Some(None) => None,
            Some(Some(RedriveOutcome::Completed)) => Some("it has completed"),
            Some(Some(RedriveOutcome::Cancelled)) => Some("it was cancelled before"),
            Some(Some(RedriveOutcome::Failed)) => Some("it has failed"),
            None => Some("none of this number is known"),
        };
        if let Some(reason) = reason {
            return Err(RequestError::UnknownRedrive { redrive, reason });
        }
        let moved = known.map_or(0, |running| running.moved);
        self.check_room(REDRIVE_RECORD_BYTES, LAST_BYTES)?;
        self.record_end(redrive, RedriveOutcome::Cancelled, moved, "", now);
        Ok(Decided::WhenDurable(Reply::RedriveCancelled { moved }))
    }

    /// Ends a redrive, or, where there is no room to say so, lets it come to its end again.
    pub(super) fn end_redrive(
        &mut self,
        redrive: RedriveId,
        outcome: RedriveOutcome,
        reason: &str,
        now: LogTime,
    ) {
        let Some(queue) = self.state.get(redrive.queue()) else { return };
        let moved = queue.redrives.get(redrive).map_or(0, |redrive| redrive.moved);
        if self.has_room_now(REDRIVE_RECORD_BYTES, LAST_BYTES) {
            self.record_end(redrive, outcome, moved, reason, now);
        } else if let Some(run) = self.redrives.get_mut(redrive.queue()) {
            run.postpone();
        }
    }

    fn record_end(
        &mut self,
        redrive: RedriveId,
        outcome: RedriveOutcome,
        moved: u64,
        reason: &str,
        now: LogTime,
    ) {
        let ended = RedriveEnded { redrive, time: now, outcome, moved, reason };
        self.record(|out| out.redrive_ended(&ended));
        self.redrives.remove(redrive.queue());
    }

    /// Moves a message on behalf of a redrive, if that still runs; or ends it if it cannot go on.
    pub(super) fn redrive_one(
        &mut self,
        redrive: RedriveId,
        location: &Location,
        stored: &StoredMessage,
        now: LogTime,
    ) {
        let (from_queue, from_seq) = (location.queue, location.seq);
        let Some(queue) = self.state.get(from_queue) else { return };
        let Some(running) = queue.redrives.running().filter(|running| running.id == redrive) else {
            return;
        };
        let count = running.moved + 1;
        // Who sent it here meant it to be here.
        let is_at_home = running.destination.is_empty() && stored.dead_letter.is_none();
        let is_too_large = !self.can_be_moved(location);
        if is_at_home || is_too_large {
            let run = self.redrives.get_mut(from_queue);
            if !run.is_none_or(|run| run.leave(from_seq, is_too_large)) {
                let why = match is_too_large {
                    true => "do not fit a segment",
                    false => "came from no other queue: they need a destination",
                };
                let reason = format!("more than {LEFT_MAX} messages {why}");
                self.end_redrive(redrive, RedriveOutcome::Failed, &reason, now);
            }
            return;
        }
        let target = match self.redrive_target(queue, running, stored) {
            Ok(target) => target,
            Err(reason) => {
                self.end_redrive(redrive, RedriveOutcome::Failed, &reason, now);
                return;
            }
        };
        // A message like any that is sent now.
        let delay_ms = target.attributes.stored_delay_ms();
        let visible_from = (delay_ms > 0).then(|| now.plus_ms(delay_ms));
        let message = self.moved_message(target.id, stored, visible_from);
        let moved = Moved {
            message,
            from_queue,
            from_seq,
            origin_queue: message.queue,
            origin_seq: message.seq,
            sent: now,
            first_received: LogTime::default(),
            receive_count: 0,
            time: now,
            redrive: Some((redrive, count)),
            reason: "",
            source: "",
        };
        let queue = message.queue;
        self.record(|out| out.moved(&moved));
        self.message_came(queue, now);
    }

    /// Where a redrive has to bring a message of its queue; if nowhere, why.
    pub(super) fn redrive_target(
        &self,
        queue: &Queue,
        redrive: &Redrive,
        stored: &StoredMessage,
    ) -> Result<&Queue, String> {
        let name = match (&*redrive.destination, &stored.dead_letter) {
            ("", Some(dead_letter)) => &dead_letter.source,
            (destination, _) => destination,
        };
        let target = self.state.by_name(name);
        let target = target.ok_or_else(|| format!("queue \"{name}\" does not exist"))?;
        match mismatch(queue, target) {
            None => Ok(target),
            Some(expected) => Err(format!("queue \"{name}\" gets them, expected {expected}")),
        }
    }

    /// Lets those take messages that are due.
    pub(super) fn step_redrives(&mut self, now: LogTime) {
        for queue in self.redrives.due(now) {
            let Some(run) = self.redrives.get_mut(queue) else { continue };
            run.refill(now);
            let (id, allowed) = (run.id, run.allowed());
            if allowed == 0 && run.under_way > 0 {
                run.go_on(now);
                continue;
            }
            let taken = match self.check_sends_allowed() {
                Ok(()) => self.take_redriven(queue, allowed.max(1), now),
                Err(_) => Taken::Postponed,
            };
            let run = self.redrives.get_mut(queue).expect("it was there above");
            match taken {
                Taken::Messages(_) if allowed == 0 => run.go_on(now),
                Taken::Messages(messages) => {
                    run.took(messages.len() as u64);
                    run.go_on(now);
                    self.begin_moving(queue, Some(id), messages, now);
                }
                Taken::Postponed => {
                    run.postpone();
                }
                Taken::Rests(until) => run.rest(Some(until)),
                Taken::Nothing => run.rest(None),
                // What is under way may turn out to stay.
                Taken::Done if run.under_way > 0 => run.rest(None),
                Taken::Done => {
                    let reason = self.left_by(queue);
                    self.end_redrive(id, RedriveOutcome::Completed, &reason, now);
                }
            }
        }
    }

    /// What a redrive says at its end of messages that it has left where they are.
    fn left_by(&mut self, id: QueueId) -> String {
        let (Some(run), Some(queue)) = (self.redrives.get_mut(id), self.state.by_id(id)) else {
            return String::new();
        };
        let left = run.left().filter(|(seq, _)| queue.messages.contains(*seq));
        let (large, at_home): (Vec<_>, Vec<_>) = left.partition(|(_, is_too_large)| *is_too_large);
        let at_home = match at_home.len() {
            0 => None,
            1 => Some("1 message was left: it came from no other queue".to_owned()),
            count => Some(format!("{count} messages were left: they came from no other queue")),
        };
        let large = match large.len() {
            0 => None,
            1 => Some("1 message was left: it does not fit a segment".to_owned()),
            count => Some(format!("{count} messages were left: they do not fit a segment")),
        };
        at_home.into_iter().chain(large).collect::<Vec<_>>().join("; ")
    }

    fn take_redriven(&mut self, id: QueueId, max: u64, now: LogTime) -> Taken {
        self.expire(id, now);
        let Some(queue) = self.state.by_id(id) else { return Taken::Nothing };
        queue.messages.settle(now);
        // Those that it leaves are come upon again, and more are wanted behind them.
        let wanted = max.saturating_add(self.redrives.get(id).map_or(0, Run::left_count));
        self.walk(id, u32::try_from(wanted).unwrap_or(u32::MAX), now);
        let queue = self.state.by_id(id).expect("it was there above");
        let Some(through) = queue.redrives.running().map(|redrive| redrive.through) else {
            return Taken::Nothing;
        };
        let is_ordered = queue.messages.order().is_some();
        let expired = queue.attributes.expired_by(now);
        let run = self.redrives.get(id);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for (seq, group) in queue.messages.waiting() {
            if seq > through {
                // Only those of a plain queue come by their numbers.
                if is_ordered { continue } else { break }
            }
            if run.is_some_and(|run| run.has_left(seq)) {
                continue;
            }
            if taken.len() as u64 == max {
                break;
            }
            if !self.moves.redrive_has_room(taken.len(), bytes) {
                return if taken.is_empty() { Taken::Nothing } else { Taken::Messages(taken) };
            }
            match self.index.find(id, seq) {
                Ok(found) => {
                    let (location, sent) = found.expect("every message in a queue is in the index");
                    // It could not be removed yet.
                    if expired.is_some_and(|expired| sent <= expired) {
                        continue;
                    }
                    bytes += u64::from(location.bytes);
                    taken.push(Chosen { group, location, sent });
                }
                Err(_) if taken.is_empty() => return Taken::Postponed,
                Err(_) => break,
            }
        }
        if !taken.is_empty() {
            return Taken::Messages(taken);
        }
        match queue.messages.next_walk() {
            _ if queue.messages.last_durable() < through => Taken::Postponed,
            // The walk ended at what a damaged index hides.
            _ if self.postponed.contains(&id) => Taken::Postponed,
            Some(until) => Taken::Rests(until),
            None => Taken::Done,
        }
    }
}

/// What the destination of a queue's redrives should be, if it is not that.
fn mismatch(queue: &Queue, target: &Queue) -> Option<&'static str> {
    match target.attributes.fifo == queue.attributes.fifo {
        _ if target.id == queue.id => Some("another queue"),
        true => None,
        false if queue.attributes.fifo => Some("a FIFO queue, as the dead-letter queue is"),
        false => Some("a queue that is not FIFO, as the dead-letter queue is not"),
    }
}

fn info(queue: &Queue, redrive: &Redrive) -> RedriveInfo {
    let end = redrive.end.as_ref();
    RedriveInfo {
        redrive: redrive.id,
        state: match end.map(|end| end.outcome) {
            None => RedriveState::Running,
            Some(RedriveOutcome::Completed) => RedriveState::Completed,
            Some(RedriveOutcome::Cancelled) => RedriveState::Cancelled,
            Some(RedriveOutcome::Failed) => RedriveState::Failed,
        },
        source: queue.name.clone(),
        destination: redrive.destination.clone(),
        rate: redrive.rate,
        moved: redrive.moved,
        to_move: redrive.to_move,
        started: redrive.started,
        ended: end.map(|end| end.time),
        reason: end.map_or_else(String::new, |end| end.reason.clone()),
    }
}
