//! Writes past the page cache (`O_DIRECT`), into space that was reserved.
//!
//! - They want offsets, lengths and addresses aligned: whole pages go this way, out of memory that begins a
//!   page; what is left is for the caller to write as usual.
//! - Where the file system refuses them nothing is written, and the caller writes all of it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;
use rustix::io::retry_on_intr;

use super::durable::{is_refusal, open_direct};
use crate::disk::PAGE_BYTES;

/// A file's second descriptor, for direct writes; as a rule there is none.
#[derive(Debug, Default)]
pub(super) struct PastCache(Mutex<Option<OwnedFd>>);

impl PastCache {
    /// Opens the file `fd`, which has the name `path` now and may have another one later.
    pub(super) fn open(&self, path: &Path, fd: &OwnedFd) -> io::Result<()> {
        match open_direct(path, fd, OFlags::WRONLY) {
            Ok(fd) => *self.direct() = Some(fd),
            Err(error) if is_refusal(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// No more is written this way.
    pub(super) fn close(&self) {
        *self.direct() = None;
    }

    /// Writes as far as whole pages go; how many bytes.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut direct = self.direct();
        let Some(fd) = &*direct else { return Ok(0) };
        let whole = whole_pages(offset, bytes);
        let mut written = 0;
        while written < whole {
            match write_pages(fd, offset + written as u64, &bytes[written..whole]) {
                Err(error) if is_refusal(&error) => {
                    *direct = None;
                    break;
                }
                count => written += count?,
            }
        }
        Ok(written)
    }

    fn direct(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the bytes are whole pages, in the file and in memory.
fn whole_pages(offset: u64, bytes: &[u8]) -> usize {
    let is_page = (offset | bytes.as_ptr().addr() as u64).is_multiple_of(PAGE_BYTES as u64);
    if is_page { bytes.len() - bytes.len() % PAGE_BYTES } else { 0 }
}

/// Writes some pages. One that is written in part is written again.
fn write_pages(fd: &OwnedFd, offset: u64, pages: &[u8]) -> io::Result<usize> {
    match retry_on_intr(|| rustix::io::pwrite(fd, pages, offset))? / PAGE_BYTES {
        0 => Err(io::ErrorKind::WriteZero.into()),
        whole => Ok(whole * PAGE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Pages;
    use crate::disk::real::open;

    #[test]
    fn whole_pages_are_written_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![0; 8 * PAGE_BYTES]).unwrap();
        let fd = open(&path, OFlags::RDWR).unwrap();
        let past_cache = PastCache::default();
        past_cache.open(&path, &fd).unwrap();
        let mut memory = Pages::new(4 * PAGE_BYTES);
        let memory = memory.slice(4 * PAGE_BYTES);
        memory.iter_mut().zip(0..).for_each(|(byte, at)| *byte = (at % 251) as u8);
        let writes = |offset, bytes: &[u8]| {
            let written = past_cache.write(offset, bytes).unwrap();
            let read = std::fs::read(&path).unwrap();
            assert!(read[offset as usize..].starts_with(&bytes[..written]));
            written
        };
        assert_eq!(writes(0, &memory[1..][..PAGE_BYTES]), 0, "memory that begins no page");
        assert_eq!(writes(512, &memory[..PAGE_BYTES]), 0, "an offset that begins no page");
        assert_eq!(writes(0, &memory[..PAGE_BYTES - 1]), 0, "less than a page");
        let written = writes(PAGE_BYTES as u64, &memory[..3 * PAGE_BYTES + 100]);
        // Nothing is, where the file system refuses.
        assert!(written == 3 * PAGE_BYTES || written == 0, "{written}");
    }
}
