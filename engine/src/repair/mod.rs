//! Repair: makes a store that can be opened of one that is damaged, and says first what is lost.
//!
//! Nothing here brings lost bytes back. What is left of each damaged segment is written into a new one, as a
//! compaction would (FORMAT.md section 9): every entry that is whole, and of the others every record that proves
//! itself. The manifest lists the new ones, and is made anew itself if it is lost.
//!
//! Invariants.
//! - A [`Repair`] is looked at before anything is changed: it has told everything that is lost with it.
//! - What is undamaged stays: no entry and no record is left out that can be read.
//! - What was acked as far as log or newest snapshot know stays acked.
//! - The files as they were are copied first. The rename of the manifest is the one moment at which the store
//!   changes; before it, it is as damaged as it was, and a repair begins anew.

mod carry_out;
mod left;
mod lists;
mod losses;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Access, Disk, DiskError, DiskFile, DiskLock};
use crate::entry::{ENTRY_HEADER_BYTES, EntryHeader};
use crate::error::{Damage, OpenError};
use crate::ids::{Position, StoreId};
use crate::log::replay::{LogFiles, Replay, log_files, replay};
use crate::log::{self, ListedSegment, Manifest, Sealed, SegmentHeader, names};
use crate::progress::OnProgress;
use crate::recovery::Recovery;
use crate::time::LogTime;
use left::Left;
use losses::Losses;

/// What is to be done to a damaged store, and what is lost with what is damaged.
#[derive(Debug)]
pub struct Repair {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    store: StoreId,
    /// `None` where the store cannot be written.
    lock: Option<Box<dyn DiskLock>>,
    /// The list of segments as it is to be.
    manifest: Manifest,
    parts: Vec<Part>,
    /// Files that belong to nothing.
    strays: Vec<PathBuf>,
    damages: Vec<Damage>,
    losses: Losses,
    steps: Vec<String>,
}

/// A listed segment.
#[derive(Debug)]
struct Part {
    listed: ListedSegment,
    path: PathBuf,
    /// `None`: it is not there.
    file: Option<Arc<dyn DiskFile>>,
    created: LogTime,
    /// Where its data ends, or its file.
    bytes: u64,
    /// The last position that it covers.
    last: Position,
    /// Whether it was still appended to.
    was_active: bool,
    is_damaged: bool,
    /// Whether entries are missing at its end.
    is_cut: bool,
    /// So many bytes are missing of its file.
    cut_bytes: u64,
}

/// Looks at the store in `data` and says how it can be repaired; `None` if there is nothing to repair. Changes
/// nothing. It fails where nothing can be done: without `store.toml`, or if the disk cannot be read.
pub fn plan(disk: Arc<dyn Disk>, data: &Path) -> Result<Option<Repair>, OpenError> {
    let (identity, lock) = log::look_at(&*disk, data)?;
    let (mut found, mut steps) = (Found::default(), Vec::new());
    let mut manifest = match log::read_manifest(&*disk, data, &identity) {
        Err(OpenError::Damaged(damage)) => {
            found.damages.push(damage);
            steps.push("the list of segments is made anew of what their headers say".to_owned());
            lists::rebuild(&*disk, data, identity.store)?
        }
        read => read?,
    };
    let has_manifest = found.damages.is_empty();
    let files = log_files(&*disk, data, &manifest, &mut found)?;
    if manifest.segments.is_empty() {
        // As it is before the first segment is listed; if there are entries, it was lost.
        manifest = lists::rebuild(&*disk, data, identity.store)?;
    }
    let added = lists::add_unlisted(&*disk, data, &mut manifest)?;
    steps.extend(added.iter().map(|name| format!("log/{name} is listed, where it belongs")));
    let mut recovery = Recovery::new(disk.clone(), data, identity.store, OnProgress::default());
    let known = recovery.load_snapshot(manifest.compacted_through)?;
    let end = replay(&*disk, data, &manifest, known.durable, &mut found)?;
    if found.damages.is_empty() {
        return Ok(None);
    }
    let last = end.last.max(known.durable);
    let mut parts = parts(&*disk, data, &manifest, (last, end.active_bytes), &found)?;
    date(&mut parts)?;
    let mut strays = strays(&*disk, data, &manifest, &files, &found, has_manifest)?;
    // An active segment without an entry is nothing: the next opening removes it, unless it is damaged.
    let is_empty = |part: &mut Part| part.was_active && part.last < part.listed.first;
    if let Some(part) = parts.pop_if(is_empty)
        && part.is_damaged
        && part.file.is_some()
    {
        strays.push(part.path);
    }
    let mut repair = Repair {
        disk,
        data: data.to_path_buf(),
        store: identity.store,
        lock,
        manifest,
        parts,
        strays,
        damages: found.damages,
        losses: Losses::default(),
        steps,
    };
    repair.losses = losses::find(&repair, recovery, known)?;
    repair.tell_steps();
    Ok(Some(repair))
}

impl Repair {
    /// Where the store is not what was written.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// What is lost, a line each: nothing, if every record could be read.
    pub fn losses(&self) -> &[String] {
        self.losses.lines()
    }

    /// What [`Repair::carry_out`] will do, a line each.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    fn tell_steps(&mut self) {
        let names = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        for part in self.parts.iter().filter(|part| part.is_damaged) {
            let name = names(&part.path);
            self.steps.push(match part.file {
                Some(_) => format!("what is left of log/{name} is written into a new segment"),
                None => format!("an empty segment takes the place of log/{name}"),
            });
        }
        for stray in &self.strays {
            self.steps.push(format!("log/{} is put aside: it belongs to nothing", names(stray)));
        }
        self.steps.push("snapshots and the indexes of new segments are made anew".to_owned());
    }
}

/// What reading the store came upon.
#[derive(Debug, Default)]
struct Found {
    damages: Vec<Damage>,
}

impl Replay for Found {
    fn entry(&mut self, _: &SegmentHeader, _: u64, _: &EntryHeader, _: &[u8]) {}

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        self.damages.push(damage);
        Ok(())
    }
}

/// The listed segments. The last one covers all positions that were ever synced: none is given again.
fn parts(
    disk: &dyn Disk,
    data: &Path,
    manifest: &Manifest,
    (end, active_bytes): (Position, Option<u64>),
    found: &Found,
) -> Result<Vec<Part>, OpenError> {
    let damaged: BTreeSet<&Path> = found.damages.iter().map(|damage| &*damage.path).collect();
    let mut parts = Vec::new();
    for listed in &manifest.segments {
        let path = names::segment(data, listed.name());
        let file = match disk.open(&path, Access::Read) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let size = file.as_ref().map_or(Ok(0), |file| file.size())?;
        let header = file.as_ref().and_then(|file| SegmentHeader::read(&**file).ok());
        let (was_active, is_damaged) =
            (listed.sealed.is_none(), file.is_none() || damaged.contains(&*path));
        let (bytes, last) = match listed.sealed {
            Some(Sealed { bytes, last }) if last >= listed.first => (bytes, last),
            Some(Sealed { bytes, .. }) => (bytes, end),
            // Of a damaged one all of the file is searched.
            None => (active_bytes.filter(|_| !is_damaged).unwrap_or(size), end),
        };
        let created = header.map_or_else(LogTime::default, |header| header.created);
        let listed = *listed;
        let cut_bytes = match listed.sealed {
            Some(_) => bytes.saturating_sub(size),
            None => header.map_or(0, |header| header.capacity.saturating_sub(size)),
        };
        let is_cut = cut_bytes > 0;
        let mut part = Part {
            listed,
            path,
            file,
            created,
            bytes,
            last,
            was_active,
            is_damaged,
            is_cut,
            cut_bytes,
        };
        if was_active && is_damaged {
            // Its header page may be what is lost: then nobody has read it yet.
            part.last = part.last.max(left::reach(&part)?);
            // What lay behind the cut may have been as many entries.
            part.last.0 += cut_bytes / ENTRY_HEADER_BYTES as u64;
        }
        parts.push(part);
    }
    if let Some(first) = parts.first().map(|part| part.listed.first)
        && first > Position(1)
    {
        parts.insert(0, Part::missing(disk, data, first.previous())?);
    }
    let covered = parts.last().map_or(Position(0), |part| part.last);
    if covered < end {
        // Entries behind the last segment were synced once: they are lost, their positions are not free.
        match parts.last_mut() {
            Some(part) => (part.last, part.is_damaged, part.is_cut) = (end, true, true),
            None => parts.push(Part::missing(disk, data, end)?),
        }
    }
    Ok(parts)
}

/// Sent times are counted from a segment's creation: one whose header page is lost is as old as its first entry, or
/// as its neighbour.
fn date(parts: &mut [Part]) -> Result<(), DiskError> {
    let unknown = LogTime::default();
    for part in parts.iter_mut().filter(|part| part.created == unknown) {
        let mut first = unknown;
        left::read_left(part, &mut |left| {
            if let Left::Entry { header, .. } = left
                && first == unknown
            {
                first = header.log_time;
            }
            Ok(())
        })?;
        part.created = first;
    }
    let oldest = parts.iter().map(|part| part.created).filter(|created| *created > unknown).min();
    let mut before = oldest.unwrap_or(unknown);
    for part in parts {
        match part.created == unknown {
            true => part.created = before,
            false => before = part.created,
        }
    }
    Ok(())
}

impl Part {
    /// All that there was, up to `last`.
    fn missing(disk: &dyn Disk, data: &Path, last: Position) -> Result<Self, DiskError> {
        let path = names::segment(data, log::SegmentName::written(Position(1)));
        let salt = log::new_salt(disk, &path)?;
        let listed = ListedSegment { first: Position(1), generation: 0, salt, sealed: None };
        let created = LogTime::default();
        Ok(Self {
            listed,
            path,
            file: None,
            created,
            bytes: 0,
            last,
            was_active: false,
            is_damaged: true,
            is_cut: true,
            cut_bytes: 0,
        })
    }
}

/// Files under the names of segments that are none.
fn strays(
    disk: &dyn Disk,
    data: &Path,
    manifest: &Manifest,
    files: &LogFiles,
    found: &Found,
    has_manifest: bool,
) -> Result<Vec<PathBuf>, DiskError> {
    let dir = names::log_dir(data);
    let is_listed =
        |path: &Path| manifest.segments.iter().any(|one| path.ends_with(one.name().to_string()));
    let damaged = found.damages.iter().map(|damage| damage.path.clone());
    let mut strays: BTreeSet<PathBuf> =
        damaged.filter(|path| path.parent() == Some(&*dir) && !is_listed(path)).collect();
    if !has_manifest {
        // What a manifest was made without may be needed by somebody who knows more.
        let left = files.superseded.iter().chain(&files.unlisted);
        strays.extend(left.map(|name| names::segment(data, *name)));
    }
    // What is missing is told by the name that it should have.
    let there = disk.list(&dir)?;
    Ok(strays.into_iter().filter(|path| there.iter().any(|name| path.ends_with(name))).collect())
}
