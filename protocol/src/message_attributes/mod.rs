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
pub use rules::{DataType, is_attribute_name_character, is_sqs_character};

use crate::error::{ErrorCode, ProtocolError};
use crate::wire::{Fault, Input, UnknownAttributes, Unreadable};

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

/// What of a section that may be stored tells the server how to store its message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AcceptedIds<'s> {
    /// The group's id.
    pub group: Option<&'s str>,
    /// The deduplication id.
    pub deduplication: Option<&'s str>,
}

/// A section, as far as it was read: texts are where they stand.
#[derive(Default)]
struct Section<'s> {
    group: Option<&'s str>,
    deduplication: Option<&'s str>,
    trace: Option<&'s str>,
    attributes: Vec<MessageAttribute>,
}

/// One attribute of a message. Its rules are those of SQS ("Amazon SQS message metadata").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageAttribute {
    /// 1 to 256 bytes of letters and digits of any script, `_`, `-` and `.`; no dot at an end.
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
        let Section { group, deduplication, trace, attributes } =
            read(Input::new(&section, UnknownAttributes::Skip))?;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (group, deduplication, trace) = (owned(group), owned(deduplication), owned(trace));
        Ok(MessageAttributes { group, deduplication, trace, attributes })
    }

    /// Checks a section that is to be stored: every kind must be known, and every rule kept. Its ids
    /// are told where they stand. Errors: `Malformed`, `BadMessageAttribute`.
    pub fn accept(section: &Bytes) -> Result<AcceptedIds<'_>, ProtocolError> {
        accept_first(section, section.len())
    }

    /// Its ids.
    pub fn ids(&self) -> AcceptedIds<'_> {
        let (group, deduplication) = (self.group.as_deref(), self.deduplication.as_deref());
        AcceptedIds { group, deduplication }
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

/// As [`MessageAttributes::accept`], of a section that a payload begins with.
pub(crate) fn accept_first(
    payload: &Bytes,
    section_bytes: usize,
) -> Result<AcceptedIds<'_>, ProtocolError> {
    // As a rule nothing travels with a message.
    if section_bytes == 0 {
        return Ok(AcceptedIds::default());
    }
    let read = read(Input::first(payload, section_bytes, UnknownAttributes::Refuse))?;
    read.check_rules()?;
    let Section { group, deduplication, .. } = read;
    Ok(AcceptedIds { group, deduplication })
}

fn read(mut input: Input<'_>) -> Result<Section<'_>, ProtocolError> {
    let (mut found, mut kind_before, mut items) = (Section::default(), 0, 0_u32);
    while input.left() > 0 {
        kind_before = read_item(&mut input, kind_before, &mut found).map_err(|unreadable| {
            unreadable.within(&format!("[{items}]")).into_error("attributes")
        })?;
        items += 1;
    }
    Ok(found)
}

/// Adds the next item to what was found, and tells its kind.
fn read_item<'s>(
    input: &mut Input<'s>,
    kind_before: u8,
    found: &mut Section<'s>,
) -> Result<u8, Unreadable> {
    let kind: u8 = input.field("kind")?;
    let is_once = (kind::GROUP..=kind::TRACE).contains(&kind);
    if kind < kind_before || (kind == kind_before && is_once) {
        let text = format!("kind {kind} follows kind {kind_before}, expected ascending kinds");
        return Err(Fault::Rule(text).into());
    }
    let mut value = input.counted().map_err(|unreadable| unreadable.within("value"))?;
    match kind {
        kind::GROUP => found.group = Some(value.rest_as_text()?),
        kind::DEDUPLICATION => found.deduplication = Some(value.rest_as_text()?),
        kind::TRACE => found.trace = Some(value.rest_as_text()?),
        kind::ATTRIBUTE if found.attributes.len() < MESSAGE_ATTRIBUTES_MAX => {
            let (name, data_type) = (value.field("name")?, value.field("type")?);
            let value = value.take(value.left())?;
            found.attributes.push(MessageAttribute { name, data_type, value });
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
