//! The standby segment: to it the log rolls, for receives and deletes, when no other can be made, and on a disk
//! without any space it is the first segment of an opening.
//!
//! Invariants. It is there, whole and durably, before a next segment is made, so before anything is stored that
//! fills the disk further. It is kept while the store is closed, for nobody else must get its space. To roll to it
//! takes no space: it gets a header, a name, and a place in a manifest for which there is a file.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::filling::Filling;
use super::names;
use super::segment::{PreparedSegment, new_salt};
use crate::disk::{Access, Disk, DiskError, DiskFile, Reserved};
use crate::options::SEGMENT_BYTES_MIN;

/// On a full disk it grows by pieces, down to this size.
const PIECE_BYTES_MIN: u64 = 4 << 10;

/// The file, to be rolled to.
#[derive(Debug)]
pub(super) struct Standby {
    file: Arc<dyn DiskFile>,
    bytes: u64,
    filling: Filling,
}

impl Standby {
    /// What is there from before.
    pub(super) fn open(disk: &dyn Disk, data: &Path) -> Result<Option<Self>, DiskError> {
        let file = match disk.open(&names::standby(data), Access::Write) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let bytes = file.size()?;
        Ok(Some(Self::of(file, bytes, Reserved::Written)))
    }

    /// Makes one of `bytes`, or of as many as the disk has.
    pub(super) fn make(disk: &dyn Disk, data: &Path, bytes: u64) -> Result<Self, DiskError> {
        let file = disk.create(&names::standby(data))?;
        let reserved = file.reserve(bytes).and_then(|reserved| {
            file.sync()?;
            Ok(reserved)
        });
        let standby = match reserved {
            Ok(reserved) => Self::of(file, bytes, reserved),
            Err(error) if error.is_full() => {
                // A part of it may be reserved.
                file.set_size(0)?;
                let mut standby = Self::of(file, 0, Reserved::Written);
                standby.grow(bytes)?;
                standby
            }
            Err(error) => return Err(error),
        };
        disk.sync_dir(&names::log_dir(data))?;
        Ok(standby)
    }

    fn of(file: Arc<dyn DiskFile>, bytes: u64, reserved: Reserved) -> Self {
        Self { filling: Filling::new(file.clone(), reserved, bytes), file, bytes }
    }

    /// Takes more, up to `bytes`, or as much as there is. Whoever was given it before may use what it
    /// had then: that stays as it is.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), DiskError> {
        let mut piece = bytes.saturating_sub(self.bytes);
        // What is missing may be less than the smallest piece.
        while self.bytes < bytes && piece >= PIECE_BYTES_MIN.min(bytes - self.bytes) {
            let more = piece.min(bytes - self.bytes);
            let written = self.file.write_zeros(self.bytes, more).and_then(|()| self.file.sync());
            match written {
                Ok(()) => self.bytes += more,
                Err(error) if error.is_full() => {
                    self.file.set_size(self.bytes)?;
                    piece /= 2;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives back what is more than `bytes`. Only before anybody was given it.
    pub(super) fn cut(&mut self, bytes: u64) -> Result<(), DiskError> {
        if self.bytes > bytes {
            self.file.set_size(bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// How large it is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fills it with zeros, as far as somebody has the time.
    pub(super) fn filling(&self) -> Filling {
        self.filling.clone()
    }

    /// As a segment to roll to; `None` if it is too small for one.
    pub(super) fn prepared(
        &self,
        disk: &dyn Disk,
        data: &Path,
    ) -> Result<Option<PreparedSegment>, DiskError> {
        if self.bytes < SEGMENT_BYTES_MIN {
            return Ok(None);
        }
        let path = names::standby(data);
        let salt = new_salt(disk, &path)?;
        let (file, data, filling) = (self.file.clone(), data.to_path_buf(), self.filling());
        Ok(Some(PreparedSegment { file, path, data, salt, capacity: self.bytes, filling }))
    }
}
