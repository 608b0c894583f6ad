//! Send stores a batch of messages, all or nothing.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::block::Block;
use crate::message_attributes::{MessageAttribute, MessageAttributes};

layout! {
    /// Stores messages. One that is refused refuses the batch, and the error's text names its
    /// index. Errors: `UnknownQueue`, `EmptyBatch`, `BatchTooLarge`, `MessageTooLarge`,
    /// `BadMessageAttribute`, `MessageInvalid`, `BatchForgotten`, `OutOfRange`, `ChecksumMismatch`,
    /// `StorageFull`, `StorageFailed`.
    pub struct Send {
        fields_bytes {
            /// The queue's name.
            pub queue: String,
            /// Who sends, drawn at random, if the batch is to land once however often it is sent
            /// again; else nil.
            pub producer: Uuid,
            /// The batch's number by its producer, greater than those before it.
            pub batch: u64,
            /// The producer's oldest batch that is not answered: none before it is sent again.
            pub oldest: u64,
        }
        /// The messages, from 1 to `batch_messages_max`.
        pub messages: Vec<OutgoingMessage>,
    }
}

layout! {
    /// One message of a [`Send`].
    pub struct OutgoingMessage {
        fields_bytes {
            /// How long it waits before its first delivery; `None` for the queue's `delay_ms`.
            /// `Some(u64::MAX)` cannot be told from `None` on the wire.
            pub delay_ms: Option<u64>,
        }
        /// The message.
        pub block: Block,
    }
}

layout! {
    /// The answer to [`Send`]: the messages are durable, with the seqs `first_seq` and following.
    pub struct Sent {
        /// The queue's id.
        pub queue_id: u32,
        /// The seq of the batch's first message.
        pub first_seq: u64,
        /// How many messages were stored: all of the batch.
        pub count: u32,
        /// In a FIFO queue, if some messages were copies of others that were sent before: the seq
        /// of each, or of the one that it is a copy of. Else empty.
        pub seqs: Vec<u64>,
    }
}

impl Send {
    /// A batch of no producer: sent again, it is stored again.
    pub fn new(queue: impl Into<String>, messages: Vec<OutgoingMessage>) -> Send {
        Send { queue: queue.into(), producer: Uuid::nil(), batch: 0, oldest: 0, messages }
    }
}

impl Sent {
    /// The seq of each message of the batch, in order.
    pub fn seqs(&self) -> impl Iterator<Item = u64> + '_ {
        let run = if self.seqs.is_empty() { self.count } else { 0 };
        (self.first_seq..).take(run as usize).chain(self.seqs.iter().copied())
    }
}

impl OutgoingMessage {
    /// A message with the queue's delay. The body may be empty.
    pub fn new(body: impl Into<Bytes>) -> OutgoingMessage {
        OutgoingMessage { delay_ms: None, block: Block::new(body) }
    }

    /// The same message with a delay of its own, in whole milliseconds.
    pub fn delayed(self, delay: Duration) -> OutgoingMessage {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX - 1);
        OutgoingMessage { delay_ms: Some(delay_ms), ..self }
    }
    /// The same message with these attributes, in the place of those that it had.
    pub fn with_attributes(self, attributes: &MessageAttributes) -> OutgoingMessage {
        let block = Block::with_attributes(attributes, self.block.into_body());
        OutgoingMessage { delay_ms: self.delay_ms, block }
    }

    /// The same message in a group. This and the methods below make the block anew each:
    /// [`OutgoingMessage::with_attributes`] sets several at once.
    pub fn group(self, id: impl Into<String>) -> OutgoingMessage {
        self.change_attributes(|attributes| attributes.group = Some(id.into()))
    }

    /// The same message with a deduplication id.
    pub fn deduplication(self, id: impl Into<String>) -> OutgoingMessage {
        self.change_attributes(|attributes| attributes.deduplication = Some(id.into()))
    }

    /// The same message with a trace header.
    pub fn trace(self, header: impl Into<String>) -> OutgoingMessage {
        self.change_attributes(|attributes| attributes.trace = Some(header.into()))
    }

    /// The same message with one attribute more.
    pub fn attribute(self, attribute: MessageAttribute) -> OutgoingMessage {
        self.change_attributes(|attributes| attributes.attributes.push(attribute))
    }

    /// Attributes that cannot be read are dropped: this crate does not make such.
    fn change_attributes(self, change: impl FnOnce(&mut MessageAttributes)) -> OutgoingMessage {
        let mut attributes = self.block.message_attributes().unwrap_or_default();
        change(&mut attributes);
        self.with_attributes(&attributes)
    }
}
