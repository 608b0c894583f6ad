//! The names of a store's files: one place that makes them and reads them back.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::ids::Position;

/// The lock file.
pub(crate) fn lock(data: &Path) -> PathBuf {
    data.join("LOCK")
}

/// The name of the store's identity.
pub(crate) const IDENTITY: &str = "store.toml";

/// The store's identity (FORMAT.md section 1).
pub(crate) fn identity(data: &Path) -> PathBuf {
    data.join(IDENTITY)
}

/// The list of segments (FORMAT.md section 2).
pub(crate) fn manifest(data: &Path) -> PathBuf {
    data.join("MANIFEST")
}

/// Space for the next manifest: the name under which it is also replaced.
pub(crate) fn manifest_reserve(data: &Path) -> PathBuf {
    manifest(data).with_extension("tmp")
}

/// Space for the manifest of the next swap of segments.
pub(crate) fn swap_reserve(data: &Path) -> PathBuf {
    manifest(data).with_extension("swap.tmp")
}

/// The directory of the segments.
pub(crate) fn log_dir(data: &Path) -> PathBuf {
    data.join("log")
}

/// A segment.
pub(crate) fn segment(data: &Path, name: SegmentName) -> PathBuf {
    log_dir(data).join(name.to_string())
}

/// A sealed segment's index (FORMAT.md section 4).
pub(crate) fn index(segment: &Path) -> PathBuf {
    segment.with_extension(INDEX_EXTENSION)
}

/// What the names of indexes end in, behind a dot.
pub(crate) const INDEX_EXTENSION: &str = "idx";

/// The next segment while it is prepared.
pub(crate) fn prepared(data: &Path) -> PathBuf {
    log_dir(data).join("next.tmp")
}

/// A compacted segment while it is written, and the space for it before.
pub(crate) fn compaction(data: &Path) -> PathBuf {
    log_dir(data).join("compact.tmp")
}

/// The segment to which the log rolls when no other can be made.
pub(crate) fn standby(data: &Path) -> PathBuf {
    log_dir(data).join("standby.tmp")
}

/// The directory of the snapshots.
pub(crate) fn snapshot_dir(data: &Path) -> PathBuf {
    data.join("snapshot")
}

/// The next snapshot while it is written.
pub(crate) fn unfinished_snapshot(data: &Path) -> PathBuf {
    snapshot_dir(data).join("next.tmp")
}

/// Whether a file of this name is unfinished work, to be removed when the store is opened.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(".tmp")
}

/// Whether a data directory that is not yet a store may hold a file of this name: what an interrupted
/// creation leaves, and what a new file system has at its root.
pub(crate) fn may_precede_identity(name: &str) -> bool {
    name == "LOCK" || name == "lost+found" || is_temporary(name)
}

/// A segment's file name: its first position in 16 hexadecimal digits, behind a hyphen its
/// generation in 8 if the compactor wrote it, and `.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The first position that the segment covers.
    pub first: Position,
    /// 0 as the log wrote it.
    pub generation: u32,
}

impl SegmentName {
    /// The name of a segment that the log writes.
    pub fn written(first: Position) -> Self {
        Self { first, generation: 0 }
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => write!(f, "{:016x}.log", self.first.0),
            generation => write!(f, "{:016x}-{generation:08x}.log", self.first.0),
        }
    }
}

/// A name that is not a segment's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a segment's name, expected 16 hexadecimal digits, perhaps a hyphen and 8 more, \
     and \".log\""
)]
pub struct NotASegmentName(String);

impl FromStr for SegmentName {
    type Err = NotASegmentName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let error = || NotASegmentName(name.to_owned());
        let stem = name.strip_suffix(".log").ok_or_else(error)?;
        let (first, generation) = stem.split_once('-').unwrap_or((stem, "0"));
        let parsed = Self {
            first: Position(u64::from_str_radix(first, 16).map_err(|_| error())?),
            generation: u32::from_str_radix(generation, 16).map_err(|_| error())?,
        };
        // Only the one spelling: two files must not claim one position.
        if parsed.to_string() == name { Ok(parsed) } else { Err(error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_name_reads_back_and_has_one_spelling() {
        for position in [0, 1, 0x2a00_0000, u64::MAX] {
            for generation in [0, 1, u32::MAX] {
                let name = SegmentName { first: Position(position), generation };
                assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
        for wrong in [
            "1.log",
            "+000000000000001.log",
            "000000000000000A.log",
            "0000000000000001-00000000.log",
            "0000000000000001-1.log",
            "next.tmp",
            "",
        ] {
            assert!(wrong.parse::<SegmentName>().is_err(), "{wrong}");
        }
    }
}
