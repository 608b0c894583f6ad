//! Reading a segment from front to back, entry by entry, in bounded memory.
//!
//! A scan says what stands there and where it stops; what a stop means, damage or a torn tail, is
//! decided in [`super::replay`].
//!
//! It may pass over messages that nobody wants ([`Skip`]). Of an entry that is read in part the body's checksum says
//! nothing; but each record that is read proves itself, each message has its own checksum, and with those that are
//! passed over they must be as many as the header says, without a byte between them. An entry of which that is not
//! true is read whole.

use std::ops::Range;

use super::proven::{Proven, Whose, proven};
use super::segment::SEGMENT_HEADER_BYTES;
use crate::checksum::Salt;
use crate::disk::{DiskError, DiskFile, PAGE_BYTES, Pages};
use crate::entry::{
    ENTRY_ALIGN, ENTRY_HEADER_BYTES, EntryError, EntryHeader, check_body, entry_bytes,
};
use crate::ids::Position;
use crate::location::Segment;
use crate::pace::{BYTES_READ_PER_BYTE, Pace};

/// Read from the file at once, at least.
const CHUNK_BYTES: usize = 1 << 20;

/// Messages of one entry, one behind the other, that need not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skip {
    /// Where their records are.
    pub(crate) bytes: Range<u64>,
    /// How many they are.
    pub(crate) records: u32,
}

impl Skip {
    /// How many bytes they take.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

/// A window on a file that moves forward.
struct Window<'f> {
    file: &'f dyn DiskFile,
    reading: Reading<'f>,
    /// No byte from here on is looked at.
    end: u64,
    /// What need not be read, ascending.
    skips: &'f [Skip],
    chunk: Chunk,
}

/// How a file is read.
#[derive(Debug, Clone, Copy)]
enum Reading<'f> {
    Usual,
    /// As the device holds it.
    Durable,
    /// Once and never again soon, piece by piece at a pace.
    PastCache(&'f Pace),
}

/// What was read of a file. A scan that goes on in steps keeps it from one to the next, or each would read
/// again what the one before had read behind its end.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Where in the file it begins.
    start: u64,
    /// How long it is.
    length: usize,
    memory: Pages,
}

impl Chunk {
    /// Makes it begin at `start` with what it has from there on, and room for so many bytes.
    fn slide(&mut self, start: u64, bytes: usize) {
        let before = start.checked_sub(self.start).and_then(|before| usize::try_from(before).ok());
        let kept = before.filter(|before| *before <= self.length);
        let kept = kept.map_or(0..0, |before| before..self.length);
        self.length = kept.len();
        if self.memory.bytes().len() < bytes {
            let mut larger = Pages::new(bytes);
            larger.slice(self.length).copy_from_slice(&self.memory.bytes()[kept]);
            self.memory = larger;
        } else {
            self.memory.slice(kept.end).copy_within(kept, 0);
        }
        self.start = start;
    }
}

impl<'f> Window<'f> {
    fn new(file: &'f dyn DiskFile, reading: Reading<'f>, end: u64) -> Self {
        Self { file, reading, end, skips: &[], chunk: Chunk::default() }
    }

    /// The bytes from `offset` on: `count`, or as many as there are before the end.
    fn at(&mut self, offset: u64, count: usize) -> Result<&[u8], DiskError> {
        let left = |from| usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        let count = left(offset).min(count);
        let chunk = &self.chunk;
        let has =
            offset >= chunk.start && offset - chunk.start + count as u64 <= chunk.length as u64;
        if !has {
            let (page, at_once) = match self.reading {
                // Who is in a hurry waits for fewer reads.
                Reading::PastCache(pace) => (PAGE_BYTES, CHUNK_BYTES.max(piece_bytes(pace))),
                _ => (1, CHUNK_BYTES),
            };
            let before = (offset % page as u64) as usize;
            let start = offset - before as u64;
            let at_once = at_once.min(self.skips_from(offset).first().map_or(at_once, |skip| {
                usize::try_from(skip.bytes.start - start).unwrap_or(at_once)
            }));
            let bytes = (before + count).max(at_once).min(left(start)).next_multiple_of(page);
            self.fill(start, bytes)?;
        }
        let chunk = &self.chunk;
        let bytes = &chunk.memory.bytes()[..chunk.length];
        let from = ((offset - chunk.start) as usize).min(bytes.len());
        Ok(&bytes[from..(from + count).min(bytes.len())])
    }

    /// What need not be read from `offset` on.
    fn skips_from(&self, offset: u64) -> &'f [Skip] {
        &self.skips[self.skips.partition_point(|skip| skip.bytes.start < offset)..]
    }

    /// Makes the chunk one of so many bytes from `start` on, or of as many as there are.
    fn fill(&mut self, start: u64, bytes: usize) -> Result<(), DiskError> {
        let chunk = &mut self.chunk;
        chunk.slide(start, bytes);
        let offset = start + chunk.length as u64;
        let missing = &mut chunk.memory.slice(bytes.max(chunk.length))[chunk.length..];
        chunk.length += match self.reading {
            Reading::Usual => self.file.read_at(offset, missing)?,
            Reading::Durable => self.file.read_durable_at(offset, missing)?,
            Reading::PastCache(pace) => read_past_cache(self.file, offset, missing, pace)?,
        };
        Ok(())
    }
}

fn piece_bytes(pace: &Pace) -> usize {
    usize::try_from(pace.piece_bytes()).expect("a piece fits in memory")
}

/// Whoever waits for the disk meanwhile waits for a piece at most.
fn read_past_cache(
    file: &dyn DiskFile,
    offset: u64,
    bytes: &mut [u8],
    pace: &Pace,
) -> Result<usize, DiskError> {
    let mut read = 0;
    while read < bytes.len() {
        let piece = piece_bytes(pace) / PAGE_BYTES * PAGE_BYTES;
        let end = (read + piece).min(bytes.len());
        let count = file.read_past_cache_at(offset + read as u64, &mut bytes[read..end])?;
        pace.moved(count as u64 / BYTES_READ_PER_BYTE);
        read += count;
        if read < end {
            break;
        }
    }
    Ok(read)
}

/// One step of a scan.
pub(crate) enum Step<'s> {
    /// A valid entry.
    Entry {
        /// Where it begins.
        offset: u64,
        /// Its header.
        header: EntryHeader,
        /// Its records.
        body: &'s [u8],
    },
    /// No valid entry begins here.
    Stop {
        /// Here.
        offset: u64,
        /// The position that was due.
        expected: Position,
        /// The header, if that much was valid.
        header: Option<EntryHeader>,
        /// What is wrong.
        cause: EntryError,
    },
}

/// Reads the entries of one segment.
pub(crate) struct Scan<'f> {
    window: Window<'f>,
    salt: Salt,
    offset: u64,
    expected: Position,
    /// Whether positions may be missing: the compactor left entries out.
    has_gaps: bool,
    /// The newest durable position that a header claimed.
    claimed: Position,
    /// What was read of an entry, if not all of it was.
    parts: Vec<u8>,
    /// How many bytes were passed over.
    skipped: u64,
}

impl<'f> Scan<'f> {
    /// A scan of `file` whose first entry is `first`; looks at no byte from `end` on.
    pub(crate) fn new(
        file: &'f dyn DiskFile,
        durable: bool,
        salt: Salt,
        first: Position,
        end: u64,
    ) -> Self {
        Self {
            window: Window::new(file, if durable { Reading::Durable } else { Reading::Usual }, end),
            salt,
            offset: SEGMENT_HEADER_BYTES,
            expected: first,
            has_gaps: false,
            claimed: first.previous(),
            parts: Vec::new(),
            skipped: 0,
        }
    }

    /// A scan of a sealed segment whose entries end at `bytes`.
    pub(crate) fn of_sealed(segment: &'f Segment, bytes: u64) -> Self {
        let scan = Self::new(&*segment.file, false, segment.salt, segment.first, bytes);
        scan.with_gaps(segment.generation > 0)
    }

    /// Whether positions may be missing: the compactor leaves entries out.
    pub(crate) fn with_gaps(self, has_gaps: bool) -> Self {
        Self { has_gaps, ..self }
    }

    /// The segment's salt.
    pub(crate) fn salt(&self) -> Salt {
        self.salt
    }

    /// Where the next step begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The position that is due.
    pub(crate) fn expected(&self) -> Position {
        self.expected
    }

    /// Goes on at another place: behind damage.
    pub(crate) fn resume(&mut self, offset: u64, expected: Position) {
        self.offset = offset;
        self.expected = expected;
    }

    /// Reads past the page cache, piece by piece at this pace.
    pub(crate) fn past_cache(mut self, pace: &'f Pace) -> Self {
        self.window.reading = Reading::PastCache(pace);
        self
    }

    /// Passes over these, which ascend.
    pub(crate) fn with_skips(mut self, skips: &'f [Skip]) -> Self {
        self.window.skips = skips;
        self
    }

    /// How many bytes were passed over.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Goes on with what an earlier scan of the same file has read.
    pub(crate) fn with_chunk(mut self, chunk: Chunk) -> Self {
        self.window.chunk = chunk;
        self
    }

    /// What was read, for a scan that goes on.
    pub(crate) fn into_chunk(self) -> Chunk {
        self.window.chunk
    }

    /// Reads the entry that is due. After a stop, the next step stops there again.
    pub(crate) fn step(&mut self) -> Result<Step<'_>, DiskError> {
        let (offset, expected, salt) = (self.offset, self.expected, self.salt);
        let left = self.window.end.saturating_sub(offset);
        let stop = |header, cause| Ok(Step::Stop { offset, expected, header, cause });
        let bytes = self.window.at(offset, ENTRY_HEADER_BYTES)?;
        let header = match EntryHeader::decode(bytes, salt, left) {
            Ok(header) => header,
            Err(cause) => return stop(None, cause),
        };
        let is_due = match self.has_gaps {
            true => header.position >= expected,
            false => header.position == expected,
        };
        if !is_due {
            let found = header.position;
            return stop(None, EntryError::Position { expected, found });
        }
        // The header vouches for the length, and it fits the segment: now it may be read.
        let is_in_parts = self.read_parts(offset, &header)?;
        if !is_in_parts {
            let bytes = self.window.at(offset, header.bytes() as usize)?;
            let behind = bytes.get(ENTRY_HEADER_BYTES..).unwrap_or(&[]);
            if let Err(cause) = check_body(&header, salt, behind) {
                return stop(Some(header), cause);
            }
        }
        self.offset += header.bytes();
        self.expected = header.position.next();
        self.claimed = self.claimed.max(header.durable);
        let body = match is_in_parts {
            true => &self.parts,
            false => {
                let bytes = self.window.at(offset, header.bytes() as usize)?;
                &bytes[ENTRY_HEADER_BYTES..ENTRY_HEADER_BYTES + header.body_bytes as usize]
            }
        };
        Ok(Step::Entry { offset, header, body })
    }

    /// Reads of the entry at `offset` what need not be passed over; false if that is all of it, or does not add up.
    fn read_parts(&mut self, offset: u64, header: &EntryHeader) -> Result<bool, DiskError> {
        let begin = offset + ENTRY_HEADER_BYTES as u64;
        let end = begin + u64::from(header.body_bytes);
        let skips = self.window.skips_from(begin);
        let skips = &skips[..skips.partition_point(|skip| skip.bytes.start < end)];
        if skips.is_empty() {
            return Ok(false);
        }
        self.parts.clear();
        let behind = skips.iter().map(|skip| skip.bytes.end);
        let parts = std::iter::once(begin).chain(behind);
        let ends = skips.iter().map(|skip| skip.bytes.start).chain([end]);
        let mut records = skips.iter().map(|skip| u64::from(skip.records)).sum::<u64>();
        for (from, to) in parts.zip(ends) {
            let Some(count) = to.checked_sub(from) else { return Ok(false) };
            if count == 0 {
                continue;
            }
            let part = self.window.at(from, count as usize)?;
            match count_proven(part, self.salt, header.position) {
                Some(count) if part.len() as u64 == to - from => records += count,
                _ => return Ok(false),
            }
            self.parts.extend_from_slice(part);
        }
        if records != u64::from(header.records) {
            return Ok(false);
        }
        self.skipped += u64::from(header.body_bytes) - self.parts.len() as u64;
        Ok(true)
    }

    /// The bytes of the entry that starts at the current offset, as far as they are there.
    pub(crate) fn body_of(&mut self, header: &EntryHeader) -> Result<&[u8], DiskError> {
        let bytes = self.window.at(self.offset, header.bytes() as usize)?;
        Ok(bytes.get(ENTRY_HEADER_BYTES..).unwrap_or(&[]))
    }

    /// Searches everything behind the current offset for what tells damage from a torn tail.
    pub(crate) fn look_behind(&mut self) -> Result<Behind, DiskError> {
        let mut behind = Behind {
            claimed: self.claimed,
            next: None,
            is_displaced: false,
            written_end: self.offset,
        };
        let (begin, expected, has_gaps) = (self.offset, self.expected, self.has_gaps);
        // An entry that is not due yet may stand there only if those before it had room.
        let may_be_at = |position: Position, offset: u64| {
            let before = position.0.saturating_sub(expected.0);
            let before = if has_gaps { before.min(1) } else { before };
            position > expected && offset - begin >= before.saturating_mul(entry_bytes(0))
        };
        let mut offset = begin;
        while offset < self.window.end {
            let left = self.window.end - offset;
            let chunk = self.window.at(offset, CHUNK_BYTES)?;
            if chunk.is_empty() {
                break;
            }
            if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
                behind.written_end = offset + last as u64 + 1;
                // No header begins behind it.
                let found = headers_in(chunk, last, self.salt, left);
                for (at, header) in found {
                    let at = offset + at as u64;
                    if at == begin {
                        continue;
                    }
                    behind.claimed = behind.claimed.max(header.durable);
                    match behind.next {
                        None if may_be_at(header.position, at) => {
                            behind.next = Some((at, header.position));
                        }
                        None => {}
                        Some((_, next)) => behind.is_displaced |= header.position < next,
                    }
                }
            }
            if chunk.len() < CHUNK_BYTES {
                break;
            }
            // A header may lie across the chunks' border: look at its first bytes again.
            offset += (CHUNK_BYTES - ENTRY_HEADER_BYTES.next_multiple_of(ENTRY_ALIGN)) as u64;
        }
        // What stands where it does not belong is passed over next time, and has claimed it all the same.
        self.claimed = behind.claimed;
        Ok(behind)
    }
}

/// How many records stand here, of the entry at `position`, if they are that and nothing else, and whole.
fn count_proven(part: &[u8], salt: Salt, position: Position) -> Option<u64> {
    let (mut rest, mut records) = (part, 0);
    while !rest.is_empty() {
        let Proven { record, bytes, .. } = proven(rest, salt, &Whose::Entry(position))?;
        if let Some(message) = record.message() {
            message.check_payload().ok()?;
        }
        (rest, records) = (&rest[bytes..], records + 1);
    }
    Some(records)
}

/// What lies behind the place where a scan stopped.
#[derive(Debug)]
pub(crate) struct Behind {
    /// The newest durable position that any valid header claims, before or behind.
    pub(crate) claimed: Position,
    /// The first valid header of a later entry: its offset and position.
    pub(crate) next: Option<(u64, Position)>,
    /// Behind that there are headers of entries before it: not everything stands where it was written.
    pub(crate) is_displaced: bool,
    /// Behind the last byte that is not zero.
    pub(crate) written_end: u64,
}

/// Every valid header in a chunk that begins at `last` or before it, with its offset in it.
fn headers_in(
    chunk: &[u8],
    last: usize,
    salt: Salt,
    left: u64,
) -> impl Iterator<Item = (usize, EntryHeader)> + '_ {
    (0..=last).step_by(ENTRY_ALIGN).filter_map(move |at| {
        let header = EntryHeader::decode(&chunk[at..], salt, left - at as u64).ok()?;
        Some((at, header))
    })
}
