//! Checksums: CRC-32 (IEEE), seeded so that right bytes in the wrong place are wrong.
//!
//! FORMAT.md says which bytes each covers.

use crc32fast::Hasher;

use crate::ids::Position;

/// A segment's random number: seeds every checksum in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub u64);

/// `crc(salt | parts)`: of an entry's header.
pub(crate) fn salted(salt: Salt, parts: &[&[u8]]) -> u32 {
    finish(seeded(salt), parts)
}

/// Checksums of what is in one entry, `crc(salt | position | parts)`: of its body and of its records.
#[derive(Debug, Clone)]
pub(crate) struct Placed(Hasher);

impl Placed {
    /// In the entry at `position` of the segment with this salt.
    pub(crate) fn new(salt: Salt, position: Position) -> Self {
        Self(seeded_with(salt, position.0))
    }

    /// Of these bytes.
    pub(crate) fn crc(&self, parts: &[&[u8]]) -> u32 {
        finish(self.0.clone(), parts)
    }

    /// Of bytes that come one after the other.
    pub(crate) fn running(&self) -> Running {
        Running(self.0.clone())
    }
}

/// `crc(salt | number u64 | parts)`: of an index's blocks.
pub(crate) fn numbered(salt: Salt, number: u64, parts: &[&[u8]]) -> u32 {
    finish(seeded_with(salt, number), parts)
}

/// `crc(parts)`: of the files that name their store in another way.
pub(crate) fn plain(parts: &[&[u8]]) -> u32 {
    finish(Hasher::new(), parts)
}

/// `crc(parts)` of parts that come one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Hasher);

impl Running {
    /// Adds a part.
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The checksum of all parts.
    pub(crate) fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// A message's checksum, made by its producer and checked wherever it passes:
/// `crc(attributes bytes u32 | body bytes u32 | payload)`, `payload` being attributes and body.
pub fn message(attributes_bytes: u32, payload: &[u8]) -> u32 {
    let body_bytes = (payload.len() as u32).wrapping_sub(attributes_bytes);
    plain(&[&attributes_bytes.to_le_bytes(), &body_bytes.to_le_bytes(), payload])
}

fn seeded(salt: Salt) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(&salt.0.to_le_bytes());
    hasher
}

fn seeded_with(salt: Salt, number: u64) -> Hasher {
    let mut hasher = seeded(salt);
    hasher.update(&number.to_le_bytes());
    hasher
}

fn finish(mut hasher: Hasher, parts: &[&[u8]]) -> u32 {
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
