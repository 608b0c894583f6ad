//! Segments: the files that entries are in (FORMAT.md section 3), from preparation to sealing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::identity::FORMAT_VERSION;
use super::manifest::{ListedSegment, Manifest, ManifestReserve, newer_version, whole_crc};
use super::names;
use crate::checksum::Salt;
use crate::codec::Fields;
use crate::disk::{Disk, DiskError, DiskFile, remove_if_there};
pub use crate::entry::SEGMENT_HEADER_BYTES;
use crate::error::{Damage, OpenError};
use crate::ids::{Epoch, Position, StoreId};
pub use crate::options::SEGMENT_BYTES_MAX;
use crate::time::LogTime;

const MAGIC: [u8; 8] = *b"FOREBAYL";

/// A segment that is filled is synced each time it has grown by so much.
const FILL_SYNC_BYTES: u64 = 4 << 20;

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// What a segment's header page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store.
    pub store: StoreId,
    /// The first entry's position.
    pub first: Position,
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
    fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(SEGMENT_HEADER_BYTES as usize);
        page.extend_from_slice(&MAGIC);
        page.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.extend_from_slice(self.store.0.as_bytes());
        page.extend_from_slice(&self.first.0.to_le_bytes());
        page.extend_from_slice(&self.salt.0.to_le_bytes());
        page.extend_from_slice(&self.epoch.0.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
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
            let (epoch, _zero) = (Epoch(fields.u32()?), fields.u32()?);
            let (created, capacity) = (LogTime(fields.u64()?), fields.u64()?);
            Some((magic, version, crc, Self { store, first, salt, epoch, created, capacity }))
        })();
        let (magic, version, found, header) = parts.expect("a page holds a header");
        if magic != MAGIC {
            return Err(format!("not a segment: magic {magic:02x?}, expected {MAGIC:02x?}"));
        }
        let expected = whole_crc(page);
        if found != expected {
            return Err(format!("segment header checksum {found:08x}, expected {expected:08x}"));
        }
        if version != FORMAT_VERSION {
            return Err(format!("segment version {version}, expected {FORMAT_VERSION}"));
        }
        Ok(header)
    }

    /// Reads the header page of `file` as the device holds it.
    pub(crate) fn read(file: &dyn DiskFile) -> Result<Self, OpenError> {
        let mut page = vec![0; SEGMENT_HEADER_BYTES as usize];
        let read = file.read_durable_at(0, &mut page)?;
        page.truncate(read);
        let path = file.path().to_path_buf();
        if let Some(found) = newer_version(&page, &MAGIC) {
            return Err(OpenError::FormatTooNew { path, found, supported: FORMAT_VERSION });
        }
        Self::decode(&page).map_err(|detail| {
            let bytes = SEGMENT_HEADER_BYTES;
            Damage { path, offset: 0, bytes, position: None, detail }.into()
        })
    }
}

/// A segment that can be read: shared by all readers, and kept by them while they read.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) salt: Salt,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// The next segment: reserved, filled with zeros and synced, without a name of its own yet; and
/// space for the manifest that will list it.
#[derive(Debug)]
pub(crate) struct PreparedSegment {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    manifest: ManifestReserve,
    pub(crate) capacity: u64,
}

impl PreparedSegment {
    /// Writes `capacity` zeros and syncs them: an append into blocks that were written before
    /// costs half of one into fresh ones, and a full disk is found here, not mid-append.
    /// On failure the segment is removed, so that its space is free again.
    pub(crate) fn prepare(
        disk: &dyn Disk,
        data: &Path,
        capacity: u64,
        manifest_bytes: u64,
    ) -> Result<Self, DiskError> {
        Self::discard(disk, data)?;
        let manifest = ManifestReserve::make(disk, data, manifest_bytes)?;
        let path = names::prepared(data);
        let file = disk.create(&path)?;
        match fill(&*file, capacity) {
            Ok(()) => Ok(Self { file, path, manifest, capacity }),
            Err(error) => {
                // The first error is the one to report; a file left over is removed next time.
                let _ = Self::discard(disk, data);
                Err(error)
            }
        }
    }

    /// Removes the segment that was prepared, if any: a store that is closed needs none. The space
    /// for a manifest is kept: the next opening writes one.
    pub(crate) fn discard(disk: &dyn Disk, data: &Path) -> Result<(), DiskError> {
        remove_if_there(disk, &names::prepared(data))
    }

    /// Gives the segment its header and its name, and lists it in the manifest, durably and
    /// without needing space.
    pub(super) fn activate(
        self,
        disk: &dyn Disk,
        data: &Path,
        header: &SegmentHeader,
        manifest: &mut Manifest,
    ) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.file.write_all_at(0, &header.encode())?;
        self.file.sync()?;
        disk.rename(&self.path, &names::segment(data, header.first))?;
        disk.sync_dir(&names::log_dir(data))?;
        let (first, salt) = (header.first, header.salt);
        manifest.segments.push(ListedSegment { first, salt, sealed_bytes: None });
        manifest.write_reserved(disk, data, &self.manifest)?;
        Ok(self.file)
    }
}

fn fill(file: &dyn DiskFile, capacity: u64) -> Result<(), DiskError> {
    let mut offset = 0;
    while offset < capacity {
        let bytes = (capacity - offset).min(ZEROS.len() as u64);
        file.write_all_at(offset, &ZEROS[..bytes as usize])?;
        offset += bytes;
        // In small steps: one sync of a whole segment would hold up those of the log meanwhile.
        if offset.is_multiple_of(FILL_SYNC_BYTES) || offset == capacity {
            file.sync()?;
        }
    }
    Ok(())
}

/// A salt for the segment at `path`.
pub(crate) fn new_salt(path: &Path) -> Result<Salt, DiskError> {
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(|error| DiskError {
        operation: "draw a random salt for",
        path: path.to_path_buf(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(Salt(u64::from_le_bytes(salt)))
}
