//! The bytes of one file as a run of sectors, shared between the images that hold them.
//!
//! - A sector is shared until it is written, so a copy of an image, a version of a sector and a
//!   sync cost references, not bytes. A written sector of zeros is a reference as well.
//! - Nothing is stored beyond the size: what is cut away and grown back reads as zeros.

use std::hash::Hasher;
use std::sync::Arc;

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// A sector's bytes; `None` is a hole, which reads as zeros and occupies no space.
pub(super) type Sector = Option<Arc<[u8; SECTOR_BYTES]>>;

/// A file's size and sectors.
#[derive(Clone)]
pub(super) struct Image {
    size: u64,
    /// Sectors past the last one here are holes.
    sectors: Vec<Sector>,
    sectors_allocated: u64,
    zeros: Arc<[u8; SECTOR_BYTES]>,
}

impl Image {
    pub(super) fn new() -> Self {
        Self {
            size: 0,
            sectors: Vec::new(),
            sectors_allocated: 0,
            zeros: Arc::new([0; SECTOR_BYTES]),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The space that the file occupies; holes occupy none.
    pub(super) fn bytes_allocated(&self) -> u64 {
        self.sectors_allocated * SECTOR_BYTES as u64
    }

    /// How many sectors are stored, holes between them included.
    pub(super) fn sectors_len(&self) -> usize {
        self.sectors.len()
    }

    pub(super) fn sector(&self, index: usize) -> Sector {
        self.sectors.get(index).cloned().flatten()
    }

    pub(super) fn sector_ref(&self, index: usize) -> &Sector {
        self.sectors.get(index).unwrap_or(&None)
    }

    pub(super) fn set_sector(&mut self, index: usize, sector: Sector) {
        if self.sectors.len() <= index {
            self.sectors.resize(index + 1, None);
        }
        self.sectors_allocated += u64::from(sector.is_some());
        let before = std::mem::replace(&mut self.sectors[index], sector);
        self.sectors_allocated -= u64::from(before.is_some());
    }

    /// Fills the buffer from `offset`, with zeros where nothing is stored.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) {
        let mut rest = buffer;
        let (mut index, mut start) = split(offset);
        while !rest.is_empty() {
            let length = rest.len().min(SECTOR_BYTES - start);
            let (piece, later) = rest.split_at_mut(length);
            match self.sectors.get(index) {
                Some(Some(sector)) => piece.copy_from_slice(&sector[start..start + length]),
                _ => piece.fill(0),
            }
            (rest, index, start) = (later, index + 1, 0);
        }
    }

    /// The whole file.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size as usize];
        self.read(0, &mut bytes);
        bytes
    }

    /// Tells a hasher the size and the bytes. Sectors of zeros, which are most, are passed over.
    pub(super) fn hash_into(&self, hasher: &mut impl Hasher) {
        hasher.write_u64(self.size);
        for (index, sector) in self.sectors.iter().enumerate() {
            if let Some(sector) = sector
                && !Arc::ptr_eq(sector, &self.zeros)
                && sector[..] != self.zeros[..]
            {
                hasher.write_usize(index);
                hasher.write(&sector[..]);
            }
        }
    }

    /// Writes, growing the file if the bytes reach beyond its end.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        let sectors_needed = end.div_ceil(SECTOR_BYTES as u64) as usize;
        if self.sectors.len() < sectors_needed {
            self.sectors.resize(sectors_needed, None);
        }
        let (mut index, mut start) = split(offset);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(SECTOR_BYTES - start));
            let slot = &mut self.sectors[index];
            self.sectors_allocated += u64::from(slot.is_none());
            if piece == &self.zeros[..] {
                *slot = Some(Arc::clone(&self.zeros));
            } else {
                let sector = slot.get_or_insert_with(|| Arc::clone(&self.zeros));
                Arc::make_mut(sector)[start..start + piece.len()].copy_from_slice(piece);
            }
            (rest, index, start) = (later, index + 1, 0);
        }
        self.size = self.size.max(end);
    }

    /// Sets the size, and drops whatever is stored beyond it.
    pub(super) fn resize(&mut self, size: u64) {
        self.size = size;
        let (last, kept) = split(size);
        let sectors_kept = last + usize::from(kept > 0);
        let cut = self.sectors.drain(sectors_kept.min(self.sectors.len())..);
        self.sectors_allocated -= cut.flatten().count() as u64;
        if kept > 0
            && let Some(Some(sector)) = self.sectors.get_mut(last)
        {
            Arc::make_mut(sector)[kept..].fill(0);
        }
    }

    /// How many of `length` bytes at `offset` can be written with `bytes_free` left on the disk.
    pub(super) fn fitting(&self, offset: u64, length: usize, bytes_free: u64) -> usize {
        let mut sectors_free = bytes_free / SECTOR_BYTES as u64;
        let (mut index, start) = split(offset);
        let mut fitting = 0;
        while fitting < length {
            if self.sector(index).is_none() {
                let Some(left) = sectors_free.checked_sub(1) else {
                    break;
                };
                sectors_free = left;
            }
            let skipped = if fitting == 0 { start } else { 0 };
            fitting += SECTOR_BYTES - skipped;
            index += 1;
        }
        fitting.min(length)
    }
}

/// Whether two sectors read the same.
pub(super) fn is_same(one: &Sector, other: &Sector) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (Some(written), None) | (None, Some(written)) => written.iter().all(|byte| *byte == 0),
        (None, None) => true,
    }
}

/// The sector that holds an offset, and where in it.
pub(super) fn split(offset: u64) -> (usize, usize) {
    let sector_bytes = SECTOR_BYTES as u64;
    ((offset / sector_bytes) as usize, (offset % sector_bytes) as usize)
}
