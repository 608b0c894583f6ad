//! What opening a store found: for the log, and for the person who started it.

use std::fmt;

use crate::ids::{Epoch, Position, StoreId};
use crate::unit::count_of;

/// What was found and done.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The store.
    pub store: StoreId,
    /// The epoch that began.
    pub epoch: Epoch,
    /// Whether the store was created just now.
    pub created: bool,
    /// Segments of the log.
    pub segments: usize,
    /// The position of the snapshot that the state came from; `Position(0)` without one.
    pub snapshot: Position,
    /// Segments that were read, behind the snapshot or for want of an index.
    pub segments_read: usize,
    /// Indexes that were made anew from the log.
    pub indexes_rebuilt: usize,
    /// Bytes of entries that were read.
    pub log_bytes: u64,
    /// Entries that were read.
    pub entries: u64,
    /// Records in them.
    pub records: u64,
    /// The last entry found.
    pub last_position: Position,
    /// Queues.
    pub queues: usize,
    /// Messages in all queues.
    pub messages: u64,
    /// Bytes of a torn tail that were cut; 0 for a clean end.
    pub torn_bytes: u64,
    /// Where the torn tail began, and what was wrong there.
    pub torn: Option<String>,
    /// How far log time is ahead of the wall clock, in ms: after that was set back.
    pub clock_ahead_ms: u64,
    /// What an administrator should know.
    pub warnings: Vec<String>,
    /// How long it took, in ms.
    pub took_ms: u64,
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.created {
            return write!(f, "created store {}", self.store);
        }
        write!(
            f,
            "recovered store {}: messages {}, queues {}, from a snapshot of entry {} and {} \
             ({}) in {} of {}, took {} ms; epoch {}",
            self.store,
            self.messages,
            self.queues,
            self.snapshot,
            count_of(self.entries, "entry"),
            count_of(self.log_bytes, "byte"),
            self.segments_read,
            count_of(self.segments as u64, "segment"),
            self.took_ms,
            self.epoch,
        )?;
        if let Some(torn) = &self.torn {
            write!(f, "; cut a torn tail of {}: {torn}", count_of(self.torn_bytes, "byte"))?;
        }
        Ok(())
    }
}
