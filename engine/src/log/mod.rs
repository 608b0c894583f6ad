//! The log: segments of entries, appended and synced one entry at a time.
//!
//! Invariants: one entry is written and synced before the next is written. An entry never spans
//! segments. After the first failure nothing is written any more. A recovered segment is never
//! appended to. The order of a roll is that of FORMAT.md section 4.

pub(crate) mod identity;
mod manifest;
pub(crate) mod names;
mod open;
pub(crate) mod reader;
pub(crate) mod replay;
mod scan;
pub(crate) mod segment;
mod tail;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;

pub use identity::{FORMAT_VERSION, Identity};
pub use manifest::{ListedSegment, Manifest};
pub(crate) use open::{OpenedLog, look_at, open, read_manifest};
pub use segment::{SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader};
pub use tail::{NextSegment, Place, Tail};

use crate::checksum::Salt;
use crate::disk::{Disk, DiskError, DiskFile, DiskLock};
use crate::entry::seal_entry;
use crate::ids::{Epoch, Position, StoreId};
use crate::time::LogTime;
use reader::Reader;
use segment::{PreparedSegment, Segment, new_salt};

pub(crate) use segment::PreparedSegment as Prepared;

/// An entry that has its place and waits to be written.
#[derive(Debug)]
pub struct ClosedEntry {
    /// Where it goes.
    pub place: Place,
    /// When it was closed.
    pub log_time: LogTime,
    /// Room for the header, then the records, not yet sealed.
    pub buffer: BytesMut,
    /// How many records.
    pub records: u32,
}

/// The log's files, open for appending.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    manifest: Manifest,
    active: Active,
    durable: Position,
    reader: Reader,
    prepared: Option<PreparedSegment>,
    /// Held as long as the log is open.
    _lock: Box<dyn DiskLock>,
}

/// The segment that is appended to.
#[derive(Debug)]
struct Active {
    file: Arc<dyn DiskFile>,
    salt: Salt,
    /// Where its last entry ends.
    end: u64,
}

impl Log {
    /// Gives the log its next segment, to roll to.
    pub(crate) fn set_prepared(&mut self, prepared: PreparedSegment) {
        self.prepared = Some(prepared);
    }

    /// Seals, writes and syncs an entry; rolls first where its place says so. When this returns
    /// the entry is durable. After an error the log must not be used again: what the disk holds
    /// is known only after a restart.
    pub(crate) fn append(&mut self, entry: ClosedEntry) -> Result<Position, DiskError> {
        let ClosedEntry { place, log_time, mut buffer, records } = entry;
        if place.roll {
            self.roll(place)?;
        }
        assert_eq!(
            place.offset, self.active.end,
            "entries are written in the order of their places"
        );
        assert_eq!(place.position, self.durable.next(), "an entry is synced before the next");
        seal_entry(&mut buffer, self.active.salt, place.position, self.durable, log_time, records);
        let file = &self.active.file;
        let written = file.write_all_at(place.offset, &buffer).and_then(|()| file.sync());
        // The file was opened under the name that it had while it was prepared.
        let path = || names::segment(&self.data, place.segment);
        written.map_err(|error| DiskError { path: path(), ..error })?;
        self.active.end += buffer.len() as u64;
        self.durable = place.position;
        self.reader.keep(place.segment, place.offset, buffer.freeze());
        Ok(self.durable)
    }

    fn roll(&mut self, place: Place) -> Result<(), DiskError> {
        let prepared = self.prepared.take().expect("a roll is placed only when a segment is ready");
        let sealed = self.manifest.segments.last_mut().expect("a log has an active segment");
        sealed.sealed_bytes = Some(self.active.end);
        let (old, end) = (self.active.file.clone(), self.active.end);
        self.active = begin_segment(
            &*self.disk,
            &self.data,
            &mut self.manifest,
            &self.reader,
            prepared,
            place.position,
            place.segment_created,
        )?;
        // The manifest says where the old segment ends: what was reserved behind it is given back.
        old.set_size(end)?;
        Ok(())
    }

    /// What is to be prepared next: a segment, and space for the manifest that lists it too.
    pub(crate) fn manifest_bytes(&self) -> u64 {
        self.manifest.bytes_with_one_more()
    }

    /// The store's id.
    pub(crate) fn store(&self) -> StoreId {
        self.manifest.store
    }

    /// The epoch of this opening.
    pub(crate) fn epoch(&self) -> Epoch {
        self.manifest.epoch
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

/// Makes `prepared` the active segment: named, listed, readable.
fn begin_segment(
    disk: &dyn Disk,
    data: &Path,
    manifest: &mut Manifest,
    reader: &Reader,
    prepared: PreparedSegment,
    first: Position,
    created: LogTime,
) -> Result<Active, DiskError> {
    let salt = new_salt(&names::segment(data, first))?;
    let header = SegmentHeader {
        store: manifest.store,
        first,
        salt,
        epoch: manifest.epoch,
        created,
        capacity: prepared.capacity,
    };
    let file = prepared.activate(disk, data, &header, manifest)?;
    reader.add_segment(first, Segment { salt, file: file.clone() });
    Ok(Active { file, salt, end: SEGMENT_HEADER_BYTES })
}
