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
use crate::core::{Core, Recovered, Room, sent_locations};
use crate::disk::Disk;
use crate::entry::{EntryHeader, records};
use crate::error::{Damage, LogFailure, OpenError, ReadError};
use crate::ids::StoreId;
use crate::location::Location;
use crate::log::reader::{Reader, StoredMessage};
use crate::log::replay::Replay;
use crate::log::{self, Log, NextSegment, OpenedLog, Prepared, SegmentHeader};
use crate::opening::Opening;
use crate::options::Options;
use crate::record::Record;
use crate::time::{Clock, LogClock, LogTime};

/// An open store.
#[derive(Debug)]
pub struct Store<R> {
    pub(crate) core: Core<R>,
    pub(crate) log: Log,
    pub(crate) clock: LogClock,
    pub(crate) segment_bytes: u64,
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
        let mut rebuild = Rebuild::default();
        let opened = log::open(disk, clock.clone(), data, &options, &mut rebuild)?;
        let OpenedLog { log, tail, clock: log_clock, identity, .. } = opened;
        let segment_bytes = options.segment_bytes;
        let core = Core::new(rebuild.recovered, tail, identity.receipt_key, log.epoch(), options);
        let mut store = Self { core, log, clock: log_clock, segment_bytes };
        // The epoch's first entry: from here on the segment is not empty, and the disk was
        // written to before anybody is told that the store is open.
        store.write_pending()?;
        let (queues, messages) = store.core.totals();
        let opening = Opening {
            store: identity.store,
            epoch: store.log.epoch(),
            created: opened.created,
            segments: opened.segments,
            log_bytes: rebuild.log_bytes,
            entries: rebuild.entries,
            records: rebuild.records,
            last_position: opened.end.last,
            queues,
            messages,
            torn_bytes: opened.end.torn_bytes,
            torn: opened.end.torn,
            clock_ahead_ms: store.clock.now().0.saturating_sub(wall_ms),
            warnings: opened.warnings,
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
        let result = result.map_err(|cause| LogFailure { cause: Arc::new(cause) });
        if let Err(failure) = &result {
            self.core.fail(failure);
        }
        self.answer();
        result
    }

    /// Does what time demands: serves and ends waits. A watermark that is due is written by the
    /// next commit.
    pub fn tick(&mut self) {
        let now = self.clock.now();
        self.core.tick(now);
        self.answer();
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

    fn write_pending(&mut self) -> Result<(), crate::disk::DiskError> {
        let now = self.clock.now();
        if let Some(entry) = self.core.close_entry(now) {
            let position = self.log.append(entry)?;
            self.core.durable(position, self.clock.now());
        }
        Ok(())
    }

    fn prepare(&mut self) {
        if matches!(self.core.next_segment(), NextSegment::Ready(_)) {
            return;
        }
        let disk = self.log.disk().clone();
        let next = match Prepared::prepare(
            &*disk,
            self.log.data(),
            self.segment_bytes,
            self.log.manifest_bytes(),
        ) {
            Ok(prepared) => {
                let capacity = prepared.capacity;
                self.log.set_prepared(prepared);
                NextSegment::Ready(capacity)
            }
            Err(error) => NextSegment::Full(error.to_string()),
        };
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

/// Makes state and index anew from the log.
#[derive(Default)]
struct Rebuild {
    recovered: Recovered,
    entries: u64,
    records: u64,
    log_bytes: u64,
}

impl Replay for Rebuild {
    fn entry(&mut self, segment: &SegmentHeader, offset: u64, header: &EntryHeader, body: &[u8]) {
        self.entries += 1;
        self.log_bytes += header.bytes();
        let Recovered { state, index } = &mut self.recovered;
        for (record, _, _) in records(body) {
            self.records += 1;
            state.apply(&record);
            if let Record::QueueDeleted { queue } = record {
                index.remove_queue(queue);
            }
        }
        for (location, _) in sent_locations(segment.first, offset, body) {
            if state.by_id(location.queue).is_some() {
                index.add(&location, header.log_time, segment.created);
            }
        }
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        Err(damage)
    }
}
