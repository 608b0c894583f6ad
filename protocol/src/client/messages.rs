//! The client's operations on messages.

use uuid::Uuid;

use super::batches::Batch;
use super::calls::Call;
use super::{Client, ClientError, Order, Pending};
use crate::block::Block;
use crate::error::ErrorCode;
use crate::operation::{
    Ack, ChangeVisibility, Failure, MessageState, Nack, OutgoingMessage, Peek, PeekedMessage,
    Receive, Received, ReceivedMessage, Send, Sent, VisibilityChange,
};
use crate::receipt::Receipt;

/// Which batch a producer sends, if it keeps its own id and numbers: see [`Client::send_once`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Who sends, drawn at random.
    pub producer: Uuid,
    /// The batch's number, greater than those before it.
    pub number: u64,
    /// The first batch that the producer may send again: from it on at most 1024 are known.
    pub oldest: u64,
}

/// What a receive asks for. The default is one message, by the queue's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// The most messages, from 1 to [`RECEIVE_MESSAGES_MAX`](crate::RECEIVE_MESSAGES_MAX).
    pub max: u32,
    /// How long to wait for the first; `None` for the queue's `receive_wait_ms`.
    pub wait_ms: Option<u64>,
    /// How long the leases last; `None` for the queue's `visibility_timeout_ms`.
    pub visibility_ms: Option<u64>,
    /// The most bytes of bodies; 0 leaves it to the server.
    pub bytes_max: u32,
}

/// How messages are given back. The default is at once, counted, without a word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NackOptions {
    /// How long they stay hidden, up to 12 hours from their receive.
    pub delay_ms: u64,
    /// Whether the attempt is taken off the receive count again: it never was one.
    pub uncounted: bool,
    /// Why, at most 256 bytes: shown with the messages until they are gone. Empty leaves the reason
    /// that they have.
    pub reason: String,
}

/// What a receive or a subscription brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The queue's id.
    pub queue_id: u32,
    /// The messages, verified.
    pub messages: Vec<ReceivedMessage>,
    /// Messages whose bytes did not match their checksum. They stay leased until their timeout.
    pub damaged: Vec<DamagedMessage>,
}

/// What a peek asks for. The default is the oldest 256 messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeekOptions {
    /// The first seq; 1 begins at the oldest message.
    pub from_seq: u64,
    /// The most messages, from 1 to [`RECEIVE_MESSAGES_MAX`](crate::RECEIVE_MESSAGES_MAX).
    pub max: u32,
    /// The most bytes of bodies; 0 leaves it to the server.
    pub bytes_max: u32,
    /// Only messages in one of these states; empty: in any.
    pub states: Vec<MessageState>,
    /// Only messages that were sent after this, in milliseconds since 1970 UTC.
    pub since_ms: u64,
    /// Only messages of this group; empty: all.
    pub group: String,
}

/// What a peek brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeekPage {
    /// The messages, verified.
    pub messages: Vec<PeekedMessage>,
    /// Messages whose bytes did not match their checksum.
    pub damaged: Vec<DamagedMessage>,
    /// Where the next page begins; 0 if this was the last.
    pub next_seq: u64,
}

/// A message that arrived with other bytes than it was sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedMessage {
    /// The message's number in its queue.
    pub seq: u64,
    /// Its receipt, if it was received.
    pub receipt: Option<Receipt>,
    /// The sender's checksum.
    pub expected: u32,
    /// The checksum of what arrived.
    pub found: u32,
}

/// A send that is on its way: see [`Client::begin_send`].
pub struct PendingSend {
    pending: Pending<Send>,
    /// Counts as unanswered until the answer is here.
    _batch: Option<Batch>,
}

/// An ack that is on its way: see [`Client::begin_ack`].
pub struct PendingAck(Pending<Ack>);

impl Client {
    /// Stores a batch of messages, all or nothing, from 1 to the limit `batch_messages_max`.
    /// When this returns they are as durable as their queue promises.
    ///
    /// After a lost answer the batch is sent again, and lands once, also over a restart of the
    /// server; with [`retry_sends`](super::ClientOptions::retry_sends) off it is not sent again, and to
    /// a FIFO queue only for four minutes.
    pub async fn send(
        &self,
        queue: &str,
        messages: Vec<OutgoingMessage>,
    ) -> Result<Sent, ClientError> {
        self.begin_send(queue, messages).await?.answer().await
    }

    /// Like [`Client::send`], but returns as soon as the request has room in the window. Sends
    /// that one task begins one after another arrive in that order, as long as no connection is lost.
    pub async fn begin_send(
        &self,
        queue: &str,
        messages: Vec<OutgoingMessage>,
    ) -> Result<PendingSend, ClientError> {
        let mut send = Send::new(queue, messages);
        let batch = self.batches.as_ref().map(|batches| {
            let (batch, oldest) = batches.begin();
            (send.producer, send.batch, send.oldest) = (batches.producer(), batch.number(), oldest);
            batch
        });
        Ok(PendingSend { pending: self.begin(send).await?, _batch: batch })
    }

    /// Stores a batch that lands once however often it is sent, also when the client was started
    /// anew: for a producer that keeps its own id and numbers. A FIFO queue does not look at those: there
    /// each message lands once within the deduplication window.
    pub async fn send_once(
        &self,
        queue: &str,
        batch: ProducerBatch,
        messages: Vec<OutgoingMessage>,
    ) -> Result<Sent, ClientError> {
        self.begin_send_once(queue, batch, messages).await?.answer().await
    }

    /// Like [`Client::send_once`], but returns as soon as the request has room in the window.
    pub async fn begin_send_once(
        &self,
        queue: &str,
        batch: ProducerBatch,
        messages: Vec<OutgoingMessage>,
    ) -> Result<PendingSend, ClientError> {
        let ProducerBatch { producer, number: batch, oldest } = batch;
        let queue = queue.to_owned();
        let send = Send { queue, producer, batch, oldest, messages };
        Ok(PendingSend { pending: self.begin(send).await?, _batch: None })
    }

    /// Leases messages. If the future is dropped, messages leased by it go back at once, uncounted; if
    /// the answer is lost, when their visibility timeout ends. A wait goes on at the server although its
    /// future was dropped.
    pub async fn receive(
        &self,
        queue: &str,
        options: ReceiveOptions,
    ) -> Result<Delivery, ClientError> {
        self.receive_attempt(queue, options, "").await
    }

    /// Leases messages as [`Client::receive`] does, but those of a named attempt stay leased if the future
    /// is dropped: from a FIFO queue the same attempt again, within five minutes, gets the same messages and receipts, and is refused once one of them was deleted or
    /// had its visibility changed. So a lost answer holds up no group.
    pub async fn receive_attempt(
        &self,
        queue: &str,
        options: ReceiveOptions,
        attempt: &str,
    ) -> Result<Delivery, ClientError> {
        let ReceiveOptions { max, wait_ms, visibility_ms, bytes_max } = options;
        let (name, attempt) = (queue.to_owned(), attempt.to_owned());
        let gives_back = attempt.is_empty();
        let request = Receive { queue: name, max, wait_ms, visibility_ms, bytes_max, attempt };
        let pending = self.begin(request).await?;
        let received =
            PendingReceive { client: self, queue, pending, gives_back }.received().await?;
        Ok(Delivery::verified(received.queue_id, received.messages))
    }

    /// Deletes received messages, from 1 to the limit `batch_messages_max`. Returns those that
    /// were refused, with their indexes in `receipts`.
    pub async fn ack(
        &self,
        queue: &str,
        receipts: &[Receipt],
    ) -> Result<Vec<Failure>, ClientError> {
        self.begin_ack(queue, receipts.to_vec()).await?.failures().await
    }

    /// Like [`Client::ack`], but returns as soon as the request has room in the window: the next
    /// messages need not wait for the answer.
    pub async fn begin_ack(
        &self,
        queue: &str,
        receipts: Vec<Receipt>,
    ) -> Result<PendingAck, ClientError> {
        Ok(PendingAck(self.begin(Ack { queue: queue.to_owned(), receipts }).await?))
    }

    /// Makes leases end at other times. Returns those that were refused, with their indexes; not
    /// those that were to end at once and have ended, if the request was sent again after a lost answer.
    pub async fn change_visibility(
        &self,
        queue: &str,
        changes: Vec<VisibilityChange>,
    ) -> Result<Vec<Failure>, ClientError> {
        let ends = changes.iter().map(|change| change.visibility_ms == 0).collect::<Vec<_>>();
        let queue = queue.to_owned();
        let mut pending = self.begin(ChangeVisibility { queue, changes }).await?;
        let (changed, resent) = pending.reply().await?;
        let ends = |failure: &Failure| ends.get(failure.index as usize) == Some(&true);
        let mut failures = changed.failures;
        failures.retain(|failure| !(resent && ends(failure) && has_ended(failure)));
        Ok(failures)
    }

    /// Ends leases at once, as a visibility timeout of 0 does: the messages may be received again.
    pub async fn end_leases(
        &self,
        queue: &str,
        receipts: &[Receipt],
    ) -> Result<Vec<Failure>, ClientError> {
        let ended =
            |receipt: &Receipt| VisibilityChange { receipt: receipt.clone(), visibility_ms: 0 };
        self.change_visibility(queue, receipts.iter().map(ended).collect()).await
    }

    /// Gives messages back as [`NackOptions`] say. Returns those that were refused, with their
    /// indexes. Repeated, because an answer was lost, it takes an attempt off the count once, and
    /// leases that have ended meanwhile are no failures.
    pub async fn nack(
        &self,
        queue: &str,
        receipts: &[Receipt],
        options: NackOptions,
    ) -> Result<Vec<Failure>, ClientError> {
        let NackOptions { delay_ms, uncounted, reason } = options;
        let (queue, receipts) = (queue.to_owned(), receipts.to_vec());
        let nack = Nack { queue, receipts, delay_ms, uncounted, reason };
        let (nacked, resent) = self.begin(nack).await?.reply().await?;
        let mut failures = nacked.failures;
        failures.retain(|failure| !(resent && has_ended(failure)));
        Ok(failures)
    }

    /// Shows the messages that the options ask for, without leasing them. A page may have few
    /// messages or none, although there are more behind it.
    pub async fn peek(&self, queue: &str, options: PeekOptions) -> Result<PeekPage, ClientError> {
        let PeekOptions { from_seq, max, bytes_max, states, since_ms, group } = options;
        let queue = queue.to_owned();
        let request = Peek { queue, from_seq, max, bytes_max, states, since_ms, group };
        let peeked = self.call(request).await?;
        let mut damaged = Vec::new();
        let mut messages = peeked.messages;
        messages.retain(|message| verify(&message.block, message.seq, None, &mut damaged));
        Ok(PeekPage { messages, damaged, next_seq: peeked.next_seq })
    }
}

/// A receive that is on its way. Dropped when its answer has come and was not taken, it gives back what
/// that brings; what comes later, the session gives back.
struct PendingReceive<'c> {
    client: &'c Client,
    queue: &'c str,
    pending: Pending<Receive>,
    /// Not those of a named attempt, which stay for whoever asks again.
    gives_back: bool,
}

impl PendingReceive<'_> {
    async fn received(mut self) -> Result<Received, ClientError> {
        Ok(self.pending.reply().await?.0)
    }
}

impl Drop for PendingReceive<'_> {
    fn drop(&mut self) {
        if let Some(answer) = self.pending.unclaimed().filter(|_| self.gives_back)
            && let Some(call) = Call::giving_back(self.queue.to_owned(), answer)
        {
            // Without a session the connection has ended, and the server was told so.
            let _ = self.client.orders.send(Order::Call(call));
        }
    }
}

impl PendingSend {
    /// Waits for the answer. Dropping this instead does not take the send back.
    pub async fn answer(mut self) -> Result<Sent, ClientError> {
        Ok(self.pending.reply().await?.0)
    }
}

impl PendingAck {
    /// Waits for the answer: the receipts that were refused. Dropping this instead does not take
    /// the ack back.
    pub async fn failures(mut self) -> Result<Vec<Failure>, ClientError> {
        let (acked, resent) = self.0.reply().await?;
        let mut failures = acked.failures;
        // What is gone at the second attempt, the first has deleted.
        failures.retain(|failure| !(resent && failure.code == ErrorCode::MessageGone));
        Ok(failures)
    }
}

impl Delivery {
    /// Sets damaged messages apart.
    pub(super) fn verified(queue_id: u32, mut messages: Vec<ReceivedMessage>) -> Delivery {
        let mut damaged = Vec::new();
        messages.retain(|message| {
            verify(&message.block, message.seq, Some(&message.receipt), &mut damaged)
        });
        Delivery { queue_id, messages, damaged }
    }
}

impl DamagedMessage {
    /// The damage as an error.
    pub fn to_error(&self, queue: &str) -> ClientError {
        let (seq, expected, found) = (self.seq, self.expected, self.found);
        ClientError::Damaged { queue: queue.to_owned(), seq, expected, found }
    }
}

impl Default for PeekOptions {
    fn default() -> PeekOptions {
        let (states, group) = (Vec::new(), String::new());
        PeekOptions { from_seq: 1, max: 256, bytes_max: 0, states, since_ms: 0, group }
    }
}

impl Default for ReceiveOptions {
    fn default() -> ReceiveOptions {
        ReceiveOptions { max: 1, wait_ms: None, visibility_ms: None, bytes_max: 0 }
    }
}

/// Whether a lease that was to end has ended: by the first copy of the request, or by itself.
fn has_ended(failure: &Failure) -> bool {
    matches!(
        failure.code,
        ErrorCode::ReceiptExpired | ErrorCode::ReceiptStale | ErrorCode::MessageGone
    )
}

/// Whether a block is sound; if not, it is added to `damaged`.
fn verify(
    block: &Block,
    seq: u64,
    receipt: Option<&Receipt>,
    damaged: &mut Vec<DamagedMessage>,
) -> bool {
    match block.verify() {
        Ok(()) => true,
        Err(damage) => {
            let (expected, found) = (damage.expected, damage.found);
            damaged.push(DamagedMessage { seq, receipt: receipt.cloned(), expected, found });
            false
        }
    }
}
