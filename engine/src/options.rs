//! The engine's settings and the relations between them.

use std::ops::Range;

use crate::entry::{SEGMENT_HEADER_BYTES, entry_bytes};
use crate::error::OpenError;
use crate::progress::OnProgress;

/// The smallest segment; tests use it to roll every few operations.
pub const SEGMENT_BYTES_MIN: u64 = 16 << 10;

/// The largest segment: offsets in it are 32 bits wide.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// The most that one command may write: a message of 16 MiB and some.
const COMMAND_BYTES_MAX: u64 = 17 << 20;

/// An entry takes no further commands once it holds this much.
const GROUP_BYTES_MAX: u64 = 2 << 20;

/// The engine's settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// A segment's size in bytes, [`SEGMENT_BYTES_MIN`] to 4 GiB.
    pub segment_bytes: u64,
    /// How many bytes of the newest entries stay in memory for readers.
    pub tail_cache_bytes: usize,
    /// A watermark follows the last entry when no other does for this long, in ms.
    pub watermark_ms: u64,
    /// A snapshot is taken when so many bytes were logged since the one before.
    pub snapshot_bytes: u64,
    /// A snapshot is taken when anything was logged and the one before is this old, in ms; `u64::MAX`:
    /// however old, none is for that.
    pub snapshot_ms: u64,
    /// Segments are compacted when what is gone takes more than this share of what is live, in
    /// percent, ...
    pub garbage_percent: u64,
    /// ... and more than this share of one segment beside it.
    pub garbage_segment_percent: u64,
    /// Is told how far an opening has come.
    pub on_progress: OnProgress,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            tail_cache_bytes: 16 << 20,
            watermark_ms: 50,
            snapshot_bytes: 64 << 20,
            snapshot_ms: 15_000,
            garbage_percent: 30,
            garbage_segment_percent: 25,
            on_progress: OnProgress::default(),
        }
    }
}

impl Options {
    /// Checks the ranges.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Ok(());
        }
        Err(OpenError::BadOption {
            name: "segment_bytes",
            value: self.segment_bytes,
            expected: format!("{SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}"),
        })
    }

    /// The most bytes of records that one command may need: with a full group before it, it still
    /// fits one entry of an empty segment.
    pub fn command_bytes_max(&self) -> u64 {
        COMMAND_BYTES_MAX.min(self.segment_room() / 2)
    }

    /// The bytes of records after which an entry takes no further commands.
    pub fn group_bytes_max(&self) -> u64 {
        GROUP_BYTES_MAX.min(self.segment_room() / 2)
    }

    /// What a new store takes of the disk before its first message: the segment that is written, the next one, and
    /// what is kept for receives, deletes and the compactor.
    pub fn new_store_bytes(&self) -> u64 {
        2 * self.segment_bytes + self.standby_bytes() + self.compaction_reserve_bytes()
    }

    /// What is kept free for the compactor, so that it can work on a full disk.
    pub(crate) fn compaction_reserve_bytes(&self) -> u64 {
        (self.segment_bytes / 16).max(SEGMENT_BYTES_MIN)
    }

    /// The compactor passes over messages that are gone where they take so many bytes or more: 32 KiB, in the time of
    /// which a disk reads elsewhere, and less where segments have less than 4 MiB.
    pub(crate) fn skip_bytes_min(&self) -> u64 {
        (self.segment_bytes / 128).min(32 << 10)
    }

    /// What is kept free for receives and deletes beside the segments: the standby segment.
    pub(crate) fn standby_bytes(&self) -> u64 {
        (self.segment_bytes / 4).max(SEGMENT_BYTES_MIN)
    }

    /// The garbage that is tolerated beside so many bytes that are live.
    pub(crate) fn garbage_bytes_max(&self, live_bytes: u64) -> u64 {
        live_bytes * self.garbage_percent / 100
            + self.segment_bytes * self.garbage_segment_percent / 100
    }

    /// From how much garbage on the log is slowed, so that the compactor keeps up, and from how much
    /// on as far as it is. Where little stays, garbage of some segments goes as fast as it comes.
    pub(crate) fn garbage_bytes_slowing(&self, live_bytes: u64) -> Range<u64> {
        let let_be = self.garbage_bytes_max(live_bytes);
        let start = (let_be + self.segment_bytes / 4).max(4 * self.segment_bytes);
        start..start + (let_be / 3).max(self.segment_bytes / 2)
    }

    /// The most bytes of records that one entry of a segment can hold.
    pub(crate) fn segment_room(&self) -> u64 {
        (self.segment_bytes - SEGMENT_HEADER_BYTES - entry_bytes(0)) & !7
    }
}

const _: () = assert!(COMMAND_BYTES_MAX > crate::attributes::MESSAGE_BYTES_MAX + 4096);
