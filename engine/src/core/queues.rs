//! Decisions about queues: create, alter, tag, describe, list, purge, delete.

use std::sync::Arc;

use super::{Core, Decided, Decision, LAST_BYTES};
use crate::attributes::{
    AttributeChanges, Attributes, TAGS_BYTES_MAX, TextMap, check_queue_name, check_range,
    check_type_of_name, invalid, shorten,
};
use crate::command::{LIST_QUEUES_MAX, LIST_TEXTS_BYTES_MAX, QueueInfo, Reply, ReplyTo};
use crate::error::RequestError;
use crate::ids::QueueId;
use crate::state::Queue;
use crate::time::LogTime;

/// More than any record of this file takes in the log that has no attributes.
pub(super) const QUEUE_RECORD_BYTES: u64 = 256;

/// More than a record takes that has every attribute, all texts empty.
const NUMBERS_RECORD_BYTES: u64 = 512;

/// More than a record with a queue's tags takes.
pub(super) const TAGS_RECORD_BYTES: u64 = NUMBERS_RECORD_BYTES + TAGS_BYTES_MAX as u64;

/// More than a record of these attributes takes.
pub(super) fn attributes_record_bytes(attributes: &AttributeChanges) -> u64 {
    NUMBERS_RECORD_BYTES + attributes.texts_bytes() as u64
}

impl<R: ReplyTo> Core<R> {
    pub(super) fn queue(&self, name: &str) -> Result<&Queue, RequestError> {
        self.state.by_name(name).ok_or_else(|| RequestError::UnknownQueue { name: shorten(name) })
    }

    pub(super) fn create_queue(
        &mut self,
        name: String,
        given: &AttributeChanges,
        now: LogTime,
    ) -> Decision {
        check_queue_name(&name)?;
        given.check()?;
        if let Some(queue) = self.state.by_name(&name) {
            return match given.first_difference(&queue.attributes) {
                Some((attribute, given, current)) => {
                    let (given, current) = (shorten(&given), shorten(&current));
                    Err(RequestError::QueueExists { name, attribute, given, current })
                }
                None => {
                    let reply = Reply::Created { queue: queue.id, created: false };
                    Ok(Decided::WhenDurable(reply))
                }
            };
        }
        let attributes = Attributes::default().with(given);
        check_type_of_name(&name, attributes.fifo)?;
        attributes.check()?;
        self.check_dead_letter_queue(&name, given, &attributes)?;
        self.check_fits(attributes_record_bytes(given))?;
        self.check_sends_allowed()?;
        let number = u64::from(self.state.last_queue().0) + 1;
        check_range("queue number", number, 1, u64::from(u32::MAX))?;
        let queue = self.state.next_queue();
        let attributes = attributes.as_changes();
        self.record(|out| out.queue_created(queue, now, &attributes, &name));
        self.counters.queues_changed.add(1);
        Ok(Decided::WhenDurable(Reply::Created { queue, created: true }))
    }

    pub(super) fn alter_queue(
        &mut self,
        name: &str,
        changes: &AttributeChanges,
        now: LogTime,
    ) -> Decision {
        changes.check()?;
        // What had expired by then is gone, also if retention is made longer.
        self.expire(self.queue(name)?.id, now);
        self.change_queue(name, changes, now)?;
        // A shorter delay of a FIFO queue, more messages in flight, or a shorter retention.
        let queue = self.queue(name)?.id;
        self.look_at_retention(queue);
        self.redrives.look_again(queue, now);
        self.serve(queue, now);
        Ok(Decided::WhenDurable(Reply::Altered))
    }

    pub(super) fn tag_queue(&mut self, name: &str, tags: TextMap, now: LogTime) -> Decision {
        let mut all = self.queue(name)?.attributes.tags.clone();
        all.extend(tags);
        let changes = AttributeChanges { tags: Some(all), ..AttributeChanges::default() };
        changes.check()?;
        self.change_queue(name, &changes, now)?;
        Ok(Decided::WhenDurable(Reply::Tagged))
    }

    pub(super) fn untag_queue(&mut self, name: &str, keys: &[String], now: LogTime) -> Decision {
        let mut left = self.queue(name)?.attributes.tags.clone();
        keys.iter().for_each(|key| drop(left.remove(key)));
        let changes = AttributeChanges { tags: Some(left), ..AttributeChanges::default() };
        self.change_queue(name, &changes, now)?;
        Ok(Decided::WhenDurable(Reply::Untagged))
    }

    /// Makes changes that are good by themselves, if they are beside what the queue has.
    fn change_queue(
        &mut self,
        name: &str,
        changes: &AttributeChanges,
        now: LogTime,
    ) -> Result<(), RequestError> {
        let queue = self.queue(name)?;
        let (id, before) = (queue.id, Arc::clone(&queue.attributes));
        let after = before.with(changes);
        if after.fifo != before.fifo {
            let expected = format!("{}: a queue keeps its type", before.fifo);
            return Err(invalid("fifo", after.fifo.to_string(), expected));
        }
        after.check()?;
        self.check_dead_letter_queue(name, changes, &after)?;
        let bytes = attributes_record_bytes(changes);
        self.check_fits(bytes)?;
        self.check_room(bytes, LAST_BYTES)?;
        self.record(|out| out.queue_changed(id, now, changes));
        self.counters.queues_changed.add(1);
        Ok(())
    }

    /// Checks a dead-letter queue that is given: that of the queue `name`, which will have these
    /// attributes. What becomes of it later changes nothing here: a policy stays as it was set.
    fn check_dead_letter_queue(
        &self,
        name: &str,
        given: &AttributeChanges,
        attributes: &Attributes,
    ) -> Result<(), RequestError> {
        let Some(target_name) = given.dead_letter_queue.as_deref().filter(|n| !n.is_empty()) else {
            return Ok(());
        };
        let expected = match self.state.by_name(target_name) {
            None => "a queue that exists",
            // It has no dead letters then. SQS takes it.
            Some(_) if target_name == name => return Ok(()),
            Some(target) if target.attributes.fifo != attributes.fifo => match attributes.fifo {
                true => "a FIFO queue, as this one is",
                false => "a queue that is not FIFO, as this one is not",
            },
            Some(target) if !target.attributes.permits_redrive_from(name) => {
                "a queue whose redrive-permission permits this one"
            }
            Some(_) => return Ok(()),
        };
        Err(invalid("dead-letter-queue", format!("{target_name:?}"), expected))
    }

    pub(super) fn describe_queue(&mut self, name: &str, now: LogTime) -> Decision {
        let id = self.queue(name)?.id;
        self.expire(id, now);
        Ok(Decided::Now(Reply::Described(self.info(id, now))))
    }

    fn info(&mut self, id: QueueId, now: LogTime) -> QueueInfo {
        self.state.by_id(id).expect("the caller found the queue").messages.settle(now);
        let counts = self.counts(id, now);
        let queue = self.state.get(id).expect("the caller found the queue");
        QueueInfo { counts, ..queue.info() }
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
        let mut more = found.len() > max as usize;
        found.truncate(max as usize);
        let (mut queues, mut texts_bytes) = (Vec::new(), 0);
        for id in found {
            self.expire(id, now);
            let queue = self.state.get(id).expect("the list names queues that are there");
            texts_bytes += queue.attributes.texts_bytes();
            if texts_bytes > LIST_TEXTS_BYTES_MAX && !queues.is_empty() {
                more = true;
                break;
            }
            queues.push(self.info(id, now));
        }
        Ok(Decided::Now(Reply::Listed { queues, more }))
    }

    pub(super) fn list_dead_letter_sources(
        &mut self,
        name: &str,
        after: &str,
        max: u32,
    ) -> Decision {
        check_range("max", u64::from(max), 1, u64::from(LIST_QUEUES_MAX))?;
        self.queue(name)?;
        let sources = self.state.dead_letter_sources(name, after).take(max as usize + 1);
        let mut names: Vec<_> = sources.map(str::to_owned).collect();
        let more = names.len() > max as usize;
        names.truncate(max as usize);
        Ok(Decided::Now(Reply::DeadLetterSources { names, more }))
    }

    pub(super) fn purge_queue(&mut self, name: &str, now: LogTime) -> Decision {
        let id = self.queue(name)?.id;
        self.expire(id, now);
        let queue = self.state.get(id).expect("its name was found");
        let (through, count) = (queue.last_seq(), queue.messages.len());
        self.check_room(QUEUE_RECORD_BYTES, 0)?;
        self.record(|out| out.queue_purged(id, through, Some(now)));
        self.redrives.look_again(id, now);
        Ok(Decided::WhenDurable(Reply::Purged { count }))
    }

    pub(super) fn delete_queue(&mut self, name: &str) -> Decision {
        let id = self.queue(name)?.id;
        self.check_room(QUEUE_RECORD_BYTES, 0)?;
        self.record(|out| out.queue_deleted(id));
        self.counters.queues_changed.add(1);
        self.index.remove_queue(id);
        self.redrives.remove(id);
        self.expiry.forget(id);
        while let Some(waiter) = self.waiters.take_first(id) {
            let error = RequestError::UnknownQueue { name: name.to_owned() };
            self.answers.push((waiter.reply_to, Err(error)));
        }
        Ok(Decided::WhenDurable(Reply::Deleted))
    }
}
