//! Decisions about queues: create, alter, describe, list, purge, delete.

use super::{Core, Decided, Decision, LAST_BYTES};
use crate::attributes::{AttributeChanges, Attributes, check_range};
use crate::command::{LIST_QUEUES_MAX, Reply, ReplyTo};
use crate::error::RequestError;
use crate::state::Queue;
use crate::time::LogTime;

/// The longest queue name (SQS).
const NAME_CHARS_MAX: usize = 80;

/// More than any record of this file takes in the log.
pub(super) const QUEUE_RECORD_BYTES: u64 = 256;

impl<R: ReplyTo> Core<R> {
    pub(super) fn queue(&self, name: &str) -> Result<&Queue, RequestError> {
        self.state.by_name(name).ok_or_else(|| RequestError::UnknownQueue { name: shorten(name) })
    }

    pub(super) fn create_queue(
        &mut self,
        name: String,
        attributes: AttributeChanges,
        now: LogTime,
    ) -> Decision {
        check_name(&name)?;
        attributes.check()?;
        if let Some(queue) = self.state.by_name(&name) {
            return match attributes.first_difference(&queue.attributes) {
                Some((attribute, given, current)) => {
                    Err(RequestError::QueueExists { name, attribute, given, current })
                }
                None => {
                    let reply = Reply::Created { queue: queue.id, created: false };
                    Ok(Decided::WhenDurable(reply))
                }
            };
        }
        self.check_sends_allowed()?;
        let queue = self.state.next_queue();
        let attributes = Attributes::default().with(&attributes).as_changes();
        self.record(|out| out.queue_created(queue, now, &attributes, &name));
        Ok(Decided::WhenDurable(Reply::Created { queue, created: true }))
    }

    pub(super) fn alter_queue(
        &mut self,
        name: &str,
        attributes: AttributeChanges,
        now: LogTime,
    ) -> Decision {
        attributes.check()?;
        let queue = self.queue(name)?.id;
        self.check_room(QUEUE_RECORD_BYTES, LAST_BYTES)?;
        self.record(|out| out.queue_changed(queue, now, &attributes));
        Ok(Decided::WhenDurable(Reply::Altered))
    }

    pub(super) fn describe_queue(&mut self, name: &str, now: LogTime) -> Decision {
        let queue = self.queue(name)?.id;
        let queue = self.state.by_id(queue).expect("its name was found");
        queue.messages.settle(now);
        Ok(Decided::Now(Reply::Described(queue.info())))
    }

    pub(super) fn list_queues(
        &mut self,
        prefix: &str,
        after: &str,
        max: u32,
        now: LogTime,
    ) -> Decision {
        check_range("max", u64::from(max), 1, u64::from(LIST_QUEUES_MAX))?;
        let mut found: Vec<_> = self.state.list(prefix, after).take(max as usize + 1).collect();
        let more = found.len() > max as usize;
        found.truncate(max as usize);
        let queues = found.into_iter().map(|id| {
            let queue = self.state.by_id(id).expect("the list names queues that are there");
            queue.messages.settle(now);
            queue.info()
        });
        let queues = queues.collect();
        Ok(Decided::Now(Reply::Listed { queues, more }))
    }

    pub(super) fn purge_queue(&mut self, name: &str) -> Decision {
        let queue = self.queue(name)?;
        let (id, through, count) = (queue.id, queue.last_seq(), queue.messages.len());
        self.check_room(QUEUE_RECORD_BYTES, 0)?;
        self.record(|out| out.queue_purged(id, through));
        Ok(Decided::WhenDurable(Reply::Purged { count }))
    }

    pub(super) fn delete_queue(&mut self, name: &str) -> Decision {
        let id = self.queue(name)?.id;
        self.check_room(QUEUE_RECORD_BYTES, 0)?;
        self.record(|out| out.queue_deleted(id));
        self.index.remove_queue(id);
        while let Some(waiter) = self.waiters.take_first(id) {
            let error = RequestError::UnknownQueue { name: name.to_owned() };
            self.answers.push((waiter.reply_to, Err(error)));
        }
        Ok(Decided::WhenDurable(Reply::Deleted))
    }
}

fn check_name(name: &str) -> Result<(), RequestError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_CHARS_MAX {
        "it is too long"
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    {
        "it has another character"
    } else {
        return Ok(());
    };
    Err(RequestError::BadQueueName { name: shorten(name), reason })
}

/// A name as it may stand in an error: whoever sent it may have sent much.
fn shorten(name: &str) -> String {
    name.chars().take(100).collect()
}
