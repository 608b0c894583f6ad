//! The log's tail: where the next entry goes. Arithmetic only; the files are the writer's.

use std::sync::Arc;

use super::segment::{PreparedSegment, SEGMENT_HEADER_BYTES};
use crate::entry::entry_bytes;
use crate::ids::Position;
use crate::location::Segment;
use crate::time::LogTime;

/// How long behind its segment's creation an entry may have been written, in ms: so far an index can say
/// when a message was sent.
pub(crate) const SEGMENT_SPAN_MS_MAX: u64 = i32::MAX as u64;

/// A segment older than this is left at the next entry, in ms. The compactor can merge it with others
/// then, and there is time to make the next one.
pub(crate) const SEGMENT_AGE_MS_MAX: u64 = 1 << 30;

/// Whether there is a segment to roll to.
#[derive(Debug)]
pub(crate) enum NextSegment {
    /// Prepared.
    Ready(PreparedSegment),
    /// Being prepared.
    Preparing,
    /// Could not be prepared. Tried again from time to time.
    Full {
        /// Why.
        detail: String,
        /// The segment that is kept for receives and deletes.
        standby: Option<Box<PreparedSegment>>,
    },
}

/// Where the next entry goes.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The next entry's position.
    pub(crate) position: Position,
    /// The active segment.
    pub(crate) segment: Arc<Segment>,
    /// Where the next entry begins in it.
    pub(crate) offset: u64,
    /// The active segment's size.
    pub(crate) capacity: u64,
    /// The segment after it.
    pub(crate) next: NextSegment,
}

/// The place given to an entry.
#[derive(Debug)]
pub(crate) struct Place {
    /// The entry's position.
    pub(crate) position: Position,
    /// Its segment.
    pub(crate) segment: Arc<Segment>,
    /// Where the entry begins in it.
    pub(crate) offset: u64,
    /// Where the entry begins a new segment, the file for it: the writer rolls first.
    pub(crate) roll: Option<PreparedSegment>,
}

impl Tail {
    /// Whether an entry with `body_bytes` of records has a place.
    pub(crate) fn has_room(&self, body_bytes: u64) -> bool {
        let bytes = entry_bytes(body_bytes);
        let next = match &self.next {
            NextSegment::Ready(next) => Some(next),
            NextSegment::Full { standby, .. } => standby.as_deref(),
            NextSegment::Preparing => None,
        };
        bytes <= self.capacity - self.offset
            || next.is_some_and(|next| bytes <= next.capacity() - SEGMENT_HEADER_BYTES)
    }

    /// The newest position that was given.
    pub(crate) fn last(&self) -> Position {
        self.position.previous()
    }

    /// Gives an entry its place. There must be room.
    pub(crate) fn place(&mut self, body_bytes: u64, now: LogTime) -> Place {
        let bytes = entry_bytes(body_bytes);
        let is_full = bytes > self.capacity - self.offset;
        let is_old = now.ms_since(self.segment.created) >= SEGMENT_AGE_MS_MAX
            && self.segment.first != self.position;
        let roll = match is_full {
            true => self.take_prepared().or_else(|| self.take_standby()),
            false if is_old => self.take_prepared(),
            false => None,
        };
        if let Some(prepared) = &roll {
            self.segment = prepared.segment(self.position, now);
            self.offset = SEGMENT_HEADER_BYTES;
            self.capacity = prepared.capacity();
        }
        assert!(bytes <= self.capacity - self.offset, "has_room was asked");
        let (position, segment, offset) = (self.position, self.segment.clone(), self.offset);
        self.position = self.position.next();
        self.offset += bytes;
        Place { position, segment, offset, roll }
    }

    fn take_prepared(&mut self) -> Option<PreparedSegment> {
        match std::mem::replace(&mut self.next, NextSegment::Preparing) {
            NextSegment::Ready(prepared) => Some(prepared),
            other => {
                self.next = other;
                None
            }
        }
    }

    fn take_standby(&mut self) -> Option<PreparedSegment> {
        match &mut self.next {
            NextSegment::Full { standby, .. } => standby.take().map(|standby| *standby),
            NextSegment::Ready(_) | NextSegment::Preparing => None,
        }
    }
}
