//! Answers that are written where the engine gives them, past the connection's task.
//!
//! A task that is woken to write thirty bytes costs its client more than the bytes do. So a task that
//! goes to sleep with nothing to write and one request in flight leaves its socket at the [`Outbox`], and
//! whoever brings a short answer writes it there; what the socket does not take wakes the task. Of
//! several requests the task writes the answers together. It takes the socket back before it does
//! anything else, so no two write at a time.
//!
//! [`Outbox`]: crate::caller::Outbox

use bytes::BytesMut;
use forebay_engine::command::Reply;

use super::Connection;
use crate::caller::{Settled, Ticket};
use crate::replies::{self, Translated};

/// A short answer's frame is no longer.
const FRAME_BYTES: usize = 64;

/// The frame of an answer that is short; `None`: this one is for the task.
pub(super) fn frame(ticket: &Ticket, reply: &Reply) -> Option<BytesMut> {
    let is_short = match reply {
        Reply::Sent(stored) => stored.seqs.is_empty(),
        Reply::Changed { failures } => failures.is_empty(),
        _ => false,
    };
    let short = is_short.then(|| reply.clone())?;
    let Translated::Ready(reply) = replies::translate(short, &ticket.kind) else { return None };
    let mut frame = BytesMut::with_capacity(FRAME_BYTES);
    // One that cannot be encoded is for the task to report.
    reply.encode(ticket.correlation, &mut frame).ok()?;
    Some(frame)
}

impl Connection {
    /// Leaves the socket to those who bring answers, if the task has no use for it: it must wake for
    /// more requests all the same, since nothing tells it of what was answered.
    pub(super) fn lend_socket(&mut self, may_read: bool) -> bool {
        let is_lent = may_read
            && self.open
            && self.draining.is_none()
            && self.outbound.is_empty()
            && self.in_flight.is_single();
        if is_lent {
            self.outbox.lend(&self.stream);
        }
        is_lent
    }

    /// Takes note of what was answered meanwhile.
    pub(super) fn note_settled(&mut self, settled: Settled) {
        self.in_flight.settled(settled.requests, settled.bytes);
        self.outbound.put_first(settled.unwritten);
    }
}
