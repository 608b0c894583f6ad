//! Stats tells what the server holds and has done, in numbers for people and for monitoring.

layout! {
    /// Asks for the server's figures.
    pub struct Stats {}
}

layout! {
    /// The answer to [`Stats`], all of one moment. Work is counted since the server started.
    pub struct StatsTold {
        /// Queues.
        pub queues: u64,
        /// Messages in all queues.
        pub messages: u64,
        /// Messages that were delayed or received and are not gone: what takes memory.
        pub held_messages: u64,
        /// Memory.
        pub memory: MemoryStats,
        /// The files, and what was written.
        pub disk: DiskStats,
        /// Messages that retention removed.
        pub expired_messages: u64,
    }
}

layout! {
    /// Bytes of memory by kind, estimated from the sizes of what is kept.
    pub struct MemoryStats {
        fields_bytes {
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
            /// Indexes of sealed segments, mapped from their files: the system's memory, given
            /// back when it is needed.
            pub index_mapped_bytes: u64,
            /// The newest entries, kept for receivers that keep up.
            pub tail_cache_bytes: u64,
        }
    }
}

layout! {
    /// Files and the work on them.
    pub struct DiskStats {
        fields_bytes {
            /// The newest entry's position.
            pub last_position: u64,
            /// Sealed segments.
            pub segments_sealed: u64,
            /// Their bytes.
            pub sealed_bytes: u64,
            /// What they would take without what is gone, as estimated after the newest snapshot.
            pub live_bytes: u64,
            /// Bytes of messages that were sent.
            pub sent_bytes: u64,
            /// Bytes of entries that were written to the log.
            pub log_bytes_written: u64,
            /// Bytes of indexes that were written for sealed segments.
            pub index_bytes_written: u64,
            /// Snapshots taken.
            pub snapshots: u64,
            /// Their bytes.
            pub snapshot_bytes_written: u64,
            /// The newest snapshot's position.
            pub snapshot_position: u64,
            /// Compactions finished.
            pub compactions: u64,
            /// Whether one is under way.
            pub is_compacting: bool,
            /// Bytes that the compactor has read.
            pub compacted_bytes_read: u64,
            /// Bytes that it has written, indexes included.
            pub compacted_bytes_written: u64,
            /// Bytes of segments that it has given back.
            pub compacted_bytes_freed: u64,
            /// For how many milliseconds sends were held up so that the compactor keeps up.
            pub log_rested_ms: u64,
            /// Bytes of messages that were gone, which the compactor has passed over instead of reading them.
            pub compacted_bytes_skipped: u64,
        }
    }
}

impl StatsTold {
    /// Bytes that the log and the compactor have written for each byte that was sent, since the
    /// server started; `None` if nothing was sent since.
    pub fn write_amplification(&self) -> Option<f64> {
        let DiskStats { sent_bytes, log_bytes_written, compacted_bytes_written, .. } = self.disk;
        let written = log_bytes_written as f64 + compacted_bytes_written as f64;
        (sent_bytes > 0).then(|| written / sent_bytes as f64)
    }
}
