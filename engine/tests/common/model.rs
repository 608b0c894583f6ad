//! The model, and a run of a store beside it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use forebay_engine::attributes::{AttributeChanges, Attributes, RETENTION_MS_MAX};
use forebay_engine::command::{
    Command, Delivery, MessageState, Reply, StoredMessages, TransactAcks, TransactSends,
};
use forebay_engine::disk::{Fault, SimDisk};
use forebay_engine::ids::Seq;
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::{LogTime, OpenError, RequestError, SimClock, Store};

use super::ops::{Op, QUEUES};
use super::{Answer, Answers, Shown, ShownQueue, Slot, ask, message, open, show};

#[derive(Debug, Clone, Default)]
pub struct Model {
    queues: BTreeMap<String, ModelQueue>,
    last_queue: u32,
}

#[derive(Debug, Clone)]
struct ModelQueue {
    id: u32,
    visibility_timeout_ms: u64,
    retention_ms: u64,
    next_seq: u64,
    messages: BTreeMap<u64, ModelMessage>,
}

#[derive(Debug, Clone)]
struct ModelMessage {
    body: Bytes,
    /// When its entry was written; `None` until then.
    sent: Option<LogTime>,
    hidden: Option<Hidden>,
    receive_count: u32,
    /// The newest lease: a number that only grows.
    lease: u64,
    received: LogTime,
    reason: Option<String>,
    /// The newest lease was taken off the receive count.
    is_uncounted: bool,
}

#[derive(Debug, Clone, Copy)]
enum Hidden {
    Delayed(LogTime),
    InFlight(LogTime),
}

/// A receipt that a consumer holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    queue: u32,
    seq: u64,
    lease: u64,
    receipt: SealedReceipt,
}

/// A command that has not been answered, and the state that it left.
#[derive(Debug)]
struct Unanswered {
    number: usize,
    state: usize,
    sent: Option<(u32, u64)>,
    expected: Answer,
}

pub struct Run {
    pub disk: SimDisk,
    pub clock: SimClock,
    store: Option<Store<Slot>>,
    answers: Answers,
    /// The states since the last one known durable; the last is the present one.
    states: Vec<Model>,
    unanswered: Vec<Unanswered>,
    /// For each queue, the messages below this are durable and may be seen.
    visible: BTreeMap<u32, u64>,
    held: Vec<Held>,
    leases: u64,
    /// When the present operation began: what it writes is of this time.
    now: LogTime,
    /// Whether a fault is planned.
    faulty: bool,
    /// Whether the power failed, or only the process did.
    power: Option<u64>,
    crash_in_recovery: Option<u64>,
    pub recoveries: usize,
}

impl Run {
    pub fn new(seed: u64) -> Self {
        let mut run = Self::unopened(seed);
        run.open();
        run.recoveries = 0;
        run
    }

    /// A run whose store is not there yet.
    pub fn unopened(seed: u64) -> Self {
        let (disk, clock) = (SimDisk::new(seed), SimClock::new(1_800_000_000_000));
        Self {
            disk,
            clock,
            store: None,
            answers: Answers::default(),
            states: vec![Model::default()],
            unanswered: Vec::new(),
            visible: BTreeMap::new(),
            held: Vec::new(),
            leases: 0,
            now: LogTime::default(),
            faulty: false,
            power: None,
            crash_in_recovery: None,
            recoveries: 0,
        }
    }

    /// Opens the store for the first time, through the faults that are planned.
    pub fn open(&mut self) {
        self.recover_from(open(&self.disk, &self.clock));
    }

    /// The operation `at` fails.
    pub fn plan(&mut self, at: u64, fault: Fault) {
        self.disk.fail_at(at, fault);
        self.faulty = true;
    }

    /// The power fails with the process, at the next failure; `None`: the process dies alone.
    pub fn set_power(&mut self, power: Option<u64>) {
        self.power = power;
    }

    /// The first recovery crashes too, after so many operations.
    pub fn plan_in_recovery(&mut self, after: u64) {
        self.crash_in_recovery = Some(after);
    }

    /// Does one operation on both.
    pub fn step(&mut self, op: &Op) {
        if let Op::Consume { queue, max } = op {
            let before = self.held.len();
            self.step(&Op::Receive { queue: *queue, max: *max, visibility_s: None });
            let receipts: Vec<usize> = (before..self.held.len()).collect();
            if !receipts.is_empty() {
                self.step(&Op::Ack { queue: *queue, receipts });
            }
            return;
        }
        self.now = self.store().now();
        if self.try_step(op).is_err() {
            assert!(self.faulty, "a store failed without a fault");
            self.store = None;
            self.recover();
        }
        self.collect();
    }

    fn try_step(&mut self, op: &Op) -> Result<(), forebay_engine::LogFailure> {
        match op {
            Op::Commit => self.store().commit(),
            Op::Advance { seconds } => {
                self.clock.advance(seconds * 1000);
                self.store().tick();
                Ok(())
            }
            Op::SetWall { days } => {
                let now = 1_800_000_000_000i64 + days * 24 * 3600 * 1000;
                self.clock.set_wall(now.unsigned_abs());
                Ok(())
            }
            Op::Fail { after, fault } => {
                self.disk.fail_at(self.disk.operations() + after, *fault);
                self.faulty = true;
                Ok(())
            }
            Op::Kill => {
                self.store = None;
                self.power = None;
                self.recover();
                Ok(())
            }
            Op::Crash { seed } => {
                self.store = None;
                self.power = Some(*seed);
                self.recover();
                Ok(())
            }
            Op::LoseDerived { which } => {
                self.store = None;
                self.power = None;
                self.disk.kill();
                self.disk.clear_faults();
                super::lose_derived(&self.disk, *which);
                self.recover();
                Ok(())
            }
            Op::Keep { steps } => {
                for _ in 0..*steps {
                    let is_busy = self.store().keep()?;
                    // What the keeper asks for comes with the next entry.
                    self.store().commit()?;
                    self.collect();
                    if !is_busy {
                        break;
                    }
                }
                Ok(())
            }
            Op::Reopen => {
                let store = self.store.take().expect("the store is open between steps");
                let closed = store.close();
                self.collect();
                closed?;
                self.power = None;
                self.recover();
                Ok(())
            }
            _ => self.command(op),
        }
    }

    fn store(&mut self) -> &mut Store<Slot> {
        self.store.as_mut().expect("the store is open between steps")
    }

    fn command(&mut self, op: &Op) -> Result<(), forebay_engine::LogFailure> {
        let Some(command) = self.make_command(op) else { return Ok(()) };
        // What the store commits for want of room changes what a receive sees: settle that first.
        let (number, slot) = self.answers.slot();
        let mut model = self.states.last().expect("there is a state").clone();
        if matches!(op, Op::Receive { .. }) {
            self.store().commit()?;
            self.collect();
            model = self.states.last().expect("there is a state").clone();
        }
        let now = self.store().now();
        let receipts = self.receipts_of(op);
        let handled = self.store().handle(command, slot);
        if let Op::Receive { queue, max, visibility_s } = op {
            model.expire(now);
            // Answered at once, or refused.
            if let Some(answer) = self.answers.take(number) {
                self.received(&mut model, *queue, *max, *visibility_s, now, answer);
            }
            self.states.push(model);
            return handled;
        }
        model.expire(now);
        let (expected, sent) = model.apply(op, &receipts, now);
        if let Some(Err(RequestError::StorageFull { .. })) = self.answers.peek(number) {
            // Refused: nothing happened.
            self.answers.take(number);
            return handled;
        }
        self.states.push(model);
        let state = self.states.len() - 1;
        self.unanswered.push(Unanswered { number, state, sent, expected });
        handled
    }

    fn make_command(&self, op: &Op) -> Option<Command> {
        let name = |queue: &usize| QUEUES[queue % QUEUES.len()].to_owned();
        let attributes = |visibility_s: Option<u64>| AttributeChanges {
            visibility_timeout_ms: visibility_s.map(|s| s * 1000),
            ..AttributeChanges::default()
        };
        let held = |index: &usize| match self.held.len() {
            0 => None,
            count => Some(self.held[index % count].receipt),
        };
        Some(match op {
            Op::Create { queue, visibility_s } => Command::CreateQueue {
                name: name(queue),
                attributes: attributes(*visibility_s).into(),
            },
            Op::Alter { queue, visibility_s } => {
                let attributes = attributes(Some(*visibility_s));
                Command::AlterQueue { name: name(queue), attributes: attributes.into() }
            }
            Op::Retain { queue, seconds } => {
                let retention_ms = Some(seconds * 1000);
                let attributes = AttributeChanges { retention_ms, ..AttributeChanges::default() };
                Command::AlterQueue { name: name(queue), attributes: attributes.into() }
            }
            Op::Delete { queue } => Command::DeleteQueue { name: name(queue) },
            Op::Purge { queue } => Command::PurgeQueue { name: name(queue) },
            Op::Send { queue, bodies, delay_s } => {
                let messages = bodies.iter().map(|b| message(&body(b), delay_s.map(|s| s * 1000)));
                Command::Send { queue: name(queue), messages: messages.collect() }
            }
            Op::Receive { queue, max, visibility_s } => Command::Receive {
                queue: name(queue),
                max: *max,
                wait_ms: Some(0),
                visibility_ms: visibility_s.map(|s| s * 1000),
                bytes_max: u64::MAX,
            },
            Op::Ack { queue, receipts } => {
                let receipts: Vec<_> = receipts.iter().filter_map(held).collect();
                (!receipts.is_empty()).then_some(Command::Ack { queue: name(queue), receipts })?
            }
            Op::ChangeVisibility { queue, receipt, seconds } => {
                let changes = vec![(held(receipt)?, seconds * 1000)];
                Command::ChangeVisibility { queue: name(queue), changes }
            }
            Op::Nack { queue, receipt, seconds, is_counted, reason } => Command::Nack {
                queue: name(queue),
                receipts: vec![held(receipt)?],
                delay_ms: seconds * 1000,
                is_counted: *is_counted,
                reason: reason_of(*reason).unwrap_or_default(),
            },
            Op::Transact { queue, receipts, to, bodies } => {
                let receipts: Vec<_> = receipts.iter().filter_map(held).collect();
                let messages = bodies.iter().map(|b| message(&body(b), None)).collect();
                let acks = TransactAcks { queue: name(queue), receipts };
                let sends = TransactSends { queue: name(to), messages };
                let is_any = !acks.receipts.is_empty();
                is_any.then_some(Command::Transact { acks: vec![acks], sends: vec![sends] })?
            }
            Op::ReturnUndelivered { queue, receipt } => {
                let receipts = vec![held(receipt)?];
                Command::ReturnUndelivered { queue: name(queue), receipts }
            }
            _ => return None,
        })
    }

    fn receipts_of(&self, op: &Op) -> Vec<Held> {
        let indexes = match op {
            Op::Ack { receipts, .. } | Op::Transact { receipts, .. } => receipts.clone(),
            Op::ChangeVisibility { receipt, .. }
            | Op::Nack { receipt, .. }
            | Op::ReturnUndelivered { receipt, .. } => vec![*receipt],
            _ => return Vec::new(),
        };
        match self.held.len() {
            0 => Vec::new(),
            count => indexes.iter().map(|index| self.held[index % count]).collect(),
        }
    }

    /// A receive gives what the model says is waiting, in order, and nothing that is not durable.
    fn received(
        &mut self,
        model: &mut Model,
        queue: usize,
        max: u32,
        visibility_s: Option<u64>,
        now: LogTime,
        answer: Answer,
    ) {
        let name = QUEUES[queue % QUEUES.len()];
        let Some(queue) = model.queues.get_mut(name) else {
            assert!(matches!(answer, Err(RequestError::UnknownQueue { .. })), "{answer:?}");
            return;
        };
        let deliveries = match answer {
            Ok(Reply::Received { deliveries, .. }) => deliveries,
            Err(RequestError::StorageFull { .. }) => return,
            other => panic!("a receive was answered with {other:?}"),
        };
        let visible = *self.visible.get(&queue.id).unwrap_or(&1);
        let waiting = queue
            .messages
            .iter()
            .filter(|(seq, message)| **seq < visible && !message.is_hidden(now))
            .map(|(seq, _)| *seq);
        let expected: Vec<u64> = waiting.take(max as usize).collect();
        let found: Vec<u64> = deliveries.iter().map(|delivery| delivery.seq.0).collect();
        assert_eq!(found, expected, "a receive from {name}");
        let until = now.plus_ms(visibility_s.map_or(queue.visibility_timeout_ms, |s| s * 1000));
        for delivery in deliveries {
            self.leases += 1;
            let message = queue.messages.get_mut(&delivery.seq.0).expect("it was expected");
            message.receive_count += 1;
            message.lease = self.leases;
            message.received = now;
            message.is_uncounted = false;
            message.hidden = Some(Hidden::InFlight(until));
            assert_eq!(delivery.receive_count, message.receive_count);
            self.held.push(Held {
                queue: queue.id,
                seq: delivery.seq.0,
                lease: self.leases,
                receipt: delivery.receipt,
            });
            self.assert_body(&delivery);
        }
    }

    fn assert_body(&self, delivery: &Delivery) {
        let state = self.states.last().expect("there is a state");
        let body = state.queues.values().find_map(|queue| {
            (queue.id == delivery.location.queue.0).then(|| queue.messages.get(&delivery.seq.0))?
        });
        let store = self.store.as_ref().expect("the store is open");
        match store.read(&delivery.location) {
            Ok(read) => assert_eq!(Some(&read.payload), body.map(|message| &message.body)),
            Err(error) => assert!(self.faulty, "{error}"),
        }
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
            assert_eq!(without_text(&answer), without_text(&unanswered.expected));
            if let Some((queue, end)) = unanswered.sent {
                let visible = self.visible.entry(queue).or_insert(1);
                *visible = end.max(*visible);
                let now = self.now;
                self.states.iter_mut().for_each(|state| state.written(queue, end, now));
            }
            if answer.is_ok() {
                // States before this one can no longer be what a crash leaves.
                let gone = unanswered.state;
                self.states.drain(..gone);
                for other in &mut self.unanswered {
                    other.state = other.state.saturating_sub(gone);
                }
            }
        }
    }

    /// Opens the store until it opens, with the fault that is planned, if any, striking on the
    /// way, and finds the state that it recovered.
    fn recover(&mut self) {
        self.collect();
        self.unanswered.clear();
        // What was written and not answered.
        for state in &mut self.states {
            let ids: Vec<u32> = state.queues.values().map(|queue| queue.id).collect();
            ids.into_iter().for_each(|id| state.written(id, u64::MAX, self.now));
        }
        self.fall(0);
        if let Some(after) = self.crash_in_recovery.take() {
            self.plan(self.disk.operations() + after, Fault::Crash);
        }
        self.recover_from(open(&self.disk, &self.clock));
    }

    /// The process ends, with or without the power.
    fn fall(&mut self, attempt: u64) {
        match self.power {
            Some(seed) => self.disk.crash(seed.wrapping_add(attempt)),
            None => self.disk.kill(),
        }
    }

    fn recover_from(&mut self, first: Result<Store<Slot>, OpenError>) {
        let (mut result, mut attempt) = (first, 0);
        let mut store = loop {
            match result {
                Ok(store) => break store,
                Err(error) => {
                    assert!(self.faulty, "a store does not open: {error}");
                    assert!(matches!(error, OpenError::Disk(_)), "a store is refused: {error}");
                }
            }
            attempt += 1;
            assert!(attempt < 10, "each fault strikes once");
            self.fall(attempt);
            result = open(&self.disk, &self.clock);
        };
        self.disk.clear_faults();
        self.faulty = false;
        self.recoveries += 1;
        let now = store.now();
        let shown = show(&mut store, &mut self.answers);
        let last_queue = probe_last_queue(&mut store, &mut self.answers);
        let candidate = self
            .states
            .iter()
            .rposition(|state| state.show(now) == shown && state.last_queue == last_queue);
        let Some(candidate) = candidate else {
            let states: Vec<_> = self.states.iter().map(|state| state.show(now)).collect();
            panic!("recovered {shown:#?}\nwhich is none of {states:#?}");
        };
        let mut state = self.states.swap_remove(candidate);
        state.last_queue += 1;
        self.visible = state.queues.values().map(|queue| (queue.id, queue.next_seq)).collect();
        self.states = vec![state];
        self.store = Some(store);
    }

    /// Ends the run: everything is committed, the store closed, opened once more, and checked
    /// from outside.
    pub fn finish(mut self) {
        self.disk.clear_faults();
        self.step(&Op::Reopen);
        let now = self.store().now();
        let mut answers = std::mem::take(&mut self.answers);
        let shown = show(self.store(), &mut answers);
        assert_eq!(shown, self.states.last().expect("there is a state").show(now));
        self.store = None;
        super::assert_undamaged(&self.disk);
        super::assert_no_leaked_files(&self.disk);
    }
}

/// The newest number that was given to a queue, which shows only when another queue gets the next
/// one.
fn probe_last_queue(store: &mut Store<Slot>, answers: &mut Answers) -> u32 {
    let (name, attributes) = ("probe".to_owned(), AttributeChanges::default());
    let create = Command::CreateQueue { name: name.clone(), attributes: attributes.into() };
    let Ok(Reply::Created { queue, created: true }) = ask(store, answers, create) else {
        panic!("a queue is created");
    };
    assert_eq!(ask(store, answers, Command::DeleteQueue { name }), Ok(Reply::Deleted));
    queue.0 - 1
}

/// Errors are compared by kind: their texts are tested elsewhere.
fn without_text(answer: &Answer) -> Result<Reply, std::mem::Discriminant<RequestError>> {
    answer.clone().map_err(|error| std::mem::discriminant(&error))
}

fn reason_of(reason: u8) -> Option<String> {
    (reason > 0).then(|| format!("reason {reason}"))
}

fn body((byte, bytes): &(u8, u16)) -> Vec<u8> {
    vec![*byte; usize::from(*bytes)]
}

impl ModelMessage {
    fn is_hidden(&self, now: LogTime) -> bool {
        match self.hidden {
            None => false,
            Some(Hidden::Delayed(until) | Hidden::InFlight(until)) => until > now,
        }
    }

    fn state(&self, now: LogTime) -> MessageState {
        match self.hidden {
            Some(Hidden::Delayed(until)) if until > now => MessageState::Delayed,
            Some(Hidden::InFlight(until)) if until > now => MessageState::InFlight { until },
            _ => MessageState::Waiting,
        }
    }

    fn delayed_until(&self, now: LogTime) -> Option<LogTime> {
        match self.hidden {
            Some(Hidden::Delayed(until)) if until > now => Some(until),
            _ => None,
        }
    }
}

impl Model {
    /// The messages of a queue before `end` that had no sent time have this one.
    fn written(&mut self, id: u32, end: u64, now: LogTime) {
        for queue in self.queues.values_mut().filter(|queue| queue.id == id) {
            queue.messages.range_mut(..end).for_each(|(_, message)| {
                message.sent.get_or_insert(now);
            });
        }
    }

    /// What is older than its queue keeps it is gone.
    fn expire(&mut self, now: LogTime) {
        for queue in self.queues.values_mut().filter(|q| q.retention_ms < RETENTION_MS_MAX) {
            let retention_ms = queue.retention_ms;
            queue.messages.retain(|_, message| {
                message.sent.is_none_or(|sent| sent.plus_ms(retention_ms) > now)
            });
        }
    }

    fn show(&self, now: LogTime) -> BTreeMap<String, ShownQueue> {
        let mut state = self.clone();
        state.expire(now);
        let shown = state.queues.iter().map(|(name, queue)| {
            let messages = queue.messages.iter().map(|(seq, message)| {
                let (state, receive_count) = (message.state(now), message.receive_count);
                let (delayed_until, body) = (message.delayed_until(now), message.body.clone());
                let reason = message.reason.clone();
                (*seq, Shown { state, delayed_until, receive_count, reason, body })
            });
            let shown = ShownQueue {
                id: queue.id,
                visibility_timeout_ms: queue.visibility_timeout_ms,
                retention_ms: queue.retention_ms,
                next_seq: queue.next_seq,
                messages: messages.collect(),
            };
            (name.clone(), shown)
        });
        shown.collect()
    }

    /// Does a command, says what it must be answered with, and for a send the queue and the end
    /// of its messages.
    fn apply(&mut self, op: &Op, receipts: &[Held], now: LogTime) -> (Answer, Option<(u32, u64)>) {
        let name = |queue: &usize| QUEUES[queue % QUEUES.len()];
        let unknown = |name: &str| Err(RequestError::UnknownQueue { name: name.to_owned() });
        if let Op::Create { queue, visibility_s } = op {
            return (self.create(name(queue), *visibility_s), None);
        }
        if let Op::Transact { queue, to, bodies, .. } = op {
            return self.transact(name(queue), receipts, name(to), bodies);
        }
        let (Op::Alter { queue, .. }
        | Op::Retain { queue, .. }
        | Op::Delete { queue }
        | Op::Purge { queue }
        | Op::Send { queue, .. }
        | Op::Ack { queue, .. }
        | Op::ChangeVisibility { queue, .. }
        | Op::Nack { queue, .. }
        | Op::ReturnUndelivered { queue, .. }) = op
        else {
            panic!("{op:?} is no command that the model does");
        };
        let name = name(queue);
        let Some(queue) = self.queues.get_mut(name) else { return (unknown(name), None) };
        let reply = match op {
            Op::Alter { visibility_s, .. } => {
                queue.visibility_timeout_ms = visibility_s * 1000;
                Reply::Altered
            }
            Op::Retain { seconds, .. } => {
                queue.retention_ms = seconds * 1000;
                self.expire(now);
                Reply::Altered
            }
            Op::Delete { .. } => {
                self.queues.remove(name);
                Reply::Deleted
            }
            Op::Purge { .. } => {
                let count = queue.messages.len() as u64;
                queue.messages.clear();
                Reply::Purged { count }
            }
            Op::Send { bodies, delay_s, .. } => {
                let delayed = delay_s.filter(|s| *s > 0);
                let hidden = delayed.map(|s| Hidden::Delayed(now.plus_ms(s * 1000)));
                let StoredMessages { queue: id, first, count, .. } = queue.send(bodies, hidden);
                let end = first.0 + u64::from(count);
                return (Ok(Reply::Sent { queue: id, first, count }), Some((id.0, end)));
            }
            Op::Ack { .. } => {
                let mut failures = Vec::new();
                for (index, held) in (0..).zip(receipts) {
                    match queue.check(held) {
                        Ok(()) => {}
                        Err(error) => failures.push((index, error)),
                    }
                }
                for held in receipts {
                    if queue.check(held).is_ok() {
                        queue.messages.remove(&held.seq);
                    }
                }
                Reply::Changed { failures }
            }
            Op::ChangeVisibility { seconds, .. } => {
                let failures = match queue.change(&receipts[0], seconds * 1000, now) {
                    Ok(()) => Vec::new(),
                    Err(error) => vec![(0, error)],
                };
                Reply::Changed { failures }
            }
            Op::Nack { seconds, is_counted, reason, .. } => {
                let held = &receipts[0];
                let failures = match queue.change(held, seconds * 1000, now) {
                    Ok(()) => {
                        queue.give_back(held, *is_counted, reason_of(*reason));
                        Vec::new()
                    }
                    Err(error) => vec![(0, error)],
                };
                Reply::Changed { failures }
            }
            Op::ReturnUndelivered { .. } => {
                let held = &receipts[0];
                if queue.check(held).is_ok()
                    && let Some(message) = queue.messages.get_mut(&held.seq)
                    && message.lease == held.lease
                    && matches!(message.hidden, Some(Hidden::InFlight(until)) if until > now)
                {
                    message.hidden = None;
                }
                Reply::Changed { failures: Vec::new() }
            }
            _ => unreachable!("matched above"),
        };
        (Ok(reply), None)
    }

    fn transact(
        &mut self,
        from: &str,
        receipts: &[Held],
        to: &str,
        bodies: &[(u8, u16)],
    ) -> (Answer, Option<(u32, u64)>) {
        let seqs = self.queues.get(from).and_then(|queue| queue.check_all(receipts));
        let (Some(seqs), true) = (seqs, self.queues.contains_key(to)) else {
            // What exactly is wrong, and that it is told, is tested elsewhere.
            let cause = RequestError::ShuttingDown.into();
            return (Err(RequestError::TransactionRefused { item: String::new(), cause }), None);
        };
        let queue = self.queues.get_mut(from).expect("it was found above");
        seqs.iter().for_each(|seq| drop(queue.messages.remove(seq)));
        let queue = self.queues.get_mut(to).expect("it was found above");
        let sent = queue.send(bodies, None);
        let (id, end) = (sent.queue.0, sent.first.0 + u64::from(sent.count));
        (Ok(Reply::Transacted { sent: vec![sent] }), Some((id, end)))
    }

    fn create(&mut self, name: &str, visibility_s: Option<u64>) -> Answer {
        if let Some(queue) = self.queues.get(name) {
            let given = visibility_s.map_or(queue.visibility_timeout_ms, |s| s * 1000);
            if given != queue.visibility_timeout_ms {
                return Err(RequestError::QueueExists {
                    name: name.to_owned(),
                    attribute: "visibility-timeout",
                    given: given.to_string(),
                    current: queue.visibility_timeout_ms.to_string(),
                });
            }
            let queue = forebay_engine::ids::QueueId(queue.id);
            return Ok(Reply::Created { queue, created: false });
        }
        self.last_queue += 1;
        let queue = ModelQueue {
            id: self.last_queue,
            visibility_timeout_ms: visibility_s.map_or(30_000, |s| s * 1000),
            retention_ms: Attributes::default().retention_ms,
            next_seq: 1,
            messages: BTreeMap::new(),
        };
        self.queues.insert(name.to_owned(), queue);
        let queue = forebay_engine::ids::QueueId(self.last_queue);
        Ok(Reply::Created { queue, created: true })
    }
}

impl ModelQueue {
    fn check(&self, held: &Held) -> Result<(), RequestError> {
        if held.queue != self.id {
            return Err(RequestError::ReceiptInvalid {
                reason: format!("it is of queue {}, not of queue {}", held.queue, self.id),
            });
        }
        match self.messages.get(&held.seq) {
            Some(message) if message.lease > held.lease => {
                Err(RequestError::ReceiptStale { seq: Seq(held.seq) })
            }
            _ => Ok(()),
        }
    }

    fn send(&mut self, bodies: &[(u8, u16)], hidden: Option<Hidden>) -> StoredMessages {
        let first = Seq(self.next_seq);
        for bytes in bodies {
            let message = ModelMessage {
                body: Bytes::from(body(bytes)),
                sent: None,
                hidden,
                receive_count: 0,
                lease: 0,
                received: LogTime::default(),
                reason: None,
                is_uncounted: false,
            };
            self.messages.insert(self.next_seq, message);
            self.next_seq += 1;
        }
        let queue = forebay_engine::ids::QueueId(self.id);
        StoredMessages { queue, first, count: bodies.len() as u32, seqs: Vec::new() }
    }

    /// The messages, if each receipt holds one that is there, and each another.
    fn check_all(&self, receipts: &[Held]) -> Option<BTreeSet<u64>> {
        let is_good =
            |held: &&Held| self.check(held).is_ok() && self.messages.contains_key(&held.seq);
        let seqs: BTreeSet<u64> = receipts.iter().filter(is_good).map(|held| held.seq).collect();
        (seqs.len() == receipts.len()).then_some(seqs)
    }

    fn change(&mut self, held: &Held, ms: u64, now: LogTime) -> Result<(), RequestError> {
        self.check(held)?;
        let seq = Seq(held.seq);
        let message = self.messages.get_mut(&held.seq).ok_or(RequestError::MessageGone { seq })?;
        let day_half = 12 * 3600 * 1000u64;
        if message.lease == 0 {
            // The lease was lost in a crash: it is given again.
            message.receive_count = 1;
            message.lease = held.lease;
            message.received = now;
        } else {
            let max = day_half.saturating_sub(now.ms_since(message.received));
            if ms > max {
                let (parameter, value, min) = ("visibility", ms, 0);
                return Err(RequestError::OutOfRange { parameter, value, min, max });
            }
        }
        message.hidden = Some(Hidden::InFlight(now.plus_ms(ms)));
        Ok(())
    }

    /// Says why, and takes the lease off the count: once, and only if it was counted.
    fn give_back(&mut self, held: &Held, is_counted: bool, reason: Option<String>) {
        let message = self.messages.get_mut(&held.seq).expect("its lease was changed");
        message.reason = reason.or(message.reason.take());
        if !is_counted && !message.is_uncounted && message.lease == held.lease {
            message.receive_count -= 1;
            message.is_uncounted = true;
        }
    }
}

impl Answers {
    fn peek(&self, number: usize) -> Option<Answer> {
        self.answers.lock().unwrap().get(&number).cloned()
    }
}
