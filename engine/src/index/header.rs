//! The header page of an index file, and the places of its parts (FORMAT.md section 4).

use super::block::{BLOCK_BYTES, BLOCK_ITEMS};
use crate::checksum::{Running, Salt};
use crate::codec::Fields;
use crate::ids::{Position, StoreId};
use crate::location::Segment;
use crate::options::SEGMENT_BYTES_MAX;
use crate::time::LogTime;

/// The newest version of an index that this code reads, and the one that it writes.
pub(crate) const INDEX_VERSION: u32 = 1;

/// The header page.
pub(super) const HEADER_BYTES: usize = BLOCK_BYTES;

/// A row of the queue table.
pub(super) const ROW_BYTES: usize = 48;

const MAGIC: [u8; 8] = *b"FOREBAYI";

/// Which segment an index belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexIdentity {
    pub(crate) store: StoreId,
    /// The segment's first position.
    pub(crate) first: Position,
    /// The segment's.
    pub(crate) salt: Salt,
    /// The segment's.
    pub(crate) generation: u32,
    /// When the segment was created.
    pub(crate) created: LogTime,
    /// The segment's last position.
    pub(crate) last: Position,
    /// Where the segment's last entry ends.
    pub(crate) sealed_bytes: u64,
}

impl IndexIdentity {
    /// Of a segment that covers the positions to `last` and whose entries end at `sealed_bytes`.
    pub(crate) fn new(
        store: StoreId,
        segment: &Segment,
        last: Position,
        sealed_bytes: u64,
    ) -> Self {
        let Segment { first, salt, generation, created, .. } = *segment;
        Self { store, first, salt, generation, created, last, sealed_bytes }
    }
}

/// How many of each an index has, and so where each part of its file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) queues: u32,
    pub(super) runs: u32,
    pub(super) slots: u32,
}

/// What the header page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: IndexIdentity,
    pub(super) counts: Counts,
    pub(super) control_bytes: u64,
}

/// Why a header is none that this code reads.
#[derive(Debug)]
pub(super) enum HeaderError {
    /// Of this newer version.
    TooNew(u32),
    /// What is wrong with it.
    Wrong(String),
}

impl Counts {
    /// The queue table, with the zeros behind it.
    pub(super) fn table_bytes(&self) -> u64 {
        (u64::from(self.queues) * ROW_BYTES as u64).next_multiple_of(BLOCK_BYTES as u64)
    }

    /// The number of the first block, which begins behind the table.
    pub(super) fn first_block(&self) -> u64 {
        (HEADER_BYTES as u64 + self.table_bytes()) / BLOCK_BYTES as u64
    }

    /// The number of the first block with slots; those before it have runs.
    pub(super) fn first_slot_block(&self) -> u64 {
        self.first_block() + u64::from(self.runs).div_ceil(BLOCK_ITEMS as u64)
    }

    /// The number after the last block's.
    pub(super) fn end_block(&self) -> u64 {
        self.first_slot_block() + u64::from(self.slots).div_ceil(BLOCK_ITEMS as u64)
    }

    /// The whole file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.end_block() * BLOCK_BYTES as u64
    }
}

impl Header {
    /// The page without its checksum, which covers the queue table too.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut page = [0; HEADER_BYTES];
        let mut rest = &mut page[..];
        let mut put = |bytes: &[u8]| {
            let (field, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            field.copy_from_slice(bytes);
            rest = behind;
        };
        let Self { identity, counts, control_bytes } = self;
        put(&MAGIC);
        put(&INDEX_VERSION.to_le_bytes());
        put(&[0; 4]);
        put(identity.store.0.as_bytes());
        put(&identity.first.0.to_le_bytes());
        put(&identity.salt.0.to_le_bytes());
        put(&identity.generation.to_le_bytes());
        put(&counts.queues.to_le_bytes());
        put(&counts.runs.to_le_bytes());
        put(&counts.slots.to_le_bytes());
        put(&identity.created.0.to_le_bytes());
        put(&identity.last.0.to_le_bytes());
        put(&identity.sealed_bytes.to_le_bytes());
        put(&control_bytes.to_le_bytes());
        page
    }

    /// Reads the header of a whole file, and checks header and queue table.
    pub(super) fn decode(file: &[u8]) -> Result<Self, HeaderError> {
        let short = || HeaderError::Wrong(format!("{} bytes are too few", file.len()));
        let mut fields = Fields::new(file);
        let magic = fields.array::<8>().ok_or_else(short)?;
        if magic != MAGIC {
            let detail = format!("not an index: magic {magic:02x?}, expected {MAGIC:02x?}");
            return Err(HeaderError::Wrong(detail));
        }
        let version = fields.u32().ok_or_else(short)?;
        if version > INDEX_VERSION {
            return Err(HeaderError::TooNew(version));
        }
        let checksum = fields.u32().ok_or_else(short)?;
        let header = Self::decode_fields(&mut fields).ok_or_else(short)?;
        header.check(file, version, checksum).map_err(HeaderError::Wrong)?;
        Ok(header)
    }

    fn decode_fields(fields: &mut Fields<'_>) -> Option<Self> {
        let store = StoreId(uuid::Uuid::from_bytes(fields.array()?));
        let first = Position(fields.u64()?);
        let salt = Salt(fields.u64()?);
        let generation = fields.u32()?;
        let (queues, runs, slots) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let created = LogTime(fields.u64()?);
        let last = Position(fields.u64()?);
        let sealed_bytes = fields.u64()?;
        let control_bytes = fields.u64()?;
        let identity =
            IndexIdentity { store, first, salt, generation, created, last, sealed_bytes };
        Some(Self { identity, counts: Counts { queues, runs, slots }, control_bytes })
    }

    fn check(&self, file: &[u8], version: u32, found: u32) -> Result<(), String> {
        let (bytes, bytes_expected) = (file.len() as u64, self.counts.file_bytes());
        if bytes != bytes_expected {
            return Err(format!("{bytes} bytes, expected {bytes_expected}"));
        }
        // The size is right, so header and table lie in the file.
        let (page, behind) = file.split_at(HEADER_BYTES);
        let mut expected = header_checksum(page);
        expected.add(&behind[..self.counts.table_bytes() as usize]);
        let expected = expected.finish();
        if found != expected {
            return Err(format!("checksum {found:08x}, expected {expected:08x}"));
        }
        if version != INDEX_VERSION {
            return Err(format!("version {version}, expected {INDEX_VERSION}"));
        }
        match self.control_bytes <= SEGMENT_BYTES_MAX {
            true => Ok(()),
            false => Err(format!("{} bytes of records in one segment", self.control_bytes)),
        }
    }
}

impl IndexIdentity {
    /// Whether an index that says `self` is that of the segment; if not, what differs.
    pub(super) fn check(&self, expected: &Self) -> Result<(), String> {
        let differs =
            |what: &str, found: &dyn std::fmt::Display, wanted: &dyn std::fmt::Display| {
                Err(format!("{what} {found}, expected {wanted}"))
            };
        if self.store != expected.store {
            return differs("belongs to store", &self.store, &expected.store);
        }
        if self.salt != expected.salt {
            let (found, wanted) = (self.salt.0, expected.salt.0);
            return Err(format!("salt {found:016x}, expected {wanted:016x}"));
        }
        let numbers = |identity: &Self| {
            [
                ("first position", identity.first.0),
                ("generation", u64::from(identity.generation)),
                ("last position", identity.last.0),
                ("sealed bytes", identity.sealed_bytes),
                ("created", identity.created.0),
            ]
        };
        for ((what, found), (_, wanted)) in numbers(self).into_iter().zip(numbers(expected)) {
            if found != wanted {
                return differs(what, &found, &wanted);
            }
        }
        Ok(())
    }
}

/// Where in the page its checksum is.
pub(super) const CHECKSUM_PLACE: std::ops::Range<usize> = 12..16;

/// The checksum of a header page so far: the queue table is still to be added.
pub(super) fn header_checksum(page: &[u8]) -> Running {
    let mut checksum = Running::default();
    checksum.add(&page[..CHECKSUM_PLACE.start]);
    checksum.add(&page[CHECKSUM_PLACE.end..]);
    checksum
}
