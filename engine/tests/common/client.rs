//! A client of one store on a simulated disk: each command in a word, answers unwrapped.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module that each test file includes and uses in part"
)]

use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Counts, Delivery, QueueInfo, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::{RequestError, SimClock, Store};

use crate::common::{Answer, Answers, Slot, ask, message, open};

pub const DAY_MS: u64 = 24 * 3600 * 1000;

pub struct Client {
    pub disk: SimDisk,
    pub clock: SimClock,
    pub answers: Answers,
    store: Option<Store<Slot>>,
}

impl Client {
    /// A new store, at a time that leaves room for the past.
    pub fn new() -> Self {
        let (disk, clock) = (SimDisk::new(1), SimClock::new(1_800_000_000_000));
        let store = Some(open(&disk, &clock).unwrap());
        Self { disk, clock, answers: Answers::default(), store }
    }

    pub fn store(&mut self) -> &mut Store<Slot> {
        self.store.as_mut().expect("the store is open")
    }

    /// The process is killed and started again: what was not committed is lost.
    pub fn kill(&mut self) {
        self.store = None;
        self.disk.kill();
        self.store = Some(open(&self.disk, &self.clock).unwrap());
        self.answers.take_all();
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

    pub fn create_with(&mut self, name: &str, attributes: AttributeChanges) -> u32 {
        let create = Command::CreateQueue { name: name.to_owned(), attributes };
        let Ok(Reply::Created { queue, .. }) = self.ask(create) else { panic!("{name}") };
        queue.0
    }

    /// Sends and returns the message's number.
    pub fn send(&mut self, queue: &str, body: &str) -> u64 {
        self.send_delayed(queue, body, None)
    }

    pub fn send_delayed(&mut self, queue: &str, body: &str, delay_ms: Option<u64>) -> u64 {
        let Ok(Reply::Sent { first, .. }) = self.ask(send(queue, body, delay_ms)) else {
            panic!("{body} is sent");
        };
        first.0
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
        let stored = self.store().read(&delivery.location).unwrap();
        String::from_utf8(stored.payload.to_vec()).unwrap()
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

pub fn send(queue: &str, body: &str, delay_ms: Option<u64>) -> Command {
    Command::Send { queue: queue.to_owned(), messages: vec![message(body.as_bytes(), delay_ms)] }
}

pub fn receive(queue: &str, max: u32, wait_ms: u64, visibility_ms: u64) -> Command {
    Command::Receive {
        queue: queue.to_owned(),
        max,
        wait_ms: Some(wait_ms),
        visibility_ms: Some(visibility_ms),
        bytes_max: u64::MAX,
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
