//! What a store begins with: its identity and the list of its segments; made anew if they are lost.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::disk::{Access, Disk, DiskFile, DiskLock, read_file};
use crate::entry::EntryHeader;
use crate::error::{Damage, OpenError};
use crate::ids::{Epoch, Position, StoreId};
use crate::index::{IndexIdentity, MappedIndex};
use crate::log::identity;
use crate::log::scan::{Scan, Step};
use crate::log::{
    self, Identity, ListedSegment, Manifest, SEGMENT_HEADER_BYTES, Sealed, SegmentHeader,
    SegmentName, names, pages,
};

use super::reading::Strays;

/// A manifest that was lost may have been written in one of so many openings later than those of which
/// segments are left: their numbers are not given again.
const EPOCHS_SKIPPED: u32 = 4096;

/// A manifest is smaller.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// What a store begins with.
pub(super) struct Roots {
    pub(super) identity: Identity,
    pub(super) manifest: Manifest,
    pub(super) strays: Strays,
    /// Behind what is listed there may have been more: nobody knows.
    pub(super) is_end_lost: bool,
    /// What of it is damaged.
    pub(super) damages: Vec<Damage>,
    /// What follows from that.
    pub(super) notes: Vec<String>,
    /// Held while the store is looked at; `None` where nothing can be written.
    _lock: Option<Box<dyn DiskLock>>,
}

/// A segment that is there.
struct Present {
    header: SegmentHeader,
    path: PathBuf,
    bytes: u64,
}

impl Roots {
    pub(super) fn find(disk: &dyn Disk, data: &Path) -> Result<Self, OpenError> {
        let present = segments(disk, data)?;
        let has_any = !present.is_empty() || is_there(disk, &names::manifest(data))?;
        let lock = log::lock_to_look(disk, data, has_any)?;
        let mut damages = Vec::new();
        let mut notes = Vec::new();
        let identity = or_damage(Identity::read(disk, data), disk, &mut damages)?;
        let listed = Manifest::read_any(disk, data).map(|(manifest, _)| manifest);
        let listed = or_damage(listed, disk, &mut damages)?;
        let named = listed.as_ref().map(|manifest| manifest.store);
        let store = identity.map(|identity| identity.store).or(named);
        let Some(store) = store.or_else(|| most_common(&present)) else {
            let path = names::identity(data);
            let detail = "no file says which store this is".to_owned();
            return Err(Damage { path, offset: 0, bytes: 0, position: None, detail }.into());
        };
        let present: Vec<Present> =
            present.into_iter().filter(|segment| segment.header.store == store).collect();
        let identity = match identity {
            Some(identity) => identity,
            None => {
                notes.push(
                    "store.toml is lost, and with it the key of receipts: those given before are not \
                     valid any more"
                        .to_owned(),
                );
                made_anew(disk, store, &present)?
            }
        };
        let listed = match listed {
            Some(manifest) if manifest.store == store => Some(manifest),
            Some(other) => {
                let (path, found) = (names::manifest(data), other.store);
                let detail = format!("belongs to store {found}, expected {store}");
                damages.push(Damage { path, offset: 0, bytes: 0, position: None, detail });
                None
            }
            None => None,
        };
        let is_new = present.is_empty() && damages.is_empty();
        let (manifest, is_end_lost) = match listed {
            Some(manifest) => (manifest, false),
            None if is_new => (empty(store), false),
            None => {
                notes.push(
                    "MANIFEST is lost: the list is made of the segments that are there".into(),
                );
                list_anew(disk, data, store, &present)?
            }
        };
        let is_in_place = |name: SegmentName| {
            let path = names::segment(data, name);
            present.iter().any(|segment| segment.path == path && segment.header.name() == name)
        };
        let mut strays = Strays::new();
        for listed in manifest.segments.iter().filter(|listed| !is_in_place(listed.name())) {
            let is_it = |segment: &&Present| {
                segment.header.salt == listed.salt && segment.header.name() == listed.name()
            };
            if let Some(found) = present.iter().find(is_it) {
                notes.push(format!("{} is segment {}", found.path.display(), listed.name()));
                strays.insert(listed.name(), found.path.clone());
            }
        }
        Ok(Self { identity, manifest, strays, is_end_lost, damages, notes, _lock: lock })
    }
}

/// What was read; `None` if it is not there, or damaged, which is noted.
fn or_damage<T>(
    read: Result<T, OpenError>,
    disk: &dyn Disk,
    damages: &mut Vec<Damage>,
) -> Result<Option<T>, OpenError> {
    match read {
        Ok(read) => return Ok(Some(read)),
        Err(OpenError::Disk(error)) if error.kind() == ErrorKind::NotFound => {
            let detail = "it is missing".to_owned();
            let path = error.path;
            damages.push(Damage { path, offset: 0, bytes: 0, position: None, detail });
        }
        // Too large to be one.
        Err(OpenError::Disk(error)) if error.kind() == ErrorKind::InvalidData => {
            let (path, detail) = (error.path, error.source.to_string());
            damages.push(Damage { path, offset: 0, bytes: 0, position: None, detail });
        }
        Err(OpenError::Damaged(damage)) => damages.push(damage),
        // A flipped bit makes a version a newer one, too.
        Err(OpenError::FormatTooNew { path, found, supported }) => {
            let bytes = read_file(disk, &path, MANIFEST_BYTES_MAX)?;
            let is_text = path.extension().is_some_and(|extension| extension == "toml");
            let is_intact = match is_text {
                true => identity::is_intact(&bytes),
                false => log::is_intact(&bytes),
            };
            if is_intact {
                return Err(OpenError::FormatTooNew { path, found, supported });
            }
            let detail = format!("version {found}, and its checksum is wrong");
            let bytes = bytes.len() as u64;
            damages.push(Damage { path, offset: 0, bytes, position: None, detail });
        }
        Err(other) => return Err(other),
    }
    Ok(None)
}

fn is_there(disk: &dyn Disk, path: &Path) -> Result<bool, OpenError> {
    match disk.open(path, Access::Read) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Every file of the log that is a segment, whatever its name.
fn segments(disk: &dyn Disk, data: &Path) -> Result<Vec<Present>, OpenError> {
    let dir = names::log_dir(data);
    let files = match disk.list(&dir) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Vec::new()
        }
        files => files?,
    };
    let mut present = Vec::new();
    for path in files.iter().map(|name| dir.join(name)) {
        // What is no file, or cannot be read, is none; if it is needed, that is told then.
        let Ok(file) = disk.open(&path, Access::Read) else { continue };
        if let Ok(header) = SegmentHeader::read(&*file) {
            present.push(Present { header, path, bytes: file.size()? });
        }
    }
    Ok(present)
}

fn most_common(present: &[Present]) -> Option<StoreId> {
    let mut counts = BTreeMap::new();
    for segment in present {
        *counts.entry(segment.header.store.0).or_insert(0) += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(StoreId(most.0))
}

/// An identity for a store that has lost its own.
fn made_anew(disk: &dyn Disk, store: StoreId, present: &[Present]) -> Result<Identity, OpenError> {
    let created = present.iter().map(|segment| segment.header.created.0).min();
    Ok(Identity { store, ..Identity::create(disk, created.unwrap_or_default())? })
}

fn empty(store: StoreId) -> Manifest {
    let (epoch, compacted_through) = (Epoch(0), Position(0));
    Manifest { store, epoch, compacted_through, segments: Vec::new() }
}

/// The list, made of the segments that are there; and whether behind the last one there may have been
/// others.
fn list_anew(
    disk: &dyn Disk,
    data: &Path,
    store: StoreId,
    present: &[Present],
) -> Result<(Manifest, bool), OpenError> {
    // What has another name is not finished, or was not listed any more.
    let has_its_name =
        |segment: &&Present| segment.path == names::segment(data, segment.header.name());
    let mut segments: Vec<&Present> = present.iter().filter(has_its_name).collect();
    segments.sort_by_key(|segment| segment.header.name());
    let ends = segments.iter().map(|segment| end_of(disk, segment));
    let ends: Vec<Sealed> = ends.collect::<Result<_, _>>()?;
    let mut listed: Vec<(&Present, Sealed)> = Vec::new();
    for (segment, end) in segments.iter().copied().zip(ends.iter().copied()) {
        // A compacted segment is in the place of all that it covers.
        let is_superseded = segments.iter().zip(&ends).any(|(other, end)| {
            let (by, of) = (&other.header, &segment.header);
            by.generation > of.generation && (by.first..=end.last).contains(&of.first)
        });
        if !is_superseded {
            listed.push((segment, end));
        }
    }
    let is_end_lost = listed.last().is_none_or(|(segment, end)| {
        // The newest segment is not cut at its end before another one is listed.
        segment.header.generation > 0
            || segment.bytes < segment.header.capacity
            || end.bytes >= segment.header.capacity
    });
    let mut rows = Vec::new();
    let mut compacted_through = Position(0);
    for (at, (segment, end)) in listed.iter().enumerate() {
        let SegmentHeader { first, generation, salt, capacity, .. } = segment.header;
        let next = listed.get(at + 1).map(|(next, _)| next.header.first);
        // As far as it is known: between two segments there may have been others, which are lost.
        let last_max = next.map_or(end.last, Position::previous);
        let last = end.last.min(last_max);
        if generation > 0 {
            compacted_through = last_max;
        }
        let is_active = next.is_none() && generation == 0;
        if is_active || last >= first {
            let sealed = (!is_active).then_some(Sealed { bytes: end.bytes, last });
            rows.push(ListedSegment { first, generation, salt, sealed, pages: pages(capacity) });
        }
    }
    let epochs = present.iter().map(|segment| segment.header.epoch.0).max().unwrap_or_default();
    let manifest = Manifest {
        store,
        epoch: Epoch(epochs.saturating_add(EPOCHS_SKIPPED)).min(Epoch::MAX),
        compacted_through,
        segments: rows,
    };
    Ok((manifest, is_end_lost))
}

/// Where the entries of a segment end, by its index, or by what can be read of it.
fn end_of(disk: &dyn Disk, segment: &Present) -> Result<Sealed, OpenError> {
    let SegmentHeader { store, first, generation, salt, .. } = segment.header;
    let index = MappedIndex::identity_of(disk, &names::index(&segment.path));
    let is_its = |index: &IndexIdentity| {
        (index.store, index.first, index.generation, index.salt) == (store, first, generation, salt)
    };
    if let Some(index) = index.filter(is_its) {
        return Ok(Sealed { bytes: index.sealed_bytes, last: index.last });
    }
    let file = disk.open(&segment.path, Access::Read)?;
    let last = last_entry(&*file, &segment.header, segment.bytes)?;
    let (bytes, last) = match last {
        Some((offset, header)) => (offset + header.bytes(), header.position),
        None => (SEGMENT_HEADER_BYTES, Position(first.0.saturating_sub(1))),
    };
    Ok(Sealed { bytes, last })
}

/// The last entry whose header is whole, and where it begins.
fn last_entry(
    file: &dyn DiskFile,
    header: &SegmentHeader,
    bytes: u64,
) -> Result<Option<(u64, EntryHeader)>, OpenError> {
    let scan = Scan::new(file, false, header.salt, header.first, bytes);
    let mut scan = scan.with_gaps(header.generation > 0);
    let mut last = None;
    loop {
        match scan.step()? {
            Step::Entry { offset, header, .. } => last = Some((offset, header)),
            Step::Stop { offset, header, .. } => {
                last = header.map(|header| (offset, header)).or(last);
                let Some((offset, position)) = scan.look_behind()?.next else { return Ok(last) };
                scan.resume(offset, position);
            }
        }
    }
}
