//! A segment that was compacted, until its space is given back.

use std::sync::Arc;

use crate::broken::{Mistake, makes};
use crate::disk::{Access, Disk, DiskFile};
use crate::upkeep::SealedSegment;

/// Given back in one step.
const STEP_BYTES: u64 = 8 << 20;

/// A segment whose file has no name any more, and who may still read it.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) sealed: SealedSegment,
    /// Its file, to be cut; `None` if it cannot be opened for that.
    file: Option<Arc<dyn DiskFile>>,
    bytes: u64,
}

impl Retired {
    /// A segment whose name is about to be removed.
    pub(super) fn new(disk: &dyn Disk, sealed: SealedSegment) -> Self {
        let file = disk.open(&sealed.segment.path, Access::Write).ok();
        let bytes = sealed.bytes;
        Self { sealed, file, bytes }
    }

    /// Whether nobody else holds it: no reader, and no index that leads to it.
    pub(crate) fn is_unread(&self) -> bool {
        Arc::strong_count(&self.sealed.segment) == 1 || makes(Mistake::CutUnderReaders)
    }

    /// Gives back some of its space; false when nothing is left.
    pub(crate) fn shrink(&mut self) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| self.bytes > 0) else { return false };
        self.bytes = self.bytes.saturating_sub(STEP_BYTES);
        // What cannot be cut goes when the file is closed.
        file.shrink_unnamed(self.bytes).is_ok()
    }
}
