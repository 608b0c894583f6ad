//! A connection of the bare server, and what it answers.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use bytes::BytesMut;
use forebay_protocol::{
    Acked, Block, Credited, Delivered, FRAME_HEADER_BYTES, FRAME_LENGTH_BYTES, Limits, Opcode,
    Pong, QueueCreated, Receipt, Received, ReceivedMessage, Reply, Sent, Welcome,
};
use rustix::event::epoll;

use super::BareOptions;
use super::writer::Group;
use crate::BenchError;
use crate::frames::{push_frame, random_bytes};

/// Where the correlation stands in a frame.
const CORRELATION: std::ops::Range<usize> = 8..12;
/// Where the body begins.
const BODY: usize = FRAME_HEADER_BYTES;
/// The most that is read at once, unless a frame is larger.
const READ_BYTES: usize = 256 << 10;
/// What a real receipt takes.
const RECEIPT_BYTES: usize = 28;

/// A frame that is to be answered when it is durable.
pub(super) struct Durable {
    pub(super) connection: u64,
    opcode: u8,
    correlation: u32,
}

/// Whether there is more to come.
pub(super) enum Taken {
    Open,
    Closed,
}

pub(super) struct Connection {
    stream: TcpStream,
    /// Room for a read, and in it the bytes that are not yet a frame.
    arrived: Vec<u8>,
    arrived_bytes: usize,
    pub(super) out: BytesMut,
    /// Whether it waits to write, as the poll knows it.
    watches_out: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        let (arrived, out) = (vec![0; READ_BYTES], BytesMut::new());
        Self { stream, arrived, arrived_bytes: 0, out, watches_out: false }
    }

    /// Takes what has arrived: into the group what must be durable, the rest is answered.
    pub(super) fn take(
        &mut self,
        id: u64,
        answers: &mut Answers,
        group: &mut Group,
    ) -> io::Result<Taken> {
        // What does not fit now is told by the poll again.
        match self.stream.read(&mut self.arrived[self.arrived_bytes..]) {
            Ok(0) => return Ok(Taken::Closed),
            Ok(read) => self.arrived_bytes += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Taken::Open),
            Err(error) => return Err(error),
        }
        let mut rest = &self.arrived[..self.arrived_bytes];
        let mut needed = READ_BYTES;
        while let Some(length) = rest.first_chunk::<FRAME_LENGTH_BYTES>() {
            let frame_bytes = FRAME_LENGTH_BYTES + u32::from_le_bytes(*length) as usize;
            let Some((frame, behind)) = rest.split_at_checked(frame_bytes) else {
                needed = needed.max(frame_bytes);
                break;
            };
            rest = behind;
            let opcode = frame[FRAME_LENGTH_BYTES];
            let correlation = frame[CORRELATION].try_into().map(u32::from_le_bytes);
            let correlation = correlation.expect("a range of four");
            if opcode == Opcode::Send.code() || opcode == Opcode::Ack.code() {
                group.add(frame, Durable { connection: id, opcode, correlation });
            } else {
                let answered = answers.at_once(id, frame, correlation, &mut self.out);
                answered.map_err(|error| io::Error::other(error.to_string()))?;
            }
        }
        let (start, count) = (self.arrived_bytes - rest.len(), rest.len());
        self.arrived.copy_within(start..start + count, 0);
        self.arrived_bytes = count;
        self.arrived.resize(needed.max(self.arrived.len()), 0);
        Ok(Taken::Open)
    }

    /// Writes what can be written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(wrote) => drop(self.out.split_to(wrote)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Has the poll tell when the rest can be written.
    pub(super) fn watch(&mut self, poll: &OwnedFd, id: u64) -> Result<(), BenchError> {
        let watch_out = !self.out.is_empty();
        if watch_out != self.watches_out {
            let out = if watch_out { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let flags = epoll::EventFlags::IN | out;
            epoll::modify(poll, &self.stream, epoll::EventData::new_u64(id), flags)?;
            self.watches_out = watch_out;
        }
        Ok(())
    }
}

/// A subscription, to which a batch may be pushed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) connection: u64,
    subscription: u32,
}

/// Credits of a subscription that are not used.
struct Credits {
    push: Push,
    credits: u32,
}

/// The answers, made as far as possible beforehand.
pub(super) struct Answers {
    waiting: u32,
    batch: u32,
    circulates: bool,
    /// The next one to be pushed to comes first.
    subscriptions: VecDeque<Credits>,
    /// An answer to Receive; the correlation is written over.
    received: BytesMut,
    /// What a subscription is pushed, the same.
    delivered: BytesMut,
}

impl Answers {
    pub(super) fn new(options: &BareOptions) -> Result<Self, BenchError> {
        let receipt = Receipt::new(vec![0; RECEIPT_BYTES]);
        let receipt = receipt.map_err(|error| BenchError::new(error.to_string()))?;
        let message = |seq| -> Result<ReceivedMessage, BenchError> {
            Ok(ReceivedMessage {
                seq,
                receipt: receipt.clone(),
                receive_count: 1,
                sent_ms: 1,
                first_received_ms: 1,
                source: String::new(),
                origin_queue_id: 1,
                origin_seq: seq,
                reason: String::new(),
                block: Block::new(random_bytes(options.bytes)?),
            })
        };
        let messages: Vec<_> =
            (1..=u64::from(options.batch)).map(message).collect::<Result<_, _>>()?;
        let (mut received, mut delivered) = (BytesMut::new(), BytesMut::new());
        let pushed = Delivered { messages: messages.clone(), queue_id: 1, last: false };
        Reply::from(pushed).encode(1, &mut delivered)?;
        Reply::from(Received { messages, queue_id: 1 }).encode(1, &mut received)?;
        Ok(Self {
            waiting: options.messages,
            batch: options.batch,
            circulates: options.circulate,
            subscriptions: VecDeque::new(),
            received,
            delivered,
        })
    }

    /// Answers what is not written down.
    fn at_once(
        &mut self,
        connection: u64,
        frame: &[u8],
        correlation: u32,
        out: &mut BytesMut,
    ) -> Result<(), BenchError> {
        let opcode = frame[FRAME_LENGTH_BYTES];
        let reply = match Opcode::from_code(opcode) {
            Some(Opcode::Receive) if self.waiting >= self.batch => {
                self.waiting -= self.batch;
                push_frame(out, &self.received, correlation);
                return Ok(());
            }
            Some(Opcode::Subscribe) => {
                // Its credits stand behind the queue's name.
                let name = u16::from_le_bytes([frame[BODY], frame[BODY + 1]]);
                let credits = number_at(frame, BODY + 2 + usize::from(name))?;
                self.credit(Push { connection, subscription: correlation }, credits, out);
                return Ok(());
            }
            Some(Opcode::Credit) => {
                let subscription = number_at(frame, BODY)?;
                let credits = number_at(frame, BODY + 4)?;
                self.credit(Push { connection, subscription }, credits, out);
                Credited {}.into()
            }
            Some(Opcode::Receive) => Reply::from(Received { messages: Vec::new(), queue_id: 1 }),
            Some(Opcode::Hello) => {
                let (server, limits) = ("bare".to_owned(), Limits::default());
                Welcome { version: 1, store_id: Default::default(), server, limits }.into()
            }
            Some(Opcode::CreateQueue) => QueueCreated { queue_id: 1, created: true }.into(),
            Some(Opcode::Ping) => Pong {}.into(),
            _ => return Err(BenchError::new(format!("opcode {opcode:#04x} is no part of a load"))),
        };
        Ok(reply.encode(correlation, out)?)
    }

    /// Gives a subscription credits, and pushes at once as many batches as they and what waits allow.
    fn credit(&mut self, push: Push, credits: u32, out: &mut BytesMut) {
        let known = self.subscriptions.iter().position(|known| known.push == push);
        let known = known.unwrap_or_else(|| {
            self.subscriptions.push_back(Credits { push, credits: 0 });
            self.subscriptions.len() - 1
        });
        let unused = &mut self.subscriptions[known].credits;
        *unused += credits;
        while *unused >= self.batch && self.waiting >= self.batch {
            *unused -= self.batch;
            self.waiting -= self.batch;
            push_frame(out, &self.delivered, push.subscription);
        }
    }

    /// Takes the next batch to be pushed, if something waits and somebody has credits. They take turns.
    pub(super) fn next_push(&mut self) -> Option<Push> {
        if self.waiting < self.batch {
            return None;
        }
        let next = self.subscriptions.iter().position(|known| known.credits >= self.batch)?;
        self.subscriptions.rotate_left(next);
        let first = self.subscriptions.front_mut().expect("one was found");
        first.credits -= self.batch;
        let push = first.push;
        self.subscriptions.rotate_left(1);
        self.waiting -= self.batch;
        Some(push)
    }

    /// Pushes a batch.
    pub(super) fn push(&self, push: Push, out: &mut BytesMut) {
        push_frame(out, &self.delivered, push.subscription);
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, connection: u64) {
        self.subscriptions.retain(|known| known.push.connection != connection);
    }

    /// Answers what is durable.
    pub(super) fn durable(
        &mut self,
        durable: &Durable,
        out: &mut BytesMut,
    ) -> Result<(), BenchError> {
        let reply = match durable.opcode == Opcode::Send.code() {
            true => {
                if self.circulates {
                    self.waiting += self.batch;
                }
                Reply::from(Sent { queue_id: 1, first_seq: 1, count: self.batch, seqs: Vec::new() })
            }
            false => Reply::from(Acked { failures: Vec::new() }),
        };
        Ok(reply.encode(durable.correlation, out)?)
    }
}

fn number_at(frame: &[u8], at: usize) -> Result<u32, BenchError> {
    let number = frame.get(at..).and_then(|rest| rest.first_chunk());
    let number = number.ok_or_else(|| BenchError::new("a request is too short"))?;
    Ok(u32::from_le_bytes(*number))
}
