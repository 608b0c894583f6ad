//! The simulated disk as the engine sees it: the disk, its open files, its maps and its locks.
//!
//! A handle knows the process that opened it, and answers no other: after a crash or a kill each
//! of its operations fails, and closing it has no effect on the new process.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use rustix::io::Errno;

use super::fault::{Kind, stopped};
use super::names::Inode;
use super::state::State;
use super::{SimDisk, failed};
use crate::disk::{Access, Disk, DiskError, DiskFile, DiskLock, DiskMap};

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let result = self.state().create_dir(path);
        result.map_err(|source| failed("create directory", path, source))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let result = self.state().run(Kind::Look, |state| state.names.list(dir));
        result.map_err(|source| failed("list", dir, source))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.handle("create", Kind::Create, path, Access::Write, |state| state.create(path))
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.handle("open", Kind::Look, path, access, |state| state.names.file(path))
    }

    fn map(&self, path: &Path) -> Result<Arc<dyn DiskMap>, DiskError> {
        let mut state = self.state();
        let mapped = state.run(Kind::Read, |state| {
            let inode = state.names.file(path)?;
            let bytes = state.contents(inode)?.cache().to_vec();
            Ok((state.hold(inode)?, bytes))
        });
        let process = state.process;
        drop(state);
        let (inode, bytes) = mapped.map_err(|source| failed("map", path, source))?;
        Ok(Arc::new(SimMap { disk: self.clone(), process, inode, bytes }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let result = self.state().run(Kind::Create, |state| state.rename(from, to));
        result.map_err(|source| failed("rename", from, source))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let result = self.state().run(Kind::Other, |state| state.remove(path));
        result.map_err(|source| failed("remove", path, source))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let result = self.state().run(Kind::Other, |state| state.sync_dir(dir));
        result.map_err(|source| failed("sync directory", dir, source))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        let mut state = self.state();
        let inode = state.run(Kind::Other, |state| state.lock(path));
        let process = state.process;
        drop(state);
        let inode = inode.map_err(|source| failed("lock", path, source))?;
        Ok(Box::new(SimLock { disk: self.clone(), process, inode }))
    }

    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()> {
        match &mut self.state().salts {
            Some(salts) => salts.fill(buffer),
            None => getrandom::fill(buffer).map_err(|error| io::Error::other(error.to_string()))?,
        }
        Ok(())
    }
}

impl SimDisk {
    /// Runs an operation that finds or makes a file, and opens it.
    fn handle(
        &self,
        operation: &'static str,
        kind: Kind,
        path: &Path,
        access: Access,
        find: impl FnOnce(&mut State) -> io::Result<Inode>,
    ) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut state = self.state();
        let inode = state.run(kind, |state| {
            let inode = find(state)?;
            state.hold(inode)
        });
        let inode = inode.map_err(|source| failed(operation, path, source))?;
        let (disk, path) = (self.clone(), path.to_path_buf());
        Ok(Arc::new(SimFile { disk, process: state.process, inode, path, access }))
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    process: u64,
    inode: Inode,
    path: PathBuf,
    access: Access,
}

impl DiskFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> Result<u64, DiskError> {
        self.run("read the size of", |state| {
            if state.stopped {
                return Err(stopped());
            }
            Ok(state.contents(self.inode)?.cache().size())
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.run("read", |state| {
            state.run(Kind::Read, |state| state.contents(self.inode)?.read(offset, buffer))
        })
    }

    fn read_durable_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.run("read directly", |state| {
            state.run(Kind::Read, |state| state.contents(self.inode)?.read_durable(offset, buffer))
        })
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.run("write", |state| {
            self.writable(Errno::BADF)?;
            state.write(self.inode, offset, bytes)
        })
    }

    fn set_size(&self, bytes: u64) -> Result<(), DiskError> {
        self.run("set the size of", |state| {
            self.writable(Errno::INVAL)?;
            state.run(Kind::Other, |state| state.set_size(self.inode, bytes))
        })
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.run("sync", |state| state.sync(self.inode))
    }
}

impl SimFile {
    fn run<T>(
        &self,
        operation: &'static str,
        action: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let mut state = self.disk.state();
        let result = if state.process == self.process {
            action(&mut state)
        } else {
            Err(io::Error::other("the handle is from before the crash"))
        };
        result.map_err(|source| failed(operation, &self.path, source))
    }

    fn writable(&self, otherwise: Errno) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(otherwise.into()),
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Some(mut state) = alive(&self.disk, self.process) {
            state.release(self.inode);
        }
    }
}

/// A mapped file of a simulated disk: a copy of its bytes. The file occupies its space until the
/// map is dropped.
struct SimMap {
    disk: SimDisk,
    process: u64,
    inode: Inode,
    bytes: Vec<u8>,
}

impl DiskMap for SimMap {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn will_need(&self, _range: Range<usize>) {}
}

impl fmt::Debug for SimMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimMap").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Drop for SimMap {
    fn drop(&mut self) {
        if let Some(mut state) = alive(&self.disk, self.process) {
            state.release(self.inode);
        }
    }
}

/// A held lock of a simulated disk.
#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    process: u64,
    inode: Inode,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        if let Some(mut state) = alive(&self.disk, self.process) {
            state.unlock(self.inode);
        }
    }
}

/// The disk's state, if the process still runs.
fn alive(disk: &SimDisk, process: u64) -> Option<MutexGuard<'_, State>> {
    let state = disk.state();
    (state.process == process).then_some(state)
}
