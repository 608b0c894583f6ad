//! How values become bytes: little-endian integers, counted texts, bytes and lists.
//!
//! [`Wire`] is one type's encoding and decoding side by side; `layout!` writes both from a struct's
//! fields, in order, so they cannot disagree. Decoding is total, and reserves memory for a list only
//! after its count was compared with the bytes left.

mod errors;
mod values;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{ErrorCode, ProtocolError};
pub(crate) use values::{decode_pairs, encode_pairs};

/// The most items a list may announce. Items can be smaller on the wire than in memory; this
/// bounds the difference.
pub const LIST_ITEMS_MAX: u32 = 65_536;

/// A value that is longer than its count can say, found while encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {bytes} bytes is too long to encode: at most {bytes_max} bytes")]
pub struct TooLong {
    /// What was too long: a text, a list, the fields of an item, a frame.
    pub what: &'static str,
    /// Its length (for a list: its items).
    pub bytes: usize,
    /// The most that the encoding allows.
    pub bytes_max: usize,
}

/// What a decoder does with a queue attribute that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownAttributes {
    /// In a request it is an order, which must not be half obeyed.
    Refuse,
    /// In a reply it is a fact from a newer server.
    Skip,
}

/// The bytes of a body that are still to be decoded. They are looked at where they are; only who keeps
/// some of them counts among those who hold the body.
#[derive(Debug)]
pub(crate) struct Input<'b> {
    body: &'b Bytes,
    /// A part of the body.
    rest: &'b [u8],
    pub(crate) unknown_attributes: UnknownAttributes,
}

/// One type's bytes.
pub(crate) trait Wire: Sized {
    /// The fewest bytes a value takes: what a list's count is compared with.
    const BYTES_MIN: usize;
    /// Appends the value.
    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong>;
    /// Takes a value off the front of `input`.
    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable>;
}

/// Bytes that are not a value of the type expected, and the path of the field they were found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    path: String,
    fault: Fault,
}

/// What was wrong with the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The value needs more bytes than are left.
    Short { needed: usize, left: usize },
    /// A list announces more than [`LIST_ITEMS_MAX`].
    TooMany { count: u32 },
    /// The bytes break a rule of their type.
    Rule(String),
    /// A rule that has an error code of its own.
    Coded(ErrorCode, String),
}

impl<'b> Input<'b> {
    pub(crate) fn new(body: &'b Bytes, unknown_attributes: UnknownAttributes) -> Input<'b> {
        Input { body, rest: body, unknown_attributes }
    }

    /// Of the first `bytes` of a body alone.
    pub(crate) fn first(body: &'b Bytes, bytes: usize, unknown: UnknownAttributes) -> Input<'b> {
        Input { body, rest: &body[..bytes], unknown_attributes: unknown }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Decodes the next value; an error names `field`.
    pub(crate) fn field<T: Wire>(&mut self, field: &str) -> Result<T, Unreadable> {
        T::decode(self).map_err(|unreadable| unreadable.within(field))
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Takes exactly `bytes`, to be kept, without copying.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<Bytes, Unreadable> {
        Ok(self.body.slice_ref(self.look_at(bytes)?))
    }

    /// Takes exactly `bytes`, to be looked at.
    pub(crate) fn look_at(&mut self, bytes: usize) -> Result<&'b [u8], Unreadable> {
        let left = self.rest.len();
        let Some((taken, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(Fault::Short { needed: bytes, left }.into());
        };
        self.rest = rest;
        Ok(taken)
    }

    /// Takes the next `N` bytes.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(Fault::Short { needed: N, left: self.rest.len() }.into());
        };
        self.rest = rest;
        Ok(*taken)
    }

    /// Takes the bytes behind a count (`u32`), as an input of their own.
    pub(crate) fn counted(&mut self) -> Result<Input<'b>, Unreadable> {
        let count = u32::decode(self)?;
        Ok(Input { rest: self.look_at(count as usize)?, ..*self })
    }

    /// Takes the area behind a `fields_bytes u16`, as an input of its own: what follows the fields
    /// that are known is dropped with it.
    pub(crate) fn fields(&mut self) -> Result<Input<'b>, Unreadable> {
        let fields_bytes: u16 = self.field("fields_bytes")?;
        let area = self
            .look_at(usize::from(fields_bytes))
            .map_err(|unreadable| unreadable.within("fields"))?;
        Ok(Input { rest: area, ..*self })
    }
}

/// Writes a `fields_bytes u16` and then what `fields` appends.
pub(crate) fn encode_fields(
    out: &mut BytesMut,
    fields: impl FnOnce(&mut BytesMut) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    let count_at = out.len();
    out.put_u16_le(0);
    fields(out)?;
    let bytes = out.len() - count_at - 2;
    let fields_bytes = u16::try_from(bytes).map_err(|_| TooLong {
        what: "a fields area",
        bytes,
        bytes_max: usize::from(u16::MAX),
    })?;
    out[count_at..count_at + 2].copy_from_slice(&fields_bytes.to_le_bytes());
    Ok(())
}

/// Declares a struct and its [`Wire`]: the fields in order. Fields inside `fields_bytes { .. }`
/// stand behind their `u16` length, so that later versions can append to them.
macro_rules! layout {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            fields_bytes { $( $(#[$field_meta:meta])* pub $field:ident: $type:ty, )* }
            $( $(#[$tail_meta:meta])* pub $tail:ident: $tail_type:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
            $( $(#[$tail_meta])* pub $tail: $tail_type, )*
        }

        impl $crate::wire::Wire for $name {
            const BYTES_MIN: usize = 2
                $( + <$type as $crate::wire::Wire>::BYTES_MIN )*
                $( + <$tail_type as $crate::wire::Wire>::BYTES_MIN )*;

            fn encode(&self, out: &mut bytes::BytesMut) -> Result<(), $crate::wire::TooLong> {
                $crate::wire::encode_fields(out, |out| {
                    $( $crate::wire::Wire::encode(&self.$field, out)?; )*
                    Ok(())
                })?;
                $( $crate::wire::Wire::encode(&self.$tail, out)?; )*
                Ok(())
            }

            fn decode(input: &mut $crate::wire::Input<'_>) -> Result<Self, $crate::wire::Unreadable> {
                let mut fields = input.fields()?;
                Ok(Self {
                    $( $field: fields.field(stringify!($field))?, )*
                    $( $tail: input.field(stringify!($tail))?, )*
                })
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $( $(#[$field_meta:meta])* pub $field:ident: $type:ty, )* }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $type, )* }

        impl $crate::wire::Wire for $name {
            const BYTES_MIN: usize = 0 $( + <$type as $crate::wire::Wire>::BYTES_MIN )*;

            fn encode(&self, _out: &mut bytes::BytesMut) -> Result<(), $crate::wire::TooLong> {
                $( $crate::wire::Wire::encode(&self.$field, _out)?; )*
                Ok(())
            }

            fn decode(_input: &mut $crate::wire::Input<'_>) -> Result<Self, $crate::wire::Unreadable> {
                Ok(Self { $( $field: _input.field(stringify!($field))?, )* })
            }
        }
    };
}

impl Unreadable {
    /// Names what the bytes were part of: `block` within `[3]` within `messages`.
    pub(crate) fn within(mut self, outer: &str) -> Unreadable {
        if !self.path.is_empty() && !self.path.starts_with('[') {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, outer);
        self
    }

    /// The error to answer with: `what` is the operation or reply whose body it was.
    pub(crate) fn into_error(self, what: &str) -> ProtocolError {
        let code = match &self.fault {
            Fault::Short { .. } | Fault::Rule(_) => ErrorCode::Malformed,
            Fault::TooMany { .. } => ErrorCode::BatchTooLarge,
            Fault::Coded(code, _) => *code,
        };
        let Unreadable { path, fault } = &self;
        let text = match path.as_str() {
            "" => format!("{what}: {fault}"),
            path => format!("{what}: {path}: {fault}"),
        };
        ProtocolError::new(code, text)
    }
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Unreadable {
        Unreadable { path: String::new(), fault }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Short { needed, left } => {
                write!(f, "expected at least {needed} bytes, found {left}")
            }
            Fault::TooMany { count } => {
                write!(f, "a list of {count} items; at most {LIST_ITEMS_MAX}")
            }
            Fault::Rule(text) | Fault::Coded(_, text) => f.write_str(text),
        }
    }
}
