//! A history sorted by message: when it was sent, delivered, deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::{SLACK, Violation};
use crate::kill::history::{
    Call, Content, Delivery, History, Micros, Number, Outcome, SentMessage, What, queues,
};

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) messages: BTreeMap<Number, Message>,
    /// Batches whose outcome was never known: each is there whole or not.
    pub(super) batches: Vec<Vec<Number>>,
    /// In the order of the history.
    pub(super) transactions: Vec<Transaction>,
    /// Whether sends that were answered before they were synced may be lost.
    power_was_cut: bool,
    /// Whether messages may have been received that came to nobody.
    pub(super) reads_failed: bool,
    /// The life in which everything was only looked at, if there is one.
    pub(super) inventory: Option<u32>,
    /// Lives that ended in order.
    stopped: BTreeSet<u32>,
    /// When the last send of each life was made that was answered: whatever was answered before is durable.
    durable_until: BTreeMap<u32, Micros>,
    /// Receives whose answer was lost, by queue: when they were made, and when that was known.
    receives_lost: BTreeMap<&'static str, Vec<(Micros, Micros)>>,
}

/// What is known of a message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) queue: &'static str,
    pub(super) group: u32,
    pub(super) delay: Micros,
    /// When its first send was made.
    pub(super) send_began: Micros,
    /// When a send of it was first answered.
    pub(super) send_answered: Option<Micros>,
    /// Whether any of its sends may have been done.
    pub(super) may_be_stored: bool,
    /// Its number in its queue, once anybody was told.
    pub(super) seq: Option<u64>,
    pub(super) deliveries: Vec<Delivered>,
    pub(super) acks: Vec<Acked>,
    pub(super) releases: Vec<Micros>,
}

/// One delivery of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered {
    pub(super) queue: &'static str,
    pub(super) life: u32,
    pub(super) began: Micros,
    pub(super) ended: Micros,
    pub(super) visibility: Micros,
    pub(super) receive_count: u32,
    /// The call, and the place in its answer.
    pub(super) call: usize,
    pub(super) place: usize,
}

/// One deletion of a message that may have been done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acked {
    pub(super) queue: &'static str,
    pub(super) life: u32,
    pub(super) began: Micros,
    pub(super) ended: Micros,
    pub(super) is_answered: bool,
    /// The transaction that it was a part of.
    pub(super) transaction: Option<usize>,
}

/// A transaction that may have been done.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) is_answered: bool,
    pub(super) acked: Vec<Number>,
    pub(super) sent: Vec<Number>,
}

impl Message {
    /// Whether anything shows that it was stored.
    pub(super) fn was_seen(&self) -> bool {
        self.send_answered.is_some() || !self.deliveries.is_empty()
    }

    /// Whether it may have been stored, and deleted again: who deletes it had received it, though maybe later
    /// than a state is of that is looked at.
    pub(super) fn may_have_been(&self) -> bool {
        self.was_seen() || !self.acks.is_empty()
    }

    /// Whether an ack was made while the lease of its receipt ran for certain. The message was then in that
    /// queue, and not on its way to another.
    pub(super) fn was_leased_for(&self, ack: &Acked) -> bool {
        self.deliveries.iter().any(|delivery| {
            let is_its = (delivery.queue, delivery.life) == (ack.queue, ack.life);
            let released = self.releases.iter().any(|at| (delivery.began..ack.ended).contains(at));
            let runs = ack.ended + SLACK < delivery.began + delivery.visibility;
            is_its && delivery.ended <= ack.began && runs && !released
        })
    }

    /// The earliest moment at which it may have been deleted.
    pub(super) fn may_be_gone_from(&self) -> Option<Micros> {
        self.acks.iter().map(|ack| ack.began).min()
    }
}

impl Facts {
    /// Sorts a history, and tells of what cannot be right in any order.
    pub(super) fn gather(history: &History, violations: &mut Vec<Violation>) -> Self {
        let (inventory, stopped) = (history.inventory, history.stopped.clone());
        let History { power_was_cut, reads_failed, .. } = *history;
        let mut facts = Self { power_was_cut, reads_failed, inventory, stopped, ..Self::default() };
        // All sends first: a delivery may end before the answer to its send does.
        for call in &history.calls {
            match &call.what {
                What::Send { queue, messages } => facts.sent(call, queue, messages, violations),
                What::Transact { to, messages, .. } => facts.sent(call, to, messages, violations),
                _ => {}
            }
        }
        for (number, call) in history.calls.iter().enumerate() {
            refused(call, violations);
            match &call.what {
                What::Send { .. } => {}
                What::Receive { queue, visibility_ms, deliveries } => {
                    if call.outcome == Outcome::Unknown {
                        let lost = facts.receives_lost.entry(queue).or_default();
                        lost.push((call.began, call.ended));
                    }
                    for (place, delivery) in deliveries.iter().enumerate() {
                        let at = (number, place, visibility_ms * 1000);
                        facts.delivered(call, queue, at, delivery, violations);
                    }
                }
                What::Ack { queue, messages, invalid } => {
                    facts.acked(call, queue, messages, None);
                    invalid.iter().for_each(|number| disowned(*number, violations));
                }
                What::Release { messages, .. } => facts.released(call, messages),
                What::Transact { from, acked, messages, .. } => {
                    if call.outcome != Outcome::Failed {
                        let transaction = Some(facts.transactions.len());
                        facts.acked(call, from, acked, transaction);
                        facts.transactions.push(Transaction {
                            is_answered: call.outcome == Outcome::Ok,
                            acked: acked.clone(),
                            sent: messages.iter().map(|sent| sent.number).collect(),
                        });
                    }
                }
                What::Purge { queue } => facts.purged(call, queue),
                What::Count { queue, messages } => counted(queue, messages, violations),
            }
        }
        facts
    }

    /// Whether a message may be gone because its queue answered before it synced.
    pub(super) fn may_be_unsynced(&self, message: &Message) -> bool {
        self.power_was_cut && message.queue == queues::WRITTEN
    }

    /// Whether a delivery's lease outlives the end of its life.
    pub(super) fn is_durable(&self, delivery: &Delivered) -> bool {
        let until = self.durable_until.get(&delivery.life);
        self.stopped.contains(&delivery.life) || until.is_some_and(|until| delivery.ended < *until)
    }

    /// Whether the server was started again in order only between two lives: then no lease ended early.
    pub(super) fn is_restarted_in_order(&self, from: u32, to: u32) -> bool {
        (from..to).all(|life| self.stopped.contains(&life))
    }

    /// How many receives may have got a message in that time, unknown to anybody: from its own queue, and if it
    /// came from another, from that.
    pub(super) fn receives_lost(&self, home: &str, queue: &str, from: Micros, to: Micros) -> u64 {
        let mut queues = vec![home, queue];
        queues.dedup();
        let lost = queues.into_iter().filter_map(|queue| self.receives_lost.get(queue)).flatten();
        lost.filter(|(began, ended)| *ended >= from && *began <= to).count() as u64
    }

    fn sent(
        &mut self,
        call: &Call,
        queue: &'static str,
        messages: &[SentMessage],
        violations: &mut Vec<Violation>,
    ) {
        for sent in messages {
            let message = self.messages.entry(sent.number).or_insert_with(|| Message {
                queue,
                group: sent.group,
                delay: sent.delay_ms * 1000,
                send_began: call.began,
                send_answered: None,
                may_be_stored: false,
                seq: None,
                deliveries: Vec::new(),
                acks: Vec::new(),
                releases: Vec::new(),
            });
            message.send_began = message.send_began.min(call.began);
            message.may_be_stored |= call.outcome != Outcome::Failed;
            if call.outcome == Outcome::Ok {
                let first = message.send_answered.map_or(call.ended, |at| at.min(call.ended));
                message.send_answered = Some(first);
                message.is_numbered(sent.number, sent.seq, violations);
            }
        }
        if call.outcome == Outcome::Ok && queues::is_sent_once(queue) {
            let until = self.durable_until.entry(call.life).or_default();
            *until = call.began.max(*until);
        }
        let is_batch = matches!(call.what, What::Send { .. }) && messages.len() > 1;
        if is_batch && call.outcome == Outcome::Unknown {
            self.batches.push(messages.iter().map(|sent| sent.number).collect());
        }
    }

    fn delivered(
        &mut self,
        call: &Call,
        queue: &'static str,
        (number_of_call, place, visibility): (usize, usize, Micros),
        delivery: &Delivery,
        violations: &mut Vec<Violation>,
    ) {
        let seq = delivery.seq;
        let mut tell = |rule, number, text| violations.push(Violation { rule, number, text });
        let number = match &delivery.content {
            Content::Message(number) => *number,
            Content::Before { round, number } => {
                let text = format!(
                    "{queue} gave message {number} of round {round} (seq {seq}), after which all \
                     messages were deleted"
                );
                return tell("returned", *number, text);
            }
            Content::Garbage(found) => {
                let text = format!("{queue} gave, as seq {seq}, what nobody sent: {found}");
                return tell("phantom", 0, text);
            }
            Content::Damaged => {
                let text = format!("{queue} gave seq {seq} with a checksum that does not match");
                return tell("phantom", 0, text);
            }
        };
        let Some(message) = self.messages.get_mut(&number) else {
            let text = format!("{queue} gave message {number} (seq {seq}), which nobody sent");
            return tell("phantom", number, text);
        };
        if !queues::may_come_from(message.queue, queue) {
            let home = message.queue;
            let text = format!("{queue} gave message {number}, which was sent to {home}");
            return tell("phantom", number, text);
        }
        if !message.may_be_stored {
            let text = format!("{queue} gave message {number}, whose send was refused");
            return tell("phantom", number, text);
        }
        if call.ended < message.send_began {
            let text = format!("{queue} gave message {number} before it was sent");
            return tell("phantom", number, text);
        }
        let at_home = if message.queue == queue { seq } else { delivery.origin_seq };
        message.is_numbered(number, at_home, violations);
        message.deliveries.push(Delivered {
            queue,
            life: call.life,
            began: call.began,
            ended: call.ended,
            visibility,
            receive_count: delivery.receive_count,
            call: number_of_call,
            place,
        });
    }

    fn acked(
        &mut self,
        call: &Call,
        queue: &'static str,
        messages: &[Number],
        transaction: Option<usize>,
    ) {
        if call.outcome == Outcome::Failed {
            return;
        }
        for number in messages {
            if let Some(message) = self.messages.get_mut(number) {
                message.acks.push(Acked {
                    queue,
                    life: call.life,
                    began: call.began,
                    ended: call.ended,
                    is_answered: call.outcome == Outcome::Ok,
                    transaction,
                });
            }
        }
    }

    /// What was sent before is deleted, as if by an ack; what was sent meanwhile may be.
    fn purged(&mut self, call: &Call, queue: &'static str) {
        if call.outcome == Outcome::Failed {
            return;
        }
        let here = self.messages.values_mut();
        for message in here.filter(|one| one.queue == queue && one.send_began <= call.ended) {
            let was_there = message.send_answered.is_some_and(|at| at < call.began);
            message.acks.push(Acked {
                queue,
                life: call.life,
                began: call.began,
                ended: call.ended,
                is_answered: call.outcome == Outcome::Ok && was_there,
                transaction: None,
            });
        }
    }

    fn released(&mut self, call: &Call, messages: &[Number]) {
        if call.outcome == Outcome::Failed {
            return;
        }
        for number in messages {
            if let Some(message) = self.messages.get_mut(number) {
                message.releases.push(call.began);
            }
        }
    }
}

impl Message {
    /// Somebody was told its number: it has one.
    fn is_numbered(&mut self, number: Number, seq: u64, violations: &mut Vec<Violation>) {
        match self.seq {
            None => self.seq = Some(seq),
            Some(known) if known != seq => {
                let queue = self.queue;
                let text =
                    format!("message {number} is in {queue} as seq {known} and as seq {seq}");
                violations.push(Violation { rule: "doubled", number, text });
            }
            Some(_) => {}
        }
    }
}

/// What these clients ask for is never to be answered so.
const NEVER: [&str; 8] = [
    "Malformed",
    "UnknownOperation",
    "UnknownQueue",
    "ChecksumMismatch",
    "BatchForgotten",
    "ReceiptInvalid",
    "Damaged",
    "Internal",
];

fn refused(call: &Call, violations: &mut Vec<Violation>) {
    if NEVER.contains(&&*call.code) {
        let text = format!("in life {}: {}", call.life, call.error);
        violations.push(Violation { rule: "refusal", number: 0, text });
    }
}

/// A receipt is good as long as its store is, whatever was lost in a crash.
fn disowned(number: Number, violations: &mut Vec<Violation>) {
    let text = format!("the receipt of message {number} was refused as no receipt of this server");
    violations.push(Violation { rule: "receipt", number, text });
}

fn counted(queue: &str, messages: &[u64; 4], violations: &mut Vec<Violation>) {
    if messages.iter().any(|count| *count > 0) {
        let [waiting, leased, delayed, damaged] = messages;
        let text = format!(
            "{queue} was drained and says: {waiting} waiting, {leased} in flight, {delayed} delayed, \
             {damaged} damaged"
        );
        violations.push(Violation { rule: "count", number: 0, text });
    }
}
