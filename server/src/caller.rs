//! Who asked the engine: the way of an answer from the engine's thread to a connection's task.
//!
//! Invariants:
//! - Every [`Caller`] of a connection gives exactly one answer to its [`Outbox`], also when the
//!   engine drops it unanswered.
//! - A connection is woken once for all answers that came since it last looked, not once each.
//! - After [`Outbox::close`] answers are dropped, and leases among them give themselves back.
//! - A single caller, of a request that has no connection's task behind it, gets its answer through a
//!   channel of its own; when the receiver is gone, the same holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_engine::command::{Reply, ReplyTo};
use forebay_engine::error::RequestError;
use forebay_engine::ids::WaitId;
use tokio::sync::{Notify, oneshot};

use crate::leases::Leases;
use crate::memory::Charge;

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
    pub(crate) _charge: Charge,
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
}

#[derive(Default)]
struct Waiting {
    answers: Vec<Answered>,
    closed: bool,
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
    pub(crate) fn new(engine: EngineHandle) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), wake: Notify::new(), engine })
    }

    /// Moves what has come to `answers`.
    pub(crate) fn take(&self, answers: &mut Vec<Answered>) {
        answers.append(&mut self.waiting().answers);
    }

    /// Waits until something has come since the last [`Outbox::take`]. May return early.
    pub(crate) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// Ends the connection's interest: what has come and what will come is dropped.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let answers = std::mem::take(&mut waiting.answers);
        // Dropped outside the lock: leases among them go back to the engine.
        drop(waiting);
        drop(answers);
    }

    fn put(&self, ticket: Ticket, result: Result<Reply, RequestError>) {
        let answer = result.map(|reply| self.answer(&ticket, reply));
        let mut waiting = self.waiting();
        if waiting.closed {
            drop(waiting);
            return; // The answer is dropped outside the lock, like those in `close`.
        }
        waiting.answers.push(Answered { ticket, answer });
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
