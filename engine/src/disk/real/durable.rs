//! Reads of what the device holds, past the page cache.
//!
//! - Direct reads (`O_DIRECT`) want offsets, lengths and addresses aligned: an aligned range around
//!   the wanted one is read into an aligned buffer, and the wanted bytes are copied out.
//! - Where the file system refuses direct reads, the kernel is asked to drop the pages first. That
//!   is weaker, for the kernel may decline, and it is said once for each file.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{open, read_full, size};
use crate::disk::{PAGE_BYTES, Pages};

/// The largest direct read, and so the largest buffer that one allocates.
const READ_BYTES_MAX: usize = 1 << 20;

/// Direct reads of a file. Each opens it once more: to keep that open would double the files of a store
/// with many segments.
#[derive(Debug, Default)]
pub(super) struct DurableReader {
    /// Set once this file's file system has refused direct reads.
    refused: AtomicBool,
}

impl DurableReader {
    /// Reads until the buffer is full or the file ends. `fd` is the file, `path` its name.
    pub(super) fn read(
        &self,
        path: &Path,
        fd: &OwnedFd,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if !self.refused.load(Ordering::Relaxed) {
            let direct = open_direct(path, fd, OFlags::RDONLY);
            match direct.and_then(|direct| read_direct(&direct, offset, buffer)) {
                Err(error) if is_refusal(&error) => {
                    if !self.refused.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            path = %path.display(),
                            "no direct reads here: reading after asking the kernel to drop its cache"
                        );
                    }
                }
                result => return result,
            }
        }
        read_evicted(fd, offset, buffer)
    }

    /// Reads whole pages as they are, until the buffer is full or the file ends; `None` where that
    /// cannot be done.
    pub(super) fn read_pages(
        fd: &OwnedFd,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let numbers = [offset, buffer.len() as u64, buffer.as_ptr().addr() as u64];
        if !numbers.iter().all(|number| number.is_multiple_of(PAGE_BYTES as u64)) {
            return Ok(None);
        }
        // The file may have got another name, or lost its last one, since it was opened.
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let Ok(direct) = open_direct(Path::new(&path), fd, OFlags::RDONLY) else { return Ok(None) };
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            match retry_on_intr(|| rustix::io::pread(&direct, &mut *rest, offset + done as u64)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(errno) if is_refusal(&errno.into()) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
            // Only the end of the file is within a page.
            if !done.is_multiple_of(PAGE_BYTES) {
                break;
            }
        }
        Ok(Some(done))
    }
}

/// A descriptor past the page cache of the file `fd`, which has the name `path`; the two are compared.
pub(super) fn open_direct(path: &Path, fd: &OwnedFd, access: OFlags) -> io::Result<OwnedFd> {
    let direct = open(path, access | OFlags::DIRECT)?;
    let (ours, found) = (rustix::fs::fstat(fd)?, rustix::fs::fstat(&direct)?);
    if (ours.st_dev, ours.st_ino) != (found.st_dev, found.st_ino) {
        // After a rename the path may name another file, whose bytes must not pass for ours.
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the path names another file since this one was opened",
        ));
    }
    Ok(direct)
}

fn read_direct(direct: &OwnedFd, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    // The last page is read short: nothing is expected beyond the size.
    let wanted = size(direct)?.saturating_sub(offset).min(buffer.len() as u64) as usize;
    let mut aligned = Pages::new((wanted + PAGE_BYTES).min(READ_BYTES_MAX));
    let mut done = 0;
    while done < wanted {
        let position = offset + done as u64;
        let skipped = (position % PAGE_BYTES as u64) as usize;
        let start = position - skipped as u64;
        let pages = aligned.slice((skipped + wanted - done).next_multiple_of(PAGE_BYTES));
        let count = retry_on_intr(|| rustix::io::pread(direct, &mut *pages, start))?;
        if count == 0 {
            break; // The file was cut since its size was read.
        }
        // A short read that does not reach the wanted bytes would repeat for ever.
        let Some(fresh) = pages.get(skipped..count).filter(|fresh| !fresh.is_empty()) else {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{count} bytes at offset {start}, expected more than {skipped}"),
            ));
        };
        let copied = fresh.len().min(wanted - done);
        buffer[done..done + copied].copy_from_slice(&fresh[..copied]);
        done += copied;
    }
    Ok(done)
}

fn read_evicted(fd: &OwnedFd, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let alignment = PAGE_BYTES as u64;
    // Pages that lie in the range only in part would be kept: the range is widened.
    let start = offset - offset % alignment;
    let length = (offset - start + buffer.len() as u64).next_multiple_of(alignment);
    rustix::fs::fadvise(fd, start, NonZeroU64::new(length), Advice::DontNeed)?;
    read_full(fd, offset, buffer)
}

/// Whether direct reads and writes do not exist here, as opposed to having failed.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| errno == Errno::INVAL || errno == Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_also_of_a_file_that_has_lost_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..20_000_u32).map(|at| (at % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let fd = open(file.path(), OFlags::RDONLY).unwrap();
        drop(file);
        let mut memory = Pages::new(1 << 16);
        for (offset, length, count) in [(0, 8192, 8192), (4096, 1 << 16, 15_904), (32_768, 4096, 0)]
        {
            let buffer = memory.slice(length);
            // `None` where the file system refuses.
            if let Some(read) = DurableReader::read_pages(&fd, offset, buffer).unwrap() {
                assert_eq!(read, count);
                assert_eq!(buffer[..count], bytes[bytes.len().min(offset as usize)..][..count]);
            }
        }
        let none = DurableReader::read_pages(&fd, 1, memory.slice(4096)).unwrap();
        assert_eq!(none, None, "that is no page");
    }

    #[test]
    fn an_evicted_read_equals_what_was_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..20_000_u32).map(|at| (at % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let fd = open(file.path(), OFlags::RDONLY).unwrap();
        for (offset, length) in [(0, 20_000), (1, 4096), (4095, 2), (19_999, 10), (30_000, 5)] {
            let mut read = vec![0; length];
            let count = read_evicted(&fd, offset as u64, &mut read).unwrap();
            assert_eq!(count, length.min(bytes.len().saturating_sub(offset)));
            assert_eq!(read[..count], bytes[bytes.len().min(offset)..][..count]);
        }
    }
}
