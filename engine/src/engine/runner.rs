//! What a thread does that has the core: it handles all there is, until it has to wait or to write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::OnFailure;
use super::desk::{Event, Input};
use crate::command::{Command, ReplyTo};
use crate::core::{Core, Moving, Room};
use crate::counters::Counters;
use crate::error::{LogFailure, RequestError};
use crate::log::ClosedEntry;
use crate::time::{LogClock, LogTime};
use crate::upkeep::Task;

/// How many commands the core takes before it looks at anything else again.
const COMMANDS_A_TURN: usize = 256;

/// How many answers a thread gives before it writes an entry: more are left to the other one, or the
/// disk would wait for them.
const ANSWERS_FIRST: usize = 4;

/// The core, and what it is served with.
#[derive(Debug)]
pub(super) struct Runner<R> {
    pub(super) core: Core<R>,
    pub(super) clock: LogClock,
    pub(super) tasks: Sender<Task>,
    pub(super) counters: Arc<Counters>,
    pub(super) moving: Sender<Moving>,
    pub(super) on_failure: Option<OnFailureOnce>,
    /// A command that has to wait for room.
    pub(super) stash: Option<(Command, R)>,
    /// Whether nothing is taken any more.
    pub(super) is_closing: bool,
    /// How it ended.
    pub(super) ended: Option<Result<(), LogFailure>>,
}

/// [`OnFailure`], which has no words for itself.
pub(super) struct OnFailureOnce(pub(super) OnFailure);

impl std::fmt::Debug for OnFailureOnce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnFailure")
    }
}

/// Why a thread leaves the core.
pub(super) enum Next {
    /// The entry is to be written, by this thread.
    Write(ClosedEntry, Leaving),
    /// There is nothing to do, for so long if nothing happens.
    Wait(Leaving, Option<Duration>),
    /// There will be nothing any more.
    Ended,
}

/// What the next thread is to know.
#[derive(Debug)]
pub(super) struct Leaving {
    /// When somebody has to be back.
    pub(super) alarm: Option<LogTime>,
    /// Whether commands are taken: not while one of them waits for room.
    pub(super) hears: bool,
    /// Whether there are answers to be given.
    pub(super) owes_answers: bool,
}

impl<R: ReplyTo> Runner<R> {
    /// Handles everything that has come.
    pub(super) fn run(&mut self, commands: &Receiver<Input<R>>, events: &Receiver<Event>) -> Next {
        loop {
            // Since when nobody but this thread decides how long it takes.
            let woken = Instant::now();
            if self.ended.is_some() {
                return Next::Ended;
            }
            let mut has_come = false;
            for event in events.try_iter() {
                has_come = true;
                if let Err(failure) = self.note(event) {
                    self.ended = Some(Err(failure.clone()));
                    self.fail(&failure, commands);
                    return Next::Ended;
                }
            }
            // While a command waits for room no other is taken: they are handled in order.
            if self.hears() {
                has_come |= self.take(commands);
            }
            let now = self.clock.now();
            if let Some(entry) = self.turn(now, woken) {
                return Next::Write(entry, self.leaving());
            }
            if self.is_closing && self.stash.is_none() && self.core.is_committed() {
                // So that the newest entry of a store that was closed in order is never in doubt.
                if self.core.hasten_watermark(now) {
                    continue;
                }
                self.core.end_waits();
                self.answer();
                refuse(commands);
                self.ended = Some(Ok(()));
                return Next::Ended;
            }
            if !has_come {
                let leaving = self.leaving();
                let alarm = leaving.alarm.map(|alarm| Duration::from_millis(alarm.ms_since(now)));
                return Next::Wait(leaving, alarm);
            }
        }
    }

    fn hears(&self) -> bool {
        self.stash.is_none() && !self.is_closing
    }

    fn leaving(&self) -> Leaving {
        let (alarm, owes_answers) = (self.core.next_alarm(), self.core.answers() > 0);
        Leaving { alarm, hears: self.hears(), owes_answers }
    }

    /// Handles the commands that have come, so that they share an entry; whether there were any.
    fn take(&mut self, commands: &Receiver<Input<R>>) -> bool {
        for taken in 0..COMMANDS_A_TURN {
            match commands.try_recv() {
                Ok(Input::Command(command, reply_to)) => {
                    self.stash = Some((command, reply_to));
                    self.unstash();
                }
                Ok(Input::Shutdown) | Err(TryRecvError::Disconnected) => self.is_closing = true,
                Err(TryRecvError::Empty) => return taken > 0,
            }
            if !self.hears() {
                break;
            }
        }
        true
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

    /// Moves everything on that can be moved on without waiting. Gives the entry that is to be written.
    fn turn(&mut self, now: LogTime, woken: Instant) -> Option<ClosedEntry> {
        if self.is_closing {
            self.core.stop_moving();
        }
        self.core.tick(now);
        self.unstash();
        let entry = self.core.close_entry(now);
        if entry.is_some() {
            self.unstash();
        }
        if entry.is_none() || self.core.answers() <= ANSWERS_FIRST {
            self.answer();
        }
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
        entry
    }

    fn note(&mut self, event: Event) -> Result<(), LogFailure> {
        let now = self.clock.now();
        match event {
            Event::Buffered => self.core.written(),
            Event::Written(Ok(appended)) => {
                self.core.reuse(appended.spare);
                self.core.durable(appended.position, now);
            }
            Event::Written(Err(cause)) | Event::SwapFailed(cause) => {
                return Err(LogFailure { cause: Arc::new(cause) });
            }
            Event::Upkeep(upkeep) => self.core.upkeep(upkeep, now),
            Event::Read(read) => self.core.moving_read(read, now),
            Event::Next(next) => self.core.set_next_segment(next, now),
        }
        Ok(())
    }

    fn answer(&mut self) {
        for (reply_to, result) in self.core.take_answers() {
            reply_to.reply(result);
        }
    }

    /// Answers everything unanswered, tells of the failure, and refuses what is submitted until
    /// the engine is closed, if it is not being closed already.
    fn fail(&mut self, failure: &LogFailure, commands: &Receiver<Input<R>>) {
        tracing::error!("{failure}");
        self.core.fail(failure);
        self.answer();
        if let Some((_, reply_to)) = self.stash.take() {
            reply_to.reply(Err(RequestError::ShuttingDown));
        }
        if let Some(on_failure) = self.on_failure.take() {
            (on_failure.0)(failure.clone());
        }
        // Nobody says twice that it is to close.
        if self.is_closing {
            return refuse(commands);
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
