//! Frames to requests, and requests to the engine.

use std::sync::Arc;
use std::time::Instant;

use forebay_engine::command::Command;
use forebay_protocol::{CONNECTION, Frame, ProtocolError, Reply, Request};

use super::closing::Closing;
use super::inbound::Next;
use super::{Connection, bodies_bytes_max, handshake};
use crate::caller::{Caller, Kind, Ticket};
use crate::dispatch::{Dispatched, dispatch};
use crate::limits::Limits;
use crate::memory::Charge;

/// Requests that were taken and whose answers are not encoded yet.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    requests: usize,
    bytes: usize,
    /// Those of `requests` that are receives without an answer: they may wait long for nothing.
    waiting: usize,
}

impl InFlight {
    fn add(&mut self, ticket: &Ticket) {
        self.requests += 1;
        self.bytes += ticket.cost_bytes;
        self.waiting += usize::from(is_receive(ticket));
    }

    /// The engine has answered, but bodies may be missing.
    pub(super) fn answered(&mut self, ticket: &Ticket) {
        self.waiting -= usize::from(is_receive(ticket));
    }

    /// The answer is encoded.
    pub(super) fn remove(&mut self, ticket: &Ticket) {
        self.requests -= 1;
        self.bytes -= ticket.cost_bytes;
    }

    /// So many were answered past the task, none of them receives.
    pub(super) fn settled(&mut self, requests: usize, bytes: usize) {
        self.requests -= requests;
        self.bytes -= bytes;
    }

    /// Whether another request may be taken: one always may.
    pub(super) fn has_room(&self, limits: &Limits) -> bool {
        self.requests == 0
            || (self.requests < limits.connection_requests_max
                && self.bytes < limits.connection_bytes_max)
    }

    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.requests == 0
    }

    /// Whether one request is.
    pub(super) fn is_single(&self) -> bool {
        self.requests == 1
    }

    /// Whether nothing is in flight but receives that wait for a message.
    pub(super) fn only_waits(&self) -> bool {
        self.requests == self.waiting
    }
}

fn is_receive(ticket: &Ticket) -> bool {
    matches!(ticket.kind, Kind::Receive { .. })
}

impl Connection {
    /// Takes the frames that are whole, as far as the bounds allow. Of a server that ends, all:
    /// they are refused. False when a bound was reached before the last.
    pub(super) fn take_frames(&mut self) -> Result<bool, Closing> {
        while self.may_take() || (self.draining.is_some() && self.more_memory.is_none()) {
            let next = self.inbound.next(self.in_flight.waiting);
            match next.map_err(|error| Closing::told(error.to_protocol_error()))? {
                Next::Nothing => return Ok(true),
                Next::Starved(bytes) => self.await_memory(bytes),
                Next::Frame(frame, charge) => {
                    self.heard = Instant::now();
                    if self.open {
                        self.take_request(frame, charge)?;
                    } else {
                        self.greet(&frame)?;
                    }
                }
            }
        }
        Ok(false)
    }

    fn greet(&mut self, frame: &Frame) -> Result<(), Closing> {
        let limits = &self.shared.limits;
        match handshake::greet(frame, self.shared.engine.store_id(), limits) {
            Ok(greeting) => {
                tracing::debug!(client = greeting.client, "said hello");
                self.open = true;
                self.inbound.raise_frame_bytes_max(limits.frame_bytes_max);
                self.outbound.push(frame.correlation, &greeting.welcome.into());
                Ok(())
            }
            Err(error) => Err(Closing::Told { correlation: frame.correlation, error }),
        }
    }

    fn take_request(&mut self, frame: Frame, charge: Charge) -> Result<(), Closing> {
        let correlation = frame.correlation;
        match self.dispatch(&frame) {
            Ok(Dispatched::Answer(reply)) => self.outbound.push(correlation, &reply),
            Ok(Dispatched::Ask { command, kind, answer_bytes_max }) => {
                let cost_bytes = frame.body.len() + answer_bytes_max;
                self.settle(&command);
                self.ask(command, correlation, kind, cost_bytes, charge);
            }
            Ok(Dispatched::Subscribe(subscribe)) => {
                return self.subscribe(correlation, subscribe, charge);
            }
            Ok(Dispatched::Unsubscribe(unsubscribe)) => self.unsubscribe(correlation, &unsubscribe),
            Ok(Dispatched::Credit(credit)) => self.credit(correlation, &credit),
            // The error's frame says that the connection ends.
            Err(error) if correlation == CONNECTION => return Err(Closing::told(error)),
            Err(error) => self.refuse(correlation, error),
        }
        Ok(())
    }

    /// Gives a request to the engine.
    pub(super) fn ask(
        &mut self,
        command: Command,
        correlation: u32,
        kind: Kind,
        cost_bytes: usize,
        charge: Charge,
    ) {
        let ticket = Ticket { correlation, cost_bytes, charge, kind };
        self.in_flight.add(&ticket);
        self.submit(command, ticket);
    }

    /// Gives a command to the engine, whose answer comes with the ticket.
    pub(super) fn submit(&self, mut command: Command, ticket: Ticket) {
        if let Some(duplicates) = &self.shared.duplicates
            && let Kind::Receive { queue } | Kind::Push { queue, .. } = &ticket.kind
        {
            duplicates.strike(&mut command, queue);
        }
        let caller = Caller::connection(Arc::clone(&self.outbox), ticket);
        self.shared.engine.submit(command, caller);
    }

    pub(super) fn refuse(&mut self, correlation: u32, error: ProtocolError) {
        tracing::debug!(correlation, %error, "refused");
        self.outbound.push(correlation, &Reply::Error(error));
    }

    /// Messages whose receipts the client shows are its own to deal with from here on.
    fn settle(&mut self, command: &Command) {
        let unsettled = &mut self.subscriptions.unsettled;
        match command {
            Command::Ack { receipts, .. } | Command::Nack { receipts, .. } => {
                unsettled.settle(receipts.iter());
            }
            Command::Transact { acks, .. } => {
                unsettled.settle(acks.iter().flat_map(|acks| &acks.receipts));
            }
            Command::ChangeVisibility { changes, .. } => {
                unsettled.settle(changes.iter().map(|(receipt, _)| receipt));
            }
            _ => {}
        }
    }

    fn dispatch(&self, frame: &Frame) -> Result<Dispatched, ProtocolError> {
        match &self.draining {
            Some(ending) => Err(ending.to_protocol_error()),
            None => dispatch(Request::decode(frame)?, bodies_bytes_max(&self.shared.limits)),
        }
    }
}
