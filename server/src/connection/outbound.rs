//! The sending side of a connection: the one place that writes to the socket.
//!
//! Invariant: leases and memory stay with an answer until its last byte was taken by the socket.
//! What subscriptions push is told apart: a client that is slow to read it is still listened to.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use forebay_protocol::{ErrorCode, ProtocolError, ReceivedMessage, Reply};
use tokio::net::TcpStream;

use crate::caller::Leases;
use crate::memory::Charge;

/// What a message takes in a frame besides its payload, about.
const MESSAGE_BYTES: usize = 128;

/// A buffer larger than this is not kept for the next answers.
const BUFFER_BYTES_KEPT: usize = 64 << 10;

/// Answers that the socket has not taken yet.
#[derive(Default)]
pub(super) struct Outbound {
    buffer: BytesMut,
    /// Bytes ever taken by the socket.
    written: u64,
    /// What answers in the buffer hold, in their order.
    held: VecDeque<Held>,
    /// The bytes of what subscriptions pushed and the socket has not wholly taken.
    pushed_bytes: usize,
    /// Messages that the socket has taken and that are to be remembered.
    remembered: Vec<Leases>,
    /// Since when the socket has taken nothing.
    stalled_since: Option<Instant>,
}

/// What is let go when the socket has taken `end` bytes in all.
struct Held {
    end: u64,
    leases: Option<Leases>,
    /// Of what a subscription pushed, its bytes; else 0.
    pushed_bytes: usize,
    /// Whether the leases are remembered after that.
    remember: bool,
    _charge: Arc<Charge>,
}

impl Outbound {
    /// Adds an answer.
    pub(super) fn push(&mut self, correlation: u32, reply: &Reply) {
        if let Err(error) = reply.encode(correlation, &mut self.buffer) {
            tracing::error!(%error, correlation, "an answer could not be encoded");
            let error = ProtocolError::new(ErrorCode::Internal, error.to_string());
            // An error's text is cut to what fits, so this cannot fail, and nothing is left to say.
            let _ = Reply::Error(error).encode(correlation, &mut self.buffer);
        }
        self.stalled_since.get_or_insert_with(Instant::now);
    }

    /// Makes room for messages: their frame would be moved several times while it grows.
    pub(super) fn make_room(&mut self, messages: &[ReceivedMessage]) {
        let bytes = messages.iter().map(|message| MESSAGE_BYTES + message.block.payload_bytes());
        self.buffer.reserve(bytes.sum());
    }

    /// Adds an answer that holds memory, and leases if it is a receive's.
    pub(super) fn push_bodies(
        &mut self,
        correlation: u32,
        reply: &Reply,
        leases: Option<Leases>,
        charge: Arc<Charge>,
    ) {
        self.push(correlation, reply);
        let end = self.written + self.buffer.len() as u64;
        let (pushed_bytes, remember) = (0, false);
        self.held.push_back(Held { end, leases, pushed_bytes, remember, _charge: charge });
    }

    /// Adds what a subscription pushes, as [`Outbound::push_bodies`] adds an answer; returns the
    /// bytes of its frame.
    pub(super) fn push_delivered(
        &mut self,
        correlation: u32,
        reply: &Reply,
        leases: Leases,
        charge: Arc<Charge>,
        remember: bool,
    ) -> usize {
        let before = self.buffer.len();
        self.push(correlation, reply);
        let pushed_bytes = self.buffer.len() - before;
        self.pushed_bytes += pushed_bytes;
        let (end, leases) = (self.written + self.buffer.len() as u64, Some(leases));
        self.held.push_back(Held { end, leases, pushed_bytes, remember, _charge: charge });
        pushed_bytes
    }

    /// Adds the rest of an answer before everything else: the socket has taken the beginning.
    pub(super) fn put_first(&mut self, mut rest: BytesMut) {
        if rest.is_empty() {
            return;
        }
        self.held.iter_mut().for_each(|held| held.end += rest.len() as u64);
        rest.unsplit(std::mem::take(&mut self.buffer));
        self.buffer = rest;
        self.stalled_since.get_or_insert_with(Instant::now);
    }

    /// Messages that the socket has taken and that are to be remembered.
    pub(super) fn take_remembered(&mut self) -> impl Iterator<Item = Leases> + '_ {
        self.remembered.drain(..)
    }

    /// Writes what the socket takes without waiting.
    pub(super) fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.buffer.is_empty() {
            match stream.try_write(&self.buffer) {
                Ok(count) => self.wrote(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The bytes that wait for the socket.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The bytes of answers among them, about.
    pub(super) fn answers_len(&self) -> usize {
        self.buffer.len().saturating_sub(self.pushed_bytes)
    }

    /// Whether the socket has taken everything.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Since when the socket has taken nothing of what waits for it.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    fn wrote(&mut self, count: usize) {
        self.buffer.advance(count);
        self.written += count as u64;
        self.stalled_since = (!self.buffer.is_empty()).then(Instant::now);
        let done = self.held.partition_point(|held| held.end <= self.written);
        for held in self.held.drain(..done) {
            self.pushed_bytes -= held.pushed_bytes;
            match held.leases {
                Some(leases) if held.remember => self.remembered.push(leases),
                Some(leases) => leases.written(),
                None => {}
            }
        }
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_an_answer_comes_before_what_waits_and_counts_like_it() {
        let mut outbound = Outbound::default();
        let pong = Reply::from(forebay_protocol::Pong {});
        outbound.push_bodies(7, &pong, None, Arc::new(Charge::default()));
        let waiting = outbound.buffer.clone();
        outbound.put_first(BytesMut::from("rest"));
        assert_eq!(outbound.buffer, [&b"rest"[..], &waiting].concat());
        outbound.wrote(waiting.len());
        assert_eq!(outbound.held.len(), 1, "four bytes of it are not taken");
        outbound.wrote(4);
        assert!(outbound.held.is_empty());
    }
}
