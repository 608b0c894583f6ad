//! Without this: the compactor could leave out that a message had moved while an older segment still
//! holds it in its old queue; on the day when the snapshots are lost it would be in both.
//!
//! Long runs in which messages are sent, received, acked, die in a chain of queues and are redriven,
//! over many segments and several generations of compacted ones. Then indexes and snapshots are
//! deleted, and what the log alone gives must be what the store said before.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/dice.rs"]
mod dice;
#[path = "common/letters.rs"]
mod letters;

use std::collections::{BTreeMap, BTreeSet};

use client::Client;
use common::{ShownQueue, lose_derived, tiny};
use dice::Dice;
use forebay_engine::Options;
use forebay_engine::command::{Command, RedriveInfo, RedriveState};
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::verify::Outcome;
use letters::{alter, list, policy, start_command};

/// The dead letters of each go to the one behind it.
const QUEUES: [&str; 3] = ["jobs", "dead", "cemetery"];

type Contents = (BTreeMap<String, ShownQueue>, Vec<Vec<RedriveInfo>>);

struct Run {
    client: Client,
    dice: Dice,
    sent: u64,
    /// Bodies that are neither acked nor purged.
    live: BTreeSet<String>,
    receipts: Vec<(&'static str, u64, String, SealedReceipt)>,
    moves: u64,
}

impl Run {
    fn new(seed: u64, options: Options) -> Self {
        let mut client = Client::with(options);
        for name in QUEUES {
            client.create(name);
        }
        for pair in QUEUES.windows(2) {
            alter(&mut client, pair[0], policy(pair[1], 1 + seed % 3));
        }
        let (live, receipts) = (BTreeSet::new(), Vec::new());
        Self { client, dice: Dice::new(seed), sent: 0, live, receipts, moves: 0 }
    }

    fn step(&mut self) {
        let queue = QUEUES[self.dice.below(3) as usize];
        match self.dice.below(100) {
            0..25 => self.send(),
            25..60 => self.receive(queue),
            60..75 => self.ack(),
            75..82 => {
                let rate = [0, 5, 500][self.dice.below(3) as usize];
                let to = ["", "jobs"][self.dice.below(2) as usize];
                // Refused while one runs, or where nothing dies.
                let _ = self.client.ask(start_command(queue, to, rate));
            }
            82..84 => {
                let newest = list(&mut self.client, queue).into_iter().next();
                if let Some(info) = newest.filter(|info| info.state == RedriveState::Running) {
                    let redrive = info.redrive;
                    self.client.ask(Command::CancelRedrive { redrive }).unwrap();
                }
            }
            84..85 => self.purge(queue),
            85..92 => self.client.advance(1 + self.dice.below(900)),
            92..94 => self.client.commit_and_kill(),
            94..96 => {
                self.client.close();
                if self.dice.percent(30) {
                    lose_derived(&self.client.disk, self.dice.next());
                }
                self.client.open().unwrap();
            }
            96..98 => self.client.keep(),
            _ => self.client.keep_all(),
        }
        if self.dice.percent(50) {
            self.client.store().commit().unwrap();
            self.client.store().keep().unwrap();
        }
    }

    fn send(&mut self) {
        for _ in 0..=self.dice.below(5) {
            self.sent += 1;
            let body = format!("{:06}", self.sent) + &"x".repeat(self.dice.below(800) as usize);
            self.client.send("jobs", &body);
            self.live.insert(body);
        }
    }

    fn receive(&mut self, queue: &'static str) {
        let max = 1 + self.dice.below(10) as u32;
        for delivery in self.client.receive_max(queue, max, self.dice.below(100)) {
            let body = self.client.body(&delivery);
            assert!(self.live.contains(&body), "{} came back", &body[..6]);
            self.receipts.push((queue, delivery.seq.0, body, delivery.receipt));
        }
    }

    /// Acks what is where it was received: an old receipt may be of a message that has moved.
    fn ack(&mut self) {
        let shown = self.show();
        for (queue, seq, body, receipt) in std::mem::take(&mut self.receipts) {
            let is_there = shown[queue].messages.contains_key(&seq);
            if is_there && self.dice.percent(60) && self.client.ack(queue, receipt).is_ok() {
                self.live.remove(&body);
            }
        }
    }

    fn purge(&mut self, queue: &'static str) {
        for message in self.show()[queue].messages.values() {
            self.live.remove(std::str::from_utf8(&message.body).unwrap());
        }
        self.client.ask(Command::PurgeQueue { name: queue.to_owned() }).unwrap();
    }

    /// What has moved is shown when that is durable.
    fn show(&mut self) -> BTreeMap<String, ShownQueue> {
        self.client.store().commit().unwrap();
        self.client.show()
    }

    /// What the store shows, having been checked: each live message is in one queue.
    fn contents(&mut self) -> Contents {
        let shown = self.show();
        let bodies = shown.values().flat_map(|queue| queue.messages.values());
        let mut bodies: Vec<_> = bodies.map(|shown| shown.body.clone()).collect();
        bodies.sort();
        let live: Vec<_> = self.live.iter().map(|body| body.as_bytes()).collect();
        assert!(bodies.iter().eq(live.iter()), "{} of {}", bodies.len(), live.len());
        let redrives = QUEUES.map(|queue| list(&mut self.client, queue));
        self.moves += redrives.iter().flatten().map(|info| info.moved).sum::<u64>();
        (shown, redrives.to_vec())
    }

    fn compare_with_the_log_alone(&mut self) {
        self.client.keep();
        self.client.store().commit().unwrap();
        let before = self.contents();
        self.client.stop();
        assert_eq!(self.client.verify().outcome, Outcome::Clean);
        lose_derived(&self.client.disk, u64::MAX);
        self.client.open().unwrap();
        assert_eq!(self.contents(), before);
    }
}

fn run(seed: u64, steps: usize, options: Options) -> (u64, u64) {
    let mut run = Run::new(seed, options);
    let mut compactions = 0;
    for step in 0..steps {
        run.step();
        if step % 40 == 0 {
            run.contents();
        }
        if step % 150 == 149 {
            run.client.keep_all();
            compactions += run.client.stats().disk.compactions;
            run.compare_with_the_log_alone();
        }
    }
    (compactions, run.moves)
}

/// More runs with `FOREBAY_FULL_SWEEP`.
fn seeds() -> u64 {
    if std::env::var_os("FOREBAY_FULL_SWEEP").is_some() { 300 } else { 12 }
}

#[test]
fn when_everything_is_compacted_as_early_as_possible() {
    let (mut compactions, mut moves) = (0, 0);
    for seed in 0..seeds() {
        let seen = run(seed, 450, tiny());
        (compactions, moves) = (compactions + seen.0, moves + seen.1);
    }
    assert!(compactions > 50 && moves > 500, "{compactions} compactions, {moves} moves");
}

#[test]
fn when_little_is_compacted() {
    let options = || Options { garbage_percent: 40, garbage_segment_percent: 50, ..tiny() };
    let compactions: u64 = (1000..1000 + seeds()).map(|seed| run(seed, 450, options()).0).sum();
    assert!(compactions > 5, "{compactions} compactions");
}
