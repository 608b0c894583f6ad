//! The log's tail: where the next entry goes. Arithmetic only; the files are the writer's.

use crate::entry::entry_bytes;
use crate::ids::Position;
use crate::log::segment::SEGMENT_HEADER_BYTES;
use crate::time::LogTime;

/// A segment older than this is left at the next entry: sent times are kept as 32-bit offsets in
/// milliseconds from its creation, which reach 49 days.
const SEGMENT_AGE_MS_MAX: u64 = 1 << 31;

/// Whether there is a segment to roll to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextSegment {
    /// Prepared, of this capacity.
    Ready(u64),
    /// Being prepared.
    Preparing,
    /// Could not be prepared, and why. Tried again from time to time.
    Full(String),
}

/// Where the next entry goes.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The next entry's position.
    pub position: Position,
    /// The active segment, named by its first position.
    pub segment: Position,
    /// When the active segment was created.
    pub created: LogTime,
    /// Where the next entry begins in it.
    pub offset: u64,
    /// The active segment's size.
    pub capacity: u64,
    /// The segment after it.
    pub next: NextSegment,
}

/// The place given to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The entry's position.
    pub position: Position,
    /// Its segment.
    pub segment: Position,
    /// When the segment was created.
    pub segment_created: LogTime,
    /// Where the entry begins in it.
    pub offset: u64,
    /// Whether the entry begins a new segment: the writer rolls first.
    pub roll: bool,
}

impl Tail {
    /// Whether an entry with `body_bytes` of records has a place.
    pub fn has_room(&self, body_bytes: u64) -> bool {
        let bytes = entry_bytes(body_bytes);
        bytes <= self.capacity - self.offset
            || matches!(self.next, NextSegment::Ready(capacity)
                if bytes <= capacity - SEGMENT_HEADER_BYTES)
    }

    /// Gives an entry its place. There must be room.
    pub fn place(&mut self, body_bytes: u64, now: LogTime) -> Place {
        let bytes = entry_bytes(body_bytes);
        let aged = now.ms_since(self.created) >= SEGMENT_AGE_MS_MAX;
        let mut roll = bytes > self.capacity - self.offset;
        if let NextSegment::Ready(capacity) = self.next
            && (roll || (aged && self.segment != self.position))
        {
            roll = true;
            self.segment = self.position;
            self.created = now;
            self.offset = SEGMENT_HEADER_BYTES;
            self.capacity = capacity;
            self.next = NextSegment::Preparing;
        }
        assert!(bytes <= self.capacity - self.offset, "has_room was asked");
        let place = Place {
            position: self.position,
            segment: self.segment,
            segment_created: self.created,
            offset: self.offset,
            roll,
        };
        self.position = self.position.next();
        self.offset += bytes;
        place
    }
}
