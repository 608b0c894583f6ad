//! Writing a snapshot, part by part.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::appending::{Appending, disk_error};
use super::header::{HEADER_BYTES, SnapshotHeader, VERSION};
use super::part::{self, PART_HEADER_BYTES};
use super::{Kept, names};
use crate::broken::{Mistake, makes};
use crate::disk::{Disk, DiskError, remove_if_there};
use crate::ids::{Position, QueueId, StoreId};
use crate::state::frozen::FrozenQueue;
use crate::time::LogTime;

/// A snapshot that is being written, under a temporary name. Dropped before it is finished, it
/// leaves nothing behind that anybody would read.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    store: StoreId,
    position: Position,
    out: Appending,
    parts: u32,
    /// The greatest position of a part.
    newest: Position,
    /// The queue of the last part.
    last: QueueId,
    is_whole: bool,
    has_its_name: bool,
}

impl SnapshotWriter {
    /// Begins a snapshot whose parts contain every entry up to `position`. What an earlier one
    /// left unfinished is removed.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        data: &Path,
        store: StoreId,
        position: Position,
    ) -> Result<Self, DiskError> {
        disk.create_dir(&names::dir(data))?;
        let path = names::unfinished(data);
        remove_if_there(&*disk, &path)?;
        let mut out = Appending::new(disk.create(&path)?);
        out.leave(HEADER_BYTES);
        Ok(Self {
            disk,
            data: data.to_path_buf(),
            store,
            position,
            out,
            parts: 0,
            newest: position,
            last: QueueId(0),
            is_whole: true,
            has_its_name: false,
        })
    }

    /// Writes a queue, frozen at the snapshot's position or later; queues come in the order of
    /// their numbers. Returns the bytes that it takes. After a failure the snapshot is useless.
    pub(crate) fn add(&mut self, part: &FrozenQueue) -> Result<u64, DiskError> {
        assert!(self.is_whole, "nothing is added after a failure");
        assert!(part.id > self.last, "queue {} is added behind {}", part.id, self.last);
        assert!(part.position >= self.position, "the part is older than the snapshot");
        self.is_whole = false;
        let start = self.out.bytes();
        self.out.leave(PART_HEADER_BYTES);
        self.out.begin_checksum(part::hasher(self.position, self.parts));
        part::encode(part, &mut self.out).map_err(disk_error)?;
        let bytes = self.out.bytes() - start;
        let header = part::encode_header(bytes - PART_HEADER_BYTES as u64, self.out.checksum());
        self.out.fill_in(start, &header)?;
        self.parts += 1;
        self.newest = self.newest.max(part.position);
        self.last = part.id;
        self.is_whole = true;
        Ok(bytes)
    }

    /// Gives the snapshot its name, durably. `through`: no part contains an entry behind it, and
    /// the caller knows it to be durable; `log_time`: the newest there; `last_queue`: the greatest
    /// number given to a queue there.
    pub(crate) fn finish(
        mut self,
        through: Position,
        log_time: LogTime,
        last_queue: QueueId,
    ) -> Result<Kept, DiskError> {
        assert!(self.is_whole, "nothing is finished after a failure");
        assert!(through >= self.newest, "a part is newer than the snapshot");
        assert!(last_queue >= self.last, "a queue has a number that was not given yet");
        let (store, position, parts) = (self.store, self.position, self.parts);
        let version = VERSION;
        let header =
            SnapshotHeader { version, store, position, through, log_time, last_queue, parts };
        self.out.fill_in(0, &header.encode())?;
        // Synced before the rename: the new name must never point at bytes that are not there.
        if !makes(Mistake::SnapshotNotSynced) {
            self.out.sync()?;
        }
        let name = names::snapshot(&self.data, position);
        self.disk.rename(&names::unfinished(&self.data), &name)?;
        self.has_its_name = true;
        self.disk.sync_dir(&names::dir(&self.data))?;
        Ok(Kept { position, bytes: self.out.bytes() })
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.has_its_name {
            // So that a full disk gets its space back now. What cannot be removed here is removed
            // when the next snapshot begins, and is in nobody's way until then.
            let _ = self.disk.remove(&names::unfinished(&self.data));
        }
    }
}
