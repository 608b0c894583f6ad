//! The attributes of a queue: one table with id, name, default and range of each.
//!
//! On the wire a list with a count (`u16`) of `{id u16, value u64}`, only those that are set.
//! An attribute that is not known, or given twice, is refused in a request: half an order is not
//! obeyed. In a reply it is skipped.

use bytes::BytesMut;

use crate::error::ErrorCode;
use crate::wire::{Fault, Input, TooLong, UnknownAttributes, Unreadable, Wire};

const SECOND_MS: u64 = 1000;
const HOUR_MS: u64 = 3600 * SECOND_MS;
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What the table says of one attribute.
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

macro_rules! attributes {
    ($($id:literal $name:ident $default:expr, $min:expr, $max:expr, $sentence:literal;)*) => {
        /// Attributes of a queue, as far as they are given: `None` leaves a queue's as they are.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct QueueAttributes { $( #[doc = $sentence] pub $name: Option<u64>, )* }

        impl QueueAttributes {
            /// The table, in the order of ids.
            pub const TABLE: &'static [AttributeRow] = &[$( AttributeRow {
                id: $id,
                name: stringify!($name),
                default: $default,
                min: $min,
                max: $max,
                sentence: $sentence,
            }, )*];

            /// All attributes, at their defaults.
            pub fn defaults() -> QueueAttributes {
                QueueAttributes { $( $name: Some($default), )* }
            }

            /// The value of the attribute of this name: `None` if there is none of it.
            pub fn by_name(&mut self, name: &str) -> Option<&mut Option<u64>> {
                match name {
                    $( stringify!($name) => Some(&mut self.$name), )*
                    _ => None,
                }
            }

            /// The value of each attribute, in the order of ids.
            pub fn values(&self) -> impl Iterator<Item = (&'static AttributeRow, Option<u64>)> {
                Self::TABLE.iter().zip([$( self.$name, )*])
            }

            fn by_id(&mut self, id: u16) -> Option<&mut Option<u64>> {
                match id {
                    $( $id => Some(&mut self.$name), )*
                    _ => None,
                }
            }
        }
    };
}

attributes! {
    1 visibility_timeout_ms 30 * SECOND_MS, 0, 12 * HOUR_MS, "How long a received message stays hidden from other receives.";
    2 delay_ms 0, 0, 100 * YEAR_MS, "How long a message waits before its first delivery.";
    3 receive_wait_ms 0, 0, 20 * SECOND_MS, "How long a receive waits when there is nothing to receive.";
    4 message_bytes_max MIB, KIB, 16 * MIB, "The largest message that a send may have: body, and names, types and values of attributes.";
}

impl Wire for QueueAttributes {
    const BYTES_MIN: usize = 2;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let set = || self.values().filter_map(|(row, value)| Some((row.id, value?)));
        (set().count() as u16).encode(out)?;
        for (id, value) in set() {
            id.encode(out)?;
            value.encode(out)?;
        }
        Ok(())
    }

    fn decode(input: &mut Input) -> Result<Self, Unreadable> {
        let mut attributes = QueueAttributes::default();
        for _ in 0..input.field::<u16>("count")? {
            let id: u16 = input.field("id")?;
            let value: u64 = input.field("value")?;
            match attributes.by_id(id) {
                Some(slot) if slot.is_none() => *slot = Some(value),
                Some(_) => return Err(Fault::Rule(format!("attribute {id} is given twice")).into()),
                None if input.unknown_attributes == UnknownAttributes::Skip => {}
                None => {
                    let text = format!(
                        "no attribute has the id {id}; the highest known is {}",
                        Self::TABLE.len()
                    );
                    return Err(Fault::Coded(ErrorCode::UnknownAttribute, text).into());
                }
            }
        }
        Ok(attributes)
    }
}
