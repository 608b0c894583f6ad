//! The disk as the engine sees it: a trait with a real and a simulated implementation.
//!
//! The trait has only what a log needs, and says of each operation when its effect is durable:
//! file contents after [`DiskFile::sync`], names after [`Disk::sync_dir`], nothing before.
//! Every error names the operation and the path ([`DiskError`]); none is retried here, because a
//! retried `fdatasync` may report success for data that the kernel has dropped.

mod held;
mod paced;
mod pages;
mod real;
mod sim;
mod zeros;

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use held::HeldDisk;
pub(crate) use paced::PacedDisk;
pub(crate) use pages::Pages;
pub use pages::{PAGE_BYTES, PageWriter};
pub use real::RealDisk;
pub use sim::{Fault, Random, SimDisk};
pub(crate) use zeros::fill_with_zeros;

/// A directory tree and the operations on it that the engine needs.
///
/// Nothing done through this trait is durable until the matching sync returned: a created,
/// renamed or removed name until [`Disk::sync_dir`] of its directory.
pub trait Disk: Debug + Send + Sync {
    /// Creates the directory and those above it that are missing, and syncs the parents of what
    /// it created and of the lowest one that existed, which an earlier process may have made and
    /// not synced. An existing directory is no error.
    fn create_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// The names in a directory, sorted. A missing directory is an error of kind `NotFound`.
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError>;

    /// Creates a file for reading and writing. An existing one is an error of kind `AlreadyExists`.
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError>;

    /// Opens an existing file.
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>, DiskError>;

    /// Maps all of a file for reading. Only for a file that is never written again: it is written
    /// under a temporary name, synced, renamed, and from then on only read and removed.
    fn map(&self, path: &Path) -> Result<Arc<dyn DiskMap>, DiskError>;

    /// Renames a file, replacing what had the new name.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes a file's name. Open handles and maps stay readable.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;

    /// Takes an exclusive lock on a directory, by a file in it that is created if needed, without
    /// waiting. Held until the returned guard is dropped or the process ends, also if the file is
    /// removed. A lock held elsewhere is an error of kind `WouldBlock`. Of a file that is there and may
    /// only be read, the lock is taken too.
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError>;

    /// Fills the buffer with bytes that nobody can foretell, for salts and keys. They are asked of the
    /// disk because who needs them has one, and because a simulated one can give the same twice.
    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()> {
        getrandom::fill(buffer).map_err(|error| io::Error::other(error.to_string()))
    }
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only; works on a read-only file system.
    Read,
    /// Reading and writing.
    Write,
}

/// How the bytes are that were reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// The space is the file's, and nothing was written there: the first sync of each place costs
    /// more than later ones.
    Unwritten,
    /// Zeros were written.
    Written,
}

/// One open file. Shared between threads: every operation names its offset.
pub trait DiskFile: Debug + Send + Sync {
    /// Where the file was opened.
    fn path(&self) -> &Path;

    /// The file's size in bytes.
    fn size(&self) -> Result<u64, DiskError>;

    /// Reads until `buffer` is full or the file ends, and returns the bytes read: fewer than
    /// asked for only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;

    /// As [`DiskFile::read_at`], but of what the device holds, not of the page cache. After a
    /// failed sync the two may differ for ever. Meant for recovery, after a [`DiskFile::sync`].
    fn read_durable_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;

    /// As [`DiskFile::read_at`], past the page cache where that can be done, for what is not read again
    /// soon: whole pages of the file, into memory that begins a page.
    fn read_past_cache_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.read_at(offset, buffer)
    }

    /// Writes all of `bytes` at `offset`, continuing after short writes and interruptions.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Takes the space of all bytes up to `bytes`, of a file that is empty: it has that size then, and
    /// reads as zeros. A full disk is found here. Durable after [`DiskFile::sync`].
    fn reserve(&self, bytes: u64) -> Result<Reserved, DiskError> {
        self.write_zeros(0, bytes)?;
        Ok(Reserved::Written)
    }

    /// As [`DiskFile::write_all_at`], past the page cache where that can be done, into what was reserved: whole
    /// pages of the file, out of memory that begins a page ([`PageWriter`] makes such writes).
    fn write_past_cache_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.write_all_at(offset, bytes)
    }

    /// Writes so many zeros at `offset`, past the page cache where that can be done.
    fn write_zeros(&self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        zeros::write_zeros(self, offset, bytes)
    }

    /// Cuts the file to so many bytes, because it has lost its name and is not needed any more. One that
    /// has another name, as hard links are, is somebody else's too and stays as it is.
    fn shrink_unnamed(&self, bytes: u64) -> Result<(), DiskError> {
        self.set_size(bytes)
    }

    /// Sets the file's size: cuts it, or extends it with zeros without reserving space.
    fn set_size(&self, bytes: u64) -> Result<(), DiskError>;

    /// Makes the file's contents and size durable (`fdatasync`).
    fn sync(&self) -> Result<(), DiskError>;
}

/// A whole file, mapped for reading.
///
/// A byte that the device cannot give ends the process with a signal when it is used: there is
/// no error to return.
pub trait DiskMap: Debug + Send + Sync {
    /// The file's bytes.
    fn bytes(&self) -> &[u8];

    /// Asks the system to read ahead: these bytes will be used soon. What of the range lies
    /// beyond the file is ignored; a system that declines is none of the caller's concern.
    fn will_need(&self, range: Range<usize>);
}

/// An exclusive lock; released when dropped.
pub trait DiskLock: Debug + Send + Sync {
    /// Fails if the directory is not where it was locked: it was moved away, or is hidden by another.
    fn check(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// A disk operation that failed: what was done, to which path, and what the system said.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct DiskError {
    /// The operation, as one would say it: `write`, `sync`, `create`.
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the operating system answered.
    pub source: io::Error,
}

impl DiskError {
    /// Whether the cause is a full disk or an exhausted quota.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// The kind of the operating system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// Writes a small file so that after a crash at any moment it is either the old or the new one,
/// whole: temporary name, sync, rename, sync of the directory.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let temporary = path.with_extension("tmp");
    let dir = path.parent().expect("a file of the store lies in a directory");
    remove_if_there(disk, &temporary)?;
    let file = disk.create(&temporary)?;
    file.write_all_at(0, bytes)?;
    // Synced before the rename: the new name must never point at bytes that are not there.
    file.sync()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(dir)
}

/// Removes a file's name; a missing one is no error.
pub fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads a whole small file; one larger than `bytes_max` is an error of kind `InvalidData`.
pub fn read_file(disk: &dyn Disk, path: &Path, bytes_max: u64) -> Result<Vec<u8>, DiskError> {
    let file = disk.open(path, Access::Read)?;
    let size = file.size()?;
    if size > bytes_max {
        return Err(DiskError {
            operation: "read",
            path: path.to_path_buf(),
            source: io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{size} bytes, expected at most {bytes_max}"),
            ),
        });
    }
    let mut bytes = vec![0; size as usize];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
