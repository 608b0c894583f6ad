//! The files that a log may write: one that grows, and three that were prepared.

use std::fmt;
use std::fs::{self, File};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags, OFlags};
use rustix::io::Errno;

use crate::BenchError;
use crate::frames::random_bytes;

/// What a file is before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Empty: each write makes it longer.
    Growing,
    /// Its blocks are allocated (fallocate), and were never written.
    Preallocated,
    /// Zeros were written to it, and synced. They are in the page cache.
    Prewritten,
    /// Other data was written to it, and synced. Nothing of it is in the page cache.
    Recycled,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Through the page cache.
    Buffered,
    /// Past it: O_DIRECT.
    Direct,
}

/// What direct access must be aligned to, on any disk of today.
pub(crate) const ALIGNMENT: usize = 4096;
const CHUNK_BYTES: usize = 1 << 20;

impl Kind {
    pub(crate) const ALL: [Kind; 4] =
        [Kind::Growing, Kind::Preallocated, Kind::Prewritten, Kind::Recycled];
}

impl Access {
    pub(crate) const ALL: [Access; 2] = [Access::Buffered, Access::Direct];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Growing => "growing",
            Kind::Preallocated => "preallocated",
            Kind::Prewritten => "prewritten",
            Kind::Recycled => "recycled",
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::Buffered => "buffered",
            Access::Direct => "direct",
        })
    }
}

/// A file of this kind with room for `bytes`, open for writing; `None` if the file system has no direct
/// access. A file of that name is replaced.
pub(crate) fn prepare(
    path: &Path,
    kind: Kind,
    access: Access,
    bytes: u64,
) -> Result<Option<File>, BenchError> {
    let doing = || BenchError::doing(format!("cannot prepare {}", path.display()));
    if path.exists() {
        fs::remove_file(path).map_err(doing())?;
    }
    let file = File::create_new(path).map_err(doing())?;
    match kind {
        Kind::Growing => {}
        Kind::Preallocated => rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)?,
        Kind::Prewritten => fill(&file, &vec![0; CHUNK_BYTES], bytes).map_err(doing())?,
        Kind::Recycled => {
            fill(&file, &random_bytes(CHUNK_BYTES)?, bytes).map_err(doing())?;
        }
    }
    file.sync_all().map_err(doing())?;
    if kind == Kind::Recycled {
        rustix::fs::fadvise(&file, 0, NonZeroU64::new(bytes), Advice::DontNeed)?;
    }
    drop(file);
    let mut options = File::options();
    options.write(true);
    if access == Access::Direct {
        options.custom_flags(OFlags::DIRECT.bits() as i32);
    }
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(None),
        Err(error) => Err(doing()(error)),
    }
}

fn fill(file: &File, chunk: &[u8], bytes: u64) -> std::io::Result<()> {
    for offset in (0..bytes).step_by(chunk.len()) {
        let count = (bytes - offset).min(chunk.len() as u64) as usize;
        file.write_all_at(&chunk[..count], offset)?;
    }
    Ok(())
}

/// Random bytes that lie as direct access wants them.
pub(crate) struct Block {
    bytes: Vec<u8>,
    start: usize,
    count: usize,
}

impl Block {
    pub(crate) fn new(count: usize) -> Result<Self, BenchError> {
        let bytes = random_bytes(count + ALIGNMENT)?;
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        Ok(Self { bytes, start, count })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.count]
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const BYTES: u64 = 3 << 20;

    #[test]
    fn a_file_is_before_it_is_written_what_its_kind_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for kind in Kind::ALL {
            prepare(&path, kind, Access::Buffered, BYTES).unwrap().expect("no direct access");
            let contents = fs::read(&path).unwrap();
            let expected = if kind == Kind::Growing { 0 } else { BYTES };
            assert_eq!(contents.len() as u64, expected, "{kind}");
            let is_zero = contents.iter().all(|byte| *byte == 0);
            assert_eq!(is_zero, kind != Kind::Recycled, "{kind}");
            let allocated = fs::metadata(&path).unwrap().blocks() * 512;
            assert!(allocated >= expected, "{kind}: {allocated} bytes are allocated");
        }
    }

    #[test]
    fn a_block_lies_where_direct_access_wants_it() {
        for count in [512, 4096, 1 << 20] {
            let block = Block::new(count).unwrap();
            assert_eq!(block.bytes().len(), count);
            assert!(block.bytes().as_ptr().addr().is_multiple_of(ALIGNMENT));
        }
    }
}
