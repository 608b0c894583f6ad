//! The load of subscriptions: messages are pushed and acked until none is on its way any more.
//!
//! Each connection has credits for `window` batches, and for 256 MiB. It acks what comes together in one
//! request, waits for no answer, and gives credits back in the same write when a quarter of either is
//! used. A message counts when its ack is answered: then it is durably gone. The latency is that of a batch,
//! from when it was read to the answered ack.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use forebay_protocol::{Ack, CREDITS_MAX, Credit, Frame, Receipt, Reply, Subscribe};

use crate::frames::encode;
use crate::journeys::Journeys;
use crate::measure::Measure;
use crate::outstanding::Outstanding;
use crate::pace::Pace;
use crate::wire::{Wire, reply_of};
use crate::workload::Workload;
use crate::{BenchError, send};

const SUBSCRIPTION: u32 = 1;
const CREDIT: u32 = 2;
const FIRST_ACK: u32 = 3;
/// Beside the credits in messages, so that a window of large messages does not take all memory.
const CREDIT_BYTES: u32 = 1 << 28;

/// Has `messages` messages pushed, and acks them.
pub(crate) async fn drain(
    address: &str,
    workload: &Workload,
    messages: u64,
) -> Result<Measure, BenchError> {
    let outstanding = Arc::new(Outstanding::waiting(messages));
    let consumed = Consumed { outstanding, journeys: None };
    let subscribers = subscribers(address, workload, &consumed).await?;
    let pace = Pace::all_from_now();
    let mut all =
        send::join(subscribers.into_iter().map(|subscriber| subscriber.run(pace))).await?;
    all.took = pace.from().elapsed();
    Ok(all)
}

/// What is to be known of what is consumed.
#[derive(Debug, Clone)]
pub(crate) struct Consumed {
    /// Ends the subscriptions when nothing is left.
    pub(crate) outstanding: Arc<Outstanding>,
    pub(crate) journeys: Option<Arc<Journeys>>,
}

/// A workload's subscribers, connected and ready.
pub(crate) async fn subscribers(
    address: &str,
    workload: &Workload,
    consumed: &Consumed,
) -> Result<Vec<Subscriber>, BenchError> {
    let mut subscribers = Vec::new();
    for _ in 0..workload.connections {
        let window = u32::try_from(workload.window).expect("a window is small");
        subscribers.push(Subscriber {
            wire: Wire::connect(address).await?,
            queue: workload.queue_name(0),
            batch: workload.batch,
            credits: workload.batch.saturating_mul(window).min(CREDITS_MAX),
            used: Used::default(),
            acks: HashMap::new(),
            next_ack: FIRST_ACK,
            consumed: consumed.clone(),
            found: Measure::new(),
        });
    }
    Ok(subscribers)
}

/// A connection with a subscription.
#[derive(Debug)]
pub(crate) struct Subscriber {
    wire: Wire,
    queue: String,
    batch: u32,
    credits: u32,
    used: Used,
    /// What is being acked: how many, and since when they are here.
    acks: HashMap<u32, (u64, Instant)>,
    next_ack: u32,
    consumed: Consumed,
    found: Measure,
}

/// Credits used since some were last given back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Used {
    credits: u32,
    bytes: u32,
}

impl Subscriber {
    /// Consumes until no message is on its way and no more will come.
    pub(crate) async fn run(mut self, pace: Pace) -> Result<Measure, BenchError> {
        self.found = Measure::since(pace.from());
        self.found.took = pace.counted();
        let subscribe = Subscribe {
            queue: self.queue.clone(),
            credits: self.credits,
            credit_bytes: CREDIT_BYTES,
            batch_max: self.batch,
            bytes_max: 0,
            visibility_ms: None,
            release_on_close: false,
        };
        self.wire.write(&encode(&subscribe.into(), SUBSCRIPTION)?).await?;
        let mut ended = self.consumed.outstanding.ended();
        loop {
            let mut next = tokio::select! {
                frame = self.wire.read() => Some(frame?),
                _ = ended.wait_for(|ended| *ended) => return Ok(self.found),
            };
            let mut receipts = Vec::new();
            while let Some(frame) = next {
                self.take(&frame, pace, &mut receipts)?;
                next = self.wire.next_arrived()?;
            }
            let out = self.ack(receipts)?;
            self.wire.write(&out).await?;
        }
    }

    /// Takes a frame; what it delivers is to be acked.
    fn take(
        &mut self,
        frame: &Frame,
        pace: Pace,
        receipts: &mut Vec<Receipt>,
    ) -> Result<(), BenchError> {
        match reply_of(frame)? {
            // The first says only that the subscription stands.
            Reply::Delivered(delivered) if delivered.messages.is_empty() => {}
            Reply::Delivered(delivered) => {
                let now = Instant::now();
                self.used.credits += delivered.messages.len() as u32;
                // As `length` counts it.
                self.used.bytes += u32::try_from(frame.body.len() + 8).expect("a frame is small");
                if let Some(journeys) = &self.consumed.journeys {
                    let seqs = delivered.messages.iter().map(|message| message.seq);
                    journeys.delivered(delivered.queue_id, seqs, now, pace);
                }
                receipts.reserve(delivered.messages.len());
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
                let now = Instant::now();
                if pace.counts(now) {
                    self.found.note_at(now, count, now - since);
                }
                self.consumed.outstanding.gone(count);
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
            let ack = Ack { queue: self.queue.clone(), receipts };
            out = encode(&ack.into(), self.next_ack)?;
            self.next_ack = self.next_ack.checked_add(1).unwrap_or(FIRST_ACK);
        }
        if let Some(Used { credits, bytes }) = self.used.take(self.credits) {
            let credit = Credit { subscription: SUBSCRIPTION, credits, credit_bytes: bytes };
            out.extend_from_slice(&encode(&credit.into(), CREDIT)?);
        }
        Ok(out)
    }
}

impl Used {
    /// What is to be given back now, of so many credits that there were: without bytes the server pushes
    /// nothing either.
    fn take(&mut self, credits: u32) -> Option<Used> {
        let is_time = self.credits >= credits.div_ceil(4) || self.bytes >= CREDIT_BYTES / 4;
        is_time.then(|| std::mem::take(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_given_back_when_a_quarter_of_the_messages_or_of_the_bytes_is_used() {
        let mut used = Used { credits: 24, bytes: CREDIT_BYTES / 4 - 1 };
        assert_eq!(used.take(100), None);
        used.credits += 1;
        assert_eq!(used.take(100), Some(Used { credits: 25, bytes: CREDIT_BYTES / 4 - 1 }));
        assert_eq!(used, Used::default());
        let mut used = Used { credits: 1, bytes: CREDIT_BYTES / 4 };
        assert_eq!(used.take(CREDITS_MAX), Some(Used { credits: 1, bytes: CREDIT_BYTES / 4 }));
    }
}
