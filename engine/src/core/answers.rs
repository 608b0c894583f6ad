//! When answers leave: at once, when an entry is written, when it is durable, or never.

use super::{Answer, Core};
use crate::command::{Reply, ReplyTo};
use crate::error::{LogFailure, RequestError};

impl<R: ReplyTo> Core<R> {
    /// A change is answered when it is durable; so is one that was found made already, because
    /// what made it may still be on its way to the disk.
    pub(super) fn answer_when_durable(&mut self, reply_to: R, result: Result<Reply, RequestError>) {
        let answer = (reply_to, result);
        if !self.pending.is_empty() {
            self.pending_answers.push(answer);
        } else if let Some(writing) = &mut self.writing {
            writing.answers.push(answer);
        } else {
            self.answers.push(answer);
        }
    }

    pub(super) fn answer_when_written(&mut self, reply_to: R, reply: Reply) {
        match self.pending.is_empty() {
            false => self.pending_written.push((reply_to, Ok(reply))),
            // Copies of messages that are on their way: as safe as they are.
            true => self.answer_when_durable(reply_to, Ok(reply)),
        }
    }

    /// The writer has written the entry, which is not synced yet.
    pub(crate) fn written(&mut self) {
        if let Some(writing) = &mut self.writing {
            self.answers.append(&mut writing.written_answers);
        }
    }

    /// How many answers may leave now.
    pub(crate) fn answers(&self) -> usize {
        self.answers.len()
    }

    /// The answers that may leave now.
    pub(crate) fn take_answers(&mut self) -> Vec<Answer<R>> {
        std::mem::take(&mut self.answers)
    }

    /// Ends all waits: the store is being closed.
    pub(crate) fn end_waits(&mut self) {
        for (queue, waiter) in self.waiters.take_all() {
            let reply = Reply::Received { queue, deliveries: Vec::new() };
            self.answers.push((waiter.reply_to, Ok(reply)));
        }
    }

    /// The log failed: nobody knows what of the unanswered took effect.
    pub(crate) fn fail(&mut self, failure: &LogFailure) {
        let mut unknown = std::mem::take(&mut self.pending_answers);
        unknown.append(&mut self.pending_written);
        if let Some(writing) = self.writing.take() {
            unknown.extend(writing.answers.into_iter().chain(writing.written_answers));
        }
        let cause = failure.cause.to_string();
        for (reply_to, _) in unknown {
            let error = RequestError::StorageFailed { cause: cause.clone() };
            self.answers.push((reply_to, Err(error)));
        }
        for (_, waiter) in self.waiters.take_all() {
            let error = RequestError::StorageFailed { cause: cause.clone() };
            self.answers.push((waiter.reply_to, Err(error)));
        }
    }
}
