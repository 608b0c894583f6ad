//! Looking at messages without touching them.

use super::{Core, Decided, Decision};
use crate::attributes::check_range;
use crate::command::{BATCH_MESSAGES_MAX, PeekFilter, Peeked, Reply, ReplyTo};
use crate::ids::Seq;
use crate::time::LogTime;

/// So many messages are looked at for one request, at the most: some milliseconds. Another request
/// goes on from there.
pub(super) const LOOKS_MAX: usize = 1 << 16;

impl<R: ReplyTo> Core<R> {
    pub(super) fn peek(
        &mut self,
        name: &str,
        from: Seq,
        max: u32,
        bytes_max: u64,
        filter: PeekFilter,
        now: LogTime,
    ) -> Decision {
        let id = self.queue(name)?.id;
        check_range("max", u64::from(max), 1, BATCH_MESSAGES_MAX as u64)?;
        let peeked = |messages, next| Reply::Peeked { queue: id, messages, next };
        // Dead letters keep their sent times, which do not ascend where they are.
        let is_mixed = filter.since.is_some() && self.has_dead_letters(name);
        let from = match filter.since.filter(|_| !is_mixed) {
            None => from,
            Some(since) => match self.index.first_sent_after(id, since) {
                Ok(first) => from.max(first),
                // What a damaged index hides comes when that was made anew.
                Err(_) => return Ok(Decided::Now(peeked(Vec::new(), Some(from)))),
            },
        };
        let queue = self.state.by_id(id).expect("its name was found");
        queue.messages.settle(now);
        let (mut messages, mut bytes, mut next) = (Vec::new(), 0u64, None);
        for (looks, (seq, seen)) in queue.messages.look(from, filter.states).enumerate() {
            if looks == LOOKS_MAX {
                next = Some(seq);
                break;
            }
            if !filter.states.contains(seen.state) {
                continue;
            }
            if let Some(group) = filter.group {
                match self.index.group(id, seq) {
                    Ok(found) if found.is_none_or(|(found, _)| found != group) => continue,
                    Ok(_) => {}
                    Err(_) => {
                        next = Some(seq);
                        break;
                    }
                }
            }
            let Ok(indexed) = self.index.find(id, seq) else {
                next = Some(seq);
                break;
            };
            let (location, sent) = indexed.expect("every message in a queue is in the index");
            if is_mixed && filter.since.is_some_and(|since| sent <= since) {
                continue;
            }
            bytes += u64::from(location.bytes);
            if messages.len() == max as usize || (bytes > bytes_max && !messages.is_empty()) {
                next = Some(seq);
                break;
            }
            let (state, receive_count) = (seen.state, seen.receive_count);
            let reason = queue.messages.reason(seq).cloned();
            messages.push(Peeked { seq, state, receive_count, sent, reason, location });
        }
        Ok(Decided::Now(peeked(messages, next)))
    }

    /// Whether messages of other queues come to this one with the times when they were sent there.
    fn has_dead_letters(&self, name: &str) -> bool {
        let is_fifo = self.state.by_name(name).is_some_and(|queue| queue.attributes.fifo);
        !is_fifo && self.state.dead_letter_sources(name, "").next().is_some()
    }
}
