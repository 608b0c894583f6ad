//! What is left of a damaged segment: entries that are whole, and records that prove themselves.

use std::collections::BTreeMap;

use super::Part;
use crate::compactor::proven;
use crate::disk::DiskError;
use crate::entry::{ENTRY_HEADER_BYTES, EntryBuilder, EntryHeader};
use crate::ids::{Position, QueueId, Seq};
use crate::log::scan::{Scan, Step};
use crate::time::LogTime;

/// As much of a damaged extent is searched for records; more than the largest entry.
const SEARCHED_BYTES_MAX: u64 = 32 << 20;

/// The smallest record that says something of a message.
const RECORD_BYTES_MIN: u64 = 24;

/// A stretch of a segment.
pub(super) enum Left<'l> {
    /// A valid entry.
    Entry { header: &'l EntryHeader, body: &'l [u8] },
    /// Where entries are not what was written.
    Damaged(DamagedStretch),
}

/// Entries that are not what was written, and what of them could be read.
#[derive(Debug, Default)]
pub(super) struct DamagedStretch {
    /// The first entry that is concerned, and the first behind it that is not.
    pub(super) first: Position,
    pub(super) next: Position,
    /// Records that prove themselves, by the entries that they were in.
    pub(super) kept: BTreeMap<Position, EntryBuilder>,
    pub(super) log_time: LogTime,
    /// Messages whose records are there and whose bytes are not.
    pub(super) rotten: Vec<(QueueId, Seq)>,
    /// No more records than this are lost.
    pub(super) records_max: u64,
}

/// Reads a damaged segment from front to back.
pub(super) fn read_left(
    part: &Part,
    each: &mut dyn FnMut(Left<'_>) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let (first, salt) = (part.listed.first, part.listed.salt);
    let Some(file) = &part.file else {
        let (next, log_time) = (part.last.next(), part.created);
        return each(Left::Damaged(DamagedStretch {
            first,
            next,
            log_time,
            records_max: part.bytes / RECORD_BYTES_MIN,
            ..DamagedStretch::default()
        }));
    };
    let bytes = part.bytes.min(file.size()?);
    let scan = Scan::new(&**file, part.was_active, salt, first, bytes);
    let mut scan = scan.with_gaps(part.listed.generation > 0);
    let mut log_time = part.created;
    loop {
        let (offset, expected, header) = match scan.step()? {
            Step::Entry { header, body, .. } => {
                log_time = header.log_time;
                each(Left::Entry { header: &header, body })?;
                continue;
            }
            Step::Stop { offset, expected, header, .. } => (offset, expected, header),
        };
        // A compacted segment may have nothing of its last positions.
        let may_end = part.listed.generation > 0 && !part.is_cut || expected > part.last;
        if offset >= bytes && may_end {
            return Ok(());
        }
        let behind = scan.look_behind()?;
        let (end, next) = match (header, behind.next) {
            (Some(header), _) => (offset + header.bytes(), header.position.next()),
            (None, Some(next)) => next,
            (None, None) => (behind.written_end.max(offset), part.last.next()),
        };
        // Behind the last position that was ever synced is a torn tail.
        if expected <= part.last {
            let stretch = Stretch { offset, end, first: expected, next, header, log_time };
            let mut stretch = stretch.search(part)?;
            if header.is_none() && behind.next.is_none() {
                stretch.records_max += part.cut_bytes / RECORD_BYTES_MIN;
            }
            each(Left::Damaged(stretch))?;
        }
        if header.is_none() && behind.next.is_none() {
            return Ok(());
        }
        scan.resume(end, next);
    }
}

/// The last position of a segment that was appended to: that of its last entry, or what a header claims to
/// have been synced.
pub(super) fn reach(part: &Part) -> Result<Position, DiskError> {
    let Some(file) = &part.file else { return Ok(Position(0)) };
    let (first, salt, size) = (part.listed.first, part.listed.salt, file.size()?);
    let mut scan = Scan::new(&**file, true, salt, first, size);
    let mut reach = Position(0);
    loop {
        if let Step::Entry { header, .. } = scan.step()? {
            reach = reach.max(header.position);
            continue;
        }
        let behind = scan.look_behind()?;
        if behind.claimed >= first {
            reach = reach.max(behind.claimed);
        }
        match behind.next {
            Some((offset, position)) => scan.resume(offset, position),
            None => return Ok(reach),
        }
    }
}

/// Where no valid entry is.
struct Stretch {
    offset: u64,
    end: u64,
    first: Position,
    next: Position,
    header: Option<EntryHeader>,
    log_time: LogTime,
}

impl Stretch {
    fn search(self, part: &Part) -> Result<DamagedStretch, DiskError> {
        let Self { offset, end, first, next, header, log_time } = self;
        let mut found = DamagedStretch {
            first,
            next,
            log_time: header.map_or(log_time, |header| header.log_time),
            ..DamagedStretch::default()
        };
        let file = part.file.as_ref().expect("it was scanned");
        let count = (end - offset).min(SEARCHED_BYTES_MAX);
        let mut bytes = vec![0; count as usize];
        let read = file.read_at(offset, &mut bytes)?;
        bytes.truncate(read);
        // Of one entry alone it is known which it is, also without its header.
        let position = match header {
            Some(header) => Some(header.position),
            None => (next == first.next()).then_some(first),
        };
        let (mut at, mut kept_bytes, mut kept) = (0, 0, 0);
        while at < bytes.len() {
            let Some((record, size)) = proven(&bytes[at..], part.listed.salt, position) else {
                at += 1;
                continue;
            };
            let place = position.or(record.message().map(|sent| sent.position));
            let is_of_here = place.filter(|place| (first..next).contains(place));
            if let Some(place) = is_of_here {
                match record.message() {
                    Some(sent) if sent.check_payload().is_err() => {
                        found.rotten.push((sent.queue, sent.seq));
                    }
                    _ => {
                        let entry = found.kept.entry(place).or_default();
                        entry.append(|out| out.copied(&bytes[at..at + size]));
                        kept += 1;
                    }
                }
                kept_bytes += size as u64;
            }
            at += size;
        }
        let lost_bytes = (end - offset).saturating_sub(kept_bytes + ENTRY_HEADER_BYTES as u64);
        let by_header = header.map(|header| u64::from(header.records).saturating_sub(kept));
        found.records_max = by_header.unwrap_or(lost_bytes / RECORD_BYTES_MIN);
        Ok(found)
    }
}
