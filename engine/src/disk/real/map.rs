//! A whole file mapped for reading. The engine's only `unsafe`; the server's allocator has the other.

#![expect(unsafe_code, reason = "mapping a file is unsafe: another program may change it")]

use std::io;
use std::ops::Range;
use std::path::Path;

use memmap2::{Advice, Mmap, MmapOptions};
use rustix::fs::OFlags;

use super::{open, size};
use crate::disk::DiskMap;

/// A mapped file; `None` is an empty one, of which the system makes no map.
#[derive(Debug)]
pub(super) struct RealMap(Option<Mmap>);

impl RealMap {
    /// Maps all of the file. The map needs no descriptor, and outlives the file's name.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let fd = open(path, OFlags::RDONLY)?;
        let bytes = usize::try_from(size(&fd)?).map_err(io::Error::other)?;
        if bytes == 0 {
            return Ok(Self(None));
        }
        // SAFETY: the bytes behind the returned slice must neither change nor vanish. What keeps
        // that true:
        // - `Disk::map` is for write-once files: written under a temporary name, synced, renamed,
        //   and from then on neither written nor cut. A new version is a new file under the same
        //   name; the map stays with the old one. The map itself is read-only.
        // - They lie in a data directory that is this process's own while it holds LOCK.
        // - The length is that of the open file, so no page of the map lies beyond its end.
        // What remains is another program that cuts or writes the file, and a device that cannot
        // read it. A missing page is a SIGBUS, which ends the process: that is a crash like any
        // other, and the file, being derived, may be deleted. Changed bytes are integers to their
        // reader, which no value makes unsafe: its checksums find them, or, if they change after
        // that, the seal of the record that they lead to does.
        let map = unsafe { MmapOptions::new().len(bytes).map(&fd) }?;
        Ok(Self(Some(map)))
    }
}

impl DiskMap for RealMap {
    fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or(&[])
    }

    fn will_need(&self, range: Range<usize>) {
        let Some(map) = &self.0 else { return };
        let end = range.end.min(map.len());
        if range.start < end
            && let Err(error) = map.advise_range(Advice::WillNeed, range.start, end - range.start)
        {
            tracing::debug!(%error, "the system takes no advice on a mapped file");
        }
    }
}
