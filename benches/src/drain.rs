//! The load of receives: takes what waits in a queue, acks it, and ends when nothing is left or
//! enough was taken.
//!
//! Each connection acks a batch in the same write that asks for the next. A message counts when
//! its ack is answered: then it is durably gone. The latency is that of a batch, from the receive
//! to the answered ack.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use forebay_protocol::{Ack, Receive, Received, Reply};
use tokio::task::JoinSet;

use crate::BenchError;
use crate::frames::{encode, push_frame, send_frames};
use crate::measure::Measure;
use crate::wire::{Wire, reply_of};
use crate::workload::Workload;

/// Messages in a request that fills a queue, at most.
const FILL_BATCH_MAX: u32 = 100;
/// Bytes of their bodies, at most, unless one message has more: far below what a server takes in a frame.
const FILL_BATCH_BYTES: usize = 1 << 20;
/// Requests that are unanswered while a queue is filled, and one more.
const FILL_WINDOW: u32 = 8;
const RECEIVE: u32 = 1;
const ACK: u32 = 2;

/// Puts messages into the queue, in whole batches; returns how many.
pub(crate) async fn fill(
    address: &str,
    workload: &Workload,
    messages: u32,
) -> Result<u64, BenchError> {
    let mut wire = Wire::connect(address).await?;
    let batch = fill_batch(workload.bytes);
    let filling = Workload { batch, window: 1, ..*workload };
    let frames = send_frames(&filling)?;
    let batches = messages.div_ceil(batch);
    let mut out = Vec::new();
    for begun in 0..batches {
        out.clear();
        push_frame(&mut out, &frames[0], begun + 1);
        wire.write(&out).await?;
        if begun >= FILL_WINDOW {
            reply_of(&wire.read().await?)?;
        }
    }
    for _ in 0..batches.min(FILL_WINDOW) {
        reply_of(&wire.read().await?)?;
    }
    Ok(u64::from(batches) * u64::from(batch))
}

/// Messages of so many bytes in a request that fills a queue.
fn fill_batch(bytes: usize) -> u32 {
    let most = FILL_BATCH_BYTES.checked_div(bytes).unwrap_or(usize::MAX);
    u32::try_from(most).unwrap_or(u32::MAX).clamp(1, FILL_BATCH_MAX)
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
        let queue = workload.queue_name(0);
        running.spawn(receive_and_ack(wire, queue, workload.batch, Arc::clone(&batches), began));
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
    queue: String,
    batch: u32,
    batches: Arc<AtomicU64>,
    began: Instant,
) -> Result<Measure, BenchError> {
    let take_one = || {
        let taken =
            batches.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        taken.is_ok()
    };
    let receive = Receive {
        queue: queue.clone(),
        max: batch,
        wait_ms: Some(0),
        visibility_ms: None,
        bytes_max: 0,
        attempt: String::new(),
    };
    let receive = encode(&receive.into(), RECEIVE)?;
    let mut found = Measure::since(began);
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
                let (count, asked) =
                    acking.take().ok_or_else(|| BenchError::new("an ack was answered twice"))?;
                let now = Instant::now();
                found.note_at(now, count, now - asked);
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
        let out = ack_and_receive(&queue, these, if more { &receive } else { &[] })?;
        acking = Some((count, asked));
        asked = Instant::now();
        wire.write(&out).await?;
    }
}

fn ack_and_receive(
    queue: &str,
    received: Received,
    receive: &[u8],
) -> Result<BytesMut, BenchError> {
    for message in &received.messages {
        let sound = message.block.verify();
        sound.map_err(|error| BenchError::new(format!("message {}: {error}", message.seq)))?;
    }
    let receipts = received.messages.into_iter().map(|message| message.receipt).collect();
    let mut out = encode(&Ack { queue: queue.to_owned(), receipts }.into(), ACK)?;
    out.extend_from_slice(receive);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use forebay_protocol::Limits;

    use super::*;
    use crate::workload::Kind;

    #[test]
    fn a_request_that_fills_a_queue_fits_into_a_frame_whatever_the_messages_have() {
        for (bytes, batch) in [(0, 100), (1024, 100), (150_000, 6), (1 << 20, 1)] {
            assert_eq!(fill_batch(bytes), batch, "{bytes} bytes");
            let filling = Workload::plain(Kind::Send, batch, bytes, 1, 1);
            let frame = &send_frames(&filling).unwrap()[0];
            assert!(frame.len() < Limits::default().frame_bytes_max as usize / 8, "{bytes} bytes");
        }
    }
}
