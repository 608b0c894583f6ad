//! The values that every body is made of, encoding and decoding side by side.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use super::{Fault, Input, LIST_ITEMS_MAX, TooLong, Unreadable, Wire, encode_fields};

macro_rules! integers {
    ($($type:ty, $put:ident;)*) => { $(
        impl Wire for $type {
            const BYTES_MIN: usize = size_of::<$type>();

            fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
                out.$put(*self);
                Ok(())
            }

            fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
                Ok(<$type>::from_le_bytes(input.array()?))
            }
        }
    )* };
}

integers! {
    u8, put_u8;
    u16, put_u16_le;
    u32, put_u32_le;
    u64, put_u64_le;
}

/// `u64::MAX` stands for none: the queue's own setting.
impl Wire for Option<u64> {
    const BYTES_MIN: usize = 8;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        self.unwrap_or(u64::MAX).encode(out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        Ok(Some(u64::decode(input)?).filter(|&value| value != u64::MAX))
    }
}

/// A `u8`: 0 or 1.
impl Wire for bool {
    const BYTES_MIN: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        u8::from(*self).encode(out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        match u8::decode(input)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Fault::Rule(format!("expected 0 or 1, found {other}")).into()),
        }
    }
}

/// A count of bytes (`u16`), then UTF-8.
impl Wire for String {
    const BYTES_MIN: usize = 2;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let bytes = self.len();
        let count = u16::try_from(bytes).map_err(|_| TooLong {
            what: "a text",
            bytes,
            bytes_max: usize::from(u16::MAX),
        })?;
        out.put_u16_le(count);
        out.put_slice(self.as_bytes());
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        let count = u16::decode(input)?;
        Ok(text(input.look_at(usize::from(count))?)?.to_owned())
    }
}

impl<'b> Input<'b> {
    /// Takes all that is left as UTF-8.
    pub(crate) fn rest_as_text(&mut self) -> Result<&'b str, Unreadable> {
        text(self.look_at(self.rest.len())?)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|error| Fault::Rule(format!("not UTF-8: {error}")).into())
}

/// A count of bytes (`u16`), then pairs of texts: names and what they name.
impl Wire for BTreeMap<String, String> {
    const BYTES_MIN: usize = 2;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        encode_fields(out, |out| encode_pairs(self, out))
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        decode_pairs(&mut input.fields()?)
    }
}

/// Writes names and what they name, in the order of the names' bytes.
pub(crate) fn encode_pairs(
    map: &BTreeMap<String, String>,
    out: &mut BytesMut,
) -> Result<(), TooLong> {
    map.iter().try_for_each(|(name, named)| {
        name.encode(out)?;
        named.encode(out)
    })
}

/// Takes all that is left as pairs in any order, each name once.
pub(crate) fn decode_pairs(input: &mut Input<'_>) -> Result<BTreeMap<String, String>, Unreadable> {
    let mut map = BTreeMap::new();
    while !input.rest.is_empty() {
        let (name, named) = (String::decode(input)?, String::decode(input)?);
        if map.contains_key(&name) {
            return Err(Fault::Rule(format!("{name:?} is named twice")).into());
        }
        map.insert(name, named);
    }
    Ok(map)
}

/// A count (`u32`), then the bytes. Decoding shares the frame's buffer.
impl Wire for Bytes {
    const BYTES_MIN: usize = 4;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let bytes = self.len();
        let count = u32::try_from(bytes).map_err(|_| TooLong {
            what: "bytes",
            bytes,
            bytes_max: u32::MAX as usize,
        })?;
        out.put_u32_le(count);
        out.put_slice(self);
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        let count = u32::decode(input)?;
        input.take(count as usize)
    }
}

/// Sixteen bytes, in the order they are printed.
impl Wire for Uuid {
    const BYTES_MIN: usize = 16;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        out.put_slice(self.as_bytes());
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        Ok(Uuid::from_bytes(input.array()?))
    }
}

/// What is in the box: a large value of an enum whose others are small.
impl<T: Wire> Wire for Box<T> {
    const BYTES_MIN: usize = T::BYTES_MIN;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        T::encode(self, out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        T::decode(input).map(Box::new)
    }
}

/// A count (`u32`, at most [`LIST_ITEMS_MAX`]), then the items.
impl<T: Wire> Wire for Vec<T> {
    const BYTES_MIN: usize = 4;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let items = self.len();
        let count = u32::try_from(items).ok().filter(|&count| count <= LIST_ITEMS_MAX);
        out.put_u32_le(count.ok_or(TooLong {
            what: "a list",
            bytes: items,
            bytes_max: LIST_ITEMS_MAX as usize,
        })?);
        self.iter().try_for_each(|item| item.encode(out))
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        const { assert!(T::BYTES_MIN > 0, "an item without bytes could be announced without end") };
        let count = u32::decode(input)?;
        if count > LIST_ITEMS_MAX {
            return Err(Fault::TooMany { count }.into());
        }
        let (needed, left) = (count as usize * T::BYTES_MIN, input.rest.len());
        if needed > left {
            return Err(Fault::Short { needed, left }.into());
        }
        let mut items = Vec::with_capacity(count as usize);
        for index in 0..count {
            items.push(
                T::decode(input).map_err(|unreadable| unreadable.within(&format!("[{index}]")))?,
            );
        }
        Ok(items)
    }
}
