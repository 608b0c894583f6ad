//! Looking at messages without touching them.

use super::{Core, Decided, Decision};
use crate::attributes::check_range;
use crate::command::{BATCH_MESSAGES_MAX, Peeked, Reply, ReplyTo};
use crate::ids::Seq;
use crate::time::LogTime;

impl<R: ReplyTo> Core<R> {
    pub(super) fn peek(
        &mut self,
        name: &str,
        from: Seq,
        max: u32,
        bytes_max: u64,
        now: LogTime,
    ) -> Decision {
        let id = self.queue(name)?.id;
        check_range("max", u64::from(max), 1, BATCH_MESSAGES_MAX as u64)?;
        let queue = self.state.by_id(id).expect("its name was found");
        queue.messages.settle(now);
        let (mut peeked, mut bytes, mut next) = (Vec::new(), 0u64, None);
        for (seq, seen) in queue.messages.from(from) {
            let Ok(indexed) = self.index.find(id, seq) else {
                next = Some(seq);
                break;
            };
            let (location, sent) = indexed.expect("every message in a queue is in the index");
            bytes += u64::from(location.bytes);
            if peeked.len() == max as usize || (bytes > bytes_max && !peeked.is_empty()) {
                next = Some(seq);
                break;
            }
            let (state, receive_count) = (seen.state, seen.receive_count);
            let reason = queue.messages.reason(seq).cloned();
            peeked.push(Peeked { seq, state, receive_count, sent, reason, location });
        }
        Ok(Decided::Now(Reply::Peeked { queue: id, messages: peeked, next }))
    }
}
