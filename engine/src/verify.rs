//! Checks every checksum of a store, offline.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile};
use crate::entry::{EntryHeader, records};
use crate::error::{Damage, OpenError};
use crate::log::replay::{Replay, log_files, replay};
use crate::log::{self, SegmentHeader, names};
use crate::record::Record;

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
    /// Valid entries.
    pub entries: u64,
    /// Records in them.
    pub records: u64,
    /// Messages among them, deleted ones included.
    pub messages: u64,
    /// Bytes of valid entries.
    pub bytes: u64,
    /// Files that are no concern of the store, and leftovers that the next opening removes.
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
        let open = disk.open(&names::segment(data, listed.first), crate::disk::Access::Read);
        bytes_total += match (listed.sealed_bytes, open) {
            (Some(bytes), _) => bytes,
            (None, Ok(file)) => file.size()?,
            (None, Err(_)) => 0,
        };
    }
    let mut check = Check { progress, bytes_total, ..Check::new(&mut |_| {}) };
    let files = log_files(disk, data, &manifest, &mut check)?;
    let end = replay(disk, data, &manifest, &mut check)?;
    let Check { report: mut found, damages, .. } = check;
    found
        .notes
        .extend(files.foreign.iter().map(|name| format!("log/{name} is no file of a store")));
    let unlisted = files.unlisted.iter();
    found
        .notes
        .extend(unlisted.map(|name| format!("log/{name} is empty, left by an interrupted roll")));
    let temporary = files.temporary.iter();
    found.notes.extend(temporary.map(|name| format!("log/{name} is unfinished")));
    found.outcome = match end.torn {
        _ if !damages.is_empty() => Outcome::Damaged(damages),
        Some(at) => Outcome::TornTail { bytes: end.torn_bytes, at },
        None => Outcome::Clean,
    };
    Ok(found)
}

struct Check<'p> {
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
    fn new(progress: &'p mut dyn FnMut(Progress)) -> Self {
        let report = VerifyReport {
            outcome: Outcome::Clean,
            segments: 0,
            entries: 0,
            records: 0,
            messages: 0,
            bytes: 0,
            notes: Vec::new(),
        };
        let damages = Vec::new();
        let path = PathBuf::new();
        Self { progress, bytes_total: 0, bytes_before: 0, bytes_here: 0, path, report, damages }
    }
}

impl Replay for Check<'_> {
    fn segment(&mut self, _: &SegmentHeader, file: &dyn DiskFile) {
        self.report.segments += 1;
        self.path = file.path().to_path_buf();
        self.bytes_before += std::mem::take(&mut self.bytes_here);
    }

    fn entry(&mut self, _: &SegmentHeader, offset: u64, header: &EntryHeader, body: &[u8]) {
        self.report.entries += 1;
        self.report.bytes += header.bytes();
        for (record, _, _) in records(body) {
            self.report.records += 1;
            if let Record::Sent(sent) = record {
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
            Outcome::Clean => writeln!(f, "clean")?,
            Outcome::TornTail { bytes, at } => {
                writeln!(f, "torn tail of {bytes} bytes: {at}")?;
            }
            Outcome::Damaged(damages) => {
                writeln!(f, "DAMAGED, places: {}", damages.len())?;
                damages.iter().try_for_each(|damage| writeln!(f, "  {damage}"))?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        write!(
            f,
            "{} segments, {} entries, {} records, {} messages, {} bytes",
            self.segments, self.entries, self.records, self.messages, self.bytes
        )
    }
}
