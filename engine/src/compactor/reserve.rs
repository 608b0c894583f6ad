//! Space that is kept for the compactor: a full disk must not stop it from giving space back.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Access, Disk, DiskError, DiskFile, fill_with_zeros};
use crate::log::{ManifestReserve, names};

/// A file whose space is taken, which becomes the next compacted segment, and one for the manifest
/// that will list it. What is in it does not matter: a compacted segment is cut to what was written.
#[derive(Debug)]
pub(crate) struct Reserve {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) manifest: ManifestReserve,
    pub(crate) bytes: u64,
}

impl Reserve {
    /// Reserves `bytes`, or as many as the disk has. What is there from before is kept and made
    /// whole: on a full disk nobody else must get it.
    pub(crate) fn make(
        disk: &dyn Disk,
        data: &Path,
        bytes: u64,
        manifest_bytes: u64,
    ) -> Result<Self, DiskError> {
        let path = names::compaction(data);
        let file = match disk.open(&path, Access::Write) {
            Err(error) if error.kind() == ErrorKind::NotFound => disk.create(&path)?,
            opened => opened?,
        };
        let there = match file.size()? {
            0 => reserve_at_once(&*file, bytes)?,
            there => there,
        };
        if there > bytes {
            file.set_size(bytes)?;
        }
        // Room for as many segments again, which the log may have begun by then.
        let manifest = ManifestReserve::keep(disk, &names::swap_reserve(data), 2 * manifest_bytes)?;
        let mut reserve = Self { file, path, manifest, bytes: there.min(bytes) };
        match reserve.grow(bytes) {
            Err(error) if !error.is_full() || reserve.bytes == 0 => Err(error),
            _ => Ok(reserve),
        }
    }

    /// Whether the next manifest has space, of so many bytes; if not, more is reserved: there are more
    /// segments than there were.
    pub(crate) fn keep_manifest(&self, manifest_bytes: u64) -> Result<(), DiskError> {
        match self.manifest.bytes()? < manifest_bytes {
            true => self.manifest.grow(2 * manifest_bytes),
            false => Ok(()),
        }
    }

    /// Fills more of it with zeros, up to `bytes`; on a full disk as much as there is.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), DiskError> {
        let grown = fill_with_zeros(&*self.file, &mut self.bytes, bytes);
        if grown.is_err() {
            // A piece more of it may have been written.
            self.file.set_size(self.bytes)?;
        }
        grown
    }

    /// What was written into it is of no use: it is as large as before again.
    pub(super) fn reset(&self) -> Result<(), DiskError> {
        if self.file.size()? > self.bytes {
            self.file.set_size(self.bytes)?;
        }
        Ok(())
    }
}

/// Takes the space of an empty file in one step, as a rule without writing anything there. How much it took: on
/// a full disk nothing, which leaves it to smaller steps.
fn reserve_at_once(file: &dyn DiskFile, bytes: u64) -> Result<u64, DiskError> {
    match file.reserve(bytes) {
        Ok(_) => file.sync().map(|()| bytes),
        Err(error) if error.is_full() => file.set_size(0).map(|()| 0),
        Err(error) => Err(error),
    }
}
