//! Order: of seqs, and within FIFO groups.

use std::collections::{BTreeMap, HashMap};

use super::Violation;
use super::facts::{Delivered, Facts, Message};
use crate::kill::history::{Micros, Number, queues};

pub(super) fn check(facts: &Facts, violations: &mut Vec<Violation>) {
    for queue in queues::ALL {
        let here = facts.messages.iter().filter(|(_, message)| message.queue == queue);
        let numbered: Vec<_> = here.filter(|(_, message)| message.seq.is_some()).collect();
        one_seq_each(&numbered, violations);
        by_time(&numbered, violations);
    }
    let mut groups: BTreeMap<u32, Vec<(&Number, &Message)>> = BTreeMap::new();
    for (number, message) in &facts.messages {
        if message.queue == queues::ORDERS && message.seq.is_some() {
            groups.entry(message.group).or_default().push((number, message));
        }
    }
    for mut group in groups.into_values() {
        group.sort_by_key(|(_, message)| message.seq);
        fifo(&group, violations);
    }
}

fn one_seq_each(numbered: &[(&Number, &Message)], violations: &mut Vec<Violation>) {
    let mut taken: HashMap<u64, Number> = HashMap::new();
    for (number, message) in numbered {
        let Some(seq) = message.seq else { continue };
        if let Some(other) = taken.insert(seq, **number) {
            let queue = message.queue;
            let text = format!("messages {other} and {number} are both seq {seq} of {queue}");
            violations.push(Violation { rule: "doubled", number: **number, text });
        }
    }
}

/// What was answered before another send began has the lesser seq.
fn by_time(numbered: &[(&Number, &Message)], violations: &mut Vec<Violation>) {
    let mut began: Vec<_> = numbered.to_vec();
    began.sort_by_key(|(_, message)| message.send_began);
    let mut answered: Vec<(Micros, u64, Number)> = numbered
        .iter()
        .filter_map(|(number, message)| Some((message.send_answered?, message.seq?, **number)))
        .collect();
    answered.sort_unstable();
    let mut answered = answered.into_iter().peekable();
    let mut greatest: Option<(u64, Number)> = None;
    for (number, message) in began {
        while let Some((_, seq, other)) =
            answered.next_if(|(ended, _, _)| *ended < message.send_began)
        {
            greatest = greatest.max(Some((seq, other)));
        }
        if let (Some((seq_before, before)), Some(seq)) = (greatest, message.seq)
            && seq < seq_before
        {
            let queue = message.queue;
            let text = format!(
                "message {number} of {queue} has seq {seq}, and message {before}, which was answered \
                 before the other was sent, has seq {seq_before}"
            );
            violations.push(Violation { rule: "order", number: *number, text });
        }
    }
}

/// Nothing comes while an earlier one of its group is there, but with it and behind it.
fn fifo(group: &[(&Number, &Message)], violations: &mut Vec<Violation>) {
    // Of all up to each, the moment before which one of them was there for certain.
    let mut there_until: Micros = 0;
    for (at, (number, message)) in group.iter().enumerate() {
        for delivery in &message.deliveries {
            if delivery.ended >= there_until {
                continue;
            }
            let ahead = group[..at].iter().rev().find(|(_, earlier)| {
                gone_from(earlier) > delivery.ended && !came_with(earlier, delivery)
            });
            if let Some((earlier, _)) = ahead {
                let text = format!(
                    "message {number} of group {} came in life {}, and message {earlier}, which was \
                     sent before it, was not deleted",
                    message.group, delivery.life
                );
                violations.push(Violation { rule: "order", number: **number, text });
            }
        }
        there_until = there_until.max(gone_from(message));
    }
}

fn gone_from(message: &Message) -> Micros {
    message.may_be_gone_from().unwrap_or(Micros::MAX)
}

/// Whether a message came in the same answer, ahead of a delivery.
fn came_with(message: &Message, delivery: &Delivered) -> bool {
    let before = |other: &Delivered| other.call == delivery.call && other.place < delivery.place;
    message.deliveries.iter().any(before)
}
