//! Space that is kept for the compactor: a full disk must not stop it from giving space back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskError, DiskFile, remove_if_there};
use crate::log::{ManifestReserve, names};
use crate::options::SEGMENT_BYTES_MIN;

/// It is written in steps of so many bytes, each of them synced.
const STEP_BYTES: u64 = 4 << 20;

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// A file filled with zeros, which becomes the next compacted segment, and one for the manifest
/// that will list it.
#[derive(Debug)]
pub(crate) struct Reserve {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) manifest: ManifestReserve,
    pub(crate) bytes: u64,
}

impl Reserve {
    /// Reserves `bytes`, or as many as the disk has.
    pub(crate) fn make(
        disk: &dyn Disk,
        data: &Path,
        bytes: u64,
        manifest_bytes: u64,
    ) -> Result<Self, DiskError> {
        let path = names::compaction(data);
        remove_if_there(disk, &path)?;
        // Room for as many segments again, which the log may have begun by then.
        let manifest_bytes = 2 * manifest_bytes;
        let manifest = ManifestReserve::make(disk, &names::swap_reserve(data), manifest_bytes)?;
        let mut bytes = bytes;
        let file = loop {
            let file = disk.create(&path)?;
            match fill(&*file, bytes) {
                Ok(()) => break file,
                Err(error) => {
                    remove_if_there(disk, &path)?;
                    if !error.is_full() || bytes / 2 < SEGMENT_BYTES_MIN {
                        return Err(error);
                    }
                    bytes /= 2;
                }
            }
        };
        Ok(Self { file, path, manifest, bytes })
    }

    /// What was written into it is of no use: it is as large as before again.
    pub(crate) fn reset(&self) -> Result<(), DiskError> {
        if self.file.size()? > self.bytes {
            self.file.set_size(self.bytes)?;
        }
        Ok(())
    }
}

/// Gives back the space: a store that is closed compacts nothing.
pub(crate) fn discard_reserves(disk: &dyn Disk, data: &Path) -> Result<(), DiskError> {
    remove_if_there(disk, &names::compaction(data))?;
    remove_if_there(disk, &names::swap_reserve(data))
}

fn fill(file: &dyn DiskFile, bytes: u64) -> Result<(), DiskError> {
    let mut offset = 0;
    while offset < bytes {
        let count = (bytes - offset).min(ZEROS.len() as u64);
        file.write_all_at(offset, &ZEROS[..count as usize])?;
        offset += count;
        if offset.is_multiple_of(STEP_BYTES) || offset == bytes {
            file.sync()?;
        }
    }
    Ok(())
}
