//! Lists in records: items of a fixed size, one behind the other.

use bytes::{BufMut, BytesMut};

use crate::ids::Seq;
use crate::time::LogTime;

/// Items of a fixed size, as they stand in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'a, T> {
    bytes: &'a [u8],
    item: std::marker::PhantomData<T>,
}

/// An item of a [`List`].
pub trait Item: Sized {
    /// Its size.
    const BYTES: usize;
    /// Reads it from exactly so many bytes.
    fn read(bytes: &[u8]) -> Self;
    /// Writes it.
    fn write(&self, out: &mut BytesMut);
}

impl<'a, T: Item> List<'a, T> {
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        bytes
            .len()
            .is_multiple_of(T::BYTES)
            .then_some(Self { bytes, item: std::marker::PhantomData })
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        self.bytes.chunks_exact(T::BYTES).map(T::read)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / T::BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the item's size was checked"))
}

impl Item for Seq {
    const BYTES: usize = 8;
    fn read(bytes: &[u8]) -> Self {
        Seq(u64_at(bytes, 0))
    }
    fn write(&self, out: &mut BytesMut) {
        out.put_u64_le(self.0);
    }
}

impl Item for (Seq, LogTime) {
    const BYTES: usize = 16;
    fn read(bytes: &[u8]) -> Self {
        (Seq(u64_at(bytes, 0)), LogTime(u64_at(bytes, 8)))
    }
    fn write(&self, out: &mut BytesMut) {
        out.put_u64_le(self.0.0);
        out.put_u64_le(self.1.0);
    }
}

impl Item for (Seq, u32) {
    const BYTES: usize = 12;
    fn read(bytes: &[u8]) -> Self {
        let count = bytes[8..12].try_into().expect("the item's size was checked");
        (Seq(u64_at(bytes, 0)), u32::from_le_bytes(count))
    }
    fn write(&self, out: &mut BytesMut) {
        out.put_u64_le(self.0.0);
        out.put_u32_le(self.1);
    }
}
