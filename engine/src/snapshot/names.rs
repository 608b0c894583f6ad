//! The names of snapshots: one place that makes them and reads them back.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::ids::Position;
pub(super) use crate::log::names::{snapshot_dir as dir, unfinished_snapshot as unfinished};

/// A snapshot.
pub(crate) fn snapshot(data: &Path, position: Position) -> PathBuf {
    dir(data).join(SnapshotName(position).to_string())
}

/// A snapshot's file name: its position in 16 hexadecimal digits and `.snap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotName(pub(super) Position);

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.snap", self.0.0)
    }
}

/// A name that is not a snapshot's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a snapshot's name, expected 16 hexadecimal digits and \".snap\"")]
pub(super) struct NotASnapshotName(String);

impl FromStr for SnapshotName {
    type Err = NotASnapshotName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let error = || NotASnapshotName(name.to_owned());
        let digits = name.strip_suffix(".snap").ok_or_else(error)?;
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
    fn a_snapshots_name_reads_back_and_has_one_spelling() {
        for position in [0, 1, 0x2a00_0000, u64::MAX] {
            let name = SnapshotName(Position(position));
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for wrong in ["1.snap", "+000000000000001.snap", "000000000000000A.snap", "next.tmp", ""] {
            assert!(wrong.parse::<SnapshotName>().is_err(), "{wrong}");
        }
    }
}
