//! What the engine's threads count for `stats`, and what they signal to each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::ids::Position;
use crate::stats::DiskStats;

/// Counted since the store was opened, or as it is now. Each number stands for itself: nothing
/// follows from two of them having been read at one moment.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Bytes of entries that the log has written.
    pub(crate) log_bytes_written: Counter,
    /// Bytes of the payloads of messages sent.
    pub(crate) sent_bytes: Counter,
    /// Queues that were created, changed or deleted.
    pub(crate) queues_changed: Counter,
    /// Messages that retention removed.
    pub(crate) expired_messages: Counter,
    /// Bytes of segments and indexes that the compactor has written.
    pub(crate) compacted_bytes_written: Counter,
    /// Bytes of segments that the compactor has read.
    pub(crate) compacted_bytes_read: Counter,
    /// Bytes of messages that were gone, which it has passed over.
    pub(crate) compacted_bytes_skipped: Counter,
    /// Bytes of files that the compactor has removed.
    pub(crate) compacted_bytes_freed: Counter,
    /// For how many microseconds the log has rested before entries, so that the compactor keeps up.
    pub(crate) log_rested_us: Counter,
    /// Compactions that were finished.
    pub(crate) compactions: Counter,
    /// How often the log has rolled to a standby segment.
    pub(crate) standby_rolls: Counter,
    /// Bytes of indexes written when segments were sealed.
    pub(crate) index_bytes_written: Counter,
    /// Snapshots taken.
    pub(crate) snapshots: Counter,
    /// Bytes of snapshots written.
    pub(crate) snapshot_bytes_written: Counter,
    /// The longest turn of the core in which it froze queues, in microseconds.
    pub(crate) freeze_us_max: Counter,
    /// The position of the newest snapshot.
    pub(crate) snapshot_position: Counter,
    /// Bytes of the newest entries that are kept in memory.
    pub(crate) tail_cache_bytes: Counter,
    /// Sealed segments.
    pub(crate) segments_sealed: Counter,
    /// Bytes of sealed segments.
    pub(crate) sealed_bytes: Counter,
    /// Bytes of them that are needed, as far as estimated at the newest snapshot.
    pub(crate) live_bytes: Counter,
    /// What holds at the moment, and steers the threads.
    pub(crate) signals: Signals,
}

/// What one thread finds and others act on. Each flag stands for itself, as the numbers do.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The compactor's reserve is whole, or in use: no segment is prepared without it.
    pub(crate) has_reserve: Flag,
    /// The standby segment is whole: without it, what can be put off takes no space.
    pub(crate) has_standby: Flag,
    /// Sends are refused because no segment can be prepared.
    pub(crate) is_refusing: Flag,
    /// The compactor has segments in work, or reclaims their space.
    pub(crate) is_compacting: Flag,
}

impl Counters {
    pub(crate) fn disk(&self, last_position: Position) -> DiskStats {
        DiskStats {
            last_position: last_position.0,
            segments_sealed: self.segments_sealed.get(),
            sealed_bytes: self.sealed_bytes.get(),
            live_bytes: self.live_bytes.get(),
            sent_bytes: self.sent_bytes.get(),
            log_bytes_written: self.log_bytes_written.get(),
            index_bytes_written: self.index_bytes_written.get(),
            snapshots: self.snapshots.get(),
            snapshot_bytes_written: self.snapshot_bytes_written.get(),
            freeze_us_max: self.freeze_us_max.get(),
            snapshot_position: self.snapshot_position.get(),
            compactions: self.compactions.get(),
            is_compacting: self.signals.is_compacting.get(),
            compacted_bytes_read: self.compacted_bytes_read.get(),
            compacted_bytes_skipped: self.compacted_bytes_skipped.get(),
            compacted_bytes_written: self.compacted_bytes_written.get(),
            compacted_bytes_freed: self.compacted_bytes_freed.get(),
            log_rested_ms: self.log_rested_us.get() / 1000,
        }
    }
}

/// A number that any thread may change and any may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Sets it if that makes it greater.
    pub(crate) fn raise(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A condition that any thread may set and any may read.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
