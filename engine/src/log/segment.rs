//! Segments: the files that entries are in (FORMAT.md section 3), from preparation to sealing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::filling::Filling;
use super::manifest::{ListedSegment, newer_version, whole_crc};
use super::names::{self, SegmentName};
use crate::broken::{Mistake, makes};
use crate::checksum::Salt;
use crate::codec::Fields;
use crate::disk::{Disk, DiskError, DiskFile, remove_if_there};
pub use crate::entry::SEGMENT_HEADER_BYTES;
use crate::error::{Damage, OpenError};
use crate::ids::{Epoch, Position, StoreId};
use crate::location::Segment;
pub use crate::options::SEGMENT_BYTES_MAX;
use crate::time::LogTime;

const MAGIC: [u8; 8] = *b"FOREBAYL";

/// The version of what the log writes.
const VERSION_WRITTEN: u32 = 1;

/// The version of what the compactor writes: with a generation, and gaps between positions.
const VERSION_COMPACTED: u32 = 2;

/// What a segment's header page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store.
    pub store: StoreId,
    /// The first entry's position.
    pub first: Position,
    /// 0 as the log wrote it; counted up by the compactor.
    pub generation: u32,
    /// Seeds every checksum in the segment.
    pub salt: Salt,
    /// The opening that made it.
    pub epoch: Epoch,
    /// When.
    pub created: LogTime,
    /// The bytes reserved for it.
    pub capacity: u64,
}

impl SegmentHeader {
    /// The header page.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(SEGMENT_HEADER_BYTES as usize);
        page.extend_from_slice(&MAGIC);
        page.extend_from_slice(&self.version().to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.extend_from_slice(self.store.0.as_bytes());
        page.extend_from_slice(&self.first.0.to_le_bytes());
        page.extend_from_slice(&self.salt.0.to_le_bytes());
        page.extend_from_slice(&self.epoch.0.to_le_bytes());
        page.extend_from_slice(&self.generation.to_le_bytes());
        page.extend_from_slice(&self.created.0.to_le_bytes());
        page.extend_from_slice(&self.capacity.to_le_bytes());
        page.resize(SEGMENT_HEADER_BYTES as usize, 0);
        let crc = whole_crc(&page);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
        page
    }

    /// Decodes any bytes to a header or a sentence on what is wrong with them.
    pub fn decode(page: &[u8]) -> Result<Self, String> {
        if page.len() != SEGMENT_HEADER_BYTES as usize {
            let bytes = page.len();
            return Err(format!("not a segment: {bytes} bytes, expected {SEGMENT_HEADER_BYTES}"));
        }
        let mut fields = Fields::new(page);
        let parts = (|| {
            let magic = fields.array::<8>()?;
            let (version, crc) = (fields.u32()?, fields.u32()?);
            let store = StoreId(uuid::Uuid::from_bytes(fields.array()?));
            let (first, salt) = (Position(fields.u64()?), Salt(fields.u64()?));
            let (epoch, generation) = (Epoch(fields.u32()?), fields.u32()?);
            let (created, capacity) = (LogTime(fields.u64()?), fields.u64()?);
            let header = Self { store, first, generation, salt, epoch, created, capacity };
            Some((magic, version, crc, header))
        })();
        let (magic, version, found, header) = parts.expect("a page holds a header");
        if magic != MAGIC {
            return Err(format!("not a segment: magic {magic:02x?}, expected {MAGIC:02x?}"));
        }
        let expected = whole_crc(page);
        if found != expected {
            return Err(format!("segment header checksum {found:08x}, expected {expected:08x}"));
        }
        if version != header.version() {
            let (generation, expected) = (header.generation, header.version());
            return Err(format!(
                "segment version {version} of generation {generation}, expected {expected}"
            ));
        }
        if header.first > Position::MAX {
            let (first, max) = (header.first, Position::MAX);
            return Err(format!("segment begins with entry {first}, expected at most {max}"));
        }
        if header.epoch > Epoch::MAX {
            return Err(format!("segment epoch {}, expected at most {}", header.epoch, Epoch::MAX));
        }
        Ok(header)
    }

    fn version(&self) -> u32 {
        if self.generation == 0 { VERSION_WRITTEN } else { VERSION_COMPACTED }
    }

    /// What the manifest says of a segment whose header page is not what was written, and whose file has
    /// so many bytes.
    pub(super) fn as_listed(store: StoreId, listed: &ListedSegment, capacity: u64) -> Self {
        let ListedSegment { first, generation, salt, .. } = *listed;
        let (epoch, created) = (Epoch(0), LogTime(0));
        Self { store, first, generation, salt, epoch, created, capacity }
    }

    /// Whether it is not what stands in the file: no opening has the number 0.
    pub(super) fn is_as_listed(&self) -> bool {
        self.generation == 0 && self.epoch == Epoch(0)
    }

    /// Its file's name.
    pub(crate) fn name(&self) -> SegmentName {
        SegmentName { first: self.first, generation: self.generation }
    }

    /// The segment as its readers hold it.
    pub(crate) fn segment(&self, file: Arc<dyn DiskFile>, path: PathBuf) -> Arc<Segment> {
        let Self { first, generation, salt, created, .. } = *self;
        Arc::new(Segment { first, generation, salt, created, path, file })
    }

    /// Reads the header page of `file` as the device holds it.
    pub(crate) fn read(file: &dyn DiskFile) -> Result<Self, OpenError> {
        let mut page = vec![0; SEGMENT_HEADER_BYTES as usize];
        let read = file.read_durable_at(0, &mut page)?;
        page.truncate(read);
        let path = file.path().to_path_buf();
        if let Some(found) = newer_version(&page, &MAGIC, VERSION_COMPACTED) {
            return Err(OpenError::FormatTooNew { path, found, supported: VERSION_COMPACTED });
        }
        Self::decode(&page).map_err(|detail| {
            let bytes = SEGMENT_HEADER_BYTES;
            Damage { path, offset: 0, bytes, position: None, detail }.into()
        })
    }
}

/// The next segment: reserved and synced, without a name of its own yet; and there is space for the manifest
/// that will list it. It may be filled with zeros as long as nobody rolls to it.
#[derive(Debug)]
pub(crate) struct PreparedSegment {
    pub(super) file: Arc<dyn DiskFile>,
    /// The name that it has until the log rolls to it.
    pub(super) path: PathBuf,
    pub(super) data: PathBuf,
    pub(super) salt: Salt,
    pub(super) capacity: u64,
    pub(super) filling: Filling,
}

impl PreparedSegment {
    /// Reserves `capacity` bytes and syncs them, and lets `keep_manifest` see to the manifest's: a full disk is found here, not mid-append.
    /// On failure the segment is removed, so that its space is free again.
    pub(crate) fn prepare(
        disk: &dyn Disk,
        data: &Path,
        capacity: u64,
        keep_manifest: impl FnOnce() -> Result<(), DiskError>,
    ) -> Result<Self, DiskError> {
        Self::discard(disk, data)?;
        keep_manifest()?;
        let path = names::prepared(data);
        let salt = new_salt(disk, &path)?;
        let file = disk.create(&path)?;
        let reserved = file.reserve(capacity).and_then(|reserved| {
            file.sync()?;
            Ok(reserved)
        });
        match reserved {
            Ok(reserved) => {
                let filling = Filling::new(file.clone(), reserved, capacity);
                let data = data.to_path_buf();
                Ok(Self { file, path, data, salt, capacity, filling })
            }
            Err(error) => {
                // The first error is the one to report; a file left over is removed next time.
                let _ = Self::discard(disk, data);
                Err(error)
            }
        }
    }

    /// The same, filled with zeros.
    pub(super) fn filled(self) -> Result<Self, DiskError> {
        self.filling.finish()?;
        Ok(self)
    }

    /// Fills it with zeros, as far as somebody has the time.
    pub(crate) fn filling(&self) -> Filling {
        self.filling.clone()
    }

    /// Removes the segment that was prepared, if any: a store that is closed needs none. The space
    /// for a manifest is kept: the next opening writes one.
    pub(crate) fn discard(disk: &dyn Disk, data: &Path) -> Result<(), DiskError> {
        remove_if_there(disk, &names::prepared(data))
    }

    /// Its size in bytes.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether it is the standby segment.
    pub(crate) fn is_standby(&self) -> bool {
        self.path == names::standby(&self.data)
    }

    /// Whether the log has rolled to it.
    pub(crate) fn is(&self, segment: &Segment) -> bool {
        Arc::ptr_eq(&self.file, &segment.file)
    }

    /// The segment that it becomes when the log rolls to it at `first`.
    pub(crate) fn segment(&self, first: Position, created: LogTime) -> Arc<Segment> {
        Arc::new(Segment {
            first,
            generation: 0,
            salt: self.salt,
            created,
            path: names::segment(&self.data, SegmentName::written(first)),
            file: self.file.clone(),
        })
    }

    /// Gives the segment its header and its name, durably and without needing space. What is left
    /// to do is to list it in a manifest, for which there is space now.
    pub(super) fn activate(
        self,
        disk: &dyn Disk,
        segment: &Segment,
        store: StoreId,
        epoch: Epoch,
    ) -> Result<(), DiskError> {
        self.filling.end()?;
        let Segment { first, generation, salt, created, .. } = *segment;
        let capacity = self.capacity;
        let header = SegmentHeader { store, first, generation, salt, epoch, created, capacity };
        self.file.write_all_at(0, &header.encode())?;
        if !makes(Mistake::SegmentHeaderNotSynced) {
            self.file.sync()?;
        }
        disk.rename(&self.path, &segment.path)?;
        if !makes(Mistake::SegmentNameNotSynced) {
            disk.sync_dir(&names::log_dir(&self.data))?;
        }
        Ok(())
    }
}

/// A salt for the segment at `path`.
pub(crate) fn new_salt(disk: &dyn Disk, path: &Path) -> Result<Salt, DiskError> {
    let mut salt = [0; 8];
    if makes(Mistake::SaltReused) {
        return Ok(Salt(7));
    }
    disk.fill_random(&mut salt).map_err(|source| DiskError {
        operation: "draw a random salt for",
        path: path.to_path_buf(),
        source,
    })?;
    Ok(Salt(u64::from_le_bytes(salt)))
}
