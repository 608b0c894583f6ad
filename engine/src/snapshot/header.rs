//! A snapshot's header: whose state it is, and as of when.

use uuid::Uuid;

use crate::checksum;
use crate::codec::Fields;
use crate::ids::{Position, QueueId, StoreId};
use crate::time::LogTime;

/// A snapshot's first bytes.
pub(super) const HEADER_BYTES: usize = 64;

/// The newest version that this code reads, and the one that it writes. Version 1 has no attributes
/// but numbers, and is read alike.
const VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"FOREBAYS";

/// Where the checksum stands.
const CRC: std::ops::Range<usize> = 12..16;

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotHeader {
    /// The store.
    pub(crate) store: StoreId,
    /// Every entry up to this one is contained in every part.
    pub(crate) position: Position,
    /// No part contains an entry behind this one.
    pub(crate) through: Position,
    /// The newest log time.
    pub(crate) log_time: LogTime,
    /// The greatest number given to a queue.
    pub(crate) last_queue: QueueId,
    /// How many parts, and so queues, it has.
    pub(crate) parts: u32,
}

/// Why bytes are no header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Of a later version.
    TooNew { found: u32, supported: u32 },
    /// Something else, in a sentence.
    Wrong(String),
}

impl SnapshotHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(self.store.0.as_bytes());
        bytes.extend_from_slice(&self.position.0.to_le_bytes());
        bytes.extend_from_slice(&self.through.0.to_le_bytes());
        bytes.extend_from_slice(&self.log_time.0.to_le_bytes());
        bytes.extend_from_slice(&self.last_queue.0.to_le_bytes());
        bytes.extend_from_slice(&self.parts.to_le_bytes());
        let mut bytes: [u8; HEADER_BYTES] =
            bytes.try_into().expect("the fields above are 64 bytes");
        let crc = crc(&bytes);
        bytes[CRC].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes any bytes to a header or to what is wrong with them.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderError> {
        let mut fields = Fields::new(bytes);
        let mut u32 = || fields.u32().expect("a header has 64 bytes");
        // The magic is read as two of them.
        let magic = [u32(), u32()].map(u32::to_le_bytes).concat();
        if magic != MAGIC {
            let detail = format!("not a snapshot: magic {magic:02x?}, expected {MAGIC:02x?}");
            return Err(HeaderError::Wrong(detail));
        }
        let (version, found, expected) = (u32(), u32(), crc(bytes));
        if version > VERSION {
            return Err(HeaderError::TooNew { found: version, supported: VERSION });
        }
        if found != expected {
            let detail = format!("header checksum {found:08x}, expected {expected:08x}");
            return Err(HeaderError::Wrong(detail));
        }
        if version == 0 {
            return Err(HeaderError::Wrong(format!("version {version}, expected 1 to {VERSION}")));
        }
        Ok(Self::decode_fields(fields).expect("a header has 64 bytes"))
    }

    fn decode_fields(mut fields: Fields<'_>) -> Option<Self> {
        Some(Self {
            store: StoreId(Uuid::from_bytes(fields.array()?)),
            position: Position(fields.u64()?),
            through: Position(fields.u64()?),
            log_time: LogTime(fields.u64()?),
            last_queue: QueueId(fields.u32()?),
            parts: fields.u32()?,
        })
    }
}

/// The checksum of the header without its place.
fn crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
    checksum::plain(&[&bytes[..CRC.start], &bytes[CRC.end..]])
}
