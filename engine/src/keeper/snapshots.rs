//! When snapshots are taken, and of what: by bytes of log, by time, when the compactor waits for
//! one, and when the store is closed.
//!
//! On a full disk a snapshot may find no space. Its queues are viewed all the same: by them the
//! compactor gives back the space for the next one.

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
    /// Those that may be used, in the order of their positions, at most two: the older one is there for
    /// the day when the newer one turns out to be damaged.
    kept: Vec<Kept>,
    taking: Option<Taking>,
    /// When the newest was begun, and how many bytes the log had written at its first part.
    begun: LogTime,
    log_bytes: u64,
    /// The compactor waits for one, from then on.
    wanted: Option<LogTime>,
    /// One has failed, and is tried again from then on.
    retry: LogTime,
}

/// A snapshot that is being taken.
#[derive(Debug, Default)]
struct Taking {
    file: File,
    received: VecDeque<Frozen>,
    views: Views,
}

/// Where it is written.
#[derive(Debug, Default)]
enum File {
    /// Nowhere before its first part.
    #[default]
    Unbegun,
    Begun(SnapshotWriter),
    /// It has its name.
    Kept,
    /// Nowhere: the disk is full.
    NoSpace,
}

/// What a step of a snapshot came to.
#[derive(Debug, Default)]
pub(super) struct Stepped {
    pub(super) request: Option<FreezeRequest>,
    pub(super) finished: Option<Views>,
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
            wanted: None,
            retry: LogTime::default(),
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

    /// How far it may be compacted, the best first. As a rule, as far as both snapshots reach. While
    /// none can be written, also as far as the newest one: it stays of use. And where that yields
    /// nothing, as far as the views: what is older then is of no use any more, and a restart reads
    /// the whole log until there is space for a snapshot.
    pub(super) fn reaches(&self, views: &Views) -> Vec<Position> {
        let mut reaches = vec![self.oldest()];
        if !views.is_kept {
            reaches.extend(self.kept.last().map(|kept| kept.position));
            reaches.push(views.position);
        }
        reaches
    }

    /// Snapshots that lack what was compacted are of no use any more: their space is given back.
    pub(super) fn remove_before(&mut self, compacted_through: Position) {
        for outdated in self.kept.extract_if(.., |kept| kept.position < compacted_through) {
            if let Err(error) =
                snapshot::remove(&*self.home.disk, &self.home.data, outdated.position)
            {
                // It is passed over when the store is opened, and removed behind the next two.
                tracing::warn!("a snapshot of no use is left: {error}");
            }
        }
    }

    /// The compactor needs a newer one, in so many ms at the latest.
    pub(super) fn hasten(&mut self, now: LogTime, in_ms: u64) {
        let from = now.plus_ms(self.ms_between.min(in_ms));
        self.wanted = Some(self.wanted.map_or(from, |wanted| wanted.min(from)));
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
        let stepped = self.add(frozen, counters).unwrap_or_else(|error| {
            tracing::warn!("a snapshot is not taken, and tried again later: {error}");
            self.taking = None;
            self.retry = now.plus_ms(RETRY_MS);
            self.wanted = Some(self.retry);
            Stepped::default()
        });
        if stepped.finished.as_ref().is_some_and(|views| !views.is_kept) {
            self.hasten(now, RETRY_MS);
        }
        Some(stepped)
    }

    fn is_due(&self, now: LogTime, counters: &Counters) -> bool {
        if now < self.retry {
            return false;
        }
        let logged = counters.log_bytes_written.get() - self.log_bytes;
        // A large snapshot is not taken for a few bytes of log.
        let worth = self.kept.last().map_or(0, |kept| kept.bytes) * LOG_PER_SNAPSHOT;
        let by_bytes = logged >= self.bytes_between.max(worth);
        // But not put off for long either: what was acked since frees no space before.
        let patience: u64 =
            if logged * LOG_PER_SNAPSHOT * LOG_PER_SNAPSHOT >= worth { 1 } else { 2 };
        let ms_between = match counters.signals.is_refusing.get() {
            false => self.ms_between,
            true => self.ms_between / HASTE_WHEN_FULL,
        };
        let by_time = logged > 0 && now.ms_since(self.begun) >= patience.saturating_mul(ms_between);
        let is_wanted = self.wanted.is_some_and(|wanted| wanted <= now);
        is_wanted || by_bytes || by_time
    }

    fn begin(&mut self, now: LogTime) -> Stepped {
        self.taking = Some(Taking::default());
        self.begun = now;
        // A log that has not grown is made to grow only if the compactor waits for that.
        let wanted = self.wanted.take();
        let behind = self.kept.last().filter(|_| wanted.is_some()).map(|kept| kept.position);
        let request = FreezeRequest { after: QueueId(0), behind };
        Stepped { request: Some(request), ..Stepped::default() }
    }

    /// Takes the queues of one batch; the last one ends the snapshot.
    fn add(&mut self, frozen: Frozen, counters: &Counters) -> Result<Stepped, DiskError> {
        let taking = self.taking.as_mut().expect("parts belong to a snapshot");
        if matches!(taking.file, File::Unbegun) {
            self.log_bytes = counters.log_bytes_written.get();
            if self.kept.last().is_some_and(|kept| kept.position == frozen.position) {
                self.taking = None;
                return Ok(Stepped::default());
            }
            taking.views.position = frozen.position;
            taking.views.log_time = frozen.log_time;
        }
        if matches!(taking.file, File::Unbegun) && !has_space(counters) {
            tracing::warn!("a snapshot is only viewed: receives and deletes need the space");
            taking.file = File::NoSpace;
        }
        let bytes = match taking.write(&self.home, &frozen, &mut self.kept) {
            Err(error) if error.is_full() => {
                tracing::warn!("a snapshot is only viewed: {error}");
                taking.file = File::NoSpace;
                0
            }
            written => written?,
        };
        counters.snapshot_bytes_written.add(bytes);
        let after = frozen.queues.last().map_or(QueueId(0), |queue| queue.id);
        let queues = frozen.queues.into_iter().map(|queue| (queue.id, queue));
        taking.views.queues.extend(queues);
        if !frozen.is_last {
            let request = FreezeRequest { after, behind: None };
            return Ok(Stepped { request: Some(request), ..Stepped::default() });
        }
        let Taking { file, mut views, .. } = self.taking.take().expect("it was taken above");
        views.is_kept = matches!(file, File::Kept);
        if let Some(kept) = self.kept.last().filter(|_| views.is_kept) {
            counters.snapshots.add(1);
            counters.snapshot_position.set(kept.position.0);
            snapshot::keep_only(&*self.home.disk, &self.home.data, &self.kept)?;
        }
        Ok(Stepped { finished: Some(views), ..Stepped::default() })
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

/// Whether there is space for a snapshot: what is kept for receives and deletes on a full disk comes first.
fn has_space(counters: &Counters) -> bool {
    counters.signals.has_standby.get() || !counters.signals.is_refusing.get()
}

impl Taking {
    /// Writes the queues of one batch, if there is space for the snapshot; the last one gives it
    /// its name. How many bytes were written.
    fn write(
        &mut self,
        home: &Home,
        frozen: &Frozen,
        kept: &mut Vec<Kept>,
    ) -> Result<u64, DiskError> {
        let mut writer = match std::mem::take(&mut self.file) {
            File::Unbegun => {
                SnapshotWriter::begin(home.disk.clone(), &home.data, home.store, frozen.position)?
            }
            File::Begun(writer) => writer,
            file @ (File::Kept | File::NoSpace) => {
                self.file = file;
                return Ok(0);
            }
        };
        let mut bytes = 0;
        for queue in &frozen.queues {
            bytes += writer.add(queue)?;
        }
        if !frozen.is_last {
            self.file = File::Begun(writer);
            return Ok(bytes);
        }
        let finished = writer.finish(frozen.position, frozen.log_time, frozen.last_queue)?;
        self.file = File::Kept;
        kept.push(finished);
        if kept.len() > 2 {
            kept.remove(0);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::disk::SimDisk;
    use crate::ids::StoreId;
    use crate::pace::Pace;

    /// The compactor waits for one as a rule while much is logged and acked. Nothing was compacted for five
    /// seconds then, whatever was logged, and the log was slowed for what had piled up.
    #[test]
    fn who_waits_for_a_snapshot_puts_none_off() {
        let (counters, options) = (Arc::new(Counters::default()), Options::default());
        let home = Home {
            disk: Arc::new(SimDisk::new(1)),
            pace: Arc::new(Pace::new(counters.clone())),
            data: PathBuf::from("data"),
            store: StoreId(uuid::Uuid::nil()),
        };
        let now = LogTime(1_000_000);
        let mut snapshots = Snapshots::new(home, &options, Vec::new(), now);
        snapshots.hasten(now, RETRY_MS);
        assert!(!snapshots.is_due(now, &counters));
        assert!(snapshots.is_due(now.plus_ms(RETRY_MS), &counters));
        counters.log_bytes_written.add(options.snapshot_bytes);
        assert!(snapshots.is_due(now, &counters));
    }
}
