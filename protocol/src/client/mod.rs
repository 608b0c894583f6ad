//! The client: one connection, shared by its clones, that pipelines requests and reconnects.
//!
//! ```text
//!   callers --(window: requests, bytes)--> channel --> session task --> TCP
//!      ^                                                   |
//!      `---------------- one answer per call --------------'
//! ```
//!
//! - A call waits for room in the window that the server announced; so memory is bounded by it.
//! - Every call ends in an answer, a refusal, or [`ClientError::Unknown`]: never in a guess.
//! - A [`Subscription`] is served until it is ended, over one connection after another, within a
//!   window of its own.
//! - When the connection is lost the session reconnects, and sends again what may safely be sent
//!   twice; `calls` decides which.
//! - Blocks are verified before they are handed over: a damaged one is reported, never delivered.
//!
//! ```no_run
//! # async fn example() -> Result<(), forebay_protocol::client::ClientError> {
//! use forebay_protocol::client::{Client, ClientOptions, ReceiveOptions};
//! use forebay_protocol::OutgoingMessage;
//!
//! let client = Client::connect("127.0.0.1:7480", ClientOptions::default()).await?;
//! client.create_queue("orders", Default::default()).await?;
//! client.send("orders", vec![OutgoingMessage::new("one order")]).await?;
//! let delivery = client.receive("orders", ReceiveOptions::default()).await?;
//! let receipts: Vec<_> = delivery.messages.into_iter().map(|message| message.receipt).collect();
//! client.ack("orders", &receipts).await?;
//! # Ok(())
//! # }
//! ```

mod batches;
mod calls;
mod connection;
mod dialer;
mod end;
mod error;
mod feeds;
mod greeting;
mod messages;
mod options;
mod outgoing;
mod producer;
mod queues;
mod redrives;
mod session;
mod socket;
mod subscription;
mod transaction;
mod window;

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub use error::ClientError;
pub use messages::{
    DamagedMessage, Delivery, NackOptions, PeekOptions, PeekPage, PendingAck, PendingSend,
    ProducerBatch, ReceiveOptions,
};
pub use options::{ClientOptions, OnWait, Wait};
pub use producer::{Producer, ProducerOptions};
pub use subscription::{SubscribeOptions, Subscription};
pub use transaction::Transaction;

use crate::frame::FRAME_LENGTH_BYTES;
use crate::operation::{Limits, Operation, Ping, Request, Stats, StatsTold, Welcome};
use batches::Batches;
use calls::{Answer, Call, Resend};
use dialer::Dialer;
use feeds::{Feed, Note};
use window::Window;

/// A handle of one connection; clones share it. When the last is dropped the connection closes.
#[derive(Clone)]
pub struct Client {
    orders: mpsc::UnboundedSender<Order>,
    window: Window,
    welcome: watch::Receiver<Welcome>,
    /// So that a batch that is sent again lands once; `None`: none is sent again.
    batches: Option<Arc<Batches>>,
    _closes_when_dropped: Arc<DropGuard>,
}

/// What the session is told to do.
enum Order {
    Call(Call),
    Subscribe(Feed),
    Note(Note),
}

/// A request that is on its way.
struct Pending<O> {
    answer: oneshot::Receiver<Result<Answer, ClientError>>,
    operation: PhantomData<O>,
}

impl Client {
    /// Connects to a server at `addr`, as `host:port`. Must be called in a tokio runtime, in which
    /// the connection then lives.
    ///
    /// Errors: [`ClientError::Connect`] or [`ClientError::Refused`]: at the first failure, unless it may pass
    /// within `connect_patience`.
    pub async fn connect(
        addr: impl Into<String>,
        options: ClientOptions,
    ) -> Result<Client, ClientError> {
        let batches = options.retry_sends.then(Batches::new);
        let dialer = Dialer::new(addr.into(), options);
        let connection = dialer.dial_first().await?;
        let (welcome_sender, welcome) = watch::channel(connection.welcome().clone());
        let window = Window::new(&connection.welcome().limits);
        // Unbounded as a channel, bounded by the window: nothing enters without its permits.
        let (orders, incoming) = mpsc::unbounded_channel();
        let closing = CancellationToken::new();
        tokio::spawn(session::run(connection, dialer, incoming, welcome_sender, closing.clone()));
        let guard = Arc::new(closing.drop_guard());
        Ok(Client { orders, window, welcome, batches, _closes_when_dropped: guard })
    }

    /// What the server accepts, as its latest Welcome said.
    pub fn limits(&self) -> Limits {
        self.welcome.borrow().limits.clone()
    }

    /// The id of the server's store, which message ids are derived from.
    pub fn store_id(&self) -> Uuid {
        self.welcome.borrow().store_id
    }

    /// The server's name and version.
    pub fn server(&self) -> String {
        self.welcome.borrow().server.clone()
    }

    /// Asks the server for a sign of life.
    pub async fn ping(&self) -> Result<(), ClientError> {
        self.call(Ping {}).await?;
        Ok(())
    }

    /// What the server holds and has done.
    pub async fn stats(&self) -> Result<StatsTold, ClientError> {
        self.call(Stats {}).await
    }

    /// Sends a request and waits for its reply.
    async fn call<O: Operation>(&self, request: O) -> Result<O::Reply, ClientError> {
        Ok(self.begin(request).await?.reply().await?.0)
    }

    /// Waits for room in the window and hands the request to the session. Requests that one task
    /// begins one after another are sent in that order.
    async fn begin<O: Operation>(&self, request: O) -> Result<Pending<O>, ClientError> {
        let mut permits = self.window.request().await?;
        let request: Request = request.into();
        let mut frame = BytesMut::new();
        // The session numbers the frame.
        request.encode(0, &mut frame)?;
        let resend = Resend::of(&request, self.batches.is_some());
        drop(request);
        let bytes_max = self.welcome.borrow().limits.frame_bytes_max as usize;
        // As `length` counts them.
        let bytes = frame.len() - FRAME_LENGTH_BYTES;
        if bytes > bytes_max {
            return Err(ClientError::FrameTooLarge {
                operation: O::OPCODE.name(),
                bytes,
                bytes_max,
            });
        }
        permits.add_bytes(frame.len()).await?;
        let (call, answer) = Call::new(O::OPCODE, frame, resend, permits);
        self.orders.send(Order::Call(call)).map_err(|_| ClientError::Closed)?;
        Ok(Pending { answer, operation: PhantomData })
    }
}

impl<O: Operation> Pending<O> {
    /// The reply, and whether the request was sent more than once.
    async fn reply(&mut self) -> Result<(O::Reply, bool), ClientError> {
        let answer = (&mut self.answer).await.map_err(|_| ClientError::Closed)??;
        let found = answer.reply.name();
        let reply = O::reply(answer.reply).ok_or_else(|| ClientError::Unknown {
            operation: O::OPCODE.name(),
            cause: format!("the reply is {found}, expected {}", O::OPCODE.reply_name()),
            code: None,
        })?;
        Ok((reply, answer.resent))
    }

    /// The answer, if it has come and was not taken. None comes from here on.
    fn unclaimed(&mut self) -> Option<Answer> {
        self.answer.close();
        self.answer.try_recv().ok()?.ok()
    }
}
