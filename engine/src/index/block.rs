//! Blocks: the parts of an index file that are checked one by one, when they are first used
//! (FORMAT.md section 4).

use std::path::PathBuf;

use super::slot::ITEM_BYTES;
use crate::checksum::{self, Salt};

/// A block, and what every part of the file is a multiple of.
pub(super) const BLOCK_BYTES: usize = 4096;

/// How many runs or slots a block holds.
pub(super) const BLOCK_ITEMS: usize = 255;

/// Checksum and zeros.
const HEAD_BYTES: usize = 16;

const _: () = assert!(HEAD_BYTES + BLOCK_ITEMS * ITEM_BYTES == BLOCK_BYTES, "FORMAT.md section 4");

/// A block as it is in the file.
pub(super) type Block = [u8; BLOCK_BYTES];

/// A block of an index that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} at offset {}: {detail}", path.display(), block * BLOCK_BYTES as u64)]
pub(crate) struct BadBlock {
    /// The index.
    pub(crate) path: PathBuf,
    /// The block's number: its offset / 4096.
    pub(crate) block: u64,
    /// What was expected, and what was found.
    pub(crate) detail: String,
}

/// Whether a block is what was written; if not, what is wrong.
pub(super) fn check(salt: Salt, number: u64, block: &Block) -> Result<(), String> {
    let (found, expected) = (found_checksum(block), checksum(salt, number, block));
    match found == expected {
        true => Ok(()),
        false => Err(format!("checksum {found:08x}, expected {expected:08x}")),
    }
}

/// A run or slot of a block, by its place in it.
pub(super) fn item(block: &Block, at: usize) -> &[u8; ITEM_BYTES] {
    let (items, _) = block[HEAD_BYTES..].as_chunks();
    &items[at]
}

/// A block that fills up with runs or slots.
pub(super) struct FillingBlock {
    bytes: Block,
    items: usize,
}

impl FillingBlock {
    pub(super) fn new() -> Self {
        Self { bytes: [0; BLOCK_BYTES], items: 0 }
    }

    pub(super) fn push(&mut self, item: [u8; ITEM_BYTES]) {
        let start = HEAD_BYTES + self.items * ITEM_BYTES;
        self.bytes[start..start + ITEM_BYTES].copy_from_slice(&item);
        self.items += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.items == BLOCK_ITEMS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// The block with its checksum, as the one of that number in its file.
    pub(super) fn finish(mut self, salt: Salt, number: u64) -> Block {
        let checksum = checksum(salt, number, &self.bytes);
        self.bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        self.bytes
    }
}

fn checksum(salt: Salt, number: u64, block: &Block) -> u32 {
    checksum::numbered(salt, number, &[&block[4..]])
}

fn found_checksum(block: &Block) -> u32 {
    let [a, b, c, d, ..] = *block;
    u32::from_le_bytes([a, b, c, d])
}
