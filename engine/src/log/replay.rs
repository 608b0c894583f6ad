//! Replay: reads the log, in order, without changing anything, and tells a consumer what is there.
//! Opening a store, `verify`, `inspect` and repair are its consumers.
//!
//! The judgement of FORMAT.md section 8 is made here, once: damage or torn tail.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::manifest::{ListedSegment, Manifest, Sealed, is_intact};
use super::names::{self, INDEX_EXTENSION, SegmentName};
use super::scan::{Scan, Step};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::broken::{Mistake, makes};
use crate::disk::{Access, Disk, DiskFile};
use crate::entry::{EntryError, EntryHeader};
use crate::error::{Damage, OpenError};
use crate::ids::Position;
use crate::record::RecordFrame;

/// Is told what a log holds.
pub(crate) trait Replay {
    /// A segment begins. Of a sealed one whose end is known the entries are read only if this
    /// returns true; of any other always.
    fn segment(
        &mut self,
        _listed: &ListedSegment,
        _header: &SegmentHeader,
        _file: &Arc<dyn DiskFile>,
    ) -> bool {
        true
    }

    /// A valid entry.
    fn entry(&mut self, segment: &SegmentHeader, offset: u64, header: &EntryHeader, body: &[u8]);

    /// Damage. `Ok` goes on behind it; `Err` ends the replay.
    fn damage(&mut self, damage: Damage) -> Result<(), Damage>;

    /// Entries that are lost, as a whole or in part: told before the damage that took them.
    fn lost(&mut self, _lost: &Lost<'_>) -> Result<(), OpenError> {
        Ok(())
    }

    /// Whether a segment is read too whose header page is not what was written: where its entries begin
    /// and what salt they have is in the manifest.
    fn reads_headless(&self) -> bool {
        false
    }

    /// Where the file of a segment is.
    fn path_of(&self, data: &Path, listed: &ListedSegment) -> PathBuf {
        names::segment(data, listed.name())
    }
}

/// Entries that are not there, or of which not everything is.
pub(crate) struct Lost<'s> {
    /// The segment that they are of; `None`: none is listed.
    pub(crate) listed: Option<&'s ListedSegment>,
    /// Its file, if there is one.
    pub(crate) file: Option<&'s dyn DiskFile>,
    /// Where in the file they were, as far as that is known.
    pub(crate) bytes: Range<u64>,
    /// They may have been anywhere behind the beginning of that: what stands there is from elsewhere.
    pub(crate) is_displaced: bool,
    /// The first of them.
    pub(crate) first: Position,
    /// The one behind the last; `None`: nobody knows how many there were.
    pub(crate) next: Option<Position>,
}

/// How the log ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogEnd {
    /// The last entry.
    pub(crate) last: Position,
    /// Where the active segment's last entry ends; `None` without an active segment.
    pub(crate) active_bytes: Option<u64>,
    /// The bytes of a torn tail behind it.
    pub(crate) torn_bytes: u64,
    /// Where and why, if there was one.
    pub(crate) torn: Option<String>,
}

/// The files of the log directory, sorted by what they are.
#[derive(Debug, Default)]
pub(crate) struct LogFiles {
    /// Unfinished files.
    pub(crate) temporary: Vec<String>,
    /// Segments that the manifest does not list and that have no entry.
    pub(crate) unlisted: Vec<SegmentName>,
    /// Segments in whose place others are listed, or that were never listed in place of them: what
    /// an interrupted compaction leaves.
    pub(crate) superseded: Vec<SegmentName>,
    /// Indexes of segments that are not listed.
    pub(crate) stale_indexes: Vec<String>,
    /// Names that are no concern of ours.
    pub(crate) foreign: Vec<String>,
}

/// Replays the segments that the manifest lists. `durable` is a position that is known to have
/// been synced once, from elsewhere than the log itself.
pub(crate) fn replay(
    disk: &dyn Disk,
    data: &Path,
    manifest: &Manifest,
    durable: Position,
    consumer: &mut dyn Replay,
) -> Result<LogEnd, OpenError> {
    let mut end = LogEnd::default();
    for listed in &manifest.segments {
        let due = end.last.next();
        if listed.first != due {
            consumer.lost(&Lost::unlisted(due, Some(listed.first)))?;
            let detail = format!("the manifest lists no segment of entry {due}");
            let path = names::segment(data, SegmentName::written(due));
            consumer.damage(Damage { path, offset: 0, bytes: 0, position: Some(due), detail })?;
        }
        match replay_segment(disk, data, manifest, listed, durable, consumer) {
            Ok(segment_end) => end = segment_end,
            Err(OpenError::Damaged(damage)) => {
                consumer.lost(&Lost::whole(listed))?;
                consumer.damage(damage)?;
                end.last = match listed.sealed {
                    Some(sealed) if sealed.last >= listed.first => sealed.last,
                    // So far a snapshot says that it reached: that is not lost once more.
                    _ => listed.first.previous().max(durable),
                };
            }
            Err(other) => return Err(other),
        }
    }
    if end.last < durable {
        let (last, next) = (end.last, end.last.next());
        let detail =
            format!("the log ends with entry {last}, a snapshot was taken of entry {durable}");
        let path = names::log_dir(data);
        consumer.lost(&Lost::unlisted(next, None))?;
        consumer.damage(Damage { path, offset: 0, bytes: 0, position: Some(next), detail })?;
    }
    Ok(end)
}

impl<'s> Lost<'s> {
    /// Entries for which no segment is listed.
    fn unlisted(first: Position, next: Option<Position>) -> Self {
        Self { listed: None, file: None, bytes: 0..0, is_displaced: false, first, next }
    }

    /// Everything of a segment.
    fn whole(listed: &'s ListedSegment) -> Self {
        let first = listed.first;
        let last = listed.sealed.map(|sealed| sealed.last).filter(|last| *last >= first);
        let bytes = 0..listed.sealed.map_or(0, |sealed| sealed.bytes);
        let next = last.map(Position::next);
        Self { listed: Some(listed), file: None, bytes, is_displaced: false, first, next }
    }
}

fn replay_segment(
    disk: &dyn Disk,
    data: &Path,
    manifest: &Manifest,
    listed: &ListedSegment,
    durable: Position,
    consumer: &mut dyn Replay,
) -> Result<LogEnd, OpenError> {
    let path = names::segment(data, listed.name());
    let file = match disk.open(&consumer.path_of(data, listed), Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if makes(Mistake::MissingSegmentSkipped) {
                let last = listed.sealed.map_or(listed.first.previous(), |sealed| sealed.last);
                return Ok(LogEnd { last, ..LogEnd::default() });
            }
            let detail = "the segment is missing, the manifest lists it".to_owned();
            let bytes = listed.sealed.map_or(0, |sealed| sealed.bytes);
            let position = Some(listed.first);
            return Err(Damage { path, offset: 0, bytes, position, detail }.into());
        }
        Err(error) => return Err(error.into()),
    };
    let header = match read_header(&*file, path, manifest, listed) {
        Err(error) if consumer.reads_headless() => {
            consumer.damage(damaged_header(&*file, error)?)?;
            SegmentHeader::as_listed(manifest.store, listed, file.size()?)
        }
        read => read?,
    };
    let wanted = consumer.segment(listed, &header, &file);
    match listed.sealed {
        Some(sealed) if !wanted && sealed.last >= listed.first => skip_sealed(&*file, sealed),
        Some(sealed) => replay_sealed(&*file, listed, &header, sealed, consumer),
        None => replay_active(&*file, listed, &header, durable, consumer),
    }
}

/// The header of the segment that is listed.
fn read_header(
    file: &dyn DiskFile,
    path: PathBuf,
    manifest: &Manifest,
    listed: &ListedSegment,
) -> Result<SegmentHeader, OpenError> {
    let header = SegmentHeader::read(file)?;
    check_listed(&header, manifest, listed).map_err(|detail| {
        let position = Some(listed.first);
        Damage { path, offset: 0, bytes: SEGMENT_HEADER_BYTES, position, detail }
    })?;
    Ok(header)
}

/// What is wrong with a header page, if it is damaged: a flipped bit makes its version a newer one, too.
fn damaged_header(file: &dyn DiskFile, error: OpenError) -> Result<Damage, OpenError> {
    match error {
        OpenError::Damaged(damage) => Ok(damage),
        OpenError::FormatTooNew { ref path, found, .. } => {
            let mut page = vec![0; SEGMENT_HEADER_BYTES as usize];
            file.read_durable_at(0, &mut page)?;
            if is_intact(&page) {
                return Err(error);
            }
            let (path, bytes) = (path.clone(), SEGMENT_HEADER_BYTES);
            let detail = format!("version {found}, and its checksum is wrong");
            Ok(Damage { path, offset: 0, bytes, position: None, detail })
        }
        other => Err(other),
    }
}

/// A sealed segment that is not read must at least be as long as it was.
fn skip_sealed(file: &dyn DiskFile, sealed: Sealed) -> Result<LogEnd, OpenError> {
    let size = file.size()?;
    if size < sealed.bytes {
        let (path, bytes) = (file.path().to_path_buf(), sealed.bytes - size);
        let detail = format!("the segment was cut, expected {} bytes", sealed.bytes);
        return Err(Damage { path, offset: size, bytes, position: None, detail }.into());
    }
    Ok(LogEnd { last: sealed.last, ..LogEnd::default() })
}

fn check_listed(
    header: &SegmentHeader,
    manifest: &Manifest,
    listed: &ListedSegment,
) -> Result<(), String> {
    if header.store != manifest.store {
        return Err(format!("belongs to store {}, expected {}", header.store, manifest.store));
    }
    if header.first != listed.first {
        return Err(format!("begins with entry {}, expected {}", header.first, listed.first));
    }
    if header.generation != listed.generation {
        let (found, expected) = (header.generation, listed.generation);
        return Err(format!("has generation {found}, the manifest says {expected}"));
    }
    if header.salt != listed.salt {
        let (found, expected) = (header.salt.0, listed.salt.0);
        return Err(format!("has salt {found:016x}, the manifest says {expected:016x}"));
    }
    Ok(())
}

/// Everything that is not valid is damage.
fn replay_sealed(
    file: &dyn DiskFile,
    listed: &ListedSegment,
    header: &SegmentHeader,
    sealed: Sealed,
    consumer: &mut dyn Replay,
) -> Result<LogEnd, OpenError> {
    let Sealed { bytes, last } = sealed;
    // A version 1 manifest does not say where its last segment ends.
    let last = (last >= header.first).then_some(last);
    let scan = Scan::new(file, false, header.salt, header.first, bytes);
    let mut scan = scan.with_gaps(header.generation > 0);
    while scan.offset() < bytes {
        match scan.step()? {
            Step::Entry { offset, header: entry, body } => {
                consumer.entry(header, offset, &entry, body);
            }
            Step::Stop { offset, expected, header: entry, cause } => {
                let behind = scan.look_behind()?;
                let (resume, next) =
                    behind.next.unwrap_or((bytes, last.map_or(expected.next(), Position::next)));
                let is_end_known = behind.next.is_some() || last.is_some();
                consumer.lost(&Lost {
                    listed: Some(listed),
                    file: Some(file),
                    bytes: offset..resume,
                    is_displaced: behind.is_displaced,
                    first: expected,
                    next: is_end_known.then_some(next),
                })?;
                let damage = describe(&mut scan, offset, resume, expected, next, entry, &cause)?;
                consumer.damage(Damage { path: file.path().to_path_buf(), ..damage })?;
                scan.resume(resume, next);
            }
        }
    }
    let end = scan.expected().previous();
    let last = last.unwrap_or(end);
    let is_whole = if header.generation > 0 { end <= last } else { end == last };
    if !is_whole {
        let detail = format!("ends with entry {end}, expected {last}");
        if end < last {
            let (first, next) = (end.next(), Some(last.next()));
            let (listed, file) = (Some(listed), Some(file));
            let (bytes, is_displaced) = (bytes..bytes, false);
            consumer.lost(&Lost { listed, file, bytes, is_displaced, first, next })?;
        }
        let (path, position) = (file.path().to_path_buf(), Some(end.next()));
        consumer.damage(Damage { path, offset: bytes, bytes: 0, position, detail })?;
    }
    Ok(LogEnd { last, ..LogEnd::default() })
}

/// What is invalid and was never claimed durable is the torn tail; what was is damage.
fn replay_active(
    file: &dyn DiskFile,
    listed: &ListedSegment,
    header: &SegmentHeader,
    durable: Position,
    consumer: &mut dyn Replay,
) -> Result<LogEnd, OpenError> {
    let size = file.size()?;
    if size < header.capacity {
        // It had that size, durably, before the manifest listed it.
        let detail = format!("the active segment was cut, expected {} bytes", header.capacity);
        let (path, position) = (file.path().to_path_buf(), None);
        let bytes = header.capacity - size;
        consumer.damage(Damage { path, offset: size, bytes, position, detail })?;
    }
    // Read from the device: after a failed sync the page cache shows what is not there.
    let mut scan =
        Scan::new(file, !makes(Mistake::PageCacheBelieved), header.salt, header.first, size);
    loop {
        match scan.step()? {
            Step::Entry { offset, header: entry, body } => {
                consumer.entry(header, offset, &entry, body);
            }
            Step::Stop { offset, expected, header: entry, cause } => {
                let mut behind = scan.look_behind()?;
                behind.claimed = behind.claimed.max(durable);
                let is_damage = (expected <= behind.claimed
                    || makes(Mistake::TornTailRefused) && entry.is_some())
                    && !makes(Mistake::DamageTakenForTornTail);
                // Where zeros follow, no entry did, also if the file was longer once.
                let is_cut = size < header.capacity && cause != EntryError::Zeros;
                // Without a header, and without an entry, it may be another file.
                let is_another = header.is_as_listed() && expected == header.first;
                if is_damage || is_cut || is_another {
                    let bytes = offset..behind.next.map_or(size.max(offset), |(resume, _)| resume);
                    consumer.lost(&Lost {
                        listed: Some(listed),
                        file: Some(file),
                        bytes,
                        is_displaced: behind.is_displaced,
                        first: expected,
                        next: behind.next.map(|(_, next)| next),
                    })?;
                }
                if is_damage {
                    let (resume, next) = behind
                        .next
                        .unwrap_or((behind.written_end.max(offset), behind.claimed.next()));
                    let damage =
                        describe(&mut scan, offset, resume, expected, next, entry, &cause)?;
                    consumer.damage(Damage { path: file.path().to_path_buf(), ..damage })?;
                    if behind.next.is_some() {
                        scan.resume(resume, next);
                        continue;
                    }
                }
                let torn_bytes = behind.written_end.saturating_sub(offset);
                let torn = (torn_bytes > 0).then(|| {
                    let name = header.name();
                    format!("segment {name} at offset {offset}: {cause}")
                });
                let last = if is_damage { behind.claimed } else { expected.previous() };
                return Ok(LogEnd { last, active_bytes: Some(offset), torn_bytes, torn });
            }
        }
    }
}

/// Says which entries and, as far as it can be told, which messages are concerned.
fn describe(
    scan: &mut Scan<'_>,
    offset: u64,
    resume: u64,
    expected: Position,
    next: Position,
    header: Option<EntryHeader>,
    cause: &EntryError,
) -> Result<Damage, OpenError> {
    let salt = scan.salt();
    let mut detail = cause.to_string();
    if next > expected.next() {
        detail.push_str(&format!("; entries {expected} to {} are lost", next.previous()));
    } else {
        detail.push_str(&format!("; entry {expected} is lost"));
    }
    if let Some(header) = header {
        let mut rest = scan.body_of(&header)?;
        rest = &rest[..rest.len().min(header.body_bytes as usize)];
        let (mut intact, mut unreadable, mut damaged) = (0u32, 0u32, BTreeSet::new());
        for _ in 0..header.records {
            let Ok((frame, behind)) = RecordFrame::split(rest) else {
                break;
            };
            rest = behind;
            match (frame.check_seal(salt, header.position), frame.decode()) {
                (Ok(()), Ok(record)) => match record.message() {
                    Some(sent) if sent.check_payload().is_err() => {
                        damaged.insert((sent.queue, sent.seq));
                    }
                    _ => intact += 1,
                },
                _ => unreadable += 1,
            }
        }
        let counted = intact + unreadable + damaged.len() as u32;
        unreadable += header.records.saturating_sub(counted);
        detail.push_str(&format!(
            "; of its {} records {intact} are intact, {unreadable} unreadable",
            header.records
        ));
        for (queue, seq) in damaged {
            detail.push_str(&format!(", message {seq} of queue {queue} damaged"));
        }
    }
    let bytes = resume - offset;
    Ok(Damage { path: Default::default(), offset, bytes, position: Some(expected), detail })
}

/// Lists the log directory. A segment file that holds entries and is not listed is damage: it is
/// neither replayed nor thrown away.
pub(crate) fn log_files(
    disk: &dyn Disk,
    data: &Path,
    manifest: &Manifest,
    consumer: &mut dyn Replay,
) -> Result<LogFiles, OpenError> {
    let mut files = LogFiles::default();
    let is_listed = |name| manifest.segments.iter().any(|listed| listed.name() == name);
    let names = match disk.list(&names::log_dir(data)) {
        // The creation of the store was interrupted; or what is listed is missing, and reported.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    for name in names {
        if names::is_temporary(&name) {
            files.temporary.push(name);
            continue;
        }
        if let Some(stem) = name.strip_suffix(INDEX_EXTENSION) {
            match SegmentName::from_str(&format!("{stem}log")) {
                Ok(segment) if is_listed(segment) => {}
                Ok(_) => files.stale_indexes.push(name),
                Err(_) => files.foreign.push(name),
            }
            continue;
        }
        match SegmentName::from_str(&name) {
            Ok(segment) if is_listed(segment) => {}
            Ok(segment) if is_superseded(manifest, segment) => files.superseded.push(segment),
            Ok(segment) => match entries_in_unlisted(disk, data, segment)? {
                None => files.unlisted.push(segment),
                Some(detail) => consumer.damage(Damage {
                    path: names::segment(data, segment),
                    offset: 0,
                    bytes: 0,
                    position: Some(segment.first),
                    detail,
                })?,
            },
            Err(error) if name.ends_with(".log") => consumer.damage(Damage {
                path: names::log_dir(data).join(&name),
                offset: 0,
                bytes: 0,
                position: None,
                detail: error.to_string(),
            })?,
            Err(_) => files.foreign.push(name),
        }
    }
    Ok(files)
}

/// Whether everything that a segment could hold is in one that is listed: the two phases of a swap
/// leave either the new file not yet listed, or the old ones listed no more.
fn is_superseded(manifest: &Manifest, name: SegmentName) -> bool {
    manifest
        .segments
        .iter()
        .any(|listed| listed.covers(name.first) && (listed.generation > 0 || name.generation > 0))
}

/// Why an unlisted segment must not be removed; `None` if an interrupted roll left it.
fn entries_in_unlisted(
    disk: &dyn Disk,
    data: &Path,
    name: SegmentName,
) -> Result<Option<String>, OpenError> {
    let file = disk.open(&names::segment(data, name), Access::Read)?;
    let header = match SegmentHeader::read(&*file) {
        Ok(header) => header,
        Err(OpenError::Damaged(damage)) => return Ok(Some(damage.detail)),
        Err(other) => return Err(other),
    };
    let size = file.size()?;
    let mut scan = Scan::new(&*file, true, header.salt, header.first, size);
    let holds_entry = matches!(scan.step()?, Step::Entry { .. })
        || scan.look_behind()?.written_end > SEGMENT_HEADER_BYTES;
    Ok(holds_entry
        .then(|| "the segment holds entries, but the manifest does not list it".to_owned()))
}
