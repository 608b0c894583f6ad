//! A client of one store on a simulated disk: each command in a word, answers unwrapped.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module that each test file includes and uses in part"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_engine::attributes::{AttributeChanges, RETENTION_MS_MAX};
use forebay_engine::command::{Command, Counts, Delivery, QueueInfo, Reply, StoredMessages};
use forebay_engine::disk::SimDisk;
use forebay_engine::ids::Seq;
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::stats::Stats;
use forebay_engine::verify::{VerifyReport, verify};
use forebay_engine::{
    Clock, OpenError, Opening, Options, RequestError, SimClock, Store, StoredMessage,
};

use crate::common::{
    Answer, Answers, DATA, ShownQueue, Slot, ask, in_group, message, peek, show, tiny,
};

pub const DAY_MS: u64 = 24 * 3600 * 1000;

pub struct Client {
    pub disk: SimDisk,
    pub clock: SimClock,
    pub answers: Answers,
    pub options: Options,
    store: Option<Store<Slot>>,
}

/// A failed step of the keeper is tried again 5 s later, and a snapshot may wait as long.
const KEEPER_PAUSE_MS: u64 = 6_000;

impl Client {
    /// A new store, at a time that leaves room for the past.
    pub fn new() -> Self {
        Self::with(tiny())
    }

    pub fn with(options: Options) -> Self {
        Self::on(SimDisk::new(1), SimClock::new(1_800_000_000_000), options)
    }

    fn on(disk: SimDisk, clock: SimClock, options: Options) -> Self {
        let mut client = Self { disk, clock, answers: Answers::default(), options, store: None };
        client.open().unwrap();
        client
    }

    /// A client of a copy of this one's files, some of them changed; `None` if it cannot be opened.
    pub fn copied(
        &self,
        change: impl FnOnce(&mut BTreeMap<PathBuf, Vec<u8>>),
    ) -> Result<(Self, Opening), OpenError> {
        let mut files = self.files();
        change(&mut files);
        let disk = SimDisk::new(1);
        files.iter().for_each(|(path, bytes)| disk.put(path, bytes).unwrap());
        let clock = SimClock::new(self.clock.wall_ms());
        let (answers, options) = (Answers::default(), self.options.clone());
        let mut client = Self { disk, clock, answers, options, store: None };
        let opening = client.open()?;
        Ok((client, opening))
    }

    /// A client of another disk with the same on it, synced or not; its store is not open.
    pub fn forked(&self) -> Self {
        let (disk, clock) = (self.disk.fork(), SimClock::new(self.clock.wall_ms()));
        disk.kill();
        let (answers, options) = (Answers::default(), self.options.clone());
        Self { disk, clock, answers, options, store: None }
    }

    /// Every file, as a read would show it.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let read = |path: PathBuf| (path.clone(), self.disk.image(&path).unwrap());
        self.disk.files().into_iter().map(read).collect()
    }

    /// The files whose names end so, in their order.
    pub fn files_of(&self, extension: &str) -> Vec<PathBuf> {
        let has = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
        self.disk.files().into_iter().filter(has).collect()
    }

    pub fn store(&mut self) -> &mut Store<Slot> {
        self.store.as_mut().expect("the store is open")
    }

    /// Opens the store, which was closed or killed.
    pub fn open(&mut self) -> Result<Opening, OpenError> {
        assert!(self.store.is_none(), "the store is open");
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::new(self.clock.clone()));
        let (store, opening) = Store::open(disk, clock, Path::new(DATA), self.options.clone())?;
        self.store = Some(store);
        Ok(opening)
    }

    /// Closes the store in order.
    pub fn close(&mut self) {
        self.store.take().expect("the store is open").close().unwrap();
    }

    /// The process is killed; what was not committed is lost.
    pub fn stop(&mut self) {
        self.store = None;
        self.disk.kill();
        self.answers.take_all();
    }

    /// The process is killed and started again: what was not committed is lost.
    pub fn kill(&mut self) {
        self.stop();
        self.open().unwrap();
    }

    /// Lets everything be done that is done beside the log, as far as it can be done now. Time
    /// does not pass.
    pub fn keep(&mut self) {
        for _ in 0..100_000 {
            self.store().commit().unwrap();
            if !self.store().keep().unwrap() {
                return;
            }
        }
        panic!("the keeper never comes to an end");
    }

    /// As [`Client::keep`], also what waits for a while.
    pub fn keep_all(&mut self) {
        let (mut before, mut idle_rounds) = (None, 0);
        for _ in 0..1_000 {
            self.keep();
            // Snapshots do not count: each entry may give rise to one.
            let disk = self.stats().disk;
            let did = (disk.segments_sealed, disk.compactions, disk.index_bytes_written);
            idle_rounds = if before.replace(did) == Some(did) { idle_rounds + 1 } else { 0 };
            if idle_rounds == 4 && !disk.is_compacting {
                return;
            }
            self.clock.advance(KEEPER_PAUSE_MS);
        }
        panic!("the keeper never comes to an end");
    }

    pub fn stats(&mut self) -> Stats {
        match self.ask(Command::Stats) {
            Ok(Reply::Stats(stats)) => *stats,
            other => panic!("{other:?}"),
        }
    }

    /// Everything that the store holds, bodies read and checked.
    pub fn show(&mut self) -> BTreeMap<String, ShownQueue> {
        show(self.store.as_mut().expect("the store is open"), &mut self.answers)
    }

    /// As [`Client::show`]; messages that a damaged index hides are waited for.
    pub fn show_at_last(&mut self) -> BTreeMap<String, ShownQueue> {
        let list = Command::ListQueues { prefix: String::new(), after: String::new(), max: 1000 };
        let Ok(Reply::Listed { queues, .. }) = self.ask(list) else { panic!("they are listed") };
        for queue in queues {
            let (mut from, mut waits) = (Some(Seq(1)), 0);
            while let Some(seq) = from {
                let peeked = self.ask(peek(&queue.name, seq, 100));
                let Ok(Reply::Peeked { messages, next, .. }) = peeked else { panic!("{peeked:?}") };
                if next.is_some() && messages.is_empty() {
                    waits += 1;
                    assert!(waits < 10, "{}: message {seq} stays hidden", queue.name);
                    self.keep();
                }
                from = next;
            }
        }
        self.show()
    }

    pub fn verify(&self) -> VerifyReport {
        verify(&self.disk, Path::new(DATA), &mut |_| {}).unwrap()
    }

    pub fn commit_and_kill(&mut self) {
        self.store().commit().unwrap();
        self.kill();
    }

    /// Lets time pass, and the store notice.
    pub fn advance(&mut self, ms: u64) {
        self.clock.advance(ms);
        self.store().tick();
    }

    pub fn ask(&mut self, command: Command) -> Answer {
        ask(self.store.as_mut().expect("the store is open"), &mut self.answers, command)
    }

    /// Does a command without a commit; its number, for [`Client::answer`].
    pub fn begin(&mut self, command: Command) -> usize {
        let (number, slot) = self.answers.slot();
        self.store().handle(command, slot).unwrap();
        number
    }

    pub fn answer(&mut self, number: usize) -> Option<Answer> {
        self.answers.take(number)
    }

    /// What a receive that was begun has got so far; `None` while it waits.
    pub fn received(&mut self, number: usize) -> Option<Vec<String>> {
        let answer = self.answers.take(number)?;
        let deliveries = deliveries(answer);
        Some(deliveries.iter().map(|delivery| self.body(delivery)).collect())
    }

    pub fn create(&mut self, name: &str) -> u32 {
        self.create_with(name, AttributeChanges::default())
    }

    /// Creates a queue in which nothing expires.
    pub fn create_for_ever(&mut self, name: &str) -> u32 {
        let retention_ms = Some(RETENTION_MS_MAX);
        self.create_with(name, AttributeChanges { retention_ms, ..AttributeChanges::default() })
    }

    pub fn create_with(&mut self, name: &str, attributes: AttributeChanges) -> u32 {
        let create = Command::CreateQueue { name: name.to_owned(), attributes: attributes.into() };
        let Ok(Reply::Created { queue, .. }) = self.ask(create) else { panic!("{name}") };
        queue.0
    }

    /// Sends and returns the message's number.
    pub fn send(&mut self, queue: &str, body: &str) -> u64 {
        self.send_delayed(queue, body, None)
    }

    pub fn send_delayed(&mut self, queue: &str, body: &str, delay_ms: Option<u64>) -> u64 {
        let Ok(Reply::Sent(stored)) = self.ask(send(queue, body, delay_ms)) else {
            panic!("{body} is sent");
        };
        stored.first.0
    }

    /// Creates a FIFO queue.
    pub fn create_fifo(&mut self, name: &str) {
        self.create_with(name, AttributeChanges { fifo: Some(true), ..Default::default() });
    }

    /// Sends messages of groups, each with its deduplication id, in one batch; their numbers.
    pub fn send_in_groups(
        &mut self,
        queue: &str,
        messages: &[(&str, Option<u64>, &str)],
    ) -> Vec<u64> {
        let new =
            |(group, id, body): &(&str, Option<u64>, &str)| in_group(group, *id, body.as_bytes());
        let messages = messages.iter().map(new).collect();
        match self.ask(Command::Send { queue: queue.to_owned(), messages, batch: None }) {
            Ok(Reply::Sent(StoredMessages { first, count, seqs, .. })) if seqs.is_empty() => {
                (first.0..).take(count as usize).collect()
            }
            Ok(Reply::Sent(stored)) => stored.seqs.iter().map(|seq| seq.0).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Sends messages with these bodies, and returns the first one's number.
    pub fn send_all(&mut self, queue: &str, bodies: &[Vec<u8>]) -> u64 {
        let messages = bodies.iter().map(|body| message(body, None)).collect();
        match self.ask(Command::Send { queue: queue.to_owned(), messages, batch: None }) {
            Ok(Reply::Sent(stored)) => stored.first.0,
            other => panic!("{other:?}"),
        }
    }

    /// Receives up to so many messages, leased for that long.
    pub fn receive_max(&mut self, queue: &str, max: u32, visibility_ms: u64) -> Vec<Delivery> {
        deliveries(self.ask(receive(queue, max, 0, visibility_ms)))
    }

    /// Receives up to so many messages and acks those whose numbers are to be.
    pub fn consume(&mut self, queue: &str, max: u32, is_acked: impl Fn(u64) -> bool) -> usize {
        let received = self.receive_max(queue, max, DAY_MS / 2);
        let acked = received.iter().filter(|delivery| is_acked(delivery.seq.0));
        let receipts: Vec<_> = acked.map(|delivery| delivery.receipt).collect();
        if !receipts.is_empty() {
            let acked = self.ask(Command::Ack { queue: queue.to_owned(), receipts });
            assert_eq!(acked, Ok(Reply::Changed { failures: Vec::new() }));
        }
        received.len()
    }

    /// Receives up to ten messages, leased for that long.
    pub fn receive(&mut self, queue: &str, visibility_ms: u64) -> Vec<Delivery> {
        deliveries(self.ask(receive(queue, 10, 0, visibility_ms)))
    }

    /// Receives one message, which must be there.
    pub fn receive_one(&mut self, queue: &str, visibility_ms: u64) -> Delivery {
        let mut received = deliveries(self.ask(receive(queue, 1, 0, visibility_ms)));
        received.pop().expect("a message is there")
    }

    /// The bodies that a receive gets.
    pub fn bodies(&mut self, queue: &str, visibility_ms: u64) -> Vec<String> {
        let received = self.receive(queue, visibility_ms);
        received.iter().map(|delivery| self.body(delivery)).collect()
    }

    pub fn body(&mut self, delivery: &Delivery) -> String {
        body_of(&self.store().read(&delivery.location).unwrap())
    }

    /// Acks one receipt; the error that it failed with.
    pub fn ack(&mut self, queue: &str, receipt: SealedReceipt) -> Result<(), RequestError> {
        let command = Command::Ack { queue: queue.to_owned(), receipts: vec![receipt] };
        first_failure(self.ask(command))
    }

    pub fn change(
        &mut self,
        queue: &str,
        receipt: SealedReceipt,
        ms: u64,
    ) -> Result<(), RequestError> {
        let changes = vec![(receipt, ms)];
        first_failure(self.ask(Command::ChangeVisibility { queue: queue.to_owned(), changes }))
    }

    /// Gives one message back; the error that it failed with.
    pub fn nack(
        &mut self,
        queue: &str,
        receipt: SealedReceipt,
        delay_ms: u64,
        is_counted: bool,
        reason: &str,
    ) -> Result<(), RequestError> {
        let (queue, reason, receipts) = (queue.to_owned(), reason.to_owned(), vec![receipt]);
        first_failure(self.ask(Command::Nack { queue, receipts, delay_ms, is_counted, reason }))
    }

    pub fn describe(&mut self, name: &str) -> QueueInfo {
        match self.ask(Command::DescribeQueue { name: name.to_owned() }) {
            Ok(Reply::Described(info)) => info,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Waiting, in flight, delayed, damaged.
    pub fn counts(&mut self, name: &str) -> [u64; 4] {
        let Counts { waiting, in_flight, delayed, damaged } = self.describe(name).counts;
        [waiting, in_flight, delayed, damaged]
    }
}

pub fn body_of(stored: &StoredMessage) -> String {
    let body = &stored.payload[stored.attributes_bytes as usize..];
    String::from_utf8(body.to_vec()).unwrap()
}

pub fn send(queue: &str, body: &str, delay_ms: Option<u64>) -> Command {
    Command::Send {
        queue: queue.to_owned(),
        messages: vec![message(body.as_bytes(), delay_ms)],
        batch: None,
    }
}

pub fn receive(queue: &str, max: u32, wait_ms: u64, visibility_ms: u64) -> Command {
    Command::Receive {
        queue: queue.to_owned(),
        max,
        wait_ms: Some(wait_ms),
        visibility_ms: Some(visibility_ms),
        bytes_max: u64::MAX,
        attempt: None,
    }
}

pub fn deliveries(answer: Answer) -> Vec<Delivery> {
    match answer {
        Ok(Reply::Received { deliveries, .. }) => deliveries,
        other => panic!("a receive was answered with {other:?}"),
    }
}

fn first_failure(answer: Answer) -> Result<(), RequestError> {
    match answer? {
        Reply::Changed { mut failures } => match failures.pop() {
            None => Ok(()),
            Some((0, error)) => Err(error),
            Some((index, _)) => panic!("one receipt was given, {index} failed"),
        },
        other => panic!("{other:?}"),
    }
}
