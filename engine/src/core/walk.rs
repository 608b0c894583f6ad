//! The walk along the backlog of a queue whose messages have groups: the order is told, message by
//! message, which group each belongs to.
//!
//! No message is walked over twice, and one walk takes no longer than [`WALK_MESSAGES`] do.

use super::Core;
use crate::command::ReplyTo;
use crate::ids::{Group, QueueId, Seq};
use crate::time::LogTime;

/// So many messages are walked over at once, at the most: some milliseconds.
const WALK_MESSAGES: u64 = 1 << 16;

/// A walk that was cut short goes on after so long, if somebody waits.
pub(super) const REST_MS: u64 = 1;

impl<R: ReplyTo> Core<R> {
    /// Walks on until `wanted` messages can be given, the backlog ends, or it is time for others.
    pub(super) fn walk(&mut self, id: QueueId, wanted: u32, now: LogTime) {
        let Some(queue) = self.state.by_id(id) else { return };
        // Of a FIFO queue the delay is that of the queue: those behind come later still.
        let delay_ms = if queue.attributes.fifo { queue.attributes.delay_ms } else { 0 };
        let messages = &mut queue.messages;
        // What comes after it may be in no index yet.
        let last = messages.last_durable();
        let Some(order) = messages.order_mut() else { return };
        order.rest_until(None);
        let mut left = WALK_MESSAGES;
        while let Some(seq) = order.take_stray(last) {
            if left == 0 {
                order.stray(seq);
                order.rest_until(Some(now.plus_ms(REST_MS)));
                return;
            }
            left -= 1;
            match self.index.group(id, seq) {
                Ok(Some((group, _))) => order.show(group, seq, None),
                // It is gone.
                Ok(None) => {}
                Err(_) => {
                    // What a damaged index hides comes when that was made anew.
                    order.stray(seq);
                    self.postponed.insert(id);
                    return;
                }
            }
        }
        while let Some((first, end)) = messages.to_be_walked(u64::from(wanted)) {
            if left == 0 {
                messages.rest_walk(now.plus_ms(REST_MS));
                return;
            }
            let end = end.min(Seq(first.0 + left));
            for seq in (first.0..end.0).map(Seq) {
                left -= 1;
                match self.index.group(id, seq) {
                    Ok(Some((_, sent))) if delay_ms > 0 && sent.plus_ms(delay_ms) > now => {
                        messages.rest_walk(sent.plus_ms(delay_ms));
                        return;
                    }
                    Ok(Some((group, sent))) => messages.walked(group, seq, sent, now),
                    Ok(None) => messages.walked_to(seq.next()),
                    Err(_) => {
                        self.postponed.insert(id);
                        return;
                    }
                }
                if messages.order().is_none_or(|order| !order.wants_more(u64::from(wanted))) {
                    return;
                }
            }
        }
    }

    /// A message's group; none where a damaged index hides it, or the queue's messages have none.
    pub(super) fn group(&mut self, queue: QueueId, seq: Seq) -> Group {
        match self.state.by_id(queue).is_some_and(|queue| queue.messages.order().is_some()) {
            true => self.index.group(queue, seq).ok().flatten().map_or(Group::NONE, |(g, _)| g),
            false => Group::NONE,
        }
    }
}
