//! Where a stored message is: in which segment, and where in it.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::checksum::Salt;
use crate::disk::DiskFile;
use crate::ids::{Position, QueueId, Seq};
use crate::time::LogTime;

/// A segment as its readers hold it: the file stays readable as long as one of them has it, also
/// after the compactor has put another in its place and removed its name.
#[derive(Debug)]
pub struct Segment {
    /// Its first position, which names it.
    pub first: Position,
    /// 0 as the log wrote it; counted up by the compactor.
    pub generation: u32,
    /// Seeds every checksum in it.
    pub salt: Salt,
    /// When it was made: sent times are kept as milliseconds since then.
    pub created: LogTime,
    /// The file's name.
    pub path: PathBuf,
    /// The file.
    pub file: Arc<dyn DiskFile>,
}

impl PartialEq for Segment {
    /// A salt is drawn for one file alone.
    fn eq(&self, other: &Self) -> bool {
        (self.first, self.generation, self.salt) == (other.first, other.generation, other.salt)
    }
}

impl Eq for Segment {}

/// A message's place: which segment, where in it, and how long its record is. With the message's
/// own identity, so that a reader can tell that it read the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The queue.
    pub queue: QueueId,
    /// The message's number.
    pub seq: Seq,
    /// The segment.
    pub segment: Arc<Segment>,
    /// Where the record begins in the segment's file.
    pub offset: u32,
    /// The record's bytes, its header included.
    pub bytes: u32,
}

impl Location {
    /// Where the record begins and ends in the segment's file.
    pub(crate) fn range(&self) -> Range<u64> {
        let offset = u64::from(self.offset);
        offset..offset + u64::from(self.bytes)
    }
}
