//! Which messages may have been deleted by what is lost.

use roaring::RoaringTreemap;

use super::salvage::Messages;
use crate::ids::{QueueId, Seq};

/// Messages in doubt.
#[derive(Default)]
pub(super) struct Doubts {
    messages: Messages,
    /// Those that are in doubt if a record that deletes is lost of the segment that is read: that is known
    /// when all of it was.
    pending: Messages,
}

impl Doubts {
    /// Messages may be deleted.
    pub(super) fn raise(&mut self, queue: QueueId, messages: RoaringTreemap, is_pending: bool) {
        let doubted = if is_pending { &mut self.pending } else { &mut self.messages };
        *doubted.entry(queue).or_default() |= messages;
    }

    /// A record behind what is lost tells of messages that are in the queue.
    pub(super) fn lift(&mut self, queue: QueueId, messages: &[Seq]) {
        for doubted in [&mut self.messages, &mut self.pending] {
            if let Some(doubted) = doubted.get_mut(&queue) {
                messages.iter().for_each(|seq| {
                    doubted.remove(seq.0);
                });
            }
        }
    }

    /// All of the segment was read: whether a record that deletes is lost of it.
    pub(super) fn decide(&mut self, is_any_lost: bool) {
        let pending = std::mem::take(&mut self.pending);
        for (queue, messages) in pending.into_iter().filter(|_| is_any_lost) {
            self.raise(queue, messages, false);
        }
    }

    /// Everything was read: all of them.
    pub(super) fn take(&mut self) -> Messages {
        std::mem::take(&mut self.messages)
    }
}
