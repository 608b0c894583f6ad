//! The load of receives: takes what waits in a queue, acks it, and ends when nothing is left or
//! enough was taken.
//!
//! Each connection acks a batch in the same write that asks for the next. A message counts when
//! its ack is answered: then it is durably gone. The latency is that of a batch, from the receive
//! to the answered ack.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use forebay_protocol::{Ack, CreateQueue, QueueAttributes, Receive, Received, Reply};
use tokio::task::JoinSet;

use crate::BenchError;
use crate::frames::{QUEUE, encode, send_frames};
use crate::measure::Measure;
use crate::wire::{Wire, reply_of};
use crate::workload::Workload;

/// No lease may end during a run, or messages would come twice.
const VISIBILITY_MS: u64 = 3_600_000;
const FILL_BATCH: u32 = 100;
const RECEIVE: u32 = 1;
const ACK: u32 = 2;

/// Makes the queue of all workloads.
pub(crate) async fn create_queue(address: &str) -> Result<(), BenchError> {
    let attributes = QueueAttributes {
        visibility_timeout_ms: Some(VISIBILITY_MS),
        ..QueueAttributes::default()
    };
    let create = CreateQueue { name: QUEUE.to_owned(), attributes };
    crate::wire::ask_once(address, create).await.map(|_| ())
}

/// Puts messages into the queue, in whole batches; returns how many.
pub(crate) async fn fill(
    address: &str,
    workload: &Workload,
    messages: u32,
) -> Result<u64, BenchError> {
    let mut wire = Wire::connect(address).await?;
    let filling = Workload { batch: FILL_BATCH, window: 1, ..*workload };
    let frames = send_frames(&filling)?;
    let batches = messages.div_ceil(FILL_BATCH);
    for _ in 0..batches {
        wire.write(&frames[0]).await?;
        reply_of(&wire.read().await?)?;
    }
    Ok(u64::from(batches) * u64::from(FILL_BATCH))
}

/// Empties the queue.
pub(crate) async fn drain(address: &str, workload: &Workload) -> Result<Measure, BenchError> {
    drain_some(address, workload, u64::MAX).await
}

/// Takes so many batches from the queue, or what there is.
pub(crate) async fn drain_some(
    address: &str,
    workload: &Workload,
    batches: u64,
) -> Result<Measure, BenchError> {
    let batches = Arc::new(AtomicU64::new(batches));
    let mut wires = Vec::new();
    for _ in 0..workload.connections {
        wires.push(Wire::connect(address).await?);
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for wire in wires {
        running.spawn(receive_and_ack(wire, workload.batch, Arc::clone(&batches)));
    }
    let mut all = Measure::new();
    while let Some(ended) = running.join_next().await {
        all.add(&ended.map_err(|error| BenchError::new(error.to_string()))??);
    }
    all.took = began.elapsed();
    Ok(all)
}

async fn receive_and_ack(
    mut wire: Wire,
    batch: u32,
    batches: Arc<AtomicU64>,
) -> Result<Measure, BenchError> {
    let take_one = || {
        let taken =
            batches.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        taken.is_ok()
    };
    let receive = Receive {
        queue: QUEUE.to_owned(),
        max: batch,
        wait_ms: Some(0),
        visibility_ms: None,
        bytes_max: 0,
        attempt: String::new(),
    };
    let receive = encode(&receive.into(), RECEIVE)?;
    let mut found = Measure::new();
    let mut asked = Instant::now();
    if !take_one() {
        return Ok(found);
    }
    wire.write(&receive).await?;
    // Whether another batch was asked for.
    let mut more = true;
    // What is being acked: how many, and when they were asked for.
    let mut acking: Option<(u64, Instant)> = None;
    let mut received: Option<Received> = None;
    loop {
        let frame = wire.read().await?;
        match reply_of(&frame)? {
            Reply::Received(these) => received = Some(these),
            Reply::Acked(acked) if acked.failures.is_empty() => {
                let (count, since): (u64, Duration) = match acking.take() {
                    Some((count, asked)) => (count, asked.elapsed()),
                    None => return Err(BenchError::new("an ack was answered twice")),
                };
                found.note(count, since);
            }
            other => return Err(BenchError::new(format!("unexpected answer: {other:?}"))),
        }
        if acking.is_some() {
            continue;
        }
        if !more {
            return Ok(found);
        }
        let Some(these) = received.take() else { continue };
        if these.messages.is_empty() {
            return Ok(found);
        }
        let count = these.messages.len() as u64;
        more = take_one();
        let out = ack_and_receive(these, if more { &receive } else { &[] })?;
        acking = Some((count, asked));
        asked = Instant::now();
        wire.write(&out).await?;
    }
}

fn ack_and_receive(received: Received, receive: &[u8]) -> Result<BytesMut, BenchError> {
    for message in &received.messages {
        let sound = message.block.verify();
        sound.map_err(|error| BenchError::new(format!("message {}: {error}", message.seq)))?;
    }
    let receipts = received.messages.into_iter().map(|message| message.receipt).collect();
    let mut out = encode(&Ack { queue: QUEUE.to_owned(), receipts }.into(), ACK)?;
    out.extend_from_slice(receive);
    Ok(out)
}
