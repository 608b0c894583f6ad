//! Where a stored message is.

use crate::ids::{Position, QueueId, Seq};

/// A message's place: which segment, where in it, and how long its record is. With the message's
/// own identity, so that a reader can tell that it read the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The queue.
    pub queue: QueueId,
    /// The message's number.
    pub seq: Seq,
    /// The segment, named by its first position.
    pub segment: Position,
    /// Where the record begins in the segment's file.
    pub offset: u32,
    /// The record's bytes, its header included.
    pub bytes: u32,
}
