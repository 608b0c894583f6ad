//! A run of a store beside the model.

mod commands;
mod fates;
mod moves;
mod receives;
mod recovery;
mod rot;

use std::collections::{BTreeMap, VecDeque};

use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::{Fault, SimDisk};
use forebay_engine::ids::ProducerId;
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::{LogFailure, LogTime, RequestError, SimClock, Store};

use super::answers::{Answer, Answers, Slot};
use super::check::{Check, Tally};
use super::files::lose_derived;
use super::model::queue::{NewBody, new_message};
use super::model::{Model, reason_of};
use super::op::{Op, QUEUES, Setting, is_fifo};
use super::script::Profile;
use super::shown::show;
use commands::command;
pub(super) use fates::{CrashStates, Fate, Fates};
use recovery::Moment;

/// What the wall clock shows when a run begins, with room for the past.
const WALL_MS: u64 = 1_800_000_000_000;

/// Indexes below this are written in scripts.
const SCRIPTED: usize = 1 << 10;

/// So many batches before the newest may be sent again.
const BATCHES_OPEN: u64 = 3;

/// A receipt that a consumer holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) queue: u32,
    pub(crate) seq: u64,
    pub(crate) lease: u64,
    pub(crate) receipt: SealedReceipt,
}

/// A batch of an idempotent producer.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) queue: usize,
    pub(crate) number: u64,
    pub(crate) oldest: u64,
    pub(crate) bodies: Vec<NewBody>,
}

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
    leases: u64,
    /// Dead letters that receives came upon, in that order: queue and message.
    marked: Vec<(u32, u64)>,
    redrive: Option<Redrive>,
    attempts: BTreeMap<(u32, u8), Attempt>,
    batches: Vec<Batch>,
    /// Whether a fault is planned.
    faulty: bool,
    /// Whether the power failed, or only the process did.
    power: Option<u64>,
    /// How the process ends if the planned fault ends it.
    planned: Option<Fate>,
    /// The next recoveries crash too, each after so many operations.
    crashes_in_recovery: VecDeque<u64>,
    /// Whether faults stay planned when the store is opened again: they were before it was there.
    is_planned_ahead: bool,
    /// Whether a store was opened: before that there may be none.
    is_created: bool,
    /// What else is tried where a fault has struck.
    fates: Option<Fates>,
    /// The next end of the process is where.
    is_exploring: bool,
    /// Where what crashes leave is counted.
    states_seen: Option<CrashStates>,
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
            leases: 0,
            marked: Vec::new(),
            redrive: None,
            attempts: BTreeMap::new(),
            batches: Vec::new(),
            faulty: false,
            power: None,
            planned: None,
            crashes_in_recovery: VecDeque::new(),
            is_planned_ahead: false,
            is_created: false,
            fates: None,
            is_exploring: false,
            states_seen: None,
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
            leases: self.leases,
            marked: self.marked.clone(),
            redrive: self.redrive.clone(),
            attempts: self.attempts.clone(),
            batches: self.batches.clone(),
            faulty: self.faulty,
            power: self.power,
            planned: None,
            crashes_in_recovery: self.crashes_in_recovery.clone(),
            is_planned_ahead: false,
            is_created: self.is_created,
            fates: None,
            is_exploring: false,
            states_seen: None,
            changes: 0,
            tally: Tally { runs: 1, ..Tally::default() },
        }
    }

    /// Where a fault has struck, these fates are tried beside each other.
    pub(super) fn set_fates(&mut self, fates: Fates) {
        self.fates = Some(fates);
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
        self.changes += 1;
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
                self.power = None;
                self.recover();
                Ok(())
            }
            Op::Crash { seed, again } => {
                self.power = Some(*seed);
                self.crashes_in_recovery.extend(again);
                self.recover();
                Ok(())
            }
            Op::Rot { seed } => self.rot(*seed),
            Op::LoseDerived { which } => {
                self.store = None;
                self.power = None;
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
                self.power = None;
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

    /// Receipts that consumers hold: mostly of this queue, and mostly new ones. The small indexes of
    /// scripts count all, from the first.
    fn pick(&self, queue: usize, indexes: &[usize]) -> Vec<Held> {
        let id = self.present().queues.get(QUEUES[queue % QUEUES.len()]).map(|queue| queue.id);
        let own: Vec<_> = self.held.iter().filter(|held| Some(held.queue) == id).collect();
        let new = &own[own.len().saturating_sub(6)..];
        let picked = indexes.iter().filter_map(|index| match index % 8 {
            _ if *index < SCRIPTED && !self.held.is_empty() => {
                Some(self.held[index % self.held.len()])
            }
            2.. if !new.is_empty() => Some(*new[index / 8 % new.len()]),
            1.. if !own.is_empty() => Some(*own[index / 8 % own.len()]),
            _ if self.held.is_empty() => None,
            _ => Some(self.held[index / 8 % self.held.len()]),
        });
        picked.collect()
    }

    fn ack(&mut self, name: &str, queue: usize, held: &[Held]) -> Result<(), LogFailure> {
        let receipts = held.iter().map(|held| held.receipt).collect();
        let command = Command::Ack { queue: name.to_owned(), receipts };
        let op = Op::Ack { queue, receipts: Vec::new() };
        self.begin(command, |model, now| model.apply(&op, held, now))
    }

    /// Whether an operation may change what does not show: the purge of an empty queue, after which no
    /// message is a copy, and a first receive that does not count, if no reason shows it.
    fn is_hidden(&self, op: &Op) -> bool {
        match op {
            Op::Purge { queue } => is_fifo(QUEUES[queue % QUEUES.len()]),
            Op::Nack { queue, receipt, is_counted: false, reason, .. } => {
                self.pick(*queue, &[*receipt]).iter().any(|held| {
                    let mut queues = self.present().queues.values();
                    let queue = queues.find(|queue| queue.id == held.queue);
                    queue.and_then(|q| q.messages.get(&held.seq)).is_some_and(|m| {
                        m.receive_count < 2 && (*reason == 0 || m.reason == reason_of(*reason))
                    })
                })
            }
            _ => false,
        }
    }

    /// Does a command of which the model knows at once what becomes of it.
    fn change(&mut self, op: &Op) -> Result<(), LogFailure> {
        let receipts = match op {
            Op::Transact { queue, receipts, .. } => self.pick(*queue, receipts),
            Op::ChangeVisibility { queue, receipt, .. }
            | Op::Nack { queue, receipt, .. }
            | Op::ReturnUndelivered { queue, receipt } => self.pick(*queue, &[*receipt]),
            _ => Vec::new(),
        };
        let Some(command) = command(op, &receipts) else { return Ok(()) };
        self.begin(command, |model, now| model.apply(op, &receipts, now))
    }

    fn send_once(&mut self, batch: &Batch) -> Result<(), LogFailure> {
        let name = QUEUES[batch.queue % QUEUES.len()];
        let command = Command::SendOnce {
            producer: ProducerId(7),
            batch: batch.number,
            oldest: batch.oldest,
            queue: name.to_owned(),
            messages: batch.bodies.iter().map(|body| new_message(name, *body, None)).collect(),
        };
        self.begin(command, |model, now| model.send_once(name, batch, now))
    }

    /// Does a command; its answer, which may come later, must be what the model says.
    fn begin(
        &mut self,
        command: Command,
        apply: impl FnOnce(&mut Model, LogTime) -> Answer,
    ) -> Result<(), LogFailure> {
        let (number, slot) = self.answers.slot();
        let mut model = self.present().clone();
        let now = self.store().now();
        let handled = self.store().handle(command, slot);
        let expected = apply(&mut model, now);
        if let Some(Err(RequestError::StorageFull { .. })) = self.answers.peek(number) {
            // Refused: nothing happened.
            self.answers.take(number);
            let faulty = self.faulty;
            self.tally.holds(Check::Answer, faulty, || "the disk is full without a fault".into());
            return handled;
        }
        self.push(model);
        let state = self.states.len() - 1;
        self.unanswered.push(Unanswered { number, state, expected });
        handled
    }

    /// Does a command, and commits if that is what its answer waits for.
    fn tell(&mut self, command: Command) -> Result<Answer, LogFailure> {
        let (number, slot) = self.answers.slot();
        let handled = self.store().handle(command, slot);
        let answer = self.answers.take(number);
        handled?;
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let committed = self.store().commit();
        let answer = self.answers.take(number);
        committed?;
        Ok(answer.expect("a committed command is answered"))
    }

    /// Everything that was sent is durable.
    fn all_visible(&mut self) {
        let queues = self.present().queues.values();
        self.visible = queues.map(|queue| (queue.id, queue.next_seq)).collect();
    }

    /// Commits everything: from here on the present state is what a crash leaves.
    fn settle(&mut self) -> Result<(), LogFailure> {
        self.store().commit()?;
        self.collect();
        assert!(self.unanswered.is_empty(), "a commit leaves a command without an answer");
        self.changes += 1;
        self.states.drain(..self.states.len() - 1);
        self.all_visible();
        Ok(())
    }

    /// Compares everything.
    fn look(&mut self) -> Result<(), LogFailure> {
        self.settle()?;
        if !self.faulty {
            let store = self.store.as_mut().expect("the store is open between steps");
            let (now, shown) = (store.now(), show(store, &mut self.answers));
            let expected = self.present().show(now);
            self.tally.count(Check::Conservation, shown.len() as u64);
            self.tally.holds(Check::NoLoss, shown == expected, || {
                format!("the store holds {shown:#?}\nexpected {expected:#?}")
            });
        }
        Ok(())
    }

    /// Takes the answers that came: each must be the one expected, and whatever is answered is
    /// durable with everything before it.
    fn collect(&mut self) {
        for (number, answer) in self.answers.take_all() {
            let at = self.unanswered.iter().position(|u| u.number == number);
            let at = at.expect("an answer belongs to a command");
            let unanswered = self.unanswered.remove(at);
            if matches!(answer, Err(RequestError::StorageFailed { .. })) {
                continue;
            }
            let (found, expected) = (without_text(&answer), without_text(&unanswered.expected));
            let check = match (&answer, &unanswered.expected) {
                // A copy has the number of the message that it is a copy of.
                (Ok(Reply::Sent { .. } | Reply::SentEach { .. }), Ok(_)) => Check::Deduplication,
                _ => Check::Answer,
            };
            self.tally.holds(check, found == expected, || {
                format!("answered {answer:?}, expected {:?}", unanswered.expected)
            });
            if answer.is_ok() {
                for queue in self.states[unanswered.state].queues.values() {
                    let visible = self.visible.entry(queue.id).or_insert(1);
                    *visible = queue.next_seq.max(*visible);
                }
                // States before this one can no longer be what a crash leaves.
                let gone = unanswered.state;
                self.changes += 1;
                self.states.drain(..gone);
                for other in &mut self.unanswered {
                    other.state = other.state.saturating_sub(gone);
                }
            }
        }
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

fn kind(error: &RequestError) -> std::mem::Discriminant<RequestError> {
    std::mem::discriminant(error)
}

/// Errors are compared by kind: their texts are tested elsewhere.
fn without_text(answer: &Answer) -> Result<Reply, std::mem::Discriminant<RequestError>> {
    answer.clone().map_err(|error| kind(&error))
}
