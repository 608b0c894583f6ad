//! The message block: the end-to-end unit, the same bytes from sender to receiver.
//!
//! ```text
//! | crc u32 | attributes_bytes u32 | body_bytes u32 | attributes | body |
//!            `------------------- covered by crc ----------------------'
//! ```
//!
//! The sender computes the checksum (CRC-32, IEEE); the server verifies it on arrival and stores
//! it; the receiver verifies it again. Nobody in between replaces it, so damage anywhere on the way
//! is found at the end. `attributes` is reserved for message attributes: in version 1 its length
//! must be 0.

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::{Fault, Input, TooLong, Unreadable, Wire};

/// A message's body with its checksum. A clone shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    crc: u32,
    attributes: Bytes,
    body: Bytes,
}

/// A block's bytes do not match its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("checksum {found:08x}, expected {expected:08x}")]
pub struct BlockDamage {
    /// The checksum that travelled with the block.
    pub expected: u32,
    /// The checksum of the bytes that arrived.
    pub found: u32,
}

impl Block {
    /// The bytes of a block before its attributes and body.
    pub const HEADER_BYTES: usize = 12;

    /// A sound block of this body, which may be empty.
    pub fn new(body: impl Into<Bytes>) -> Block {
        let mut block = Block { crc: 0, attributes: Bytes::new(), body: body.into() };
        block.crc = block.checksum();
        block
    }

    /// A block as it was taken apart for storing. Nothing is verified: see [`Block::verify`].
    pub fn from_parts(crc: u32, attributes: Bytes, body: Bytes) -> Block {
        Block { crc, attributes, body }
    }

    /// The checksum that travels with the block.
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// The bytes reserved for message attributes: empty in version 1.
    pub fn attributes(&self) -> &Bytes {
        &self.attributes
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body, without its checksum.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// The bytes of the block on the wire, header included.
    pub fn encoded_bytes(&self) -> usize {
        Block::HEADER_BYTES + self.attributes.len() + self.body.len()
    }

    /// Compares the bytes with their checksum.
    pub fn verify(&self) -> Result<(), BlockDamage> {
        let found = self.checksum();
        if found == self.crc { Ok(()) } else { Err(BlockDamage { expected: self.crc, found }) }
    }

    /// The CRC-32 of everything behind the crc field.
    fn checksum(&self) -> u32 {
        let mut lengths = [0; 8];
        // A length that does not fit is refused when the block is encoded.
        lengths[..4].copy_from_slice(&(self.attributes.len() as u32).to_le_bytes());
        lengths[4..].copy_from_slice(&(self.body.len() as u32).to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&lengths);
        hasher.update(&self.attributes);
        hasher.update(&self.body);
        hasher.finalize()
    }
}

impl Wire for Block {
    const BYTES_MIN: usize = Block::HEADER_BYTES;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let bytes_max = u32::MAX as usize;
        let length = |bytes: usize| {
            u32::try_from(bytes).map_err(|_| TooLong {
                what: "a part of a block",
                bytes,
                bytes_max,
            })
        };
        out.reserve(self.encoded_bytes());
        out.put_u32_le(self.crc);
        out.put_u32_le(length(self.attributes.len())?);
        out.put_u32_le(length(self.body.len())?);
        out.put_slice(&self.attributes);
        out.put_slice(&self.body);
        Ok(())
    }

    fn decode(input: &mut Input) -> Result<Self, Unreadable> {
        let crc = input.field("crc")?;
        let attributes_bytes: u32 = input.field("attributes_bytes")?;
        if attributes_bytes != 0 {
            let text =
                format!("attributes_bytes is reserved and must be 0, found {attributes_bytes}");
            return Err(Fault::Rule(text).into());
        }
        let body_bytes: u32 = input.field("body_bytes")?;
        Ok(Block { crc, attributes: Bytes::new(), body: input.take(body_bytes as usize)? })
    }
}
