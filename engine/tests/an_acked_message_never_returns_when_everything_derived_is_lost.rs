//! Without this: the compactor could leave out an ack, a purge or a deletion whose message is still
//! in some older segment. Nobody would see it as long as the snapshots are there; on the day when
//! they are lost, deleted messages would come back.
//!
//! Long runs with several queues, acks in any order over many segments, purges, messages that expire,
//! queues deleted and
//! created again under the same name, and several generations of compacted segments. Then indexes
//! and snapshots are deleted, and what the log alone gives must be what a plain list says.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/dice.rs"]
mod dice;

use std::collections::{BTreeMap, BTreeSet};

use client::Client;
use common::{Shown, ShownQueue, lose_derived, tiny};
use dice::Dice;
use forebay_engine::attributes::{AttributeChanges, Attributes, RETENTION_MS_MAX};
use forebay_engine::command::{Command, MessageState, Reply};
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::verify::Outcome;
use forebay_engine::{LogTime, Options};

const QUEUES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const HOUR_MS: u64 = 3_600_000;

/// What must be known of a message.
#[derive(Debug, Clone)]
struct Expected {
    body: Vec<u8>,
    sent: LogTime,
    visible_from: LogTime,
    receive_count: u32,
    first_received: Option<LogTime>,
    /// The newest lease's end.
    until: LogTime,
    reason: Option<String>,
    is_uncounted: bool,
}

#[derive(Debug, Clone)]
struct ExpectedQueue {
    id: u32,
    visibility_timeout_ms: u64,
    retention_ms: u64,
    next: u64,
    messages: BTreeMap<u64, Expected>,
}

/// A store, and a plain list of what must be in it.
struct Run {
    client: Client,
    dice: Dice,
    queues: BTreeMap<&'static str, ExpectedQueue>,
    /// The newest of each message, by queue number and message number.
    receipts: BTreeMap<(u32, u64), (&'static str, SealedReceipt)>,
    ids: BTreeSet<u32>,
}

impl Run {
    fn new(seed: u64, options: Options) -> Self {
        let (queues, receipts, ids) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { client: Client::with(options), dice: Dice::new(seed), queues, receipts, ids }
    }

    fn queue(&mut self) -> &'static str {
        let name = QUEUES[self.dice.below(QUEUES.len() as u64) as usize];
        if !self.queues.contains_key(name) {
            self.create(name);
        }
        name
    }

    fn retention_ms(&mut self) -> u64 {
        [HOUR_MS / 2, 4 * HOUR_MS, 48 * HOUR_MS, RETENTION_MS_MAX][self.dice.below(4) as usize]
    }

    /// What is older than its queue keeps it is gone.
    fn expire(&mut self) {
        let now = self.client.store().now();
        for queue in self.queues.values_mut().filter(|q| q.retention_ms < RETENTION_MS_MAX) {
            let retention_ms = queue.retention_ms;
            queue.messages.retain(|_, message| message.sent.plus_ms(retention_ms) > now);
        }
    }

    fn create(&mut self, name: &'static str) {
        let visibility_timeout_ms = self.dice.below(100) * 1000;
        let retention_ms = self.retention_ms();
        let attributes = AttributeChanges {
            visibility_timeout_ms: Some(visibility_timeout_ms),
            retention_ms: Some(retention_ms),
            ..AttributeChanges::default()
        };
        let id = self.client.create_with(name, attributes);
        assert!(self.ids.insert(id), "queue number {id} was given before");
        assert!(self.ids.iter().all(|before| *before <= id), "numbers ascend");
        let (next, messages) = (1, BTreeMap::new());
        let queue = ExpectedQueue { id, visibility_timeout_ms, retention_ms, next, messages };
        self.queues.insert(name, queue);
    }

    fn step(&mut self) {
        let name = self.queue();
        self.expire();
        match self.dice.below(100) {
            0..40 => self.send(name),
            40..62 => self.receive(name),
            62..85 => self.ack(),
            85..87 => self.change(),
            87..89 => self.give_back(),
            89..91 => self.purge(name),
            91..92 => self.delete(name),
            92..94 => self.alter(name),
            94..97 => {
                let ms = [10, 1_000, 60_000, HOUR_MS][self.dice.below(4) as usize];
                self.client.advance(ms);
            }
            97..98 => self.client.commit_and_kill(),
            98..99 => {
                self.client.close();
                if self.dice.percent(30) {
                    lose_derived(&self.client.disk, self.dice.next());
                }
                self.client.open().unwrap();
            }
            _ => self.client.keep_all(),
        }
        if self.dice.percent(40) {
            self.client.store().commit().unwrap();
            self.client.store().keep().unwrap();
        }
    }

    fn send(&mut self, name: &'static str) {
        for _ in 0..=self.dice.below(5) {
            let bytes = self.dice.below(900) as usize;
            let delay_ms = self.dice.percent(10).then(|| self.dice.below(2 * HOUR_MS));
            let fill = b'a' + self.dice.below(26) as u8;
            let body = vec![fill; bytes];
            let now = self.client.store().now();
            let text = String::from_utf8(body.clone()).unwrap();
            let seq = self.client.send_delayed(name, &text, delay_ms);
            let queue = self.queues.get_mut(name).unwrap();
            assert_eq!(seq, queue.next, "{name}: a number is missing or used again");
            queue.next += 1;
            let expected = Expected {
                body,
                sent: now,
                visible_from: now.plus_ms(delay_ms.unwrap_or(0)),
                receive_count: 0,
                first_received: None,
                until: LogTime(0),
                reason: None,
                is_uncounted: false,
            };
            queue.messages.insert(seq, expected);
        }
    }

    fn receive(&mut self, name: &'static str) {
        let (max, visibility_ms) = (1 + self.dice.below(12), self.dice.below(2 * HOUR_MS));
        self.receive_max(name, max as u32, visibility_ms);
    }

    fn receive_max(&mut self, name: &'static str, max: u32, visibility_ms: u64) -> usize {
        let now = self.client.store().now();
        let received = self.client.receive_max(name, max, visibility_ms);
        let queue = self.queues.get_mut(name).unwrap();
        let count = received.len();
        for delivery in received {
            let seq = delivery.seq.0;
            let expected = queue.messages.get_mut(&seq);
            let expected = expected.unwrap_or_else(|| panic!("{name}: {seq} came back"));
            assert!(expected.visible_from <= now && expected.until <= now, "{name}: {seq}");
            expected.receive_count += 1;
            expected.is_uncounted = false;
            expected.first_received.get_or_insert(now);
            expected.until = now.plus_ms(visibility_ms);
            assert_eq!(
                (delivery.receive_count, delivery.sent, Some(delivery.first_received)),
                (expected.receive_count, expected.sent, expected.first_received),
                "{name}: {seq}"
            );
            self.receipts.insert((queue.id, seq), (name, delivery.receipt));
        }
        count
    }

    /// The newest receipt of some message that is there.
    fn take_receipt(&mut self) -> Option<(&'static str, u64, SealedReceipt)> {
        let at = self.dice.below(self.receipts.len().max(1) as u64) as usize;
        let (id, seq) = *self.receipts.keys().nth(at)?;
        let (name, receipt) = self.receipts.remove(&(id, seq))?;
        let queue = self.queues.get(name).filter(|queue| queue.id == id)?;
        queue.messages.contains_key(&seq).then_some((name, seq, receipt))
    }

    fn ack(&mut self) {
        for _ in 0..=self.dice.below(9) {
            let Some((name, seq, receipt)) = self.take_receipt() else { continue };
            self.client.ack(name, receipt).unwrap();
            self.queues.get_mut(name).unwrap().messages.remove(&seq);
        }
    }

    fn change(&mut self) {
        let Some((name, seq, receipt)) = self.take_receipt() else { return };
        let ms = self.dice.below(HOUR_MS);
        let now = self.client.store().now();
        // Not beyond twelve hours from the receive.
        if self.client.change(name, receipt, ms).is_ok() {
            let expected = self.queues.get_mut(name).unwrap().messages.get_mut(&seq).unwrap();
            expected.until = now.plus_ms(ms);
        }
    }

    fn give_back(&mut self) {
        let Some((name, seq, receipt)) = self.take_receipt() else { return };
        let (ms, is_counted) = (self.dice.below(HOUR_MS), self.dice.percent(50));
        let reason = ["", "poison", "busy"][self.dice.below(3) as usize];
        let now = self.client.store().now();
        // Not beyond twelve hours from the receive.
        if self.client.nack(name, receipt, ms, is_counted, reason).is_ok() {
            let expected = self.queues.get_mut(name).unwrap().messages.get_mut(&seq).unwrap();
            expected.until = now.plus_ms(ms);
            expected.receive_count -= u32::from(!is_counted);
            expected.is_uncounted = !is_counted;
            if !reason.is_empty() {
                expected.reason = Some(reason.to_owned());
            }
        }
    }

    fn purge(&mut self, name: &'static str) {
        let queue = self.queues.get_mut(name).unwrap();
        let count = queue.messages.len() as u64;
        queue.messages.clear();
        let purged = self.client.ask(Command::PurgeQueue { name: name.to_owned() });
        assert_eq!(purged, Ok(Reply::Purged { count }), "{name}");
    }

    fn delete(&mut self, name: &'static str) {
        self.queues.remove(name);
        let deleted = self.client.ask(Command::DeleteQueue { name: name.to_owned() });
        assert_eq!(deleted, Ok(Reply::Deleted));
        if self.dice.percent(60) {
            self.create(name);
        }
    }

    fn alter(&mut self, name: &'static str) {
        let visibility_timeout_ms = self.dice.below(100) * 1000;
        let retention_ms = self.retention_ms();
        let attributes = AttributeChanges {
            visibility_timeout_ms: Some(visibility_timeout_ms),
            retention_ms: Some(retention_ms),
            ..AttributeChanges::default()
        };
        let alter = Command::AlterQueue { name: name.to_owned(), attributes: attributes.into() };
        assert_eq!(self.client.ask(alter), Ok(Reply::Altered));
        let queue = self.queues.get_mut(name).unwrap();
        (queue.visibility_timeout_ms, queue.retention_ms) = (visibility_timeout_ms, retention_ms);
        self.expire();
    }

    /// What the store must show.
    fn expected(&mut self) -> BTreeMap<String, ShownQueue> {
        self.expire();
        let now = self.client.store().now();
        let shown = |expected: &Expected| Shown {
            state: match expected {
                Expected { until, .. } if *until > now => MessageState::InFlight { until: *until },
                Expected { receive_count: 0, visible_from, .. } if *visible_from > now => {
                    MessageState::Delayed
                }
                _ => MessageState::Waiting,
            },
            delayed_until: Some(expected.visible_from)
                .filter(|visible_from| expected.receive_count == 0 && *visible_from > now),
            receive_count: expected.receive_count,
            reason: expected.reason.clone(),
            letter: None,
            body: expected.body.clone().into(),
        };
        let queues = self.queues.iter().map(|(name, queue)| {
            let messages = queue.messages.iter().map(|(seq, e)| (*seq, shown(e))).collect();
            let ExpectedQueue { id, visibility_timeout_ms, retention_ms, next, .. } = *queue;
            let next_seq = next;
            let attributes =
                Attributes { visibility_timeout_ms, retention_ms, ..Attributes::default() };
            ((*name).to_owned(), ShownQueue { id, attributes, next_seq, messages })
        });
        queues.collect()
    }

    /// Everything is received, which tells of counts and times.
    fn drain(&mut self) {
        self.client.advance(13 * HOUR_MS);
        self.expire();
        for name in QUEUES {
            let Some(queue) = self.queues.get(name) else { continue };
            let mut left = queue.messages.len();
            while left > 0 {
                let received = self.receive_max(name, 100, 12 * HOUR_MS);
                assert!(received > 0, "{name}: {left} do not come");
                left -= received;
            }
        }
    }
}

fn compactions_and_generations(client: &mut Client) -> (u64, u32) {
    let generation = |path: &std::path::PathBuf| {
        let stem = path.file_stem()?.to_str()?.split_once('-')?.1;
        u32::from_str_radix(stem, 16).ok()
    };
    let newest = client.files_of("log").iter().filter_map(generation).max();
    (client.stats().disk.compactions, newest.unwrap_or(0))
}

fn run(seed: u64, steps: usize, options: Options) -> (u64, u32) {
    let mut run = Run::new(seed, options);
    let mut seen = (0, 0);
    for step in 0..steps {
        run.step();
        if step % 50 == 0 {
            let expected = run.expected();
            assert_eq!(run.client.show(), expected, "seed {seed}, step {step}");
        }
        if step % 200 == 199 {
            run.client.keep_all();
            let (compactions, generation) = compactions_and_generations(&mut run.client);
            seen = (seen.0 + compactions, seen.1.max(generation));
            run.client.stop();
            assert_eq!(run.client.verify().outcome, Outcome::Clean, "seed {seed}, step {step}");
            lose_derived(&run.client.disk, u64::MAX);
            run.client.open().unwrap();
            let expected = run.expected();
            assert_eq!(run.client.show(), expected, "seed {seed}, step {step}: from the log alone");
        }
    }
    run.client.keep_all();
    run.client.stop();
    lose_derived(&run.client.disk, u64::MAX);
    run.client.open().unwrap();
    run.drain();
    seen
}

/// More runs with `FOREBAY_FULL_SWEEP`.
fn seeds() -> u64 {
    if std::env::var_os("FOREBAY_FULL_SWEEP").is_some() { 300 } else { 12 }
}

#[test]
fn when_everything_is_compacted_as_early_as_possible() {
    let (mut compactions, mut generation) = (0, 0);
    for seed in 0..seeds() {
        let seen = run(seed, 600, tiny());
        (compactions, generation) = (compactions + seen.0, generation.max(seen.1));
    }
    assert!(compactions > 100 && generation > 3, "{compactions} compactions, to {generation}");
}

#[test]
fn when_little_is_compacted() {
    let mut compactions = 0;
    for seed in 1000..1000 + seeds() {
        let options = Options { garbage_percent: 40, garbage_segment_percent: 50, ..tiny() };
        compactions += run(seed, 600, options).0;
    }
    assert!(compactions > 20, "{compactions} compactions");
}
