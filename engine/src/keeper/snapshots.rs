//! When snapshots are taken, and of what: by bytes of log, by time, when the compactor waits for
//! one, and when the store is closed.

use std::collections::VecDeque;

use super::RETRY_MS;
use crate::compactor::Views;
use crate::counters::Counters;
use crate::disk::DiskError;
use crate::ids::{Position, QueueId};
use crate::options::Options;
use crate::snapshot::{self, Kept, SnapshotWriter};
use crate::time::LogTime;
use crate::upkeep::{FreezeRequest, Frozen, Home};

/// So many times the size of the newest snapshot must have been logged before the next one.
const LOG_PER_SNAPSHOT: u64 = 4;

/// The first snapshot of an opening is taken after so long.
const FIRST_MS: u64 = 2_000;

/// While sends are refused for want of space, snapshots come so many times as often.
const HASTE_WHEN_FULL: u64 = 8;

/// The snapshots of a store, and the one that is being taken.
#[derive(Debug)]
pub(super) struct Snapshots {
    home: Home,
    bytes_between: u64,
    ms_between: u64,
    /// In the order of their positions, at most two.
    kept: Vec<Kept>,
    taking: Option<Taking>,
    /// When the newest was begun, and how many bytes the log had written at its first part.
    begun: LogTime,
    log_bytes: u64,
    /// The compactor waits for one.
    is_wanted: bool,
    not_before: LogTime,
}

/// A snapshot that is being taken.
#[derive(Debug, Default)]
struct Taking {
    /// From the first part on.
    writer: Option<SnapshotWriter>,
    received: VecDeque<Frozen>,
    views: Views,
}

/// What a step of a snapshot came to.
#[derive(Debug, Default)]
pub(super) struct Stepped {
    pub(super) bytes: u64,
    pub(super) request: Option<FreezeRequest>,
    pub(super) finished: Option<Views>,
    /// The disk is full, and the snapshot was given up.
    pub(super) is_full: bool,
}

impl Snapshots {
    pub(super) fn new(home: Home, options: &Options, kept: Vec<Kept>, now: LogTime) -> Self {
        Self {
            home,
            bytes_between: options.snapshot_bytes,
            ms_between: options.snapshot_ms,
            kept,
            taking: None,
            // The first one comes soon: a store that is restarted again and again is compacted too.
            begun: LogTime(now.0.saturating_sub(options.snapshot_ms.saturating_sub(FIRST_MS))),
            log_bytes: 0,
            is_wanted: false,
            not_before: LogTime::default(),
        }
    }

    /// The position of the older of the two snapshots that recovery may have to use; before there
    /// are two, nothing may be left out of the log.
    pub(super) fn oldest(&self) -> Position {
        match self.kept.as_slice() {
            [older, _] => older.position,
            _ => Position(0),
        }
    }

    /// The compactor needs a newer one, in so many ms.
    pub(super) fn hasten(&mut self, now: LogTime, in_ms: u64) {
        let not_before = now.plus_ms(self.ms_between.min(in_ms));
        if !self.is_wanted || not_before < self.not_before {
            self.is_wanted = true;
            self.not_before = not_before;
        }
    }

    /// Takes queues that were asked for.
    pub(super) fn frozen(&mut self, frozen: Frozen) {
        if let Some(taking) = &mut self.taking {
            taking.received.push_back(frozen);
        }
    }

    /// Goes on with the snapshot that is being taken, or begins one if it is time; `None` when
    /// there is nothing to do now.
    pub(super) fn step(&mut self, now: LogTime, counters: &Counters) -> Option<Stepped> {
        let Some(taking) = &mut self.taking else {
            return self.is_due(now, counters).then(|| self.begin(now));
        };
        let frozen = taking.received.pop_front()?;
        match self.add(frozen, counters) {
            Ok(stepped) => Some(stepped),
            Err(error) => {
                tracing::warn!("a snapshot is not taken, and tried again later: {error}");
                self.taking = None;
                self.is_wanted = true;
                self.not_before = now.plus_ms(RETRY_MS);
                Some(Stepped { is_full: error.is_full(), ..Stepped::default() })
            }
        }
    }

    fn is_due(&self, now: LogTime, counters: &Counters) -> bool {
        if now < self.not_before {
            return false;
        }
        let logged = counters.log_bytes_written.get() - self.log_bytes;
        // A large snapshot is not taken for a few bytes of log.
        let worth = self.kept.last().map_or(0, |kept| kept.bytes) * LOG_PER_SNAPSHOT;
        let by_bytes = logged >= self.bytes_between.max(worth);
        // But not put off for long either: what was acked since frees no space before.
        let patience = if logged * LOG_PER_SNAPSHOT * LOG_PER_SNAPSHOT >= worth { 1 } else { 2 };
        let ms_between = match counters.is_refusing.get() {
            0 => self.ms_between,
            _ => self.ms_between / HASTE_WHEN_FULL,
        };
        let by_time = logged > 0 && now.ms_since(self.begun) >= patience * ms_between;
        self.is_wanted || by_bytes || by_time
    }

    fn begin(&mut self, now: LogTime) -> Stepped {
        self.taking = Some(Taking::default());
        self.begun = now;
        // A log that has not grown is made to grow only if the compactor waits for that.
        let behind = self.kept.last().filter(|_| self.is_wanted).map(|kept| kept.position);
        self.is_wanted = false;
        let request = FreezeRequest { after: QueueId(0), behind };
        Stepped { request: Some(request), ..Stepped::default() }
    }

    /// Writes the queues of one batch; the last one ends the snapshot.
    fn add(&mut self, frozen: Frozen, counters: &Counters) -> Result<Stepped, DiskError> {
        let taking = self.taking.as_mut().expect("parts belong to a snapshot");
        if taking.writer.is_none() {
            self.log_bytes = counters.log_bytes_written.get();
            if self.kept.last().is_some_and(|kept| kept.position == frozen.position) {
                self.taking = None;
                return Ok(Stepped::default());
            }
            let Home { disk, data, store } = &self.home;
            let begun = SnapshotWriter::begin(disk.clone(), data, *store, frozen.position)?;
            taking.writer = Some(begun);
            taking.views.position = frozen.position;
        }
        let writer = taking.writer.as_mut().expect("it was begun");
        let mut bytes = 0;
        let mut after = QueueId(0);
        for queue in frozen.queues {
            bytes += writer.add(&queue)?;
            after = queue.id;
            taking.views.queues.insert(queue.id, queue);
        }
        counters.snapshot_bytes_written.add(bytes);
        if !frozen.is_last {
            let request = FreezeRequest { after, behind: None };
            return Ok(Stepped { bytes, request: Some(request), ..Stepped::default() });
        }
        let Taking { writer, views, .. } = self.taking.take().expect("it was taken above");
        let writer = writer.expect("it was begun");
        let kept = writer.finish(frozen.position, frozen.log_time, frozen.last_queue)?;
        counters.snapshots.add(1);
        counters.snapshot_position.set(kept.position.0);
        self.kept.push(kept);
        while self.kept.len() > 2 {
            self.kept.remove(0);
        }
        snapshot::keep_last_two(&*self.home.disk, &self.home.data)?;
        Ok(Stepped { bytes, finished: Some(views), ..Stepped::default() })
    }

    /// Takes a snapshot of all queues at once.
    pub(super) fn take_whole(
        &mut self,
        frozen: Frozen,
        counters: &Counters,
    ) -> Result<(), DiskError> {
        if self.kept.last().is_some_and(|kept| kept.position == frozen.position) {
            return Ok(());
        }
        self.taking = Some(Taking::default());
        self.add(frozen, counters).map(drop)
    }
}
