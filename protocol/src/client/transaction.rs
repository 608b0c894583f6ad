//! A transaction, put together piece by piece.

use super::{Client, ClientError};
use crate::operation::{OutgoingMessage, Transact, TransactAcks, TransactSends, Transacted};
use crate::receipt::Receipt;

/// Acks and sends that are done together or not at all.
///
/// ```no_run
/// # async fn example(client: forebay_protocol::client::Client)
/// # -> Result<(), forebay_protocol::client::ClientError> {
/// use forebay_protocol::OutgoingMessage;
///
/// for order in client.receive("orders", Default::default()).await?.messages {
///     let invoice = OutgoingMessage::new("an invoice");
///     let done = client.transaction().ack("orders", [order.receipt]).send("invoices", [invoice]);
///     done.commit().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is done before it is committed"]
pub struct Transaction {
    client: Client,
    request: Transact,
}

impl Client {
    /// A transaction in which nothing is to be done yet.
    pub fn transaction(&self) -> Transaction {
        let request = Transact { acks: Vec::new(), sends: Vec::new() };
        Transaction { client: self.clone(), request }
    }
}

impl Transaction {
    /// Deletes received messages of a queue too.
    pub fn ack(mut self, queue: &str, receipts: impl IntoIterator<Item = Receipt>) -> Self {
        let receipts: Vec<_> = receipts.into_iter().collect();
        if !receipts.is_empty() {
            self.request.acks.push(TransactAcks { queue: queue.to_owned(), receipts });
        }
        self
    }

    /// Stores messages in a queue too.
    pub fn send(
        mut self,
        queue: &str,
        messages: impl IntoIterator<Item = OutgoingMessage>,
    ) -> Self {
        let messages: Vec<_> = messages.into_iter().collect();
        if !messages.is_empty() {
            self.request.sends.push(TransactSends { queue: queue.to_owned(), messages });
        }
        self
    }

    /// Does all of it, at most `batch_messages_max` receipts and messages together. When this returns they are as
    /// durable as their queues promise.
    ///
    /// After a lost answer the request is sent again, and then refused with `MessageGone` if its
    /// first copy was carried out: nothing is done twice. `MessageGone` may also mean that somebody
    /// else received and acked a message after its lease had ended. Either way there is nothing left
    /// to do for that message, and those that are still there come back when their leases end. One
    /// without an ack is repeated like a [`Client::send`], and may then be stored twice, unless
    /// [`retry_sends`](super::ClientOptions::retry_sends) is off.
    pub async fn commit(self) -> Result<Transacted, ClientError> {
        self.client.call(self.request).await
    }
}
