//! What only the server itself can tell of its background work.

use forebay_protocol::{DiskStats, Stats};

use crate::BenchError;
use crate::wire::ask_once;

/// Bytes that the server has written since it started, without the zeros of prepared segments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// By the log and the compactor: entries, and compacted segments with their indexes.
    pub(super) log_and_compactor: u64,
    /// Indexes of segments as the log sealed them.
    pub(super) indexes: u64,
    /// Snapshots.
    pub(super) snapshots: u64,
}

/// What the compactor has done and does.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Compactor {
    /// Compactions finished since the server started.
    pub(super) finished: u64,
    /// Whether one is under way, or space is given back.
    pub(super) at_work: bool,
    /// Snapshots taken since the server started.
    pub(super) snapshots: u64,
}

/// What was written.
pub(super) async fn written_by_log_and_compactor(address: &str) -> Result<Told, BenchError> {
    let disk = disk(address).await?;
    Ok(Told {
        log_and_compactor: disk.log_bytes_written + disk.compacted_bytes_written,
        indexes: disk.index_bytes_written,
        snapshots: disk.snapshot_bytes_written,
    })
}

/// The compactor, now.
pub(super) async fn compacting(address: &str) -> Result<Compactor, BenchError> {
    let disk = disk(address).await?;
    let (finished, snapshots) = (disk.compactions, disk.snapshots);
    Ok(Compactor { finished, at_work: disk.is_compacting, snapshots })
}

/// Entries of the log that a restart would replay. Their bytes are not told:
/// [`log_bytes_since_snapshot`](super::disk_use::log_bytes_since_snapshot) is at least that.
pub(super) async fn entries_since_snapshot(address: &str) -> Result<u64, BenchError> {
    let disk = disk(address).await?;
    Ok(disk.last_position.saturating_sub(disk.snapshot_position))
}

async fn disk(address: &str) -> Result<DiskStats, BenchError> {
    Ok(ask_once(address, Stats {}).await?.disk)
}
