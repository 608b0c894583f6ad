//! The engine: a store on five threads.
//!
//! ```text
//!  submit ──▶ [commands] ──▶ core ──▶ an entry ──▶ log ──▶ disk
//!                            │ ▲  ◀── [events] ────┘  ▲
//!                            │ ├───── [events] ── preparer: the next segment
//!                            │ └───── [events] ── keeper ───────▶ indexes, snapshots, compaction
//!                            ├─────── [tasks] ───────▲
//!                            └─────── [moving] ─ mover ────────▶ reads what is moved
//! ```
//! The *core* owns the state and decides. Two threads serve it (`desk`): while one writes and syncs
//! an entry, the other fills the next: that is the group commit, without a timer. The *preparer*
//! reserves the next segment, and fills it with zeros while it waits. The *keeper* does what may be
//! late, and the *mover* reads messages that go to another queue. Each owns its part outright; log and
//! keeper share the manifest, which is locked while it is replaced.
//!
//! A panic on one of these threads ends the process: half a decision must not go on.

mod bell;
mod desk;
mod preparer;
mod runner;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use self::bell::{Bell, Events};
use self::desk::{Channels, Desk, Event, Input, THREADS};
use self::preparer::Preparer;
use self::runner::{OnFailureOnce, Runner};
use crate::command::{Command, ReplyTo};
use crate::core::Moving;
use crate::counters::Counters;
use crate::disk::Disk;
use crate::error::{LogFailure, OpenError, ReadError, RequestError};
use crate::ids::StoreId;
use crate::keeper::{Keeper, Step, SwapFailed};
use crate::location::Location;
use crate::log::reader::{Reader, StoredMessage};
use crate::opening::Opening;
use crate::options::Options;
use crate::pace::Pace;
use crate::store::{Store, close_files};
use crate::time::{Clock, LogClock};
use crate::upkeep::Task;

/// How often the keeper looks at the clock when nothing is given to it: snapshots are taken by time.
const KEEPER_IDLE: Duration = Duration::from_millis(500);

/// Told once when the log failed: the process must then leave.
pub type OnFailure = Box<dyn FnOnce(LogFailure) + Send>;

/// An open store that runs.
#[derive(Debug)]
pub struct Engine<R> {
    handle: EngineHandle<R>,
    desk: Arc<Desk<R>>,
    serving: [JoinHandle<()>; THREADS],
    preparer: JoinHandle<()>,
    mover: JoinHandle<()>,
    keeper: JoinHandle<Keeper>,
    clock: LogClock,
    pace: Arc<Pace>,
}

/// Gives commands to an engine and reads its messages. Cheap to clone.
#[derive(Debug)]
pub struct EngineHandle<R> {
    door: Arc<Door<R>>,
    reader: Reader,
    store: StoreId,
    counters: Arc<Counters>,
}

impl<R> Clone for EngineHandle<R> {
    fn clone(&self) -> Self {
        let (door, reader) = (Arc::clone(&self.door), self.reader.clone());
        Self { door, reader, store: self.store, counters: Arc::clone(&self.counters) }
    }
}

/// Where commands go in.
#[derive(Debug)]
struct Door<R> {
    commands: Sender<Input<R>>,
    /// Dropped behind the sender: who hears it finds that nothing can come any more.
    _closing: RingsAtTheEnd,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct RingsAtTheEnd(Arc<Bell>);

impl Drop for RingsAtTheEnd {
    fn drop(&mut self) {
        self.0.ring();
    }
}

impl<R> Door<R> {
    /// Puts it down, or gives it back: the engine is closed.
    fn put(&self, input: Input<R>) -> Result<(), Input<R>> {
        self.commands.send(input).map_err(|error| error.into_inner())?;
        self.bell.command();
        Ok(())
    }
}

impl<R: ReplyTo> Engine<R> {
    /// Opens the store in `data`, creating it if the directory is empty or missing.
    ///
    /// `on_failure` is called once, on an engine thread, when a write or sync failed. Everything
    /// unanswered is then answered with [`RequestError::StorageFailed`], and so is everything
    /// later: only a new process knows what the disk holds.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        data: &Path,
        options: Options,
        on_failure: OnFailure,
    ) -> Result<(Self, Opening), OpenError> {
        let (store, opening) = Store::open(disk, clock, data, options)?;
        let (reader, store_id) = (store.reader().clone(), store.store_id());
        let Store { core, log, keeper, clock, maker, counters } = store;
        let pace = keeper.pace().clone();
        pace.keep(true);

        // The core bounds what is in each: one entry, one segment, and few events and tasks. The
        // commands are bounded by those who submit them, who must not block.
        let (commands, commands_out) = unbounded();
        let (events, events_out) = unbounded();
        let (tasks, tasks_out) = unbounded();
        let (requests, requests_out) = bounded(1);
        let (moving, moving_out) = unbounded();
        let bell = Bell::new();
        let events = Events::new(events, bell.clone());

        let preparer = {
            let mut preparer = Preparer { maker, counters: counters.clone() };
            let events = events.clone();
            spawn("forebay-preparer", move || preparer.run(&requests_out, &events))
        };
        let keeper = {
            let (events, clock) = (events.clone(), clock.clone());
            spawn("forebay-keeper", move || keep(keeper, &tasks_out, &events, &clock))
        };
        let mover = {
            let (events, reader) = (events.clone(), reader.clone());
            spawn("forebay-mover", move || read_moving(&reader, &moving_out, &events))
        };
        let runner = Runner {
            core,
            clock: clock.clone(),
            tasks,
            moving,
            counters: Arc::clone(&counters),
            on_failure: Some(OnFailureOnce(on_failure)),
            stash: None,
            is_closing: false,
            ended: None,
        };
        let channels =
            Channels { commands: commands_out, events: events_out, tell: events, requests };
        let desk = Arc::new(Desk::new(runner, log, channels, bell.clone(), pace.clone()));
        desk.request_segment();
        let serving = std::array::from_fn(|thread| {
            let desk = Arc::clone(&desk);
            spawn("forebay-core", move || desk.serve(thread))
        });
        let door = Door { commands, _closing: RingsAtTheEnd(bell.clone()), bell };
        let handle = EngineHandle { door: Arc::new(door), reader, store: store_id, counters };
        Ok((Self { handle, desk, serving, preparer, mover, keeper, clock, pace }, opening))
    }

    /// A handle to this engine.
    pub fn handle(&self) -> EngineHandle<R> {
        self.handle.clone()
    }

    /// Commits and answers everything submitted before, ends all waits with an empty answer, and
    /// closes the store. What is submitted after is answered with [`RequestError::ShuttingDown`].
    pub fn shutdown(self) -> Result<(), LogFailure> {
        self.pace.keep(false);
        // The core is gone only after a failure, which is told below.
        let _ = self.handle.door.put(Input::Shutdown);
        for serving in self.serving {
            serving.join().expect("a panic ends the process");
        }
        let desk = Arc::into_inner(self.desk).expect("its threads have ended");
        let (runner, log) = (desk.runner.into_inner(), desk.log.into_inner());
        let poisoned = "a panic ends the process";
        let Runner { core, tasks, moving, ended, .. } = runner.expect(poisoned);
        // Keeper and mover end when nobody can give them anything.
        drop((tasks, moving, desk.requests));
        // The store's lock is held until nothing of the engine touches its files any more.
        let log = log.expect(poisoned);
        self.preparer.join().expect("a panic ends the process");
        self.mover.join().expect("a panic ends the process");
        let mut keeper = self.keeper.join().expect("a panic ends the process");
        let result = ended.expect("its threads have ended");
        if result.is_ok() {
            close_files(&core, &mut keeper, &log, self.clock.now());
        }
        result
    }
}

impl<R: ReplyTo> EngineHandle<R> {
    /// Submits a command; it is answered through `reply_to`, on an engine thread. Never blocks:
    /// the caller bounds how much it has outstanding. One that is submitted in the very moment in
    /// which the engine closes may be dropped instead, and its `reply_to` with it.
    pub fn submit(&self, command: Command, reply_to: R) {
        let input = Input::Command(command, reply_to);
        if let Err(Input::Command(_, reply_to)) = self.door.put(input) {
            reply_to.reply(Err(RequestError::ShuttingDown));
        }
    }

    /// How many changes there were of queues and their attributes. A change is counted before it is answered: who
    /// finds the number that there was before a queue was described knows that it still is as it was described.
    pub fn queues_changed(&self) -> u64 {
        self.counters.queues_changed.get()
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.store
    }

    /// Each message, if it is in memory. Does not wait for the disk.
    pub fn read_hot<'l>(
        &self,
        locations: impl Iterator<Item = &'l Location> + Clone,
    ) -> Vec<Option<Result<StoredMessage, ReadError>>> {
        self.reader.read_hot(locations)
    }

    /// Whether somebody who reads a backlog will soon want what [`EngineHandle::read_on`] reads. Who is told so is
    /// the one to call it: nobody else is told.
    pub fn reads_on(&self) -> bool {
        self.reader.reads_on()
    }

    /// Reads what whoever reads a backlog will want next, so that it is in memory then. Waits for the disk.
    pub fn read_on(&self) {
        self.reader.read_on();
    }

    /// The messages, as [`EngineHandle::read`] gives each: neighbours in a file are read together.
    pub fn read_all(&self, locations: &[Location]) -> Vec<Result<StoredMessage, ReadError>> {
        self.reader.read_all(locations)
    }

    /// The message, from memory or from the disk: may wait for it. What is returned was verified.
    pub fn read(&self, location: &Location) -> Result<StoredMessage, ReadError> {
        self.reader.read(location)
    }
}

/// Starts a thread whose panic ends the process.
fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    struct AbortOnPanic;
    impl Drop for AbortOnPanic {
        fn drop(&mut self) {
            if std::thread::panicking() {
                std::process::abort();
            }
        }
    }
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _guard = AbortOnPanic;
            body()
        })
        .expect("the system starts a thread")
}

/// The keeper's thread: ends when the core has ended.
fn keep(mut keeper: Keeper, tasks: &Receiver<Task>, events: &Events, clock: &LogClock) -> Keeper {
    loop {
        tasks.try_iter().for_each(|task| keeper.take(task));
        let step = keeper.step(clock.now());
        // The core may be gone; then the loop ends below.
        for upkeep in keeper.take_upkeep() {
            let _ = events.send(Event::Upkeep(upkeep));
        }
        let wait = match step {
            Ok(Step::Did) => Duration::ZERO,
            Ok(Step::Idle) => KEEPER_IDLE,
            Err(SwapFailed(error)) => {
                let _ = events.send(Event::SwapFailed(error));
                return keeper;
            }
        };
        match tasks.recv_timeout(wait) {
            Ok(task) => keeper.take(task),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return keeper,
        }
        if !wait.is_zero() {
            keeper.pace().was_idle();
        }
    }
}

/// The mover's thread: reads what goes to another queue. Ends when the core has ended.
fn read_moving(reader: &Reader, moving: &Receiver<Moving>, events: &Events) {
    for moving in moving {
        // The core may be gone; then the loop ends.
        let _ = events.send(Event::Read(moving.read(reader)));
    }
}
