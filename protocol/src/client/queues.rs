//! The client's operations on queues.

use super::{Client, ClientError};
use crate::attributes::{QueueAttributes, TextMap};
use crate::operation::{
    AlterQueue, CreateQueue, DeadLetterSourcesListed, DeleteQueue, DescribeQueue, Explain,
    Explained, ListDeadLetterSources, ListQueues, PurgeQueue, QueueCreated, QueueInfo,
    QueuesListed, TagQueue, UntagQueue,
};

impl Client {
    /// Creates a queue, unless it exists with the same attributes. After a lost answer the request
    /// is sent again; `created` is then false though this call created the queue.
    /// Refused with `BadQueueName`, `QueueExists`, `OutOfRange`, `AttributeInvalid`, `StorageFull`.
    pub async fn create_queue(
        &self,
        name: &str,
        attributes: QueueAttributes,
    ) -> Result<QueueCreated, ClientError> {
        self.call(CreateQueue { name: name.to_owned(), attributes }).await
    }

    /// Sets the attributes that are given, and leaves the others. After a lost answer the request is
    /// sent again, and then replaces what somebody else has set in between.
    /// Refused with `UnknownQueue`, `OutOfRange`, `AttributeInvalid`.
    pub async fn alter_queue(
        &self,
        name: &str,
        attributes: QueueAttributes,
    ) -> Result<(), ClientError> {
        self.call(AlterQueue { name: name.to_owned(), attributes }).await?;
        Ok(())
    }

    /// A queue's attributes and counts. Refused with `UnknownQueue`.
    pub async fn describe_queue(&self, name: &str) -> Result<QueueInfo, ClientError> {
        Ok(*self.call(DescribeQueue { name: name.to_owned() }).await?.queue)
    }

    /// A page of the queues whose names begin with `prefix`, behind the name `after` (empty to
    /// begin), at most `max`.
    pub async fn list_queues(
        &self,
        prefix: &str,
        after: &str,
        max: u32,
    ) -> Result<QueuesListed, ClientError> {
        self.call(ListQueues { prefix: prefix.to_owned(), after: after.to_owned(), max }).await
    }

    /// Adds tags to a queue, in the place of those of the same keys. Sent again as
    /// [`Client::alter_queue`] is.
    /// Refused with `UnknownQueue`, `AttributeInvalid`.
    pub async fn tag_queue(&self, name: &str, tags: TextMap) -> Result<(), ClientError> {
        self.call(TagQueue { name: name.to_owned(), tags }).await?;
        Ok(())
    }

    /// Takes the tags with these keys away from a queue. Sent again as [`Client::alter_queue`] is.
    /// Refused with `UnknownQueue`.
    pub async fn untag_queue(&self, name: &str, keys: Vec<String>) -> Result<(), ClientError> {
        self.call(UntagQueue { name: name.to_owned(), keys }).await?;
        Ok(())
    }

    /// A page of the queues whose dead-letter queue is `name`, behind the name `after` (empty to
    /// begin), at most `max`. Refused with `UnknownQueue`.
    pub async fn list_dead_letter_sources(
        &self,
        name: &str,
        after: &str,
        max: u32,
    ) -> Result<DeadLetterSourcesListed, ClientError> {
        let (name, after) = (name.to_owned(), after.to_owned());
        self.call(ListDeadLetterSources { name, after, max }).await
    }

    /// Why a receive of the queue would get nothing, or where the message `seq` of it is.
    /// Refused with `UnknownQueue`.
    pub async fn explain(&self, name: &str, seq: Option<u64>) -> Result<Explained, ClientError> {
        self.call(Explain { queue: name.to_owned(), seq: seq.unwrap_or(0) }).await
    }

    /// Deletes all messages of a queue, and tells how many. After a lost answer the request is not
    /// sent again, for it would delete what was sent in between: that is
    /// [`ClientError::Unknown`]. Refused with `UnknownQueue`.
    pub async fn purge_queue(&self, name: &str) -> Result<u64, ClientError> {
        Ok(self.call(PurgeQueue { name: name.to_owned() }).await?.purged)
    }

    /// Deletes a queue with its messages. After a lost answer the request is not sent again, for it
    /// could delete a later queue of the same name: that is [`ClientError::Unknown`]. Refused with
    /// `UnknownQueue`.
    pub async fn delete_queue(&self, name: &str) -> Result<(), ClientError> {
        self.call(DeleteQueue { name: name.to_owned() }).await?;
        Ok(())
    }
}
