//! The names of things: store, queue, message, entry, epoch, lease.
//!
//! Each is its own type with only the arithmetic that makes sense, so that a sequence number is
//! never taken for a position.

use std::fmt;
use std::hash::{Hash, Hasher};

use uuid::Uuid;

/// A store's identity: random, drawn when the store is created, never changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub Uuid);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this.
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

number! {
    /// A queue's number: from 1, given once, never reused, also not after the queue is deleted.
    QueueId(u32)
}

number! {
    /// A message's number in its queue: dense, from 1. `(QueueId, Seq)` is a message's identity.
    Seq(u64)
}

number! {
    /// An entry's number in the log: dense, from 1; Raft's log index. `Position(0)` is before the
    /// first entry.
    Position(u64)
}

impl Seq {
    /// No queue gets this far. A file that says a greater one is damaged, whatever its checksum says.
    pub const MAX: Seq = Seq(u64::MAX >> 1);
}

/// A message's group, by the CRC-32 of its id (FORMAT.md section 4). Two groups that share a
/// number are one group to the engine: they wait for each other, and their order holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Group(pub u32);

impl Group {
    /// A message without a group.
    pub const NONE: Group = Group(0);
}

/// What a message and its copies have in common: the first 16 bytes of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeduplicationKey(pub [u8; 16]);

impl Hash for DeduplicationKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Not as a list of bytes, whose length would be hashed too.
        state.write_u128(u128::from_le_bytes(self.0));
    }
}

impl fmt::Debug for DeduplicationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeduplicationKey({self})")
    }
}

impl fmt::Display for DeduplicationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A producer that numbers its batches: drawn at random by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProducerId(pub u128);

impl Position {
    /// No log gets this far. A file that says a greater one is damaged, whatever its checksum says: so
    /// the position after one that was read can always be computed.
    pub const MAX: Position = Position(u64::MAX >> 1);

    /// The position before this one. The first position's is 0, "nothing".
    pub fn previous(self) -> Position {
        Position(self.0.saturating_sub(1))
    }
}

/// A redrive's number: that of the queue whose messages it moves, in the upper 32 bits, and a count
/// within the queue, from 1. Never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct RedriveId(pub u64);

impl RedriveId {
    /// The `count`-th redrive of a queue.
    pub fn new(queue: QueueId, count: u32) -> Self {
        Self(u64::from(queue.0) << 32 | u64::from(count))
    }

    /// The queue whose messages it moves.
    pub fn queue(self) -> QueueId {
        QueueId((self.0 >> 32) as u32)
    }

    /// Its count within the queue.
    pub fn count(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for RedriveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.queue(), self.count())
    }
}

number! {
    /// Counts the openings of a store, from 1. Durable before anything is logged under it.
    Epoch(u32)
}

impl Epoch {
    /// The last one: a lease's number has 24 bits for it.
    pub const MAX: Epoch = Epoch((1 << (u64::BITS - LeaseId::COUNT_BITS)) - 1);
}

number! {
    /// The number of a wait without an end, chosen by whoever waits: no two that wait at the same
    /// time may have one.
    WaitId(u64)
}

/// A lease's number: unique in a store for ever, because its upper 24 bits are those of the epoch
/// and its lower 40 bits count the leases given since the store was opened. A lease whose record
/// was lost in a crash is thus never confused with a later one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LeaseId(pub u64);

impl LeaseId {
    const COUNT_BITS: u32 = 40;

    /// The `count`-th lease of `epoch`.
    pub fn new(epoch: Epoch, count: u64) -> Self {
        assert!(count < 1 << Self::COUNT_BITS, "2^40 leases since the store was opened");
        assert!(epoch <= Epoch::MAX, "2^24 openings of one store");
        Self((u64::from(epoch.0) << Self::COUNT_BITS) | count)
    }

    /// The epoch that gave it.
    pub fn epoch(self) -> Epoch {
        Epoch((self.0 >> Self::COUNT_BITS) as u32)
    }

    /// Whether `count` leases from this one on have numbers.
    pub(crate) fn has_room_for(self, count: usize) -> bool {
        self.0.checked_add(count as u64).is_some()
    }

    /// The lease `offset` after this one in the same epoch.
    pub fn plus(self, offset: u32) -> Self {
        Self(self.0 + u64::from(offset))
    }
}
