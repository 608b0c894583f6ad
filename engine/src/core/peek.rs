//! Looking at messages without touching them.

use super::{Core, Decided, Decision};
use crate::attributes::check_range;
use crate::command::{BATCH_MESSAGES_MAX, MessageState, PeekFilter, Peeked, Reply, ReplyTo};
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
        self.expire(id, now);
        let queue = self.state.get(id).expect("its name was found");
        // Dead letters keep their sent times, which do not ascend where they are.
        // Whatever number was asked for: behind the end there is nothing.
        let from = from.min(queue.messages.next_seq());
        let first = queue.messages.first_from(from);
        let is_mixed = first.is_some_and(|first| queue.messages.may_be_late(first));
        let expired = queue.attributes.expired_by(now);
        let from = match filter.since.filter(|_| !is_mixed) {
            None => from,
            Some(since) => match self.index.first_sent_after(id, since) {
                Ok(first) => from.max(first),
                // What a damaged index hides comes when that was made anew.
                Err(_) => return Ok(Decided::Now(peeked(Vec::new(), Some(from)))),
            },
        };
        let Ok(held_back) = self.held_back(id, now) else {
            return Ok(Decided::Now(peeked(Vec::new(), Some(from))));
        };
        let queue = self.state.by_id(id).expect("its name was found");
        queue.messages.settle(now);
        let mut states = filter.states;
        // What the queue's delay holds back waits, for all that the queue knows of it.
        states.waiting |= states.delayed && held_back.is_some();
        let (mut messages, mut bytes, mut next) = (Vec::new(), 0u64, None);
        for (looks, (seq, seen)) in queue.messages.look(from, states).enumerate() {
            if looks == LOOKS_MAX {
                next = Some(seq);
                break;
            }
            let held_back = held_back
                .filter(|held_back| seq >= held_back.from && queue.messages.held(seq).is_none());
            let state = if held_back.is_some() { MessageState::Delayed } else { seen.state };
            if !filter.states.contains(state) {
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
            let since = filter.since.filter(|_| is_mixed);
            // What could not be removed yet.
            if since.max(expired).is_some_and(|before| sent <= before) {
                continue;
            }
            bytes += u64::from(location.bytes);
            if messages.len() == max as usize || (bytes > bytes_max && !messages.is_empty()) {
                next = Some(seq);
                break;
            }
            let receive_count = seen.receive_count;
            let visible_from = held_back.map(|held_back| sent.plus_ms(held_back.delay_ms));
            let reason = queue.messages.reason(seq).cloned();
            messages.push(Peeked {
                seq,
                state,
                visible_from,
                receive_count,
                sent,
                reason,
                location,
            });
        }
        Ok(Decided::Now(peeked(messages, next)))
    }
}
