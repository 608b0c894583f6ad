//! The load of sends, over connections that each have at most a window of requests unanswered.
//!
//! *A closed loop*, where no rate is given: a connection sends again when it is answered, so a server that
//! stalls is asked less meanwhile, and the latencies are those of a full window, not of a given rate.
//! *An open loop* at a given rate: a latency counts from when a send was due (`due.rs`). If the window is
//! full then, it waits, and that counts too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use forebay_protocol::{Frame, Reply};
use tokio::task::JoinSet;

use crate::BenchError;
use crate::due::{Due, Timer};
use crate::frames::{correlation, send_frames};
use crate::journeys::Journeys;
use crate::measure::Measure;
use crate::outstanding::Outstanding;
use crate::pace::Pace;
use crate::wire::{Wire, reply_of};
use crate::workload::Workload;

/// So long after the end of a run what was due in it is still sent and waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a workload of sends for a time.
pub(crate) async fn send(
    address: &str,
    workload: &Workload,
    counted: Duration,
) -> Result<Measure, BenchError> {
    let senders = senders(address, workload, &Watched::default()).await?;
    let pace = Pace::start(counted);
    join(senders.into_iter().map(|sender| sender.run(pace))).await
}

/// What is to be known of what is sent, besides answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) outstanding: Option<Arc<Outstanding>>,
    pub(crate) journeys: Option<Arc<Journeys>>,
}

/// A workload's senders, connected and ready.
pub(crate) async fn senders(
    address: &str,
    workload: &Workload,
    watched: &Watched,
) -> Result<Vec<Sender>, BenchError> {
    let frames = send_frames(workload)?;
    let mut senders = Vec::new();
    for number in 0..workload.connections {
        let wire = Wire::connect(address).await?;
        senders.push(Sender {
            wire,
            workload: *workload,
            number,
            next_frame: number * frames.len() / workload.connections,
            frames: Arc::clone(&frames),
            since: vec![Instant::now(); workload.window],
            free: (0..workload.window).rev().collect(),
            watched: watched.clone(),
            found: Measure::new(),
        });
    }
    Ok(senders)
}

/// What all connections found together.
pub(crate) async fn join<R>(running: impl Iterator<Item = R>) -> Result<Measure, BenchError>
where
    R: Future<Output = Result<Measure, BenchError>> + Send + 'static,
{
    let mut running: JoinSet<_> = running.collect();
    let mut all = Measure::new();
    while let Some(ended) = running.join_next().await {
        all.add(&ended.map_err(|error| BenchError::new(error.to_string()))??);
    }
    Ok(all)
}

/// A connection that sends.
#[derive(Debug)]
pub(crate) struct Sender {
    wire: Wire,
    workload: Workload,
    number: usize,
    frames: Arc<[BytesMut]>,
    next_frame: usize,
    /// Since when the latency of each slot's request counts.
    since: Vec<Instant>,
    /// Slots without a request.
    free: Vec<usize>,
    watched: Watched,
    found: Measure,
}

impl Sender {
    /// Sends until the pace is over, and returns when everything is answered.
    pub(crate) async fn run(mut self, pace: Pace) -> Result<Measure, BenchError> {
        self.found = Measure::since(pace.from());
        self.found.took = pace.counted();
        match self.workload.rate {
            None => self.run_closed(pace).await?,
            Some(rate) => self.run_open(pace, rate).await?,
        }
        Ok(self.found)
    }

    async fn run_closed(&mut self, pace: Pace) -> Result<(), BenchError> {
        let batch = self.workload.batch;
        let outstanding = self.watched.outstanding.clone();
        let may_send = || match &outstanding {
            Some(outstanding) => outstanding.try_begin(batch),
            None => true,
        };
        let mut out = Vec::new();
        loop {
            let now = Instant::now();
            let is_over = pace.is_over(now);
            let mut is_held_up = false;
            while !is_over && !self.free.is_empty() && !is_held_up {
                is_held_up = !may_send();
                if !is_held_up {
                    self.queue(now, &mut out);
                }
            }
            self.write(&mut out).await?;
            let in_flight = self.free.len() < self.since.len();
            if is_over && !in_flight {
                return Ok(());
            }
            match &outstanding {
                Some(outstanding) if is_held_up => tokio::select! {
                    frame = self.wire.read() => self.take_all(frame?, pace)?,
                    () = outstanding.room(batch) => {}
                    // Or it would wait for consumers who wait for nothing but the end.
                    () = tokio::time::sleep_until(pace.until().into()) => {}
                },
                _ => {
                    let frame = self.wire.read().await?;
                    self.take_all(frame, pace)?;
                }
            }
        }
    }

    async fn run_open(&mut self, pace: Pace, rate: u32) -> Result<(), BenchError> {
        let Workload { batch, connections, .. } = self.workload;
        let mut due = Due::new(pace.began(), rate, batch, self.number, connections);
        let timer = Timer::new()?;
        let give_up = pace.until() + PATIENCE;
        let mut out = Vec::new();
        loop {
            let now = Instant::now();
            while due.next() <= now.min(pace.until()) && !self.free.is_empty() {
                if let Some(outstanding) = &self.watched.outstanding {
                    outstanding.try_begin(batch);
                }
                self.queue(due.take(), &mut out);
            }
            self.write(&mut out).await?;
            let in_flight = self.free.len() < self.since.len();
            let is_more_due = due.next() <= pace.until();
            if !in_flight && !is_more_due {
                return Ok(());
            }
            if now >= give_up {
                return self.give_up(now, pace, due);
            }
            let waits_for_due = is_more_due && !self.free.is_empty();
            let next = if waits_for_due { due.next() } else { give_up };
            tokio::select! {
                frame = self.wire.read() => self.take_all(frame?, pace)?,
                waited = timer.wait(next) => waited?,
            }
        }
    }

    /// Notes for all that is not answered how long it has waited, which is less than it would have.
    fn give_up(&mut self, now: Instant, pace: Pace, mut due: Due) -> Result<(), BenchError> {
        if self.watched.outstanding.is_some() {
            let text =
                "the server is too slow for this rate: what was due has not come in 10 s more";
            return Err(BenchError::new(text));
        }
        let is_free = |slot: &usize| self.free.contains(slot);
        let in_flight: Vec<Instant> =
            (0..self.since.len()).filter(|slot| !is_free(slot)).map(|s| self.since[s]).collect();
        let unsent = std::iter::from_fn(|| (due.next() <= pace.until()).then(|| due.take()));
        for since in in_flight.into_iter().chain(unsent) {
            if pace.counts(since) {
                self.found.note_latency(now - since);
                self.found.unanswered += 1;
            }
        }
        Ok(())
    }

    /// Takes a slot and a frame for it.
    fn queue(&mut self, since: Instant, out: &mut Vec<(u32, usize)>) {
        let slot = self.free.pop().expect("it was looked for");
        out.push((correlation(slot), self.next_frame));
        self.next_frame = (self.next_frame + 1) % self.frames.len();
        self.since[slot] = since;
    }

    async fn write(&mut self, out: &mut Vec<(u32, usize)>) -> Result<(), BenchError> {
        let frames = &self.frames;
        let numbered = out.drain(..).map(|(number, at)| (number, &frames[at][..]));
        self.wire.write_numbered(numbered).await
    }

    /// Takes an answer and whatever came together with it, which goes on together.
    fn take_all(&mut self, frame: Frame, pace: Pace) -> Result<(), BenchError> {
        let now = Instant::now();
        let mut next = Some(frame);
        while let Some(frame) = next {
            // First what it says: a server that is leaving says so to no request.
            let sent = match reply_of(&frame)? {
                Reply::Sent(sent) => sent,
                other => return Err(BenchError::new(format!("unexpected answer: {other:?}"))),
            };
            let slot = (frame.correlation as usize).checked_sub(1);
            let Some((slot, since)) = slot.and_then(|slot| Some((slot, *self.since.get(slot)?)))
            else {
                let text =
                    format!("an answer to request {}, which was not made", frame.correlation);
                return Err(BenchError::new(text));
            };
            if let Some(journeys) = &self.watched.journeys {
                journeys.sent(sent.queue_id, sent.first_seq, sent.count, since, pace);
            }
            if pace.counts(now) {
                self.found.count_at(now, self.workload.batch.into());
            }
            // In a closed loop what was asked for before the time that counts is answered in it.
            let counts = if self.workload.rate.is_some() { since } else { now };
            if pace.counts(counts) {
                self.found.note_latency(now - since);
            }
            self.free.push(slot);
            next = self.wire.next_arrived()?;
        }
        Ok(())
    }
}
