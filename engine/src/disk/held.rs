//! A disk whose names are those of one directory, as long as the directory is where it was.
//!
//! Files are opened, renamed and removed by their paths. A directory that was moved away, or hidden by
//! another file system, leaves its paths to whatever comes in its place, which may be another store. So
//! before each use of a path it is checked that the lock of the store still lies there. Files that are open
//! stay what they are.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Access, Disk, DiskError, DiskFile, DiskLock, DiskMap};

/// Another disk, used in a locked directory.
#[derive(Debug)]
pub(crate) struct HeldDisk {
    disk: Arc<dyn Disk>,
    lock: Box<dyn DiskLock>,
}

impl HeldDisk {
    /// The lock is held as long as this disk is.
    pub(crate) fn new(disk: Arc<dyn Disk>, lock: Box<dyn DiskLock>) -> Self {
        Self { disk, lock }
    }

    fn held(&self) -> Result<&dyn Disk, DiskError> {
        self.lock.check()?;
        Ok(&*self.disk)
    }
}

impl Disk for HeldDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.held()?.create_dir(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        self.held()?.list(dir)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.held()?.create(path)
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.held()?.open(path, access)
    }

    fn map(&self, path: &Path) -> Result<Arc<dyn DiskMap>, DiskError> {
        self.held()?.map(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.held()?.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.held()?.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.held()?.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        self.held()?.lock(path)
    }

    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.fill_random(buffer)
    }
}
