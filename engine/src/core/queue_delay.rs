//! What the delay of a FIFO queue holds back.
//!
//! It is the queue's, and nothing is kept of the messages that it holds back: the first of them is found by
//! its sent time, since those of a FIFO queue ascend. What was received is not held back any more.

use super::Core;
use crate::command::{Counts, ReplyTo};
use crate::ids::{QueueId, Seq};
use crate::index::BrokenIndex;
use crate::time::LogTime;

/// From which message on a queue's delay holds back what was never received.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldBack {
    pub(super) from: Seq,
    pub(super) delay_ms: u64,
}

impl<R: ReplyTo> Core<R> {
    /// What the queue's delay holds back now; `None` of a queue whose messages have delays of their own.
    pub(super) fn held_back(
        &mut self,
        id: QueueId,
        now: LogTime,
    ) -> Result<Option<HeldBack>, BrokenIndex> {
        let queue = self.state.get(id).expect("the caller found the queue");
        let delay_ms = queue.attributes.delay_ms;
        if !queue.attributes.fifo || delay_ms == 0 {
            return Ok(None);
        }
        let from = match now.0.checked_sub(delay_ms) {
            Some(time) => self.index.first_sent_after(id, LogTime(time))?,
            None => Seq(1),
        };
        Ok(Some(HeldBack { from, delay_ms }))
    }

    /// How many messages of the queue are in each state. What a damaged index hides counts as waiting until it
    /// was made anew.
    pub(super) fn counts(&mut self, id: QueueId, now: LogTime) -> Counts {
        let held_back = self.held_back(id, now).ok().flatten();
        let messages = &self.state.get(id).expect("the caller found the queue").messages;
        let mut counts = messages.counts();
        if let Some(HeldBack { from, .. }) = held_back {
            let delayed = messages.backlog_len(from);
            counts.waiting -= delayed;
            counts.delayed += delayed;
        }
        counts
    }

    /// When the first message that the queue's delay holds back is visible.
    pub(super) fn first_held_back_until(&mut self, id: QueueId, now: LogTime) -> Option<LogTime> {
        let HeldBack { from, delay_ms } = self.held_back(id, now).ok()??;
        let messages = &self.state.get(id).expect("the caller found the queue").messages;
        let first = messages.backlog_from(from).next()?;
        let (_, sent) = self.index.find(id, first).ok()??;
        Some(sent.plus_ms(delay_ms))
    }
}
