//! The keeper: what is done beside the log, in steps that a thread of its own takes one after the
//! other: it writes the indexes of sealed segments, takes snapshots, and compacts.
//!
//! Invariants. It knows only what is durable. Nothing that it makes is needed to be correct but a
//! swap of segments: indexes and snapshots may fail, be late, or be lost. No step does more than
//! write one index, a batch of queues for a snapshot, or what a mebibyte of a compaction leaves; and
//! in a step it rests as its pace demands. An error is told and the work tried again later; only a
//! swap whose outcome is unknown ends the store.

mod snapshots;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use crate::compactor::{
    Compaction, EarlyFailure, Failure, GarbageAllowance, GroupMax, Plan, Planned, Reserve, Retired,
    Salvage, Stepped, Views, plan, salvage,
};
use crate::counters::Counters;
use crate::disk::{Disk, DiskError};
use crate::ids::Position;
use crate::index::{self, Hole, IndexIdentity, MappedIndex, SalvagedIndex, SegmentIndex};
use crate::log::{Listing, names};
use crate::options::Options;
use crate::pace::Pace;
use crate::snapshot::Kept;
use crate::time::LogTime;
use crate::upkeep::{Frozen, Home, SealedSegment, Task, Upkeep};
use snapshots::Snapshots;

/// After a failure the same kind of work is left alone for so long.
const RETRY_MS: u64 = 5_000;

/// So often a compaction reads a segment that cannot be read before it is left out.
const READS_MAX: u32 = 3;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something was done; there may be more.
    Did,
    /// There is nothing to do until a task comes or time passes.
    Idle,
}

/// A swap of segments failed half-way: which of the two lists is on the disk is unknown.
#[derive(Debug)]
pub(crate) struct SwapFailed(pub(crate) DiskError);

/// The keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    home: Home,
    options: Options,
    listing: Listing,
    counters: Arc<Counters>,
    /// All sealed segments, by their first positions.
    segments: BTreeMap<Position, SealedSegment>,
    /// Those whose index is to be written.
    unindexed: VecDeque<Position>,
    /// Those whose index is to be made anew.
    broken: VecDeque<Position>,
    snapshots: Snapshots,
    /// Queues as they were at the newest snapshot, until the plan has nothing more to compact.
    views: Option<Arc<Views>>,
    compaction: Option<Compaction>,
    /// Made as soon as there is space for it.
    reserve: Option<Reserve>,
    /// Segments that were compacted, until nobody else reads them: to close the last handle of a
    /// removed file is to free its blocks, which takes long and must not hold up the core.
    retired: Vec<Retired>,
    /// Segments that cannot be compacted because they are damaged.
    unreadable: Vec<Position>,
    /// Of a group that could not be read: its segment, and how often that was tried.
    unread: Option<(Position, u32)>,
    /// While the disk is full, no more than fits the reserve; fewer segments when a group came to more than
    /// was estimated.
    group_max: GroupMax,
    /// What the manifest of a swap has space for, as far as was looked.
    reserved_manifest_bytes: u64,
    retry_reserve: LogTime,
    retry_broken: LogTime,
    retry_index: LogTime,
    retry_compaction: LogTime,
    upkeep: Vec<Upkeep>,
}

impl Keeper {
    /// A keeper of the log's sealed segments and of the snapshots that there are.
    pub(crate) fn new(
        home: Home,
        options: Options,
        listing: Listing,
        counters: Arc<Counters>,
        segments: Vec<SealedSegment>,
        kept: Vec<Kept>,
        now: LogTime,
    ) -> Self {
        let snapshots = Snapshots::new(home.clone(), &options, kept, now);
        let mut keeper = Self {
            home,
            options,
            listing,
            counters,
            segments: BTreeMap::new(),
            unindexed: VecDeque::new(),
            broken: VecDeque::new(),
            snapshots,
            views: None,
            compaction: None,
            reserve: None,
            retired: Vec::new(),
            unreadable: Vec::new(),
            unread: None,
            group_max: GroupMax::default(),
            reserved_manifest_bytes: 0,
            retry_reserve: LogTime::default(),
            retry_broken: LogTime::default(),
            retry_index: LogTime::default(),
            retry_compaction: LogTime::default(),
            upkeep: Vec::new(),
        };
        segments.into_iter().for_each(|segment| keeper.sealed(segment));
        keeper.count_segments();
        keeper
    }

    /// At what pace it works.
    pub(crate) fn pace(&self) -> &Arc<Pace> {
        &self.home.pace
    }

    /// Takes a task.
    pub(crate) fn take(&mut self, task: Task) {
        match task {
            Task::Sealed(segment) => {
                self.sealed(segment);
                self.count_segments();
            }
            Task::Frozen(frozen) => self.snapshots.frozen(frozen),
            Task::Broken(segment) => self.broken.push_back(segment.first),
        }
    }

    /// What the core is to be told.
    pub(crate) fn take_upkeep(&mut self) -> Vec<Upkeep> {
        std::mem::take(&mut self.upkeep)
    }

    /// Does the most urgent piece of work.
    pub(crate) fn step(&mut self, now: LogTime) -> Result<Step, SwapFailed> {
        let step = self.most_urgent(now);
        let gives_back = || self.retired.iter().any(Retired::is_unread);
        let is_compacting = self.compaction.is_some() || gives_back();
        self.counters.signals.is_compacting.set(is_compacting);
        step
    }

    fn most_urgent(&mut self, now: LogTime) -> Result<Step, SwapFailed> {
        // Before anything else takes the last space; and the next segment waits for it.
        if self.keep_reserve(now) || self.step_retired() {
            return Ok(Step::Did);
        }
        if now >= self.retry_broken
            && let Some(first) = self.broken.pop_front()
        {
            return Ok(self.rebuild_index(first, now));
        }
        // On a full disk an index in memory is as good, and the space for receives and deletes comes first.
        let has_space =
            self.counters.signals.has_standby.get() && !self.counters.signals.is_refusing.get();
        if has_space
            && now >= self.retry_index
            && let Some(first) = self.unindexed.pop_front()
        {
            return Ok(self.write_index(first, now));
        }
        // The last space is the compactor's: with it more is given back, with a snapshot alone none.
        if self.has_reserve() && self.step_snapshot(now) {
            return Ok(Step::Did);
        }
        if now >= self.retry_compaction {
            return self.step_compaction(now);
        }
        Ok(Step::Idle)
    }

    /// Takes the last snapshot of a store that is being closed.
    pub(crate) fn close(&mut self, frozen: Frozen) {
        self.compaction = None;
        if let Err(error) = self.snapshots.take_whole(frozen, &self.counters) {
            tracing::warn!("the store is closed without a snapshot: {error}");
        }
    }

    fn sealed(&mut self, segment: SealedSegment) {
        let first = segment.segment.first;
        if matches!(segment.index, SegmentIndex::Heap(_)) {
            self.unindexed.push_back(first);
        }
        self.segments.insert(first, segment);
    }

    fn write_index(&mut self, first: Position, now: LogTime) -> Step {
        let Some(sealed) = self.segments.get(&first) else { return Step::Did };
        let SegmentIndex::Heap(heap) = &sealed.index else { return Step::Did };
        let (segment, heap) = (sealed.segment.clone(), heap.clone());
        let path = names::index(&segment.path);
        let identity = IndexIdentity::new(self.home.store, &segment, sealed.last, sealed.bytes);
        match write_and_map(&*self.home.disk, &path, &identity, &heap) {
            Ok((index, bytes)) => {
                self.counters.index_bytes_written.add(bytes);
                let sealed = self.segments.get_mut(&first).expect("it was found above");
                sealed.index = SegmentIndex::Mapped(index.clone());
                self.upkeep.push(Upkeep::Indexed(segment, index));
                Step::Did
            }
            Err(error) => {
                // Nothing is lost: the index stays in memory, and is written later.
                tracing::warn!("an index is kept in memory for now: {error}");
                self.unindexed.push_front(first);
                self.retry_index = now.plus_ms(RETRY_MS);
                Step::Did
            }
        }
    }

    fn rebuild_index(&mut self, first: Position, now: LogTime) -> Step {
        let Some(sealed) = self.segments.get_mut(&first) else { return Step::Did };
        // It may have been found broken twice.
        let SegmentIndex::Mapped(broken) = &sealed.index else { return Step::Did };
        let path = names::index(&sealed.segment.path);
        tracing::warn!("{} is damaged: it is made anew from the log", path.display());
        match salvage(sealed) {
            Ok(Salvage { index, damage }) => {
                for damage in &damage {
                    tracing::error!("messages are lost and will be set aside: {damage}");
                }
                let holes: Vec<_> = damage.iter().map(Hole::from).collect();
                sealed.index = match holes.is_empty() {
                    true => {
                        self.unindexed.push_back(first);
                        SegmentIndex::Heap(Arc::new(index))
                    }
                    false => {
                        self.unreadable.push(first);
                        let salvaged = SalvagedIndex::new(broken.clone(), index, holes);
                        SegmentIndex::Salvaged(Arc::new(salvaged))
                    }
                };
                let rebuilt = Upkeep::Rebuilt(sealed.segment.clone(), sealed.index.clone());
                self.upkeep.push(rebuilt);
                Step::Did
            }
            Err(error) => {
                tracing::error!("its messages are not served before the log can be read: {error}");
                self.broken.push_back(first);
                self.retry_broken = now.plus_ms(RETRY_MS);
                Step::Did
            }
        }
    }

    fn step_snapshot(&mut self, now: LogTime) -> bool {
        let Some(stepped) = self.snapshots.step(now, &self.counters) else { return false };
        self.upkeep.extend(stepped.request.map(Upkeep::Freeze));
        if let Some(views) = stepped.finished {
            self.views = Some(Arc::new(views));
            self.group_max.bytes = u64::MAX;
            if self.compaction.is_some() {
                // It may go on for long, and who makes garbage meanwhile is to be slowed.
                self.judge_garbage();
            }
        }
        true
    }

    fn step_compaction(&mut self, now: LogTime) -> Result<Step, SwapFailed> {
        let Some(compaction) = &mut self.compaction else { return Ok(self.begin_compaction(now)) };
        match compaction.step(&self.listing) {
            Ok(Stepped::Copied) => Ok(Step::Did),
            Ok(Stepped::Swapped { removed, added }) => {
                self.compaction = None;
                self.group_max.segments = self.group_max.segments.saturating_mul(2);
                self.swapped(removed, added, now);
                Ok(Step::Did)
            }
            Err(failure) => {
                let compaction = self.compaction.take();
                let failure = match failure {
                    Failure::Swap(error) => return Err(SwapFailed(error)),
                    Failure::Early(failure) => failure,
                };
                // Of a file that somebody has removed the handle is of no use: another is made.
                let is_gone = matches!(
                    &failure,
                    EarlyFailure::Disk(error) if error.kind() == std::io::ErrorKind::NotFound
                );
                self.reserve = compaction.and_then(Compaction::abandon).filter(|_| !is_gone);
                self.counters.signals.has_reserve.set(self.reserve.is_some());
                self.compaction_failed(failure, now);
                Ok(Step::Did)
            }
        }
    }

    fn compaction_failed(&mut self, failure: EarlyFailure, now: LogTime) {
        match failure {
            EarlyFailure::BadIndex { segment, detail } => {
                tracing::warn!("a compaction waits for an index: {detail}");
                if !self.broken.contains(&segment) {
                    self.broken.push_back(segment);
                }
                self.retry_compaction = self.retry_broken;
            }
            EarlyFailure::Unreadable { segment, detail } => {
                tracing::error!("a damaged segment is left as it is, uncompacted: {detail}");
                self.unreadable.push(segment);
            }
            EarlyFailure::Unread { segment, error } => {
                let before = self.unread.filter(|(failed, _)| *failed == segment);
                let tries = before.map_or(1, |(_, tries)| tries + 1);
                self.unread = Some((segment, tries));
                if tries < READS_MAX {
                    tracing::warn!("a compaction is tried again later: {error}");
                    self.retry_compaction = now.plus_ms(RETRY_MS);
                } else {
                    tracing::error!(
                        "a segment that cannot be read is left as it is, uncompacted: {error}"
                    );
                    self.unreadable.push(segment);
                }
            }
            EarlyFailure::TooLarge { first, segments } if segments > 1 => {
                tracing::warn!(
                    "{segments} segments from {first} on are more than one when compacted: fewer are taken"
                );
                self.group_max.segments = segments / 2;
            }
            EarlyFailure::TooLarge { first, .. } => {
                tracing::warn!("segment {first} would grow when compacted: it is left as it is");
                self.unreadable.push(first);
            }
            EarlyFailure::Disk(error) => {
                // On a full disk what fits the reserve comes first, at once. How much a group comes
                // to is an estimate: next it is a smaller one.
                let is_first = error.is_full() && self.group_max.bytes == u64::MAX;
                if error.is_full() {
                    let reserve_bytes = self.reserve.as_ref().map_or(0, |reserve| reserve.bytes);
                    self.group_max.bytes = reserve_bytes.min(self.group_max.bytes / 2);
                }
                if !is_first {
                    tracing::warn!("a compaction is tried again later: {error}");
                    self.retry_compaction = now.plus_ms(RETRY_MS);
                }
            }
        }
    }

    /// Whether the compactor has its reserve, or as much of it as there is; or is using it.
    fn has_reserve(&self) -> bool {
        self.compaction.is_some() || self.reserve.is_some()
    }

    /// Makes the compactor's reserve if there is none, or makes it whole; whether there was
    /// anything to do.
    pub(crate) fn keep_reserve(&mut self, now: LogTime) -> bool {
        if self.compaction.is_some() || now < self.retry_reserve {
            return false;
        }
        let wanted = self.options.compaction_reserve_bytes();
        let before = self.reserve.as_ref().map_or(0, |reserve| reserve.bytes);
        let manifest_bytes = self.listing.bytes_with_one_more();
        let has_manifest = manifest_bytes <= self.reserved_manifest_bytes;
        if before >= wanted && has_manifest {
            return false;
        }
        let made = match &mut self.reserve {
            Some(reserve) => {
                reserve.keep_manifest(manifest_bytes).and_then(|()| reserve.grow(wanted))
            }
            None => Reserve::make(&*self.home.disk, &self.home.data, wanted, manifest_bytes)
                .map(|reserve| self.reserve = Some(reserve)),
        };
        let bytes = self.reserve.as_ref().map_or(0, |reserve| reserve.bytes);
        let is_whole = bytes >= wanted && made.is_ok();
        if is_whole {
            self.reserved_manifest_bytes = manifest_bytes;
        }
        self.counters.signals.has_reserve.set(is_whole);
        if !is_whole {
            let cause = made.err().map_or_else(String::new, |error| format!(": {error}"));
            tracing::warn!("{bytes} bytes are kept for the compactor, expected {wanted}{cause}");
            self.retry_reserve = now.plus_ms(RETRY_MS);
        }
        true
    }

    fn begin_compaction(&mut self, now: LogTime) -> Step {
        let Some(planned) = self.judge_garbage() else { return Step::Idle };
        let group = match planned.next {
            Plan::Compact(group) => group,
            Plan::Nothing => {
                self.views = None;
                return Step::Idle;
            }
            Plan::AfterSnapshot => {
                self.views = None;
                self.snapshots.hasten(now, RETRY_MS);
                return Step::Idle;
            }
        };
        let (Some(views), Some(reserve)) = (&self.views, self.reserve.take()) else {
            return Step::Idle;
        };
        let older = self.segments.range(..group[0].segment.first);
        let older = older.map(|(_, sealed)| sealed.clone()).collect();
        let begun = Compaction::begin(
            self.home.clone(),
            group,
            older,
            views.clone(),
            reserve,
            &self.options,
            self.counters.clone(),
        );
        match begun {
            Ok(compaction) => {
                self.compaction = Some(compaction);
            }
            Err(error) => {
                tracing::warn!("a compaction is tried again later: {error}");
                self.counters.signals.has_reserve.set(false);
                self.retry_compaction = now.plus_ms(RETRY_MS);
            }
        }
        Step::Did
    }

    /// Looks how much garbage there is, what is to be compacted next, and how fast keeper and log are
    /// to go by that.
    fn judge_garbage(&self) -> Option<Planned> {
        let planned = self.plan(self.views.as_ref()?);
        let (live_bytes, garbage_bytes) = (planned.live_bytes, planned.garbage_bytes);
        self.counters.live_bytes.set(live_bytes);
        let pace = &self.home.pace;
        pace.set_garbage(garbage_bytes, self.options.garbage_bytes_max(live_bytes));
        // What cannot be compacted is no reason to wait for the compactor.
        let is_waited_for = self.compaction.is_some() || !matches!(planned.next, Plan::Nothing);
        let compactable_bytes = if is_waited_for { garbage_bytes } else { 0 };
        pace.slow_log(compactable_bytes, &self.options.garbage_bytes_slowing(live_bytes));
        Some(planned)
    }

    /// The next compaction, within the first reach that has one.
    fn plan(&self, views: &Views) -> Planned {
        let within = |reach| {
            let segments = self.segments.values();
            // While sends are refused for lack of space no garbage is tolerated.
            let allowance = match self.counters.signals.is_refusing.get() {
                false => GarbageAllowance::Configured,
                true => GarbageAllowance::Zero,
            };
            let (unreadable, options) = (&self.unreadable, &self.options);
            plan(segments, views, unreadable, reach, options, allowance, self.group_max)
        };
        let mut reaches = self.snapshots.reaches(views).into_iter();
        let mut planned = within(reaches.next().expect("one is always there"));
        while matches!(planned.next, Plan::AfterSnapshot)
            && let Some(reach) = reaches.next()
        {
            planned = within(reach);
        }
        planned
    }

    /// Gives back a piece of a file that nobody reads any more.
    fn step_retired(&mut self) -> bool {
        let Some(at) = self.retired.iter().position(Retired::is_unread) else { return false };
        if !self.retired[at].shrink() {
            self.retired.swap_remove(at);
            // Before others take what came free.
            self.retry_reserve = LogTime::default();
        }
        true
    }

    fn swapped(&mut self, removed: Vec<Retired>, added: SealedSegment, now: LogTime) {
        for old in &removed {
            self.segments.remove(&old.sealed.segment.first);
        }
        // The reserve was used up for it.
        self.counters.signals.has_reserve.set(false);
        self.retry_reserve = LogTime::default();
        self.counters.compactions.add(1);
        self.snapshots.remove_before(added.last);
        if self.views.as_ref().is_some_and(|views| !views.is_kept) {
            // There may be space for it now.
            self.snapshots.hasten(now, 0);
        }
        let gone = removed.iter().map(|old| old.sealed.segment.clone()).collect();
        self.retired.extend(removed);
        self.sealed(added.clone());
        self.count_segments();
        self.upkeep.push(Upkeep::Swapped { removed: gone, added });
    }

    fn count_segments(&self) {
        self.counters.segments_sealed.set(self.segments.len() as u64);
        let bytes = self.segments.values().map(|sealed| sealed.bytes).sum();
        self.counters.sealed_bytes.set(bytes);
    }
}

fn write_and_map(
    disk: &dyn Disk,
    path: &Path,
    identity: &IndexIdentity,
    heap: &index::HeapIndex,
) -> Result<(Arc<MappedIndex>, u64), String> {
    let bytes = index::write(disk, path, identity, heap).map_err(|error| error.to_string())?;
    let index = MappedIndex::open(disk, path, identity).map_err(|error| error.to_string())?;
    Ok((Arc::new(index), bytes))
}
