//! Decisions about messages that come: send.

use std::sync::Arc;

use super::room::{check_batch, sent_bytes};
use super::transact::Refused;
use super::{Core, Decided, Decision};
use crate::attributes::{Attributes, DELAY_MS_MAX, check_range};
use crate::attributes_section::AttributesSection;
use crate::command::{NewMessage, Reply, ReplyTo, StoredMessages};
use crate::error::RequestError;
use crate::ids::QueueId;
use crate::record::{SENT_KEY_BYTES, Sent};
use crate::time::LogTime;

/// Messages that their queue takes.
pub(super) struct PlannedSend<'m> {
    queue: QueueId,
    attributes: Arc<Attributes>,
    messages: &'m [NewMessage],
}

impl<R: ReplyTo> Core<R> {
    pub(super) fn send(&mut self, name: &str, messages: &[NewMessage], now: LogTime) -> Decision {
        let planned = self.plan_send(name, messages).map_err(|refused| refused.cause)?;
        self.check_fits(sent_bytes(messages))?;
        self.check_sends_allowed()?;
        let StoredMessages { queue, first, count } = self.record_send(&planned, now);
        Ok(Decided::WhenDurable(Reply::Sent { queue, first, count }))
    }

    /// Whether a queue takes these messages. Records nothing.
    pub(super) fn plan_send<'m>(
        &self,
        name: &str,
        messages: &'m [NewMessage],
    ) -> Result<PlannedSend<'m>, Refused> {
        let queue = self.queue(name)?;
        let (id, attributes) = (queue.id, Arc::clone(&queue.attributes));
        check_batch("message", messages.len())?;
        for (index, message) in messages.iter().enumerate() {
            check_message(name, &attributes, index, message)
                .map_err(|cause| Refused { item: Some(index), cause })?;
        }
        Ok(PlannedSend { queue: id, attributes, messages })
    }

    /// Stores messages for which there is room.
    pub(super) fn record_send(
        &mut self,
        planned: &PlannedSend<'_>,
        now: LogTime,
    ) -> StoredMessages {
        let PlannedSend { queue, ref attributes, messages } = *planned;
        let position = self.tail.position;
        let found = self.state.by_id(queue).expect("its name was found when this was planned");
        let first = found.messages.next_seq();
        let mut seq = first;
        self.record(|out| {
            for message in messages {
                let delay_ms = message.delay_ms.unwrap_or(attributes.delay_ms);
                out.sent(&Sent {
                    queue,
                    seq,
                    position,
                    visible_from: (delay_ms > 0).then(|| now.plus_ms(delay_ms)),
                    deduplication_key: deduplication_key(attributes, message),
                    checksum: message.checksum,
                    attributes_bytes: message.attributes_bytes,
                    payload: &message.payload,
                });
                seq = seq.next();
            }
        });
        let count = u32::try_from(messages.len()).expect("a batch has at most 4096 messages");
        StoredMessages { queue, first, count }
    }
}

fn check_message(
    queue: &str,
    attributes: &Attributes,
    index: usize,
    message: &NewMessage,
) -> Result<(), RequestError> {
    let payload_bytes = message.payload.len() as u64;
    check_range("attributes bytes", u64::from(message.attributes_bytes), 0, payload_bytes)?;
    let (bytes, max) = (counted_bytes(message), attributes.message_bytes_max);
    if bytes > max {
        let queue = queue.to_owned();
        return Err(RequestError::MessageTooLarge { queue, index, bytes, max });
    }
    check_range("delay", message.delay_ms.unwrap_or(0), 0, DELAY_MS_MAX)
}

/// What counts for a queue's `message_bytes_max`: body and attributes, but no ids.
fn counted_bytes(message: &NewMessage) -> u64 {
    let (attributes, body) = message
        .payload
        .split_at_checked(message.attributes_bytes as usize)
        .unwrap_or((&[], &message.payload));
    AttributesSection::read(attributes).counted_bytes + body.len() as u64
}

/// What is written with a message so that its copies are found: nothing. FIFO queues use it.
fn deduplication_key(_queue: &Attributes, _message: &NewMessage) -> Option<[u8; SENT_KEY_BYTES]> {
    None
}
