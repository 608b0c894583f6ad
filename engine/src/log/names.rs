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

/// The directory of the segments.
pub(crate) fn log_dir(data: &Path) -> PathBuf {
    data.join("log")
}

/// A segment.
pub(crate) fn segment(data: &Path, first: Position) -> PathBuf {
    log_dir(data).join(SegmentName(first).to_string())
}

/// The next segment while it is prepared.
pub(crate) fn prepared(data: &Path) -> PathBuf {
    log_dir(data).join("next.tmp")
}

/// Whether a file of this name is unfinished work, to be removed when the store is opened.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(".tmp")
}

/// Whether a data directory that is not yet a store may hold a file of this name.
pub(crate) fn may_precede_identity(name: &str) -> bool {
    name == "LOCK" || is_temporary(name)
}

/// A segment's file name: its first position in 16 hexadecimal digits and `.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName(pub(crate) Position);

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.log", self.0.0)
    }
}

/// A name that is not a segment's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a segment's name, expected 16 hexadecimal digits and \".log\"")]
pub(crate) struct NotASegmentName(String);

impl FromStr for SegmentName {
    type Err = NotASegmentName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let error = || NotASegmentName(name.to_owned());
        let digits = name.strip_suffix(".log").ok_or_else(error)?;
        let position = u64::from_str_radix(digits, 16).map_err(|_| error())?;
        let parsed = Self(Position(position));
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
            let name = SegmentName(Position(position));
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for wrong in ["1.log", "+000000000000001.log", "000000000000000A.log", "next.tmp", ""] {
            assert!(wrong.parse::<SegmentName>().is_err(), "{wrong}");
        }
    }
}
