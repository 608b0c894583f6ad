//! The manifest: which segments a store consists of (FORMAT.md section 2).

use std::path::Path;
use std::sync::Arc;

use super::identity::FORMAT_VERSION;
use super::names;
use crate::checksum::{self, Salt};
use crate::codec::Fields;
use crate::disk::{Disk, DiskError, DiskFile, read_file, remove_if_there, replace_file};
use crate::error::{Damage, OpenError};
use crate::ids::{Epoch, Position, StoreId};

const MAGIC: [u8; 8] = *b"FOREBAYM";
const SEGMENTS_MAX: u32 = 1 << 20;
const HEADER_BYTES: usize = 40;
const SEGMENT_BYTES: usize = 24;

/// The segments of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The store.
    pub store: StoreId,
    /// The opening that wrote it; 0 in a store that was never opened.
    pub epoch: Epoch,
    /// In the order of their positions.
    pub segments: Vec<ListedSegment>,
}

/// A segment as the manifest lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedSegment {
    /// Its first position.
    pub first: Position,
    /// Its salt.
    pub salt: Salt,
    /// Where its last entry ends; `None` while it is the active segment.
    pub sealed_bytes: Option<u64>,
}

/// Space for the next manifest: a full disk must not strike in the middle of a roll.
#[derive(Debug)]
pub(crate) struct ManifestReserve {
    file: Arc<dyn DiskFile>,
}

impl ManifestReserve {
    /// Writes and syncs `bytes` zeros under the temporary name of the manifest.
    pub(super) fn make(disk: &dyn Disk, data: &Path, bytes: u64) -> Result<Self, DiskError> {
        let path = names::manifest_reserve(data);
        remove_if_there(disk, &path)?;
        let file = disk.create(&path)?;
        file.write_all_at(0, &vec![0; bytes as usize])?;
        file.sync()?;
        Ok(Self { file })
    }
}

impl Manifest {
    /// Replaces the manifest on disk.
    pub(crate) fn write(&self, disk: &dyn Disk, data: &Path) -> Result<(), DiskError> {
        replace_file(disk, &names::manifest(data), &self.encode())
    }

    /// Replaces the manifest on disk by way of a file that was reserved for it: needs no space.
    pub(super) fn write_reserved(
        &self,
        disk: &dyn Disk,
        data: &Path,
        reserve: &ManifestReserve,
    ) -> Result<(), DiskError> {
        let bytes = self.encode();
        reserve.file.write_all_at(0, &bytes)?;
        reserve.file.set_size(bytes.len() as u64)?;
        reserve.file.sync()?;
        disk.rename(&names::manifest_reserve(data), &names::manifest(data))?;
        disk.sync_dir(data)
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
        let path = names::manifest(data);
        let bytes_max = HEADER_BYTES as u64 + u64::from(SEGMENTS_MAX) * SEGMENT_BYTES as u64;
        let bytes = match read_file(disk, &path, bytes_max) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |detail| Damage {
            path: path.clone(),
            offset: 0,
            bytes: bytes.len() as u64,
            position: None,
            detail,
        };
        if let Some(found) = newer_version(&bytes, &MAGIC) {
            return Err(OpenError::FormatTooNew { path, found, supported: FORMAT_VERSION });
        }
        let manifest = Self::decode(&bytes).map_err(damaged)?;
        if manifest.store != store {
            let found = manifest.store;
            return Err(damaged(format!("belongs to store {found}, expected {store}")).into());
        }
        Ok(Some(manifest))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.segments.len() * SEGMENT_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(self.store.0.as_bytes());
        bytes.extend_from_slice(&self.epoch.0.to_le_bytes());
        let count = u32::try_from(self.segments.len()).expect("at most 2^20 segments");
        bytes.extend_from_slice(&count.to_le_bytes());
        for segment in &self.segments {
            bytes.extend_from_slice(&segment.first.0.to_le_bytes());
            bytes.extend_from_slice(&segment.salt.0.to_le_bytes());
            bytes.extend_from_slice(&segment.sealed_bytes.unwrap_or(0).to_le_bytes());
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
        if version != FORMAT_VERSION {
            return Err(format!("version {version}, expected {FORMAT_VERSION}"));
        }
        let store = StoreId(uuid::Uuid::from_bytes(fields.array().ok_or_else(short)?));
        let epoch = Epoch(fields.u32().ok_or_else(short)?);
        let count = fields.u32().ok_or_else(short)?;
        if fields.rest().len() as u64 != u64::from(count) * SEGMENT_BYTES as u64 {
            return Err(format!("{count} segments in {} bytes", fields.rest().len()));
        }
        let mut segments = Vec::with_capacity(count as usize);
        while let (Some(first), Some(salt), Some(sealed)) =
            (fields.u64(), fields.u64(), fields.u64())
        {
            segments.push(ListedSegment {
                first: Position(first),
                salt: Salt(salt),
                sealed_bytes: (sealed != 0).then_some(sealed),
            });
        }
        let manifest = Self { store, epoch, segments };
        manifest.check_order()?;
        Ok(manifest)
    }

    fn check_order(&self) -> Result<(), String> {
        for pair in self.segments.windows(2) {
            if pair[0].first >= pair[1].first {
                return Err(format!("segment {} before {}", pair[0].first, pair[1].first));
            }
            if pair[0].sealed_bytes.is_none() {
                return Err(format!("segment {} is active and not the last", pair[0].first));
            }
        }
        Ok(())
    }
}

/// The checksum of a file whose bytes 12 to 16 hold it.
pub(super) fn whole_crc(bytes: &[u8]) -> u32 {
    let (before, rest) = bytes.split_at(bytes.len().min(12));
    let behind = rest.get(4..).unwrap_or(&[]);
    checksum::plain(&[before, behind])
}

/// The version of a file that begins with `magic` and a version, when that is newer than ours.
pub(super) fn newer_version(bytes: &[u8], magic: &[u8; 8]) -> Option<u32> {
    let version = bytes.strip_prefix(magic)?.first_chunk::<4>()?;
    let version = u32::from_le_bytes(*version);
    (version > FORMAT_VERSION).then_some(version)
}
