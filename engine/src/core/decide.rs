//! Commands to decisions: one exhaustive match. What is decided stands in a file for each kind.

use std::sync::Arc;

use super::Core;
use super::receives::Asked;
use super::waiters::{Demand, Until};
use crate::command::{Command, Reply, ReplyTo};
use crate::error::RequestError;
use crate::ids::QueueId;
use crate::time::LogTime;

/// How a command was decided.
pub(super) enum Decided {
    /// Answered at once: nothing changed that the answer tells of.
    Now(Reply),
    /// Answered when everything decided so far is durable.
    WhenDurable(Reply),
    /// Answered when everything decided so far is written: not lost when the process is killed.
    WhenWritten(Reply),
    /// Refused for what may still be on its way to the disk: told when that is durable.
    RefusedWhenDurable(RequestError),
    /// Waits for a message.
    Waits(QueueId, Demand, Option<Arc<str>>, Until),
}

pub(super) type Decision = Result<Decided, RequestError>;

impl<R: ReplyTo> Core<R> {
    pub(super) fn decide(&mut self, command: Command, now: LogTime) -> Decision {
        match command {
            Command::CreateQueue { name, attributes } => self.create_queue(name, &attributes, now),
            Command::AlterQueue { name, attributes } => self.alter_queue(&name, &attributes, now),
            Command::DescribeQueue { name } => self.describe_queue(&name, now),
            Command::ListQueues { prefix, after, max } => {
                self.list_queues(&prefix, &after, max, now)
            }
            Command::TagQueue { name, tags } => self.tag_queue(&name, tags, now),
            Command::UntagQueue { name, keys } => self.untag_queue(&name, &keys, now),
            Command::ListDeadLetterSources { name, after, max } => {
                self.list_dead_letter_sources(&name, &after, max)
            }
            Command::PurgeQueue { name } => self.purge_queue(&name, now),
            Command::DeleteQueue { name } => self.delete_queue(&name),
            Command::Send { queue, messages, batch: None } => self.send(&queue, &messages, now),
            Command::Send { queue, messages, batch: Some(batch) } => {
                self.send_once(&queue, &messages, batch, now)
            }
            Command::Receive { queue, max, wait_ms, visibility_ms, bytes_max, attempt } => {
                let attempt = attempt.map(Arc::from);
                let asked = Asked { max, wait_ms, visibility_ms, bytes_max, attempt };
                self.receive(&queue, asked, now)
            }
            Command::Await { queue, wait, max, visibility_ms, bytes_max } => {
                let demand = Demand { messages_max: max, bytes_max, visibility_ms };
                self.await_messages(queue, wait, demand)
            }
            Command::EndWait { wait } => self.end_wait(wait),
            Command::Ack { queue, receipts } => self.ack(&queue, &receipts, now),
            Command::ChangeVisibility { queue, changes } => {
                self.change_visibility(&queue, &changes, now)
            }
            Command::ChangeVisibilityOfMessage { queue, mut changes } => {
                changes.iter_mut().for_each(|(receipt, _)| self.renew_receipt(receipt));
                self.change_visibility(&queue, &changes, now)
            }
            Command::Nack { queue, receipts, delay_ms, is_counted, reason } => {
                self.nack(&queue, &receipts, delay_ms, is_counted, &reason, now)
            }
            Command::ReturnUndelivered { queue, receipts, delay_ms } => {
                self.return_undelivered(&queue, &receipts, delay_ms, now)
            }
            Command::Transact { acks, sends } => self.transact(&acks, &sends, now),
            Command::SetAside { queue, seq } => self.set_aside(queue, seq, now),
            Command::Peek { queue, from, max, bytes_max, filter } => {
                self.peek(&queue, from, max, bytes_max, filter, now)
            }
            Command::Explain { queue, seq } => self.explain(&queue, seq, now),
            Command::StartRedrive { queue, destination, rate } => {
                self.start_redrive(&queue, &destination, rate, now)
            }
            Command::ListRedrives { queue } => self.list_redrives(&queue),
            Command::CancelRedrive { redrive } => self.cancel_redrive(redrive, now),
            Command::Stats => {
                self.expire_everywhere(now);
                Ok(Decided::Now(Reply::Stats(Box::new(self.stats()))))
            }
        }
    }
}
