//! One connection: its task, from the accepted socket to the close.
//!
//! ```text
//!             ┌──────────────── reading stops while any bound is reached ───────────────┐
//!  socket ─▶ Inbound ─▶ frame ─▶ dispatch ─▶ engine ─▶ Outbox ─▶ [Bodies] ─▶ Outbound ─▶ socket
//! ```
//! Invariants:
//! - Every request gets one answer, under its own correlation, in whatever order they are ready; a
//!   subscription gets any number, and then one that is the last.
//! - What a connection holds is bounded: requests, their bytes, answers not written. At a bound it
//!   is not read from, and nothing is leased to be pushed; that is all the backpressure there is.
//! - However the task ends, dropping the connection gives back every lease that was not written.

mod alarm;
mod answers;
mod bodies;
mod closing;
mod deadlines;
mod direct;
mod handshake;
mod inbound;
mod outbound;
mod pushes;
mod requests;
mod subscriptions;
mod unsettled;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use forebay_protocol::Reply;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use self::alarm::Alarm;
use self::bodies::{Bodies, Room};
use self::closing::Closing;
use self::inbound::{Inbound, Read};
use self::outbound::Outbound;
use self::requests::InFlight;
use self::subscriptions::Subscriptions;
use crate::caller::{EngineHandle, Outbox};
use crate::chaos::Duplicates;
use crate::ending::{Ending, EndingReceiver, ended};
use crate::limits::Limits;
use crate::memory::{Charge, Memory};

pub(crate) use self::closing::refuse;

/// What all connections of a server share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) engine: EngineHandle,
    pub(crate) limits: Arc<Limits>,
    pub(crate) memory: Memory,
    pub(crate) disk_reads: Arc<Semaphore>,
    pub(crate) duplicates: Option<Duplicates>,
    pub(crate) ending: EndingReceiver,
}

type MoreMemory = Pin<Box<dyn Future<Output = Charge> + Send>>;

/// A connection.
pub(crate) struct Connection {
    stream: Arc<TcpStream>,
    shared: Shared,
    inbound: Inbound,
    outbox: Arc<Outbox>,
    bodies: Bodies,
    outbound: Outbound,
    in_flight: InFlight,
    subscriptions: Subscriptions,
    /// Memory that is waited for before anything more is read.
    more_memory: Option<MoreMemory>,
    /// Whether Hello was answered with Welcome.
    open: bool,
    /// Why the server ends, once it does.
    draining: Option<Ending>,
    connected: Instant,
    heard: Instant,
    alarm: Alarm,
}

impl Connection {
    /// A connection on an accepted socket.
    pub(crate) fn new(stream: TcpStream, shared: Shared) -> Self {
        let now = Instant::now();
        let outbox = Outbox::new(shared.engine.clone(), direct::frame);
        let bodies = Bodies::new(
            shared.engine.clone(),
            shared.memory.clone(),
            Arc::clone(&shared.disk_reads),
        );
        Self {
            inbound: Inbound::new(shared.memory.clone()),
            outbound: Outbound::default(),
            in_flight: InFlight::default(),
            subscriptions: Subscriptions::new(shared.engine.clone()),
            more_memory: None,
            open: false,
            draining: None,
            connected: now,
            heard: now,
            alarm: Alarm::new(now + shared.limits.hello_timeout),
            outbox,
            bodies,
            stream: Arc::new(stream),
            shared,
        }
    }

    /// Serves until the connection ends.
    pub(crate) async fn serve(mut self, peer: SocketAddr) {
        tracing::debug!(%peer, "connected");
        let Err(closing) = self.run().await;
        closing.log(peer);
        // From here on answers go back to where they came from: nobody will write them.
        self.outbox.close();
        self.subscriptions.remove_all();
        self.subscriptions.unsettled.release();
        if let Closing::Told { correlation, error } = closing {
            self.outbound.push(correlation, &Reply::Error(error));
            closing::say_farewell(&mut self.outbound, &self.stream).await;
        }
    }

    async fn run(&mut self) -> Result<Infallible, Closing> {
        let mut answers = Vec::new();
        loop {
            // First: who writes an answer to the lent socket has the outbox until the system has let it go, and
            // the peer's next request may be here by then.
            let taken_all = self.take_frames()?;
            let settled = self.outbox.take(&mut answers);
            self.note_settled(settled);
            for answered in answers.drain(..) {
                self.answer(answered);
            }
            self.outbound.flush(&self.stream)?;
            for leases in self.outbound.take_remembered() {
                self.subscriptions.unsettled.add(leases);
            }
            self.ask_for_subscriptions();
            self.end_if_drained()?;
            if taken_all || !self.may_take() {
                self.wait().await?;
            } else {
                // Answering made room for frames that are here already: nothing would announce them.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits for something to do: bytes, answers, bodies, memory, a deadline, the server's end.
    async fn wait(&mut self) -> Result<(), Closing> {
        let may_read = self.may_take();
        if !may_read {
            self.inbound.pause();
        }
        let interest = match (may_read, !self.outbound.is_empty()) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        };
        let room = self.room_to_write();
        self.alarm.set(self.deadline());
        if self.lend_socket(may_read) {
            // Nothing tells when the peer becomes quiet.
            self.alarm.set(self.quiet_deadline());
        }
        tokio::select! {
            ready = ready(&self.stream, interest) => {
                if may_read && ready?.is_readable() {
                    let read = self.inbound.read(&self.stream)?;
                    self.after_read(read)?;
                }
            }
            () = self.outbox.filled() => {}
            fetched = self.bodies.fetched(room) => {
                for fetched in fetched {
                    self.answer_fetched(fetched);
                }
            }
            charge = granted(&mut self.more_memory) => {
                self.more_memory = None;
                let read = self.inbound.grant(charge, &self.stream)?;
                self.after_read(read)?;
            }
            ending = ended(&mut self.shared.ending), if self.draining.is_none() => {
                self.end_subscriptions(&ending.to_protocol_error());
                self.draining = Some(ending);
            }
            () = &mut self.alarm => {
                let settled = self.outbox.take_settled();
                self.note_settled(settled);
                self.check_deadlines()?;
                self.alarm.move_to(self.deadline());
            }
        }
        Ok(())
    }

    fn after_read(&mut self, read: Read) -> Result<(), Closing> {
        match read {
            Read::Open => Ok(()),
            Read::Closed => Err(Closing::ByPeer),
            Read::Starved(bytes) => {
                self.await_memory(bytes);
                Ok(())
            }
        }
    }

    /// Whether the bounds allow to take another request.
    fn may_take(&self) -> bool {
        let limits = &self.shared.limits;
        self.draining.is_none()
            && self.more_memory.is_none()
            && self.in_flight.has_room(limits)
            && self.outbound.answers_len() < limits.unwritten_bytes_max
    }

    fn has_room_to_write(&self) -> bool {
        self.room_to_write() != Room::Full
    }

    fn room_to_write(&self) -> Room {
        match self.outbound.len() {
            0 => Room::Empty,
            bytes if bytes < self.shared.limits.unwritten_bytes_max => Room::Left,
            _ => Room::Full,
        }
    }

    fn await_memory(&mut self, bytes: usize) {
        self.more_memory = Some(Box::pin(self.inbound.wait_for(bytes)));
    }

    /// Ends a connection of a server that ends, once all it owes is written. Receives that wait
    /// for messages are owed nothing.
    fn end_if_drained(&self) -> Result<(), Closing> {
        match &self.draining {
            Some(ending) if self.in_flight.only_waits() && self.outbound.is_empty() => {
                Err(Closing::told(ending.to_protocol_error()))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Connection {
    /// Also after a panic or a cut: waiting receives must not be served any more.
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// The bodies in one answer: they leave room in its frame for what comes with each message.
fn bodies_bytes_max(limits: &Limits) -> u32 {
    /// At least what the fields of one message take: of a reason's 256 bytes, a queue's name of 80 and
    /// a receipt of 28 the most.
    const FIELDS_BYTES_EACH: u32 = 512;
    const FIELDS_BYTES: u32 = FIELDS_BYTES_EACH * forebay_protocol::RECEIVE_MESSAGES_MAX;
    limits.frame_bytes_max.saturating_sub(FIELDS_BYTES).max(1)
}

async fn ready(stream: &TcpStream, interest: Option<Interest>) -> io::Result<Ready> {
    match interest {
        Some(interest) => stream.ready(interest).await,
        None => std::future::pending().await,
    }
}

async fn granted(more_memory: &mut Option<MoreMemory>) -> Charge {
    match more_memory {
        Some(more_memory) => more_memory.await,
        None => std::future::pending().await,
    }
}
