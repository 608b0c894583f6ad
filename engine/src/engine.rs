//! The engine: a store on three threads.
//!
//! ```text
//!  submit ──▶ [commands] ──▶ core ──▶ [entries: 1] ──▶ log writer ──▶ disk
//!                             ▲  ◀── [events] ────────────┘  ▲
//!                             └───── [events] ── preparer ───┘ the next segment
//! ```
//! The *core* thread owns the state and decides; while the *writer* writes and syncs one entry,
//! the core fills the next: that is the group commit, without a timer. The *preparer* fills the
//! next segment with zeros. Each thread owns its part outright: there are channels and no locks.
//!
//! A panic on one of these threads ends the process: half a decision must not go on.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};

use crate::command::{Command, ReplyTo};
use crate::core::{Core, Room};
use crate::disk::{Disk, DiskError};
use crate::error::{LogFailure, OpenError, ReadError, RequestError};
use crate::ids::{Position, StoreId};
use crate::location::Location;
use crate::log::reader::{Reader, StoredMessage};
use crate::log::{ClosedEntry, Log, NextSegment, Prepared};
use crate::opening::Opening;
use crate::options::Options;
use crate::store::Store;
use crate::time::{Clock, LogClock, LogTime};

/// How many commands the core takes before it looks at the writer again.
const COMMANDS_A_TURN: usize = 256;

/// How long the preparer waits after a failure before it tries again: doubled from the first to the
/// last, because each try fills what space there is.
const PREPARE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// Told once when the log failed: the process must then leave.
pub type OnFailure = Box<dyn FnOnce(LogFailure) + Send>;

/// An open store that runs.
#[derive(Debug)]
pub struct Engine<R> {
    handle: EngineHandle<R>,
    core: JoinHandle<Result<(), LogFailure>>,
    writer: JoinHandle<Log>,
    preparer: JoinHandle<()>,
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
    Written(Result<Position, DiskError>),
    Next(NextSegment),
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
        let Store { core, log, clock, segment_bytes } = store;

        // The core bounds what is in each: one entry, one segment, and few events of either. The
        // commands are bounded by those who submit them, who must not block.
        let (commands, commands_out) = unbounded();
        let (events, events_out) = unbounded();
        let (entries, entries_out) = bounded(1);
        let (requests, requests_out) = bounded(1);
        let (prepared, prepared_out) = bounded(1);

        let (disk, data) = (log.disk().clone(), log.data().to_path_buf());
        let preparer = {
            let events = events.clone();
            spawn("forebay-preparer", move || {
                prepare_segments(&*disk, &data, segment_bytes, &requests_out, &prepared, &events);
            })
        };
        let writer = spawn("forebay-log", move || {
            write_entries(log, &entries_out, &prepared_out, requests, &events)
        });
        let runner = Runner { core, clock, entries, on_failure: Some(on_failure), stash: None };
        let core = spawn("forebay-core", move || runner.run(&commands_out, &events_out));
        let handle = EngineHandle { commands, reader, store: store_id };
        Ok((Self { handle, core, writer, preparer }, opening))
    }

    /// A handle to this engine.
    pub fn handle(&self) -> EngineHandle<R> {
        self.handle.clone()
    }

    /// Commits and answers everything submitted before, ends all waits with an empty answer, and
    /// closes the store. What is submitted after is answered with [`RequestError::ShuttingDown`].
    pub fn shutdown(self) -> Result<(), LogFailure> {
        // The core is gone only after a failure, which joining it returns.
        let _ = self.handle.commands.send(Input::Shutdown);
        let result = self.core.join().expect("a panic ends the process");
        // The store's lock is held until nothing of the engine touches its files any more.
        let log = self.writer.join().expect("a panic ends the process");
        self.preparer.join().expect("a panic ends the process");
        if let Err(error) = Prepared::discard(&**log.disk(), log.data()) {
            tracing::warn!("the prepared segment is left to the next opening: {error}");
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
    prepared: &Receiver<Prepared>,
    requests: Sender<u64>,
    events: &Sender<Event>,
) -> Log {
    let request = |log: &Log| {
        // The preparer is gone only when the engine is closed.
        let _ = requests.try_send(log.manifest_bytes());
    };
    request(&log);
    for entry in entries {
        let rolls = entry.place.roll;
        if rolls {
            // The core gave this place because the segment was announced, and it was handed over
            // before that.
            let segment = prepared.try_recv().expect("a segment is handed over, then announced");
            log.set_prepared(segment);
        }
        let result = log.append(entry);
        let failed = result.is_err();
        if events.send(Event::Written(result)).is_err() || failed {
            break;
        }
        if rolls {
            request(&log);
        }
    }
    log
}

/// The preparer's thread.
fn prepare_segments(
    disk: &dyn Disk,
    data: &Path,
    segment_bytes: u64,
    requests: &Receiver<u64>,
    prepared: &Sender<Prepared>,
    events: &Sender<Event>,
) {
    for manifest_bytes in requests {
        let (mut failing, mut retry) = (false, PREPARE_RETRY.0);
        loop {
            match Prepared::prepare(disk, data, segment_bytes, manifest_bytes) {
                Ok(segment) => {
                    let capacity = segment.capacity;
                    let handed_over = prepared.send(segment).is_ok();
                    if !handed_over
                        || events.send(Event::Next(NextSegment::Ready(capacity))).is_err()
                    {
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
                        tracing::error!("sends are refused, receives and deletes go on: {detail}");
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
                Ok(_) | Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// The core's thread.
struct Runner<R> {
    core: Core<R>,
    clock: LogClock,
    entries: Sender<ClosedEntry>,
    on_failure: Option<OnFailure>,
    /// A command that has to wait for room.
    stash: Option<(Command, R)>,
}

impl<R: ReplyTo> Runner<R> {
    fn run(
        mut self,
        commands: &Receiver<Input<R>>,
        events: &Receiver<Event>,
    ) -> Result<(), LogFailure> {
        let mut closing = false;
        let closed = never();
        loop {
            let now = self.clock.now();
            if let Err(failure) = self.turn(now) {
                return Err(self.fail(failure, commands));
            }
            if closing && self.stash.is_none() && self.core.is_committed() {
                // So that the newest entry of a store that was closed in order is never in doubt.
                if self.core.hasten_watermark(now) {
                    continue;
                }
                self.core.end_waits();
                self.answer();
                refuse(commands);
                return Ok(());
            }
            // While a command waits for room no other is taken: they are handled in order.
            let input = if self.stash.is_some() || closing { &closed } else { commands };
            let event = match self.alarm_in(now) {
                None => select! {
                    recv(events) -> event => event.ok(),
                    recv(input) -> input => {
                        closing = self.take(input.ok(), commands);
                        None
                    }
                },
                Some(alarm) => select! {
                    recv(events) -> event => event.ok(),
                    recv(input) -> input => {
                        closing = self.take(input.ok(), commands);
                        None
                    }
                    default(alarm) => None,
                },
            };
            if let Some(event) = event
                && let Err(failure) = self.note(event)
            {
                return Err(self.fail(failure, commands));
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
    fn turn(&mut self, now: LogTime) -> Result<(), LogFailure> {
        self.core.tick(now);
        self.unstash();
        if let Some(entry) = self.core.close_entry(now) {
            // The writer takes one entry at a time, so there is room for this one.
            self.entries.send(entry).expect("the writer runs as long as it has not failed");
            self.unstash();
        }
        self.answer();
        Ok(())
    }

    fn note(&mut self, event: Event) -> Result<(), LogFailure> {
        let now = self.clock.now();
        match event {
            Event::Written(Ok(position)) => self.core.durable(position, now),
            Event::Written(Err(cause)) => return Err(LogFailure { cause: Arc::new(cause) }),
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
    fn fail(mut self, failure: LogFailure, commands: &Receiver<Input<R>>) -> LogFailure {
        tracing::error!("{failure}");
        self.core.fail(&failure);
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
        failure
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
