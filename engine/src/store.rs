//! A store without threads: core and log on the caller's own, every disk operation inline.
//!
//! [`crate::Engine`] runs the same parts on threads. Simulations and model tests run this one: the
//! same commands on the same simulated disk take the same steps, to the last disk operation.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use forebay_engine::command::{Command, Reply, ReplyTo};
//! use forebay_engine::disk::SimDisk;
//! use forebay_engine::{Options, RequestError, SimClock, Store};
//!
//! #[derive(Clone, Default)]
//! struct Answers(Arc<Mutex<Vec<Result<Reply, RequestError>>>>);
//! impl ReplyTo for Answers {
//!     fn reply(self, result: Result<Reply, RequestError>) {
//!         self.0.lock().unwrap().push(result);
//!     }
//!     fn is_gone(&self) -> bool {
//!         false
//!     }
//! }
//!
//! let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(SimClock::new(0)));
//! let options = Options { segment_bytes: 64 << 10, ..Options::default() };
//! let (mut store, _) = Store::open(disk, clock, "data".as_ref(), options).unwrap();
//! let answers = Answers::default();
//! let create = Command::CreateQueue { name: "jobs".into(), attributes: Default::default() };
//! store.handle(create, answers.clone()).unwrap();
//! assert!(answers.0.lock().unwrap().is_empty(), "nothing is answered before it is durable");
//! store.commit().unwrap();
//! assert!(matches!(answers.0.lock().unwrap()[0], Ok(Reply::Created { created: true, .. })));
//! ```

use std::path::Path;
use std::sync::Arc;

use crate::command::{Command, ReplyTo};
use crate::core::{Core, Room};
use crate::counters::Counters;
use crate::disk::{Disk, DiskError, PacedDisk};
use crate::error::{LogFailure, OpenError, ReadError};
use crate::ids::StoreId;
use crate::keeper::{Keeper, Step, SwapFailed};
use crate::location::Location;
use crate::log::reader::{Reader, StoredMessage};
use crate::log::{self, Log, NextSegment, OpenedLog, PreparedSegment, SegmentMaker};
use crate::opening::Opening;
use crate::options::Options;
use crate::pace::Pace;
use crate::recovery::Recovery;
use crate::time::{Clock, LogClock, LogTime};
use crate::upkeep::Home;

/// An open store.
#[derive(Debug)]
pub struct Store<R> {
    pub(crate) core: Core<R>,
    pub(crate) log: Log,
    pub(crate) keeper: Keeper,
    pub(crate) clock: LogClock,
    pub(crate) maker: SegmentMaker,
    pub(crate) counters: Arc<Counters>,
}

impl<R: ReplyTo> Store<R> {
    /// Opens the store in `data`, creating it if the directory is empty or missing. When this
    /// returns, the new epoch is durable.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        data: &Path,
        options: Options,
    ) -> Result<(Self, Opening), OpenError> {
        options.check()?;
        let (wall_ms, began_ms) = (clock.wall_ms(), clock.boot_ms());
        let counters = Arc::new(Counters::default());
        let found = log::find(disk, &*clock, data)?;
        let (disk, identity, created) = (found.disk.clone(), found.identity, found.created);
        let mut recovery =
            Recovery::new(disk.clone(), data, identity.store, options.on_progress.clone());
        let known = recovery.load_snapshot(found.manifest.compacted_through)?;
        let opened = found.open(clock.clone(), &options, counters.clone(), known, &mut recovery)?;
        let OpenedLog { log, tail, clock: log_clock, end, segments, mut warnings } = opened;
        let recovered = recovery.finish(&end);
        let now = log_clock.now();
        let pace = Arc::new(Pace::new(counters.clone()));
        let disk = Arc::new(PacedDisk::new(disk, pace.clone()));
        let keeper = Keeper::new(
            Home { disk, pace, data: data.to_path_buf(), store: identity.store },
            options.clone(),
            log.listing().clone(),
            counters.clone(),
            recovery.segments,
            recovery.snapshots,
            now,
        );
        let (maker, receipts, epoch) = (log.maker(&options), identity.receipt_key, log.epoch());
        let core = Core::new(recovered, tail, receipts, epoch, options, counters.clone());
        let mut store = Self { core, log, keeper, clock: log_clock, maker, counters };
        // The epoch's first entry: from here on the segment is not empty, and the disk was
        // written to before anybody is told that the store is open.
        store.write_pending()?;
        let (queues, messages) = store.core.totals();
        warnings.extend(recovery.warnings);
        let replayed = recovery.replayed;
        let opening = Opening {
            store: identity.store,
            epoch,
            created,
            segments,
            snapshot: known.position,
            segments_read: replayed.segments,
            indexes_rebuilt: replayed.indexes_rebuilt,
            log_bytes: replayed.bytes,
            entries: replayed.entries,
            records: replayed.records,
            last_position: end.last,
            queues,
            messages,
            torn_bytes: end.torn_bytes,
            torn: end.torn,
            clock_ahead_ms: store.clock.now().0.saturating_sub(wall_ms),
            warnings,
            took_ms: clock.boot_ms().saturating_sub(began_ms),
        };
        Ok((store, opening))
    }

    /// Decides a command. It is answered now or in a later call. An error is the end: the store
    /// must be opened again.
    pub fn handle(&mut self, command: Command, reply_to: R) -> Result<(), LogFailure> {
        while self.core.room_for(&command) == Room::Later {
            self.commit()?;
            self.prepare();
        }
        let now = self.clock.now();
        self.core.handle(command, reply_to, now);
        self.answer();
        Ok(())
    }

    /// Writes and syncs what is pending, and gives the answers that waited for it.
    pub fn commit(&mut self) -> Result<(), LogFailure> {
        self.prepare();
        let result = self.write_pending();
        self.settle(result)
    }

    /// Does what time demands: serves and ends waits. A watermark that is due is written by the
    /// next commit.
    pub fn tick(&mut self) {
        let now = self.clock.now();
        self.core.tick(now);
        self.answer();
    }

    /// Does one step of what is done beside the log: writes an index, goes on with a snapshot or a
    /// compaction. Says whether there was anything to do.
    pub fn keep(&mut self) -> Result<bool, LogFailure> {
        let tasks = self.core.take_tasks();
        let had_tasks = !tasks.is_empty();
        tasks.into_iter().for_each(|task| self.keeper.take(task));
        let has_moved = self.move_messages();
        let step = self.keeper.step(self.clock.now());
        let now = self.clock.now();
        let upkeep = self.keeper.take_upkeep();
        let has_upkeep = !upkeep.is_empty();
        upkeep.into_iter().for_each(|upkeep| self.core.upkeep(upkeep, now));
        self.answer();
        match step {
            Ok(step) => Ok(had_tasks || has_moved || has_upkeep || step != Step::Idle),
            Err(SwapFailed(error)) => self.settle(Err(error)).map(|()| false),
        }
    }

    /// Moves dead letters, and what redrives move, a step on; whether there was anything to move.
    fn move_messages(&mut self) -> bool {
        self.core.tick(self.clock.now());
        let moving = self.core.take_moving();
        let has_moving = !moving.is_empty();
        for moving in moving {
            let read = moving.read(self.log.reader());
            self.core.moving_read(read, self.clock.now());
        }
        has_moving
    }

    /// Commits, takes a last snapshot, and closes the store.
    pub fn close(mut self) -> Result<(), LogFailure> {
        self.core.stop_moving();
        self.commit()?;
        // What a commit makes visible may let something else be decided.
        while !self.core.is_committed() {
            self.commit()?;
        }
        self.core.end_waits();
        self.answer();
        close_files(&self.core, &mut self.keeper, &self.log, self.clock.now());
        Ok(())
    }

    /// Reads a message.
    pub fn read(&self, location: &Location) -> Result<StoredMessage, ReadError> {
        self.log.reader().read(location)
    }

    /// Log time.
    pub fn now(&self) -> LogTime {
        self.clock.now()
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.log.store()
    }

    /// After a failure everything unanswered is answered with it.
    fn settle(&mut self, result: Result<(), DiskError>) -> Result<(), LogFailure> {
        let result = result.map_err(|cause| LogFailure { cause: Arc::new(cause) });
        if let Err(failure) = &result {
            self.core.fail(failure);
        }
        self.answer();
        result
    }

    fn write_pending(&mut self) -> Result<(), DiskError> {
        let now = self.clock.now();
        if let Some(entry) = self.core.close_entry(now) {
            let core = &mut self.core;
            let appended = self.log.append(entry, || core.written())?;
            self.core.reuse(appended.spare);
            self.core.durable(appended.position, self.clock.now());
        }
        Ok(())
    }

    fn prepare(&mut self) {
        if matches!(self.core.next_segment(), NextSegment::Ready(_)) {
            return;
        }
        self.keeper.keep_reserve(self.clock.now());
        let next = self.maker.make();
        let now = self.clock.now();
        self.core.set_next_segment(next, now);
    }

    fn answer(&mut self) {
        for (reply_to, result) in self.core.take_answers() {
            reply_to.reply(result);
        }
    }

    pub(crate) fn reader(&self) -> &Reader {
        self.log.reader()
    }
}

/// Takes the last snapshot and gives back what was reserved for the log; what is the compactor's
/// stays, for nobody else may get it on a full disk. Everything is durable without this.
pub(crate) fn close_files<R: ReplyTo>(
    core: &Core<R>,
    keeper: &mut Keeper,
    log: &Log,
    now: LogTime,
) {
    if let Err(error) = PreparedSegment::discard(&**log.disk(), log.data()) {
        tracing::warn!("the prepared segment is left to the next opening: {error}");
    }
    keeper.close(core.freeze_all(now));
}
