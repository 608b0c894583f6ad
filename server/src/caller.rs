//! Who asked the engine: the way of an answer from the engine's thread to a connection's task.
//!
//! Invariants:
//! - Every [`Caller`] of a connection gives exactly one answer to its [`Outbox`], also when the
//!   engine drops it unanswered.
//! - A connection is woken once for all answers that came since it last looked, not once each; and not
//!   for one that was written to the socket which it lent.
//! - After [`Outbox::close`] answers are dropped, and leases among them give themselves back.
//! - A single caller, of a request that has no connection's task behind it, gets its answer through a
//!   channel of its own; when the receiver is gone, the same holds.

mod leases;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use forebay_engine::command::{Reply, ReplyTo};
use forebay_engine::error::RequestError;
use forebay_engine::ids::WaitId;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

use crate::memory::Charge;
pub(crate) use leases::Leases;

/// The engine as the server uses it.
pub type Engine = forebay_engine::Engine<Caller>;

/// A handle to it, for any number of tasks.
pub type EngineHandle = forebay_engine::EngineHandle<Caller>;

/// Who asked the engine: a connection, a single request, or nobody who listens.
pub struct Caller(Asker);

enum Asker {
    Nobody,
    Connection(Arc<Outbox>, Ticket),
    Single(Single),
}

/// A request that waits for its answer by itself.
struct Single {
    answer_to: oneshot::Sender<Result<Answer, RequestError>>,
    /// If the answer brings leases: whose engine they go back to, and the queue that they are of.
    leases: Option<(EngineHandle, String)>,
}

/// A request of a connection, while the engine works on it.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The request's number on its connection.
    pub(crate) correlation: u32,
    /// What it counts towards the connection's bytes in flight.
    pub(crate) cost_bytes: usize,
    /// Held until the answer is encoded.
    pub(crate) charge: Charge,
    /// What its answer needs to be understood.
    pub(crate) kind: Kind,
}

/// What kind a request is, as far as its answer depends on that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its answer brings leases on messages of this queue.
    Receive { queue: String },
    /// Its answer shows that a subscription's queue is there.
    Subscribe { wait: WaitId },
    /// A subscription's: its answer brings leases on messages of this queue.
    Push { queue: String, wait: WaitId },
    /// The engine answers it as it answers an ack.
    ChangeVisibility,
    /// This one too.
    Nack,
    /// Its answer may show messages of other groups than this one.
    Peek { group: String },
    /// The answer speaks for itself.
    Other,
}

/// An answer, back at its connection.
pub(crate) struct Answered {
    pub(crate) ticket: Ticket,
    pub(crate) answer: Result<Answer, RequestError>,
}

/// What the engine answered.
pub(crate) enum Answer {
    /// Leased messages, which give themselves back unless they are written.
    Received(Leases),
    /// Anything else.
    Other(Reply),
}

/// The answers that wait for a connection's task.
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
    engine: EngineHandle,
    short_frame: ShortFrame,
}

/// Makes the frame of an answer, if it may be written past the task.
pub(crate) type ShortFrame = fn(&Ticket, &Reply) -> Option<BytesMut>;

#[derive(Default)]
struct Waiting {
    answers: Vec<Answered>,
    closed: bool,
    /// The socket, as long as the task lends it.
    socket: Option<Arc<TcpStream>>,
    settled: Settled,
}

/// What was answered past the task.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// How many requests.
    pub(crate) requests: usize,
    /// What they counted towards the connection's bytes in flight.
    pub(crate) bytes: usize,
    /// What the socket did not take of the last answer.
    pub(crate) unwritten: BytesMut,
}

impl Caller {
    /// A caller of the connection that `outbox` belongs to.
    pub(crate) fn connection(outbox: Arc<Outbox>, ticket: Ticket) -> Self {
        Self(Asker::Connection(outbox, ticket))
    }

    /// A caller who does not wait for the answer.
    pub(crate) fn nobody() -> Self {
        Self(Asker::Nobody)
    }

    /// A caller with a channel of its own. `leases` is given with a receive: the engine that leases go
    /// back to, and the queue's name.
    pub(crate) fn single(
        leases: Option<(EngineHandle, String)>,
    ) -> (Self, oneshot::Receiver<Result<Answer, RequestError>>) {
        let (answer_to, answer) = oneshot::channel();
        (Self(Asker::Single(Single { answer_to, leases })), answer)
    }

    fn answer(&mut self, result: Result<Reply, RequestError>) {
        match std::mem::replace(&mut self.0, Asker::Nobody) {
            Asker::Nobody => {}
            Asker::Connection(outbox, ticket) => outbox.put(ticket, result),
            // Whoever waited may be gone: then leases in the answer give themselves back.
            Asker::Single(Single { answer_to, leases }) => {
                drop(answer_to.send(result.map(|reply| answer_with(reply, leases))));
            }
        }
    }
}

impl ReplyTo for Caller {
    fn reply(mut self, result: Result<Reply, RequestError>) {
        self.answer(result);
    }

    fn is_gone(&self) -> bool {
        match &self.0 {
            Asker::Nobody => false,
            Asker::Connection(outbox, _) => outbox.waiting().closed,
            Asker::Single(single) => single.answer_to.is_closed(),
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if !matches!(self.0, Asker::Nobody) {
            let cause = "the engine ended without an answer".to_owned();
            self.answer(Err(RequestError::StorageFailed { cause }));
        }
    }
}

/// The answer that a reply is, where `leases` says whose the leases in it would be.
fn answer_with(reply: Reply, leases: Option<(EngineHandle, String)>) -> Answer {
    match (reply, leases) {
        (Reply::Received { queue: id, deliveries }, Some((engine, queue))) => {
            Answer::Received(Leases::new(engine, queue, id, deliveries))
        }
        (reply, _) => Answer::Other(reply),
    }
}

impl Outbox {
    /// An empty outbox of a connection that asks `engine`.
    pub(crate) fn new(engine: EngineHandle, short_frame: ShortFrame) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), wake: Notify::new(), engine, short_frame })
    }

    /// Moves what has come to `answers`, takes the socket back, and tells what was written to it.
    pub(crate) fn take(&self, answers: &mut Vec<Answered>) -> Settled {
        let mut waiting = self.waiting();
        answers.append(&mut waiting.answers);
        waiting.socket = None;
        std::mem::take(&mut waiting.settled)
    }

    /// Takes the socket back, and tells what was written to it; answers stay.
    pub(crate) fn take_settled(&self) -> Settled {
        let mut waiting = self.waiting();
        waiting.socket = None;
        std::mem::take(&mut waiting.settled)
    }

    /// Lends the socket until the next [`Outbox::take`]. Nobody else may write to it meanwhile.
    pub(crate) fn lend(&self, socket: &Arc<TcpStream>) {
        let mut waiting = self.waiting();
        // With answers in it the task is woken anyway.
        if waiting.answers.is_empty() {
            waiting.socket = Some(Arc::clone(socket));
        }
    }

    /// Waits until something has come since the last [`Outbox::take`]. May return early.
    pub(crate) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// Ends the connection's interest: what has come and what will come is dropped.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.socket = None;
        let answers = std::mem::take(&mut waiting.answers);
        // Dropped outside the lock: leases among them go back to the engine.
        drop(waiting);
        drop(answers);
    }

    fn put(&self, ticket: Ticket, result: Result<Reply, RequestError>) {
        let mut waiting = self.waiting();
        if waiting.socket.is_some()
            && let Ok(reply) = &result
            && let Some(frame) = (self.short_frame)(&ticket, reply)
        {
            if !waiting.write(frame, &ticket) {
                drop(waiting);
                self.wake.notify_one();
            }
            return;
        }
        if waiting.closed {
            drop(waiting);
            // Outside the lock, like those in `close`.
            drop(result.map(|reply| self.answer(&ticket, reply)));
            return;
        }
        let answer = result.map(|reply| self.answer(&ticket, reply));
        waiting.answers.push(Answered { ticket, answer });
        // The task wakes, and writes what comes from now on.
        waiting.socket = None;
        let first = waiting.answers.len() == 1;
        drop(waiting);
        if first {
            self.wake.notify_one();
        }
    }

    fn answer(&self, ticket: &Ticket, reply: Reply) -> Answer {
        let leases = match &ticket.kind {
            Kind::Receive { queue } | Kind::Push { queue, .. } => {
                Some((self.engine.clone(), queue.clone()))
            }
            _ => None,
        };
        answer_with(reply, leases)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing is left half done under this lock, so a panic elsewhere spoils nothing.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Writes an answer to the lent socket; false if the task has to write the rest.
    fn write(&mut self, mut frame: BytesMut, ticket: &Ticket) -> bool {
        self.settled.requests += 1;
        self.settled.bytes += ticket.cost_bytes;
        // What is wrong with the socket is found by the task, when it writes the rest.
        let written = self.socket.as_ref().and_then(|socket| socket.try_write(&frame).ok());
        frame.advance(written.unwrap_or(0));
        let is_written = frame.is_empty();
        if !is_written {
            self.socket = None;
            self.settled.unwritten = frame;
        }
        is_written
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn ticket(cost_bytes: usize) -> Ticket {
        Ticket { correlation: 1, cost_bytes, charge: Charge::default(), kind: Kind::Other }
    }

    /// Both ends of a connection.
    pub(crate) async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
        (one.expect("it connects"), other.expect("it comes").0)
    }

    #[tokio::test]
    async fn what_a_lent_socket_does_not_take_is_left_to_the_task() {
        let (socket, mut peer) = connected().await;
        let mut waiting = Waiting { socket: Some(Arc::new(socket)), ..Waiting::default() };

        assert!(waiting.write(BytesMut::from("short"), &ticket(7)));
        let mut read = [0; 5];
        peer.read_exact(&mut read).await.expect("the peer reads");
        assert_eq!(&read, b"short");

        // More than the sockets' buffers hold, of which nobody reads anything.
        let long: Vec<u8> = (0..64 << 20).map(|at| (at % 251) as u8).collect();
        assert!(!waiting.write(BytesMut::from(&long[..]), &ticket(5)));
        assert!(waiting.socket.is_none(), "the task writes the rest");
        let Settled { requests, bytes, unwritten } = std::mem::take(&mut waiting.settled);
        assert_eq!((requests, bytes), (2, 12));
        assert!(!unwritten.is_empty() && long.ends_with(&unwritten));
        let mut taken = vec![0; long.len() - unwritten.len()];
        peer.read_exact(&mut taken).await.expect("the peer reads");
        assert!(long.starts_with(&taken), "what it took is the beginning");
    }
}
