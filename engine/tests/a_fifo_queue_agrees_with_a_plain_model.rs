//! Without this: a copy could be stored, or a message of a group come before an earlier one, or
//! never, after some order of sends, receives, acks, returns, ends of leases, purges, expiries, kills and
//! compactions that nobody thought of.
//!
//! The default run is short. The long one:
//! `PROPTEST_CASES=10000 cargo test --release -p forebay-engine --test a_fifo_queue_agrees_with_a_plain_model`

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{Answer, Answers, Shown, Slot, in_group, lose_derived, show};
use forebay_engine::attributes::{AttributeChanges, DeduplicationScope, RETENTION_MS_MAX};
use forebay_engine::command::{Command, Delivery, MessageState, NewMessage, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::{LogTime, RequestError, SimClock, Store};
use proptest::prelude::*;

const QUEUE: &str = "line.fifo";
const VISIBILITY_MS: u64 = 30_000;
const WINDOW_MS: u64 = 300_000;
const DAY_HALF_MS: u64 = 12 * 3600 * 1000;

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_delivery_and_all_contents_are_what_plain_lists_say(
        seed in any::<u64>(),
        scope in prop_oneof![Just(DeduplicationScope::Queue), Just(DeduplicationScope::Group)],
        retention_ms in prop_oneof![Just(RETENTION_MS_MAX), Just(60_000), Just(2 * WINDOW_MS)],
        switched_off in prop_oneof![Just(0u32), any::<u32>()],
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut run = Run::new(seed, scope, retention_ms);
        for op in &ops {
            if op.switch().is_none_or(|bit| switched_off & (1 << bit) == 0) {
                run.step(op);
            }
        }
        run.finish();
    }
}

/// A body is its first byte, so many times; a deduplication id is drawn from few.
type NewBody = (u8, u64, u16);

/// One operation. Indexes of receipts are taken modulo how many there are.
#[derive(Debug, Clone)]
enum Op {
    /// Messages: group, deduplication id, length.
    Send(Vec<NewBody>),
    Receive {
        max: u32,
        visibility_ms: u64,
    },
    Consume {
        max: u32,
    },
    Ack(Vec<usize>),
    ChangeVisibility {
        receipt: usize,
        ms: u64,
    },
    Return(usize),
    Delay {
        ms: u64,
    },
    Purge,
    Advance {
        ms: u64,
    },
    Commit,
    Look,
    Keep {
        steps: u32,
    },
    /// The process is killed: what is not committed is lost.
    Kill,
    /// The power fails.
    Crash {
        seed: u64,
    },
    Reopen,
    /// Killed, and snapshots and indexes are lost: the bits say which.
    LoseDerived {
        which: u64,
    },
}

impl Op {
    /// The bit by which a run switches the operation off.
    fn switch(&self) -> Option<u32> {
        Some(match self {
            Op::Send(_) | Op::Commit | Op::Look => return None,
            Op::Receive { .. } => 0,
            Op::Consume { .. } => 1,
            Op::Ack(_) => 2,
            Op::ChangeVisibility { .. } => 3,
            Op::Return(_) => 4,
            Op::Delay { .. } => 5,
            Op::Purge => 6,
            Op::Advance { .. } => 7,
            Op::Keep { .. } => 8,
            Op::Kill => 9,
            Op::Crash { .. } => 10,
            Op::Reopen => 11,
            Op::LoseDerived { .. } => 12,
        })
    }
}

fn op() -> impl Strategy<Value = Op> {
    let ms = || {
        prop_oneof![
            2 => Just(0u64),
            4 => 1..40_000u64,
            1 => Just(WINDOW_MS),
            1 => Just(WINDOW_MS + 1),
            1 => Just(DAY_HALF_MS),
        ]
    };
    let group = prop_oneof![4 => 0u8..4, 1 => 0u8..40];
    // Most ids are new; some are copies.
    let id = prop_oneof![3 => any::<u64>(), 1 => 0u64..30];
    let bodies = prop::collection::vec((group, id, prop_oneof![0..300u16, 0..1100u16]), 1..6);
    let indexes = prop::collection::vec(any::<usize>(), 1..6);
    prop_oneof![
        14 => bodies.prop_map(Op::Send),
        10 => (1..10u32, ms()).prop_map(|(max, visibility_ms)| Op::Receive { max, visibility_ms }),
        6 => (1..30u32).prop_map(|max| Op::Consume { max }),
        8 => indexes.prop_map(Op::Ack),
        4 => (any::<usize>(), ms()).prop_map(|(receipt, ms)| Op::ChangeVisibility { receipt, ms }),
        2 => any::<usize>().prop_map(Op::Return),
        1 => prop_oneof![Just(0u64), 1..60_000u64].prop_map(|ms| Op::Delay { ms }),
        1 => Just(Op::Purge),
        6 => ms().prop_map(|ms| Op::Advance { ms }),
        4 => Just(Op::Commit),
        2 => Just(Op::Look),
        8 => prop_oneof![1..4u32, 4..60u32].prop_map(|steps| Op::Keep { steps }),
        1 => Just(Op::Kill),
        1 => any::<u64>().prop_map(|seed| Op::Crash { seed }),
        1 => Just(Op::Reopen),
        2 => prop_oneof![Just(u64::MAX), any::<u64>()].prop_map(|which| Op::LoseDerived { which }),
    ]
}

/// What the queue must hold.
#[derive(Debug, Clone, Default)]
struct Model {
    messages: BTreeMap<u64, Message>,
    next: u64,
    delay_ms: u64,
    /// Of each deduplication id (and group, if that is the scope) the newest message.
    sent: BTreeMap<(u64, Option<u8>), (u64, LogTime)>,
}

#[derive(Debug, Clone)]
struct Message {
    group: u8,
    payload: Bytes,
    sent: LogTime,
    in_flight_until: LogTime,
    receive_count: u32,
    /// The newest lease: a number that only grows.
    lease: u64,
    received: LogTime,
}

/// A receipt that a consumer holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    seq: u64,
    lease: u64,
    receipt: SealedReceipt,
}

fn new_message((group, id, bytes): &NewBody) -> NewMessage {
    let body = vec![*id as u8; usize::from(*bytes)];
    in_group(&format!("group {group}"), Some(*id), &body)
}

impl Model {
    /// The numbers that the messages get: a copy that of the message which was sent before.
    fn send(&mut self, scope: DeduplicationScope, bodies: &[NewBody], now: LogTime) -> Vec<u64> {
        let mut seqs = Vec::new();
        for new in bodies {
            let key = (new.1, (scope == DeduplicationScope::Group).then_some(new.0));
            let before = self.sent.get(&key).filter(|(_, time)| time.plus_ms(WINDOW_MS) >= now);
            if let Some((seq, _)) = before {
                seqs.push(*seq);
                continue;
            }
            self.sent.insert(key, (self.next, now));
            seqs.push(self.next);
            let message = Message {
                group: new.0,
                payload: new_message(new).payload,
                sent: now,
                in_flight_until: LogTime(0),
                receive_count: 0,
                lease: 0,
                received: LogTime(0),
            };
            self.messages.insert(self.next, message);
            self.next += 1;
        }
        seqs
    }

    /// What a receive of all gets. Of each group the longest prefix that is visible: first all of the
    /// group whose first message is the oldest.
    fn waiting(&self, now: LogTime) -> Vec<u64> {
        let mut groups: BTreeMap<u8, (bool, Vec<u64>)> = BTreeMap::new();
        for (seq, message) in &self.messages {
            let (is_blocked, prefix) = groups.entry(message.group).or_default();
            let is_delayed =
                message.receive_count == 0 && message.sent.plus_ms(self.delay_ms) > now;
            *is_blocked |= message.in_flight_until > now || is_delayed;
            if !*is_blocked {
                prefix.push(*seq);
            }
        }
        let mut prefixes: Vec<Vec<u64>> = groups.into_values().map(|(_, prefix)| prefix).collect();
        prefixes.sort();
        prefixes.concat()
    }

    fn is_stale(&self, held: &Held) -> bool {
        self.messages.get(&held.seq).is_some_and(|message| message.lease > held.lease)
    }

    fn has_leased(&self, held: &Held, now: LogTime) -> bool {
        self.messages
            .get(&held.seq)
            .is_some_and(|message| message.lease == held.lease && message.in_flight_until > now)
    }

    fn ack(&mut self, receipts: &[Held], now: LogTime) -> Vec<(u32, RequestError)> {
        let (mut failures, mut gone) = (Vec::new(), Vec::new());
        for (index, held) in (0..).zip(receipts) {
            let seq = forebay_engine::ids::Seq(held.seq);
            if self.is_stale(held) {
                failures.push((index, RequestError::ReceiptStale { seq }));
            } else if self.messages.contains_key(&held.seq) && !self.has_leased(held, now) {
                failures.push((index, RequestError::ReceiptExpired { seq }));
            } else {
                gone.push(held.seq);
            }
        }
        gone.iter().for_each(|seq| drop(self.messages.remove(seq)));
        failures
    }

    fn change(&mut self, held: &Held, ms: u64, now: LogTime) -> Result<(), RequestError> {
        let seq = forebay_engine::ids::Seq(held.seq);
        if self.is_stale(held) {
            return Err(RequestError::ReceiptStale { seq });
        }
        if !self.messages.contains_key(&held.seq) {
            return Err(RequestError::MessageGone { seq });
        }
        if !self.has_leased(held, now) {
            return Err(RequestError::ReceiptExpired { seq });
        }
        let message = self.messages.get_mut(&held.seq).expect("it is there");
        let max = DAY_HALF_MS.saturating_sub(now.ms_since(message.received));
        if ms > max {
            let (parameter, value, min) = ("visibility", ms, 0);
            return Err(RequestError::OutOfRange { parameter, value, min, max });
        }
        message.in_flight_until = now.plus_ms(ms);
        Ok(())
    }

    fn show(&self, now: LogTime) -> BTreeMap<u64, Shown> {
        let shown = self.messages.iter().map(|(seq, message)| {
            let until = message.in_flight_until;
            let state = match until > now {
                true => MessageState::InFlight { until },
                false => MessageState::Waiting,
            };
            let (receive_count, body) = (message.receive_count, message.payload.clone());
            (*seq, Shown { state, delayed_until: None, receive_count, reason: None, body })
        });
        shown.collect()
    }
}

/// A store beside the model.
struct Run {
    disk: SimDisk,
    clock: SimClock,
    scope: DeduplicationScope,
    retention_ms: u64,
    store: Option<Store<Slot>>,
    answers: Answers,
    /// The states since the last commit; the last is the present one.
    states: Vec<Model>,
    /// Commands whose answers come with the next commit, and what they must be.
    unanswered: BTreeMap<usize, Answer>,
    held: Vec<Held>,
    leases: u64,
}

impl Run {
    fn new(seed: u64, scope: DeduplicationScope, retention_ms: u64) -> Self {
        let (disk, clock) = (SimDisk::new(seed), SimClock::new(1_800_000_000_000));
        let store = Some(common::open(&disk, &clock).unwrap());
        let states = vec![Model { next: 1, ..Model::default() }];
        let (answers, unanswered) = (Answers::default(), BTreeMap::new());
        let (held, leases) = (Vec::new(), 0);
        let mut run = Self {
            disk,
            clock,
            scope,
            retention_ms,
            store,
            answers,
            states,
            unanswered,
            held,
            leases,
        };
        let attributes = AttributeChanges {
            fifo: Some(true),
            deduplication_scope: Some(scope),
            visibility_timeout_ms: Some(VISIBILITY_MS),
            retention_ms: Some(retention_ms),
            ..AttributeChanges::default()
        };
        let (name, attributes) = (QUEUE.to_owned(), attributes.into());
        let created = run.ask(Command::CreateQueue { name, attributes });
        assert!(matches!(created, Ok(Reply::Created { created: true, .. })));
        run
    }

    fn store(&mut self) -> &mut Store<Slot> {
        self.store.as_mut().expect("the store is open between steps")
    }

    fn present(&self) -> &Model {
        self.states.last().expect("there is a state")
    }

    /// What is older than the queue keeps it is gone.
    fn expire(&mut self, now: LogTime) {
        let retention_ms = self.retention_ms;
        for state in self.states.iter_mut().filter(|_| retention_ms < RETENTION_MS_MAX) {
            state.messages.retain(|_, message| message.sent.plus_ms(retention_ms) > now);
        }
    }

    fn step(&mut self, op: &Op) {
        let now = self.store().now();
        self.expire(now);
        match op {
            Op::Send(bodies) => {
                let (mut model, now) = (self.present().clone(), self.store().now());
                let seqs = model.send(self.scope, bodies, now);
                let messages = bodies.iter().map(new_message).collect();
                self.begin(Command::Send { queue: QUEUE.to_owned(), messages }, sent(&seqs));
                self.states.push(model);
            }
            Op::Receive { max, visibility_ms } => {
                self.receive(*max, *visibility_ms);
            }
            Op::Consume { max } => {
                let before = self.held.len();
                self.receive(*max, VISIBILITY_MS);
                if self.held.len() > before {
                    self.step(&Op::Ack((before..self.held.len()).collect()));
                }
            }
            Op::Ack(indexes) if !self.held.is_empty() => {
                let held = |index: &usize| self.held[index % self.held.len()];
                let held: Vec<Held> = indexes.iter().map(held).collect();
                let (mut model, now) = (self.present().clone(), self.store().now());
                let failures = model.ack(&held, now);
                let receipts = held.iter().map(|held| held.receipt).collect();
                let ack = Command::Ack { queue: QUEUE.to_owned(), receipts };
                self.begin(ack, Ok(Reply::Changed { failures }));
                self.states.push(model);
            }
            Op::ChangeVisibility { receipt, ms } if !self.held.is_empty() => {
                let held = self.held[receipt % self.held.len()];
                let (mut model, now) = (self.present().clone(), self.store().now());
                let failed = model.change(&held, *ms, now).err();
                let failures = failed.into_iter().map(|error| (0, error)).collect();
                let changes = vec![(held.receipt, *ms)];
                let change = Command::ChangeVisibility { queue: QUEUE.to_owned(), changes };
                self.begin(change, Ok(Reply::Changed { failures }));
                self.states.push(model);
            }
            Op::Return(receipt) if !self.held.is_empty() => {
                let held = self.held[receipt % self.held.len()];
                let (mut model, now) = (self.present().clone(), self.store().now());
                if model.has_leased(&held, now) {
                    model.messages.get_mut(&held.seq).unwrap().in_flight_until = now;
                }
                let receipts = vec![held.receipt];
                let give_back = Command::ReturnUndelivered { queue: QUEUE.to_owned(), receipts };
                self.begin(give_back, Ok(Reply::Changed { failures: Vec::new() }));
                self.states.push(model);
            }
            Op::Ack(_) | Op::ChangeVisibility { .. } | Op::Return(_) => {}
            // These two show in nothing that a recovered store shows: they are committed at once.
            Op::Delay { ms } => {
                let changes = AttributeChanges { delay_ms: Some(*ms), ..Default::default() };
                let (name, attributes) = (QUEUE.to_owned(), changes.into());
                assert_eq!(self.ask(Command::AlterQueue { name, attributes }), Ok(Reply::Altered));
                self.states.last_mut().expect("there is a state").delay_ms = *ms;
            }
            Op::Purge => {
                let purged = self.ask(Command::PurgeQueue { name: QUEUE.to_owned() });
                let model = self.states.last_mut().expect("there is a state");
                assert_eq!(purged, Ok(Reply::Purged { count: model.messages.len() as u64 }));
                model.messages.clear();
                model.sent.clear();
            }
            // A message is sent when its entry is closed.
            Op::Advance { ms } => {
                self.commit();
                self.clock.advance(*ms);
                self.store().tick();
            }
            Op::Commit => self.commit(),
            Op::Look => self.look(),
            Op::Keep { steps } => {
                for _ in 0..*steps {
                    let is_busy = self.store().keep().unwrap();
                    self.commit();
                    if !is_busy {
                        break;
                    }
                }
            }
            Op::Kill => self.recover(|disk| disk.kill()),
            Op::Crash { seed } => self.recover(|disk| disk.crash(*seed)),
            Op::LoseDerived { which } => self.recover(|disk| {
                disk.kill();
                lose_derived(disk, *which);
            }),
            Op::Reopen => {
                self.commit();
                self.store.take().expect("the store is open").close().unwrap();
                self.recover(|disk| disk.kill());
            }
        }
        self.collect();
    }

    /// Does a command whose answer comes with a commit.
    fn begin(&mut self, command: Command, expected: Answer) {
        let (number, slot) = self.answers.slot();
        self.unanswered.insert(number, expected);
        self.store().handle(command, slot).unwrap();
    }

    /// Commits what there is, does a command, and commits that.
    fn ask(&mut self, command: Command) -> Answer {
        self.commit();
        let store = self.store.as_mut().expect("the store is open between steps");
        let answer = common::ask(store, &mut self.answers, command);
        self.commit();
        answer
    }

    fn commit(&mut self) {
        self.store().commit().unwrap();
        self.collect();
        assert!(self.unanswered.is_empty(), "a commit leaves a command without an answer");
        self.states.drain(..self.states.len() - 1);
    }

    fn collect(&mut self) {
        for (number, answer) in self.answers.take_all() {
            let expected = self.unanswered.remove(&number).expect("an answer is to a command");
            assert_eq!(answer, expected);
        }
    }

    fn receive(&mut self, max: u32, visibility_ms: u64) {
        // Which of the messages that wait for a commit it finds would be left to chance.
        if !self.unanswered.is_empty() {
            self.commit();
        }
        let (mut model, now) = (self.present().clone(), self.store().now());
        let command = Command::Receive {
            queue: QUEUE.to_owned(),
            max,
            wait_ms: Some(0),
            visibility_ms: Some(visibility_ms),
            bytes_max: u64::MAX,
        };
        let (number, slot) = self.answers.slot();
        self.store().handle(command, slot).unwrap();
        let Some(Ok(Reply::Received { deliveries, .. })) = self.answers.take(number) else {
            panic!("a receive is answered at once");
        };
        let mut expected = model.waiting(now);
        expected.truncate(max as usize);
        let given: Vec<u64> = deliveries.iter().map(|delivery| delivery.seq.0).collect();
        assert_eq!(given, expected, "a receive of {max}");
        for Delivery { seq, receipt, receive_count, sent, location, .. } in deliveries {
            self.leases += 1;
            let message = model.messages.get_mut(&seq.0).expect("it was expected");
            message.receive_count += 1;
            (message.lease, message.received) = (self.leases, now);
            message.in_flight_until = now.plus_ms(visibility_ms);
            assert_eq!((receive_count, sent), (message.receive_count, message.sent));
            let stored = self.store.as_ref().expect("the store is open").read(&location);
            assert_eq!(stored.unwrap().payload, message.payload);
            self.held.push(Held { seq: seq.0, lease: self.leases, receipt });
        }
        self.states.push(model);
    }

    /// Compares all contents.
    fn look(&mut self) {
        self.commit();
        let store = self.store.as_mut().expect("the store is open between steps");
        let now = store.now();
        let shown = show(store, &mut self.answers).remove(QUEUE).expect("it was created");
        assert_eq!(
            (shown.next_seq, shown.messages),
            (self.present().next, self.present().show(now))
        );
    }

    /// The process ends; what a new one finds is one of the states since the last commit.
    fn recover(&mut self, fall: impl FnOnce(&SimDisk)) {
        self.collect();
        self.store = None;
        self.unanswered.clear();
        fall(&self.disk);
        let mut store = common::open(&self.disk, &self.clock).unwrap();
        let now = store.now();
        let shown = show(&mut store, &mut self.answers).remove(QUEUE).expect("it was created");
        self.expire(now);
        let found = (shown.next_seq, shown.messages);
        let is_found = |state: &Model| (state.next, state.show(now)) == found;
        let Some(at) = self.states.iter().rposition(is_found) else {
            panic!("recovered {found:#?}\nwhich is none of {:#?}", self.states);
        };
        self.states = vec![self.states.swap_remove(at)];
        self.store = Some(store);
    }

    /// Everything is given in the end, each group in its order.
    fn finish(mut self) {
        self.step(&Op::Reopen);
        self.step(&Op::Look);
        self.step(&Op::Advance { ms: DAY_HALF_MS });
        while !self.present().messages.is_empty() {
            self.step(&Op::Consume { max: 7 });
        }
        self.step(&Op::Look);
        self.store = None;
        common::assert_undamaged(&self.disk);
        common::assert_no_leaked_files(&self.disk);
    }
}

fn sent(seqs: &[u64]) -> Answer {
    use forebay_engine::ids::{QueueId, Seq};

    let (queue, first) = (QueueId(1), Seq(seqs[0]));
    let is_run = (seqs[0]..).zip(seqs).all(|(expected, seq)| expected == *seq);
    Ok(match is_run {
        true => Reply::Sent { queue, first, count: seqs.len() as u32 },
        false => Reply::SentEach { queue, seqs: seqs.iter().map(|seq| Seq(*seq)).collect() },
    })
}
