//! Without this: the compactor would need space to give space back, and a disk that was full once
//! would stay full: its queues drained, its sends refused, until somebody made room by hand.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::BTreeMap;

use client::{Client, DAY_MS, send};
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Reply};
use forebay_engine::verify::Outcome;
use forebay_engine::{Options, RequestError};

const DISK_BYTES: u64 = 1 << 20;

fn options() -> Options {
    Options { segment_bytes: 64 << 10, snapshot_ms: 1_000, ..Options::default() }
}

fn body(number: u64) -> String {
    format!("{number:>8} ").repeat(100)
}

/// A client of a disk that is small, and what its queue must hold.
struct Filled {
    client: Client,
    queue: BTreeMap<u64, String>,
    sent: u64,
}

impl Filled {
    fn new() -> Self {
        let mut client = Client::with(options());
        client.create_for_ever("jobs");
        client.disk.set_capacity(Some(DISK_BYTES));
        Self { client, queue: BTreeMap::new(), sent: 0 }
    }

    fn send(&mut self) -> Result<(), RequestError> {
        let body = body(self.sent + 1);
        self.client.ask(send("jobs", &body, None))?;
        self.sent += 1;
        self.queue.insert(self.sent, body);
        Ok(())
    }

    /// Sends until the disk is full. How many were sent.
    fn fill(&mut self, is_kept: bool) -> u64 {
        let before = self.sent;
        loop {
            match self.send() {
                Ok(()) if is_kept && self.sent.is_multiple_of(20) => self.client.keep_all(),
                Ok(()) => assert!(self.sent - before < 2_000, "1 MiB is full at last"),
                Err(RequestError::StorageFull { .. }) => return self.sent - before,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Receives and acks all but every tenth; some space may have to come back meanwhile.
    fn drain(&mut self) {
        self.drain_to(|seq| seq.is_multiple_of(10));
    }

    fn drain_to(&mut self, stays: impl Fn(u64) -> bool) {
        self.client.advance(DAY_MS);
        while self.queue.keys().any(|seq| !stays(*seq)) {
            let received =
                client::deliveries(self.ask_at_last(client::receive("jobs", 50, 0, DAY_MS / 2)));
            assert!(!received.is_empty(), "{} are left", self.queue.len());
            for delivery in &received {
                assert_eq!(self.client.body(delivery), self.queue[&delivery.seq.0]);
            }
            let acked = received.iter().filter(|delivery| !stays(delivery.seq.0));
            let (seqs, receipts): (Vec<_>, Vec<_>) =
                acked.map(|delivery| (delivery.seq.0, delivery.receipt)).unzip();
            if !receipts.is_empty() {
                let ack = Command::Ack { queue: "jobs".to_owned(), receipts };
                assert_eq!(self.ask_at_last(ack), Ok(Reply::Changed { failures: vec![] }));
                seqs.iter().for_each(|seq| drop(self.queue.remove(seq)));
            }
        }
    }

    /// The reserve for leases and acks may be used up: then what was acked must give some back.
    fn ask_at_last(&mut self, command: Command) -> common::Answer {
        for _ in 0..5 {
            match self.client.ask(command.clone()) {
                Err(RequestError::StorageFull { .. }) => self.client.keep_all(),
                answer => return answer,
            }
        }
        panic!("no space comes back, {} messages are left", self.queue.len());
    }

    /// Everything is there, now and from the log alone.
    fn check(mut self) {
        for is_rebuilt in [false, true] {
            let shown = self.client.show().remove("jobs").unwrap();
            let bodies = |(seq, m): (&u64, &common::Shown)| (*seq, m.body.to_vec());
            let shown: Vec<_> = shown.messages.iter().map(bodies).collect();
            let expected: Vec<_> =
                self.queue.iter().map(|(seq, body)| (*seq, body.clone().into_bytes())).collect();
            assert!(shown == expected, "rebuilt: {is_rebuilt}");
            self.client.disk.set_capacity(None);
            self.client.stop();
            assert_eq!(self.client.verify().outcome, Outcome::Clean);
            common::lose_derived(&self.client.disk, u64::MAX);
            self.client.open().unwrap();
        }
    }
}

fn fill_and_drain(rounds: usize) {
    let mut filled = Filled::new();
    filled.client.keep_all();
    for round in 0..rounds {
        let sent = filled.fill(true);
        assert!(sent > 400, "round {round}: {sent} were sent");
        let used = filled.client.disk.used();
        assert!(used > DISK_BYTES * 3 / 4, "round {round}: {used} bytes are used");
        filled.drain();
        filled.client.keep_all();
        let left = filled.client.disk.used();
        assert!(left < used * 2 / 3, "round {round}: {left} of {used} bytes are used");
        filled.send().unwrap();
        // So that the rounds do not pile up what stays.
        filled.drain_to(|seq| seq.is_multiple_of(100));
        filled.client.keep_all();
    }
    filled.check();
}

#[test]
fn while_the_keeper_keeps_up() {
    fill_and_drain(1);
}

#[test]
fn again_and_again() {
    fill_and_drain(5);
}

#[test]
fn when_the_keeper_comes_to_it_only_then() {
    let mut filled = Filled::new();
    filled.fill(false);
    let used = filled.client.disk.used();
    filled.drain();
    filled.client.keep_all();
    let left = filled.client.disk.used();
    assert!(left < used * 2 / 3, "{left} of {used} bytes are used");
    assert!(filled.fill(true) > 300);
    filled.check();
}

#[test]
fn after_a_restart_on_the_full_disk() {
    let mut filled = Filled::new();
    filled.fill(true);
    filled.client.kill();
    filled.drain();
    filled.client.keep_all();
    let left = filled.client.disk.used();
    assert!(left < DISK_BYTES * 2 / 3, "{left} bytes are used");
    assert!(filled.fill(true) > 300);
    filled.check();
}

#[test]
fn when_nothing_but_the_reserve_is_left_and_the_snapshots_are_new() {
    let mut filled = Filled::new();
    filled.fill(true);
    filled.drain();
    // Two snapshots know of the acks before others take the rest of the disk.
    for visibility_s in [40, 50] {
        let attributes = AttributeChanges {
            visibility_timeout_ms: Some(visibility_s * 1_000),
            ..AttributeChanges::default()
        };
        let alter = Command::AlterQueue { name: "jobs".to_owned(), attributes: attributes.into() };
        filled.client.advance(10_000);
        let snapshots = filled.client.stats().disk.snapshots;
        while filled.client.stats().disk.snapshots == snapshots {
            assert_eq!(filled.client.ask(alter.clone()), Ok(Reply::Altered));
            filled.client.store().keep().unwrap();
        }
    }
    let used = filled.client.disk.used();
    filled.client.disk.set_capacity(Some(used));
    filled.client.keep_all();
    let left = filled.client.disk.used();
    assert!(left < used * 2 / 3, "{left} of {used} bytes are used");
    filled.send().unwrap();
    filled.check();
}

/// Others take what is left on the disk, to the last byte, before anything is acked.
#[test]
fn when_nothing_but_the_reserve_is_left() {
    let mut filled = Filled::new();
    filled.fill(true);
    let used = filled.client.disk.used();
    filled.client.disk.set_capacity(Some(used));
    filled.drain();
    filled.client.keep_all();
    let left = filled.client.disk.used();
    assert!(left < used * 2 / 3, "{left} of {used} bytes are used");
    filled.send().unwrap();
    filled.check();
}
