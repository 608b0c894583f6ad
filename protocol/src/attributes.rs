//! The attributes of a queue: one table, numbers first and then texts.
//!
//! On the wire a list with a count (`u16`), only those that are set: `{id u16, value u64}`, or, where
//! the id has the bit 0x8000, `{id u16, bytes u16, contents}`. An attribute that is not known, or
//! given twice, is refused in a request: half an order is not obeyed. In a reply it is skipped.

use std::collections::BTreeMap;

use bytes::BytesMut;

use crate::error::ErrorCode;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::wire::{
    Fault, Input, TooLong, UnknownAttributes, Unreadable, Wire, decode_pairs, encode_fields,
    encode_pairs,
};

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const YEAR_MS: u64 = 365 * DAY_MS;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Texts by their names.
pub type TextMap = BTreeMap<String, String>;

/// Set in the id of an attribute that is no number.
const TEXT_BIT: u16 = 0x8000;

/// What the table says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeRow {
    /// The number on the wire.
    pub id: u16,
    /// The name, unit last.
    pub name: &'static str,
    /// The value of a queue that was created without it.
    pub default: u64,
    /// The least that a server accepts.
    pub min: u64,
    /// The most that a server accepts.
    pub max: u64,
    /// What it does.
    pub sentence: &'static str,
}

/// What the table says of a text. A queue that was created without it has an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextAttributeRow {
    /// The number on the wire.
    pub id: u16,
    /// The name.
    pub name: &'static str,
    /// `text`, `texts` or `map`.
    pub type_name: &'static str,
    /// What it does.
    pub sentence: &'static str,
}

/// A text attribute's contents, behind the count of their bytes.
trait Contents: Default {
    const TYPE_NAME: &'static str;
    fn put(&self, out: &mut BytesMut) -> Result<(), TooLong>;
    /// Takes all that is left of `input`.
    fn take(input: &mut Input<'_>) -> Result<Self, Unreadable>;
}

macro_rules! attributes {
    (
        numbers { $($id:literal $name:ident $default:expr, $min:expr, $max:expr, $sentence:literal;)* }
        texts { $($text_id:literal $text_name:ident $type:ty, $text_sentence:literal;)* }
    ) => {
        /// Attributes of a queue, as far as they are given: `None` leaves a queue's as they are.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct QueueAttributes {
            $( #[doc = $sentence] pub $name: Option<u64>, )*
            $( #[doc = $text_sentence] pub $text_name: Option<$type>, )*
        }

        impl QueueAttributes {
            /// The numbers, in the order of ids.
            pub const TABLE: &'static [AttributeRow] = &[$( AttributeRow {
                id: $id,
                name: stringify!($name),
                default: $default,
                min: $min,
                max: $max,
                sentence: $sentence,
            }, )*];

            /// The texts, in the order of ids.
            pub const TEXTS: &'static [TextAttributeRow] = &[$( TextAttributeRow {
                id: $text_id,
                name: stringify!($text_name),
                type_name: <$type as Contents>::TYPE_NAME,
                sentence: $text_sentence,
            }, )*];

            /// All attributes, at their defaults.
            pub fn defaults() -> QueueAttributes {
                QueueAttributes {
                    $( $name: Some($default), )*
                    $( $text_name: Some(Default::default()), )*
                }
            }

            /// The number of this name: `None` if there is none of it.
            pub fn by_name(&mut self, name: &str) -> Option<&mut Option<u64>> {
                match name {
                    $( stringify!($name) => Some(&mut self.$name), )*
                    _ => None,
                }
            }

            /// Each number, in the order of ids.
            pub fn values(&self) -> impl Iterator<Item = (&'static AttributeRow, Option<u64>)> {
                Self::TABLE.iter().zip([$( self.$name, )*])
            }

            /// The number of this id: `None` if there is none of it.
            pub fn by_id(&mut self, id: u16) -> Option<&mut Option<u64>> {
                match id {
                    $( $id => Some(&mut self.$name), )*
                    _ => None,
                }
            }

            fn texts_given(&self) -> usize {
                0 $( + usize::from(self.$text_name.is_some()) )*
            }

            fn encode_texts(&self, out: &mut BytesMut) -> Result<(), TooLong> {
                $( if let Some(contents) = &self.$text_name {
                    let id: u16 = $text_id;
                    id.encode(out)?;
                    encode_fields(out, |out| contents.put(out))?;
                } )*
                Ok(())
            }

            /// Takes a text of this id; false if no text has it.
            fn decode_text(&mut self, id: u16, input: &mut Input<'_>) -> Result<bool, Unreadable> {
                match id {
                    $( $text_id => {
                        if self.$text_name.is_some() {
                            return Err(twice(id));
                        }
                        let named = |wrong: Unreadable| wrong.within(stringify!($text_name));
                        self.$text_name = Some(<$type>::take(input).map_err(named)?);
                        Ok(true)
                    } )*
                    _ => Ok(false),
                }
            }
        }
    };
}

attributes! {
    numbers {
        1 visibility_timeout_ms 30 * SECOND_MS, 0, 12 * HOUR_MS, "How long a received message stays hidden from other receives.";
        2 delay_ms 0, 0, 100 * YEAR_MS, "How long a message waits before its first delivery.";
        3 receive_wait_ms 0, 0, 20 * SECOND_MS, "How long a receive waits when there is nothing to receive.";
        4 message_bytes_max MIB, KIB, MESSAGE_BYTES_MAX, "The largest message that a send may have: body, and names, types and values of attributes.";
        5 retention_ms 4 * DAY_MS, MINUTE_MS, 100 * YEAR_MS, "How long a message is kept; the most is for ever.";
        6 in_flight_max 120_000, 1, 100_000_000, "The most messages that are leased at once.";
        7 receive_count_max 0, 0, 1000, "How often a message is received before it is a dead letter; 0: never one.";
        8 fifo 0, 0, 1, "1: a FIFO queue. Cannot be changed.";
        9 content_based_deduplication 0, 0, 1, "1: a message without a deduplication id has its body's digest for one.";
        10 deduplication_scope 0, 0, 1, "Where a deduplication id counts. 0: in the queue, 1: in the message's group.";
        11 fifo_throughput_limit 0, 0, 1, "Stored for SQS, limits nothing. 0: by queue, 1: by group.";
        12 deduplication_window_ms 5 * MINUTE_MS, 5 * MINUTE_MS, 7 * DAY_MS, "How long a deduplication id is remembered.";
        13 durability 0, 0, 1, "When a send is answered. 0: when it is synced, 1: when it is written.";
        14 redrive_permission 0, 0, 2, "Whose dead-letter queue this may be. 0: anyone's, 1: no one's, 2: of redrive_sources.";
    }
    texts {
        0x8001 dead_letter_queue String, "The name of the queue that gets the dead letters; empty: none.";
        0x8002 redrive_sources Vec<String>, "At most 10 names of queues, for redrive_permission 2.";
        0x8003 tags TextMap, "What its owner says of the queue: at most 50, 32768 bytes.";
        0x8004 notes TextMap, "What a front door keeps for itself: at most 24576 bytes.";
    }
}

fn twice(id: u16) -> Unreadable {
    Fault::Rule(format!("attribute {id:#06x} is given twice")).into()
}

impl Wire for QueueAttributes {
    const BYTES_MIN: usize = 2;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let set = || self.values().filter_map(|(row, value)| Some((row.id, value?)));
        ((set().count() + self.texts_given()) as u16).encode(out)?;
        for (id, value) in set() {
            id.encode(out)?;
            value.encode(out)?;
        }
        self.encode_texts(out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        let mut attributes = QueueAttributes::default();
        for _ in 0..input.field::<u16>("count")? {
            let id: u16 = input.field("id")?;
            let is_known = if id & TEXT_BIT != 0 {
                attributes.decode_text(id, &mut input.fields()?)?
            } else {
                let value: u64 = input.field("value")?;
                match attributes.by_id(id) {
                    Some(slot) if slot.is_some() => return Err(twice(id)),
                    Some(slot) => {
                        *slot = Some(value);
                        true
                    }
                    None => false,
                }
            };
            if !is_known && input.unknown_attributes == UnknownAttributes::Refuse {
                let text = format!("no attribute has the id {id:#06x}");
                return Err(Fault::Coded(ErrorCode::UnknownAttribute, text).into());
            }
        }
        Ok(attributes)
    }
}

impl Contents for String {
    const TYPE_NAME: &'static str = "text";

    fn put(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn take(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        Ok(input.rest_as_text()?.to_owned())
    }
}

impl Contents for Vec<String> {
    const TYPE_NAME: &'static str = "texts";

    fn put(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        self.iter().try_for_each(|text| text.encode(out))
    }

    fn take(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        let mut texts = Vec::new();
        while !input.is_empty() {
            texts.push(String::decode(input)?);
        }
        Ok(texts)
    }
}

impl Contents for TextMap {
    const TYPE_NAME: &'static str = "map";

    fn put(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        encode_pairs(self, out)
    }

    fn take(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        decode_pairs(input)
    }
}
