//! The load of sends by the client library: messages are pushed one by one into its producer, which
//! makes the batches and keeps its window full, at its own defaults.
//!
//! What the library costs is part of these figures, on both servers. A latency is that of a message, from
//! before it is pushed, so with the time that it waits for room in the window.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_protocol::OutgoingMessage;
use forebay_protocol::client::{Client, ClientError, ClientOptions, Producer, ProducerOptions};

use crate::frames::random_bytes;
use crate::measure::Measure;
use crate::pace::Pace;
use crate::workload::Workload;
use crate::{BenchError, send};

/// Bodies that take turns.
const BODIES: usize = 64;

impl From<ClientError> for BenchError {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

/// Runs a workload of pushed messages for a time.
pub(crate) async fn send(
    address: &str,
    workload: &Workload,
    counted: Duration,
) -> Result<Measure, BenchError> {
    let bodies: Vec<Bytes> = (0..BODIES)
        .map(|_| random_bytes(workload.bytes).map(Bytes::from))
        .collect::<Result<_, BenchError>>()?;
    let mut producers = Vec::new();
    for number in 0..workload.connections {
        let client = Client::connect(address, ClientOptions::default()).await?;
        let queue = workload.queue_name(number % workload.queues);
        producers.push(Producer::new(client, queue, ProducerOptions::default()));
    }
    let pace = Pace::start(counted);
    send::join(producers.into_iter().map(|producer| push(producer, bodies.clone(), pace))).await
}

async fn push(
    mut producer: Producer,
    bodies: Vec<Bytes>,
    pace: Pace,
) -> Result<Measure, BenchError> {
    let mut found = Measure::since(pace.from());
    found.took = pace.counted();
    // When each message was pushed that is not known to be answered, the oldest first.
    let mut pushed = VecDeque::new();
    let mut answered = 0;
    for body in bodies.iter().cycle() {
        let began = Instant::now();
        if pace.is_over(began) {
            break;
        }
        producer.push(OutgoingMessage::new(body.clone())).await?;
        pushed.push_back(began);
        // Batches are answered while a push waits for room, and at once known behind it.
        let now_answered = producer.answered();
        if now_answered > answered {
            let now = Instant::now();
            let count = now_answered - answered;
            for since in pushed.drain(..usize::try_from(count).expect("a window is small")) {
                if pace.counts(now) {
                    found.note_latency(now - since);
                }
            }
            if pace.counts(now) {
                found.count_at(now, count);
            }
            answered = now_answered;
        }
    }
    producer.flush().await?;
    Ok(found)
}
