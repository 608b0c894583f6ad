//! Opening a log: look at everything, then change something (FORMAT.md section 7).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::identity::Identity;
use super::manifest::{ListedSegment, Manifest, ManifestReserve, Sealed};
use super::names::{self, SegmentName};
use super::reader::Reader;
use super::replay::{LogEnd, LogFiles, Replay, log_files, replay};
use super::segment::{PreparedSegment, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::standby::Standby;
use super::tail::{NextSegment, Tail};
use super::{Listing, Log, PAGE_BYTES, listed_active};
use crate::broken::{Mistake, makes};
use crate::counters::Counters;
use crate::disk::{
    Access, Disk, DiskError, DiskFile, DiskLock, HeldDisk, PageWriter, remove_if_there,
};
use crate::entry::EntryHeader;
use crate::error::{Damage, OpenError};
use crate::ids::{Epoch, Position};
use crate::options::Options;
use crate::time::{Clock, LogClock, LogTime};

/// The first segment after an opening is no larger: opening must not wait for a large file to be
/// filled. The next one, prepared in the background, has the full size.
const FIRST_SEGMENT_BYTES: u64 = 16 << 20;

/// On a full disk it may be as small: some deletes, or a purge, give more space back.
const FIRST_SEGMENT_BYTES_MIN: u64 = 2 * PAGE_BYTES;

/// A log that was found, locked and synced, and not read yet.
pub(crate) struct FoundLog {
    /// Holds the lock.
    pub(crate) disk: Arc<dyn Disk>,
    data: PathBuf,
    pub(crate) identity: Identity,
    /// Whether it was created just now.
    pub(crate) created: bool,
    pub(crate) manifest: Manifest,
}

/// What is known of a log from elsewhere: from a snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    /// The state is known up to this position.
    pub(crate) position: Position,
    /// A position that was synced once.
    pub(crate) durable: Position,
    /// A log time that has passed.
    pub(crate) log_time: LogTime,
}

/// A log that was opened and replayed.
pub(crate) struct OpenedLog {
    pub(crate) log: Log,
    pub(crate) tail: Tail,
    pub(crate) clock: LogClock,
    pub(crate) end: LogEnd,
    pub(crate) segments: usize,
    pub(crate) warnings: Vec<String>,
}

/// Finds the store in `data`, creating it if the directory is empty or missing.
pub(crate) fn find(
    disk: Arc<dyn Disk>,
    clock: &dyn Clock,
    data: &Path,
) -> Result<FoundLog, OpenError> {
    disk.create_dir(data)?;
    // Before the lock too: a directory of somebody else's is left as it is, without a LOCK in it.
    refuse_foreign(&*disk, data)?;
    let lock = take_lock(&*disk, data)?;
    let (identity, created) = read_or_create_identity(&*disk, data, clock)?;
    let manifest = read_manifest(&*disk, data, &identity)?;
    // What a killed process left in the page cache is not yet on disk: before anything that is
    // read here may be answered with, it must be.
    sync_all(&*disk, data, &manifest)?;
    let (disk, data) = (Arc::new(HeldDisk::new(disk, lock)), data.to_path_buf());
    Ok(FoundLog { disk, data, identity, created, manifest })
}

impl FoundLog {
    /// Reads the log, telling `consumer` what it asks for, and then opens it for appending.
    pub(crate) fn open(
        self,
        clock: Arc<dyn Clock>,
        options: &Options,
        counters: Arc<Counters>,
        known: Known,
        consumer: &mut dyn Replay,
    ) -> Result<OpenedLog, OpenError> {
        let Self { disk, data, identity: _, created: _, mut manifest } = self;
        let mut noting = Noting { consumer, log_time: known.log_time, oversized: Vec::new() };
        let files = log_files(&*disk, &data, &manifest, &mut noting)?;
        let end = replay(&*disk, &data, &manifest, known.durable, &mut noting)?;
        let clock_start = LogClock::start(clock, noting.log_time);
        let oversized = noting.oversized;
        if manifest.epoch == Epoch::MAX {
            return Err(OpenError::OpeningsUsedUp { count: Epoch::MAX.0 });
        }

        // Everything is understood: from here on the disk is changed.
        remove_leftovers(&*disk, &data, &files, options)?;
        let had_swap_reserve = has(&*disk, &data, &names::swap_reserve(&data))?;
        retire_active(&*disk, &data, &mut manifest, &end, options)?;
        for path in oversized {
            cut_at_end(&*disk, &data, &manifest, &path)?;
        }
        if had_swap_reserve {
            restore_swap_reserve(&*disk, &data, &manifest)?;
        }
        let segments = manifest.segments.len();
        if manifest.epoch == Epoch(0) || !makes(Mistake::EpochNotCounted) {
            manifest.epoch = manifest.epoch.next();
        }
        let (position, now) = (end.last.next(), clock_start.now());
        let (prepared, next) =
            prepare_first(&*disk, &data, options, manifest.bytes_with_one_more())?;
        let (capacity, segment) = (prepared.capacity(), prepared.segment(position, now));
        prepared.activate(&*disk, &segment, manifest.store, manifest.epoch)?;
        manifest.segments.push(listed_active(&segment, capacity));
        replace_manifest(&*disk, &data, &manifest)?;

        let tail = Tail {
            position,
            segment: segment.clone(),
            offset: SEGMENT_HEADER_BYTES,
            capacity,
            next,
        };
        let log = Log {
            store: manifest.store,
            epoch: manifest.epoch,
            listing: Listing::new(disk.clone(), data.clone(), manifest),
            disk,
            data,
            active: segment,
            capacity,
            end: SEGMENT_HEADER_BYTES,
            durable: end.last,
            reader: Reader::new(options.tail_cache_bytes),
            writer: PageWriter::default(),
            counters,
        };
        let warnings = warnings(&files);
        Ok(OpenedLog { log, tail, clock: clock_start, end, segments, warnings })
    }
}

/// Opens a store for looking at it: its identity, and its lock where one can be taken. A store on
/// a read-only file system is nobody's to write.
pub(crate) fn look_at(
    disk: &dyn Disk,
    data: &Path,
) -> Result<(Identity, Option<Box<dyn DiskLock>>), OpenError> {
    refuse_foreign(disk, data)?;
    let identity = Identity::read(disk, data)?;
    Ok((identity, lock_to_look(disk, data, true)?))
}

/// The lock of a store that is looked at, where it can be taken. Unless it is known to be a store,
/// nothing must be in the directory that is somebody else's.
pub(crate) fn lock_to_look(
    disk: &dyn Disk,
    data: &Path,
    is_store: bool,
) -> Result<Option<Box<dyn DiskLock>>, OpenError> {
    if !is_store {
        refuse_foreign(disk, data)?;
    }
    match take_lock(disk, data) {
        Ok(lock) => Ok(Some(lock)),
        Err(OpenError::Disk(error))
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

/// Takes the lock of a directory in which a store is about to be made.
pub(crate) fn lock_new(disk: &dyn Disk, data: &Path) -> Result<Box<dyn DiskLock>, OpenError> {
    take_lock(disk, data)
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
    let identity = Identity::create(disk, clock.wall_ms())?;
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
    let empty = Manifest {
        store: identity.store,
        epoch: Epoch(0),
        compacted_through: Position(0),
        segments: Vec::new(),
    };
    // The first segment is named before the first manifest lists it.
    let first = SegmentName::written(Position(1)).to_string();
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

/// A sealed segment was synced before the manifest said so; the active one may not have been.
fn sync_all(disk: &dyn Disk, data: &Path, manifest: &Manifest) -> Result<(), OpenError> {
    disk.create_dir(&names::log_dir(data))?;
    for segment in manifest.segments.iter().filter(|segment| segment.sealed.is_none()) {
        match disk.open(&names::segment(data, segment.name()), Access::Read) {
            Ok(_) if makes(Mistake::ActiveNotSyncedAtOpening) => {}
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

fn remove_leftovers(
    disk: &dyn Disk,
    data: &Path,
    files: &LogFiles,
    options: &Options,
) -> Result<(), DiskError> {
    if makes(Mistake::LeftoversKept) {
        return Ok(());
    }
    let dir = names::log_dir(data);
    let superseded = keep_as_reserve(disk, data, files, options)?;
    let unlisted = keep_as_standby(disk, data, files, options)?;
    // What is kept for the compactor stays its own: on a full disk the log would take it. And what is kept
    // for the log stays the store's.
    let kept = [
        names::compaction(data),
        names::swap_reserve(data),
        names::standby(data),
        names::manifest_reserve(data),
    ];
    // A snapshot that was not finished takes what the log needs for its first segment.
    remove_if_there(disk, &names::unfinished_snapshot(data))?;
    let leftovers = files.temporary.iter().chain(&files.stale_indexes).map(|name| dir.join(name));
    for path in leftovers.filter(|path| !kept.contains(path)) {
        disk.remove(&path)?;
    }
    for segment in unlisted.iter().chain(superseded) {
        disk.remove(&names::segment(data, *segment))?;
    }
    let names = disk.list(data)?.into_iter().filter(|name| names::is_temporary(name));
    for path in names.map(|name| data.join(name)).filter(|path| !kept.contains(path)) {
        disk.remove(&path)?;
    }
    disk.sync_dir(&dir)?;
    disk.sync_dir(data)
}

/// A compaction that was interrupted had the compactor's reserve in its hands. A segment that it
/// left takes the reserve's place, or the log would take the space on a full disk. The others are
/// returned.
fn keep_as_reserve<'f>(
    disk: &dyn Disk,
    data: &Path,
    files: &'f LogFiles,
    options: &Options,
) -> Result<&'f [SegmentName], DiskError> {
    let reserve = names::compaction(data);
    let is_there = files.temporary.iter().any(|name| reserve.ends_with(name));
    let Some((left, others)) = files.superseded.split_first().filter(|_| !is_there) else {
        return Ok(&files.superseded);
    };
    disk.rename(&names::segment(data, *left), &reserve)?;
    let file = disk.open(&reserve, Access::Write)?;
    if file.size()? > options.compaction_reserve_bytes() {
        file.set_size(options.compaction_reserve_bytes())?;
    }
    Ok(others)
}

/// A roll that was interrupted may have had the standby segment in its hands. A segment that it left takes
/// that one's place. The others are returned.
fn keep_as_standby<'f>(
    disk: &dyn Disk,
    data: &Path,
    files: &'f LogFiles,
    options: &Options,
) -> Result<&'f [SegmentName], DiskError> {
    let Some((left, others)) = files.unlisted.split_first() else { return Ok(&files.unlisted) };
    match make_standby(disk, data, &names::segment(data, *left), options)? {
        true => Ok(others),
        false => Ok(&files.unlisted),
    }
}

/// Makes a segment without an entry the standby segment, unless there is one.
fn make_standby(
    disk: &dyn Disk,
    data: &Path,
    segment: &Path,
    options: &Options,
) -> Result<bool, DiskError> {
    let standby = names::standby(data);
    if has(disk, &names::log_dir(data), &standby)? {
        return Ok(false);
    }
    disk.rename(segment, &standby)?;
    let file = disk.open(&standby, Access::Write)?;
    if file.size()? > options.standby_bytes() {
        file.set_size(options.standby_bytes())?;
    }
    Ok(true)
}

/// Seals the recovered active segment: nothing is ever appended to it. One without an entry is
/// dropped, since the segment that comes now has the same first position.
fn retire_active(
    disk: &dyn Disk,
    data: &Path,
    manifest: &mut Manifest,
    end: &LogEnd,
    options: &Options,
) -> Result<(), DiskError> {
    // A version 1 manifest does not say where its last segment ends.
    if let Some(newest) = manifest.segments.last_mut()
        && let Some(sealed) = &mut newest.sealed
    {
        sealed.last = end.last;
    }
    if makes(Mistake::RecoveredNotSealed) {
        return Ok(());
    }
    let (Some(bytes), Some(active)) = (end.active_bytes, manifest.segments.last_mut()) else {
        return Ok(());
    };
    if end.last >= active.first {
        active.sealed = Some(Sealed { bytes, last: end.last });
        return replace_manifest(disk, data, manifest);
    }
    let path = names::segment(data, active.name());
    // Wiped before it is unlisted: what is torn in it must not be taken for entries of a segment
    // that the manifest lost.
    let file = disk.open(&path, Access::Write)?;
    file.write_all_at(bytes, &vec![0; end.torn_bytes as usize])?;
    file.sync()?;
    manifest.segments.pop();
    replace_manifest(disk, data, manifest)?;
    if !make_standby(disk, data, &path, options)? {
        disk.remove(&path)?;
    }
    disk.sync_dir(&names::log_dir(data))
}

/// Replaces the manifest, in the space that was reserved for it, or that there is; where there is none, in that
/// which is reserved for the compactor, which makes itself another.
fn replace_manifest(disk: &dyn Disk, data: &Path, manifest: &Manifest) -> Result<(), DiskError> {
    let reserve =
        ManifestReserve::keep(disk, &names::manifest_reserve(data), manifest.bytes_with_one_more());
    let written = reserve.and_then(|reserve| manifest.write_reserved(disk, data, &reserve));
    let full = match written {
        Err(error) if error.is_full() => error,
        written => return written,
    };
    match ManifestReserve::open(disk, &names::swap_reserve(data)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(full),
        reserve => manifest.write_reserved(disk, data, &reserve?),
    }
}

/// Before the next segment takes the space that there is: if the manifest took what the compactor needs,
/// nothing would ever be given back.
fn restore_swap_reserve(
    disk: &dyn Disk,
    data: &Path,
    manifest: &Manifest,
) -> Result<(), DiskError> {
    let path = names::swap_reserve(data);
    if has(disk, data, &path)? {
        return Ok(());
    }
    match ManifestReserve::make(disk, &path, 2 * manifest.bytes_with_one_more()) {
        Err(error) if !error.is_full() => Err(error),
        _ => Ok(()),
    }
}

/// Whether the directory has that file.
fn has(disk: &dyn Disk, dir: &Path, path: &Path) -> Result<bool, DiskError> {
    Ok(disk.list(dir)?.iter().any(|name| path.ends_with(name)))
}

/// Gives back what was reserved behind the end of a sealed segment, which an interrupted roll or
/// opening leaves; after the manifest is durable, because an active segment must keep its size.
fn cut_at_end(
    disk: &dyn Disk,
    data: &Path,
    manifest: &Manifest,
    segment: &SegmentName,
) -> Result<(), DiskError> {
    let listed = manifest.segments.iter().find(|listed| listed.name() == *segment);
    let Some(sealed) = listed.and_then(|listed| listed.sealed) else { return Ok(()) };
    let file = disk.open(&names::segment(data, *segment), Access::Write)?;
    file.set_size(sealed.bytes)?;
    file.sync()
}

/// The first segment of this opening, and what is known of the one behind it. On a full disk it is as large as
/// what there is, or the standby segment if that is larger; then it is for receives and deletes.
fn prepare_first(
    disk: &dyn Disk,
    data: &Path,
    options: &Options,
    manifest_bytes: u64,
) -> Result<(PreparedSegment, NextSegment), DiskError> {
    let prepare = |bytes| {
        let path = names::manifest_reserve(data);
        let keep_manifest = || ManifestReserve::keep(disk, &path, manifest_bytes).map(drop);
        let prepared = PreparedSegment::prepare(disk, data, bytes, keep_manifest);
        prepared.and_then(PreparedSegment::filled)
    };
    let mut bytes = options.segment_bytes.min(FIRST_SEGMENT_BYTES);
    let full = match prepare(bytes) {
        Err(error) if error.is_full() => error,
        prepared => return Ok((prepared?, NextSegment::Preparing)),
    };
    let detail = format!("there is no space for a whole segment: {full}");
    let next = NextSegment::Full { detail, standby: None };
    let standby = Standby::open(disk, data)?;
    let least = standby.as_ref().map_or(0, Standby::bytes).max(FIRST_SEGMENT_BYTES_MIN);
    while bytes > least {
        bytes = ((bytes - bytes / 8) & !(PAGE_BYTES - 1)).max(least);
        match prepare(bytes) {
            Err(error) if error.is_full() => {}
            prepared => return Ok((prepared?, next)),
        }
    }
    match standby.map(|standby| standby.prepared(disk, data)).transpose()?.flatten() {
        Some(prepared) => Ok((prepared, next)),
        None => Err(full),
    }
}

fn warnings(files: &LogFiles) -> Vec<String> {
    let foreign = files.foreign.iter().map(|name| format!("log/{name} is no file of a store"));
    let unlisted = files.unlisted.iter();
    let unlisted =
        unlisted.map(|name| format!("removed {name}, left empty by an interrupted roll"));
    let superseded = files.superseded.iter();
    let superseded = superseded.map(|name| format!("removed {name}, left by a compaction"));
    foreign.chain(unlisted).chain(superseded).collect()
}

/// Passes a replay on, and notes the newest log time and the files that are larger than they are
/// to be.
struct Noting<'c> {
    consumer: &'c mut dyn Replay,
    log_time: LogTime,
    oversized: Vec<SegmentName>,
}

impl Replay for Noting<'_> {
    fn segment(
        &mut self,
        listed: &ListedSegment,
        header: &SegmentHeader,
        file: &Arc<dyn DiskFile>,
    ) -> bool {
        self.log_time = self.log_time.max(header.created);
        // The active one is sealed when everything was read.
        let is_oversized = match (listed.sealed, file.size()) {
            (Some(sealed), Ok(size)) => size > sealed.bytes,
            (None, _) | (_, Err(_)) => true,
        };
        if is_oversized {
            self.oversized.push(listed.name());
        }
        self.consumer.segment(listed, header, file)
    }

    fn entry(&mut self, segment: &SegmentHeader, offset: u64, header: &EntryHeader, body: &[u8]) {
        self.log_time = self.log_time.max(header.log_time);
        self.consumer.entry(segment, offset, header, body);
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        self.consumer.damage(damage)
    }
}
