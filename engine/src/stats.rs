//! What an engine holds and has done, in numbers.

/// An engine's figures. Those of work are counted since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Queues.
    pub queues: u64,
    /// Messages in all queues.
    pub messages: u64,
    /// Messages that were delayed or received and are not gone: what takes memory.
    pub held_messages: u64,
    /// Messages that retention removed.
    pub expired_messages: u64,
    /// Memory.
    pub memory: MemoryStats,
    /// The files, and what was written.
    pub disk: DiskStats,
}

/// Bytes of memory by kind, estimated from the sizes of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryStats {
    /// Messages that were delayed or received and are not gone.
    pub held_bytes: u64,
    /// The times at which they become visible, and the order in which they are delivered.
    pub timers_bytes: u64,
    /// Sets of messages that are gone out of order.
    pub apart_bytes: u64,
    /// Queues: names, attributes, counters.
    pub queues_bytes: u64,
    /// The index of the active segment and of those whose index is not yet on disk.
    pub index_heap_bytes: u64,
    /// For each queue, which segments have messages of it.
    pub index_runs_bytes: u64,
    /// Indexes of sealed segments, mapped from their files: the system's memory, given back when
    /// it is needed.
    pub index_mapped_bytes: u64,
    /// The newest entries, kept for receivers that keep up.
    pub tail_cache_bytes: u64,
}

/// Files and the work on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskStats {
    /// The newest entry's position.
    pub last_position: u64,
    /// Sealed segments.
    pub segments_sealed: u64,
    /// Their bytes.
    pub sealed_bytes: u64,
    /// What they would take without what is gone, as estimated after the newest snapshot.
    pub live_bytes: u64,
    /// Bytes of payloads that were sent.
    pub sent_bytes: u64,
    /// Bytes of entries that were written to the log.
    pub log_bytes_written: u64,
    /// Bytes of indexes that were written for sealed segments.
    pub index_bytes_written: u64,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Their bytes.
    pub snapshot_bytes_written: u64,
    /// The longest that the core was held up by freezing queues for one, in microseconds, with
    /// whatever else it did in the same turn. Measured where the store runs on threads.
    pub freeze_us_max: u64,
    /// The newest snapshot's position.
    pub snapshot_position: u64,
    /// Compactions finished.
    pub compactions: u64,
    /// Whether one is under way.
    pub is_compacting: bool,
    /// Bytes of records that the compactor has read.
    pub compacted_bytes_read: u64,
    /// Bytes of messages that were gone, which it has passed over instead of reading them.
    pub compacted_bytes_skipped: u64,
    /// Bytes that it has written, indexes included.
    pub compacted_bytes_written: u64,
    /// Bytes of segments that it has given back.
    pub compacted_bytes_freed: u64,
    /// For how many milliseconds the log has rested before entries, so that the compactor keeps up.
    pub log_rested_ms: u64,
}
