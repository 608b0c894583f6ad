//! Reads a damaged log: what is valid, and in what is not the records that prove themselves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checksum::Salt;
use crate::disk::DiskFile;
use crate::entry::{ENTRY_ALIGN, ENTRY_HEADER_BYTES, EntryHeader, SEGMENT_HEADER_BYTES, records};
use crate::error::{Damage, OpenError};
use crate::ids::{Position, QueueId, Seq};
use crate::log::proven::{Proven, Whose, proven};
use crate::log::replay::{Lost, Replay};
use crate::log::{ListedSegment, Manifest, SEGMENT_BYTES_MAX, SegmentHeader, SegmentName, names};
use crate::record::{Record, Sent};
use crate::time::LogTime;

/// So much of a damaged extent is in memory at once, ...
const WINDOW_BYTES: u64 = 64 << 20;

/// ... of which an entry may reach over the end, if it is no larger than this: none is.
const ENTRY_BYTES_MAX: u64 = 24 << 20;

/// Is told what a damaged log holds, in its order.
pub(super) trait Reader {
    /// A segment begins.
    fn segment(&mut self, listed: &ListedSegment) -> Result<(), OpenError>;

    /// A record, in a valid entry or in a hole. Of an entry in a hole each queue's messages come in the order
    /// of their numbers, wherever they stand.
    fn record(&mut self, found: &Found<'_>) -> Result<(), OpenError>;

    /// Where a message was written that is found in a hole, if that is known.
    fn place(&self, _hole: &Hole, _queue: QueueId, _seq: Seq) -> Option<u64> {
        None
    }

    /// Entries are lost: what proves itself of them was told, or there is nothing of them.
    fn hole(&mut self, hole: &Hole) -> Result<(), OpenError>;

    /// Bytes that are not what was written.
    fn damage(&mut self, damage: Damage);
}

/// A record, and where it stands.
pub(super) struct Found<'r> {
    pub(super) record: Record<'r>,
    /// Its size.
    pub(super) bytes: u64,
    /// Where it begins in its segment.
    pub(super) offset: u64,
    /// Its entry.
    pub(super) position: Position,
    /// When that was appended; `None`: its header is lost.
    pub(super) log_time: Option<LogTime>,
    /// The hole that it is in.
    pub(super) hole: Option<&'r Hole>,
}

/// Entries that are lost, as a whole or in part.
#[derive(Debug, Clone)]
pub(super) struct Hole {
    /// The segment; `None`: none is listed for these entries.
    pub(super) listed: Option<ListedSegment>,
    /// Its file, if that is there.
    pub(super) path: Option<PathBuf>,
    /// Where in it the entries were.
    pub(super) bytes: Range<u64>,
    /// What stands there is from elsewhere, so they may be anywhere behind.
    pub(super) is_displaced: bool,
    /// The first entry.
    pub(super) first: Position,
    /// The last; the greatest there can be if nobody knows.
    pub(super) last: Position,
    /// How many records proved themselves.
    pub(super) records: u64,
    /// So many bytes of records are lost, at the most.
    pub(super) records_bytes: u64,
}

impl Hole {
    /// Whether nobody knows with which entry it ends.
    pub(super) fn is_open(&self) -> bool {
        self.last == Position(u64::MAX)
    }

    /// So many bytes of records may be lost; `None`: nobody knows how many.
    pub(super) fn bytes_lost(&self) -> Option<u64> {
        match (&self.listed, self.is_open()) {
            (None, true) => None,
            // Where it is or ends nobody knows: in its segment. Records are in an entry.
            (Some(listed), is_open) if is_open || self.is_displaced => {
                let before = self.bytes.start.max(SEGMENT_HEADER_BYTES) + ENTRY_HEADER_BYTES as u64;
                Some(listed.bytes_max().saturating_sub(before))
            }
            (Some(_), _) if !self.bytes.is_empty() => Some(self.records_bytes),
            _ => {
                let entries = (self.last.0 - self.first.0).saturating_add(1);
                Some(entries.saturating_mul(ENTRY_BYTES_MAX))
            }
        }
    }

    /// As many as that, or as a segment may have.
    pub(super) fn bytes_assumed(&self) -> u64 {
        self.bytes_lost().unwrap_or(SEGMENT_BYTES_MAX)
    }
}

/// Segments that are not where they are listed: their files, by what they are.
pub(super) type Strays = BTreeMap<SegmentName, PathBuf>;

/// Tells a reader of a log, as the consumer of its replay.
pub(super) struct Reading<'r, R> {
    pub(super) reader: &'r mut R,
    strays: &'r Strays,
    /// Is told how many bytes were read.
    progress: &'r mut dyn FnMut(u64),
    bytes: u64,
    log_time: LogTime,
    /// The first error: what comes behind it is not told any more.
    failed: Option<OpenError>,
}

impl<'r, R: Reader> Reading<'r, R> {
    pub(super) fn new(
        reader: &'r mut R,
        strays: &'r Strays,
        progress: &'r mut dyn FnMut(u64),
    ) -> Self {
        Self { reader, strays, progress, bytes: 0, log_time: LogTime(0), failed: None }
    }

    /// Everything was read: whether all of it was taken.
    pub(super) fn finish(self) -> Result<(), OpenError> {
        self.failed.map_or(Ok(()), Err)
    }

    /// Behind what is listed there may have been more.
    pub(super) fn tell_end_lost(&mut self, manifest: &Manifest) -> Result<(), OpenError> {
        let end = manifest.segments.last().map(|listed| match listed.sealed {
            Some(sealed) => sealed.last.max(listed.first),
            None => listed.first,
        });
        let first = end.map_or(Position(1), |end| Position(end.0.saturating_add(1)));
        let (listed, path, last) = (None, None, Position(u64::MAX));
        self.reader.hole(&Hole {
            listed,
            path,
            bytes: 0..0,
            is_displaced: false,
            first,
            last,
            records: 0,
            records_bytes: 0,
        })
    }

    /// An entry's time, which is no earlier than those before.
    fn known(&mut self, time: LogTime) -> LogTime {
        self.log_time = self.log_time.max(time);
        self.log_time
    }

    fn tell(&mut self, found: &Found<'_>) {
        if self.failed.is_none() {
            self.failed = self.reader.record(found).err();
        }
    }

    /// Tells what was found of an entry in a hole.
    fn tell_gathered(&mut self, mut gathered: Vec<Gathered<'_>>, hole: &Hole) {
        if !self.is_as_written(&gathered, hole) {
            self.restore_order(&mut gathered, hole);
        }
        for Gathered { record, bytes, offset, position, log_time } in gathered {
            self.tell(&Found { record, bytes, offset, position, log_time, hole: Some(hole) });
        }
    }

    /// Whether messages stand in the order in which they were written.
    fn is_as_written(&self, gathered: &[Gathered<'_>], hole: &Hole) -> bool {
        let (mut numbers, mut behind) = (HashMap::new(), None);
        gathered.iter().filter_map(|found| found.record.message()).all(
            |&Sent { queue, seq, .. }| {
                let place = self.reader.place(hole, queue, seq);
                let is_placed = place.is_none() || behind.replace(place) < Some(place);
                is_placed && numbers.insert(queue, seq) < Some(seq)
            },
        )
    }

    /// Blocks of an entry may stand where others were, or twice. Messages come in the order in which they were
    /// written, each once; queues that are created come before them, and other records behind.
    fn restore_order(&self, gathered: &mut Vec<Gathered<'_>>, hole: &Hole) {
        let key = |found: &Gathered<'_>| match (found.record.message(), found.record) {
            (Some(&Sent { queue, seq, .. }), _) => {
                (1, Some((self.reader.place(hole, queue, seq), queue, seq)))
            }
            (None, Record::QueueCreated { .. }) => (0, None),
            _ => (2, None),
        };
        let is_rotten = |found: &Gathered<'_>| {
            found.record.message().is_some_and(|sent| sent.check_payload().is_err())
        };
        gathered.sort_by_cached_key(|found| (key(found), is_rotten(found)));
        gathered
            .dedup_by(|next, before| next.record.message().is_some() && key(next) == key(before));
        // Where each stands says nothing, but that the entry is not behind it.
        let first = gathered.iter().map(|found| found.offset).min().unwrap_or_default();
        gathered.iter_mut().for_each(|found| found.offset = first);
    }

    /// Looks for records that prove themselves.
    fn search(
        &mut self,
        file: &dyn DiskFile,
        salt: Salt,
        hole: &mut Hole,
    ) -> Result<(), OpenError> {
        let Range { mut start, end } = hole.bytes.clone();
        let mut search = Search::new(hole, salt);
        while start < end {
            let mut window = vec![0; (end - start).min(WINDOW_BYTES) as usize];
            let read = file.read_at(start, &mut window)?;
            let is_last = (read as u64) < WINDOW_BYTES;
            window.truncate(read);
            let stop = if is_last { read } else { read - ENTRY_BYTES_MAX as usize };
            let (mut at, mut gathered) = (0, Vec::<Gathered<'_>>::new());
            // An entry that begins before the stop is searched to its end.
            while at < stop || (at < read && search.is_in_entry(start + at as u64)) {
                let left = end - start - at as u64;
                let Some((record, position, size)) = search.next(&window, start, at, left) else {
                    at += 1;
                    continue;
                };
                if gathered.last().is_some_and(|last| last.position != position) {
                    self.tell_gathered(std::mem::take(&mut gathered), &search.hole);
                }
                let is_rotten = record
                    .and_then(|record| record.message().map(|sent| sent.check_payload().is_err()));
                if let Some(record) = record {
                    let (bytes, offset) = (size as u64, start + at as u64);
                    let log_time = search.time_of(position).map(|time| self.known(time));
                    gathered.push(Gathered { record, bytes, offset, position, log_time });
                }
                // Where a message has lost its payload, a record of another block may begin.
                at += if is_rotten == Some(true) { 1 } else { size };
            }
            self.tell_gathered(gathered, &search.hole);
            start += at.max(1) as u64;
            if is_last {
                break;
            }
        }
        let (records, headers, bytes) = (search.records, search.headers, search.bytes);
        hole.records = records;
        hole.records_bytes = lost_bytes(hole, headers, bytes);
        Ok(())
    }
}

/// A record of an entry in a hole, until all of the entry is found.
struct Gathered<'w> {
    record: Record<'w>,
    bytes: u64,
    offset: u64,
    position: Position,
    log_time: Option<LogTime>,
}

/// So many bytes of records are lost at the most, where so many entry headers and bytes of records
/// were found. Compacted segments have gaps, so of them it is not known how many entries there were.
fn lost_bytes(hole: &Hole, headers: u64, bytes: u64) -> u64 {
    let all = hole.bytes.end.saturating_sub(hole.bytes.start);
    let entries = match (&hole.listed, hole.is_open()) {
        (Some(listed), false) if listed.generation == 0 => {
            (hole.last.0 - hole.first.0).saturating_add(1)
        }
        _ => 1,
    };
    let headers = entries.max(headers).saturating_mul(ENTRY_HEADER_BYTES as u64);
    all.saturating_sub(headers).saturating_sub(bytes)
}

/// What is known of a hole while it is searched.
struct Search {
    hole: Hole,
    salt: Salt,
    /// The entry whose header was found last, where it ends, and its time.
    entry: Option<(Position, u64, LogTime)>,
    /// The first entry of which something may come yet.
    next: Position,
    /// What was found: a block may stand there twice.
    seen: HashSet<(Position, u32, usize)>,
    records: u64,
    headers: u64,
    bytes: u64,
}

impl Search {
    fn new(hole: &Hole, salt: Salt) -> Self {
        Self {
            hole: hole.clone(),
            salt,
            entry: None,
            next: hole.first,
            seen: HashSet::new(),
            records: 0,
            headers: 0,
            bytes: 0,
        }
    }

    /// When an entry was appended, if its header was found.
    fn time_of(&self, entry: Position) -> Option<LogTime> {
        self.entry.filter(|(position, ..)| *position == entry).map(|(.., time)| time)
    }

    /// Whether what stands there is of the entry whose header was found last.
    fn is_in_entry(&self, offset: u64) -> bool {
        self.entry.is_some_and(|(_, end, _)| offset < end)
    }

    /// What begins at `at` of the window: a record, with its entry; or the header of an entry; and the
    /// size of it.
    fn next<'w>(
        &mut self,
        window: &'w [u8],
        start: u64,
        at: usize,
        left: u64,
    ) -> Option<(Option<Record<'w>>, Position, usize)> {
        let offset = start + at as u64;
        let bytes = &window[at..];
        if offset.is_multiple_of(ENTRY_ALIGN as u64)
            && let Ok(header) = EntryHeader::decode(bytes, self.salt, left)
            && (self.next..=self.hole.last).contains(&header.position)
            && self.entry.is_none_or(|(before, ..)| before < header.position)
        {
            self.entry = Some((header.position, offset + header.bytes(), header.log_time));
            self.next = header.position;
            self.headers += 1;
            return Some((None, header.position, ENTRY_HEADER_BYTES));
        }
        let whose = match self.entry {
            Some((position, ..)) if self.is_in_entry(offset) => Whose::Entry(position),
            _ => Whose::Among(self.next..=self.hole.last),
        };
        let Proven { record, position, bytes, seal } = proven(bytes, self.salt, &whose)?;
        self.next = position;
        let is_new = self.seen.insert((position, seal, bytes));
        if is_new {
            // The seal says nothing of a message's body.
            let is_whole = record.message().is_none_or(|sent| sent.check_payload().is_ok());
            self.records += u64::from(is_whole);
            self.bytes += bytes as u64;
        }
        // Of a message the second may be the whole one.
        let is_told = is_new || record.message().is_some();
        Some((is_told.then_some(record), position, bytes))
    }
}

impl<R: Reader> Replay for Reading<'_, R> {
    fn segment(
        &mut self,
        listed: &ListedSegment,
        header: &SegmentHeader,
        _: &Arc<dyn DiskFile>,
    ) -> bool {
        self.log_time = self.log_time.max(header.created);
        if self.failed.is_none() {
            self.failed = self.reader.segment(listed).err();
        }
        true
    }

    fn entry(&mut self, _: &SegmentHeader, offset: u64, header: &EntryHeader, body: &[u8]) {
        let log_time = Some(self.known(header.log_time));
        self.bytes += header.bytes();
        (self.progress)(self.bytes);
        for (record, at, bytes) in records(body) {
            self.tell(&Found {
                record,
                bytes: bytes as u64,
                offset: offset + (ENTRY_HEADER_BYTES + at) as u64,
                position: header.position,
                log_time,
                hole: None,
            });
        }
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        self.reader.damage(damage);
        Ok(())
    }

    fn lost(&mut self, lost: &Lost<'_>) -> Result<(), OpenError> {
        let last = lost.next.map_or(Position(u64::MAX), |next| Position(next.0.saturating_sub(1)));
        let mut hole = Hole {
            listed: lost.listed.copied(),
            path: lost.file.map(|file| file.path().to_path_buf()),
            bytes: lost.bytes.clone(),
            is_displaced: lost.is_displaced,
            first: lost.first,
            last: last.max(lost.first),
            records: 0,
            records_bytes: lost.bytes.end - lost.bytes.start,
        };
        // A file that is not there is told of without the beginning of its segment.
        if let (Some(listed), None) = (lost.listed, lost.file) {
            self.reader.segment(listed)?;
        }
        if let (Some(listed), Some(file)) = (lost.listed, lost.file) {
            self.search(file, listed.salt, &mut hole)?;
        }
        self.reader.hole(&hole)
    }

    fn reads_headless(&self) -> bool {
        true
    }

    fn path_of(&self, data: &Path, listed: &ListedSegment) -> PathBuf {
        let name = listed.name();
        self.strays.get(&name).cloned().unwrap_or_else(|| names::segment(data, name))
    }
}
