//! The operating system's files.
//!
//! - A call that a signal interrupted, or that moved fewer bytes than asked, is continued. No
//!   other error is retried: after a failed `fdatasync` the kernel marks the lost pages as
//!   written, and the next one succeeds without them.
//! - Every descriptor is closed on exec, so no child keeps a lock alive.
//! - Paths are used as given; a handle keeps the file that it opened, whatever its name becomes.

mod durable;
mod lock;
mod map;
mod past_cache;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use self::durable::DurableReader;
use self::map::RealMap;
use self::past_cache::PastCache;
use super::{Access, Disk, DiskError, DiskFile, DiskLock, DiskMap, Reserved, fill_with_zeros};

/// The operating system's file system.
///
/// Files are made with mode 0640 and directories with 0750, less the process's umask.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    /// Also syncs the parent of the lowest directory that existed: a process killed between
    /// `mkdir` and `fsync` leaves a name that is visible but not durable, and only the next
    /// start can make it so.
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut missing = Vec::new();
        let mut existing = path;
        while !existing.as_os_str().is_empty() && !is_dir(existing)? {
            missing.push(existing);
            existing = parent(existing);
        }
        match self.sync_dir(parent(existing)) {
            Ok(()) => {}
            // Whoever may not read that parent was given the directory by someone else.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
        // From the top down, each made durable before the next: at most one name is ever unsynced.
        for dir in missing.into_iter().rev() {
            match retry_on_intr(|| rustix::fs::mkdir(dir, Mode::from_raw_mode(0o750))) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed("create directory", dir, errno)),
            }
            self.sync_dir(parent(dir))?;
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let names = fs::read_dir(dir).and_then(|entries| {
            // A name that is not UTF-8 is none of ours, but is shown as well as it can be.
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        });
        let mut names: Vec<String> = names.map_err(|source| failed("list", dir, source))?;
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let fd = open(path, flags).map_err(|errno| failed("create", path, errno))?;
        Ok(Arc::new(RealFile::new(path, fd)))
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>, DiskError> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        };
        let fd = open(path, flags).map_err(|errno| failed("open", path, errno))?;
        Ok(Arc::new(RealFile::new(path, fd)))
    }

    fn map(&self, path: &Path) -> Result<Arc<dyn DiskMap>, DiskError> {
        let map = RealMap::open(path).map_err(|source| failed("map", path, source))?;
        Ok(Arc::new(map))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        retry_on_intr(|| rustix::fs::rename(from, to))
            .map_err(|errno| failed("rename", from, errno))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        retry_on_intr(|| rustix::fs::unlink(path)).map_err(|errno| failed("remove", path, errno))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        open(dir, OFlags::RDONLY | OFlags::DIRECTORY)
            .and_then(|fd| retry_on_intr(|| rustix::fs::fsync(&fd)))
            .map_err(|errno| failed("sync directory", dir, errno))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        lock::lock(path).map(|lock| Box::new(lock) as Box<dyn DiskLock>)
    }
}

/// An open file.
#[derive(Debug)]
struct RealFile {
    path: PathBuf,
    fd: OwnedFd,
    durable: DurableReader,
    past_cache: PastCache,
}

impl DiskFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> Result<u64, DiskError> {
        size(&self.fd).map_err(|source| self.failed("read the size of", source))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        read_full(&self.fd, offset, buffer).map_err(|source| self.failed("read", source))
    }

    fn read_durable_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.durable
            .read(&self.path, &self.fd, offset, buffer)
            .map_err(|source| self.failed("read directly", source))
    }

    fn read_past_cache_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        match DurableReader::read_pages(&self.fd, offset, buffer) {
            Ok(None) => self.read_at(offset, buffer),
            Ok(Some(count)) => Ok(count),
            Err(source) => Err(self.failed("read directly", source)),
        }
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut written = 0;
        while written < bytes.len() {
            let count = retry_on_intr(|| {
                rustix::io::pwrite(&self.fd, &bytes[written..], offset + written as u64)
            });
            match count {
                Ok(0) => return Err(self.failed("write", io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(errno) => return Err(self.failed("write", errno.into())),
            }
        }
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> Result<Reserved, DiskError> {
        self.past_cache.open(&self.path, &self.fd).map_err(|source| self.failed("open", source))?;
        let flags = FallocateFlags::empty();
        match retry_on_intr(|| rustix::fs::fallocate(&self.fd, flags, 0, bytes)) {
            Ok(()) => Ok(Reserved::Unwritten),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                fill_with_zeros(self, &mut 0, bytes)?;
                Ok(Reserved::Written)
            }
            Err(errno) => Err(self.failed("reserve space for", errno.into())),
        }
    }

    fn write_past_cache_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let direct = self.past_cache.write(offset, bytes);
        let direct = direct.map_err(|source| self.failed("write directly", source))?;
        self.write_all_at(offset + direct as u64, &bytes[direct..])
    }

    fn shrink_unnamed(&self, bytes: u64) -> Result<(), DiskError> {
        let found = rustix::fs::fstat(&self.fd);
        let found = found.map_err(|errno| self.failed("look at", errno.into()))?;
        if found.st_nlink > 0 { Ok(()) } else { self.set_size(bytes) }
    }

    fn set_size(&self, bytes: u64) -> Result<(), DiskError> {
        // Whoever reserved it and cuts it writes no more.
        self.past_cache.close();
        retry_on_intr(|| rustix::fs::ftruncate(&self.fd, bytes))
            .map_err(|errno| self.failed("set the size of", errno.into()))
    }

    fn sync(&self) -> Result<(), DiskError> {
        retry_on_intr(|| rustix::fs::fdatasync(&self.fd))
            .map_err(|errno| self.failed("sync", errno.into()))
    }
}

impl RealFile {
    fn new(path: &Path, fd: OwnedFd) -> Self {
        let (durable, past_cache) = Default::default();
        Self { path: path.to_path_buf(), fd, durable, past_cache }
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> DiskError {
        failed(operation, &self.path, source)
    }
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o640)))
}

fn size(fd: &OwnedFd) -> io::Result<u64> {
    let bytes = rustix::fs::fstat(fd)?.st_size;
    u64::try_from(bytes).map_err(|_| io::Error::other(format!("a size of {bytes} bytes")))
}

fn read_full(fd: &OwnedFd, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        let rest = &mut buffer[read..];
        match retry_on_intr(|| rustix::io::pread(fd, &mut *rest, offset + read as u64))? {
            0 => break,
            count => read += count,
        }
    }
    Ok(read)
}

fn is_dir(path: &Path) -> Result<bool, DiskError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(failed("create directory", path, io::ErrorKind::NotADirectory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("create directory", path, error)),
    }
}

/// The directory that holds `path`'s name; the empty path is the working directory.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn failed(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> DiskError {
    DiskError { operation, path: path.to_path_buf(), source: source.into() }
}
