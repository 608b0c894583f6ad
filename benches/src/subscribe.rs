//! The load of subscriptions: messages are pushed and acked until so many are gone.
//!
//! Each connection has credits for `window` batches. It acks what comes together in one request,
//! waits for no answer, and gives credits back in the same write when a quarter of them is used. A
//! message counts when its ack is answered: then it is durably gone. The latency is that of a batch,
//! from when it was read to the answered ack.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use forebay_protocol::{Ack, Credit, Frame, Receipt, Reply, Subscribe};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::frames::{QUEUE, encode};
use crate::measure::Measure;
use crate::wire::{Wire, reply_of};
use crate::workload::Workload;

const SUBSCRIPTION: u32 = 1;
const CREDIT: u32 = 2;
const FIRST_ACK: u32 = 3;
/// No load comes near it: messages are what is counted.
const CREDIT_BYTES: u32 = 1 << 28;

/// Has `messages` messages pushed, and acks them.
pub(crate) async fn drain(
    address: &str,
    workload: &Workload,
    messages: u64,
) -> Result<Measure, BenchError> {
    let left = Arc::new(AtomicU64::new(messages));
    let (ended, _) = watch::channel(messages == 0);
    let mut wires = Vec::new();
    for _ in 0..workload.connections {
        wires.push(Wire::connect(address).await?);
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for wire in wires {
        let credits = workload.batch * u32::try_from(workload.window).expect("a window is small");
        let subscriber = Subscriber {
            wire,
            credits,
            used: 0,
            used_bytes: 0,
            acks: HashMap::new(),
            next_ack: FIRST_ACK,
            left: Arc::clone(&left),
            ended: ended.clone(),
            found: Measure::new(),
        };
        running.spawn(subscriber.run(workload.batch));
    }
    let mut all = Measure::new();
    while let Some(ended) = running.join_next().await {
        all.add(&ended.map_err(|error| BenchError::new(error.to_string()))??);
    }
    all.took = began.elapsed();
    Ok(all)
}

/// A connection with a subscription.
struct Subscriber {
    wire: Wire,
    credits: u32,
    /// Credits used since some were last given back.
    used: u32,
    used_bytes: u32,
    /// What is being acked: how many, and since when they are here.
    acks: HashMap<u32, (u64, Instant)>,
    next_ack: u32,
    /// Messages of all connections that are not gone yet.
    left: Arc<AtomicU64>,
    ended: watch::Sender<bool>,
    found: Measure,
}

impl Subscriber {
    async fn run(mut self, batch_max: u32) -> Result<Measure, BenchError> {
        let subscribe = Subscribe {
            queue: QUEUE.to_owned(),
            credits: self.credits,
            credit_bytes: CREDIT_BYTES,
            batch_max,
            bytes_max: 0,
            visibility_ms: None,
            release_on_close: false,
        };
        self.wire.write(&encode(&subscribe.into(), SUBSCRIPTION)?).await?;
        let mut ended = self.ended.subscribe();
        loop {
            let mut next = tokio::select! {
                frame = self.wire.read() => Some(frame?),
                _ = ended.wait_for(|ended| *ended) => return Ok(self.found),
            };
            let mut receipts = Vec::new();
            while let Some(frame) = next {
                self.take(&frame, &mut receipts)?;
                next = self.wire.next_arrived()?;
            }
            let out = self.ack(receipts)?;
            self.wire.write(&out).await?;
        }
    }

    /// Takes a frame; what it delivers is to be acked.
    fn take(&mut self, frame: &Frame, receipts: &mut Vec<Receipt>) -> Result<(), BenchError> {
        match reply_of(frame)? {
            // The first says only that the subscription stands.
            Reply::Delivered(delivered) if delivered.messages.is_empty() => {}
            Reply::Delivered(delivered) => {
                self.used += delivered.messages.len() as u32;
                // As `length` counts it.
                self.used_bytes += u32::try_from(frame.body.len() + 8).expect("a frame is small");
                for message in delivered.messages {
                    let sound = message.block.verify();
                    sound.map_err(|error| {
                        BenchError::new(format!("message {}: {error}", message.seq))
                    })?;
                    receipts.push(message.receipt);
                }
            }
            Reply::Acked(acked) if acked.failures.is_empty() => {
                let ack = self.acks.remove(&frame.correlation);
                let (count, since) =
                    ack.ok_or_else(|| BenchError::new("an ack was answered twice"))?;
                self.found.note(count, since.elapsed());
                if self.left.fetch_sub(count, Ordering::Relaxed) == count {
                    self.ended.send_replace(true);
                }
            }
            Reply::Credited(_) => {}
            other => return Err(BenchError::new(format!("unexpected answer: {other:?}"))),
        }
        Ok(())
    }

    /// The request that acks what came together, and credits when it is time.
    fn ack(&mut self, receipts: Vec<Receipt>) -> Result<BytesMut, BenchError> {
        let mut out = BytesMut::new();
        if !receipts.is_empty() {
            self.acks.insert(self.next_ack, (receipts.len() as u64, Instant::now()));
            let ack = Ack { queue: QUEUE.to_owned(), receipts };
            out = encode(&ack.into(), self.next_ack)?;
            self.next_ack = self.next_ack.checked_add(1).unwrap_or(FIRST_ACK);
        }
        if self.used >= self.credits.div_ceil(4) {
            let (credits, credit_bytes) = (self.used, self.used_bytes);
            (self.used, self.used_bytes) = (0, 0);
            let credit = Credit { subscription: SUBSCRIPTION, credits, credit_bytes };
            out.extend_from_slice(&encode(&credit.into(), CREDIT)?);
        }
        Ok(out)
    }
}
