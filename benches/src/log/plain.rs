//! As many bytes as the engine is given, written and synced to a file that was prepared before.
//!
//! What was asked for while one sync ran is written at once and shares the next, as in the engine: one
//! thread asks, and one writes. If no more than one request is unanswered at a time, the thread that asks
//! writes itself.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use forebay_engine::receipt::SealedReceipt;

use super::load::{Kind, Load};
use crate::BenchError;
use crate::frames::random_bytes;
use crate::measure::Measure;
use crate::pace::Pace;
use crate::plain_file::PlainFile;

/// The file.
pub(super) struct Plain(PlainFile);

impl Plain {
    /// Prepares it.
    pub(super) fn create(path: &Path, bytes: u64) -> Result<Self, BenchError> {
        Ok(Self(PlainFile::create(path, bytes)?))
    }

    /// Runs a load once.
    pub(super) fn run(&mut self, load: &Load, counted: Duration) -> Result<Measure, BenchError> {
        let batch = load.batch as usize;
        let (bytes, pace, requests) = match load.kind {
            Kind::Append => (batch * load.bytes, Pace::start(counted), u64::MAX),
            Kind::ReceiveAck { messages } => {
                let requests = u64::from(messages.div_ceil(load.batch));
                (batch * SealedReceipt::BYTES, Pace::all_from_now(), requests)
            }
        };
        let mut request = BytesMut::from(&random_bytes(bytes)?[..]);
        let mut found = match load.in_flight {
            1 => self.alone(&mut request, load, pace, requests)?,
            _ => self.grouped(&request, load, pace, requests)?,
        };
        found.took = match load.kind {
            Kind::Append => pace.counted(),
            Kind::ReceiveAck { .. } => pace.from().elapsed(),
        };
        Ok(found)
    }

    fn alone(
        &mut self,
        request: &mut BytesMut,
        load: &Load,
        pace: Pace,
        requests: u64,
    ) -> Result<Measure, BenchError> {
        let mut found = Measure::since(pace.from());
        let mut since = Instant::now();
        for _ in 0..requests {
            if pace.is_over(since) {
                break;
            }
            self.append(request, 0)?;
            let now = Instant::now();
            if pace.counts(now) {
                found.note_at(now, load.batch.into(), now - since);
            }
            since = now;
        }
        Ok(found)
    }

    fn grouped(
        &mut self,
        request: &[u8],
        load: &Load,
        pace: Pace,
        requests: u64,
    ) -> Result<Measure, BenchError> {
        let (asks, asked) = channel();
        let (answers, answered) = channel();
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || self.write(request, &asked, &answers));
            let found = ask(load, pace, requests, asks, &answered);
            let wrote = writer.join().map_err(|_| BenchError::new("the writer panicked"))?;
            // Why there were no more answers is the writer's to say.
            wrote.and(found)
        })
    }

    /// Writes what is asked for until nobody asks any more.
    fn write(
        &mut self,
        request: &[u8],
        asked: &Receiver<usize>,
        answers: &Sender<Vec<usize>>,
    ) -> Result<(), BenchError> {
        let mut bytes = BytesMut::new();
        while let Ok(first) = asked.recv() {
            let group: Vec<usize> = std::iter::once(first).chain(asked.try_iter()).collect();
            bytes.clear();
            let start = self.0.start_in(&bytes);
            bytes.resize(start, 0);
            group.iter().for_each(|_| bytes.extend_from_slice(request));
            self.append(&mut bytes, start)?;
            if answers.send(group).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &mut BytesMut, start: usize) -> Result<(), BenchError> {
        self.0.append(bytes, start)?;
        self.0.sync()
    }
}

/// Asks for as many at a time as may be unanswered.
fn ask(
    load: &Load,
    pace: Pace,
    requests: u64,
    asks: Sender<usize>,
    answered: &Receiver<Vec<usize>>,
) -> Result<Measure, BenchError> {
    let gone = || BenchError::new("the writer ended");
    let mut found = Measure::since(pace.from());
    let mut since = vec![Instant::now(); load.in_flight as usize];
    let (mut left, mut in_flight) = (requests, 0);
    for slot in 0..since.len().min(usize::try_from(requests).unwrap_or(usize::MAX)) {
        asks.send(slot).map_err(|_| gone())?;
        in_flight += 1;
        left -= 1;
    }
    while in_flight > 0 {
        let group = answered.recv().map_err(|_| gone())?;
        let now = Instant::now();
        for slot in group {
            if pace.counts(now) {
                found.note_at(now, load.batch.into(), now - since[slot]);
            }
            if left > 0 && !pace.is_over(now) {
                since[slot] = now;
                left -= 1;
                asks.send(slot).map_err(|_| gone())?;
            } else {
                in_flight -= 1;
            }
        }
    }
    Ok(found)
}
