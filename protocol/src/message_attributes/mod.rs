//! What travels with a message beside its body: group, deduplication id, trace header, attributes.
//!
//! ```text
//! the section: items, kinds ascending    | kind u8 | bytes u32 | value |
//! a value of kind 16                     | name bytes u16 | name | type bytes u16 | type | value |
//! ```
//!
//! The sender encodes the section, its checksum covers it, and it is stored and delivered as it came.
//! Kinds are never used again. A kind that is not known is refused where messages are stored
//! ([`MessageAttributes::accept`]), so that a later version can mean something by it, and passed over
//! where they are consumed ([`MessageAttributes::decode`]).

mod md5;
mod rules;

use bytes::{BufMut, Bytes, BytesMut};

pub use md5::{md5_of_body, md5_of_message_attributes};
pub use rules::{DataType, is_sqs_character};

use crate::error::{ErrorCode, ProtocolError};
use crate::wire::{Fault, Input, UnknownAttributes, Unreadable, text};

/// The most attributes of a message.
pub const MESSAGE_ATTRIBUTES_MAX: usize = 10;

/// What travels with a message. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageAttributes {
    /// The group that the message belongs to: 1 to 128 ASCII letters, digits and punctuation marks.
    pub group: Option<String>,
    /// What a second copy of the message has too; of the same characters.
    pub deduplication: Option<String>,
    /// The header that follows a request through systems (AWSTraceHeader): 1 to 1024 bytes.
    pub trace: Option<String>,
    /// At most [`MESSAGE_ATTRIBUTES_MAX`], no name twice.
    pub attributes: Vec<MessageAttribute>,
}

/// One attribute of a message. Its rules are those of SQS ("Amazon SQS message metadata").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageAttribute {
    /// 1 to 256 characters of `A-Z a-z 0-9 _ - .`; no dot at an end.
    pub name: String,
    /// `String`, `Number` or `Binary`, and maybe a label behind a dot; at most 256 characters.
    pub data_type: String,
    /// Text, a number as text, or bytes; not empty.
    pub value: Bytes,
}

/// The numbers of the kinds. Never used again.
mod kind {
    pub(super) const GROUP: u8 = 1;
    pub(super) const DEDUPLICATION: u8 = 2;
    pub(super) const TRACE: u8 = 3;
    pub(super) const ATTRIBUTE: u8 = 16;
}

impl MessageAttributes {
    /// Whether nothing travels with the message.
    pub fn is_empty(&self) -> bool {
        *self == MessageAttributes::default()
    }

    /// The bytes that count for a queue's `message_bytes_max` beside the body: of attributes name,
    /// type and value; of everything else nothing.
    pub fn counted_bytes(&self) -> usize {
        let bytes = |one: &MessageAttribute| one.name.len() + one.data_type.len() + one.value.len();
        self.attributes.iter().map(bytes).sum()
    }

    /// The section of these attributes. Whether they keep the rules is for [`MessageAttributes::check`].
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let texts = [
            (kind::GROUP, &self.group),
            (kind::DEDUPLICATION, &self.deduplication),
            (kind::TRACE, &self.trace),
        ];
        for (kind, text) in texts {
            if let Some(text) = text {
                put_item(&mut out, kind, |out| out.put_slice(text.as_bytes()));
            }
        }
        for MessageAttribute { name, data_type, value } in &self.attributes {
            put_item(&mut out, kind::ATTRIBUTE, |out| {
                put_counted(out, name);
                put_counted(out, data_type);
                out.put_slice(value);
            });
        }
        out.freeze()
    }

    /// The attributes of a section as a consumer reads it: kinds that are not known are passed over,
    /// and no rule is checked. Values share the section's bytes. Errors: `Malformed`, and
    /// `BadMessageAttribute` of more than [`MESSAGE_ATTRIBUTES_MAX`].
    pub fn decode(section: Bytes) -> Result<MessageAttributes, ProtocolError> {
        read(section, UnknownAttributes::Skip)
    }

    /// The attributes of a section that is to be stored: every kind must be known, and every rule
    /// kept. Errors: `Malformed`, `BadMessageAttribute`.
    pub fn accept(section: Bytes) -> Result<MessageAttributes, ProtocolError> {
        // As a rule nothing travels with a message.
        if section.is_empty() {
            return Ok(MessageAttributes::default());
        }
        let attributes = read(section, UnknownAttributes::Refuse)?;
        attributes.check()?;
        Ok(attributes)
    }
}

impl MessageAttribute {
    /// An attribute of the type `String`.
    pub fn string(name: impl Into<String>, value: impl Into<String>) -> MessageAttribute {
        MessageAttribute::new(name, "String", value.into())
    }

    /// An attribute of the type `Number`, written as `value`.
    pub fn number(name: impl Into<String>, value: impl ToString) -> MessageAttribute {
        MessageAttribute::new(name, "Number", value.to_string())
    }

    /// An attribute of the type `Binary`.
    pub fn binary(name: impl Into<String>, value: impl Into<Bytes>) -> MessageAttribute {
        MessageAttribute::new(name, "Binary", value)
    }

    /// An attribute of any type.
    pub fn new(
        name: impl Into<String>,
        data_type: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> MessageAttribute {
        MessageAttribute { name: name.into(), data_type: data_type.into(), value: value.into() }
    }
}

fn read(section: Bytes, unknown: UnknownAttributes) -> Result<MessageAttributes, ProtocolError> {
    let mut input = Input::new(section, unknown);
    let (mut attributes, mut kind_before, mut items) = (MessageAttributes::default(), 0, 0_u32);
    while input.left() > 0 {
        kind_before =
            read_item(&mut input, kind_before, &mut attributes).map_err(|unreadable| {
                unreadable.within(&format!("[{items}]")).into_error("attributes")
            })?;
        items += 1;
    }
    Ok(attributes)
}

/// Adds the next item to `attributes`, and tells its kind.
fn read_item(
    input: &mut Input,
    kind_before: u8,
    attributes: &mut MessageAttributes,
) -> Result<u8, Unreadable> {
    let kind: u8 = input.field("kind")?;
    let is_once = (kind::GROUP..=kind::TRACE).contains(&kind);
    if kind < kind_before || (kind == kind_before && is_once) {
        let text = format!("kind {kind} follows kind {kind_before}, expected ascending kinds");
        return Err(Fault::Rule(text).into());
    }
    let value: Bytes = input.field("value")?;
    match kind {
        kind::GROUP => attributes.group = Some(text(&value)?),
        kind::DEDUPLICATION => attributes.deduplication = Some(text(&value)?),
        kind::TRACE => attributes.trace = Some(text(&value)?),
        kind::ATTRIBUTE if attributes.attributes.len() < MESSAGE_ATTRIBUTES_MAX => {
            let mut parts = Input::new(value, input.unknown_attributes);
            let (name, data_type) = (parts.field("name")?, parts.field("type")?);
            let value = parts.take(parts.left())?;
            attributes.attributes.push(MessageAttribute { name, data_type, value });
        }
        // Each takes more in memory than it may have on the wire: no more of them are read.
        kind::ATTRIBUTE => return Err(rules::too_many()),
        _ if input.unknown_attributes == UnknownAttributes::Skip => {}
        unknown => return Err(Fault::Rule(format!("kind {unknown} is not known")).into()),
    }
    Ok(kind)
}

fn put_item(out: &mut BytesMut, kind: u8, value: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let bytes_at = out.len();
    out.put_u32_le(0);
    value(out);
    // A section that is too long for this is too long for its block, which is not encoded.
    let bytes = (out.len() - bytes_at - 4) as u32;
    out[bytes_at..bytes_at + 4].copy_from_slice(&bytes.to_le_bytes());
}

/// A text longer than its count can say is cut: what is left is still far longer than is accepted.
fn put_counted(out: &mut BytesMut, text: &str) {
    let bytes = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.put_u16_le(bytes);
    out.put_slice(&text.as_bytes()[..usize::from(bytes)]);
}

impl From<rules::BrokenRule> for ProtocolError {
    fn from(broken: rules::BrokenRule) -> ProtocolError {
        ProtocolError::new(ErrorCode::BadMessageAttribute, broken.0)
    }
}
