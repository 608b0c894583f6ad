//! Attributes in records and snapshots (FORMAT.md, "Attributes").

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::attributes::{
    ATTRIBUTES, AttributeChanges, NOTES_BYTES_MAX, QUEUE_NAME_BYTES_MAX, REDRIVE_SOURCES_MAX,
    TAGS_BYTES_MAX, TEXT_ATTRIBUTES, TEXT_BIT, TextMap, Value,
};
use crate::codec::Fields;

/// Attributes as they stand in a record: decodable, for that was tried.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodedAttributes<'a> {
    /// What is behind the count.
    bytes: &'a [u8],
}

/// The bytes that a number takes, and a text without its contents.
const NUMBER_BYTES: usize = 2 + 8;
const TEXT_HEADER_BYTES: usize = 2 + 2;

/// The most bytes that the attributes of a queue take, with their count.
const ATTRIBUTES_BYTES_MAX: usize = 2
    + ATTRIBUTES.len() * NUMBER_BYTES
    + TEXT_ATTRIBUTES.len() * TEXT_HEADER_BYTES
    + QUEUE_NAME_BYTES_MAX
    + REDRIVE_SOURCES_MAX * (2 + QUEUE_NAME_BYTES_MAX)
    + TAGS_BYTES_MAX
    + NOTES_BYTES_MAX;

const _: () = assert!(
    4 + 8 + ATTRIBUTES_BYTES_MAX + QUEUE_NAME_BYTES_MAX <= u16::MAX as usize,
    "a QueueCreated record holds all attributes and the name"
);

impl<'a> EncodedAttributes<'a> {
    /// Takes attributes off the front of `fields`. All must be known: one that was ignored would
    /// change what the queue does.
    pub(crate) fn decode(fields: &mut Fields<'a>) -> Option<Self> {
        let count = fields.u16()?;
        let start = fields.rest();
        let mut last = None;
        for _ in 0..count {
            let (id, _) = take_attribute(fields)?;
            if last >= Some(id) {
                return None;
            }
            last = Some(id);
        }
        let bytes = &start[..start.len() - fields.rest().len()];
        decode_all(bytes).map(|_| Self { bytes })
    }

    /// The attributes.
    pub fn changes(&self) -> AttributeChanges {
        decode_all(self.bytes).expect("they were decoded once")
    }
}

impl fmt::Debug for EncodedAttributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes().fmt(f)
    }
}

impl fmt::Display for EncodedAttributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes().fmt(f)
    }
}

fn decode_all(bytes: &[u8]) -> Option<AttributeChanges> {
    let (mut fields, mut changes) = (Fields::new(bytes), AttributeChanges::default());
    while !fields.rest().is_empty() {
        let (id, value) = take_attribute(&mut fields)?;
        changes.set(id, value).ok()?;
    }
    Some(changes)
}

fn take_attribute<'a>(fields: &mut Fields<'a>) -> Option<(u16, Value<'a>)> {
    let id = fields.u16()?;
    if id & TEXT_BIT == 0 {
        return Some((id, Value::Number(fields.u64()?)));
    }
    let row = TEXT_ATTRIBUTES.iter().find(|row| row.id == id)?;
    let mut contents = Fields::new(take_counted(fields)?);
    let value = match (row.empty)() {
        Value::Number(_) => return None,
        Value::Text(_) => Value::Text(Cow::Borrowed(str::from_utf8(contents.rest()).ok()?)),
        Value::List(_) => {
            let mut list = Vec::new();
            while !contents.rest().is_empty() {
                list.push(take_text(&mut contents)?.to_owned());
            }
            Value::List(list.into())
        }
        Value::Map(_) => {
            let mut map = TextMap::new();
            while !contents.rest().is_empty() {
                let (key, value) = (take_text(&mut contents)?, take_text(&mut contents)?);
                // One order of keys, so that equal attributes are equal bytes.
                if map.last_key_value().is_some_and(|(last, _)| last.as_str() >= key) {
                    return None;
                }
                map.insert(key.to_owned(), value.to_owned());
            }
            Value::Map(Cow::Owned(map))
        }
    };
    Some((id, value))
}

fn take_counted<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let count = fields.u16()?;
    fields.bytes(count.into())
}

fn take_text<'a>(fields: &mut Fields<'a>) -> Option<&'a str> {
    str::from_utf8(take_counted(fields)?).ok()
}

/// Writes attributes as a record has them.
pub(crate) fn put_attributes(out: &mut BytesMut, attributes: &AttributeChanges) {
    out.put_u16_le(u16::try_from(attributes.iter().count()).expect("a handful of attributes"));
    for (id, value) in attributes.iter() {
        out.put_u16_le(id);
        match &value {
            Value::Number(number) => out.put_u64_le(*number),
            Value::Text(text) => put_counted(out, text.as_bytes()),
            Value::List(list) => {
                put_count(out, value.text_bytes());
                list.iter().for_each(|text| put_counted(out, text.as_bytes()));
            }
            Value::Map(map) => {
                put_count(out, value.text_bytes());
                for text in map.iter().flat_map(|(key, value)| [key, value]) {
                    put_counted(out, text.as_bytes());
                }
            }
        }
    }
}

fn put_counted(out: &mut BytesMut, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.put_slice(bytes);
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u16_le(u16::try_from(count).expect("attributes were checked: ATTRIBUTES_BYTES_MAX"));
}
