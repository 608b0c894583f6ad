//! The log: segments of entries, appended and synced one entry at a time.
//!
//! Invariants: one entry is written and synced before the next is written. An entry never spans
//! segments. After the first failure nothing is written any more. A recovered segment is never
//! appended to. The order of a roll is that of FORMAT.md section 7.

mod filling;
pub(crate) mod identity;
mod listing;
mod maker;
mod manifest;
pub(crate) mod names;
mod open;
pub(crate) mod proven;
mod read_ahead;
pub(crate) mod reader;
pub(crate) mod replay;
pub(crate) mod scan;
pub(crate) mod segment;
mod standby;
mod tail;
mod tail_cache;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;

pub(crate) use filling::{Filling, PIECE_BYTES};
pub use identity::{FORMAT_VERSION, Identity};
pub(crate) use listing::{Listing, ListingError};
pub(crate) use maker::SegmentMaker;
pub use manifest::{ListedSegment, Manifest, Sealed};
pub(crate) use manifest::{ManifestReserve, PAGE_BYTES, is_intact, pages};
pub use names::SegmentName;
pub(crate) use open::{Known, OpenedLog, find, lock_new, lock_to_look, look_at, read_manifest};
pub(crate) use segment::{PreparedSegment, new_salt};
pub use segment::{SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader};
pub(crate) use tail::{NextSegment, Place, SEGMENT_AGE_MS_MAX, SEGMENT_SPAN_MS_MAX, Tail};

use crate::broken::{Mistake, makes};
use crate::counters::Counters;
use crate::disk::{Disk, DiskError, PageWriter};
use crate::entry::{EntryBuilder, Stated};
use crate::ids::{Epoch, Position, StoreId};
use crate::location::Segment;
use crate::options::Options;
use crate::time::LogTime;
use reader::Reader;

/// An entry that has its place and waits to be written.
#[derive(Debug)]
pub(crate) struct ClosedEntry {
    /// Where it goes.
    pub(crate) place: Place,
    /// When it was closed.
    pub(crate) log_time: LogTime,
    /// Its records, not all of them sealed yet.
    pub(crate) records: EntryBuilder,
    /// Whether somebody waits for it to be written, before it is synced.
    pub(crate) tells_written: bool,
}

/// The log's files, open for appending.
#[derive(Debug)]
pub(crate) struct Log {
    /// Holds the lock.
    disk: Arc<dyn Disk>,
    data: PathBuf,
    store: StoreId,
    epoch: Epoch,
    listing: Listing,
    /// The segment that is appended to.
    active: Arc<Segment>,
    /// Its size.
    capacity: u64,
    /// Where its last entry ends.
    end: u64,
    durable: Position,
    writer: PageWriter,
    reader: Reader,
    counters: Arc<Counters>,
}

/// An entry that is durable.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) position: Position,
    /// Memory for another entry.
    pub(crate) spare: Option<BytesMut>,
}

impl Log {
    /// Seals, writes and syncs an entry; rolls first where its place says so. When this returns
    /// the entry is durable. After an error the log must not be used again: what the disk holds
    /// is known only after a restart.
    ///
    /// `on_written` is called between the two, if anybody waits for that.
    pub(crate) fn append(
        &mut self,
        entry: ClosedEntry,
        on_written: impl FnOnce(),
    ) -> Result<Appended, DiskError> {
        let ClosedEntry { place, log_time, records, tells_written } = entry;
        let Place { position, segment, offset, roll } = place;
        if let Some(prepared) = roll {
            self.roll(prepared, segment.clone())?;
        }
        assert!(Arc::ptr_eq(&segment, &self.active), "a new segment comes with a roll");
        assert_eq!(offset, self.end, "entries are written in the order of their places");
        assert_eq!(position, self.durable.next(), "an entry is synced before the next");
        let stated = Stated { position, durable: self.durable, log_time };
        let (mut buffer, start) = records.seal(segment.salt, stated);
        let file = &*segment.file;
        let written = self.writer.append(file, offset, &mut buffer, start, self.capacity);
        let written = written.and_then(|()| {
            if tells_written {
                on_written();
            }
            match segment.file.sync() {
                _ if makes(Mistake::EntryNotSynced) => Ok(()),
                Err(_) if makes(Mistake::FailedSyncRetried) => segment.file.sync(),
                synced => synced,
            }
        });
        // The file was opened under the name that it had while it was prepared.
        written.map_err(|error| DiskError { path: segment.path.clone(), ..error })?;
        let entry_bytes = (buffer.len() - start) as u64;
        self.end += entry_bytes;
        self.durable = position;
        self.counters.log_bytes_written.add(entry_bytes);
        let kept = self.reader.keep(segment.first, offset, buffer, start);
        self.counters.tail_cache_bytes.set(kept.bytes);
        Ok(Appended { position, spare: kept.spare })
    }

    fn roll(&mut self, prepared: PreparedSegment, next: Arc<Segment>) -> Result<(), DiskError> {
        let (capacity, is_standby) = (prepared.capacity(), prepared.is_standby());
        prepared.activate(&*self.disk, &next, self.store, self.epoch)?;
        if is_standby {
            self.counters.signals.has_standby.set(false);
            self.counters.standby_rolls.add(1);
        }
        let sealed = Sealed { bytes: self.end, last: self.durable };
        if makes(Mistake::CutBeforeListed) {
            self.active.file.set_size(self.end)?;
            self.active.file.sync()?;
        }
        self.listing.change_at_roll(|manifest| {
            let old = manifest.segments.last_mut().expect("a log has an active segment");
            old.sealed = Some(sealed);
            manifest.segments.push(listed_active(&next, capacity));
        })?;
        // The manifest says where the old segment ends: what was reserved behind it is given back.
        self.active.file.set_size(self.end)?;
        self.active = next;
        self.capacity = capacity;
        self.end = SEGMENT_HEADER_BYTES;
        Ok(())
    }

    /// The list of segments.
    pub(crate) fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Makes the segments that are rolled to.
    pub(crate) fn maker(&self, options: &Options) -> SegmentMaker {
        let (disk, listing, data) = (self.disk.clone(), self.listing.clone(), self.data.clone());
        SegmentMaker::new(disk, listing, data, options, self.counters.clone())
    }

    /// The store's id.
    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    /// The epoch of this opening.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The disk.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Reads what is written here.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }
}

fn listed_active(segment: &Segment, capacity: u64) -> ListedSegment {
    let Segment { first, generation, salt, .. } = *segment;
    ListedSegment { first, generation, salt, sealed: None, pages: pages(capacity) }
}
