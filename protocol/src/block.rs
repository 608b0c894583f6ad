//! The message block: the end-to-end unit, the same bytes from sender to receiver.
//!
//! ```text
//! | crc u32 | attributes_bytes u32 | body_bytes u32 | attributes | body |
//!            `------------------- covered by crc ----------------------'
//! ```
//!
//! The sender computes the checksum (CRC-32, IEEE); the server verifies it on arrival and stores
//! it; the receiver verifies it again. Nobody in between replaces it, so damage anywhere on the way
//! is found at the end. What `attributes` are is said in [`MessageAttributes`]; a block takes any
//! bytes for them.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::ProtocolError;
use crate::message_attributes::{AcceptedIds, MessageAttributes, accept_first};
use crate::wire::{Input, TooLong, Unreadable, Wire};

/// A message's attributes and body with their checksum. A clone shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    crc: u32,
    /// Attributes, then the body.
    payload: Bytes,
    /// The end of the payload.
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

    /// A sound block of this body, which may be empty, without attributes.
    pub fn new(body: impl Into<Bytes>) -> Block {
        let body = body.into();
        Block::sound(body.clone(), body)
    }

    /// A sound block of these attributes and this body.
    pub fn with_attributes(attributes: &MessageAttributes, body: impl Into<Bytes>) -> Block {
        let (payload, body) = join(&attributes.encode(), body.into());
        Block::sound(payload, body)
    }

    fn sound(payload: Bytes, body: Bytes) -> Block {
        let mut block = Block { crc: 0, payload, body };
        block.crc = block.checksum();
        block
    }

    /// A block put together from its parts. Nothing is verified: see [`Block::verify`].
    pub fn from_parts(crc: u32, attributes: Bytes, body: Bytes) -> Block {
        let (payload, body) = join(&attributes, body);
        Block { crc, payload, body }
    }

    /// A block as it is stored: attributes, then the body, without a copy. Nothing is verified. An
    /// `attributes_bytes` of more than there are stands for all.
    pub fn from_payload(crc: u32, attributes_bytes: usize, payload: Bytes) -> Block {
        let body = payload.slice(attributes_bytes.min(payload.len())..);
        Block { crc, payload, body }
    }

    /// The checksum that travels with the block.
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// The encoded attributes.
    pub fn attributes(&self) -> Bytes {
        self.payload.slice(..self.attributes_bytes())
    }

    /// How many bytes attributes and body have together.
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    /// How many bytes the encoded attributes have.
    pub fn attributes_bytes(&self) -> usize {
        self.payload.len() - self.body.len()
    }

    /// The attributes as a consumer reads them: what a later version added is passed over. A server
    /// gives only such as can be read.
    pub fn message_attributes(&self) -> Result<MessageAttributes, ProtocolError> {
        MessageAttributes::decode(self.attributes())
    }

    /// Checks attributes that are to be stored, as [`MessageAttributes::accept`] does, where they are.
    pub fn accept_attributes(&self) -> Result<AcceptedIds<'_>, ProtocolError> {
        accept_first(&self.payload, self.attributes_bytes())
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body, without its checksum.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// Attributes, then the body: what is stored.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// The bytes of the block on the wire, header included.
    pub fn encoded_bytes(&self) -> usize {
        Block::HEADER_BYTES + self.payload.len()
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
        lengths[..4].copy_from_slice(&(self.attributes_bytes() as u32).to_le_bytes());
        lengths[4..].copy_from_slice(&(self.body.len() as u32).to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&lengths);
        hasher.update(&self.payload);
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
        out.put_u32_le(length(self.attributes_bytes())?);
        out.put_u32_le(length(self.body.len())?);
        out.put_slice(&self.payload);
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        let crc = input.field("crc")?;
        let attributes_bytes: u32 = input.field("attributes_bytes")?;
        let body_bytes: u32 = input.field("body_bytes")?;
        let attributes_bytes = attributes_bytes as usize;
        let payload = input.take(attributes_bytes.saturating_add(body_bytes as usize))?;
        Ok(Block::from_payload(crc, attributes_bytes, payload))
    }
}

/// The two in one buffer, and the second as a part of it.
fn join(attributes: &[u8], body: Bytes) -> (Bytes, Bytes) {
    if attributes.is_empty() {
        return (body.clone(), body);
    }
    let payload = Bytes::from([attributes, &body].concat());
    let body = payload.slice(attributes.len()..);
    (payload, body)
}
