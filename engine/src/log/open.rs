//! Opening a log: look at everything, then change something (FORMAT.md section 4).

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::identity::Identity;
use super::manifest::{ListedSegment, Manifest};
use super::names;
use super::reader::Reader;
use super::replay::{LogEnd, LogFiles, Replay, log_files, replay};
use super::segment::{PreparedSegment, SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::tail::{NextSegment, Tail};
use super::{Log, begin_segment};
use crate::disk::{Access, Disk, DiskError, DiskFile, DiskLock};
use crate::entry::EntryHeader;
use crate::error::{Damage, OpenError};
use crate::ids::{Epoch, Position};
use crate::options::{Options, SEGMENT_BYTES_MIN};
use crate::time::{Clock, LogClock, LogTime};

/// The first segment after an opening is no larger: opening must not wait for a large file to be
/// filled. The next one, prepared in the background, has the full size.
const FIRST_SEGMENT_BYTES: u64 = 16 << 20;

/// A log that was opened and replayed.
pub(crate) struct OpenedLog {
    pub(crate) log: Log,
    pub(crate) tail: Tail,
    pub(crate) clock: LogClock,
    pub(crate) identity: Identity,
    pub(crate) created: bool,
    pub(crate) end: LogEnd,
    pub(crate) segments: usize,
    pub(crate) warnings: Vec<String>,
}

/// Opens the store in `data`, creating it if the directory is empty or missing, and tells
/// `consumer` every entry in order.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    data: &Path,
    options: &Options,
    consumer: &mut dyn Replay,
) -> Result<OpenedLog, OpenError> {
    disk.create_dir(data)?;
    // Before the lock too: a directory of somebody else's is left as it is, without a LOCK in it.
    refuse_foreign(&*disk, data)?;
    let lock = take_lock(&*disk, data)?;
    let (identity, created) = read_or_create_identity(&*disk, data, &*clock)?;
    let listed = read_manifest(&*disk, data, &identity)?;

    // What a killed process left in the page cache is not yet on disk: before anything that is
    // read here may be answered with, it must be.
    sync_all(&*disk, data, &listed)?;

    let mut newest = Newest { consumer, log_time: LogTime::default() };
    let files = log_files(&*disk, data, &listed, &mut newest)?;
    let end = replay(&*disk, data, &listed, &mut newest)?;
    let clock_start = LogClock::start(clock, newest.log_time);

    // Everything is understood: from here on the disk is changed.
    let mut manifest = listed;
    remove_leftovers(&*disk, data, &files)?;
    retire_active(&*disk, data, &mut manifest, &end)?;
    let segments = manifest.segments.len();
    let reader = Reader::new(data, options.tail_cache_bytes);
    for segment in &manifest.segments {
        let file = disk.open(&names::segment(data, segment.first), Access::Read)?;
        cut_at_end(&*disk, segment, &*file)?;
        reader.add_segment(segment.first, Segment { salt: segment.salt, file });
    }
    manifest.epoch = Epoch(manifest.epoch.0 + 1);
    let (position, now) = (end.last.next(), clock_start.now());
    let prepared = prepare_first(&*disk, data, options, manifest.bytes_with_one_more())?;
    let capacity = prepared.capacity;
    let active = begin_segment(&*disk, data, &mut manifest, &reader, prepared, position, now)?;

    let tail = Tail {
        position,
        segment: position,
        created: now,
        offset: SEGMENT_HEADER_BYTES,
        capacity,
        next: NextSegment::Preparing,
    };
    let warnings = warnings(&files);
    let log = Log {
        disk,
        data: data.to_path_buf(),
        manifest,
        active,
        durable: end.last,
        reader,
        prepared: None,
        _lock: lock,
    };
    Ok(OpenedLog { log, tail, clock: clock_start, identity, created, end, segments, warnings })
}

/// Opens a store for looking at it: its identity, and its lock where one can be taken. A store on
/// a read-only file system is nobody's to write.
pub(crate) fn look_at(
    disk: &dyn Disk,
    data: &Path,
) -> Result<(Identity, Option<Box<dyn DiskLock>>), OpenError> {
    refuse_foreign(disk, data)?;
    let identity = Identity::read(disk, data)?;
    let lock = match take_lock(disk, data) {
        Ok(lock) => Some(lock),
        Err(OpenError::Disk(error))
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            None
        }
        Err(other) => return Err(other),
    };
    Ok((identity, lock))
}

/// Refuses a directory that holds something and is no store.
fn refuse_foreign(disk: &dyn Disk, data: &Path) -> Result<(), OpenError> {
    let names = disk.list(data)?;
    if names.iter().any(|name| *name == names::IDENTITY) {
        return Ok(());
    }
    // A home directory, or a store that lost its store.toml, is left alone.
    match names.into_iter().find(|name| !names::may_precede_identity(name)) {
        Some(found) => Err(OpenError::NotAStore { path: data.to_path_buf(), found }),
        None => Ok(()),
    }
}

/// Takes the store's lock, or says who has it.
fn take_lock(disk: &dyn Disk, data: &Path) -> Result<Box<dyn DiskLock>, OpenError> {
    let path = names::lock(data);
    disk.lock(&path).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => OpenError::InUse { path, detail: error.source.to_string() },
        _ => error.into(),
    })
}

fn read_or_create_identity(
    disk: &dyn Disk,
    data: &Path,
    clock: &dyn Clock,
) -> Result<(Identity, bool), OpenError> {
    match Identity::read(disk, data) {
        Err(OpenError::Disk(error)) if error.kind() == ErrorKind::NotFound => {}
        result => return result.map(|identity| (identity, false)),
    }
    // Only an empty directory becomes a store.
    refuse_foreign(disk, data)?;
    let identity = Identity::create(clock.wall_ms())?;
    identity.write(disk, data)?;
    Ok((identity, true))
}

/// The manifest; an empty one where creation was interrupted before the first was written.
pub(crate) fn read_manifest(
    disk: &dyn Disk,
    data: &Path,
    identity: &Identity,
) -> Result<Manifest, OpenError> {
    if let Some(manifest) = Manifest::read(disk, data, identity.store)? {
        return Ok(manifest);
    }
    let empty = Manifest { store: identity.store, epoch: Epoch(0), segments: Vec::new() };
    // The first segment is named before the first manifest lists it.
    let first = names::SegmentName(Position(1)).to_string();
    let found = match disk.list(&names::log_dir(data)) {
        Ok(files) => files.into_iter().find(|name| name.ends_with(".log") && *name != first),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(name) => Err(Damage {
            path: names::manifest(data),
            offset: 0,
            bytes: 0,
            position: None,
            detail: format!("the manifest is missing, but there is a segment {name}"),
        }
        .into()),
        None => Ok(empty),
    }
}

fn sync_all(disk: &dyn Disk, data: &Path, manifest: &Manifest) -> Result<(), OpenError> {
    disk.create_dir(&names::log_dir(data))?;
    for segment in &manifest.segments {
        match disk.open(&names::segment(data, segment.first), Access::Read) {
            Ok(file) => file.sync()?,
            // Reported by the replay, with what is missing.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    disk.sync_dir(&names::log_dir(data))?;
    disk.sync_dir(data)?;
    Ok(())
}

fn remove_leftovers(disk: &dyn Disk, data: &Path, files: &LogFiles) -> Result<(), DiskError> {
    let dir = names::log_dir(data);
    for name in &files.temporary {
        disk.remove(&dir.join(name))?;
    }
    for segment in &files.unlisted {
        disk.remove(&names::segment(data, segment.0))?;
    }
    for name in disk.list(data)?.iter().filter(|name| names::is_temporary(name)) {
        disk.remove(&data.join(name))?;
    }
    disk.sync_dir(&dir)?;
    disk.sync_dir(data)
}

/// Seals the recovered active segment: nothing is ever appended to it. One without an entry is
/// dropped, since the segment that comes now has the same first position.
fn retire_active(
    disk: &dyn Disk,
    data: &Path,
    manifest: &mut Manifest,
    end: &LogEnd,
) -> Result<(), DiskError> {
    let (Some(bytes), Some(active)) = (end.active_bytes, manifest.segments.last_mut()) else {
        return Ok(());
    };
    if end.last >= active.first {
        active.sealed_bytes = Some(bytes);
        return manifest.write(disk, data);
    }
    let path = names::segment(data, active.first);
    // Wiped before it is unlisted: what is torn in it must not be taken for entries of a segment
    // that the manifest lost.
    let file = disk.open(&path, Access::Write)?;
    file.write_all_at(bytes, &vec![0; end.torn_bytes as usize])?;
    file.sync()?;
    manifest.segments.pop();
    manifest.write(disk, data)?;
    disk.remove(&path)?;
    disk.sync_dir(&names::log_dir(data))
}

/// Gives back what was reserved behind the end of a sealed segment, which an interrupted roll or
/// opening leaves; after the manifest is durable, because an active segment must keep its size.
fn cut_at_end(
    disk: &dyn Disk,
    segment: &ListedSegment,
    file: &dyn DiskFile,
) -> Result<(), DiskError> {
    match segment.sealed_bytes {
        Some(bytes) if file.size()? > bytes => {
            let file = disk.open(file.path(), Access::Write)?;
            file.set_size(bytes)?;
            file.sync()
        }
        _ => Ok(()),
    }
}

/// The first segment of this opening, as large as the disk allows.
fn prepare_first(
    disk: &dyn Disk,
    data: &Path,
    options: &Options,
    manifest_bytes: u64,
) -> Result<PreparedSegment, DiskError> {
    let mut bytes = options.segment_bytes.min(FIRST_SEGMENT_BYTES);
    loop {
        match PreparedSegment::prepare(disk, data, bytes, manifest_bytes) {
            Err(error) if error.is_full() && bytes / 2 >= SEGMENT_BYTES_MIN => bytes /= 2,
            result => return result,
        }
    }
}

fn warnings(files: &LogFiles) -> Vec<String> {
    let foreign = files.foreign.iter().map(|name| format!("log/{name} is no file of a store"));
    let unlisted = files.unlisted.iter();
    let unlisted =
        unlisted.map(|name| format!("removed {name}, left empty by an interrupted roll"));
    foreign.chain(unlisted).collect()
}

/// Passes a replay on and notes the newest log time.
struct Newest<'c> {
    consumer: &'c mut dyn Replay,
    log_time: LogTime,
}

impl Replay for Newest<'_> {
    fn segment(&mut self, header: &SegmentHeader, file: &dyn DiskFile) {
        self.log_time = self.log_time.max(header.created);
        self.consumer.segment(header, file);
    }

    fn entry(&mut self, segment: &SegmentHeader, offset: u64, header: &EntryHeader, body: &[u8]) {
        self.log_time = self.log_time.max(header.log_time);
        self.consumer.entry(segment, offset, header, body);
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        self.consumer.damage(damage)
    }
}
