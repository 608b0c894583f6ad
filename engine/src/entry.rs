//! Entries: the unit of commit (FORMAT.md section 3.1).
//!
//! [`EntryBuilder`] collects the records of one entry, and seals what has come while more comes;
//! [`seal_entry`] writes header, checksums and seals when the entry's place is known;
//! [`EntryHeader::decode`] and [`check_body`] read it back, believing nothing before its checksum.

use crate::broken::{Mistake, makes};
use bytes::{Buf, BufMut, BytesMut};

use crate::checksum::{self, Placed, Running, Salt};
use crate::codec::Fields;
use crate::disk::PageWriter;
use crate::ids::Position;
use crate::record::{Record, RecordError, RecordFrame, RecordWriter, seal_record};
use crate::time::LogTime;

/// Bytes before an entry's records.
pub const ENTRY_HEADER_BYTES: usize = 56;

/// Bytes before a segment's first entry: its header page.
pub const SEGMENT_HEADER_BYTES: u64 = 4096;

/// So much of an entry is sealed at once, before its checksum goes on.
const SEALED_BYTES: usize = 16 << 10;

/// New memory for an entry of so many bytes gets room for pages, so that it can be written as it is; of a smaller one
/// that would be too much of it.
const IN_PLACE_BYTES_MIN: usize = 16 << 10;

/// Entries begin at multiples of this.
pub const ENTRY_ALIGN: usize = 8;

/// The term of every entry until the log is replicated.
pub const TERM: u64 = 1;

const MAGIC: [u8; 4] = *b"FBEN";

/// How many bytes an entry with `body_bytes` of records takes in its segment.
pub fn entry_bytes(body_bytes: u64) -> u64 {
    (ENTRY_HEADER_BYTES as u64 + body_bytes).next_multiple_of(ENTRY_ALIGN as u64)
}

/// What an entry's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHeader {
    /// The entry's number.
    pub position: Position,
    /// Raft's term.
    pub term: u64,
    /// Every entry up to this one was synced before this one was written.
    pub durable: Position,
    /// When it was closed.
    pub log_time: LogTime,
    /// Bytes of its records, without padding.
    pub body_bytes: u32,
    /// How many records.
    pub records: u32,
    /// Checksum of the records.
    pub body_crc: u32,
}

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Fewer bytes are left than a header or the stated body takes.
    #[error("entry needs {needed} bytes, {left} are left in the segment")]
    Length {
        /// What it takes.
        needed: u64,
        /// What is left.
        left: u64,
    },
    /// There is nothing: the header's bytes are all zero.
    #[error("no entry: zeros")]
    Zeros,
    /// The header does not begin with the magic.
    #[error("entry magic {found:02x?}, expected {expected:02x?}", expected = MAGIC)]
    Magic {
        /// What stands there.
        found: [u8; 4],
    },
    /// The header's checksum does not fit: not a header, or of another segment.
    #[error("entry header checksum {found:08x}, expected {expected:08x}")]
    HeaderChecksum {
        /// What the bytes give.
        expected: u32,
        /// What is written.
        found: u32,
    },
    /// Another position than the one that is due.
    #[error("entry has position {found}, expected {expected}")]
    Position {
        /// The position due.
        expected: Position,
        /// The one found.
        found: Position,
    },
    /// The header's numbers contradict each other or the entry before.
    #[error("entry {position} has {field} {found}, expected {expected}")]
    Header {
        /// The entry.
        position: Position,
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it should be.
        expected: String,
    },
    /// The records' checksum does not fit.
    #[error("entry {position} body checksum {found:08x}, expected {expected:08x}")]
    BodyChecksum {
        /// The entry.
        position: Position,
        /// What the bytes give.
        expected: u32,
        /// What is written.
        found: u32,
    },
    /// The bytes between the last record and the next entry are not zero.
    #[error("entry {position}: padding is not zero")]
    Padding {
        /// The entry.
        position: Position,
    },
    /// The body's checksum fits, but a record does not.
    #[error("entry {position}, record {index}: {source}")]
    Record {
        /// The entry.
        position: Position,
        /// The record's index in it.
        index: u32,
        /// What is wrong with it.
        source: RecordError,
    },
}

impl EntryHeader {
    /// That of an entry which is written when everything before it is synced; of its body it says nothing yet.
    pub(crate) fn without_body(position: Position, log_time: LogTime) -> Self {
        let durable = position.previous();
        Self { position, term: TERM, durable, log_time, body_bytes: 0, records: 0, body_crc: 0 }
    }

    /// Reads the header at the start of `bytes`: magic, checksum, and that the stated body fits
    /// in `left`, the bytes from the entry's start to the segment's end.
    pub fn decode(bytes: &[u8], salt: Salt, left: u64) -> Result<Self, EntryError> {
        let Some(bytes) = bytes.first_chunk::<ENTRY_HEADER_BYTES>() else {
            return Err(EntryError::Length { needed: ENTRY_HEADER_BYTES as u64, left });
        };
        if *bytes == [0; ENTRY_HEADER_BYTES] {
            return Err(EntryError::Zeros);
        }
        let mut fields = Fields::new(bytes);
        let header = (|| {
            let magic = fields.array::<4>()?;
            let crc = fields.u32()?;
            let header = Self {
                position: Position(fields.u64()?),
                term: fields.u64()?,
                durable: Position(fields.u64()?),
                log_time: LogTime(fields.u64()?),
                body_bytes: fields.u32()?,
                records: fields.u32()?,
                body_crc: fields.u32()?,
            };
            Some((magic, crc, header, fields.u32()?))
        })();
        let (magic, found, header, zero) = header.expect("56 bytes hold a header");
        if magic != MAGIC {
            return Err(EntryError::Magic { found: magic });
        }
        let expected = checksum::salted(salt, &[&bytes[8..]]);
        if found != expected && !makes(Mistake::HeaderUnchecked) {
            return Err(EntryError::HeaderChecksum { expected, found });
        }
        header.check(zero, left)?;
        Ok(header)
    }

    fn check(&self, zero: u32, left: u64) -> Result<(), EntryError> {
        let wrong = |field, found, expected: String| {
            Err(EntryError::Header { position: self.position, field, found, expected })
        };
        if zero != 0 {
            return wrong("reserved field", u64::from(zero), "0".to_owned());
        }
        if self.position > Position::MAX {
            return wrong("position", self.position.0, format!("at most {}", Position::MAX));
        }
        if self.durable >= self.position {
            return wrong(
                "durable position",
                self.durable.0,
                format!("less than {}", self.position),
            );
        }
        if self.bytes() > left {
            return Err(EntryError::Length { needed: self.bytes(), left });
        }
        Ok(())
    }

    /// The entry's size in its segment, header and padding included.
    pub fn bytes(&self) -> u64 {
        entry_bytes(u64::from(self.body_bytes))
    }

    fn encode(&self, salt: Salt, out: &mut [u8]) {
        let mut bytes = BytesMut::with_capacity(ENTRY_HEADER_BYTES);
        bytes.put_slice(&MAGIC);
        bytes.put_u32_le(0);
        bytes.put_u64_le(self.position.0);
        bytes.put_u64_le(self.term);
        bytes.put_u64_le(self.durable.0);
        bytes.put_u64_le(self.log_time.0);
        bytes.put_u32_le(self.body_bytes);
        bytes.put_u32_le(self.records);
        bytes.put_u32_le(self.body_crc);
        bytes.put_u32_le(0);
        let crc = checksum::salted(salt, &[&bytes[8..]]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        out.copy_from_slice(&bytes);
    }
}

/// Checks an entry's records against its header: `behind` is what follows the header, padding
/// included. Every record's seal is checked too.
pub fn check_body(header: &EntryHeader, salt: Salt, behind: &[u8]) -> Result<(), EntryError> {
    let position = header.position;
    let Some((body, padding)) = behind.split_at_checked(header.body_bytes as usize) else {
        return Err(EntryError::Length { needed: header.bytes(), left: behind.len() as u64 });
    };
    if header.bytes() > (ENTRY_HEADER_BYTES + behind.len()) as u64 {
        return Err(EntryError::Length { needed: header.bytes(), left: behind.len() as u64 });
    }
    if makes(Mistake::BodyUnchecked) {
        return Ok(());
    }
    let expected = Placed::new(salt, position).crc(&[body]);
    if expected != header.body_crc {
        let found = header.body_crc;
        return Err(EntryError::BodyChecksum { position, expected, found });
    }
    if padding.iter().any(|byte| *byte != 0) {
        return Err(EntryError::Padding { position });
    }
    let mut rest = body;
    for index in 0..header.records {
        let wrong = |source| EntryError::Record { position, index, source };
        let (frame, behind) = RecordFrame::split(rest).map_err(wrong)?;
        frame.check_seal(salt, position).map_err(wrong)?;
        frame.decode().map_err(wrong)?;
        rest = behind;
    }
    if !rest.is_empty() {
        let expected = format!("records that fill {} bytes", header.body_bytes);
        let found = (header.body_bytes as usize - rest.len()) as u64;
        return Err(EntryError::Header { position, field: "record bytes", found, expected });
    }
    Ok(())
}

/// The records of a checked body, each with its offset in the body and its size.
pub fn records(body: &[u8]) -> impl Iterator<Item = (Record<'_>, usize, usize)> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (record, behind) = Record::decode(rest).ok()?;
        let offset = body.len() - rest.len();
        let size = rest.len() - behind.len();
        rest = behind;
        Some((record, offset, size))
    })
}

/// The records of the next entry, as they are decided.
#[derive(Debug)]
pub struct EntryBuilder {
    /// From `start` on room for the header, then the records.
    buffer: BytesMut,
    start: usize,
    records: u32,
    /// What is sealed already.
    sealed: Option<Box<Sealed>>,
}

impl Default for EntryBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl EntryBuilder {
    /// An entry without records.
    pub fn new() -> Self {
        Self::begun(BytesMut::new(), 0)
    }

    /// An entry without records, and room for so many bytes of them.
    pub(crate) fn with_capacity(body_bytes: usize) -> Self {
        Self::begun(BytesMut::with_capacity(entry_bytes(body_bytes as u64) as usize), 0)
    }

    /// The same as [`EntryBuilder::new`], with room for as much as the entry `before` it has, in `memory` that was
    /// another's or in new one. Unless that is little, it can be written as it is if it will begin at `offset` of the
    /// file, as long as the memory suffices.
    pub(crate) fn after(before: &Self, memory: Option<BytesMut>, offset: u64) -> Self {
        let bytes = before.bytes();
        let in_place = bytes + PageWriter::ROOM_BYTES;
        let memory = memory.filter(|memory| memory.capacity() >= bytes);
        let mut memory = memory.unwrap_or_else(|| {
            BytesMut::with_capacity(if bytes >= IN_PLACE_BYTES_MIN { in_place } else { bytes })
        });
        memory.clear();
        let is_in_place = memory.capacity() >= in_place;
        let start = if is_in_place { PageWriter::start_in(&memory, offset) } else { 0 };
        Self::begun(memory, start)
    }

    fn begun(mut buffer: BytesMut, start: usize) -> Self {
        buffer.put_bytes(0, start + ENTRY_HEADER_BYTES);
        Self { buffer, start, records: 0, sealed: None }
    }

    /// Bytes of the records so far.
    pub fn body_bytes(&self) -> usize {
        self.buffer.len() - self.start - ENTRY_HEADER_BYTES
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Adds what `write` writes, and returns those bytes' range in the body.
    pub fn append(&mut self, write: impl FnOnce(&mut RecordWriter<'_>)) -> std::ops::Range<usize> {
        let start = self.body_bytes();
        let mut writer = RecordWriter::new(&mut self.buffer);
        write(&mut writer);
        self.records += writer.records();
        start..self.body_bytes()
    }

    /// Seals what has come, but for the last few, for this place: while the entry before is written there is time
    /// for that, and once this one is closed the disk waits for it. If it gets another place all is sealed anew.
    pub(crate) fn seal_ahead(&mut self, salt: Salt, position: Position) {
        let body = &mut self.buffer[self.start + ENTRY_HEADER_BYTES..];
        let sealed = Sealed::of(&mut self.sealed, salt, position);
        while body.len() - sealed.bytes >= SEALED_BYTES {
            sealed.go_on(body, self.records);
        }
    }

    /// Adds the records of another entry.
    pub(crate) fn extend(&mut self, other: &EntryBuilder) {
        self.buffer.extend_from_slice(other.body());
        self.records += other.records;
    }

    /// The records so far.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.start + ENTRY_HEADER_BYTES..]
    }

    /// How many bytes it takes, without padding.
    pub(crate) fn bytes(&self) -> usize {
        ENTRY_HEADER_BYTES + self.body_bytes()
    }

    /// The entry's bytes with an empty header, and how many records it has.
    pub fn finish(self) -> (BytesMut, u32) {
        let mut buffer = self.buffer;
        buffer.advance(self.start);
        (buffer, self.records)
    }

    /// The entry as it is written, and where it begins in this memory.
    pub(crate) fn seal(mut self, salt: Salt, stated: Stated) -> (BytesMut, usize) {
        let sealed = Sealed::of(&mut self.sealed, salt, stated.position);
        sealed.finish(&mut self.buffer, self.start, self.records, stated);
        (self.buffer, self.start)
    }
}

/// Makes the entry out of what [`EntryBuilder::finish`] gave: seals every record, pads, and writes
/// the header.
pub fn seal_entry(
    buffer: &mut BytesMut,
    salt: Salt,
    position: Position,
    durable: Position,
    log_time: LogTime,
    records: u32,
) {
    let stated = Stated { position, durable, log_time };
    Sealed::new(salt, position).finish(buffer, 0, records, stated);
}

/// What an entry's header says that is not in its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stated {
    pub(crate) position: Position,
    pub(crate) durable: Position,
    pub(crate) log_time: LogTime,
}

/// How far an entry is sealed, for a place.
#[derive(Debug)]
struct Sealed {
    place: (Salt, Position),
    placed: Placed,
    /// The checksum of what is sealed.
    body_crc: Running,
    bytes: usize,
    records: u32,
}

impl Sealed {
    fn new(salt: Salt, position: Position) -> Self {
        let placed = Placed::new(salt, position);
        let body_crc = placed.running();
        Self { place: (salt, position), placed, body_crc, bytes: 0, records: 0 }
    }

    /// What is sealed for this place: of what was sealed for another one nothing is.
    fn of(sealed: &mut Option<Box<Self>>, salt: Salt, position: Position) -> &mut Self {
        if sealed.as_ref().is_some_and(|sealed| sealed.place != (salt, position)) {
            *sealed = None;
        }
        sealed.get_or_insert_with(|| Box::new(Self::new(salt, position)))
    }

    /// Seals one stretch more, which is in the processor's nearest cache from the seals to the checksum.
    fn go_on(&mut self, body: &mut [u8], records: u32) {
        let from = self.bytes;
        while self.records < records && self.bytes - from < SEALED_BYTES {
            self.bytes += seal_record(&mut body[self.bytes..], &self.placed);
            self.records += 1;
        }
        self.body_crc.add(&body[from..self.bytes]);
    }

    /// Seals the rest of the entry that begins at `start` of the buffer, pads it, and writes its header.
    fn finish(&mut self, buffer: &mut BytesMut, start: usize, records: u32, stated: Stated) {
        let (header, body) = buffer[start..].split_at_mut(ENTRY_HEADER_BYTES);
        while self.records < records {
            self.go_on(body, records);
        }
        assert_eq!(self.bytes, body.len(), "an entry is its records");
        let Stated { position, durable, log_time } = stated;
        EntryHeader {
            position,
            term: TERM,
            durable,
            log_time,
            body_bytes: u32::try_from(self.bytes).expect("an entry fits a segment, at most 4 GiB"),
            records,
            body_crc: self.body_crc.clone().finish(),
        }
        .encode(self.place.0, header);
        let padded = entry_bytes(self.bytes as u64) as usize;
        buffer.resize(start + padded, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;
    use crate::ids::Epoch;

    const PAGE_BYTES: u64 = disk::PAGE_BYTES as u64;

    /// An entry behind one of 20 KB, that will begin at `offset`.
    fn after_large(memory: Option<BytesMut>, offset: u64) -> EntryBuilder {
        let mut large = EntryBuilder::new();
        large.buffer.put_bytes(0, 20_000);
        EntryBuilder::after(&large, memory, offset)
    }

    #[test]
    fn an_entry_that_will_be_large_begins_in_its_page_as_in_the_file() {
        let mut memory = None;
        for offset in [0, 8, 4088, 4096, 12_344, u64::from(u32::MAX) - 7] {
            let mut entry = after_large(memory, offset);
            assert!(entry.buffer.capacity() >= entry.start + 20_000 + PAGE_BYTES as usize);
            let range = entry.append(|out| out.opened(Epoch(7)));
            assert_eq!((range, entry.body_bytes()), (0..entry.body().len(), entry.body().len()));
            let body = entry.body().to_vec();
            let EntryBuilder { buffer, start, records, .. } = entry;
            assert_eq!((&buffer[start + ENTRY_HEADER_BYTES..], records), (&body[..], 1));
            let address = buffer.as_ptr().addr() + start;
            assert_eq!(address as u64 % PAGE_BYTES, offset % PAGE_BYTES);
            assert!(start as u64 >= offset % PAGE_BYTES, "room for what the page has before it");
            memory = Some(buffer);
        }
    }

    #[test]
    fn memory_that_is_too_small_for_an_entry_is_not_taken() {
        let small = BytesMut::with_capacity(10_000);
        let address = small.as_ptr();
        assert_eq!(
            EntryBuilder::after(&EntryBuilder::new(), Some(small), 8).buffer.as_ptr(),
            address
        );
        assert!(after_large(Some(BytesMut::with_capacity(10_000)), 8).buffer.capacity() > 30_000);
    }

    /// Where it begins in memory, and what of it is sealed before it is closed, for its place or another one.
    #[test]
    fn how_an_entry_was_made_changes_none_of_its_bytes() {
        let (salt, position) = (Salt(5), Position(9));
        let seal = |mut entry: EntryBuilder, ahead: &[(Salt, Position)]| {
            // More than one stretch of seals and checksum.
            for seq in 1..3000 {
                entry.append(|out| out.acked(crate::ids::QueueId(1), &[crate::ids::Seq(seq)]));
                for (salt, position) in ahead {
                    entry.seal_ahead(*salt, *position);
                }
            }
            let stated = Stated { position, durable: Position(8), log_time: LogTime(7) };
            let (buffer, start) = entry.seal(salt, stated);
            buffer[start..].to_vec()
        };
        let entry = seal(EntryBuilder::new(), &[]);
        let in_place = || after_large(None, 4000);
        assert_eq!(seal(in_place(), &[]), entry);
        assert_eq!(seal(in_place(), &[(salt, position)]), entry);
        assert_eq!(seal(in_place(), &[(Salt(6), position)]), entry);
        assert_eq!(seal(in_place(), &[(salt, Position(10))]), entry);
        assert_eq!(seal(in_place(), &[(Salt(6), position), (salt, position)]), entry);
        let header = EntryHeader::decode(&entry, Salt(5), entry.len() as u64).unwrap();
        check_body(&header, Salt(5), &entry[ENTRY_HEADER_BYTES..]).unwrap();
    }
}
