//! Requests to commands: one exhaustive match. The way back is in `replies`.
//!
//! Nothing is decided here. Rules are the engine's; but that a message matches the checksum that its
//! sender set, and that its attributes are such as the protocol allows, is checked here, because the
//! engine stores them without looking.

use forebay_engine::LogTime;
use forebay_engine::attributes::{
    AttributeChanges, FIFO_SUFFIX, NOTES_BYTES_MAX, REDRIVE_SOURCES_MAX, TAGS_BYTES_MAX,
};
use forebay_engine::attributes_section::group_of;
use forebay_engine::command::{
    self, BATCH_MESSAGES_MAX, Command, NewMessage, PeekFilter, ProducerBatch, States,
};
use forebay_engine::ids::{ProducerId, RedriveId, Seq};
use forebay_engine::receipt::SealedReceipt;
use forebay_protocol::{
    Credit, ErrorCode, MessageState, OutgoingMessage, Pong, ProtocolError, QueueAttributes,
    Receipt, Reply, Request, Subscribe, Transact, TransactAcks, TransactSends, Unsubscribe,
};

use crate::caller::Kind;
use crate::deduplication::deduplication;
use crate::replies;

/// What a request needs.
pub(crate) enum Dispatched {
    /// The engine's answer.
    Ask {
        command: Command,
        kind: Kind,
        /// The most that the answer takes in memory, without bodies, where that is much.
        answer_bytes_max: usize,
    },
    /// Nothing: this is the answer.
    Answer(Reply),
    /// What is the connection's own: its subscriptions.
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Credit(Credit),
}

/// A queue in the answer to a list takes about this much, without its attributes' texts.
const LISTED_QUEUE_BYTES: usize = 768;

/// The texts of a queue's attributes take at most this: its tags and notes, and the names of queues.
const QUEUE_TEXTS_BYTES_MAX: usize = 64 << 10;

/// Facts take at most about this much: one of each kind, with its texts.
const FACTS_BYTES: usize = 8192;

/// A queue's name in the answer to a list takes about this much.
const LISTED_NAME_BYTES: usize = 112;

/// A queue's redrives take about this much in an answer.
const REDRIVES_BYTES: usize = 8192;

/// A failed item in the answer to a batch takes about this much.
const FAILURE_BYTES: usize = 96;

/// What a transaction has sent to a queue takes about this much in its answer.
const STORED_BYTES: usize = 32;

/// Translates a request. `bodies_bytes_max` bounds the bodies in one answer.
pub(crate) fn dispatch(
    request: Request,
    bodies_bytes_max: u32,
) -> Result<Dispatched, ProtocolError> {
    let answer_bytes_max = answer_bytes_max(&request);
    let mut kind = Kind::Other;
    let bytes_max = |asked: u32| match asked {
        0 => u64::from(bodies_bytes_max),
        asked => u64::from(asked.min(bodies_bytes_max)),
    };
    let command = match request {
        Request::Hello(_) => {
            let text = "the connection is open already: Hello comes once";
            return Err(ProtocolError::new(ErrorCode::HelloExpected, text));
        }
        Request::Ping(_) => return Ok(Dispatched::Answer(Pong {}.into())),
        Request::Subscribe(subscribe) => return Ok(Dispatched::Subscribe(subscribe)),
        Request::Unsubscribe(unsubscribe) => return Ok(Dispatched::Unsubscribe(unsubscribe)),
        Request::Credit(credit) => return Ok(Dispatched::Credit(credit)),
        Request::Stats(_) => Command::Stats,
        Request::CreateQueue(create) => {
            Command::CreateQueue { name: create.name, attributes: changes(create.attributes)? }
        }
        Request::AlterQueue(alter) => {
            Command::AlterQueue { name: alter.name, attributes: changes(alter.attributes)? }
        }
        Request::DescribeQueue(describe) => Command::DescribeQueue { name: describe.name },
        Request::ListQueues(list) => {
            Command::ListQueues { prefix: list.prefix, after: list.after, max: list.max }
        }
        Request::TagQueue(tag) => Command::TagQueue { name: tag.name, tags: tag.tags },
        Request::UntagQueue(untag) => Command::UntagQueue { name: untag.name, keys: untag.keys },
        Request::ListDeadLetterSources(list) => {
            let (name, after) = (list.name, list.after);
            Command::ListDeadLetterSources { name, after, max: list.max }
        }
        Request::Explain(explain) => {
            let seq = (explain.seq > 0).then_some(Seq(explain.seq));
            Command::Explain { queue: explain.queue, seq }
        }
        Request::PurgeQueue(purge) => Command::PurgeQueue { name: purge.name },
        Request::DeleteQueue(delete) => Command::DeleteQueue { name: delete.name },
        Request::Send(send) => {
            let name = |index| format!("message {index} of the batch");
            let queue = send.queue;
            let messages = new_messages(&queue, send.messages, name)?;
            let batch = (!send.producer.is_nil()).then(|| ProducerBatch {
                producer: ProducerId(send.producer.as_u128()),
                number: send.batch,
                oldest: send.oldest,
            });
            Command::Send { queue, messages, batch }
        }
        Request::Receive(receive) => {
            kind = Kind::Receive { queue: receive.queue.clone() };
            Command::Receive {
                queue: receive.queue,
                max: receive.max,
                wait_ms: receive.wait_ms,
                visibility_ms: receive.visibility_ms,
                bytes_max: bytes_max(receive.bytes_max),
                attempt: Some(receive.attempt).filter(|attempt| !attempt.is_empty()),
            }
        }
        Request::Ack(ack) => {
            Command::Ack { queue: ack.queue, receipts: ack.receipts.iter().map(sealed).collect() }
        }
        Request::ChangeVisibility(change) => {
            kind = Kind::ChangeVisibility;
            let changes = change.changes.iter();
            let changes = changes.map(|change| (sealed(&change.receipt), change.visibility_ms));
            Command::ChangeVisibility { queue: change.queue, changes: changes.collect() }
        }
        Request::Transact(Transact { acks, sends }) => {
            let acks = acks.into_iter().map(|TransactAcks { queue, receipts }| {
                let receipts = receipts.iter().map(sealed).collect();
                command::TransactAcks { queue, receipts }
            });
            let sends = sends.into_iter().enumerate().map(|(at, sends)| {
                let TransactSends { queue, messages } = sends;
                let name = |index| format!("sends[{at}].messages[{index}]");
                let messages = new_messages(&queue, messages, name)?;
                Ok(command::TransactSends { queue, messages })
            });
            let sends = sends.collect::<Result<_, ProtocolError>>()?;
            Command::Transact { acks: acks.collect(), sends }
        }
        Request::Nack(nack) => {
            kind = Kind::Nack;
            Command::Nack {
                queue: nack.queue,
                receipts: nack.receipts.iter().map(sealed).collect(),
                delay_ms: nack.delay_ms,
                is_counted: !nack.uncounted,
                reason: nack.reason,
            }
        }
        Request::Peek(peek) => {
            let command = Command::Peek {
                queue: peek.queue,
                from: Seq(peek.from_seq),
                max: peek.max,
                bytes_max: bytes_max(peek.bytes_max),
                filter: PeekFilter {
                    states: states(&peek.states),
                    since: (peek.since_ms > 0).then_some(LogTime(peek.since_ms)),
                    group: (!peek.group.is_empty()).then(|| group_of(peek.group.as_bytes())),
                },
            };
            kind = Kind::Peek { group: peek.group };
            command
        }
        Request::StartRedrive(start) => Command::StartRedrive {
            queue: start.queue,
            destination: start.destination,
            rate: start.rate.into(),
        },
        Request::ListRedrives(list) => Command::ListRedrives { queue: list.queue },
        Request::CancelRedrive(cancel) => {
            Command::CancelRedrive { redrive: RedriveId(cancel.redrive) }
        }
    };
    Ok(Dispatched::Ask { command, kind, answer_bytes_max })
}

/// The most that the answer takes in memory, without bodies; 0 where that is little.
fn answer_bytes_max(request: &Request) -> usize {
    let queues = |max: u32, each: usize| max.min(command::LIST_QUEUES_MAX) as usize * each;
    let messages = |max: u32, each: usize| (max as usize).min(BATCH_MESSAGES_MAX) * each;
    match request {
        Request::ListQueues(list) => {
            queues(list.max, LISTED_QUEUE_BYTES) + command::LIST_TEXTS_BYTES_MAX
        }
        Request::DescribeQueue(_) => LISTED_QUEUE_BYTES + QUEUE_TEXTS_BYTES_MAX,
        Request::ListDeadLetterSources(list) => queues(list.max, LISTED_NAME_BYTES),
        Request::Explain(_) => FACTS_BYTES,
        Request::Receive(receive) => messages(receive.max, size_of::<command::Delivery>()),
        Request::Peek(peek) => messages(peek.max, size_of::<command::Peeked>()),
        Request::Ack(ack) => ack.receipts.len() * FAILURE_BYTES,
        Request::ChangeVisibility(change) => change.changes.len() * FAILURE_BYTES,
        Request::Nack(nack) => nack.receipts.len() * FAILURE_BYTES,
        Request::Transact(transact) => transact.sends.len() * STORED_BYTES,
        Request::ListRedrives(_) => REDRIVES_BYTES,
        _ => 0,
    }
}

/// The attributes in the engine's words. A number for which it has no word is refused as one that
/// is out of range.
fn changes(attributes: QueueAttributes) -> Result<Box<AttributeChanges>, ProtocolError> {
    let mut changes = AttributeChanges::default();
    for (row, value) in attributes.values() {
        if let Some(value) = value {
            changes.set(row.id, value).map_err(|error| replies::error(&error))?;
        }
    }
    let QueueAttributes { dead_letter_queue, redrive_sources, tags, notes, .. } = attributes;
    let texts = AttributeChanges { dead_letter_queue, redrive_sources, tags, notes, ..changes };
    Ok(Box::new(texts))
}

/// Messages to be stored in a queue; `name` tells how the one of an index is called.
fn new_messages(
    queue: &str,
    messages: Vec<OutgoingMessage>,
    name: impl Fn(usize) -> String,
) -> Result<Vec<NewMessage>, ProtocolError> {
    let is_fifo = queue.ends_with(FIFO_SUFFIX);
    let messages = messages.into_iter().enumerate();
    messages.map(|(index, message)| new_message(message, is_fifo, || name(index))).collect()
}

fn new_message(
    message: OutgoingMessage,
    is_fifo: bool,
    name: impl Fn() -> String,
) -> Result<NewMessage, ProtocolError> {
    let OutgoingMessage { delay_ms, block } = message;
    let refused = |code, what: &dyn std::fmt::Display| {
        ProtocolError::new(code, format!("{}: {what}", name()))
    };
    // Damage first: what is wrong with damaged bytes is not the sender's fault.
    block.verify().map_err(|damage| refused(ErrorCode::ChecksumMismatch, &damage))?;
    let ids = block.accept_attributes().map_err(|error| refused(error.code, &error.text))?;
    Ok(NewMessage {
        delay_ms,
        checksum: block.crc(),
        attributes_bytes: u32::try_from(block.attributes_bytes())
            .expect("the decoder read it as a u32"),
        deduplication: deduplication(ids, block.body(), is_fifo),
        payload: block.into_payload(),
    })
}

fn states(wanted: &[MessageState]) -> States {
    if wanted.is_empty() {
        return States::default();
    }
    States {
        waiting: wanted.contains(&MessageState::Waiting),
        in_flight: wanted.contains(&MessageState::InFlight),
        delayed: wanted.contains(&MessageState::Delayed),
        ..States::NONE
    }
}

const _: () = assert!(
    QUEUE_TEXTS_BYTES_MAX >= TAGS_BYTES_MAX + NOTES_BYTES_MAX + REDRIVE_SOURCES_MAX * 128,
    "the texts of a queue fit what they are charged"
);

/// A receipt as the engine takes it. One of another length was not made by any store, and neither
/// was the one of zeros that stands for it: the engine refuses that item, and no other.
fn sealed(receipt: &Receipt) -> SealedReceipt {
    SealedReceipt::from_bytes(receipt.as_bytes())
        .unwrap_or(SealedReceipt([0; SealedReceipt::BYTES]))
}

#[cfg(test)]
mod tests {
    use forebay_protocol::DescribeQueue;

    use super::*;

    /// Without it a client that pipelines them and does not read makes the server hold them all.
    #[test]
    fn the_answer_to_a_describe_counts_with_the_texts_of_its_queue() {
        let describe = DescribeQueue { name: "orders".to_owned() };
        let Ok(Dispatched::Ask { answer_bytes_max, .. }) = dispatch(describe.into(), 1) else {
            panic!("the engine is asked");
        };
        assert!(answer_bytes_max > TAGS_BYTES_MAX + NOTES_BYTES_MAX);
    }
}
