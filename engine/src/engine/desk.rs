//! The core's two threads: one decides while the other writes, and either may do either.
//!
//! ```text
//!             ┌── takes the core ◀──────────────────────────┐
//!  waits ◀────┤   handles all there is                      │
//!   │         └── leaves it: nothing to do, or an entry ──▶ writes and syncs it
//!   └── the bell rings, or it is time ──▶ takes the core
//! ```
//! Who closes an entry writes it, and tells itself that it is durable. So a lone sender's message goes
//! from its connection to one thread, and its answer from there back: nobody is woken in between.
//! Whatever comes meanwhile wakes the other thread, which takes the core and fills the next entry. Who has
//! written little and finds nothing more to do looks for a moment before it waits (`watch`).
//!
//! Invariants:
//! - Commands and events are taken by whoever has the core, so they are handled in their order.
//! - Who finds the core taken leaves everything to whoever has it; who leaves the core looks again.
//! - While one writes, the other waits no longer than until the core's next alarm.
//! - One entry at a time is closed and not durable: the core sees to that.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, TryLockError};

use crossbeam_channel::{Receiver, Sender};

use super::bell::{Bell, Events};
use super::runner::{Leaving, Next, Runner};
use super::watch::{SMALL_BYTES, Watch};
use crate::command::{Command, ReplyTo};
use crate::core::MovingRead;
use crate::disk::DiskError;
use crate::log::{Appended, ClosedEntry, Log, NextSegment};
use crate::pace::Pace;
use crate::upkeep::Upkeep;

/// How many threads serve the core.
pub(super) const THREADS: usize = 2;

/// An alarm that never comes.
const NEVER: u64 = u64::MAX;

/// What comes to the core from outside.
#[derive(Debug)]
pub(super) enum Input<R> {
    Command(Command, R),
    Shutdown,
}

/// What comes to the core from the other threads.
#[derive(Debug)]
pub(super) enum Event {
    /// The entry is written, and not yet synced.
    Buffered,
    /// It is synced. With memory for another one, if there is any.
    Written(Result<Appended, DiskError>),
    Next(NextSegment),
    Upkeep(Upkeep),
    Read(MovingRead),
    SwapFailed(DiskError),
}

/// What the two threads share.
#[derive(Debug)]
pub(super) struct Desk<R> {
    pub(super) runner: Mutex<Runner<R>>,
    pub(super) log: Mutex<Log>,
    commands: Receiver<Input<R>>,
    events: Receiver<Event>,
    tell: Events,
    /// Asks for the segment behind the active one.
    pub(super) requests: Sender<()>,
    bell: Arc<Bell>,
    pace: Arc<Pace>,
    /// Until when each thread waits, if nothing happens.
    alarms: [AtomicU64; THREADS],
}

/// What comes to the two threads, and what they ask for.
#[derive(Debug)]
pub(super) struct Channels<R> {
    pub(super) commands: Receiver<Input<R>>,
    pub(super) events: Receiver<Event>,
    /// Where a thread puts the events that it causes.
    pub(super) tell: Events,
    /// Asks for the segment behind the active one.
    pub(super) requests: Sender<()>,
}

impl<R: ReplyTo> Desk<R> {
    pub(super) fn new(
        runner: Runner<R>,
        log: Log,
        channels: Channels<R>,
        bell: Arc<Bell>,
        pace: Arc<Pace>,
    ) -> Self {
        let Channels { commands, events, tell, requests } = channels;
        let alarms = [const { AtomicU64::new(NEVER) }; THREADS];
        let (runner, log) = (Mutex::new(runner), Mutex::new(log));
        Self { runner, log, commands, events, tell, requests, bell, pace, alarms }
    }

    /// The life of one of the threads.
    pub(super) fn serve(&self, thread: usize) {
        let (mut may_look, mut watch) = (false, Watch::new());
        loop {
            // Whoever has the core now sees this when it leaves it, and what this thread put down.
            self.alarms[thread].store(NEVER, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let mut wait = None;
            match self.runner.try_lock() {
                Ok(mut runner) => {
                    let next = runner.run(&self.commands, &self.events);
                    drop(runner);
                    match next {
                        Next::Write(entry, leaving) => {
                            self.leave_to_others(thread, &leaving);
                            may_look = entry.records.bytes() <= SMALL_BYTES;
                            self.write(entry);
                            continue;
                        }
                        Next::Wait(leaving, at_most) => {
                            let alarm = leaving.alarm.map_or(NEVER, |alarm| alarm.0);
                            self.alarms[thread].store(alarm, Ordering::Relaxed);
                            if may_look && self.watch(&mut watch, &leaving) {
                                continue;
                            }
                            self.bell.listen(leaving.hears);
                            if self.has_work(&leaving) {
                                continue;
                            }
                            wait = at_most;
                        }
                        Next::Ended => {
                            self.bell.ring();
                            return;
                        }
                    }
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Poisoned(_)) => unreachable!("a panic ends the process"),
            }
            may_look = false;
            self.bell.wait(wait);
        }
    }

    /// Wakes another thread if there is something for it to do, or to wait for.
    fn leave_to_others(&self, thread: usize, leaving: &Leaving) {
        self.bell.listen(leaving.hears);
        let others = self.alarms.iter().enumerate().filter(|(other, _)| *other != thread);
        let watched = others.map(|(_, alarm)| alarm.load(Ordering::Relaxed)).min();
        let is_watched = leaving.alarm.is_none_or(|alarm| watched <= Some(alarm.0));
        if !is_watched || leaving.owes_answers || self.has_work(leaving) {
            self.bell.ring();
        }
    }

    /// Looks for a command for a moment, without sleep; whether there is work now.
    fn watch(&self, watch: &mut Watch, leaving: &Leaving) -> bool {
        if !leaving.hears || !watch.is_worth_while() {
            return false;
        }
        // Nobody is woken for what is seen here.
        self.bell.listen(false);
        watch.look(|| self.has_work(leaving))
    }

    fn has_work(&self, leaving: &Leaving) -> bool {
        !self.events.is_empty() || (leaving.hears && !self.commands.is_empty())
    }

    fn write(&self, entry: ClosedEntry) {
        // Behind a standby segment another one is being made already: as long as that cannot be done.
        let rolls = entry.place.roll.as_ref().is_some_and(|next| !next.is_standby());
        // In time for the compactor, if it cannot keep up; what comes meanwhile is in the next entry.
        self.pace.log_writes(entry.records.bytes() as u64);
        // One entry at a time is closed: nobody else has the log.
        let mut log = self.log.lock().expect("a panic ends the process");
        let result = log.append(entry, || self.tell(Event::Buffered));
        drop(log);
        if rolls && result.is_ok() {
            self.request_segment();
        }
        // This thread looks for it at once, or whoever has the core then.
        self.tell.put(Event::Written(result)).expect("the desk holds the other end");
    }

    /// Asks the preparer for a segment.
    pub(super) fn request_segment(&self) {
        // Full: it is asked already. The preparer is gone only when the engine is closed.
        let _ = self.requests.try_send(());
    }

    fn tell(&self, event: Event) {
        self.tell.send(event).expect("the desk holds the other end");
    }
}
