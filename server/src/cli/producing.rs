//! Sends under a producer's id: what is sent again under it, after whatever end, is stored once.
//!
//! A batch's number is the position of its first message in the input, and where batches begin depends
//! on the input alone. So a second run sends the same batches, and the server knows those that have
//! landed. Invariant: the oldest batch that is told to the server is one of which not all has landed, so
//! everything before a batch that is forgotten has.

use std::collections::VecDeque;

use forebay_protocol::client::{Client, ClientError, PendingSend, Producer, ProducerBatch};
use forebay_protocol::{ErrorCode, OutgoingMessage, Sent};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::failure::Failure;

/// The most messages of a batch, ...
const BATCH_MESSAGES: usize = 256;
/// ... and the most bytes, unless one message is larger.
const BATCH_BYTES: usize = 256 << 10;
/// Batches under way at once.
const WINDOW_BATCHES: usize = 16;

/// What sends many messages.
pub(super) enum Sending {
    /// Batches as they come.
    Unnamed(Producer),
    /// Batches that a second run sends alike.
    Named(NamedProducer),
}

/// A producer with an id of its own, which outlives this process.
pub(super) struct NamedProducer {
    client: Client,
    queue: String,
    id: String,
    /// Made of the id and the first message.
    producer: Uuid,
    /// The next batch.
    messages: Vec<OutgoingMessage>,
    bytes: usize,
    /// The position of its first message, from 1.
    first: u64,
    /// The oldest first.
    under_way: VecDeque<Batch>,
    answered: u64,
    /// A batch may not have landed, and is not among those under way any more: nothing is sent that
    /// would say of another one that it is the oldest.
    has_failed: bool,
}

/// A batch of which not all has landed yet.
struct Batch {
    first: u64,
    messages: Vec<OutgoingMessage>,
    /// So many of them have landed with a shorter batch of an earlier run.
    landed: usize,
    pending: PendingSend,
}

impl Sending {
    pub(super) async fn push(&mut self, message: OutgoingMessage) -> Result<(), Failure> {
        match self {
            Sending::Unnamed(producer) => Ok(producer.push(message).await?),
            Sending::Named(producer) => producer.push(message).await,
        }
    }

    /// Waits until all that was pushed is stored.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Sending::Unnamed(producer) => Ok(producer.flush().await.map(|_| ())?),
            Sending::Named(producer) => producer.flush().await.map(|_| ()),
        }
    }

    /// How many messages are stored.
    pub(super) fn answered(&self) -> u64 {
        match self {
            Sending::Unnamed(producer) => producer.answered(),
            Sending::Named(producer) => producer.answered,
        }
    }
}

impl NamedProducer {
    pub(super) fn new(client: Client, queue: &str, id: &str) -> Self {
        Self {
            client,
            queue: queue.to_owned(),
            id: id.to_owned(),
            producer: Uuid::nil(),
            messages: Vec::new(),
            bytes: 0,
            first: 1,
            under_way: VecDeque::new(),
            answered: 0,
            has_failed: false,
        }
    }

    async fn push(&mut self, message: OutgoingMessage) -> Result<(), Failure> {
        let bytes = message.block.encoded_bytes();
        if self.messages.len() == BATCH_MESSAGES
            || !self.messages.is_empty() && self.bytes + bytes > BATCH_BYTES
        {
            self.begin().await?;
        }
        if self.producer.is_nil() {
            self.producer = producer_of(&self.id, &message);
        }
        self.bytes += bytes;
        self.messages.push(message);
        Ok(())
    }

    /// Sends what was pushed, and waits until all is stored. The answer to the last batch, if it was
    /// known. Nothing, if a push has failed and said so.
    async fn flush(&mut self) -> Result<Option<Sent>, Failure> {
        if self.has_failed {
            return Ok(None);
        }
        if !self.messages.is_empty() {
            self.begin().await?;
        }
        let mut last = None;
        while !self.under_way.is_empty() {
            last = self.settle_one().await?;
        }
        Ok(last)
    }

    /// One message; its answer.
    pub(super) async fn send_one(mut self, message: OutgoingMessage) -> Result<Sent, Failure> {
        self.push(message).await?;
        let sent = self.flush().await?;
        sent.ok_or_else(|| Failure::because("the message was sent before, and its id forgotten"))
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        while self.under_way.len() >= WINDOW_BATCHES {
            self.settle_one().await?;
        }
        let messages = std::mem::take(&mut self.messages);
        let first = self.first;
        self.first += messages.len() as u64;
        self.bytes = 0;
        let oldest = self.under_way.front().map_or(first, |batch| batch.first);
        let pending = self.begin_send(first, oldest, messages.clone()).await;
        self.has_failed |= pending.is_err();
        let pending = pending?;
        self.under_way.push_back(Batch { first, messages, landed: 0, pending });
        Ok(())
    }

    async fn begin_send(
        &self,
        number: u64,
        oldest: u64,
        messages: Vec<OutgoingMessage>,
    ) -> Result<PendingSend, Failure> {
        let batch = ProducerBatch { producer: self.producer, number, oldest };
        Ok(self.client.begin_send_once(&self.queue, batch, messages).await?)
    }

    /// Waits for the oldest batch.
    async fn settle_one(&mut self) -> Result<Option<Sent>, Failure> {
        let settled = self.settle_oldest().await;
        self.has_failed |= settled.is_err();
        settled
    }

    async fn settle_oldest(&mut self) -> Result<Option<Sent>, Failure> {
        let Some(mut batch) = self.under_way.pop_front() else { return Ok(None) };
        let count = batch.messages.len();
        loop {
            let sent = match batch.pending.answer().await {
                Ok(sent) => sent,
                // An earlier run has had the answer, and told so.
                Err(ClientError::Unknown { code: Some(ErrorCode::BatchForgotten), .. }) => {
                    self.answered += (count - batch.landed) as u64;
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            let landed = batch.landed + sent.count as usize;
            if landed > count {
                return Err(Failure::because(format!(
                    "message {} and {} behind it were sent before as producer {:?}, now there are {}: \
                     is it the same input?",
                    batch.first,
                    landed - 1,
                    self.id,
                    count - 1
                )));
            }
            self.answered += u64::from(sent.count);
            if landed == count {
                return Ok(Some(sent));
            }
            // The input of the earlier run ended here.
            let number = batch.first + landed as u64;
            let rest = batch.messages[landed..].to_vec();
            let pending = self.begin_send(number, batch.first, rest).await?;
            batch = Batch { landed, pending, ..batch };
        }
    }
}

/// The first message is part of it: another input under an id that was used before is stored.
fn producer_of(id: &str, first: &OutgoingMessage) -> Uuid {
    let digest = Sha256::new()
        .chain_update((id.len() as u64).to_le_bytes())
        .chain_update(id)
        .chain_update(first.block.crc().to_le_bytes())
        .chain_update(first.block.body())
        .finalize();
    uuid::Builder::from_random_bytes(std::array::from_fn(|at| digest[at])).into_uuid()
}
