//! Checks every checksum of a store, offline.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::entry::{EntryHeader, records};
use crate::error::{Damage, OpenError};
use crate::ids::{Position, StoreId};
use crate::index::{IndexError, IndexIdentity, MappedIndex};
use crate::location::Segment;
use crate::log::replay::{Replay, log_files, replay};
use crate::log::{self, ListedSegment, Sealed, SegmentHeader, SegmentName, names};
use crate::snapshot;
use crate::unit::count_of;

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments checked so far.
    pub bytes: u64,
    /// Bytes of all segments.
    pub bytes_total: u64,
}

/// What a store is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is as it was written.
    Clean,
    /// The last write was cut short, which was never answered: the next opening cuts it off.
    TornTail {
        /// Its bytes.
        bytes: u64,
        /// Where it begins, and what is wrong there.
        at: String,
    },
    /// Bytes that were durable are not what was written.
    Damaged(Vec<Damage>),
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The judgement.
    pub outcome: Outcome,
    /// Segments read.
    pub segments: u64,
    /// Good indexes.
    pub indexes: u64,
    /// Good snapshots.
    pub snapshots: u64,
    /// Valid entries.
    pub entries: u64,
    /// Records in them.
    pub records: u64,
    /// Messages among them, deleted ones included.
    pub messages: u64,
    /// Bytes of valid entries.
    pub bytes: u64,
    /// Indexes and snapshots that are not what was written, or not to be used: the next opening makes
    /// them anew, or does without. Nothing is lost with them, but somebody has changed them.
    pub spoiled: Vec<String>,
    /// Files that are no concern of the store, leftovers that the next opening removes, and indexes
    /// that are not there and will be made anew.
    pub notes: Vec<String>,
}

/// Reads the whole store in `data` and checks every checksum, changing nothing. Takes the store's
/// lock where it may, so that nobody writes meanwhile; [`OpenError::InUse`] when a server has it.
pub fn verify(
    disk: &dyn Disk,
    data: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport, OpenError> {
    let (identity, _lock) = log::look_at(disk, data)?;
    let manifest = log::read_manifest(disk, data, &identity)?;
    let mut bytes_total = 0;
    for listed in &manifest.segments {
        let open = disk.open(&names::segment(data, listed.name()), crate::disk::Access::Read);
        bytes_total += match (listed.sealed, open) {
            (Some(sealed), _) => sealed.bytes,
            (None, Ok(file)) => file.size()?,
            (None, Err(_)) => 0,
        };
    }
    let mut check = Check::new(disk, manifest.store, bytes_total, progress);
    let files = log_files(disk, data, &manifest, &mut check)?;
    let durable = check.snapshots(data, manifest.compacted_through)?;
    let end = replay(disk, data, &manifest, durable, &mut check)?;
    let Check { report: mut found, damages, .. } = check;
    found
        .notes
        .extend(files.foreign.iter().map(|name| format!("log/{name} is no file of a store")));
    let unlisted = files.unlisted.iter();
    found
        .notes
        .extend(unlisted.map(|name| format!("log/{name} is empty, left by an interrupted roll")));
    let superseded = files.superseded.iter().map(SegmentName::to_string);
    let left = superseded.chain(files.stale_indexes.iter().cloned());
    found.notes.extend(left.map(|name| format!("log/{name} is left by a compaction")));
    // What is kept for a full disk is as it should be.
    let kept = [names::compaction(data), names::standby(data)];
    let is_kept = |name: &&String| kept.iter().any(|path| path.ends_with(name));
    let temporary = files.temporary.iter().filter(|name| !is_kept(name));
    found.notes.extend(temporary.map(|name| format!("log/{name} is unfinished")));
    found.outcome = match end.torn {
        _ if !damages.is_empty() => Outcome::Damaged(damages),
        Some(at) => Outcome::TornTail { bytes: end.torn_bytes, at },
        None => Outcome::Clean,
    };
    Ok(found)
}

struct Check<'p> {
    disk: &'p dyn Disk,
    store: StoreId,
    progress: &'p mut dyn FnMut(Progress),
    bytes_total: u64,
    /// Bytes of the segments before the one that is read.
    bytes_before: u64,
    bytes_here: u64,
    /// The segment that is read.
    path: PathBuf,
    report: VerifyReport,
    damages: Vec<Damage>,
}

impl<'p> Check<'p> {
    fn new(
        disk: &'p dyn Disk,
        store: StoreId,
        bytes_total: u64,
        progress: &'p mut dyn FnMut(Progress),
    ) -> Self {
        let report = VerifyReport {
            outcome: Outcome::Clean,
            segments: 0,
            indexes: 0,
            snapshots: 0,
            entries: 0,
            records: 0,
            messages: 0,
            bytes: 0,
            spoiled: Vec::new(),
            notes: Vec::new(),
        };
        let damages = Vec::new();
        let path = PathBuf::new();
        let (bytes_before, bytes_here) = (0, 0);
        Self { disk, store, progress, bytes_total, bytes_before, bytes_here, path, report, damages }
    }

    /// Reads the snapshots, and says which entry the newest good one proves to have been synced.
    /// A bad one is no damage to the store: it is made anew.
    fn snapshots(&mut self, data: &Path, compacted: Position) -> Result<Position, OpenError> {
        let mut durable = Position(0);
        for position in snapshot::list(self.disk, data)? {
            match snapshot::read(self.disk, data, self.store, position, &mut |_| {}) {
                Ok(_) if position < compacted => {
                    let note = format!("the snapshot of entry {position} is too old to be used");
                    self.report.spoiled.push(note);
                }
                Ok(header) => {
                    self.report.snapshots += 1;
                    durable = durable.max(header.through);
                }
                Err(error) => self.report.spoiled.push(format!("{error}; it is not used")),
            }
        }
        Ok(durable)
    }

    /// Checks a sealed segment's index. A bad one is no damage to the store: it is made anew.
    fn index(&mut self, segment: &Segment, sealed: Sealed) {
        let path = names::index(&segment.path);
        let identity = IndexIdentity::new(self.store, segment, sealed.last, sealed.bytes);
        let checked = match MappedIndex::open(self.disk, &path, &identity) {
            Ok(index) => index.check_all().map_err(|error| error.to_string()),
            // A killed server leaves segments without one.
            Err(IndexError::Disk(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                let note = format!("{} is not there; it will be made anew", path.display());
                self.report.notes.push(note);
                return;
            }
            Err(error) => Err(error.to_string()),
        };
        match checked {
            Ok(()) => self.report.indexes += 1,
            Err(error) => {
                self.report.spoiled.push(format!("{error}; the index will be made anew"));
            }
        }
    }
}

impl Replay for Check<'_> {
    fn segment(
        &mut self,
        listed: &ListedSegment,
        header: &SegmentHeader,
        file: &Arc<dyn DiskFile>,
    ) -> bool {
        self.report.segments += 1;
        self.path = file.path().to_path_buf();
        self.bytes_before += std::mem::take(&mut self.bytes_here);
        if let Some(sealed) = listed.sealed {
            let segment = header.segment(file.clone(), self.path.clone());
            self.index(&segment, sealed);
        }
        true
    }

    fn entry(&mut self, _: &SegmentHeader, offset: u64, header: &EntryHeader, body: &[u8]) {
        self.report.entries += 1;
        self.report.bytes += header.bytes();
        for (record, _, _) in records(body) {
            self.report.records += 1;
            if let Some(sent) = record.message() {
                self.report.messages += 1;
                if let Err(error) = sent.check_payload() {
                    let detail = format!("entry {}: {error}", header.position);
                    let (path, position) = (self.path.clone(), Some(header.position));
                    self.damages.push(Damage {
                        path,
                        offset,
                        bytes: header.bytes(),
                        position,
                        detail,
                    });
                }
            }
        }
        self.bytes_here = offset + header.bytes();
        let bytes = self.bytes_before + self.bytes_here;
        (self.progress)(Progress { bytes, bytes_total: self.bytes_total });
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        self.damages.push(damage);
        Ok(())
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Clean if self.spoiled.is_empty() => writeln!(f, "clean")?,
            Outcome::Clean => writeln!(f, "whole, but for files that can be made anew")?,
            Outcome::TornTail { bytes, at } => {
                writeln!(f, "torn tail of {}: {at}", count_of(*bytes, "byte"))?;
            }
            Outcome::Damaged(damages) => {
                writeln!(f, "DAMAGED, places: {}", damages.len())?;
                damages.iter().try_for_each(|damage| writeln!(f, "  {damage}"))?;
            }
        }
        self.spoiled.iter().try_for_each(|file| writeln!(f, "spoiled: {file}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        write!(
            f,
            "{}, {}, {}, {}, {}, {} (deleted ones included), {}",
            count_of(self.segments, "segment"),
            count_of(self.indexes, "index"),
            count_of(self.snapshots, "snapshot"),
            count_of(self.entries, "entry"),
            count_of(self.records, "record"),
            count_of(self.messages, "message"),
            count_of(self.bytes, "byte")
        )
    }
}
