//! One compaction, in steps: read the group and write what is needed of it, then the swap.
//!
//! What if the power fails here? Before the manifest lists the new segment, it is a file that
//! nobody knows; behind that, the old ones are. Either is removed at the next opening.

use std::path::Path;
use std::sync::Arc;

use super::Views;
use super::judge::{BadIndex, Judge};
use super::output::{Identity, Output};
use super::reserve::Reserve;
use super::retired::Retired;
use super::source::{Passed, Source, SourceError};
use crate::broken::{Mistake, makes};
use crate::counters::Counters;
use crate::disk::{DiskError, remove_if_there};
use crate::entry::{EntryBuilder, records};
use crate::ids::Position;
use crate::index::{self, IndexIdentity, MappedIndex, SegmentIndex};
use crate::location::Segment;
use crate::log::{ListedSegment, Listing, ListingError, SEGMENT_HEADER_BYTES, Sealed, names};
use crate::options::Options;
use crate::pace::BYTES_JUDGED_PER_BYTE;
use crate::time::LogTime;
use crate::upkeep::{Home, SealedSegment};

/// Read in one step.
const STEP_BYTES: u64 = 1 << 20;

/// A compaction under way.
#[derive(Debug)]
pub(crate) struct Compaction {
    home: Home,
    group: Vec<SealedSegment>,
    /// Of the group, what is still to be read; the last one first.
    unread: Vec<SealedSegment>,
    /// What is being read.
    source: Option<Source>,
    skip_bytes_min: u64,
    judge: Judge,
    /// Whose file the output is written into.
    reserve: Reserve,
    output: Output,
    newest: LogTime,
    counters: Arc<Counters>,
}

/// What a step came to.
#[derive(Debug)]
pub(crate) enum Stepped {
    /// More was read, and what is needed of it written.
    Copied,
    /// `added` is in the place of `removed` from now on.
    Swapped {
        /// The group.
        removed: Vec<Retired>,
        /// What it was made into.
        added: SealedSegment,
    },
}

/// Why a compaction ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Before the swap: the store is as it was.
    Early(EarlyFailure),
    /// In the swap: it is unknown which list of segments is on the disk, so the files of either
    /// must stay.
    Swap(DiskError),
}

/// Why a compaction ended before its swap.
#[derive(Debug)]
pub(crate) enum EarlyFailure {
    /// A disk operation failed.
    Disk(DiskError),
    /// A segment of the group is not what was written.
    Unreadable {
        /// The segment.
        segment: Position,
        /// What is wrong with it.
        detail: String,
    },
    /// A segment of the group could not be read.
    Unread {
        /// The segment.
        segment: Position,
        /// Why.
        error: DiskError,
    },
    /// What is left of the group is more than one segment holds.
    TooLarge {
        /// The group's first segment.
        first: Position,
        /// How many it has.
        segments: usize,
    },
    /// The index of an older segment has a damaged block.
    BadIndex {
        /// The segment.
        segment: Position,
        /// What is wrong with it.
        detail: String,
    },
}

impl From<EarlyFailure> for Failure {
    fn from(failure: EarlyFailure) -> Self {
        Failure::Early(failure)
    }
}

impl From<DiskError> for EarlyFailure {
    fn from(error: DiskError) -> Self {
        EarlyFailure::Disk(error)
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        Failure::Early(error.into())
    }
}

impl From<BadIndex> for EarlyFailure {
    fn from(bad: BadIndex) -> Self {
        EarlyFailure::BadIndex { segment: bad.segment, detail: bad.block.to_string() }
    }
}

/// Why an entry could not be copied.
#[derive(Debug)]
enum CopyError {
    Source(SourceError),
    Failed(EarlyFailure),
}

impl From<SourceError> for CopyError {
    fn from(error: SourceError) -> Self {
        CopyError::Source(error)
    }
}

fn too_large(group: &[SealedSegment]) -> EarlyFailure {
    EarlyFailure::TooLarge { first: group[0].segment.first, segments: group.len() }
}

impl Compaction {
    /// Begins to make one segment of `group`; `older` are those before it. Messages that are gone are not read
    /// where they take as many bytes as `options` say.
    pub(crate) fn begin(
        home: Home,
        group: Vec<SealedSegment>,
        older: Vec<SealedSegment>,
        views: Arc<Views>,
        reserve: Reserve,
        options: &Options,
        counters: Arc<Counters>,
    ) -> Result<Self, DiskError> {
        let ends = group.first().zip(group.last()).expect("a group has segments");
        let generations = group.iter().map(|sealed| sealed.segment.generation);
        let created = group.iter().map(|sealed| sealed.segment.created);
        let identity = Identity {
            store: home.store,
            first: ends.0.segment.first,
            last: ends.1.last,
            generation: 1 + generations.max().expect("a group has segments"),
            created: created.min().expect("a group has segments"),
        };
        let (file, path) = (reserve.file.clone(), reserve.path.clone());
        let largest = group.iter().map(|sealed| sealed.bytes).max();
        let bytes_max = 2 * options.segment_bytes.max(largest.expect("a group has segments"));
        let output = Output::new(&*home.disk, file, path, identity)?.at_most(bytes_max);
        let unread = group.iter().rev().cloned().collect();
        Ok(Self {
            home,
            group,
            unread,
            source: None,
            skip_bytes_min: options.skip_bytes_min(),
            judge: Judge::new(views, older),
            reserve,
            output,
            newest: LogTime::default(),
            counters,
        })
    }

    /// Ends a compaction that failed: removes what it made, and gives back the reserve if that was
    /// not used up.
    pub(crate) fn abandon(self) -> Option<Reserve> {
        if let Some(segment) = self.output.named() {
            self.remove(segment);
            self.remove(&names::index(segment));
            return None;
        }
        let reserve = self.reserve;
        reserve.reset().ok().map(|()| reserve)
    }

    /// Looks what need not be read of a segment, or reads about a mebibyte of it; the last step swaps.
    pub(crate) fn step(&mut self, listing: &Listing) -> Result<Stepped, Failure> {
        let pace = &*self.home.pace;
        let source = match &mut self.source {
            Some(source) => source,
            none => {
                let Some(next) = self.unread.pop() else { return self.finish(listing) };
                let skips = self.judge.skips(&next, self.skip_bytes_min, pace);
                *none = Some(Source::new(next, skips));
                return Ok(Stepped::Copied);
            }
        };
        let segment = source.sealed.segment.first;
        let group = &self.group;
        let (judge, output, newest) = (&mut self.judge, &mut self.output, &mut self.newest);
        let mut written = 0;
        let passed = source.read(STEP_BYTES, pace, |_, header, body| {
            // All of it was checked; the messages' own checksums go with them.
            let mut needed = EntryBuilder::with_capacity(body.len());
            let mut judged_bytes = header.bytes() - u64::from(header.body_bytes);
            for (record, _, bytes) in records(body) {
                let mut judged = Ok(());
                needed.append(|out| judged = judge.write_needed(&record, out));
                judged.map_err(|bad| CopyError::Failed(bad.into()))?;
                judged_bytes += bytes as u64;
                // Not only the disk is needed by others, but the processor too.
                if judged_bytes >= pace.piece_bytes() {
                    pace.moved(std::mem::take(&mut judged_bytes) / BYTES_JUDGED_PER_BYTE);
                }
            }
            pace.moved(judged_bytes / BYTES_JUDGED_PER_BYTE);
            *newest = header.log_time;
            if !output.has_room(&needed) {
                return Err(CopyError::Failed(too_large(group)));
            }
            let added = output.add(header, needed);
            written += added.map_err(|error| CopyError::Failed(error.into()))?;
            Ok(())
        });
        let passed = passed.map_err(|error| match error {
            CopyError::Failed(failure) => failure,
            CopyError::Source(SourceError::Disk(error)) => EarlyFailure::Unread { segment, error },
            CopyError::Source(error) => {
                EarlyFailure::Unreadable { segment, detail: error.to_string() }
            }
        })?;
        match passed {
            Some(Passed { read, skipped }) => {
                self.counters.compacted_bytes_read.add(read);
                self.counters.compacted_bytes_skipped.add(skipped);
            }
            None => self.source = None,
        }
        self.counters.compacted_bytes_written.add(written);
        Ok(Stepped::Copied)
    }

    fn finish(&mut self, listing: &Listing) -> Result<Stepped, Failure> {
        let mut rest = EntryBuilder::new();
        rest.append(|out| self.judge.write_rest(out));
        if !self.output.has_room(&rest) {
            return Err(too_large(&self.group).into());
        }
        let (disk, data) = (&*self.home.disk, &*self.home.data);
        let written = self.output.written();
        let (segment, bytes) = self.output.finish(disk, data, self.newest, rest)?;
        // The header page was left for the end.
        let written = bytes - written + SEGMENT_HEADER_BYTES;
        let last = self.group.last().expect("a group has segments").last;
        let (index, index_bytes) = self.write_index(&segment, last, bytes);
        self.counters.compacted_bytes_written.add(written + index_bytes);
        if makes(Mistake::RemovedBeforeListed) {
            for old in &self.group {
                self.remove(&old.segment.path);
            }
            self.home.disk.sync_dir(&names::log_dir(&self.home.data))?;
        }
        self.list(listing, &segment, Sealed { bytes, last })?;
        let freed: u64 = self.group.iter().map(|sealed| sealed.bytes).sum();
        self.counters.compacted_bytes_freed.add(freed.saturating_sub(bytes));
        let removed = self.remove_old();
        let added = SealedSegment { segment, last, bytes, index };
        Ok(Stepped::Swapped { removed, added })
    }

    /// On a full disk the index stays in memory: it can be made anew at any time.
    fn write_index(
        &mut self,
        segment: &Segment,
        last: Position,
        bytes: u64,
    ) -> (SegmentIndex, u64) {
        let heap = Arc::new(self.output.take_index());
        let path = names::index(&segment.path);
        let identity = IndexIdentity::new(self.home.store, segment, last, bytes);
        let written = index::write(&*self.home.disk, &path, &identity, &heap);
        let mapped = written.map_err(|error| error.to_string()).and_then(|bytes| {
            let index = MappedIndex::open(&*self.home.disk, &path, &identity);
            Ok((index.map_err(|error| error.to_string())?, bytes))
        });
        match mapped {
            Ok((index, bytes)) => (SegmentIndex::Mapped(Arc::new(index)), bytes),
            Err(error) => {
                tracing::warn!("an index is kept in memory for now: {error}");
                (SegmentIndex::Heap(heap), 0)
            }
        }
    }

    /// The one moment at which the new segment takes the place of the old ones.
    fn list(&self, listing: &Listing, segment: &Segment, sealed: Sealed) -> Result<(), Failure> {
        let Segment { first, generation, salt, .. } = *segment;
        let new = ListedSegment { first, generation, salt, sealed: Some(sealed), pages: 0 };
        let changed = listing.change(&self.reserve.manifest, |manifest| {
            let covered = |listed: &ListedSegment| {
                (first..=sealed.last).contains(&listed.first) && listed.sealed.is_some()
            };
            let at = manifest.segments.partition_point(|listed| listed.first < first);
            manifest.segments.retain(|listed| !covered(listed));
            manifest.segments.insert(at, new);
            manifest.compacted_through = manifest.compacted_through.max(sealed.last);
        });
        changed.map_err(|error| match error {
            ListingError::NotChanged(error) => error.into(),
            ListingError::Unknown(error) => Failure::Swap(error),
        })
    }

    /// Removes the old files, whose readers keep them as long as they need them. What is left
    /// over is removed at the next opening.
    fn remove_old(&mut self) -> Vec<Retired> {
        let group = std::mem::take(&mut self.group).into_iter();
        let retired =
            group.map(|sealed| Retired::new(&*self.home.disk, sealed)).collect::<Vec<_>>();
        for old in &retired {
            self.remove(&old.sealed.segment.path);
            self.remove(&names::index(&old.sealed.segment.path));
        }
        if let Err(error) = self.home.disk.sync_dir(&names::log_dir(&self.home.data)) {
            tracing::warn!("{error}");
        }
        retired
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = remove_if_there(&*self.home.disk, path) {
            tracing::warn!("a compacted file is left to the next opening: {error}");
        }
    }
}
