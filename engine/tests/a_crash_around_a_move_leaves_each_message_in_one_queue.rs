//! Without this: a power cut in the moment in which a message goes to its dead-letter queue, or back,
//! could leave it in both queues, or in none.
//!
//! A script in which messages die, are redriven, and their segments are compacted is run once for
//! every disk operation in it and every kind of fault, with the fault striking there. Then, and when
//! the script has gone on to its end, every message that was answered must be in exactly one queue,
//! and none that was acked in any; also by the log alone.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Answers, Slot, ask, assert_undamaged, lose_derived, message, open, peek};
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, RedriveState, Reply};
use forebay_engine::disk::{Fault, SimDisk};
use forebay_engine::ids::Seq;
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::{LogFailure, SimClock, Store};

#[derive(Debug, Clone, Copy)]
enum Step {
    Create,
    Send(u32),
    /// Receives from the queue of that name, so that what is received is visible again at once.
    Receive(&'static str),
    /// Acks what was received first of that queue, so many messages.
    Ack(&'static str, usize),
    Keep(u32),
    Redrive,
    Cancel,
    Commit,
}

use Step::*;

const SCRIPT: [Step; 26] = [
    Create,
    Send(6),
    Commit,
    Receive("jobs"),
    Commit,
    Receive("jobs"),
    Keep(4),
    Receive("dead"),
    Ack("dead", 2),
    Send(12),
    Commit,
    Keep(30),
    Receive("jobs"),
    Receive("jobs"),
    Keep(3),
    Commit,
    Redrive,
    Keep(2),
    Cancel,
    Redrive,
    Keep(4),
    Receive("jobs"),
    Ack("jobs", 3),
    Receive("jobs"),
    Keep(30),
    Commit,
];

struct Run {
    disk: SimDisk,
    clock: SimClock,
    store: Option<Store<Slot>>,
    answers: Answers,
    seed: u64,
    /// The first recovery crashes too, after so many operations.
    crash_in_recovery: Option<u64>,
    sent: u32,
    /// Bodies whose sends were answered, by the commands that may yet be.
    sending: BTreeMap<usize, Vec<String>>,
    answered: BTreeSet<String>,
    acking: BTreeMap<usize, Vec<String>>,
    /// Whose acks were begun, and answered.
    perhaps_acked: BTreeSet<String>,
    acked: BTreeSet<String>,
    received: BTreeMap<&'static str, Vec<(String, SealedReceipt)>>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut run = Self {
            disk: SimDisk::new(seed),
            clock: SimClock::new(1_800_000_000_000),
            store: None,
            answers: Answers::default(),
            seed,
            crash_in_recovery: None,
            sent: 0,
            sending: BTreeMap::new(),
            answered: BTreeSet::new(),
            acking: BTreeMap::new(),
            perhaps_acked: BTreeSet::new(),
            acked: BTreeSet::new(),
            received: BTreeMap::new(),
        };
        run.store = Some(open(&run.disk, &run.clock).unwrap());
        run
    }

    fn store(&mut self) -> &mut Store<Slot> {
        self.store.as_mut().unwrap()
    }

    fn step(&mut self, step: Step) {
        if self.try_step(step).is_err() {
            self.recover();
        }
        self.collect();
    }

    fn begin(&mut self, command: Command) -> Result<usize, LogFailure> {
        let (number, slot) = self.answers.slot();
        self.store().handle(command, slot)?;
        Ok(number)
    }

    fn try_step(&mut self, step: Step) -> Result<(), LogFailure> {
        self.clock.advance(10);
        match step {
            Create => {
                let policy = AttributeChanges {
                    dead_letter_queue: Some("dead".to_owned()),
                    receive_count_max: Some(1),
                    ..AttributeChanges::default()
                };
                for (name, attributes) in [("dead", AttributeChanges::default()), ("jobs", policy)]
                {
                    let (name, attributes) = (name.to_owned(), attributes.into());
                    self.begin(Command::CreateQueue { name, attributes })?;
                }
                self.store().commit()
            }
            Send(count) => {
                let bodies: Vec<_> = (0..count).map(|at| self.body(at)).collect();
                self.sent += count;
                for few in bodies.chunks(5) {
                    let messages = few.iter().map(|body| message(body.as_bytes(), None)).collect();
                    let (number, slot) = self.answers.slot();
                    self.sending.insert(number, few.to_vec());
                    let send = Command::Send { queue: "jobs".to_owned(), messages, batch: None };
                    self.store().handle(send, slot)?;
                }
                Ok(())
            }
            Receive(queue) => {
                // An old receipt may be of a message that has moved since.
                self.received.remove(queue);
                let receive = Command::Receive {
                    queue: queue.to_owned(),
                    max: 100,
                    wait_ms: Some(0),
                    visibility_ms: Some(0),
                    bytes_max: u64::MAX,
                    attempt: None,
                };
                let (number, slot) = self.answers.slot_of_the_gone();
                self.store().handle(receive, slot)?;
                let Some(Ok(Reply::Received { deliveries, .. })) = self.answers.take(number) else {
                    return Ok(());
                };
                for delivery in deliveries {
                    let Ok(stored) = self.store().read(&delivery.location) else { continue };
                    let body = String::from_utf8(stored.payload.to_vec()).unwrap();
                    self.received.entry(queue).or_default().push((body, delivery.receipt));
                }
                Ok(())
            }
            Ack(queue, count) => {
                let received = self.received.remove(queue).unwrap_or_default();
                let (bodies, receipts): (Vec<_>, Vec<_>) = received.into_iter().take(count).unzip();
                if receipts.is_empty() {
                    return Ok(());
                }
                self.perhaps_acked.extend(bodies.iter().cloned());
                let (number, slot) = self.answers.slot();
                self.acking.insert(number, bodies);
                self.store().handle(Command::Ack { queue: queue.to_owned(), receipts }, slot)?;
                self.store().commit()
            }
            Keep(steps) => {
                for _ in 0..steps {
                    let is_busy = self.store().keep()?;
                    self.store().commit()?;
                    if !is_busy {
                        break;
                    }
                }
                Ok(())
            }
            Redrive => {
                let (queue, destination) = ("dead".to_owned(), String::new());
                self.begin(Command::StartRedrive { queue, destination, rate: 0 }).map(drop)
            }
            Cancel => match self.running() {
                Some(redrive) => self.begin(Command::CancelRedrive { redrive }).map(drop),
                None => Ok(()),
            },
            Commit => self.store().commit(),
        }
    }

    fn body(&self, at: u32) -> String {
        format!("{:04}", self.sent + at) + &"x".repeat(700)
    }

    fn running(&mut self) -> Option<forebay_engine::ids::RedriveId> {
        let mut answers = std::mem::take(&mut self.answers);
        let listed = ask(self.store(), &mut answers, list());
        self.answers = answers;
        let Ok(Reply::RedrivesListed { redrives }) = listed else { return None };
        redrives.iter().find(|info| info.state == RedriveState::Running).map(|info| info.redrive)
    }

    fn collect(&mut self) {
        for (number, answer) in self.answers.take_all() {
            let (sending, acking) = (self.sending.remove(&number), self.acking.remove(&number));
            match answer {
                Ok(Reply::Sent(_)) => self.answered.extend(sending.unwrap()),
                Ok(Reply::Changed { failures }) => {
                    let failed =
                        |at: usize| failures.iter().any(|(index, _)| *index as usize == at);
                    let bodies = acking.unwrap().into_iter().enumerate();
                    self.acked.extend(bodies.filter(|(at, _)| !failed(*at)).map(|(_, body)| body));
                }
                _ => {}
            }
        }
    }

    /// The process, or the power, fails; then everything must be where it was.
    fn recover(&mut self) {
        self.store = None;
        self.collect();
        self.fall();
        self.disk.clear_faults();
        if let Some(after) = self.crash_in_recovery.take() {
            self.disk.fail_at(self.disk.operations() + after, Fault::Crash);
        }
        let opened = open(&self.disk, &self.clock).or_else(|_| {
            self.fall();
            self.disk.clear_faults();
            open(&self.disk, &self.clock)
        });
        self.disk.clear_faults();
        self.store = Some(opened.unwrap());
        self.sending.clear();
        self.acking.clear();
        self.check();
    }

    fn fall(&mut self) {
        match self.seed.is_multiple_of(2) {
            true => self.disk.crash(self.seed),
            false => self.disk.kill(),
        }
    }

    /// Bodies by queue; those of dead letters are checked against their origin.
    fn contents(&mut self) -> BTreeMap<String, &'static str> {
        let mut answers = std::mem::take(&mut self.answers);
        let mut contents = BTreeMap::new();
        for queue in ["jobs", "dead"] {
            let mut from = Some(Seq(1));
            while let Some(seq) = from {
                // The queue may not have been created.
                let Ok(Reply::Peeked { messages, next, .. }) =
                    ask(self.store(), &mut answers, peek(queue, seq, 50))
                else {
                    break;
                };
                for message in messages {
                    let stored = self.store().read(&message.location).unwrap();
                    let body = String::from_utf8(stored.payload.to_vec()).unwrap();
                    assert_eq!(stored.dead_letter.is_some(), queue == "dead");
                    if let Some(letter) = stored.dead_letter {
                        assert_eq!((&*letter.source, letter.receive_count), ("jobs", 1));
                    }
                    let before = contents.insert(body.clone(), queue);
                    assert_eq!(before, None, "{} is in two places", &body[..4]);
                }
                from = next;
            }
        }
        self.answers = answers;
        contents
    }

    fn check(&mut self) {
        let contents = self.contents();
        for body in &self.answered {
            let is_there = contents.contains_key(body);
            assert!(is_there || self.perhaps_acked.contains(body), "{} is lost", &body[..4]);
        }
        let came_back = self.acked.iter().find(|body| contents.contains_key(*body));
        assert_eq!(came_back.map(|body| &body[..4]), None);
    }

    /// Everything is let die, and redriven, without faults.
    fn finish(mut self) {
        self.disk.clear_faults();
        self.step(Create);
        for _ in 0..2 {
            for step in [Commit, Receive("jobs"), Commit, Receive("jobs"), Keep(60), Commit] {
                self.step(step);
            }
        }
        if self.running().is_none() {
            let all_dead = self.contents().into_values().all(|queue| queue == "dead");
            assert!(all_dead, "what was received once is dead");
        }
        self.step(Redrive);
        self.step(Commit);
        while self.running().is_some() {
            self.step(Keep(1));
        }
        self.check();
        let before = self.contents();
        assert!(before.values().all(|queue| *queue == "jobs"), "and came back");
        self.store = None;
        self.disk.kill();
        lose_derived(&self.disk, u64::MAX);
        assert_undamaged(&self.disk);
        self.store = Some(open(&self.disk, &self.clock).unwrap());
        assert_eq!(self.contents(), before, "the log alone says the same");
        self.check();
    }
}

fn list() -> Command {
    Command::ListRedrives { queue: "dead".to_owned() }
}

/// Runs the script with a fault at one operation; false when it has no such operation.
fn run(fault: Fault, at: u64, seed: u64, then: Option<u64>) -> bool {
    let mut run = Run::new(seed);
    run.crash_in_recovery = then;
    run.disk.fail_at(run.disk.operations() + at, fault);
    let end = run.disk.operations() + at;
    for step in SCRIPT {
        run.step(step);
    }
    let struck = run.disk.operations() > end;
    run.finish();
    struck
}

#[test]
fn whatever_fails_wherever() {
    let seeds = if std::env::var_os("FOREBAY_FULL_SWEEP").is_some() { 16 } else { 1 };
    for fault in [Fault::Crash, Fault::SyncDropsPages, Fault::Io, Fault::Full, Fault::ReadIo] {
        let mut at = 0;
        while (0..seeds).all(|seed| run(fault, at, at + seed, None)) {
            at += 1;
        }
        assert!(at > 50, "{fault:?}: only {at} operations");
    }
}

#[test]
fn also_when_the_recovery_crashes_too() {
    let step = if std::env::var_os("FOREBAY_FULL_SWEEP").is_some() { 1 } else { 5 };
    let mut at = 0;
    while (0..20).step_by(step).all(|then| run(Fault::Crash, at, at + then, Some(then))) {
        at += step as u64;
    }
}
