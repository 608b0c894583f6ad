//! Sends: one message or a batch.

use std::fmt::Display;

use forebay_engine::attributes::FIFO_SUFFIX;
use forebay_engine::command::{Command, NewMessage, Reply, StoredMessages};
use forebay_engine::error::RequestError;
use forebay_protocol::{Block, MessageAttribute, MessageAttributes, md5_of_message_attributes};

use super::batch;
use super::characters::refused_character;
use super::digests::md5s;
use super::endpoint::{Asked, Endpoint, unexpected};
use super::error::{Code, Result, SqsError};
use super::inputs::{self, SendEntry};
use super::message_attributes::{attributes, trace_header};
use super::outputs::{FailedEntry, Sent, SentBatch, SentEntry, Short};
use super::queues::queue;
use crate::deduplication::deduplication;

/// What an entry of a batch is called in errors.
const ENTRY: &str = "SendMessageBatchRequestEntry";

/// The longest group or deduplication id.
const ID_BYTES_MAX: usize = 128;

/// The longest delay of a message, in seconds.
const DELAY_SECONDS_MAX: i64 = 900;

/// Added to a message's number, it has the 20 digits of SQS.
const SEQUENCE_NUMBER_BASE: u64 = 10_000_000_000_000_000_000;

const WRONG_QUEUE_TYPE: &str =
    "The request include parameter that is not valid for this queue type";

/// What is said of a parameter and its value that the type of the queue has no use for: a batch says it otherwise.
type WrongQueueType = fn(&dyn Display, &str) -> SqsError;

/// A message that may be sent, with what its answer is made of.
struct Prepared {
    message: NewMessage,
    attributes: Vec<MessageAttribute>,
    /// Of the system attributes.
    md5_of_system_attributes: Option<String>,
}

/// An entry of a batch that is on its way: its place in the batch, its id.
struct Pending(usize, String, Prepared);

pub(super) async fn send(
    endpoint: &Endpoint,
    asked: &Asked,
    input: inputs::SendMessage<'_>,
) -> Result<Sent> {
    let name = queue(input.queue_url.as_ref())?;
    let entry = SendEntry {
        id: None,
        message_body: input.message_body,
        delay_seconds: input.delay_seconds,
        message_attributes: input.message_attributes,
        message_system_attributes: input.message_system_attributes,
        message_deduplication_id: input.message_deduplication_id,
        message_group_id: input.message_group_id,
    };
    // What only a FIFO queue must have is missing from none that is not there.
    if name.ends_with(FIFO_SUFFIX) && entry.message_group_id.is_none() {
        endpoint.describe(&name).await?;
    }
    let wrong_queue_type: WrongQueueType = |value, parameter| {
        SqsError::invalid_value(value, parameter, format_args!("{WRONG_QUEUE_TYPE}."))
    };
    let prepared = prepare(&name, asked, entry, wrong_queue_type)?;
    let messages = vec![prepared.message.clone()];
    let storing = endpoint.begin(Command::Send { queue: name.clone(), messages, batch: None });
    let mut sent = answers([&prepared]).next().ok_or_else(unexpected)?;
    let stored = storing.await;
    let (queue_id, seqs) = numbers(stored.map_err(|error| refused(error, "are invalid"))?)?;
    let seq = *seqs.first().ok_or_else(unexpected)?;
    complete(endpoint, &name, &mut sent, queue_id, seq);
    Ok(sent)
}

pub(super) async fn send_batch(
    endpoint: &Endpoint,
    asked: &Asked,
    input: inputs::SendMessageBatch<'_>,
) -> Result<SentBatch> {
    let name = queue(input.queue_url.as_ref())?;
    let entries =
        batch::entries(input.entries, ENTRY, |entry: &mut SendEntry<'_>| entry.id.take())?;
    for (index, (_, entry)) in entries.iter().enumerate() {
        if entry.message_body.is_none() {
            return Err(SqsError::missing(&format!("{ENTRY}.{}.MessageBody", index + 1)));
        }
    }
    // What a FIFO queue must have of each entry fails the whole batch, and so it is told.
    let lacks_group = |(_, entry): &(String, SendEntry<'_>)| entry.message_group_id.is_none();
    if name.ends_with(FIFO_SUFFIX) && entries.iter().any(lacks_group) {
        return Err(SqsError::invalid(SqsError::missing("MessageGroupId").message));
    }
    batch::check_bytes(entries.iter().map(|(_, entry)| bytes(entry)).sum())?;
    let mut pending = Vec::with_capacity(entries.len());
    let mut failed: Vec<(usize, FailedEntry)> = Vec::new();
    for (index, (id, entry)) in entries.into_iter().enumerate() {
        match prepare(&name, asked, entry, |_, _| SqsError::invalid(WRONG_QUEUE_TYPE)) {
            Ok(prepared) => pending.push(Pending(index, id, prepared)),
            Err(mut error) => {
                // So it is told in a batch.
                if error.code == Code::MissingParameter {
                    error.code = Code::InvalidParameterValue;
                }
                failed.push((index, batch::failed(id, error)));
            }
        }
    }
    // What only the queue knows to be wrong is found one by one. A refused command stored nothing.
    let mut successful: Vec<SentEntry> = Vec::new();
    while !pending.is_empty() {
        let messages = pending.iter().map(|Pending(_, _, prepared)| prepared.message.clone());
        let messages = messages.collect();
        let storing = endpoint.begin(Command::Send { queue: name.clone(), messages, batch: None });
        // The digests are made while the disk writes.
        if successful.is_empty() {
            let answers = answers(pending.iter().map(|Pending(_, _, prepared)| prepared));
            successful.extend(answers.map(|sent| SentEntry { id: String::new(), sent }));
        }
        match storing.await {
            Ok(reply) => {
                let (queue_id, seqs) = numbers(reply)?;
                let sent = pending.drain(..).zip(&mut successful).zip(seqs);
                for ((Pending(_, id, _), entry), seq) in sent {
                    entry.id = id;
                    complete(endpoint, &name, &mut entry.sent, queue_id, seq);
                }
            }
            Err(error @ RequestError::MessageTooLarge { index, .. }) if index < pending.len() => {
                drop(successful.remove(index));
                let Pending(index, id, _) = pending.remove(index);
                let error = refused(error, "cannot be validated");
                failed.push((index, batch::failed(id, error)));
            }
            Err(error) => return Err(refused(error, "cannot be validated")),
        }
    }
    if successful.is_empty() {
        // Whether the queue is there was not seen yet.
        endpoint.describe(&name).await?;
    }
    failed.sort_by_key(|(index, _)| *index);
    Ok(SentBatch { successful, failed: failed.into_iter().map(|(_, failed)| failed).collect() })
}

/// The bytes that an entry counts for in a batch: its body, and names, types and values of attributes.
fn bytes(entry: &SendEntry<'_>) -> usize {
    let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let attributes = entry.message_attributes.iter().flatten().map(|(name, value)| {
        let padding = value.binary_value.as_ref().map_or(0, |text| text.matches('=').count());
        let binary_bytes = (len(&value.binary_value) / 4 * 3).saturating_sub(padding);
        name.len() + len(&value.data_type) + len(&value.string_value) + binary_bytes
    });
    entry.message_body.as_ref().map_or(0, |body| body.len()) + attributes.sum::<usize>()
}

/// Makes what the engine stores of an entry, if it may be stored at all.
fn prepare(
    queue: &str,
    asked: &Asked,
    entry: SendEntry<'_>,
    wrong_queue_type: WrongQueueType,
) -> Result<Prepared> {
    let is_fifo = queue.ends_with(FIFO_SUFFIX);
    let body = entry.message_body.filter(|body| !body.is_empty());
    let body = body.ok_or_else(|| SqsError::missing("MessageBody"))?;
    if let Some(character) = refused_character(&body) {
        return Err(SqsError::invalid_character(character));
    }
    let attributes = attributes(entry.message_attributes)?;
    let given_trace = trace_header(entry.message_system_attributes)?;
    let delay_ms = delay_ms(entry.delay_seconds, is_fifo, wrong_queue_type)?;
    check_id(entry.message_group_id.as_deref(), "MessageGroupId")?;
    match &entry.message_deduplication_id {
        Some(id) if !is_fifo => {
            return Err(wrong_queue_type(id, "MessageDeduplicationId"));
        }
        id => check_id(id.as_deref(), "MessageDeduplicationId")?,
    }
    if is_fifo && entry.message_group_id.is_none() {
        return Err(SqsError::missing("MessageGroupId"));
    }
    let mut travels = MessageAttributes {
        group: entry.message_group_id,
        deduplication: entry.message_deduplication_id,
        trace: given_trace,
        attributes,
    };
    travels.check().map_err(|broken| SqsError::invalid(broken.text))?;
    let md5_of_system_attributes = travels.md5_of_system_attributes();
    if travels.trace.is_none() && asked.trace.is_some() {
        travels.trace = asked.trace.clone();
    }
    let body = asked.bytes(body);
    let deduplication = deduplication(travels.ids(), &body, is_fifo);
    let block = match travels.is_empty() {
        true => Block::new(body),
        false => Block::with_attributes(&travels, body),
    };
    let message = NewMessage {
        delay_ms,
        checksum: block.crc(),
        attributes_bytes: u32::try_from(block.attributes_bytes())
            .map_err(|_| SqsError::internal("the attributes take 4 GiB"))?,
        deduplication,
        payload: block.into_payload(),
    };
    Ok(Prepared { message, attributes: travels.attributes, md5_of_system_attributes })
}

/// The answers but for what the engine gives the messages.
fn answers<'a>(
    prepared: impl IntoIterator<Item = &'a Prepared> + Clone,
) -> impl Iterator<Item = Sent> {
    let bodies: Vec<_> = prepared.clone().into_iter().map(Prepared::body).collect();
    let answer = |(prepared, md5): (&Prepared, _)| Sent {
        md5_of_message_body: Short::of_md5(&md5),
        md5_of_message_attributes: md5_of_message_attributes(&prepared.attributes),
        md5_of_message_system_attributes: prepared.md5_of_system_attributes.clone(),
        ..Sent::default()
    };
    prepared.into_iter().zip(md5s(&bodies)).map(answer)
}

impl Prepared {
    fn body(&self) -> &[u8] {
        &self.message.payload[self.message.attributes_bytes as usize..]
    }
}

fn delay_ms(
    seconds: Option<i64>,
    is_fifo: bool,
    wrong_queue_type: WrongQueueType,
) -> Result<Option<u64>> {
    match seconds {
        None => Ok(None),
        Some(seconds) if !(0..=DELAY_SECONDS_MAX).contains(&seconds) => {
            let reason = format!("DelaySeconds must be >= 0 and <= {DELAY_SECONDS_MAX}.");
            Err(SqsError::invalid_value(seconds, "DelaySeconds", reason))
        }
        // The queue's delay holds.
        Some(0) if is_fifo => Ok(None),
        Some(seconds) if is_fifo => Err(wrong_queue_type(&seconds, "DelaySeconds")),
        Some(seconds) => Ok(Some(seconds.unsigned_abs() * 1000)),
    }
}

/// Checks a group, deduplication or attempt id.
pub(super) fn check_id(id: Option<&str>, parameter: &str) -> Result<()> {
    let is_good = |id: &str| {
        (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match id.filter(|id| !is_good(id)) {
        None => Ok(()),
        Some(id) => {
            let reason = format!(
                "{parameter} can only include alphanumeric and punctuation characters. 1 to \
                 {ID_BYTES_MAX} in length."
            );
            Err(SqsError::invalid_value(id, parameter, reason))
        }
    }
}

/// What the queue refuses of a message. `parameters` is what is said of them: a batch says it otherwise.
fn refused(error: RequestError, parameters: &str) -> SqsError {
    match error {
        RequestError::MessageTooLarge { max, .. } => SqsError::invalid(format!(
            "One or more parameters {parameters}. Reason: Message must be shorter than {max} bytes."
        )),
        // Everything else that a FIFO queue refuses has been refused before.
        RequestError::MessageInvalid { .. } => SqsError::invalid(
            "The queue should either have ContentBasedDeduplication enabled or \
             MessageDeduplicationId provided explicitly",
        ),
        error => error.into(),
    }
}

/// The numbers of what was stored: the queue's, and each message's.
fn numbers(reply: Reply) -> Result<(u32, Vec<u64>)> {
    match reply {
        Reply::Sent(StoredMessages { queue, first, count, seqs }) if seqs.is_empty() => {
            Ok((queue.0, (first.0..first.0 + u64::from(count)).collect()))
        }
        Reply::Sent(StoredMessages { queue, seqs, .. }) => {
            Ok((queue.0, seqs.into_iter().map(|seq| seq.0).collect()))
        }
        _ => Err(unexpected()),
    }
}

fn complete(endpoint: &Endpoint, queue: &str, sent: &mut Sent, queue_id: u32, seq: u64) {
    sent.message_id = Short::of(endpoint.message_id(queue_id, seq));
    if queue.ends_with(FIFO_SUFFIX) {
        sent.sequence_number = Some(sequence_number(seq));
    }
}

/// The sequence number of a message of a FIFO queue.
pub(super) fn sequence_number(seq: u64) -> String {
    SEQUENCE_NUMBER_BASE.saturating_add(seq).to_string()
}
