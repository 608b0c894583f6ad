//! Messages as `--json` shows them: one object a line.

use std::collections::BTreeMap;

use bytes::Bytes;
use data_encoding::BASE64;
use forebay_protocol::{
    Block, DataType, MessageAttribute, MessageId, MessageState, PeekedMessage, ReceivedMessage,
    md5_of_body, md5_of_message_attributes,
};
use serde::Serialize;
use uuid::Uuid;

use super::output::json_line;
use super::receipt_text::receipt_text;

/// A received message.
#[derive(Serialize)]
struct Received<'a> {
    message_id: String,
    seq: u64,
    receipt: String,
    receive_count: u32,
    sent_ms: u64,
    first_received_ms: u64,
    /// Why it was last given back.
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    /// The queue that a dead letter came from.
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'a str,
    #[serde(flatten)]
    content: Content<'a>,
}

/// A peeked message.
#[derive(Serialize)]
struct Peeked<'a> {
    message_id: String,
    seq: u64,
    state: &'static str,
    /// When the lease or delay ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    receive_count: u32,
    sent_ms: u64,
    /// Why it was last given back.
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    /// The queue that a dead letter came from.
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'a str,
    #[serde(flatten)]
    content: Content<'a>,
}

/// What the sender gave, and the digests by which SQS clients compare it.
#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deduplication_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_header: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, Attribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes_md5: Option<String>,
    /// What a server of another version gave, and this one cannot read.
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes_error: Option<String>,
    #[serde(flatten)]
    body: Body<'a>,
    body_md5: String,
}

/// An attribute, but for its name.
#[derive(Serialize)]
struct Attribute {
    #[serde(rename = "type")]
    data_type: String,
    #[serde(flatten)]
    value: Value,
}

/// A value: text, or in base64 if it is binary.
#[derive(Serialize)]
enum Value {
    #[serde(rename = "value")]
    Text(String),
    #[serde(rename = "value_base64")]
    Base64(String),
}

/// A body: text if it is UTF-8, else in base64.
#[derive(Serialize)]
enum Body<'a> {
    #[serde(rename = "body")]
    Text(&'a str),
    #[serde(rename = "body_base64")]
    Base64(String),
}

/// A received message as a JSON object.
pub(super) fn received(store_id: Uuid, message: &ReceivedMessage) -> String {
    let id = MessageId::new(store_id, message.origin_queue_id, message.origin_seq);
    json_line(&Received {
        message_id: id.to_string(),
        seq: message.seq,
        receipt: receipt_text(&message.receipt),
        receive_count: message.receive_count,
        sent_ms: message.sent_ms,
        first_received_ms: message.first_received_ms,
        reason: &message.reason,
        source: &message.source,
        content: content(&message.block),
    })
}

/// A peeked message as a JSON object.
pub(super) fn peeked(store_id: Uuid, message: &PeekedMessage) -> String {
    let id = MessageId::new(store_id, message.origin_queue_id, message.origin_seq);
    let (state, until_ms) = match message.state {
        MessageState::Waiting => ("waiting", None),
        MessageState::InFlight => ("in-flight", Some(message.until_ms)),
        MessageState::Delayed => ("delayed", Some(message.until_ms)),
    };
    json_line(&Peeked {
        message_id: id.to_string(),
        seq: message.seq,
        state,
        until_ms,
        receive_count: message.receive_count,
        sent_ms: message.sent_ms,
        reason: &message.reason,
        source: &message.source,
        content: content(&message.block),
    })
}

fn content(block: &Block) -> Content<'_> {
    let (attributes, error) = match block.message_attributes() {
        Ok(attributes) => (attributes, None),
        Err(error) => (Default::default(), Some(error.text)),
    };
    Content {
        attributes_md5: md5_of_message_attributes(&attributes.attributes),
        attributes: attributes.attributes.into_iter().map(named).collect(),
        attributes_error: error,
        group: attributes.group,
        deduplication_id: attributes.deduplication,
        trace_header: attributes.trace,
        body: body(block.body()),
        body_md5: md5_of_body(block.body()),
    }
}

fn named(attribute: MessageAttribute) -> (String, Attribute) {
    let is_binary = attribute.data_type() == Some(DataType::Binary);
    let MessageAttribute { name, data_type, value } = attribute;
    let value = match str::from_utf8(&value) {
        Ok(text) if !is_binary => Value::Text(text.to_owned()),
        _ => Value::Base64(BASE64.encode(&value)),
    };
    (name, Attribute { data_type, value })
}

fn body(bytes: &Bytes) -> Body<'_> {
    match str::from_utf8(bytes) {
        Ok(text) => Body::Text(text),
        Err(_) => Body::Base64(BASE64.encode(bytes)),
    }
}
