//! Lists in records: items of a fixed size, one behind the other.

use bytes::{BufMut, BytesMut};

use crate::ids::{Group, Seq};
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
    /// The message that it is about.
    fn seq(&self) -> Seq;
    /// Writes it.
    fn write(&self, out: &mut BytesMut);
}

impl<'a, T: Item> List<'a, T> {
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let list = Self { bytes, item: std::marker::PhantomData };
        let is_whole = bytes.len().is_multiple_of(T::BYTES);
        (is_whole && list.iter().all(|item| item.seq() <= Seq::MAX)).then_some(list)
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

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the item's size was checked"))
}

impl Item for Seq {
    const BYTES: usize = 8;
    fn read(bytes: &[u8]) -> Self {
        Seq(u64_at(bytes, 0))
    }
    fn seq(&self) -> Seq {
        *self
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
    fn seq(&self) -> Seq {
        self.0
    }
    fn write(&self, out: &mut BytesMut) {
        out.put_u64_le(self.0.0);
        out.put_u64_le(self.1.0);
    }
}

/// A message of [`Record::Leased`](super::Record::Leased).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The message.
    pub seq: Seq,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// Its group, in a queue whose messages have groups.
    pub group: Group,
}

/// The messages of a [`Record::Leased`](super::Record::Leased): with their groups, or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseList<'a> {
    bytes: &'a [u8],
    has_groups: bool,
}

impl<'a> LeaseList<'a> {
    pub(super) fn decode(bytes: &'a [u8], has_groups: bool) -> Option<Self> {
        let list = Self { bytes, has_groups };
        let is_whole = bytes.len().is_multiple_of(list.item_bytes());
        (is_whole && list.iter().all(|lease| lease.seq <= Seq::MAX)).then_some(list)
    }

    fn item_bytes(&self) -> usize {
        if self.has_groups { LEASE_BYTES + 4 } else { LEASE_BYTES }
    }

    /// The messages in order.
    pub fn iter(&self) -> impl Iterator<Item = Lease> + use<'a> {
        self.bytes.chunks_exact(self.item_bytes()).map(|item| Lease {
            seq: Seq(u64_at(item, 0)),
            receive_count: u32_at(item, 8),
            group: if item.len() > LEASE_BYTES { Group(u32_at(item, 12)) } else { Group::NONE },
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.item_bytes()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A [`Lease`] without its group.
const LEASE_BYTES: usize = 12;

impl Lease {
    pub(super) fn write(&self, has_groups: bool, out: &mut BytesMut) {
        out.put_u64_le(self.seq.0);
        out.put_u32_le(self.receive_count);
        if has_groups {
            out.put_u32_le(self.group.0);
        }
    }
}
