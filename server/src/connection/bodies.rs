//! The bodies of answers: read from memory, or from the disk off the async threads.
//!
//! Invariants:
//! - A body's memory is charged before it is read, for a batch in one piece: a batch that held
//!   some of its memory and waited for the rest could wait for itself. Only a small batch of a
//!   connection that has written everything else does not wait for memory.
//! - A connection has at most one batch of disk reads under way, and all connections together a
//!   bounded number; what is asked for meanwhile forms the next batch.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use forebay_engine::StoredMessage;
use forebay_engine::command::{Delivery, Peeked};
use forebay_engine::error::ReadError;
use forebay_engine::location::Location;
use tokio::sync::Semaphore;

use crate::caller::{EngineHandle, Leases, Ticket};
use crate::memory::{Charge, Memory, Need, UNCHARGED_BYTES};
use crate::stored;

/// A message's bytes, or why there are none.
pub(super) type Body = Result<StoredMessage, ReadError>;

/// An answer whose bodies are wanted.
pub(super) enum Wanted {
    /// Of a receive.
    Received(Leases),
    /// Of a peek, with the seq to go on at.
    Peeked(Vec<Peeked>, u64),
}

/// An answer with its bodies, one for each message, in the same order.
pub(super) struct Fetched {
    pub(super) ticket: Ticket,
    pub(super) answer: Wanted,
    pub(super) bodies: Vec<Body>,
    /// Shared by all answers of a batch.
    pub(super) charge: Arc<Charge>,
}

/// The bodies that one connection waits for.
pub(super) struct Bodies {
    engine: EngineHandle,
    memory: Memory,
    disk_reads: Arc<Semaphore>,
    waiting: VecDeque<Fetch>,
    reading: Option<Pin<Box<dyn Future<Output = Vec<Fetched>> + Send>>>,
}

/// An answer whose bodies are to be read.
struct Fetch {
    ticket: Ticket,
    answer: Wanted,
}

/// How much room there is for what is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// None.
    Full,
    /// Some.
    Left,
    /// All of it: the socket has taken everything.
    Empty,
}

/// A batch of disk reads is closed when it has this many bytes.
const BATCH_BYTES_MAX: usize = 4 << 20;

impl Bodies {
    pub(super) fn new(engine: EngineHandle, memory: Memory, disk_reads: Arc<Semaphore>) -> Self {
        Self { engine, memory, disk_reads, waiting: VecDeque::new(), reading: None }
    }

    /// Asks for an answer's bodies. Gives them at once when all are in memory and there is
    /// `room` to write them.
    pub(super) fn fetch(
        &mut self,
        mut ticket: Ticket,
        answer: Wanted,
        room: Room,
    ) -> Option<Fetched> {
        // Nothing is held while it waits: what is before it may need that memory.
        ticket.charge = Charge::default();
        let mut charge = Charge::default();
        if room != Room::Full && try_cover(&self.memory, &mut charge, answer.bytes(), room) {
            let hot = stored::read_hot(&self.engine, answer.locations());
            if hot.iter().all(Option::is_some) {
                let bodies = hot.into_iter().flatten().collect();
                return Some(Fetched { ticket, answer, bodies, charge: Arc::new(charge) });
            }
        }
        self.waiting.push_back(Fetch { ticket, answer });
        None
    }

    /// The next batch of answers, when its bodies are read; waits for ever when none is wanted. None is begun
    /// without `room` to write; but one that has begun goes on, for others wait for what it holds.
    /// Nothing is lost when this future is dropped.
    pub(super) async fn fetched(&mut self, room: Room) -> Vec<Fetched> {
        if room != Room::Full && self.reading.is_none() && !self.waiting.is_empty() {
            let batch = self.next_batch();
            let (engine, memory) = (self.engine.clone(), self.memory.clone());
            let disk_reads = Arc::clone(&self.disk_reads);
            self.reading = Some(Box::pin(read_batch(batch, room, engine, memory, disk_reads)));
        }
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        let fetched = reading.await;
        self.reading = None;
        fetched
    }

    fn next_batch(&mut self) -> Vec<Fetch> {
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        while batch_bytes < BATCH_BYTES_MAX
            && let Some(fetch) = self.waiting.pop_front()
        {
            batch_bytes += fetch.answer.bytes();
            batch.push(fetch);
        }
        batch
    }
}

impl Wanted {
    /// Where its bodies are, in order.
    fn locations(&self) -> impl Iterator<Item = &Location> + Clone {
        let (leased, peeked): (&[Delivery], &[Peeked]) = match self {
            Wanted::Received(leases) => (leases.deliveries(), &[]),
            Wanted::Peeked(messages, _) => (&[], messages),
        };
        let leased = leased.iter().map(|delivery| &delivery.location);
        leased.chain(peeked.iter().map(|message| &message.location))
    }

    /// The memory that its bodies take.
    fn bytes(&self) -> usize {
        self.locations().map(|location| location.bytes as usize).sum()
    }
}

/// Raises a charge to cover bodies, if it is possible at once or they may do without.
fn try_cover(memory: &Memory, charge: &mut Charge, bytes: usize, room: Room) -> bool {
    memory.try_raise(charge, Need::Bodies, bytes)
        || (bytes <= UNCHARGED_BYTES && room == Room::Empty)
}

async fn read_batch(
    batch: Vec<Fetch>,
    room: Room,
    engine: EngineHandle,
    memory: Memory,
    disk_reads: Arc<Semaphore>,
) -> Vec<Fetched> {
    let batch_bytes = batch.iter().map(|fetch| fetch.answer.bytes()).sum();
    let mut charge = Charge::default();
    if !try_cover(&memory, &mut charge, batch_bytes, room) {
        charge = memory.wait_for(&charge, Need::Bodies, batch_bytes).await;
    }
    let charge = Arc::new(charge);
    let locations = batch.iter().flat_map(|fetch| fetch.answer.locations()).cloned().collect();
    // Only places go to the blocking thread. The leases stay here, where dropping them counts.
    let mut bodies = stored::read_all(&engine, &disk_reads, locations).await.into_iter();
    let fill = |Fetch { ticket, answer }: Fetch| {
        let bodies = bodies.by_ref().take(answer.locations().count()).collect();
        Fetched { ticket, answer, bodies, charge: Arc::clone(&charge) }
    };
    batch.into_iter().map(fill).collect()
}
