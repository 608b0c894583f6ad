//! A run of a store beside the model.

mod answered;
mod changes;
mod commands;
mod fates;
mod moves;
mod receives;
mod recovery;
mod rot;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use forebay_engine::disk::{Fault, SimDisk};
use forebay_engine::location::Location;
use forebay_engine::{LogFailure, LogTime, SimClock, Store};

use super::answers::{Answer, Answers, Slot};
use super::check::{Check, Tally};
use super::files::lose_derived;
use super::model::{Batch, Held, Model};
use super::op::{Again, Op, QUEUES, Setting};
use super::profile::Profile;
pub(super) use fates::{CrashStates, DEPTHS, Effort, Fate, Fates};
use recovery::{End, Moment};

/// What the wall clock shows when a run begins, with room for the past.
const WALL_MS: u64 = 1_800_000_000_000;

/// So many batches before the newest may be sent again.
const BATCHES_OPEN: u64 = 3;

/// A command that has not been answered, and the state that it left.
#[derive(Debug, Clone)]
struct Unanswered {
    number: usize,
    state: usize,
    expected: Answer,
}

/// A receive, and whether it may be asked again.
struct Receive<'a> {
    name: &'a str,
    max: u32,
    visibility_s: Option<u64>,
    attempt: Option<u8>,
}

/// What a receive got that may be asked again: for each message its lease and the lease's end.
#[derive(Clone)]
struct Attempt {
    time: LogTime,
    leases: Vec<(Held, LogTime)>,
}

/// A redrive that was started, or whose start was not answered.
#[derive(Clone)]
struct Redrive {
    queue: String,
    to: Option<String>,
    /// It moves no message behind this one.
    through: u64,
}

/// Messages that move, in this order; where a read fails some of them stay.
#[derive(Clone)]
struct Moves {
    /// The model without any of them.
    before: Model,
    /// Queue and message.
    list: Vec<(u32, u64)>,
    by: MovedBy,
    now: LogTime,
}

/// Why messages move.
#[derive(Clone)]
enum MovedBy {
    /// Receives found that they are dead letters.
    Receives,
    /// A redrive of the queue, to another one or each to its source.
    Redrive { queue: String, to: Option<String> },
}

/// A store and the model, side by side.
pub struct Run {
    disk: SimDisk,
    clock: SimClock,
    profile: Profile,
    store: Option<Store<Slot>>,
    answers: Answers,
    /// The states since the last one known durable; the last is the present one.
    states: Vec<Model>,
    unanswered: Vec<Unanswered>,
    /// Of each queue, the messages before this one are durable, and may be seen.
    visible: BTreeMap<u32, u64>,
    held: Vec<Held>,
    /// Messages that a consumer was told of and has not read yet: their places, and what is there.
    unread: Vec<(Location, Bytes)>,
    leases: u64,
    /// Dead letters that receives came upon, in that order: queue and message.
    marked: Vec<(u32, u64)>,
    /// What moves, until it is known to be durable.
    moves: Option<Moves>,
    redrive: Option<Redrive>,
    attempts: BTreeMap<(u32, u8), Attempt>,
    batches: Vec<Batch>,
    /// Whether a fault is planned.
    faulty: bool,
    /// How the process ends next.
    end: End,
    /// How it ends if the planned fault ends it.
    planned: Option<Fate>,
    /// How the recovery ends if the crash strikes that is planned for it.
    end_of_recovery: Option<End>,
    /// The next recoveries crash too.
    crashes_in_recovery: VecDeque<Again>,
    /// Whether faults stay planned when the store is opened again: they were before it was there.
    is_planned_ahead: bool,
    /// Whether a store was opened: before that there may be none.
    is_created: bool,
    /// What else is tried where a fault has struck.
    fates: Option<Fates>,
    /// The next end of the process is where.
    is_exploring: bool,
    /// How often what may be recovered has changed.
    changes: u64,
    tally: Tally,
}

impl Run {
    /// A run whose store is open, and empty.
    pub fn new(seed: u64, profile: Profile) -> Self {
        let mut run = Self::unopened(seed, profile);
        run.open();
        run
    }

    /// A run whose store is not there yet.
    pub fn unopened(seed: u64, profile: Profile) -> Self {
        let (disk, clock) = (SimDisk::new(seed), SimClock::new(WALL_MS));
        // The same for all seeds, so that what differs between two images is what differs in their runs.
        disk.seed_salts(0);
        Self {
            disk,
            clock,
            profile,
            store: None,
            answers: Answers::default(),
            states: vec![Model::default()],
            unanswered: Vec::new(),
            visible: BTreeMap::new(),
            held: Vec::new(),
            unread: Vec::new(),
            leases: 0,
            marked: Vec::new(),
            moves: None,
            redrive: None,
            attempts: BTreeMap::new(),
            batches: Vec::new(),
            faulty: false,
            end: End::Killed,
            planned: None,
            end_of_recovery: None,
            crashes_in_recovery: VecDeque::new(),
            is_planned_ahead: false,
            is_created: false,
            fates: None,
            is_exploring: false,
            changes: 0,
            tally: Tally { runs: 1, ..Tally::default() },
        }
    }

    /// A copy of a run whose process has just died: what one crash leaves can be tried beside what
    /// another does.
    pub(crate) fn fork(&self) -> Self {
        assert!(self.store.is_none(), "a run is copied between two processes");
        Self {
            disk: self.disk.fork(),
            clock: self.clock.fork(),
            profile: self.profile,
            store: None,
            answers: Answers::default(),
            states: self.states.clone(),
            unanswered: Vec::new(),
            visible: self.visible.clone(),
            held: self.held.clone(),
            unread: Vec::new(),
            leases: self.leases,
            marked: self.marked.clone(),
            moves: self.moves.clone(),
            redrive: self.redrive.clone(),
            attempts: self.attempts.clone(),
            batches: self.batches.clone(),
            faulty: self.faulty,
            end: self.end,
            planned: None,
            end_of_recovery: self.end_of_recovery,
            crashes_in_recovery: self.crashes_in_recovery.clone(),
            is_planned_ahead: false,
            is_created: self.is_created,
            fates: None,
            is_exploring: false,
            changes: self.changes,
            tally: Tally::default(),
        }
    }

    /// Where a fault has struck, these fates are tried beside each other.
    pub(super) fn set_fates(&mut self, fates: Fates) {
        self.fates = Some(fates);
    }

    /// Whether a process has ended where the fates were to be tried.
    pub(super) fn has_tried_fates(&self) -> bool {
        self.fates.is_none()
    }

    /// Does an operation that ends the process, and tries the fates there if they were not tried before.
    pub(super) fn end_with(&mut self, op: &Op) {
        self.is_exploring = self.fates.is_some();
        self.step(op);
    }

    /// The disk under the store.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// What was done and checked so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Opens the store for the first time, through the faults that are planned.
    pub fn open(&mut self) {
        let opened = self.open_store();
        self.recover_from(opened);
    }

    /// Opens the store for the first time, with the faults that a script plans before anything else;
    /// returns its other operations.
    pub(super) fn open_with<'o>(&mut self, ops: &'o [Op]) -> &'o [Op] {
        let plans = ops.iter().take_while(|op| matches!(op, Op::Fail { .. })).count();
        let (plans, rest) = ops.split_at(plans);
        // There is nothing to plan it in yet, but the disk.
        plans.iter().for_each(|op| drop(self.try_step(op)));
        self.is_planned_ahead = !plans.is_empty();
        self.open();
        rest
    }

    /// The operation `at` fails.
    fn plan(&mut self, at: u64, fault: Fault) {
        self.disk.fail_at(at, fault);
        self.faulty = true;
    }

    /// Does one operation on both.
    pub fn step(&mut self, op: &Op) {
        // These decide nothing; what they make durable is counted where it is answered.
        self.changes += u64::from(!matches!(op, Op::Commit | Op::Keep { .. } | Op::Look));
        *self.tally.operations.entry(op.name()).or_default() += 1;
        if let Op::Consume { queue, max } = op {
            let before = self.held.len();
            let receive = Op::Receive { queue: *queue, max: *max, visibility_s: None };
            self.try_or_recover(|run| run.try_step(&receive));
            let held: Vec<Held> = self.held[before..].to_vec();
            if !held.is_empty() {
                self.try_or_recover(|run| run.ack(QUEUES[queue % QUEUES.len()], *queue, &held));
            }
            return;
        }
        self.try_or_recover(|run| run.try_step(op));
    }

    fn try_or_recover(&mut self, step: impl FnOnce(&mut Self) -> Result<(), LogFailure>) {
        if let Err(failure) = step(self) {
            let faulty = self.faulty;
            self.tally.holds(Check::Answer, faulty, || format!("a store failed: {failure}"));
            self.recover();
        }
        self.collect();
    }

    fn try_step(&mut self, op: &Op) -> Result<(), LogFailure> {
        match op {
            Op::Commit => self.store().commit(),
            // A message is sent when its entry is closed.
            Op::Advance { seconds } => {
                self.store().commit()?;
                self.collect();
                self.clock.advance(seconds * 1000);
                self.store().tick();
                Ok(())
            }
            Op::SetWall { days } => {
                let now = WALL_MS.saturating_add_signed(days * 24 * 3600 * 1000);
                self.clock.set_wall(now);
                Ok(())
            }
            Op::Fail { after, fault, power, again } => {
                self.planned = Some(Fate { power: *power, again: again.clone() });
                self.plan(self.disk.operations() + after, *fault);
                Ok(())
            }
            Op::Kill => {
                self.end = End::Killed;
                self.recover();
                Ok(())
            }
            Op::Crash { power, again } => {
                self.end = (*power).into();
                self.crashes_in_recovery.extend(again);
                self.recover();
                Ok(())
            }
            Op::Rot { seed } => self.rot(*seed),
            Op::LoseDerived { which } => {
                self.store = None;
                self.end = End::Killed;
                self.disk.kill();
                self.clear_faults();
                lose_derived(&self.disk, *which);
                self.recover();
                Ok(())
            }
            Op::Keep { steps } => self.keep(*steps),
            Op::Reopen => {
                let store = self.store.take().expect("the store is open between steps");
                let closed = store.close();
                self.collect();
                closed?;
                self.end = End::Closed;
                self.recover();
                Ok(())
            }
            Op::Look => self.look(),
            Op::Receive { queue, max, visibility_s } => {
                let (name, attempt) = (QUEUES[queue % QUEUES.len()], None);
                self.receive(&Receive { name, max: *max, visibility_s: *visibility_s, attempt })
            }
            Op::ReceiveOnce { queue, max, visibility_s, attempt } => {
                let (name, attempt) = (QUEUES[queue % QUEUES.len()], Some(*attempt));
                self.receive(&Receive { name, max: *max, visibility_s: *visibility_s, attempt })
            }
            Op::SendOnce { queue, bodies } => {
                let number = self.batches.len() as u64 + 1;
                let oldest = number.saturating_sub(BATCHES_OPEN).max(1);
                let batch = Batch { queue: *queue, number, oldest, bodies: bodies.clone() };
                self.batches.push(batch.clone());
                self.send_once(&batch)
            }
            Op::SendAgain { batch } => {
                let last = self.batches.iter().rev().take(2 * BATCHES_OPEN as usize);
                let last: Vec<Batch> = last.cloned().collect();
                match last.len() {
                    0 => Ok(()),
                    count => self.send_once(&last[batch % count]),
                }
            }
            Op::Redrive { queue, to, is_cancelled } => {
                let to = to.map(|to| QUEUES[to % QUEUES.len()]);
                self.redrive(QUEUES[queue % QUEUES.len()], to, *is_cancelled)
            }
            Op::Ack { queue, receipts } => {
                let held = self.pick(*queue, receipts);
                match held.is_empty() {
                    true => Ok(()),
                    false => self.ack(QUEUES[queue % QUEUES.len()], *queue, &held),
                }
            }
            // What does not show is committed at once, and not done where a fault may come between: it
            // would be left open which state is recovered.
            op if self.is_hidden(op) => {
                if !self.faulty {
                    self.change(op)?;
                    self.store().commit()?;
                }
                Ok(())
            }
            _ => self.change(op),
        }
    }

    fn store(&mut self) -> &mut Store<Slot> {
        self.store.as_mut().expect("the store is open between steps")
    }

    /// There is another state that may be recovered.
    fn push(&mut self, state: Model) {
        self.changes += 1;
        self.states.push(state);
    }

    fn present(&self) -> &Model {
        self.states.last().expect("there is a state")
    }

    /// Ends the run: everything is committed, the store closed, opened once more, and checked
    /// from outside.
    pub fn finish(mut self) -> Tally {
        self.clear_faults();
        self.step(&Op::Reopen);
        self.step(&Op::Look);
        self.drain();
        let store = self.store.take().expect("the store is open between steps");
        store.close().expect("no fault is planned");
        self.check_files(Moment::Closed);
        self.tally
    }

    /// Forgets the faults that have not struck, and counts the others.
    fn clear_faults(&mut self) {
        self.tally.struck(&self.disk.take_struck());
        self.disk.clear_faults();
    }

    /// Everything is given in the end, each group in its order.
    fn drain(&mut self) {
        let visible_s = 12 * 3600;
        self.step(&Op::Advance { seconds: visible_s });
        for (queue, name) in QUEUES.into_iter().enumerate() {
            if !self.present().queues.contains_key(name) {
                continue;
            }
            self.step(&Op::Set { queue, setting: Setting::ReceiveCountMax(0) });
            self.step(&Op::Alter { queue, visibility_s: 30 });
            let mut left = self.present().queues[name].messages.len();
            while left > 0 {
                self.step(&Op::Consume { queue, max: 7 });
                let now_left = self.present().queues[name].messages.len();
                self.tally.holds(Check::NoLoss, now_left < left, || {
                    format!("{left} messages of {name} do not come")
                });
                left = now_left;
            }
        }
        self.step(&Op::Look);
    }
}
