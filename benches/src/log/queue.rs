//! The engine, asked by one thread.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::checksum;
use forebay_engine::command::{Command, Deduplication, Delivery, NewMessage, Reply, ReplyTo};
use forebay_engine::disk::RealDisk;
use forebay_engine::{Engine, EngineHandle, Options, RequestError, SystemClock};

use super::load::{Kind, Load};
use crate::BenchError;
use crate::frames::random_bytes;
use crate::measure::Measure;
use crate::pace::Pace;
use crate::print;

const QUEUE: &str = "bench";
/// No lease may end during a run, or messages would come twice.
const VISIBILITY_MS: u64 = 3_600_000;
const FILL: Load = Load { kind: Kind::Append, batch: 100, bytes: 0, in_flight: 8 };

/// An open store with one queue.
pub(super) struct Queue {
    engine: Engine<Asked>,
    handle: EngineHandle<Asked>,
    answer_to: Sender<Answer>,
    answers: Receiver<Answer>,
}

/// Who asked: a slot, of which there are as many as requests may be unanswered.
struct Asked {
    slot: usize,
    answer_to: Sender<Answer>,
}

type Answer = (usize, Result<Reply, RequestError>);

impl ReplyTo for Asked {
    fn reply(self, result: Result<Reply, RequestError>) {
        // Nobody listens any more when a run has failed.
        let _ = self.answer_to.send((self.slot, result));
    }

    fn is_gone(&self) -> bool {
        false
    }
}

impl From<RequestError> for BenchError {
    fn from(error: RequestError) -> Self {
        Self::new(format!("the engine answered: {error}"))
    }
}

impl Queue {
    /// Opens an empty store.
    pub(super) fn open(directory: &Path, segment_bytes: u64) -> Result<Self, BenchError> {
        let on_failure = Box::new(|failure| print::note(format_args!("the log failed: {failure}")));
        let options = Options { segment_bytes, ..Options::default() };
        let (disk, clock) = (Arc::new(RealDisk), Arc::new(SystemClock));
        let opened = Engine::open(disk, clock, directory, options, on_failure);
        let (engine, _) = opened.map_err(|error| BenchError::new(error.to_string()))?;
        let (answer_to, answers) = channel();
        let queue = Self { handle: engine.handle(), engine, answer_to, answers };
        let attributes = AttributeChanges {
            visibility_timeout_ms: Some(VISIBILITY_MS),
            ..AttributeChanges::default()
        };
        let attributes = Box::new(attributes);
        queue.ask(0, Command::CreateQueue { name: QUEUE.to_owned(), attributes });
        queue.answer()?;
        Ok(queue)
    }

    /// Closes it.
    pub(super) fn close(self) -> Result<(), BenchError> {
        self.engine.shutdown().map_err(|failure| BenchError::new(failure.to_string()))
    }

    /// Runs a load once.
    pub(super) fn run(&self, load: &Load, counted: Duration) -> Result<Measure, BenchError> {
        match load.kind {
            Kind::Append => self.append(load, Pace::start(counted)),
            Kind::ReceiveAck { messages } => {
                self.fill(load.bytes, messages)?;
                self.receive_and_ack(load)
            }
        }
    }

    fn append(&self, load: &Load, pace: Pace) -> Result<Measure, BenchError> {
        let batches = batches(load)?;
        let mut since = vec![Instant::now(); load.in_flight as usize];
        let mut in_flight = 0;
        for slot in 0..since.len() {
            self.send(slot, &batches);
            in_flight += 1;
        }
        let mut found = Measure::since(pace.from());
        found.took = pace.counted();
        while in_flight > 0 {
            let (slot, _) = self.answer()?;
            let now = Instant::now();
            if pace.counts(now) {
                found.note_at(now, load.batch.into(), now - since[slot]);
            }
            match pace.is_over(now) {
                true => in_flight -= 1,
                false => {
                    since[slot] = now;
                    self.send(slot, &batches);
                }
            }
        }
        Ok(found)
    }

    /// Puts messages into the queue, the last batch a smaller one.
    fn fill(&self, bytes: usize, messages: u32) -> Result<(), BenchError> {
        let batches = batches(&Load { bytes, ..FILL })?;
        let mut left = messages as usize;
        let mut in_flight = 0;
        while left > 0 || in_flight > 0 {
            while left > 0 && in_flight < FILL.in_flight {
                let count = left.min(batches[0].len());
                let messages = batches[0][..count].to_vec();
                self.ask(0, Command::Send { queue: QUEUE.to_owned(), messages, batch: None });
                left -= count;
                in_flight += 1;
            }
            self.answer()?;
            in_flight -= 1;
        }
        Ok(())
    }

    fn receive_and_ack(&self, load: &Load) -> Result<Measure, BenchError> {
        let receive = || Command::Receive {
            queue: QUEUE.to_owned(),
            max: load.batch,
            wait_ms: Some(0),
            visibility_ms: None,
            bytes_max: u64::MAX,
            attempt: None,
        };
        let began = Instant::now();
        let mut found = Measure::since(began);
        // Since when each slot's batch is here, and how many it has.
        let mut acking = vec![(began, 0); load.in_flight as usize];
        let mut in_flight = 0;
        for slot in 0..acking.len() {
            self.ask(slot, receive());
            in_flight += 1;
        }
        while in_flight > 0 {
            let (slot, reply) = self.answer()?;
            match reply {
                Reply::Received { deliveries, .. } if deliveries.is_empty() => in_flight -= 1,
                Reply::Received { deliveries, .. } => {
                    acking[slot] = (Instant::now(), deliveries.len() as u64);
                    self.read(&deliveries)?;
                    let receipts = deliveries.iter().map(|delivery| delivery.receipt).collect();
                    self.ask(slot, Command::Ack { queue: QUEUE.to_owned(), receipts });
                }
                Reply::Changed { failures } if failures.is_empty() => {
                    let ((since, count), now) = (acking[slot], Instant::now());
                    found.note_at(now, count, now - since);
                    self.ask(slot, receive());
                }
                other => return Err(BenchError::new(format!("unexpected answer: {other:?}"))),
            }
        }
        found.took = began.elapsed();
        Ok(found)
    }

    /// Reads messages, as a connection does before it writes them: they are verified.
    fn read(&self, deliveries: &[Delivery]) -> Result<(), BenchError> {
        let locations: Vec<_> =
            deliveries.iter().map(|delivery| delivery.location.clone()).collect();
        for read in self.handle.read_all(&locations) {
            read.map_err(|error| BenchError::new(error.to_string()))?;
        }
        Ok(())
    }

    fn send(&self, slot: usize, batches: &[Vec<NewMessage>]) {
        let messages = batches[slot % batches.len()].clone();
        self.ask(slot, Command::Send { queue: QUEUE.to_owned(), messages, batch: None });
    }

    fn ask(&self, slot: usize, command: Command) {
        let asked = Asked { slot, answer_to: self.answer_to.clone() };
        self.handle.submit(command, asked);
    }

    fn answer(&self) -> Result<(usize, Reply), BenchError> {
        let (slot, result) = self.answers.recv().expect("a sender is kept here");
        Ok((slot, result?))
    }
}

/// Batches of messages that take turns, made before the clock starts, checksums included.
fn batches(load: &Load) -> Result<Vec<Vec<NewMessage>>, BenchError> {
    let message = || -> Result<NewMessage, BenchError> {
        let payload = Bytes::from(random_bytes(load.bytes)?);
        Ok(NewMessage {
            delay_ms: None,
            checksum: checksum::message(0, &payload),
            attributes_bytes: 0,
            payload,
            deduplication: Deduplication::None,
        })
    };
    let batch = |_| (0..load.batch).map(|_| message()).collect::<Result<Vec<_>, _>>();
    (0..load.in_flight.min(16)).map(batch).collect()
}
