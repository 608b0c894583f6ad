//! How often a message was received: each delivery counts one more, over restarts too, and dead letters are what
//! was received as often as their queue allows.
//!
//! A crash may take leases, and their deliveries from the count, but none from before an answer: the log is one,
//! and what stands in it before something durable is durable. So a count is *at least* one more than that of each
//! delivery before it whose lease was durable: a send was made after it and answered in the same life, or that
//! life ended in order. And it is *at most* one more than the last one before, for each delivery since then that
//! is known, and for each receive whose answer was lost. (Where reads fail there is no such bound: what the disk did
//! not give was received as well.)

use super::Violation;
use super::facts::{Delivered, Facts, Message};
use crate::kill::history::{Micros, queues};

pub(super) fn check(facts: &Facts, violations: &mut Vec<Violation>) {
    for (number, message) in &facts.messages {
        let mut deliveries: Vec<_> = message.deliveries.iter().collect();
        deliveries.sort_by_key(|delivery| delivery.began);
        for (at, delivery) in deliveries.iter().enumerate() {
            let mut tell =
                |text| violations.push(Violation { rule: "receives", number: *number, text });
            let before = || deliveries[..at].iter().filter(|one| one.ended < delivery.began);
            if let Some(earlier) = before().find(|one| forgets(facts, one, delivery)) {
                tell(format!(
                    "message {number} came from {} in life {} as delivery {}, which was durable, and later, \
                     from {} in life {}, as delivery {}",
                    earlier.queue,
                    earlier.life,
                    earlier.receive_count,
                    delivery.queue,
                    delivery.life,
                    delivery.receive_count
                ));
            }
            let last = before().max_by_key(|one| one.ended).copied();
            let most = count_max(facts, message, &deliveries, last, delivery);
            if u64::from(delivery.receive_count) > most && !facts.reads_failed {
                tell(format!(
                    "message {number} came from {} in life {} as delivery {}, but was received at most {most} \
                     times, this time included",
                    delivery.queue, delivery.life, delivery.receive_count
                ));
            }
            dead_letter(facts, delivery).into_iter().for_each(|what| {
                tell(format!("message {number} in life {} {what}", delivery.life));
            });
        }
    }
}

/// Whether a delivery does not count an earlier one, which it must.
fn forgets(facts: &Facts, earlier: &Delivered, delivery: &Delivered) -> bool {
    let is_counted = earlier.life == delivery.life || facts.is_durable(earlier);
    is_counted && earlier.receive_count >= delivery.receive_count
}

/// How often a message was received at most when it was delivered, that delivery included.
fn count_max(
    facts: &Facts,
    message: &Message,
    deliveries: &[&Delivered],
    last: Option<&Delivered>,
    delivery: &Delivered,
) -> u64 {
    // Either of two calls that overlap may have been done first.
    let since: Micros = last.map_or(message.send_began, |last| last.began);
    let known = |one: &&&Delivered| {
        let is_other = (one.call, one.place) != (delivery.call, delivery.place)
            && last.is_none_or(|last| (one.call, one.place) != (last.call, last.place));
        is_other && one.ended >= since && one.began <= delivery.ended
    };
    let known = deliveries.iter().filter(known).count() as u64;
    let most = last.map_or(0, |last| u64::from(last.receive_count)) + known + 1;
    if u64::from(delivery.receive_count) <= most {
        return most;
    }
    // Only now: there are many of them, and messages that need them are few.
    most + facts.receives_lost(message.queue, delivery.queue, since, delivery.ended)
}

/// What a delivery says against the rule of [`queues::RETRY`].
fn dead_letter(facts: &Facts, delivery: &Delivered) -> Option<String> {
    let (count, max) = (delivery.receive_count, queues::RECEIVE_COUNT_MAX);
    match delivery.queue {
        // What is only looked at may be about to be moved.
        queues::RETRY if count > max && facts.inventory != Some(delivery.life) => Some(format!(
            "came from {} as delivery {count}, which delivers a message {max} times",
            queues::RETRY
        )),
        queues::DEAD if count <= max => Some(format!(
            "came from {} as delivery {count}, and is no dead letter before it was delivered {max} times",
            queues::DEAD
        )),
        _ => None,
    }
}
