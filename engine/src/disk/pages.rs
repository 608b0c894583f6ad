//! Appending to a file in whole pages, past the page cache.
//!
//! - What is appended begins where the last append ended, as a rule within a page. What that page has is kept
//!   here and written again with what follows it; zeros follow that, where zeros are.
//! - So one append is one write, and the sync after it has nothing to write. Through the page cache the sync
//!   writes, and each page that the cache has not had costs more than the bytes in it.
//! - A page that is torn while it is written again keeps what it had: those bytes are the same.

use std::fmt;

use bytes::BytesMut;

use super::{DiskError, DiskFile};

/// What reads and writes past the page cache want offsets, lengths and addresses to be multiples of: what
/// every sector size in use divides.
pub const PAGE_BYTES: usize = 4096;

/// Copied and written at once, at most. More would leave the processor's cache.
const COPIED_BYTES_MAX: usize = 1 << 20;

/// Memory that is whole pages, cut from a larger allocation.
#[derive(Default)]
pub(crate) struct Pages {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Pages {
    /// Holds `bytes` bytes, rounded up.
    pub(crate) fn new(bytes: usize) -> Self {
        let length = bytes.next_multiple_of(PAGE_BYTES);
        let bytes = vec![0; length + PAGE_BYTES];
        Self { start: to_page(&bytes), bytes, length }
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }

    /// The first `bytes` bytes, or all there are.
    pub(crate) fn slice(&mut self, bytes: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + bytes.min(self.length)]
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({})", self.length)
    }
}

/// How far it is from where the bytes are to where a page begins.
fn to_page(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr().wrapping_neg() % PAGE_BYTES
}

/// Where in its page an offset is.
fn in_page(offset: u64) -> usize {
    (offset % PAGE_BYTES as u64) as usize
}

/// Appends to a file in whole pages.
#[derive(Debug)]
pub struct PageWriter {
    /// Begins with what the last page has.
    pages: Pages,
    /// Where the last append ended.
    end: u64,
}

impl Default for PageWriter {
    fn default() -> Self {
        Self { pages: Pages::new(PAGE_BYTES), end: 0 }
    }
}

impl PageWriter {
    /// So much more than what is appended is in memory that is written as it is, at most: before it to where its page
    /// begins, and what that page has, and behind it to the end of its page.
    pub const ROOM_BYTES: usize = 3 * PAGE_BYTES;

    /// Where in `memory`, which is empty, the bytes for `offset` begin so that they can be written as they are.
    /// Bytes that begin anywhere else are copied to be written.
    pub fn start_in(memory: &BytesMut, offset: u64) -> usize {
        to_page(memory) + in_page(offset)
    }

    /// Writes what `memory` has from `start` on at `offset`: where the last append ended, or at a page's beginning.
    /// Zeros follow up to the end of the page, or to `end_max` if that comes first. The memory is as it was after it, from `start` on.
    pub fn append(
        &mut self,
        file: &dyn DiskFile,
        offset: u64,
        memory: &mut BytesMut,
        start: usize,
        end_max: u64,
    ) -> Result<(), DiskError> {
        let held = in_page(offset);
        assert!(held == 0 || offset == self.end, "{offset}: the page there has other bytes");
        let length = memory.len();
        self.end = offset + (length - start) as u64;
        let page_end = self.end.next_multiple_of(PAGE_BYTES as u64).min(end_max.max(self.end));
        let padded = length + (page_end - self.end) as usize;
        let is_in_place =
            start >= held && to_page(&memory[start - held..]) == 0 && memory.capacity() >= padded;
        if !is_in_place {
            return self.append_copied(file, offset, &memory[start..], page_end);
        }
        memory[start - held..start].copy_from_slice(self.pages.slice(held));
        memory.resize(padded, 0);
        let bytes = &memory[start - held..];
        file.write_past_cache_at(offset - held as u64, bytes)?;
        memory.truncate(length);
        let bytes = &memory[start - held..];
        let last = &bytes[bytes.len() - bytes.len() % PAGE_BYTES..];
        self.pages.slice(last.len()).copy_from_slice(last);
        Ok(())
    }

    fn append_copied(
        &mut self,
        file: &dyn DiskFile,
        offset: u64,
        mut bytes: &[u8],
        page_end: u64,
    ) -> Result<(), DiskError> {
        let mut held = in_page(offset);
        let mut first = offset - held as u64;
        self.make_room(held, held + bytes.len());
        loop {
            let pages = self.pages.slice(COPIED_BYTES_MAX);
            let (now, rest) = bytes.split_at(bytes.len().min(pages.len() - held));
            let filled = held + now.len();
            pages[held..filled].copy_from_slice(now);
            let padded = pages
                .len()
                .min((page_end - first) as usize)
                .min(filled.next_multiple_of(PAGE_BYTES));
            pages[filled..padded].fill(0);
            file.write_past_cache_at(first, &pages[..padded])?;
            if rest.is_empty() {
                pages.copy_within(filled - filled % PAGE_BYTES..filled, 0);
                return Ok(());
            }
            first += padded as u64;
            (bytes, held) = (rest, 0);
        }
    }

    /// Room for so many bytes, or for as many as are copied at once, of which the first ones are kept.
    fn make_room(&mut self, held: usize, bytes: usize) {
        let bytes = bytes.min(COPIED_BYTES_MAX);
        if self.pages.length < bytes {
            let mut larger = Pages::new(bytes.next_power_of_two());
            larger.slice(held).copy_from_slice(self.pages.slice(held));
            self.pages = larger;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, RealDisk, SimDisk};
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Differs from byte to byte and from page to page.
    fn pattern(from: usize, length: usize) -> impl Iterator<Item = u8> {
        (from..from + length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0])
    }

    fn appended_is_read(file: &dyn DiskFile, capacity: usize, is_in_place: bool) {
        file.reserve(capacity as u64).unwrap();
        let mut writer = PageWriter::default();
        let mut expected = vec![0; capacity];
        let mut offset = PAGE_BYTES;
        // Within a page, up to its end, over many, and more than is copied at once.
        let lengths =
            [8, 5000, 8192, 3184, 8, 4088, 1 << 20, 4096, (2 << 20) + 80, 300_000, 4088, 8];
        for length in lengths {
            let mut memory = BytesMut::with_capacity(length + 3 * PAGE_BYTES);
            let start = match is_in_place {
                true => PageWriter::start_in(&memory, offset as u64),
                false => 0,
            };
            memory.resize(start, 7);
            memory.extend(pattern(offset, length));
            let before = memory.as_ptr();
            writer.append(file, offset as u64, &mut memory, start, capacity as u64).unwrap();
            assert_eq!((memory.as_ptr(), memory.len()), (before, start + length));
            assert!(memory[start..].iter().copied().eq(pattern(offset, length)));
            expected[offset..offset + length].copy_from_slice(&memory[start..]);
            let mut read = vec![1; capacity];
            assert_eq!(file.read_at(0, &mut read).unwrap(), read.len());
            assert!(read == expected, "after {length} bytes at {offset}");
            file.sync().unwrap();
            assert_eq!(file.read_durable_at(0, &mut read).unwrap(), read.len());
            assert!(read == expected, "after {length} synced bytes at {offset}");
            offset += length;
        }
        assert_eq!(file.size().unwrap(), capacity as u64);
    }

    #[test]
    fn what_is_appended_is_read_wherever_it_is_in_memory_and_however_the_file_ends() {
        // The target directory lies on a disk; the system's temporary one may be memory. Both count.
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        for base in [std::env::temp_dir(), target] {
            std::fs::create_dir_all(&base).unwrap();
            let dir = tempfile::tempdir_in(base).unwrap();
            // The last byte written is within the last page, which may be cut.
            for capacity in [4 << 20, 3_500_000] {
                for is_in_place in [true, false] {
                    let path = dir.path().join(format!("{capacity}.{is_in_place}"));
                    let file = RealDisk.create(&path).unwrap();
                    appended_is_read(&*file, capacity, is_in_place);
                }
            }
        }
    }

    #[test]
    fn what_goes_beyond_the_end_is_written_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&dir.path().join("f")).unwrap();
        file.reserve(10_000).unwrap();
        let mut memory: BytesMut = pattern(0, 30_000).collect();
        PageWriter::default().append(&*file, 0, &mut memory, 0, 10_000).unwrap();
        assert_eq!(file.size().unwrap(), 30_000);
        let mut read = vec![0; 30_000];
        file.read_at(0, &mut read).unwrap();
        assert!(read.into_iter().eq(pattern(0, 30_000)));
    }

    #[test]
    fn a_page_that_is_written_again_is_torn_without_loss() {
        let disk = SimDisk::new(1);
        let path = Path::new("/f");
        let file = disk.create(path).unwrap();
        file.reserve(1 << 14).unwrap();
        file.sync().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let mut writer = PageWriter::default();
        let mut append = |offset: usize, length: usize| {
            let mut memory: BytesMut = pattern(offset, length).collect();
            writer.append(&*file, offset as u64, &mut memory, 0, 1 << 14).unwrap();
        };
        append(4096, 3000);
        file.sync().unwrap();
        append(7096, 3000);
        let (ways, mut seen) = (disk.ways(), BTreeSet::new());
        for way in 0..ways {
            let crashed = disk.fork();
            crashed.crash_way(way);
            let left = crashed.durable_image(path).unwrap();
            assert!(left[4096..7096].iter().copied().eq(pattern(4096, 3000)), "crash {way}");
            seen.insert(left[7096..].to_vec());
        }
        assert!(seen.len() as u64 == ways && ways > 1, "{ways} crashes, {} contents", seen.len());
    }

    #[test]
    #[should_panic(expected = "the page there has other bytes")]
    fn an_append_that_is_not_where_the_last_one_ended_is_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&dir.path().join("f")).unwrap();
        file.reserve(1 << 20).unwrap();
        let mut writer = PageWriter::default();
        let mut memory = BytesMut::from(&[1; 8][..]);
        writer.append(&*file, 4096, &mut memory, 0, 1 << 20).unwrap();
        let _ = writer.append(&*file, 4096 + 16, &mut memory, 0, 1 << 20);
    }
}
