//! Messages as `--json` shows them: one object a line.

use bytes::Bytes;
use data_encoding::BASE64;
use forebay_protocol::{MessageId, MessageState, PeekedMessage, ReceivedMessage};
use serde::Serialize;
use uuid::Uuid;

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
    #[serde(flatten)]
    body: Body<'a>,
}

/// A peeked message.
#[derive(Serialize)]
struct Peeked<'a> {
    seq: u64,
    state: &'static str,
    /// When the lease or delay ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    receive_count: u32,
    sent_ms: u64,
    #[serde(flatten)]
    body: Body<'a>,
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
pub(super) fn received(store_id: Uuid, queue_id: u32, message: &ReceivedMessage) -> Vec<u8> {
    json(&Received {
        message_id: MessageId::new(store_id, queue_id, message.seq).to_string(),
        seq: message.seq,
        receipt: receipt_text(&message.receipt),
        receive_count: message.receive_count,
        sent_ms: message.sent_ms,
        first_received_ms: message.first_received_ms,
        body: body(message.block.body()),
    })
}

/// A peeked message as a JSON object.
pub(super) fn peeked(message: &PeekedMessage) -> Vec<u8> {
    let (state, until_ms) = match message.state {
        MessageState::Waiting => ("waiting", None),
        MessageState::InFlight => ("in-flight", Some(message.until_ms)),
        MessageState::Delayed => ("delayed", Some(message.until_ms)),
    };
    json(&Peeked {
        seq: message.seq,
        state,
        until_ms,
        receive_count: message.receive_count,
        sent_ms: message.sent_ms,
        body: body(message.block.body()),
    })
}

fn body(bytes: &Bytes) -> Body<'_> {
    match str::from_utf8(bytes) {
        Ok(text) => Body::Text(text),
        Err(_) => Body::Base64(BASE64.encode(bytes)),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and texts always have a JSON form")
}
