//! How a run's store is set.

use forebay_engine::Options;
use serde::{Deserialize, Serialize};

use super::files::tiny;

const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;

/// How a run's store is set. Segments are as small as can be, so that the log rolls every few
/// operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// See [`Options`].
    pub snapshot_bytes: u64,
    /// See [`Options`].
    pub garbage_percent: u64,
    /// See [`Options`].
    pub garbage_segment_percent: u64,
}

impl Profile {
    /// Snapshots and compactions every few operations.
    pub const BUSY: Profile =
        Profile { snapshot_bytes: 1, garbage_percent: 0, garbage_segment_percent: 0 };

    pub(crate) fn options(self) -> Options {
        let Self { snapshot_bytes, garbage_percent, garbage_segment_percent } = self;
        // A snapshot that is due by its size alone.
        let snapshot_ms = if snapshot_bytes == 1 { 0 } else { YEAR_MS };
        Options { snapshot_bytes, snapshot_ms, garbage_percent, garbage_segment_percent, ..tiny() }
    }
}
