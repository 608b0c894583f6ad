//! The producer: many small pushes become batches of one queue, pipelined within a bounded window.
//!
//! No timer: whatever was pushed while the window was full is the next batch. A lone push leaves at
//! once; under load batches grow by themselves. Batches leave in the order of the pushes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{Client, ClientError};
use crate::operation::OutgoingMessage;

/// What a message counts besides its body: its part of the frame, and of our memory.
const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// The sizes of a producer's batches and window. A zero counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerOptions {
    /// The most messages of a batch; not more than the server's limit. Default: 256.
    pub batch_messages: usize,
    /// The most bytes of a batch, 64 a message included; a larger message is a batch of its own.
    /// Default: 256 KiB.
    pub batch_bytes: usize,
    /// The most batches that may be unanswered; together with what is pushed but not yet sent they
    /// have at most `window_batches * batch_bytes` bytes. Default: 16.
    pub window_batches: usize,
}

/// Sends messages to one queue. Dropping it sends what was pushed, but tells nobody how that went:
/// call [`Producer::flush`] first.
pub struct Producer {
    messages: mpsc::UnboundedSender<Queued>,
    window: Arc<Semaphore>,
    window_bytes: usize,
    progress: watch::Receiver<Progress>,
    pushed: u64,
}

/// A message with its share of the window.
struct Queued {
    message: OutgoingMessage,
    bytes: usize,
    permit: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Progress {
    answered: u64,
    /// The first failure.
    error: Option<ClientError>,
}

/// The task that forms batches.
struct Batcher {
    client: Client,
    queue: String,
    messages: mpsc::UnboundedReceiver<Queued>,
    /// Taken off `messages`, but had no room in the batch.
    carried: Option<Queued>,
    slots: Arc<Semaphore>,
    progress: watch::Sender<Progress>,
    batch_messages: usize,
    batch_bytes: usize,
}

impl Producer {
    /// A producer for `queue`. Must be called in a tokio runtime.
    pub fn new(client: Client, queue: impl Into<String>, options: ProducerOptions) -> Producer {
        let batch_bytes = options.batch_bytes.max(1);
        let window_batches = options.window_batches.max(1);
        let window_bytes = batch_bytes.saturating_mul(window_batches).min(u32::MAX as usize);
        // Unbounded as a channel, bounded by the window: nothing enters without its permit.
        let (messages, incoming) = mpsc::unbounded_channel();
        let (progress_sender, progress) = watch::channel(Progress::default());
        let batch_messages_max = client.limits().batch_messages_max as usize;
        let batcher = Batcher {
            client,
            queue: queue.into(),
            messages: incoming,
            carried: None,
            slots: Arc::new(Semaphore::new(window_batches)),
            progress: progress_sender,
            batch_messages: options.batch_messages.min(batch_messages_max).max(1),
            batch_bytes,
        };
        tokio::spawn(batcher.run());
        Producer {
            messages,
            window: Arc::new(Semaphore::new(window_bytes)),
            window_bytes,
            progress,
            pushed: 0,
        }
    }

    /// Queues a message, after waiting for room in the window. It is stored when a later
    /// [`Producer::flush`] returns. The error is the first failure of any batch; nothing is sent
    /// after it.
    pub async fn push(&mut self, message: OutgoingMessage) -> Result<(), ClientError> {
        let bytes = message.block.encoded_bytes().saturating_add(MESSAGE_OVERHEAD_BYTES);
        let share = u32::try_from(bytes.min(self.window_bytes)).expect("the window fits a u32");
        let permit =
            self.window.clone().acquire_many_owned(share).await.map_err(|_| ClientError::Closed)?;
        self.check()?;
        if self.messages.send(Queued { message, bytes, permit }).is_err() {
            self.check()?;
            return Err(ClientError::Closed);
        }
        self.pushed += 1;
        Ok(())
    }

    /// Waits until all that was pushed is answered, and returns how many messages that are.
    /// The error is the first failure of any batch.
    pub async fn flush(&mut self) -> Result<u64, ClientError> {
        let pushed = self.pushed;
        let settled = |progress: &Progress| progress.error.is_some() || progress.answered == pushed;
        let closed = self.progress.wait_for(settled).await.is_err();
        self.check()?;
        if closed { Err(ClientError::Closed) } else { Ok(pushed) }
    }

    /// How many messages are stored so far.
    pub fn answered(&self) -> u64 {
        self.progress.borrow().answered
    }

    fn check(&self) -> Result<(), ClientError> {
        self.progress.borrow().error.clone().map_or(Ok(()), Err)
    }
}

impl Batcher {
    async fn run(mut self) {
        while let Ok(slot) = self.slots.clone().acquire_owned().await {
            let Some(batch) = self.next_batch().await else {
                return;
            };
            if self.progress.borrow().error.is_some() {
                return;
            }
            let count = batch.len() as u64;
            let (messages, permits): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|queued| (queued.message, queued.permit)).unzip();
            // Begun here, in order; only the answer is awaited apart.
            let pending = match self.client.begin_send(&self.queue, messages).await {
                Ok(pending) => pending,
                Err(error) => return settle(&self.progress, Err(error)),
            };
            let progress = self.progress.clone();
            // Keeps the connection open until the answer is here, though the producer be dropped.
            let client = self.client.clone();
            tokio::spawn(async move {
                settle(&progress, pending.answer().await.map(|_| count));
                drop((permits, slot, client));
            });
        }
    }

    /// Waits for a message, then takes what else is there, up to the limits of a batch.
    async fn next_batch(&mut self) -> Option<Vec<Queued>> {
        let first = match self.carried.take() {
            Some(carried) => carried,
            None => self.messages.recv().await?,
        };
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < self.batch_messages {
            let Ok(queued) = self.messages.try_recv() else {
                break;
            };
            bytes = bytes.saturating_add(queued.bytes);
            if bytes > self.batch_bytes {
                self.carried = Some(queued);
                break;
            }
            batch.push(queued);
        }
        Some(batch)
    }
}

/// Counts what was stored, or keeps the first failure.
fn settle(progress: &watch::Sender<Progress>, result: Result<u64, ClientError>) {
    progress.send_modify(|progress| match result {
        Ok(count) => progress.answered += count,
        Err(error) => {
            progress.error.get_or_insert(error);
        }
    });
}

impl Default for ProducerOptions {
    fn default() -> ProducerOptions {
        ProducerOptions { batch_messages: 256, batch_bytes: 256 << 10, window_batches: 16 }
    }
}
