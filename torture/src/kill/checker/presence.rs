//! Loss and return: what must be there, and what must not.

use super::facts::{Delivered, Facts, Message};
use super::{SLACK, Violation};
use crate::kill::history::{History, Number, queues};

pub(super) fn check(facts: &Facts, history: &History, violations: &mut Vec<Violation>) {
    for (number, message) in &facts.messages {
        returned(*number, message, violations);
        moved_back(*number, message, violations);
        early(*number, message, violations);
    }
    for number in 0..facts.transactions.len() {
        transacted(facts, number, violations);
    }
    let is_there = |message: &Message| match history.inventory {
        Some(life) => message.deliveries.iter().any(|delivery| delivery.life == life),
        None => false,
    };
    if history.drained || history.inventory.is_some() {
        for (number, message) in facts.messages.iter().filter(|(_, message)| !is_there(message)) {
            lost(facts, *number, message, violations);
        }
        for batch in &facts.batches {
            halved(facts, batch, "a batch", violations);
        }
        for transaction in facts.transactions.iter().filter(|one| !one.is_answered) {
            halved(facts, &transaction.sent, "a transaction", violations);
        }
    }
}

/// A receive that was made after a delete was answered brings what was deleted. Only from the same queue,
/// unless the message was leased when it was deleted: a delete that comes after its message has moved
/// succeeds, and leaves the dead letter where it is.
fn returned(number: Number, message: &Message, violations: &mut Vec<Violation>) {
    for ack in message.acks.iter().filter(|ack| ack.is_answered) {
        let is_final = message.was_leased_for(ack);
        let again = message.deliveries.iter().find(|delivery| {
            delivery.began > ack.ended && (is_final || delivery.queue == ack.queue)
        });
        if let Some(again) = again {
            let (queue, life) = (again.queue, again.life);
            let text = format!(
                "message {number} came from {queue} in life {life}, in a receive that was made {} us \
                 after its delete was answered",
                again.began - ack.ended
            );
            return violations.push(Violation { rule: "returned", number, text });
        }
    }
}

/// A dead letter is in its new queue only.
fn moved_back(number: Number, message: &Message, violations: &mut Vec<Violation>) {
    let moved = message.deliveries.iter().filter(|delivery| delivery.queue == queues::DEAD);
    let Some(moved) = moved.map(|delivery| delivery.ended).min() else { return };
    let back = |delivery: &&Delivered| delivery.queue != queues::DEAD && delivery.began > moved;
    if let Some(back) = message.deliveries.iter().find(back) {
        let text = format!(
            "message {number} came from {} in life {} after it was a dead letter",
            back.queue, back.life
        );
        violations.push(Violation { rule: "doubled", number, text });
    }
}

fn early(number: Number, message: &Message, violations: &mut Vec<Violation>) {
    let due = message.send_began + message.delay;
    if let Some(early) = message.deliveries.iter().find(|one| one.ended + SLACK < due) {
        let text =
            format!("message {number} came {} us before its delay had passed", due - early.ended);
        violations.push(Violation { rule: "timing", number, text });
    }
}

/// What a transaction of unknown outcome sent was seen: then its deletes are done too, and at the
/// latest when that was seen.
fn transacted(facts: &Facts, number: usize, violations: &mut Vec<Violation>) {
    let transaction = &facts.transactions[number];
    let seen = |number: &Number| {
        let message = facts.messages.get(number)?;
        message.deliveries.iter().map(|delivery| delivery.ended).min()
    };
    let Some(seen) = transaction.sent.iter().filter_map(seen).min() else { return };
    for acked in &transaction.acked {
        let Some(message) = facts.messages.get(acked) else { continue };
        if let Some(again) = message.deliveries.iter().find(|delivery| delivery.began > seen) {
            let text = format!(
                "message {acked} came from {} in life {} after what was sent in the transaction that \
                 deleted it",
                again.queue, again.life
            );
            violations.push(Violation { rule: "returned", number: *acked, text });
        }
        let mut others = message.acks.iter().filter_map(|ack| ack.transaction);
        let also_done = |other: &usize| {
            let other_one = &facts.transactions[*other];
            *other > number
                && other_one.sent.iter().any(|sent| {
                    facts.messages.get(sent).is_some_and(|sent| !sent.deliveries.is_empty())
                })
        };
        if others.any(|other| also_done(&other)) {
            let text = format!("message {acked} was deleted by two transactions that were done");
            violations.push(Violation { rule: "doubled", number: *acked, text });
        }
    }
}

/// It is not there any more, so if it was stored and not deleted it is lost.
fn lost(facts: &Facts, number: Number, message: &Message, violations: &mut Vec<Violation>) {
    if !message.was_seen() || facts.may_be_unsynced(message) {
        return;
    }
    let was_done = |transaction: usize| {
        let transaction = &facts.transactions[transaction];
        transaction.is_answered
            || transaction
                .sent
                .iter()
                .any(|sent| facts.messages.get(sent).is_some_and(Message::may_have_been))
    };
    // A transaction that may have been done excuses nothing if nothing of it was seen.
    let excuse = message.acks.iter().any(|ack| ack.transaction.is_none_or(was_done));
    if !excuse {
        let (queue, seq) = (message.queue, message.seq.unwrap_or_default());
        let how = match message.send_answered {
            Some(at) => format!("its send was answered at {at} us"),
            None => "it was received".to_owned(),
        };
        let often = message.deliveries.len();
        let text = format!(
            "message {number} of {queue} (seq {seq}) is gone and nobody deleted it: {how}, and it came \
             {often} times"
        );
        violations.push(Violation { rule: "loss", number, text });
    }
}

/// All of a batch was stored, or none of it.
fn halved(facts: &Facts, batch: &[Number], what: &str, violations: &mut Vec<Violation>) {
    let is = |number: &Number, so: fn(&Message) -> bool| facts.messages.get(number).is_some_and(so);
    let seen = batch.iter().filter(|number| is(number, Message::was_seen)).count();
    let is_gone = |number: &&Number| {
        let message = facts.messages.get(number);
        message.is_none_or(|one| !one.may_have_been() && !facts.may_be_unsynced(one))
    };
    let missing = batch.iter().find(is_gone);
    if let (Some(missing), true) = (missing, seen > 0) {
        let text = format!(
            "{seen} of the {} messages of {what} were there, message {missing} was not",
            batch.len()
        );
        violations.push(Violation { rule: "loss", number: *missing, text });
    }
}
