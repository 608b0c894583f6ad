//! The manifest of an open store, which two threads change: the log's writer when it rolls, the
//! compactor when it swaps segments. One change at a time, and each is durable when it returns.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::manifest::{Manifest, ManifestReserve};
use super::names;
use crate::disk::{Disk, DiskError};

/// The manifest, shared.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    manifest: Arc<Mutex<Manifest>>,
}

/// Why the manifest was not replaced.
#[derive(Debug)]
pub(crate) enum ListingError {
    /// It is as it was.
    NotChanged(DiskError),
    /// It is unknown which of the two is on the disk.
    Unknown(DiskError),
}

impl From<ListingError> for DiskError {
    fn from(error: ListingError) -> Self {
        let (ListingError::NotChanged(error) | ListingError::Unknown(error)) = error;
        error
    }
}

impl Listing {
    pub(super) fn new(disk: Arc<dyn Disk>, data: PathBuf, manifest: Manifest) -> Self {
        Self { disk, data, manifest: Arc::new(Mutex::new(manifest)) }
    }

    /// Replaces the manifest on disk by a changed one, in the space reserved for it.
    pub(crate) fn change(
        &self,
        reserve: &ManifestReserve,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<(), ListingError> {
        self.replace(self.lock(), reserve, change)
    }

    /// The same with one segment more, in the space that `MANIFEST.tmp` has. It is taken by that name, under the
    /// lock: what is rolled to may have been made before another roll, and that used up what was there then.
    pub(super) fn change_at_roll(
        &self,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<(), ListingError> {
        let manifest = self.lock();
        let reserve = self.reserve(&manifest).map_err(ListingError::NotChanged)?;
        self.replace(manifest, &reserve, change)
    }

    fn replace(
        &self,
        mut manifest: MutexGuard<'_, Manifest>,
        reserve: &ManifestReserve,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<(), ListingError> {
        let mut changed = manifest.clone();
        change(&mut changed);
        changed.fill(reserve).map_err(ListingError::NotChanged)?;
        reserve.install(&*self.disk, &self.data).map_err(ListingError::Unknown)?;
        *manifest = changed;
        Ok(())
    }

    /// Makes sure of the space for a roll. Not while one is under way: what has that name then is about to
    /// become the manifest.
    pub(super) fn keep_reserve(&self) -> Result<(), DiskError> {
        self.reserve(&self.lock()).map(drop)
    }

    fn reserve(&self, manifest: &Manifest) -> Result<ManifestReserve, DiskError> {
        let path = names::manifest_reserve(&self.data);
        ManifestReserve::keep(&*self.disk, &path, manifest.bytes_with_one_more())
    }

    /// What a manifest with one segment more than there are now takes.
    pub(crate) fn bytes_with_one_more(&self) -> u64 {
        self.lock().bytes_with_one_more()
    }

    fn lock(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
