//! Snapshots: the state in a file, so that an opening replays only what was logged behind it
//! (FORMAT.md section 5).
//!
//! Taken while the store runs: the queues are frozen a few at a time, each at the end of some
//! entry, and written one behind the other. A part's own position says up to where it is; replay
//! begins behind the snapshot's position and leaves out what a part already has.
//!
//! A snapshot is written under a temporary name, synced, renamed, and its directory synced: a crash
//! at any moment leaves the older ones as they were. All of them may be deleted.

mod appending;
mod header;
mod names;
mod part;
mod read;
mod reasons;
mod redrives;
mod source;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Access, Disk, DiskError};
use crate::error::Damage;
use crate::ids::Position;
use names::SnapshotName;

pub(crate) use names::snapshot as path;
pub(crate) use read::read;
pub(crate) use write::SnapshotWriter;

/// A snapshot that has its name, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Every entry up to this one is in it.
    pub(crate) position: Position,
    /// The file's size.
    pub(crate) bytes: u64,
}

/// Why a snapshot cannot be used. An older one may do, or the whole log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// A disk operation failed; of kind `NotFound` if there is no such snapshot.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It was written by a later version.
    #[error("{} has snapshot version {found}, this Forebay knows up to {supported}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        supported: u32,
    },
    /// Its bytes are not what was written.
    #[error("the snapshot is damaged: {0}")]
    Damaged(#[from] Damage),
}

/// The positions of the snapshots that are there, ascending. Whether one can be used is known when
/// it was read.
pub(crate) fn list(disk: &dyn Disk, data: &Path) -> Result<Vec<Position>, DiskError> {
    let names = match disk.list(&names::dir(data)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    let parsed = names.iter().filter_map(|name| name.parse().ok());
    let mut positions: Vec<Position> = parsed.map(|SnapshotName(position)| position).collect();
    positions.sort_unstable();
    Ok(positions)
}

/// Removes a snapshot, durably.
pub(crate) fn remove(disk: &dyn Disk, data: &Path, position: Position) -> Result<(), DiskError> {
    remove_all(disk, data, &[position])
}

/// Removes all other snapshots: older ones, and those that turned out to be damaged.
pub(crate) fn keep_only(disk: &dyn Disk, data: &Path, kept: &[Kept]) -> Result<(), DiskError> {
    let mut others = list(disk, data)?;
    others.retain(|position| kept.iter().all(|kept| kept.position != *position));
    match others.is_empty() {
        true => Ok(()),
        false => remove_all(disk, data, &others),
    }
}

fn remove_all(disk: &dyn Disk, data: &Path, positions: &[Position]) -> Result<(), DiskError> {
    let mut open = Vec::with_capacity(positions.len());
    for position in positions {
        let path = names::snapshot(data, *position);
        // To close the last handle of a removed file is to free all of it at once: it is cut before,
        // which a paced disk does in pieces. One that cannot be opened is freed at once.
        open.extend(disk.open(&path, Access::Write).ok());
        disk.remove(&path)?;
    }
    disk.sync_dir(&names::dir(data))?;
    // Not before the names are gone for good: none must lead to half a snapshot.
    open.iter().try_for_each(|file| file.shrink_unnamed(0))
}
