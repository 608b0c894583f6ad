//! Writes past the page cache (`O_DIRECT`), into space that was reserved.
//!
//! - They want offsets, lengths and addresses aligned: whole pages go this way, as they are if they begin
//!   a page of memory, else out of an aligned buffer into which they are copied; what is left is for
//!   the caller to write as usual.
//! - Where the file system refuses them nothing is written, and the caller writes all of it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;
use rustix::io::retry_on_intr;

use super::durable::{ALIGNMENT_BYTES, AlignedBuffer, is_refusal, open_direct};
use crate::disk::zeros::zeros;

/// Copied and written at once. More would leave the processor's cache.
const WRITE_BYTES: usize = 1 << 20;

/// A file's second descriptor, for direct writes; as a rule there is none.
#[derive(Default)]
pub(super) struct PastCache(Mutex<Option<Direct>>);

struct Direct {
    fd: OwnedFd,
    /// Made for the first write that needs it.
    pages: Option<AlignedBuffer>,
}

/// How many bytes from here to where a page begins.
pub(super) fn to_next_page(offset: u64) -> usize {
    (offset.next_multiple_of(ALIGNMENT_BYTES as u64) - offset) as usize
}

impl PastCache {
    /// Opens the file `fd`, which has the name `path` now and may have another one later.
    pub(super) fn open(&self, path: &Path, fd: &OwnedFd) -> io::Result<()> {
        match open_direct(path, fd, OFlags::WRONLY) {
            Ok(fd) => *self.direct() = Some(Direct { fd, pages: None }),
            Err(error) if is_refusal(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// No more is written this way.
    pub(super) fn close(&self) {
        *self.direct() = None;
    }

    /// Writes zeros as far as whole pages go; how many.
    pub(super) fn write_zeros(&self, offset: u64, bytes: u64) -> io::Result<u64> {
        let mut direct = self.direct();
        let Some(Direct { fd, .. }) = &*direct else { return Ok(0) };
        let whole = whole_pages(offset, bytes as usize) as u64;
        let mut written = 0;
        while written < whole {
            match write_pages(fd, offset + written, zeros(whole - written)) {
                Err(error) if is_refusal(&error) => {
                    *direct = None;
                    break;
                }
                count => written += count? as u64,
            }
        }
        Ok(written)
    }

    /// Writes as far as whole pages go; how many bytes.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut direct = self.direct();
        let Some(Direct { fd, pages }) = &mut *direct else { return Ok(0) };
        let whole = whole_pages(offset, bytes.len());
        let is_aligned = bytes.as_ptr().addr().is_multiple_of(ALIGNMENT_BYTES);
        let mut written = 0;
        while written < whole {
            let rest = &bytes[written..whole];
            let pages = match is_aligned {
                true => rest,
                false => {
                    let pages = pages.get_or_insert_with(|| AlignedBuffer::new(WRITE_BYTES));
                    let pages = pages.slice(rest.len());
                    pages.copy_from_slice(&rest[..pages.len()]);
                    pages
                }
            };
            match write_pages(fd, offset + written as u64, pages) {
                Err(error) if is_refusal(&error) => {
                    *direct = None;
                    break;
                }
                count => written += count?,
            }
        }
        Ok(written)
    }

    fn direct(&self) -> MutexGuard<'_, Option<Direct>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for PastCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PastCache")
    }
}

fn whole_pages(offset: u64, bytes: usize) -> usize {
    match to_next_page(offset) {
        0 => bytes - bytes % ALIGNMENT_BYTES,
        _ => 0,
    }
}

/// Writes some pages. One that is written in part is written again.
fn write_pages(fd: &OwnedFd, offset: u64, pages: &[u8]) -> io::Result<usize> {
    match retry_on_intr(|| rustix::io::pwrite(fd, pages, offset))? / ALIGNMENT_BYTES {
        0 => Err(io::ErrorKind::WriteZero.into()),
        whole => Ok(whole * ALIGNMENT_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::real::open;

    #[test]
    fn the_same_bytes_are_written_wherever_they_are_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let count = 3 * ALIGNMENT_BYTES;
        std::fs::write(&path, vec![0; count]).unwrap();
        let fd = open(&path, OFlags::RDWR).unwrap();
        let past_cache = PastCache::default();
        past_cache.open(&path, &fd).unwrap();
        let mut memory = AlignedBuffer::new(count + ALIGNMENT_BYTES);
        let memory = memory.slice(count + ALIGNMENT_BYTES);
        for (turn, start) in [0, 1, 512, ALIGNMENT_BYTES].into_iter().enumerate() {
            memory.iter_mut().zip(turn..).for_each(|(byte, at)| *byte = (at % 251) as u8);
            let bytes = &memory[start..start + count];
            let written = past_cache.write(0, bytes).unwrap();
            // Nothing is, where the file system refuses.
            assert!(written == count || written == 0);
            if written > 0 {
                assert!(std::fs::read(&path).unwrap() == bytes, "from byte {start} on");
            }
        }
    }
}
