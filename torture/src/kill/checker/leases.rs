//! Leases: one consumer at a time.

use super::facts::{Delivered, Facts, Message};
use super::{SLACK, Violation};
use crate::kill::history::Number;

pub(super) fn check(facts: &Facts, violations: &mut Vec<Violation>) {
    for (number, message) in &facts.messages {
        let mut deliveries = message.deliveries.clone();
        deliveries.sort_by_key(|delivery| delivery.began);
        for (at, first) in deliveries.iter().enumerate() {
            // A crash ends leases early; a stop in order does not.
            let same = |other: &&Delivered| {
                other.queue == first.queue && facts.is_restarted_in_order(first.life, other.life)
            };
            for second in deliveries[at + 1..].iter().filter(same) {
                pair(*number, message, first, second, violations);
            }
        }
    }
}

/// `first` was asked for before `second`. Either may have been decided first.
fn pair(
    number: Number,
    message: &Message,
    first: &Delivered,
    second: &Delivered,
    violations: &mut Vec<Violation>,
) {
    let begun = first.began;
    let ended = first.ended.max(second.ended);
    let lease = first.visibility.min(second.visibility);
    // Only who has a lease can give it back, and may do so at any time from then on.
    let was_released = message.releases.iter().any(|at| (begun..ended).contains(at));
    if ended + SLACK < begun + lease && !was_released {
        let text = format!(
            "message {number} came from {} twice, in lives {} and {}, within {} us, both times leased for \
             {lease} us at least",
            first.queue,
            first.life,
            second.life,
            ended - begun
        );
        violations.push(Violation { rule: "lease", number, text });
    }
}
