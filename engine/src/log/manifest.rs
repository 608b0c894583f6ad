//! The manifest: which segments a store consists of (FORMAT.md section 2).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names::{self, SegmentName};
use crate::broken::{Mistake, makes};
use crate::checksum::{self, Salt};
use crate::codec::Fields;
use crate::disk::{Access, Disk, DiskError, DiskFile, read_file, remove_if_there};
use crate::entry::SEGMENT_HEADER_BYTES;
use crate::error::{Damage, OpenError};
use crate::ids::{Epoch, Position, StoreId};
use crate::options::SEGMENT_BYTES_MAX;

/// Sizes of segments are listed in these.
pub(crate) const PAGE_BYTES: u64 = 4096;

const MAGIC: [u8; 8] = *b"FOREBAYM";
/// The version that is written; version 1 is read too.
const VERSION: u32 = 2;
const SEGMENTS_MAX: u32 = 1 << 20;
/// No segment is compacted more often: there is always a generation after one that was read.
const GENERATION_MAX: u32 = u32::MAX >> 1;
const HEADER_BYTES: usize = 48;
const SEGMENT_BYTES: usize = 40;
const SEGMENT_BYTES_V1: usize = 24;

/// The segments of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The store.
    pub store: StoreId,
    /// The opening that wrote it; 0 in a store that was never opened.
    pub epoch: Epoch,
    /// The last position that a compacted segment covers: a snapshot of an earlier one lacks what
    /// the compactor left out, and is not used.
    pub compacted_through: Position,
    /// In the order of their positions.
    pub segments: Vec<ListedSegment>,
}

/// A segment as the manifest lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedSegment {
    /// The first position that it covers.
    pub first: Position,
    /// 0 as the log wrote it; counted up by the compactor.
    pub generation: u32,
    /// Its salt.
    pub salt: Salt,
    /// How it ends; `None` while it is the active segment.
    pub sealed: Option<Sealed>,
    /// The pages that were reserved for it when the log made it; 0: that is not said.
    pub pages: u32,
}

/// The pages of a segment with so many bytes; 0 if none has so many.
pub(crate) fn pages(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PAGE_BYTES)).unwrap_or_default()
}

/// How a sealed segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Where its last entry ends.
    pub bytes: u64,
    /// The last position that it covers; `Position(0)` where a version 1 manifest does not say.
    pub last: Position,
}

impl ListedSegment {
    /// Its file's name.
    pub fn name(&self) -> SegmentName {
        SegmentName { first: self.first, generation: self.generation }
    }

    /// It has no more bytes, whatever was written to it.
    pub(crate) fn bytes_max(&self) -> u64 {
        match (self.sealed, self.pages) {
            (Some(sealed), _) => sealed.bytes,
            (None, 0) => SEGMENT_BYTES_MAX,
            (None, pages) => (u64::from(pages) * PAGE_BYTES).min(SEGMENT_BYTES_MAX),
        }
    }

    /// Whether it covers a position, as far as it is known where it ends.
    pub(crate) fn covers(&self, position: Position) -> bool {
        self.sealed.is_some_and(|sealed| (self.first..=sealed.last).contains(&position))
    }
}

/// Space for the next manifest: a full disk must not strike in the middle of a roll or of a swap.
#[derive(Debug)]
pub(crate) struct ManifestReserve {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
}

impl ManifestReserve {
    /// Writes and syncs `bytes` zeros under a temporary name.
    pub(crate) fn make(disk: &dyn Disk, path: &Path, bytes: u64) -> Result<Self, DiskError> {
        remove_if_there(disk, path)?;
        let file = disk.create(path)?;
        let written = file.write_all_at(0, &vec![0; bytes as usize]).and_then(|()| file.sync());
        if let Err(error) = written {
            // The first error is the one to report. A file left over would be taken for the space.
            let _ = disk.remove(path);
            return Err(error);
        }
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// Keeps what was reserved before, or reserves `bytes` anew: on a full disk nobody else must get it.
    pub(crate) fn keep(disk: &dyn Disk, path: &Path, bytes: u64) -> Result<Self, DiskError> {
        let reserve = match Self::open(disk, path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Self::make(disk, path, bytes);
            }
            opened => opened?,
        };
        reserve.grow(bytes)?;
        Ok(reserve)
    }

    /// Makes sure that there is space for `bytes`.
    pub(crate) fn grow(&self, bytes: u64) -> Result<(), DiskError> {
        let there = self.bytes()?;
        if there < bytes {
            self.file.write_all_at(there, &vec![0; (bytes - there) as usize])?;
            self.file.sync()?;
        }
        Ok(())
    }

    /// The space that there is.
    pub(crate) fn bytes(&self) -> Result<u64, DiskError> {
        self.file.size()
    }

    /// One that was made before.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, DiskError> {
        let file = disk.open(path, Access::Write)?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// Gives the file, which holds a manifest, the manifest's name.
    pub(super) fn install(&self, disk: &dyn Disk, data: &Path) -> Result<(), DiskError> {
        disk.rename(&self.path, &names::manifest(data))?;
        match makes(Mistake::ManifestNameNotSynced) {
            true => Ok(()),
            false => disk.sync_dir(data),
        }
    }
}

impl Manifest {
    /// Writes the manifest of a store that is being made.
    pub(crate) fn write(&self, disk: &dyn Disk, data: &Path) -> Result<(), DiskError> {
        let (path, bytes) = (names::manifest_reserve(data), self.bytes_with_one_more());
        self.write_reserved(disk, data, &ManifestReserve::make(disk, &path, bytes)?)
    }

    /// Replaces the manifest on disk by way of a file that was reserved for it: needs no space.
    pub(super) fn write_reserved(
        &self,
        disk: &dyn Disk,
        data: &Path,
        reserve: &ManifestReserve,
    ) -> Result<(), DiskError> {
        self.fill(reserve)?;
        reserve.install(disk, data)
    }

    /// Writes the manifest into the file that was reserved for it.
    pub(super) fn fill(&self, reserve: &ManifestReserve) -> Result<(), DiskError> {
        let bytes = self.encode();
        reserve.file.write_all_at(0, &bytes)?;
        reserve.file.set_size(bytes.len() as u64)?;
        match makes(Mistake::ManifestNotSynced) {
            true => Ok(()),
            false => reserve.file.sync(),
        }
    }

    /// What a manifest with one segment more than this takes.
    pub(crate) fn bytes_with_one_more(&self) -> u64 {
        (HEADER_BYTES + (self.segments.len() + 1) * SEGMENT_BYTES) as u64
    }

    /// Reads the manifest; `None` when there is none.
    pub(crate) fn read(
        disk: &dyn Disk,
        data: &Path,
        store: StoreId,
    ) -> Result<Option<Self>, OpenError> {
        let (manifest, bytes) = match Self::read_any(disk, data) {
            Ok(read) => read,
            Err(OpenError::Disk(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if manifest.store != store {
            let (path, found) = (names::manifest(data), manifest.store);
            let detail = format!("belongs to store {found}, expected {store}");
            return Err(Damage { path, offset: 0, bytes, position: None, detail }.into());
        }
        Ok(Some(manifest))
    }

    /// Reads the manifest of whatever store it is, and says how many bytes it has.
    pub(crate) fn read_any(disk: &dyn Disk, data: &Path) -> Result<(Self, u64), OpenError> {
        let path = names::manifest(data);
        let bytes_max = HEADER_BYTES as u64 + u64::from(SEGMENTS_MAX) * SEGMENT_BYTES as u64;
        let file = read_file(disk, &path, bytes_max)?;
        if let Some(found) = newer_version(&file, &MAGIC, VERSION) {
            return Err(OpenError::FormatTooNew { path, found, supported: VERSION });
        }
        let bytes = file.len() as u64;
        let damaged = |detail| Damage { path, offset: 0, bytes, position: None, detail };
        Ok((Self::decode(&file).map_err(damaged)?, bytes))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.segments.len() * SEGMENT_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(self.store.0.as_bytes());
        bytes.extend_from_slice(&self.epoch.0.to_le_bytes());
        let count = u32::try_from(self.segments.len()).expect("at most 2^20 segments");
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&self.compacted_through.0.to_le_bytes());
        for segment in &self.segments {
            let (end, last) = segment.sealed.map_or((0, 0), |sealed| (sealed.bytes, sealed.last.0));
            for field in [segment.first.0, last, segment.salt.0, end] {
                bytes.extend_from_slice(&field.to_le_bytes());
            }
            bytes.extend_from_slice(&segment.generation.to_le_bytes());
            bytes.extend_from_slice(&segment.pages.to_le_bytes());
        }
        let crc = whole_crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes any bytes to a manifest or a sentence on what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let short = || format!("{} bytes are too short for a manifest", bytes.len());
        let mut fields = Fields::new(bytes);
        let magic = fields.array::<8>().ok_or_else(short)?;
        if magic != MAGIC {
            return Err(format!("not a manifest: magic {magic:02x?}, expected {MAGIC:02x?}"));
        }
        let version = fields.u32().ok_or_else(short)?;
        let found = fields.u32().ok_or_else(short)?;
        let expected = whole_crc(bytes);
        if found != expected {
            return Err(format!("checksum {found:08x}, expected {expected:08x}"));
        }
        if !(1..=VERSION).contains(&version) {
            return Err(format!("version {version}, expected 1 to {VERSION}"));
        }
        let store = StoreId(uuid::Uuid::from_bytes(fields.array().ok_or_else(short)?));
        let epoch = Epoch(fields.u32().ok_or_else(short)?);
        let count = fields.u32().ok_or_else(short)?;
        let (compacted_through, row_bytes) = match version {
            1 => (Position(0), SEGMENT_BYTES_V1),
            _ => (Position(fields.u64().ok_or_else(short)?), SEGMENT_BYTES),
        };
        if fields.rest().len() as u64 != u64::from(count) * row_bytes as u64 {
            return Err(format!("{count} segments in {} bytes", fields.rest().len()));
        }
        let rows = fields.rest().chunks_exact(row_bytes).map(Fields::new);
        let read = if version == 1 { ListedSegment::decode_v1 } else { ListedSegment::decode };
        let segments: Option<Vec<_>> = rows.map(read).collect();
        let segments = segments.expect("rows were cut to their size");
        let mut manifest = Self { store, epoch, compacted_through, segments };
        // Right checksums or not, with these the numbers behind them can be computed.
        manifest.check_ranges()?;
        if version == 1 {
            manifest.tell_ends();
        }
        manifest.check_order()?;
        Ok(manifest)
    }

    /// A segment ends where the next one begins.
    fn tell_ends(&mut self) {
        for at in 1..self.segments.len() {
            let last = self.segments[at].first.previous();
            if let Some(sealed) = &mut self.segments[at - 1].sealed {
                sealed.last = last;
            }
        }
    }

    fn check_ranges(&self) -> Result<(), String> {
        let Self { epoch, compacted_through, segments, .. } = self;
        if *epoch > Epoch::MAX {
            return Err(format!("epoch {epoch}, expected at most {}", Epoch::MAX));
        }
        if *compacted_through > Position::MAX {
            let max = Position::MAX;
            return Err(format!("compacted through {compacted_through}, expected at most {max}"));
        }
        segments.iter().try_for_each(ListedSegment::check_ranges)
    }

    fn check_order(&self) -> Result<(), String> {
        for pair in self.segments.windows(2) {
            let (first, next) = (pair[0].first, pair[1].first);
            if first >= next {
                return Err(format!("segment {first} before {next}"));
            }
            match pair[0].sealed {
                None => return Err(format!("segment {first} is active and not the last")),
                Some(sealed) if sealed.last.next() != next => {
                    let last = sealed.last;
                    return Err(format!("segment {first} ends at {last}, the next is {next}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

impl ListedSegment {
    fn decode(mut row: Fields<'_>) -> Option<Self> {
        let (first, last) = (Position(row.u64()?), Position(row.u64()?));
        let (salt, bytes, generation) = (Salt(row.u64()?), row.u64()?, row.u32()?);
        let sealed = (bytes != 0).then_some(Sealed { bytes, last });
        Some(Self { first, generation, salt, sealed, pages: row.u32()? })
    }

    fn check_ranges(&self) -> Result<(), String> {
        let Self { first, generation, .. } = *self;
        let max = Position::MAX;
        if first > max {
            return Err(format!("a segment begins with entry {first}, expected at most {max}"));
        }
        if generation > GENERATION_MAX {
            let detail = format!("generation {generation}, expected at most {GENERATION_MAX}");
            return Err(format!("segment {first} has {detail}"));
        }
        let Some(Sealed { bytes, last }) = self.sealed else { return Ok(()) };
        if last > max {
            return Err(format!("segment {first} ends at {last}, expected at most {max}"));
        }
        let range = SEGMENT_HEADER_BYTES..=SEGMENT_BYTES_MAX;
        if !range.contains(&bytes) {
            let (min, max) = range.into_inner();
            return Err(format!("segment {first} has {bytes} bytes, expected {min} to {max}"));
        }
        Ok(())
    }

    fn decode_v1(mut row: Fields<'_>) -> Option<Self> {
        let (first, salt, bytes) = (Position(row.u64()?), Salt(row.u64()?), row.u64()?);
        let sealed = (bytes != 0).then_some(Sealed { bytes, last: Position(0) });
        Some(Self { first, generation: 0, salt, sealed, pages: 0 })
    }
}

/// The checksum of a file whose bytes 12 to 16 hold it.
pub(crate) fn whole_crc(bytes: &[u8]) -> u32 {
    let (before, rest) = bytes.split_at(bytes.len().min(12));
    let behind = rest.get(4..).unwrap_or(&[]);
    checksum::plain(&[before, behind])
}

/// Whether the checksum of a file with a magic is right, whatever its version.
pub(crate) fn is_intact(file: &[u8]) -> bool {
    let found = file.get(12..16).and_then(|crc| crc.try_into().ok()).map(u32::from_le_bytes);
    found == Some(whole_crc(file))
}

/// The version of a file that begins with `magic` and a version, when that is newer than the
/// newest one supported.
pub(crate) fn newer_version(bytes: &[u8], magic: &[u8; 8], supported: u32) -> Option<u32> {
    let version = bytes.strip_prefix(magic)?.first_chunk::<4>()?;
    let version = u32::from_le_bytes(*version);
    (version > supported).then_some(version)
}
