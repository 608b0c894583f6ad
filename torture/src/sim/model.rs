//! The model: what a store must hold, as plain lists.

pub(crate) mod queue;

use std::collections::BTreeMap;

use forebay_engine::attributes::{AttributeChanges, Attributes, DeduplicationScope};
use forebay_engine::command::{Reply, StoredMessages};
use forebay_engine::ids::{QueueId, Seq};
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::{DeadLetter, LogTime, RequestError};

use super::op::{Op, QUEUES, Setting, dead_letter_queue, is_fifo};
use super::{Answer, ShownQueue};
use queue::{Hidden, ModelMessage, ModelQueue, NewBody};

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) queues: BTreeMap<String, ModelQueue>,
    pub(crate) last_queue: u32,
}

/// A receipt that a consumer holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) queue: u32,
    pub(crate) seq: u64,
    pub(crate) lease: u64,
    pub(crate) receipt: SealedReceipt,
}

/// A batch of an idempotent producer.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) queue: usize,
    pub(crate) number: u64,
    pub(crate) oldest: u64,
    pub(crate) bodies: Vec<NewBody>,
}

/// Why a redrive cannot go on.
#[derive(Debug)]
pub(crate) struct NoTarget;

pub(crate) fn reason_of(reason: u8) -> Option<String> {
    (reason > 0).then(|| format!("reason {reason}"))
}

/// The changes of attributes that an operation asks for.
pub(crate) fn changes_of(queue: &str, setting: Setting) -> AttributeChanges {
    let none = AttributeChanges::default();
    match setting {
        Setting::DelayS(seconds) => AttributeChanges { delay_ms: Some(seconds * 1000), ..none },
        Setting::InFlightMax(max) => AttributeChanges { in_flight_max: Some(max), ..none },
        Setting::ReceiveCountMax(count) => {
            let name = dead_letter_queue(queue).filter(|_| count > 0).unwrap_or_default();
            AttributeChanges {
                receive_count_max: Some(if name.is_empty() { 0 } else { count }),
                dead_letter_queue: Some(name.to_owned()),
                ..none
            }
        }
        Setting::RetentionS(seconds) => {
            AttributeChanges { retention_ms: Some(seconds * 1000), ..none }
        }
        Setting::ScopeIsGroup(is_group) => {
            let scope = [DeduplicationScope::Queue, DeduplicationScope::Group];
            let scope = scope[usize::from(is_group && is_fifo(queue))];
            AttributeChanges { deduplication_scope: Some(scope), ..none }
        }
    }
}

/// The changes of attributes with which a queue is created.
pub(crate) fn changes_at_creation(queue: &str, visibility_s: Option<u64>) -> AttributeChanges {
    AttributeChanges {
        visibility_timeout_ms: visibility_s.map(|s| s * 1000),
        fifo: is_fifo(queue).then_some(true),
        ..AttributeChanges::default()
    }
}

fn unknown(name: &str) -> RequestError {
    RequestError::UnknownQueue { name: name.to_owned() }
}

impl Model {
    /// What is older than this queue keeps it is gone. Nobody sees it in other queues either, but there
    /// it comes back if a crash takes the log's time back.
    pub(crate) fn expire_in(&mut self, name: &str, now: LogTime) {
        if let Some(queue) = self.queues.get_mut(name) {
            queue.expire(now);
        }
    }

    pub(crate) fn show(&self, now: LogTime) -> BTreeMap<String, ShownQueue> {
        let mut shown = self.clone();
        shown.queues.values_mut().for_each(|queue| queue.expire(now));
        shown.queues.iter().map(|(name, queue)| (name.clone(), queue.show(now))).collect()
    }

    pub(crate) fn name_of(&self, id: u32) -> Option<&str> {
        let found = self.queues.iter().find(|(_, queue)| queue.id == id);
        found.map(|(name, _)| name.as_str())
    }

    /// How often a queue's messages are received before they are dead letters; `None` if nothing
    /// becomes of them.
    pub(crate) fn dead_at(&self, name: &str) -> Option<u32> {
        self.dead_letter_target(name)?;
        Some(self.queues[name].attributes.receive_count_max as u32)
    }

    fn dead_letter_target(&self, name: &str) -> Option<&str> {
        let attributes = &self.queues.get(name)?.attributes;
        let (name, target) = self.queues.get_key_value(&attributes.dead_letter_queue)?;
        let is_good = attributes.receive_count_max > 0 && target.attributes.fifo == attributes.fifo;
        is_good.then_some(name)
    }

    /// Does a command, and says what it must be answered with.
    pub(crate) fn apply(&mut self, op: &Op, receipts: &[Held], now: LogTime) -> Answer {
        let name = |queue: &usize| QUEUES[queue % QUEUES.len()];
        match op {
            Op::Create { queue, visibility_s } => return self.create(name(queue), *visibility_s),
            Op::Set { queue, setting } => {
                return self.set(name(queue), &changes_of(name(queue), *setting), now);
            }
            Op::Alter { queue, visibility_s } => {
                let visibility_timeout_ms = Some(visibility_s * 1000);
                let changes =
                    AttributeChanges { visibility_timeout_ms, ..AttributeChanges::default() };
                return self.set(name(queue), &changes, now);
            }
            Op::Transact { queue, to, bodies, .. } => {
                return self.transact(name(queue), receipts, name(to), bodies, now);
            }
            _ => {}
        }
        let (Op::Delete { queue }
        | Op::Purge { queue }
        | Op::Send { queue, .. }
        | Op::Ack { queue, .. }
        | Op::ChangeVisibility { queue, .. }
        | Op::Nack { queue, .. }
        | Op::ReturnUndelivered { queue, .. }) = op
        else {
            panic!("{op:?} is no command that the model does");
        };
        let name = name(queue);
        let queue = self.queues.get_mut(name).ok_or_else(|| unknown(name))?;
        if !matches!(op, Op::Send { .. }) {
            queue.expire(now);
        }
        Ok(match op {
            Op::Delete { .. } => {
                self.queues.remove(name);
                Reply::Deleted
            }
            Op::Purge { .. } => {
                let count = queue.messages.len() as u64;
                queue.messages.clear();
                queue.sent.clear();
                Reply::Purged { count }
            }
            Op::Send { bodies, delay_s, .. } => {
                let seqs = queue.send(name, bodies, *delay_s, now);
                sent(queue.queue_id(), &seqs)
            }
            Op::Ack { .. } => {
                let checked = receipts.iter().map(|held| queue.check_ack(held, now));
                let checked: Vec<_> = checked.collect();
                let mut failures = Vec::new();
                for ((index, held), checked) in (0..).zip(receipts).zip(checked) {
                    match checked {
                        Ok(()) => queue.delete(held.seq),
                        Err(error) => failures.push((index, error)),
                    }
                }
                Reply::Changed { failures }
            }
            Op::ChangeVisibility { seconds, .. } => {
                let changed = queue.change(&receipts[0], seconds * 1000, now);
                let failures = changed.err().into_iter().map(|error| (0, error)).collect();
                Reply::Changed { failures }
            }
            Op::Nack { seconds, is_counted, reason, .. } => {
                let held = &receipts[0];
                let changed = queue.change(held, seconds * 1000, now);
                if changed.is_ok() {
                    queue.give_back(held, *is_counted, reason_of(*reason));
                }
                let failures = changed.err().into_iter().map(|error| (0, error)).collect();
                Reply::Changed { failures }
            }
            Op::ReturnUndelivered { .. } => {
                let held = &receipts[0];
                if queue.check(held).is_ok() && queue.has_leased(held, now) {
                    let message = queue.messages.get_mut(&held.seq).expect("it is leased");
                    match message.answers {
                        1 => message.hidden = None,
                        _ => message.answers -= 1,
                    }
                }
                Reply::Changed { failures: Vec::new() }
            }
            _ => unreachable!("matched above"),
        })
    }

    fn create(&mut self, name: &str, visibility_s: Option<u64>) -> Answer {
        let given = changes_at_creation(name, visibility_s);
        if let Some(queue) = self.queues.get(name) {
            if let Some((attribute, given, current)) = given.first_difference(&queue.attributes) {
                let name = name.to_owned();
                return Err(RequestError::QueueExists { name, attribute, given, current });
            }
            return Ok(Reply::Created { queue: queue.queue_id(), created: false });
        }
        self.last_queue += 1;
        let queue = ModelQueue::new(self.last_queue, Attributes::default().with(&given));
        self.queues.insert(name.to_owned(), queue);
        Ok(Reply::Created { queue: QueueId(self.last_queue), created: true })
    }

    fn set(&mut self, name: &str, changes: &AttributeChanges, now: LogTime) -> Answer {
        let queue = self.queues.get(name).ok_or_else(|| unknown(name))?;
        if let Some(target) = changes.dead_letter_queue.as_deref().filter(|name| !name.is_empty())
            && !self.queues.contains_key(target)
        {
            return Err(RequestError::AttributeInvalid {
                attribute: "dead-letter-queue",
                value: target.to_owned(),
                expected: "a queue that exists".to_owned(),
            });
        }
        let attributes = queue.attributes.with(changes);
        let queue = self.queues.get_mut(name).expect("it was found above");
        // First by the retention that it had, then by the one that it has.
        queue.expire(now);
        queue.attributes = attributes;
        queue.expire(now);
        Ok(Reply::Altered)
    }

    /// A batch of an idempotent producer.
    pub(crate) fn send_once(&mut self, name: &str, batch: &Batch, now: LogTime) -> Answer {
        let queue = self.queues.get_mut(name).ok_or_else(|| unknown(name))?;
        let Batch { number, oldest, bodies, .. } = batch;
        if queue.attributes.fifo {
            let seqs = queue.send(name, bodies, None, now);
            return Ok(sent(queue.queue_id(), &seqs));
        }
        if *number < queue.oldest_batch {
            let (batch, oldest) = (*number, queue.oldest_batch);
            return Err(RequestError::BatchForgotten { batch, oldest });
        }
        let (first, count) = match queue.batches.get(number) {
            Some(landed) => *landed,
            None => {
                let landed = (queue.send(name, bodies, None, now)[0], bodies.len() as u32);
                queue.oldest_batch = queue.oldest_batch.max(*oldest);
                queue.batches.insert(*number, landed);
                queue.batches.retain(|number, _| *number >= queue.oldest_batch);
                landed
            }
        };
        let (queue, first) = (queue.queue_id(), Seq(first));
        Ok(Reply::Sent(StoredMessages { queue, first, count, seqs: Vec::new() }))
    }

    fn transact(
        &mut self,
        from: &str,
        receipts: &[Held],
        to: &str,
        bodies: &[NewBody],
        now: LogTime,
    ) -> Answer {
        self.expire_in(from, now);
        let seqs = self.queues.get(from).and_then(|queue| queue.check_all(receipts, now));
        let (Some(seqs), true) = (seqs, self.queues.contains_key(to)) else {
            // What exactly is wrong, and that it is told, is tested elsewhere.
            let cause = RequestError::ShuttingDown.into();
            return Err(RequestError::TransactionRefused { item: String::new(), cause });
        };
        let queue = self.queues.get_mut(from).expect("it was found above");
        seqs.into_iter().for_each(|seq| queue.delete(seq));
        let queue = self.queues.get_mut(to).expect("it was found above");
        let seqs = queue.send(to, bodies, None, now);
        Ok(Reply::Transacted { sent: vec![stored(queue.queue_id(), &seqs)] })
    }

    /// Moves a dead letter, if it is still one; whether it was moved.
    pub(crate) fn move_dead_letter(&mut self, from: u32, seq: u64, now: LogTime) -> bool {
        let Some(source) = self.name_of(from).map(str::to_owned) else { return false };
        self.expire_in(&source, now);
        let target = self.dead_letter_target(&source).map(str::to_owned);
        let dead_at = self.queues[&source].attributes.receive_count_max as u32;
        let queue = self.queues.get_mut(&source).expect("its name was found");
        let Some(message) = queue.messages.get_mut(&seq) else { return false };
        let is_marked = std::mem::take(&mut message.is_moving);
        let is_dead = !message.is_hidden(now) && message.receive_count >= dead_at;
        let (Some(target), true, true) = (target, is_marked, is_dead) else { return false };
        let message = queue.messages.remove(&seq).expect("it was found above");
        let before = message.letter;
        let is_fifo = queue.attributes.fifo;
        let letter = DeadLetter {
            source,
            origin_queue: before.as_ref().map_or(QueueId(from), |before| before.origin_queue),
            origin_seq: before.as_ref().map_or(Seq(seq), |before| before.origin_seq),
            sent: match &before {
                _ if is_fifo => now,
                Some(before) => before.sent,
                None => message.sent,
            },
            first_received: before.as_ref().map_or(message.first_received, |b| b.first_received),
            receive_count: before.as_ref().map_or(0, |b| b.receive_count) + message.receive_count,
            reason: message.reason.or(before.map(|b| b.reason)).unwrap_or_default(),
        };
        // A FIFO queue's messages are as old as their move.
        let sent = if is_fifo { now } else { letter.sent };
        let moved = ModelMessage::new(message.payload, message.group, sent);
        let queue = self.queues.get_mut(&target).expect("its name was found");
        queue.push(ModelMessage { letter: Some(letter), ..moved });
        true
    }

    /// Whether a redrive of the queue may start.
    pub(crate) fn check_redrive(&self, name: &str, to: Option<&str>) -> Result<(), RequestError> {
        let queue = self.queues.get(name).ok_or_else(|| unknown(name))?;
        let is_source = |queue: &ModelQueue| queue.attributes.dead_letter_queue == name;
        if !self.queues.values().any(is_source) {
            return Err(RequestError::NotDeadLetterQueue { name: name.to_owned() });
        }
        let Some(to) = to else { return Ok(()) };
        let target = self.queues.get(to).ok_or_else(|| unknown(to))?;
        match target.attributes.fifo == queue.attributes.fifo && name != to {
            true => Ok(()),
            false => Err(RequestError::BadDestination { name: to.to_owned(), expected: "" }),
        }
    }

    /// Moves a message on behalf of a redrive; false if it stays, because it came from nowhere.
    pub(crate) fn redrive_one(
        &mut self,
        from: &str,
        to: Option<&str>,
        seq: u64,
        now: LogTime,
    ) -> Result<bool, NoTarget> {
        let queue = &self.queues[from];
        let letter = queue.messages[&seq].letter.as_ref();
        let Some(to) = to.or(letter.map(|letter| letter.source.as_str())) else { return Ok(false) };
        let to = to.to_owned();
        let target = self.queues.get(&to).ok_or(NoTarget)?;
        if target.attributes.fifo != queue.attributes.fifo || to == from {
            return Err(NoTarget);
        }
        let delay_ms = target.delay_of_new();
        let queue = self.queues.get_mut(from).expect("it was found above");
        let message = queue.messages.remove(&seq).expect("it was found above");
        let hidden = (delay_ms > 0).then(|| Hidden::Delayed(now.plus_ms(delay_ms)));
        let moved = ModelMessage::new(message.payload, message.group, now);
        let target = self.queues.get_mut(&to).expect("it was found above");
        target.push(ModelMessage { hidden, ..moved });
        Ok(true)
    }
}

fn stored(queue: QueueId, seqs: &[u64]) -> StoredMessages {
    let is_run = (seqs[0]..).zip(seqs).all(|(expected, seq)| expected == *seq);
    let seqs_if_odd = seqs.iter().map(|seq| Seq(*seq)).filter(|_| !is_run).collect();
    StoredMessages { queue, first: Seq(seqs[0]), count: seqs.len() as u32, seqs: seqs_if_odd }
}

fn sent(queue: QueueId, seqs: &[u64]) -> Reply {
    Reply::Sent(stored(queue, seqs))
}
