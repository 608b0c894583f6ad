//! Decisions about messages that come: send, once or as often as it is asked.

use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::room::{PRODUCED_BYTES, check_batch, sent_bytes};
use super::transact::Refused;
use super::{Core, Decided, Decision};
use crate::attributes::{
    Attributes, DELAY_MS_MAX, DeduplicationScope, Durability, check_range, check_range_ms,
};
use crate::attributes_section::AttributesSection;
use crate::command::{Deduplication, NewMessage, ProducerBatch, Reply, ReplyTo, StoredMessages};
use crate::error::RequestError;
use crate::ids::{DeduplicationKey, Group, QueueId, Seq};
use crate::record::Sent;
use crate::state::deduplication::KeyHashers;
use crate::state::producers::Known;
use crate::time::LogTime;

/// Messages that may be sent: what is written of each.
pub(super) struct Plan<'m> {
    queue: QueueId,
    attributes: Arc<Attributes>,
    /// Each message's number: of a copy, that of the message that was sent before.
    seqs: Vec<Seq>,
    /// Those that are no copies.
    new: Vec<Planned<'m>>,
}

struct Planned<'m> {
    seq: Seq,
    message: &'m NewMessage,
    group: Group,
    key: Option<DeduplicationKey>,
}

/// What was planned before in the same command, and is not recorded yet.
#[derive(Default)]
pub(super) struct PlannedBefore {
    /// Of the queues that are sent to, the next message's number.
    next: HashMap<QueueId, Seq>,
    keys: HashMap<(QueueId, DeduplicationKey), Seq, KeyHashers>,
}

impl<R: ReplyTo> Core<R> {
    pub(super) fn send(&mut self, name: &str, messages: &[NewMessage], now: LogTime) -> Decision {
        let plan = self.plan_one_send(name, messages, 0, now)?;
        let stored = self.record_send(&plan, now);
        Ok(answered(&plan, stored))
    }

    pub(super) fn send_once(
        &mut self,
        name: &str,
        messages: &[NewMessage],
        batch: ProducerBatch,
        now: LogTime,
    ) -> Decision {
        let ProducerBatch { producer, number, oldest } = batch;
        check_range("oldest", oldest, 0, number)?;
        let queue = self.queue(name)?;
        // In a FIFO queue a repeated message is a copy, whoever sends it.
        if queue.attributes.fifo {
            return self.send(name, messages, now);
        }
        match queue.producers.find(producer, number) {
            Known::Landed(landed) => {
                let (first, count, seqs) = (landed.first, landed.count, Vec::new());
                let stored = StoredMessages { queue: queue.id, first, count, seqs };
                return Ok(Decided::WhenDurable(Reply::Sent(stored)));
            }
            Known::Forgotten(oldest) => {
                return Err(RequestError::BatchForgotten { batch: number, oldest });
            }
            Known::New => {}
        }
        let plan = self.plan_one_send(name, messages, PRODUCED_BYTES, now)?;
        let stored = self.record_send(&plan, now);
        self.record(|out| out.produced(plan.queue, batch, stored.first, stored.count, now));
        Ok(answered(&plan, stored))
    }

    fn plan_one_send<'m>(
        &self,
        name: &str,
        messages: &'m [NewMessage],
        more_bytes: u64,
        now: LogTime,
    ) -> Result<Plan<'m>, RequestError> {
        let plan = self.plan_send(name, messages, &mut PlannedBefore::default(), now);
        let plan = plan.map_err(|refused| refused.cause)?;
        self.check_fits(sent_bytes(messages) + more_bytes)?;
        self.check_sends_allowed()?;
        Ok(plan)
    }

    /// Whether a queue takes these messages, and which of them are copies. Records nothing.
    pub(super) fn plan_send<'m>(
        &self,
        name: &str,
        messages: &'m [NewMessage],
        before: &mut PlannedBefore,
        now: LogTime,
    ) -> Result<Plan<'m>, Refused> {
        let queue = self.queue(name)?;
        let attributes = &queue.attributes;
        check_batch("message", messages.len())?;
        let check = |(index, message)| {
            check_message(name, attributes, index, message)
                .map_err(|cause| Refused { item: Some(index), cause })
        };
        let groups: Vec<Group> =
            messages.iter().enumerate().map(check).collect::<Result<_, _>>()?;
        let since = LogTime(now.0.saturating_sub(attributes.deduplication_window_ms));
        let next = before.next.entry(queue.id).or_insert(queue.messages.next_seq());
        // Only a FIFO queue looks for copies.
        let keyed = if attributes.fifo { messages } else { &[] };
        let keys = keyed.iter().map(|message| deduplication_key(attributes, message));
        let keys: Vec<_> = keys.collect();
        before.keys.reserve(keys.len());
        let originals = queue.deduplication.find_all(&keys, since);
        let copies = keys.into_iter().zip(originals).chain(std::iter::repeat((None, None)));
        let mut seqs = Vec::with_capacity(messages.len());
        let mut new = Vec::with_capacity(messages.len());
        for ((message, group), (key, original)) in messages.iter().zip(groups).zip(copies) {
            let planned = || before.keys.get(&(queue.id, key?)).copied();
            let original = original.or_else(planned);
            let seq = original.unwrap_or(*next);
            seqs.push(seq);
            if original.is_none() {
                new.push(Planned { seq, message, group, key });
                before.keys.extend(key.map(|key| ((queue.id, key), seq)));
                *next = next.next();
            }
        }
        Ok(Plan { queue: queue.id, attributes: Arc::clone(attributes), seqs, new })
    }

    /// Stores messages for which there is room.
    pub(super) fn record_send(&mut self, plan: &Plan<'_>, now: LogTime) -> StoredMessages {
        let (queue, position) = (plan.queue, self.tail.position);
        let queue_delay_ms = plan.attributes.stored_delay_ms();
        for Planned { seq, message, group, key } in &plan.new {
            let delay_ms = message.delay_ms.unwrap_or(queue_delay_ms);
            let sent = Sent {
                queue,
                seq: *seq,
                position,
                visible_from: (delay_ms > 0).then(|| now.plus_ms(delay_ms)),
                deduplication: key.map(|key| (key, now)),
                checksum: message.checksum,
                attributes_bytes: message.attributes_bytes,
                payload: &message.payload,
            };
            self.record_sent(&sent, *group);
        }
        if !plan.new.is_empty() {
            self.message_came(queue, now);
        }
        let first = plan.seqs[0];
        let count = u32::try_from(plan.seqs.len()).expect("a batch has at most 4096 messages");
        let is_run = (first.0..).map(Seq).zip(&plan.seqs).all(|(expected, seq)| expected == *seq);
        let seqs = if is_run { Vec::new() } else { plan.seqs.clone() };
        StoredMessages { queue, first, count, seqs }
    }
}

/// When a send is answered, as its queue promises.
fn answered(plan: &Plan<'_>, stored: StoredMessages) -> Decided {
    let reply = Reply::Sent(stored);
    match plan.attributes.durability {
        Durability::Sync => Decided::WhenDurable(reply),
        Durability::Written => Decided::WhenWritten(reply),
    }
}

/// Whether the queue takes the message as it is; its group.
fn check_message(
    name: &str,
    attributes: &Attributes,
    index: usize,
    message: &NewMessage,
) -> Result<Group, RequestError> {
    let payload_bytes = message.payload.len() as u64;
    check_range("attributes bytes", u64::from(message.attributes_bytes), 0, payload_bytes)?;
    let section = section(message);
    let body_bytes = payload_bytes - u64::from(message.attributes_bytes);
    let (bytes, max) = (section.counted_bytes + body_bytes, attributes.message_bytes_max);
    if bytes > max {
        return Err(RequestError::MessageTooLarge { queue: name.to_owned(), index, bytes, max });
    }
    check_range_ms("delay", message.delay_ms.unwrap_or(0), 0, DELAY_MS_MAX)?;
    let refuse = |reason| Err(RequestError::MessageInvalid { index, reason });
    let group = Group(section.group_crc());
    match (attributes.fifo, message.deduplication) {
        (true, _) if section.group.is_none() => {
            refuse("it has no group id, which every message of a FIFO queue has")
        }
        (true, _) if message.delay_ms.unwrap_or(0) > 0 => {
            refuse("it has a delay of its own; in a FIFO queue only the queue has one")
        }
        (true, Deduplication::Id(_)) => Ok(group),
        (true, _) if attributes.content_based_deduplication => Ok(group),
        (true, _) => {
            refuse("it has no deduplication id, and the queue's content-based-deduplication is off")
        }
        (false, Deduplication::Id(_)) => {
            refuse("it has a deduplication id, which only messages of a FIFO queue have")
        }
        (false, _) => Ok(group),
    }
}

fn section(message: &NewMessage) -> AttributesSection<'_> {
    let attributes = message.payload.get(..message.attributes_bytes as usize);
    AttributesSection::read(attributes.unwrap_or_default())
}

/// What tells a copy of the message, if the queue looks for copies.
fn deduplication_key(queue: &Attributes, message: &NewMessage) -> Option<DeduplicationKey> {
    let key = match message.deduplication {
        _ if !queue.fifo => return None,
        Deduplication::None => return None,
        Deduplication::Id(key) | Deduplication::Content(key) => key,
    };
    Some(match queue.deduplication_scope {
        DeduplicationScope::Queue => key,
        DeduplicationScope::Group => {
            let mut hasher = SipHasher24::new_with_key(&key.0);
            hasher.write(section(message).group.unwrap_or_default());
            DeduplicationKey(hasher.finish128().as_bytes())
        }
    })
}
