//! Consumers that verify what they get, ack it, and fail at random if they are told to.
//!
//! Each acks a batch in the write that asks for the next one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use forebay_protocol::{Ack, Acked, Receipt, Receive, Received, Reply};
use tokio::task::JoinSet;

use crate::BenchError;
use crate::deep::ledger_of_groups::GroupLedger;
use crate::deep::marked::Marked;
use crate::frames::encode;
use crate::wire::{Wire, reply_of};

const RECEIVE: u32 = 1;
const ACK: u32 = 2;
/// A consumer without a server tries again after so long.
const RETRY: Duration = Duration::from_millis(20);
/// One batch in so many is dropped, acked in part, or lost with its connection: each of the three.
const FAILS_ONE_IN: u64 = 40;
/// A receive of a consumer that may fail waits so long: others hold the rest.
const WAIT_MS: u64 = 500;

/// Who consumes what.
#[derive(Debug)]
pub(super) struct Consumers {
    pub(super) queue: &'static str,
    pub(super) batch: u32,
    pub(super) visibility_ms: u64,
    pub(super) marked: Marked,
    /// The judge of the order, if there is one.
    pub(super) ledger: Option<Arc<GroupLedger>>,
    /// They fail at random, and the server may be gone for a while.
    pub(super) failures: Option<Arc<Failures>>,
    /// Where the server is now.
    pub(super) address: Mutex<String>,
    /// Messages still to be asked for.
    pub(super) to_take: AtomicU64,
    /// Acks that were answered and not refused.
    pub(super) acked: AtomicU64,
    /// Enough was acked.
    pub(super) is_over: AtomicBool,
}

/// How often they failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    dropped: AtomicU64,
    acked_in_part: AtomicU64,
    disconnected: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
}

impl Failures {
    /// Each kind, in words.
    pub(super) fn counts(&self) -> [(&'static str, u64); 5] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("batches that no ack was sent of", of(&self.dropped)),
            ("batches acked in part", of(&self.acked_in_part)),
            ("connections dropped by a consumer, its ack unanswered", of(&self.disconnected)),
            ("connections lost with the server", of(&self.lost)),
            ("acks refused, because the lease had ended", of(&self.refused)),
        ]
    }
}

/// A message's group and number.
type Name = (u64, u64);

/// What a consumer does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acked,
    Dropped,
    AckedInPart,
    Disconnected,
}

impl Consumers {
    /// Starts so many.
    pub(super) fn start(self: &Arc<Self>, consumers: u32) -> JoinSet<Result<(), BenchError>> {
        let mut running = JoinSet::new();
        for number in 0..consumers {
            running.spawn(Arc::clone(self).consume(u64::from(number)));
        }
        running
    }

    /// The server is somewhere else now.
    pub(super) fn moved_to(&self, address: String) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    async fn consume(self: Arc<Self>, number: u64) -> Result<(), BenchError> {
        let mut dice = Dice(number + 1);
        while !self.is_over.load(Ordering::Relaxed) {
            match self.connected(&mut dice).await {
                Ok(Ended::Disconnected) => {}
                Ok(Ended::Over) => return Ok(()),
                // What the judge says is no failure of the server's connection.
                Err(Failed::Wrong(error)) => return Err(error),
                Err(Failed::Unreachable(_)) if self.failures.is_some() => {
                    tokio::time::sleep(RETRY).await;
                }
                Err(Failed::Unreachable(error)) => return Err(error),
                Err(Failed::Lost(error)) => {
                    let Some(failures) = &self.failures else { return Err(error) };
                    failures.lost.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        Ok(())
    }

    /// Consumes over one connection.
    async fn connected(&self, dice: &mut Dice) -> Result<Ended, Failed> {
        let address = self.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut wire = Wire::connect(&address).await.map_err(Failed::Unreachable)?;
        let receive = Receive {
            queue: self.queue.to_owned(),
            max: self.batch,
            wait_ms: Some(if self.failures.is_some() { WAIT_MS } else { 0 }),
            visibility_ms: Some(self.visibility_ms),
            bytes_max: 0,
            attempt: String::new(),
        };
        let receive = encode(&receive.into(), RECEIVE).map_err(Failed::Wrong)?;
        let mut out = Vec::new();
        let mut acking: Vec<Name> = Vec::new();
        loop {
            let asks = self.take();
            if asks {
                out.extend_from_slice(&receive);
            }
            let answers = usize::from(asks) + usize::from(!acking.is_empty());
            if answers == 0 {
                return Ok(Ended::Over);
            }
            wire.write(&out).await.map_err(Failed::Lost)?;
            out.clear();
            let mut received = None;
            for _ in 0..answers {
                let frame = wire.read().await.map_err(Failed::Lost)?;
                match reply_of(&frame).map_err(Failed::Lost)? {
                    Reply::Received(these) => received = Some(these),
                    Reply::Acked(answer) => self.note(&std::mem::take(&mut acking), &answer)?,
                    other => {
                        let text = format!("unexpected answer: {other:?}");
                        return Err(Failed::Wrong(BenchError::new(text)));
                    }
                }
            }
            let Some(received) = received else { return Ok(Ended::Over) };
            if received.messages.is_empty() && self.failures.is_none() {
                return Ok(Ended::Over);
            }
            let mut batch = self.judge(received)?;
            if batch.is_empty() {
                continue;
            }
            let fate = self.fate(dice);
            match fate {
                Fate::Dropped => batch.clear(),
                Fate::AckedInPart => batch.retain(|_| dice.one_in(2)),
                Fate::Acked | Fate::Disconnected => {}
            }
            if batch.is_empty() {
                continue;
            }
            let receipts;
            (acking, receipts) = batch.into_iter().unzip();
            let ack = Ack { queue: self.queue.to_owned(), receipts };
            out.extend_from_slice(&encode(&ack.into(), ACK).map_err(Failed::Wrong)?);
            if let Some(ledger) = &self.ledger {
                ledger.acking(&acking);
            }
            if fate == Fate::Disconnected {
                wire.write(&out).await.map_err(Failed::Lost)?;
                return Ok(Ended::Disconnected);
            }
        }
    }

    /// Whether another batch is asked for. One that fails does so until enough is acked.
    fn take(&self) -> bool {
        if self.failures.is_some() {
            return !self.is_over.load(Ordering::Relaxed);
        }
        let batch = u64::from(self.batch);
        let less = |left: u64| (left > 0).then(|| left.saturating_sub(batch));
        self.to_take.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn judge(&self, received: Received) -> Result<Vec<(Name, Receipt)>, Failed> {
        let wrong = |text: String| Failed::Wrong(BenchError::new(text));
        let mut batch = Vec::with_capacity(received.messages.len());
        for message in received.messages {
            let verified = message.block.verify();
            verified.map_err(|error| wrong(format!("message {}: {error}", message.seq)))?;
            let name = self.marked.read(message.block.body());
            let name = name.ok_or_else(|| wrong(format!("message {} is phantom", message.seq)))?;
            batch.push((name, message.receipt));
        }
        if let Some(ledger) = &self.ledger {
            let names: Vec<Name> = batch.iter().map(|(name, _)| *name).collect();
            ledger.delivered(&names).map_err(Failed::Wrong)?;
        }
        Ok(batch)
    }

    fn fate(&self, dice: &mut Dice) -> Fate {
        let Some(failures) = &self.failures else { return Fate::Acked };
        let (fate, count) = match dice.below(FAILS_ONE_IN) {
            0 => (Fate::Dropped, &failures.dropped),
            1 => (Fate::AckedInPart, &failures.acked_in_part),
            2 => (Fate::Disconnected, &failures.disconnected),
            _ => return Fate::Acked,
        };
        count.fetch_add(1, Ordering::Relaxed);
        fate
    }

    fn note(&self, acking: &[Name], answer: &Acked) -> Result<(), Failed> {
        let refused = answer.failures.len() as u64;
        match &self.failures {
            Some(failures) => failures.refused.fetch_add(refused, Ordering::Relaxed),
            None if refused > 0 => {
                let text = format!("an ack was refused: {:?}", answer.failures);
                return Err(Failed::Wrong(BenchError::new(text)));
            }
            None => 0,
        };
        let mut is_refused = vec![false; acking.len()];
        answer.failures.iter().for_each(|failure| is_refused[failure.index as usize] = true);
        for (name, _) in acking.iter().zip(is_refused).filter(|(_, is_refused)| !is_refused) {
            if let Some(ledger) = &self.ledger {
                ledger.acked(*name);
            }
        }
        let count = acking.len() as u64 - refused;
        let acked = self.acked.fetch_add(count, Ordering::Relaxed) + count;
        if self.failures.is_some() && acked >= self.to_take.load(Ordering::Relaxed) {
            self.is_over.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// How a connection ended.
enum Ended {
    /// By the consumer, which goes on over another.
    Disconnected,
    /// There is nothing more to do.
    Over,
}

/// How it failed.
enum Failed {
    /// There was none: the server is being started again.
    Unreachable(BenchError),
    /// The connection is gone.
    Lost(BenchError),
    /// Something came that must not.
    Wrong(BenchError),
}

/// Numbers at random: xorshift, the same in each run.
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number less than `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}
