//! The list of segments, of what their headers say: where the manifest is lost, or older than they are.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use crate::disk::{Access, Disk};
use crate::entry::EntryHeader;
use crate::error::OpenError;
use crate::ids::{Epoch, Position, StoreId};
use crate::log::scan::{Scan, Step};
use crate::log::{ListedSegment, Manifest, Sealed, SegmentHeader, SegmentName, names};
use crate::record::Record;

/// A segment as its file shows it.
struct Shown {
    header: SegmentHeader,
    /// Where its last entry ends.
    bytes: u64,
    /// The last entry's position.
    last: Position,
    /// The newest opening that it tells of.
    epoch: Epoch,
}

/// The list of all segments that are there. Of two for the same entries, a compaction was interrupted that had
/// written the one with the greater generation whole.
pub(super) fn rebuild(disk: &dyn Disk, data: &Path, store: StoreId) -> Result<Manifest, OpenError> {
    let mut shown = all(disk, data, store)?;
    shown.sort_by_key(|one| (one.header.first, std::cmp::Reverse(one.header.generation)));
    let mut kept: Vec<Shown> = Vec::new();
    for one in shown {
        let is_behind = kept.last().is_none_or(|before| {
            one.header.first > before.header.first && one.header.first > before.last
        });
        if is_behind {
            kept.push(one);
        }
    }
    let epoch = kept.iter().map(|one| one.epoch).max().unwrap_or(Epoch(0));
    // Each covers what comes before the next one.
    let firsts = kept.iter().skip(1).map(|one| Some(one.header.first.previous())).chain([None]);
    let mut segments: Vec<_> = kept
        .iter()
        .zip(firsts)
        .map(|(one, covered)| listed(one, covered.unwrap_or(one.last)))
        .collect();
    if let Some((newest, shown)) = segments.last_mut().zip(kept.last())
        && shown.header.generation == 0
    {
        // Whether its end is torn is seen when it is read.
        newest.sealed = None;
    }
    let compacted = segments.iter().filter(|one| one.generation > 0);
    let lasts = compacted.filter_map(|one| one.sealed).map(|sealed| sealed.last);
    let compacted_through = lasts.max().unwrap_or(Position(0));
    Ok(Manifest { store, epoch, compacted_through, segments })
}

/// Adds segments that follow the last one of an older manifest, as the log wrote them; their names.
pub(super) fn add_unlisted(
    disk: &dyn Disk,
    data: &Path,
    manifest: &mut Manifest,
) -> Result<Vec<SegmentName>, OpenError> {
    let listed_names: BTreeSet<_> = manifest.segments.iter().map(ListedSegment::name).collect();
    let mut others = all(disk, data, manifest.store)?;
    others.retain(|one| one.header.generation == 0 && !listed_names.contains(&one.header.name()));
    others.sort_by_key(|one| one.header.first);
    let mut added = Vec::new();
    for one in others.iter().filter(|one| one.last >= one.header.first) {
        let Some(newest) = manifest.segments.last_mut() else { continue };
        let sealed = match newest.sealed {
            Some(sealed) => sealed,
            // The one that the manifest takes for the active one: where it ends is in its file.
            None => match shown(disk, data, newest.name(), manifest.store)? {
                Some(shown) => Sealed { bytes: shown.bytes, last: shown.last },
                None => continue,
            },
        };
        if sealed.last.next() == one.header.first {
            newest.sealed = Some(sealed);
            manifest.epoch = manifest.epoch.max(one.epoch);
            manifest.segments.push(ListedSegment { sealed: None, ..listed(one, one.last) });
            added.push(one.header.name());
        }
    }
    Ok(added)
}

fn listed(one: &Shown, last: Position) -> ListedSegment {
    let SegmentHeader { first, generation, salt, .. } = one.header;
    ListedSegment { first, generation, salt, sealed: Some(Sealed { bytes: one.bytes, last }) }
}

fn all(disk: &dyn Disk, data: &Path, store: StoreId) -> Result<Vec<Shown>, OpenError> {
    let names = match disk.list(&names::log_dir(data)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    let mut all = Vec::new();
    for name in names.iter().filter_map(|name| name.parse::<SegmentName>().ok()) {
        all.extend(shown(disk, data, name, store)?);
    }
    Ok(all)
}

/// `None` if its header page is not that of a segment of this store and name.
fn shown(
    disk: &dyn Disk,
    data: &Path,
    name: SegmentName,
    store: StoreId,
) -> Result<Option<Shown>, OpenError> {
    let file = match disk.open(&names::segment(data, name), Access::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let header = match SegmentHeader::read(&*file) {
        Ok(header) if header.store == store && header.name() == name => header,
        Ok(_) | Err(OpenError::Damaged(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let scan = Scan::new(&*file, true, header.salt, header.first, file.size()?);
    let mut scan = scan.with_gaps(header.generation > 0);
    let (mut bytes, mut last) = (scan.offset(), header.first.previous());
    let mut epoch = header.epoch;
    loop {
        match scan.step()? {
            Step::Entry { offset, header, body } => {
                (bytes, last) = (offset + header.bytes(), header.position);
                for (record, _, _) in crate::entry::records(body) {
                    if let Record::Opened { epoch: opened } = record {
                        epoch = epoch.max(opened);
                    }
                }
            }
            Step::Stop { expected, .. } => {
                // Entries behind damage are its own too.
                match scan.look_behind()?.next {
                    Some((offset, position)) if position >= expected => {
                        scan.resume(offset, position);
                    }
                    _ => return Ok(Some(Shown { header, bytes, last, epoch })),
                }
            }
        }
    }
}

/// The header of an entry that is put together of what is left of one.
pub(super) fn entry_header(position: Position, log_time: crate::time::LogTime) -> EntryHeader {
    EntryHeader {
        position,
        term: crate::entry::TERM,
        durable: position.previous(),
        log_time,
        body_bytes: 0,
        records: 0,
        body_crc: 0,
    }
}
