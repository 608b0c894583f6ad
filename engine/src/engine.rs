//! The engine: a store on five threads.
//!
//! ```text
//!  submit ──▶ [commands] ──▶ core ──▶ [entries: 1] ──▶ log writer ──▶ disk
//!                            │ ▲  ◀── [events] ────────────┘  ▲
//!                            │ ├───── [events] ── preparer ───┘ the next segment
//!                            │ └───── [events] ── keeper ───────▶ indexes, snapshots, compaction
//!                            ├─────── [tasks] ───────▲
//!                            └─────── [moving] ─ mover ────────▶ reads what is moved
//! ```
//! The *core* thread owns the state and decides; while the *writer* writes and syncs one entry,
//! the core fills the next: that is the group commit, without a timer. The *preparer* fills the
//! next segment with zeros. The *keeper* does what may be late, and the *mover* reads messages that
//! go to another queue. Each thread owns its part
//! outright; they share the manifest, which is locked while it is replaced.
//!
//! A panic on one of these threads ends the process: half a decision must not go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never, select, unbounded};

use crate::command::{Command, ReplyTo};
use crate::core::{Core, Moving, MovingRead, Room};
use crate::counters::Counters;
use crate::disk::{Disk, DiskError};
use crate::error::{LogFailure, OpenError, ReadError, RequestError};
use crate::ids::{Position, StoreId};
use crate::keeper::{Keeper, Step, SwapFailed};
use crate::location::Location;
use crate::log::reader::{Reader, StoredMessage};
use crate::log::{ClosedEntry, Listing, Log, NextSegment, PreparedSegment};
use crate::opening::Opening;
use crate::options::Options;
use crate::pace::Pace;
use crate::store::{RESERVE_FIRST, Store, close_files};
use crate::time::{Clock, LogClock, LogTime};
use crate::upkeep::{Task, Upkeep};

/// How many commands the core takes before it looks at the writer again.
const COMMANDS_A_TURN: usize = 256;

/// How long the preparer waits after a failure before it tries again: doubled from the first to the
/// last, because each try fills what space there is.
const PREPARE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// How long and how often the preparer waits for the compactor's reserve.
const RESERVE_LOOK: Duration = Duration::from_millis(5);
const RESERVE_LOOKS: u32 = 400;

/// How often the keeper looks at the clock when nothing is given to it: snapshots are taken by time.
const KEEPER_IDLE: Duration = Duration::from_millis(500);

/// Told once when the log failed: the process must then leave.
pub type OnFailure = Box<dyn FnOnce(LogFailure) + Send>;

/// An open store that runs.
#[derive(Debug)]
pub struct Engine<R> {
    handle: EngineHandle<R>,
    core: JoinHandle<(Core<R>, Result<(), LogFailure>)>,
    writer: JoinHandle<Log>,
    preparer: JoinHandle<()>,
    mover: JoinHandle<()>,
    keeper: JoinHandle<Keeper>,
    clock: LogClock,
    pace: Arc<Pace>,
}

/// Gives commands to an engine and reads its messages. Cheap to clone.
#[derive(Debug)]
pub struct EngineHandle<R> {
    commands: Sender<Input<R>>,
    reader: Reader,
    store: StoreId,
}

impl<R> Clone for EngineHandle<R> {
    fn clone(&self) -> Self {
        let (commands, reader) = (self.commands.clone(), self.reader.clone());
        Self { commands, reader, store: self.store }
    }
}

/// What comes to the core from outside.
#[derive(Debug)]
enum Input<R> {
    Command(Command, R),
    Shutdown,
}

/// What comes to the core from the other threads.
#[derive(Debug)]
enum Event {
    /// The entry is written, and not yet synced.
    Buffered,
    Written(Result<Position, DiskError>),
    Next(NextSegment),
    Upkeep(Upkeep),
    Read(MovingRead),
    SwapFailed(DiskError),
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
        let Store { core, log, keeper, clock, segment_bytes, counters } = store;
        let pace = keeper.pace().clone();
        pace.keep(true);

        // The core bounds what is in each: one entry, one segment, and few events and tasks. The
        // commands are bounded by those who submit them, who must not block.
        let (commands, commands_out) = unbounded();
        let (events, events_out) = unbounded();
        let (tasks, tasks_out) = unbounded();
        let (entries, entries_out) = bounded(1);
        let (requests, requests_out) = bounded(1);
        let (moving, moving_out) = unbounded();

        let preparer = {
            let preparer = Preparer {
                disk: log.disk().clone(),
                data: log.data().to_path_buf(),
                segment_bytes,
                listing: log.listing().clone(),
                counters: counters.clone(),
            };
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
        let writer =
            spawn("forebay-log", move || write_entries(log, &entries_out, &requests, &events));
        let on_failure = Some(on_failure);
        let clock_of_core = clock.clone();
        let runner = Runner {
            core,
            clock: clock_of_core,
            entries,
            tasks,
            moving,
            counters,
            on_failure,
            stash: None,
        };
        let core = spawn("forebay-core", move || runner.run(&commands_out, &events_out));
        let handle = EngineHandle { commands, reader, store: store_id };
        Ok((Self { handle, core, writer, preparer, mover, keeper, clock, pace }, opening))
    }

    /// A handle to this engine.
    pub fn handle(&self) -> EngineHandle<R> {
        self.handle.clone()
    }

    /// Commits and answers everything submitted before, ends all waits with an empty answer, and
    /// closes the store. What is submitted after is answered with [`RequestError::ShuttingDown`].
    pub fn shutdown(self) -> Result<(), LogFailure> {
        self.pace.keep(false);
        // The core is gone only after a failure, which joining it returns.
        let _ = self.handle.commands.send(Input::Shutdown);
        let (core, result) = self.core.join().expect("a panic ends the process");
        // The store's lock is held until nothing of the engine touches its files any more.
        let log = self.writer.join().expect("a panic ends the process");
        self.preparer.join().expect("a panic ends the process");
        self.mover.join().expect("a panic ends the process");
        let mut keeper = self.keeper.join().expect("a panic ends the process");
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
        if let Err(error) = self.commands.send(Input::Command(command, reply_to))
            && let Input::Command(_, reply_to) = error.into_inner()
        {
            reply_to.reply(Err(RequestError::ShuttingDown));
        }
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.store
    }

    /// The message, if it is in memory. Does no system call.
    pub fn read_hot(&self, location: &Location) -> Option<Result<StoredMessage, ReadError>> {
        self.reader.read_hot(location)
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

/// The writer's thread.
fn write_entries(
    mut log: Log,
    entries: &Receiver<ClosedEntry>,
    requests: &Sender<()>,
    events: &Sender<Event>,
) -> Log {
    // The preparer is gone only when the engine is closed.
    let request = || {
        let _ = requests.try_send(());
    };
    request();
    for entry in entries {
        let rolls = entry.place.roll.is_some();
        let result = log.append(entry, || {
            // The core may be gone; then the loop ends below.
            let _ = events.send(Event::Buffered);
        });
        let failed = result.is_err();
        if events.send(Event::Written(result)).is_err() || failed {
            break;
        }
        if rolls {
            request();
        }
    }
    log
}

/// The preparer's thread: makes the segment behind the active one.
struct Preparer {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    segment_bytes: u64,
    listing: Listing,
    counters: Arc<Counters>,
}

impl Preparer {
    fn run(&self, requests: &Receiver<()>, events: &Sender<Event>) {
        for () in requests {
            let (mut failing, mut retry) = (false, PREPARE_RETRY.0);
            loop {
                match self.prepare() {
                    Ok(prepared) => {
                        if events.send(Event::Next(NextSegment::Ready(prepared))).is_err() {
                            return;
                        }
                        if failing {
                            tracing::info!("the next segment is prepared, sends are taken again");
                        }
                        break;
                    }
                    Err(error) => {
                        let detail = format!("the next segment cannot be prepared: {error}");
                        if !failing {
                            tracing::error!(
                                "sends are refused, receives and deletes go on: {detail}"
                            );
                        }
                        failing = true;
                        if events.send(Event::Next(NextSegment::Full(detail))).is_err() {
                            return;
                        }
                    }
                }
                // Space may come back: try again until it does or the engine is closed.
                let wait = retry;
                retry = (2 * retry).min(PREPARE_RETRY.1);
                match requests.recv_timeout(wait) {
                    Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }

    fn prepare(&self) -> Result<PreparedSegment, String> {
        let manifest_bytes = self.listing.bytes_with_one_more();
        if !self.wait_for_reserve() {
            return Err(RESERVE_FIRST.to_owned());
        }
        PreparedSegment::prepare(&*self.disk, &self.data, self.segment_bytes, manifest_bytes)
            .map_err(|error| error.to_string())
    }

    /// Whether the compactor's reserve is there, which the keeper makes in a moment if there is
    /// space.
    fn wait_for_reserve(&self) -> bool {
        let mut looks = RESERVE_LOOKS;
        while self.counters.has_reserve.get() == 0 && looks > 0 {
            std::thread::sleep(RESERVE_LOOK);
            looks -= 1;
        }
        self.counters.has_reserve.get() > 0
    }
}

/// The keeper's thread: ends when the core has ended.
fn keep(
    mut keeper: Keeper,
    tasks: &Receiver<Task>,
    events: &Sender<Event>,
    clock: &LogClock,
) -> Keeper {
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
fn read_moving(reader: &Reader, moving: &Receiver<Moving>, events: &Sender<Event>) {
    for moving in moving {
        // The core may be gone; then the loop ends.
        let _ = events.send(Event::Read(moving.read(reader)));
    }
}

/// The core's thread.
struct Runner<R> {
    core: Core<R>,
    clock: LogClock,
    entries: Sender<ClosedEntry>,
    tasks: Sender<Task>,
    counters: Arc<Counters>,
    moving: Sender<Moving>,
    on_failure: Option<OnFailure>,
    /// A command that has to wait for room.
    stash: Option<(Command, R)>,
}

impl<R: ReplyTo> Runner<R> {
    fn run(
        mut self,
        commands: &Receiver<Input<R>>,
        events: &Receiver<Event>,
    ) -> (Core<R>, Result<(), LogFailure>) {
        match self.serve(commands, events) {
            Ok(()) => {
                self.core.end_waits();
                self.answer();
                refuse(commands);
                (self.core, Ok(()))
            }
            Err(failure) => {
                self.fail(&failure, commands);
                (self.core, Err(failure))
            }
        }
    }

    /// Serves until the engine is closed and everything is durable.
    fn serve(
        &mut self,
        commands: &Receiver<Input<R>>,
        events: &Receiver<Event>,
    ) -> Result<(), LogFailure> {
        let mut closing = false;
        let closed = never();
        // Since when nobody but this thread decides how long it takes.
        let mut woken = Instant::now();
        loop {
            let now = self.clock.now();
            self.turn(now, woken);
            if closing {
                self.core.stop_moving();
            }
            if closing && self.stash.is_none() && self.core.is_committed() {
                // So that the newest entry of a store that was closed in order is never in doubt.
                if self.core.hasten_watermark(now) {
                    continue;
                }
                return Ok(());
            }
            // While a command waits for room no other is taken: they are handled in order.
            let input = if self.stash.is_some() || closing { &closed } else { commands };
            let event = match self.alarm_in(now) {
                None => select! {
                    recv(events) -> event => {
                        woken = Instant::now();
                        event.ok()
                    }
                    recv(input) -> input => {
                        woken = Instant::now();
                        closing = self.take(input.ok(), commands);
                        None
                    }
                },
                Some(alarm) => select! {
                    recv(events) -> event => {
                        woken = Instant::now();
                        event.ok()
                    }
                    recv(input) -> input => {
                        woken = Instant::now();
                        closing = self.take(input.ok(), commands);
                        None
                    }
                    default(alarm) => {
                        woken = Instant::now();
                        None
                    }
                },
            };
            if let Some(event) = event {
                self.note(event)?;
            }
        }
    }

    /// Handles an input and those right behind it, so that they share an entry. True when the
    /// engine is to be closed.
    fn take(&mut self, first: Option<Input<R>>, commands: &Receiver<Input<R>>) -> bool {
        let behind = std::iter::from_fn(|| commands.try_recv().ok().map(Some));
        // What is taken from the channel is handled here: the limit stops the taking.
        for input in std::iter::once(first).chain(behind.take(COMMANDS_A_TURN)) {
            let Some(Input::Command(command, reply_to)) = input else { return true };
            self.stash = Some((command, reply_to));
            self.unstash();
            if self.stash.is_some() {
                break;
            }
        }
        false
    }

    /// Handles the command that waits, if there is room for it now.
    fn unstash(&mut self) {
        if let Some((command, _)) = &self.stash
            && self.core.room_for(command) == Room::Now
            && let Some((command, reply_to)) = self.stash.take()
        {
            self.core.handle(command, reply_to, self.clock.now());
        }
    }

    /// Moves everything on that can be moved on without waiting.
    fn turn(&mut self, now: LogTime, woken: Instant) {
        self.core.tick(now);
        self.unstash();
        if let Some(entry) = self.core.close_entry(now) {
            // The writer takes one entry at a time, so there is room for this one.
            self.entries.send(entry).expect("the writer runs as long as it has not failed");
            self.unstash();
        }
        self.answer();
        for task in self.core.take_tasks() {
            if matches!(task, Task::Frozen(_)) {
                self.counters.freeze_us_max.raise(woken.elapsed().as_micros() as u64);
            }
            // The keeper is gone only after a failure that ends the core too.
            let _ = self.tasks.send(task);
        }
        for moving in self.core.take_moving() {
            self.moving.send(moving).expect("the mover runs as long as the core");
        }
    }

    fn note(&mut self, event: Event) -> Result<(), LogFailure> {
        let now = self.clock.now();
        match event {
            Event::Buffered => self.core.written(),
            Event::Written(Ok(position)) => self.core.durable(position, now),
            Event::Written(Err(cause)) | Event::SwapFailed(cause) => {
                return Err(LogFailure { cause: Arc::new(cause) });
            }
            Event::Upkeep(upkeep) => self.core.upkeep(upkeep, now),
            Event::Read(read) => self.core.moving_read(read, now),
            Event::Next(next) => self.core.set_next_segment(next, now),
        }
        Ok(())
    }

    fn alarm_in(&self, now: LogTime) -> Option<Duration> {
        self.core.next_alarm().map(|alarm| Duration::from_millis(alarm.ms_since(now)))
    }

    fn answer(&mut self) {
        for (reply_to, result) in self.core.take_answers() {
            reply_to.reply(result);
        }
    }

    /// Answers everything unanswered, tells of the failure, and refuses what is submitted until
    /// the engine is closed.
    fn fail(&mut self, failure: &LogFailure, commands: &Receiver<Input<R>>) {
        tracing::error!("{failure}");
        self.core.fail(failure);
        self.answer();
        if let Some((_, reply_to)) = self.stash.take() {
            reply_to.reply(Err(RequestError::ShuttingDown));
        }
        if let Some(on_failure) = self.on_failure.take() {
            on_failure(failure.clone());
        }
        for input in commands {
            match input {
                // Never handled: surely not done.
                Input::Command(_, reply_to) => reply_to.reply(Err(RequestError::ShuttingDown)),
                Input::Shutdown => break,
            }
        }
    }
}

/// Refuses what was submitted and never handled: it was surely not done.
fn refuse<R: ReplyTo>(commands: &Receiver<Input<R>>) {
    for input in commands.try_iter() {
        if let Input::Command(_, reply_to) = input {
            reply_to.reply(Err(RequestError::ShuttingDown));
        }
    }
}
