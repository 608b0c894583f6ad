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

/// `crc(salt | position | parts)`: of an entry's body and of its records.
pub(crate) fn placed(salt: Salt, position: Position, parts: &[&[u8]]) -> u32 {
    numbered(salt, position.0, parts)
}

/// `crc(salt | number u64 | parts)`: of an index's blocks.
pub(crate) fn numbered(salt: Salt, number: u64, parts: &[&[u8]]) -> u32 {
    let mut hasher = seeded(salt);
    hasher.update(&number.to_le_bytes());
    finish(hasher, parts)
}

/// `crc(parts)`: of the files that name their store in another way.
pub(crate) fn plain(parts: &[&[u8]]) -> u32 {
    finish(Hasher::new(), parts)
}

/// `crc(parts)` of parts that come one after the other.
#[derive(Debug, Default)]
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

fn finish(mut hasher: Hasher, parts: &[&[u8]]) -> u32 {
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
