//! A disk that is used a piece at a time, for work that must not hold up the log's.
//!
//! - What is written is synced piece by piece. Otherwise it gathers in the page cache, and the sync of
//!   it all is a burst, which the log's next sync has to wait behind.
//! - A file is cut piece by piece. A disk that discards what is freed is busy with 256 MiB for 75 ms.
//! - What is no more than a piece is passed on as it is, and rested for later: the manifest is written
//!   under a lock.
//! - Space is reserved as it is: as a rule that writes nothing.
//! - Reads are passed on: others read the same files by the same handles.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Access, Disk, DiskError, DiskFile, DiskLock, DiskMap, Reserved};
use crate::pace::{BYTES_CUT_PER_BYTE, Pace};

/// Another disk, used at a pace.
#[derive(Debug)]
pub(crate) struct PacedDisk {
    disk: Arc<dyn Disk>,
    pace: Arc<Pace>,
}

impl PacedDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>, pace: Arc<Pace>) -> Self {
        Self { disk, pace }
    }

    fn paced(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let (pace, unsynced) = (self.pace.clone(), AtomicU64::new(0));
        Arc::new(PacedFile { file, pace, unsynced })
    }
}

impl Disk for PacedDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        self.disk.list(dir)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.disk.create(path).map(|file| self.paced(file))
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.disk.open(path, access).map(|file| self.paced(file))
    }

    fn map(&self, path: &Path) -> Result<Arc<dyn DiskMap>, DiskError> {
        self.disk.map(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        self.disk.lock(path)
    }

    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.fill_random(buffer)
    }
}

/// Another file, written and cut at a pace.
#[derive(Debug)]
struct PacedFile {
    file: Arc<dyn DiskFile>,
    pace: Arc<Pace>,
    /// Bytes written since the last sync. Only one thread writes a file.
    unsynced: AtomicU64,
}

impl DiskFile for PacedFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn size(&self) -> Result<u64, DiskError> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(offset, buffer)
    }

    fn read_durable_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_durable_at(offset, buffer)
    }

    fn read_past_cache_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_past_cache_at(offset, buffer)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut written = 0;
        while written < bytes.len() {
            let piece = self.pace.piece_bytes();
            let unsynced = self.unsynced.load(Ordering::Relaxed);
            let left = bytes.len() - written;
            let count = left.min(usize::try_from(piece - unsynced.min(piece - 1)).unwrap_or(left));
            self.file.write_all_at(offset + written as u64, &bytes[written..written + count])?;
            written += count;
            if unsynced + (count as u64) < piece {
                self.unsynced.store(unsynced + count as u64, Ordering::Relaxed);
                self.pace.owe(count as u64);
            } else {
                self.sync()?;
                self.pace.moved(count as u64);
            }
        }
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> Result<Reserved, DiskError> {
        let reserved = self.file.reserve(bytes)?;
        if reserved == Reserved::Written {
            self.sync()?;
            self.pace.moved(bytes);
        }
        Ok(reserved)
    }

    fn set_size(&self, bytes: u64) -> Result<(), DiskError> {
        self.in_pieces(bytes, |file, size| file.set_size(size))
    }

    fn shrink_unnamed(&self, bytes: u64) -> Result<(), DiskError> {
        self.in_pieces(bytes, |file, size| file.shrink_unnamed(size))
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.unsynced.store(0, Ordering::Relaxed);
        self.file.sync()
    }
}

impl PacedFile {
    /// Sets the size, and if it becomes less, a piece at a time.
    fn in_pieces(
        &self,
        bytes: u64,
        set_size: impl Fn(&dyn DiskFile, u64) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let mut size = self.file.size()?;
        loop {
            let piece = self.pace.piece_bytes() * BYTES_CUT_PER_BYTE;
            let rest = size.saturating_sub(bytes);
            if rest <= piece {
                self.pace.owe(rest / BYTES_CUT_PER_BYTE);
                return set_size(&*self.file, bytes);
            }
            size -= piece;
            set_size(&*self.file, size)?;
            self.pace.moved(piece / BYTES_CUT_PER_BYTE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    /// A file on a simulated disk, through which nobody rests.
    fn file() -> (SimDisk, Arc<dyn DiskFile>, u64) {
        let (disk, pace) = (SimDisk::new(1), Arc::new(Pace::new(Arc::default())));
        let piece = pace.piece_bytes();
        let paced = PacedDisk::new(Arc::new(disk.clone()), pace);
        paced.create_dir("data".as_ref()).unwrap();
        let file = paced.create("data/file".as_ref()).unwrap();
        (disk, file, piece)
    }

    #[test]
    fn no_more_than_a_piece_waits_for_a_sync() {
        let (disk, file, piece) = file();
        let bytes: Vec<u8> = (0..5 * piece + 7).map(|at| at as u8).collect();
        let durable = || disk.durable_image("data/file").unwrap().len() as u64;
        // However it comes: as a whole, or in parts that are smaller than a piece.
        file.write_all_at(0, &bytes).unwrap();
        assert_eq!(durable(), 5 * piece);
        for part in 0..8 {
            file.write_all_at(bytes.len() as u64 + part * piece / 2, &bytes[..piece as usize / 2])
                .unwrap();
            let written = bytes.len() as u64 + (part + 1) * piece / 2;
            assert!(written - durable() < piece);
        }
        file.sync().unwrap();
        assert_eq!(durable(), 9 * piece + 7);
        assert_eq!(disk.image("data/file").unwrap()[..bytes.len()], bytes);
    }

    #[test]
    fn a_file_is_cut_in_pieces() {
        let (disk, file, piece) = file();
        let cut = BYTES_CUT_PER_BYTE * piece;
        file.set_size(3 * cut + 9).unwrap();
        let before = disk.operations();
        file.set_size(5).unwrap();
        assert_eq!(disk.operations() - before, 4);
        assert_eq!(file.size().unwrap(), 5);
        file.set_size(2 * cut).unwrap();
        assert_eq!(disk.operations() - before, 5);
        assert_eq!(file.size().unwrap(), 2 * cut);
    }
}
