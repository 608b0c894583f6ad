//! What a whole disk was given to write, by everybody: what the kernel counts for one process is
//! pages that it made dirty, and of a large page in the cache all of it, whatever was changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::BenchError;

/// A sector in the kernel's statistics, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;
/// Where a line of `/sys/dev/block/*/stat` has the sectors written, from 0.
const SECTORS_WRITTEN: usize = 6;

/// Bytes written to the disk that a directory is on; `None` if its file system is not on one.
pub(super) fn written(directory: &Path) -> Result<Option<u64>, BenchError> {
    let device = fs::metadata(directory)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let Ok(text) = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")) else {
        return Ok(None);
    };
    let sectors = text.split_whitespace().nth(SECTORS_WRITTEN).and_then(|word| word.parse().ok());
    Ok(sectors.map(|sectors: u64| sectors * SECTOR_BYTES))
}
