//! Receives: leases from the engine, bodies from memory or the disk, and what SQS says of a message.

use bytes::Bytes;
use data_encoding::BASE64;
use forebay_engine::StoredMessage;
use forebay_engine::attributes::FIFO_SUFFIX;
use forebay_engine::command::Command;
use forebay_engine::location::Location;
use forebay_protocol::{MessageAttributes, ReceivedMessage, md5_of_message_attributes};

use super::attribute_name::Name;
use super::characters::{refused_character, replace_refused};
use super::digests::{Md5, md5s};
use super::endpoint::{Asked, Endpoint};
use super::error::{Result, SqsError};
use super::inputs;
use super::message_attributes::{self, Filter};
use super::outputs::{Message, Received, Short, Text};
use super::queues::queue;
use super::send::{check_id, sequence_number};
use crate::caller::Leases;
use crate::deduplication::id_of_body;
use crate::ending::ended;
use crate::memory::{Charge, Need, UNCHARGED_BYTES};
use crate::replies;
use crate::stored;

/// The most messages of an answer.
const MESSAGES_MAX: i64 = 10;

/// The longest wait, in seconds.
const WAIT_SECONDS_MAX: i64 = 20;

/// The longest visibility timeout, in seconds.
pub(super) const VISIBILITY_SECONDS_MAX: i64 = 43_200;

/// The stored bytes of one answer; one message is always given.
const BODIES_BYTES_MAX: u64 = 8 << 20;

/// A body is in memory as it was stored, as it is written, and in Query as JSON in between.
const COPIES: usize = 3;

/// What may be asked for beside a message's own attributes.
const SYSTEM_ATTRIBUTES: [&str; 9] = [
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
];

/// What an answer holds until it is written.
pub(crate) struct Held {
    pub(crate) leases: Leases,
    pub(crate) _charge: Charge,
}

pub(super) async fn receive(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::ReceiveMessage,
) -> Result<(Received, Option<Held>)> {
    let name = queue(input.queue_url.as_ref())?;
    let max =
        within(input.max_number_of_messages.unwrap_or(1), 1, MESSAGES_MAX).map_err(|max| {
            let reason = format!("Must be between 1 and {MESSAGES_MAX}, if provided.");
            SqsError::invalid_value(max, "MaxNumberOfMessages", reason)
        })?;
    let wait_ms = ms(input.wait_time_seconds, "WaitTimeSeconds", WAIT_SECONDS_MAX)?;
    let visibility_ms = ms(input.visibility_timeout, "VisibilityTimeout", VISIBILITY_SECONDS_MAX)?;
    check_id(input.receive_request_attempt_id.as_deref(), "ReceiveRequestAttemptId")?;
    let system = system_attributes(input.attribute_names, input.message_system_attribute_names)?;
    let filter = Filter::new(input.message_attribute_names);
    let command = Command::Receive {
        queue: name.clone(),
        max: max as u32,
        wait_ms,
        visibility_ms,
        bytes_max: BODIES_BYTES_MAX,
        attempt: input.receive_request_attempt_id,
    };
    let mut ending = endpoint.ending.clone();
    let mut leases = tokio::select! {
        leases = endpoint.receive(&name, command) => leases?,
        // A server that ends owes nothing to those who wait.
        _ = ended(&mut ending) => return Ok((Received::default(), None)),
    };
    if leases.deliveries().is_empty() {
        return Ok((Received::default(), None));
    }
    let (stored, charge) = fetch(endpoint, &mut leases).await;
    let read = leases.deliveries().iter().zip(stored).map(|(delivery, stored)| {
        let received = replies::received(delivery, stored);
        let body = text(received.block.body());
        (received, body)
    });
    let read: Vec<_> = read.collect();
    let bodies: Vec<_> = read.iter().map(|(_, body)| body.as_str().as_bytes()).collect();
    let told = md5s(&bodies).into_iter().zip(read);
    let told = told.map(|(md5, (received, body))| {
        message(endpoint, &name, (received, body, md5), &system, &filter)
    });
    let messages = told.collect();
    leases.let_go_of_messages();
    Ok((Received { messages }, Some(Held { leases, _charge: charge })))
}

fn within(value: i64, min: i64, max: i64) -> std::result::Result<i64, i64> {
    if (min..=max).contains(&value) { Ok(value) } else { Err(value) }
}

fn ms(seconds: Option<i64>, parameter: &str, max: i64) -> Result<Option<u64>> {
    let Some(seconds) = seconds else { return Ok(None) };
    let seconds = within(seconds, 0, max).map_err(|seconds| {
        let reason = format!("Must be >= 0 and <= {max}, if provided.");
        SqsError::invalid_value(seconds, parameter, reason)
    })?;
    Ok(Some(seconds.unsigned_abs() * 1000))
}

/// The system attributes that are asked for, under either name.
fn system_attributes(
    deprecated: Option<Vec<String>>,
    names: Option<Vec<String>>,
) -> Result<Vec<&'static str>> {
    let mut wanted = Vec::new();
    for name in deprecated.into_iter().flatten().chain(names.into_iter().flatten()) {
        match SYSTEM_ATTRIBUTES.iter().find(|known| **known == name) {
            _ if name == "All" => wanted.extend(SYSTEM_ATTRIBUTES),
            Some(known) => wanted.push(*known),
            // The deprecated list may name attributes of queues, which no message has.
            None => drop(Name::parse(&name)?),
        }
    }
    Ok(wanted)
}

/// The bodies of leased messages, and the memory for them. What has none is taken out.
async fn fetch(endpoint: &Endpoint, leases: &mut Leases) -> (Vec<StoredMessage>, Charge) {
    let (mut charge, bytes) = (Charge::default(), COPIES * leases.stored_bytes);
    // A client has no other answer on its way.
    if !endpoint.memory.try_raise(&mut charge, Need::Bodies, bytes) && bytes > UNCHARGED_BYTES {
        charge = endpoint.memory.wait_for(&charge, Need::Bodies, bytes).await;
    }
    let locations: Vec<Location> =
        leases.deliveries().iter().map(|delivery| delivery.location.clone()).collect();
    let hot = stored::read_hot(&endpoint.engine, locations.iter());
    let hot: Option<Vec<_>> = hot.into_iter().collect();
    let read = match hot {
        Some(read) => read,
        None => stored::read_all(&endpoint.engine, &endpoint.disk_reads, locations).await,
    };
    (stored::deliverable(&endpoint.engine, leases, read), charge)
}

/// A message as the client gets it.
fn message(
    endpoint: &Endpoint,
    queue: &str,
    (received, body, md5): (ReceivedMessage, Text, Md5),
    system: &[&str],
    filter: &Filter,
) -> Message {
    // What cannot be read was not checked when it was stored: then there is nothing to tell.
    let travels = received.block.message_attributes().unwrap_or_default();
    let message_id = Short::of(endpoint.message_id(received.origin_queue_id, received.origin_seq));
    let told = |name: &&str| {
        let value =
            system_attribute(endpoint, queue, &received, &travels, message_id.as_str(), name)?;
        Some(((*name).to_owned(), value))
    };
    let attributes = system.iter().filter_map(told).collect();
    let given: Vec<_> =
        travels.attributes.iter().filter(|attribute| filter.takes(&attribute.name)).collect();
    Message {
        receipt_handle: BASE64.encode(received.receipt.as_bytes()),
        md5_of_body: Short::of_md5(&md5),
        body,
        attributes,
        md5_of_message_attributes: md5_of_message_attributes(given.iter().copied()),
        message_attributes: given
            .into_iter()
            .map(|attribute| (attribute.name.clone(), message_attributes::value(attribute)))
            .collect(),
        message_id,
    }
}

/// A body as the text that SQS can carry. One that came over SQS is that already.
fn text(body: &Bytes) -> Text {
    if let Some(text) = Text::of(body)
        && refused_character(text.as_str()).is_none()
    {
        return text;
    }
    replace_refused(&String::from_utf8_lossy(body)).into_owned().into()
}

fn system_attribute(
    endpoint: &Endpoint,
    queue: &str,
    received: &ReceivedMessage,
    travels: &MessageAttributes,
    message_id: &str,
    name: &str,
) -> Option<String> {
    let is_fifo = queue.ends_with(FIFO_SUFFIX);
    let is_dead_letter = !received.source.is_empty();
    match name {
        "SenderId" => Some(endpoint.addresses.account.clone()),
        "SentTimestamp" => Some(received.sent_ms.to_string()),
        "ApproximateReceiveCount" => Some(received.receive_count.to_string()),
        "ApproximateFirstReceiveTimestamp" => Some(received.first_received_ms.to_string()),
        "SequenceNumber" => is_fifo.then(|| sequence_number(received.seq)),
        "MessageGroupId" => travels.group.clone(),
        "AWSTraceHeader" => travels.trace.clone(),
        "DeadLetterQueueSourceArn" => {
            is_dead_letter.then(|| endpoint.addresses.arn(&received.source))
        }
        "MessageDeduplicationId" if !is_fifo => None,
        "MessageDeduplicationId" if is_dead_letter => Some(message_id.to_owned()),
        "MessageDeduplicationId" => Some(match &travels.deduplication {
            Some(id) => id.clone(),
            None => id_of_body(received.block.body()),
        }),
        _ => None,
    }
}
