//! The load of sends: every connection keeps its window full.
//!
//! A closed loop: a connection sends again when it is answered, so a server that stalls is asked
//! less meanwhile, and the latencies are those of a full window, not of a given rate.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::frames::send_frames;
use crate::measure::Measure;
use crate::pace::Pace;
use crate::wire::{Wire, reply_of};
use crate::workload::Workload;

/// Runs a workload of sends for a time.
pub(crate) async fn send(
    address: &str,
    workload: &Workload,
    counted: Duration,
) -> Result<Measure, BenchError> {
    let mut senders = Vec::new();
    for _ in 0..workload.connections {
        senders.push(Sender::new(Wire::connect(address).await?, workload)?);
    }
    let pace = Pace::start(counted);
    let mut running = JoinSet::new();
    for sender in senders {
        running.spawn(sender.run(pace));
    }
    let mut all = Measure::new();
    while let Some(ended) = running.join_next().await {
        all.add(&ended.map_err(|error| BenchError::new(error.to_string()))??);
    }
    Ok(all)
}

/// A connection that sends.
struct Sender {
    wire: Wire,
    batch: u64,
    frames: Vec<BytesMut>,
    /// When each slot's request was sent.
    sent: Vec<Instant>,
    found: Measure,
}

impl Sender {
    fn new(wire: Wire, workload: &Workload) -> Result<Self, BenchError> {
        let frames = send_frames(workload)?;
        let sent = vec![Instant::now(); frames.len()];
        Ok(Self { wire, batch: u64::from(workload.batch), frames, sent, found: Measure::new() })
    }

    async fn run(mut self, pace: Pace) -> Result<Measure, BenchError> {
        self.found.took = pace.counted();
        let mut out = Vec::new();
        let mut in_flight = self.frames.len();
        (0..in_flight).for_each(|slot| self.queue(slot, &mut out));
        while in_flight > 0 {
            self.wire.write(&out).await?;
            out.clear();
            let mut next = Some(self.wire.read().await?);
            // Whatever came together goes on together.
            while let Some(frame) = next {
                reply_of(&frame)?;
                let slot = frame.correlation as usize - 1;
                let now = Instant::now();
                if pace.counts(now) {
                    self.found.note(self.batch, now - self.sent[slot]);
                }
                if pace.is_over(now) {
                    in_flight -= 1;
                } else {
                    self.queue(slot, &mut out);
                }
                next = self.wire.next_arrived()?;
            }
        }
        Ok(self.found)
    }

    fn queue(&mut self, slot: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.frames[slot]);
        self.sent[slot] = Instant::now();
    }
}
