//! The load of the space workloads: messages come and go.
//!
//! Each connection repeats one write of up to three requests: send a batch, receive what is there,
//! ack receipts from the shelf as far as more than the wanted bytes are live. Bodies are verified.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use forebay_protocol::{Ack, CreateQueue, QueueAttributes, Receipt, Receive, Received, Reply};
use tokio::task::JoinSet;

use crate::BenchError;
use crate::deep::ledger::Ledger;
use crate::deep::shelf::Shelf;
use crate::deep::store::Store;
use crate::frames::{encode, frames_to, push_frame};
use crate::wire::{Wire, ask_once, reply_of};
use crate::workload::QUEUE;

/// The longest that a lease can be: no message may come twice.
const VISIBILITY_MS: u64 = 12 * 3_600_000;
/// The highest there is: all that is live was received, and is acked later.
const IN_FLIGHT_MAX: u64 = 100_000_000;
const CONNECTIONS: usize = 8;
/// The bodies of a batch, and the most messages in it.
const BATCH_BYTES: usize = 128 << 10;
const BATCH_MAX: usize = 128;
/// What comes and what goes may run behind: then so much more goes than comes.
const CATCHING_UP: usize = 2;

const SEND: u32 = 1;
const RECEIVE: u32 = 2;
const ACK: u32 = 3;

/// How far a run goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// All is sent.
    Sent,
    /// All is sent, nothing is waiting, and everything is acked that is to be.
    Settled,
}

/// Messages of one queue, coming and going.
#[derive(Debug)]
pub(super) struct Turnover {
    body_bytes: u64,
    batch: usize,
    frames: Vec<BytesMut>,
    shelf: Mutex<Shelf>,
    ledger: Arc<Ledger>,
    /// Bytes yet to be sent in this run.
    to_send: AtomicU64,
    /// Acks go out only as far as more than this is live.
    live_max: AtomicU64,
    /// Bytes of all acks that went out, answered or not.
    ack_bytes: AtomicU64,
}

impl Turnover {
    /// Creates the queue. Of every `kept_one_in` messages one is never acked.
    pub(super) async fn new(
        store: &Store,
        body_bytes: usize,
        kept_one_in: Option<u64>,
        ledger: Arc<Ledger>,
    ) -> Result<Self, BenchError> {
        let attributes = QueueAttributes {
            visibility_timeout_ms: Some(VISIBILITY_MS),
            in_flight_max: Some(IN_FLIGHT_MAX),
            ..QueueAttributes::default()
        };
        let create = CreateQueue { name: QUEUE.to_owned(), attributes };
        ask_once(&store.address(), create).await?;
        let batch = (BATCH_BYTES / body_bytes.max(1)).clamp(1, BATCH_MAX);
        Ok(Self {
            body_bytes: body_bytes as u64,
            batch,
            frames: frames_to(QUEUE, CONNECTIONS, batch as u32, body_bytes)?,
            shelf: Mutex::new(Shelf::new(kept_one_in)),
            ledger,
            to_send: AtomicU64::new(0),
            live_max: AtomicU64::new(0),
            ack_bytes: AtomicU64::new(0),
        })
    }

    /// Sends so many bytes of bodies, and acks what there is beyond `live_max` bytes.
    pub(super) async fn run(
        self: &Arc<Self>,
        store: &mut Store,
        bytes: u64,
        live_max: u64,
        until: Until,
    ) -> Result<(), BenchError> {
        self.to_send.store(bytes, Ordering::Relaxed);
        self.live_max.store(live_max, Ordering::Relaxed);
        let address = store.address();
        let work = async {
            let mut running = JoinSet::new();
            for number in 0..CONNECTIONS {
                let wire = Wire::connect(&address).await?;
                running.spawn(Arc::clone(self).turn(wire, number, until));
            }
            while let Some(ended) = running.join_next().await {
                ended.map_err(|error| BenchError::new(error.to_string()))??;
            }
            Ok(())
        };
        store.under(&self.ledger.answered, work).await
    }

    async fn turn(
        self: Arc<Self>,
        mut wire: Wire,
        number: usize,
        until: Until,
    ) -> Result<(), BenchError> {
        let receive = Receive {
            queue: QUEUE.to_owned(),
            max: (CATCHING_UP * self.batch) as u32,
            wait_ms: Some(0),
            visibility_ms: None,
            bytes_max: 0,
            attempt: String::new(),
        };
        let receive = encode(&receive.into(), RECEIVE)?;
        let mut out = Vec::new();
        loop {
            out.clear();
            let sent = self.take_send();
            if sent > 0 {
                push_frame(&mut out, &self.frames[number], SEND);
            } else if matches!(until, Until::Sent) {
                return Ok(());
            }
            out.extend_from_slice(&receive);
            let receipts = self.take_acks()?;
            let acked = receipts.len() as u64 * self.body_bytes;
            if acked > 0 {
                let ack = Ack { queue: QUEUE.to_owned(), receipts };
                out.extend_from_slice(&encode(&ack.into(), ACK)?);
            }
            wire.write(&out).await?;
            let mut received = 0;
            for _ in 0..1 + usize::from(sent > 0) + usize::from(acked > 0) {
                match reply_of(&wire.read().await?)? {
                    Reply::Sent(_) => self.ledger.note_sent(sent),
                    Reply::Received(these) => received = self.put(&these)?,
                    Reply::Acked(these) if these.failures.is_empty() => {
                        self.ledger.note_acked(acked);
                    }
                    other => {
                        return Err(BenchError::new(format!("unexpected answer: {other:?}")));
                    }
                }
            }
            if sent + acked + received == 0 {
                return Ok(());
            }
        }
    }

    /// Bytes of the batch to send now: 0 if all is sent.
    fn take_send(&self) -> u64 {
        let batch = self.batch as u64 * self.body_bytes;
        let less = |left: u64| (left > 0).then(|| left.saturating_sub(batch));
        let taken = self.to_send.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if taken.is_ok() { batch } else { 0 }
    }

    fn take_acks(&self) -> Result<Vec<Receipt>, BenchError> {
        let kept = self.ack_bytes.load(Ordering::Relaxed) + self.live_max.load(Ordering::Relaxed);
        let beyond = self.ledger.sent().saturating_sub(kept) / self.body_bytes;
        let count = usize::try_from(beyond).unwrap_or(usize::MAX).min(CATCHING_UP * self.batch);
        let receipts = self.shelf.lock().unwrap_or_else(PoisonError::into_inner).take(count)?;
        self.ack_bytes.fetch_add(receipts.len() as u64 * self.body_bytes, Ordering::Relaxed);
        Ok(receipts)
    }

    fn put(&self, received: &Received) -> Result<u64, BenchError> {
        for message in &received.messages {
            let sound = message.block.verify();
            sound.map_err(|error| BenchError::new(format!("message {}: {error}", message.seq)))?;
        }
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).put(&received.messages);
        Ok(received.messages.len() as u64)
    }
}
