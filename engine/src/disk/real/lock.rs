//! The lock of a directory: `flock`, which ends with the process.
//!
//! Two things are locked. The file tells who has it. The directory's own lock stands when somebody has
//! removed the file, and by it is known whether the path still leads there. Some network file systems cannot
//! lock a directory: there it is the file alone.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{failed, open, parent, read_full};
use crate::disk::{DiskError, DiskLock};

/// A held lock; closing the descriptors releases it.
#[derive(Debug)]
pub(super) struct RealLock {
    _file: OwnedFd,
    _dir: OwnedFd,
    path: PathBuf,
    /// The directory's device and number there.
    dir_id: (u64, u64),
}

impl DiskLock for RealLock {
    fn check(&self) -> Result<(), DiskError> {
        let dir = dir_of(&self.path);
        match retry_on_intr(|| rustix::fs::stat(dir)) {
            Ok(found) if (found.st_dev, found.st_ino) == self.dir_id => Ok(()),
            // Not the system's own kind: that a file is missing has a meaning of its own.
            Ok(_) => Err(failed("find", dir, not_there("another directory has its place"))),
            Err(errno) => Err(failed("find", dir, not_there(&io::Error::from(errno).to_string()))),
        }
    }
}

/// Takes the lock.
pub(super) fn lock(path: &Path) -> Result<RealLock, DiskError> {
    let file = match open(path, OFlags::CREATE | OFlags::RDWR) {
        // Whoever only looks needs no more than to read.
        Err(denied @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
            open(path, OFlags::RDONLY).map_err(|_| denied)
        }
        opened => opened,
    };
    let file = file.map_err(|errno| failed("lock", path, errno))?;
    let dir = open(dir_of(path), OFlags::RDONLY | OFlags::DIRECTORY);
    let dir = dir.map_err(|errno| failed("lock", path, errno))?;
    let lock = |fd: &OwnedFd| {
        retry_on_intr(|| rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive))
    };
    match lock(&file) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(failed("lock", path, held_elsewhere(&file))),
        Err(errno) => return Err(failed("lock", path, errno)),
    }
    match lock(&dir) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let text = "held by a process whose lock file was removed";
            return Err(failed("lock", path, io::Error::new(io::ErrorKind::WouldBlock, text)));
        }
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "the directory itself cannot be locked");
        }
    }
    if let Err(error) = write_process_id(&file) {
        // The lock is held all the same, and a store on a full disk must open to be drained.
        tracing::debug!(path = %path.display(), %error, "the lock file names no process");
    }
    let found = rustix::fs::fstat(&dir).map_err(|errno| failed("lock", path, errno))?;
    let (path, dir_id) = (path.to_path_buf(), (found.st_dev, found.st_ino));
    Ok(RealLock { _file: file, _dir: dir, path, dir_id })
}

fn dir_of(path: &Path) -> &Path {
    let dir = parent(path);
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

fn not_there(cause: &str) -> io::Error {
    io::Error::other(format!("the directory that is locked was moved away: {cause}"))
}

/// Written over what is there and cut afterwards, which needs no free space.
fn write_process_id(fd: &OwnedFd) -> io::Result<()> {
    let line = format!("{}\n", std::process::id());
    let count = retry_on_intr(|| rustix::io::pwrite(fd, line.as_bytes(), 0))?;
    Ok(retry_on_intr(|| rustix::fs::ftruncate(fd, count as u64))?)
}

fn held_elsewhere(fd: &OwnedFd) -> io::Error {
    let mut line = [0; 16];
    let count = read_full(fd, 0, &mut line).unwrap_or(0);
    let first_line = line[..count].split(|byte| *byte == b'\n').next();
    let holder = first_line.and_then(|digits| str::from_utf8(digits).ok()?.parse::<u32>().ok());
    let text = match holder {
        Some(process) => format!("held by process {process}"),
        None => "held by another process".to_owned(),
    };
    io::Error::new(io::ErrorKind::WouldBlock, text)
}
