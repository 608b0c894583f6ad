//! The segment that a compaction writes, or a repair.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;

use crate::broken::{Mistake, makes};
use crate::checksum::Salt;
use crate::core::sent_slots;
use crate::disk::{Disk, DiskError, DiskFile};
use crate::entry::{EntryBuilder, EntryHeader, entry_bytes, seal_entry};
use crate::ids::{Epoch, Position, StoreId};
use crate::index::HeapIndex;
use crate::location::Segment;
use crate::log::{SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader, names, new_salt};
use crate::time::LogTime;

/// Written at once.
const WRITE_BYTES: usize = 64 << 10;

/// What the new segment is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) store: StoreId,
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) generation: u32,
    pub(crate) created: LogTime,
}

/// The segment while it is written.
#[derive(Debug)]
pub(crate) struct Output {
    /// What it is written into, and the name that this has until then.
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    identity: Identity,
    salt: Salt,
    index: HeapIndex,
    bytes_max: u64,
    named: Option<PathBuf>,
    /// Behind the last byte that was written.
    written: u64,
    buffer: BytesMut,
    /// The newest entry, to which something may be added yet.
    newest: Option<(EntryHeader, EntryBuilder)>,
}

impl Output {
    pub(crate) fn new(
        disk: &dyn Disk,
        file: Arc<dyn DiskFile>,
        path: PathBuf,
        identity: Identity,
    ) -> Result<Self, DiskError> {
        let salt = new_salt(disk, &path)?;
        Ok(Self {
            file,
            path,
            identity,
            salt,
            index: HeapIndex::default(),
            bytes_max: SEGMENT_BYTES_MAX,
            named: None,
            written: SEGMENT_HEADER_BYTES,
            buffer: BytesMut::new(),
            newest: None,
        })
    }

    /// A segment that is to have no more bytes than this.
    pub(crate) fn at_most(self, bytes: u64) -> Self {
        Self { bytes_max: bytes.min(SEGMENT_BYTES_MAX), ..self }
    }

    /// Adds an entry with these records. One without any is left out.
    pub(crate) fn add(
        &mut self,
        header: &EntryHeader,
        records: EntryBuilder,
    ) -> Result<u64, DiskError> {
        if records.is_empty() {
            return Ok(0);
        }
        let before = self.newest.replace((*header, records));
        match before {
            Some((header, records)) => self.write(&header, records),
            None => Ok(0),
        }
    }

    /// Whether an entry with these records fits the segment.
    pub(crate) fn has_room(&self, records: &EntryBuilder) -> bool {
        let newest = self.newest.as_ref().map_or(0, |(_, records)| records.body_bytes());
        let entries = [newest, records.body_bytes()].map(|bytes| entry_bytes(bytes as u64));
        let bytes = self.written + self.buffer.len() as u64 + entries.iter().sum::<u64>();
        bytes <= self.bytes_max
    }

    fn write(&mut self, header: &EntryHeader, records: EntryBuilder) -> Result<u64, DiskError> {
        let offset = self.written + self.buffer.len() as u64;
        let mut control_bytes = records.body_bytes();
        let times = (header.log_time, self.identity.created);
        for message in sent_slots(offset, times, records.body()) {
            control_bytes -= message.slot.bytes as usize;
            self.index.add(message);
        }
        self.index.add_control(control_bytes as u64);
        let (mut entry, count) = records.finish();
        let EntryHeader { position, durable, log_time, .. } = *header;
        seal_entry(&mut entry, self.salt, position, durable, log_time, count);
        self.buffer.extend_from_slice(&entry);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(0) }
    }

    fn flush(&mut self) -> Result<u64, DiskError> {
        let bytes = self.buffer.len() as u64;
        self.file.write_all_at(self.written, &self.buffer)?;
        self.buffer.clear();
        self.written += bytes;
        Ok(bytes)
    }

    /// Ends the segment: what `rest` writes goes into its last entry, then the file gets its
    /// header and its name. It is durable when this returns, and listed nowhere yet.
    pub(crate) fn finish(
        &mut self,
        disk: &dyn Disk,
        data: &Path,
        log_time: LogTime,
        rest: EntryBuilder,
    ) -> Result<(Arc<Segment>, u64), DiskError> {
        if !rest.is_empty() {
            let last = self.identity.last;
            let is_last = matches!(&self.newest, Some((header, _)) if header.position == last);
            if !is_last {
                self.add(&EntryHeader::without_body(last, log_time), rest)?;
            } else if let Some((_, records)) = &mut self.newest {
                records.extend(&rest);
            }
        }
        if let Some((header, records)) = self.newest.take() {
            self.write(&header, records)?;
        }
        self.flush()?;
        let Identity { store, first, generation, created, .. } = self.identity;
        let (salt, capacity) = (self.salt, self.written);
        let header =
            SegmentHeader { store, first, generation, salt, epoch: Epoch(0), created, capacity };
        let file = &self.file;
        file.write_all_at(0, &header.encode())?;
        file.set_size(self.written)?;
        if !makes(Mistake::CompactedNotSynced) {
            file.sync()?;
        }
        let path = names::segment(data, header.name());
        disk.rename(&self.path, &path)?;
        self.named = Some(path.clone());
        disk.sync_dir(&names::log_dir(data))?;
        Ok((header.segment(file.clone(), path), self.written))
    }

    /// The segment's name, from when it has it.
    pub(crate) fn named(&self) -> Option<&Path> {
        self.named.as_deref()
    }

    /// Where the next bytes go.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// The messages that it holds.
    pub(crate) fn take_index(&mut self) -> HeapIndex {
        std::mem::take(&mut self.index)
    }
}
