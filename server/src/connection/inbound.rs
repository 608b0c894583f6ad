//! The receiving side of a connection: bytes to frames.
//!
//! Invariants:
//! - The buffer grows with what was received, never with what a length field announces; what it
//!   holds beyond a small allowance is charged to the server's memory.
//! - A frame leaves with a charge of its own size. A receive, which may wait long, keeps only a grain of
//!   it; the first few of a connection wait without one if there is none.
//! - A frame within the allowance arrives though no memory is left.

use std::future::Future;
use std::io;
use std::time::Instant;

use bytes::{BufMut, BytesMut};
use forebay_protocol::{FRAME_HEADER_BYTES, Frame, FrameDecoder, FrameError, Opcode};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::memory::{Charge, GRAIN_BYTES, Memory, Need, UNCHARGED_BYTES};

/// The fewest bytes to read at once: what each connection may hold uncharged.
const READ_BYTES_MIN: usize = UNCHARGED_BYTES;
/// So many receives of each connection may wait uncharged.
const RECEIVES_UNCHARGED: usize = READ_BYTES_MIN / GRAIN_BYTES;
/// The most bytes to read at once.
const READ_BYTES_MAX: usize = 256 << 10;

/// Bytes received and not yet taken as frames.
pub(super) struct Inbound {
    memory: Memory,
    buffer: BytesMut,
    decoder: FrameDecoder,
    charge: Charge,
    /// A whole frame that waits for memory.
    held: Option<Frame>,
    /// How much to read next: doubled while the peer fills it.
    read_bytes: usize,
    began: Option<Instant>,
}

/// What [`Inbound::read`] found.
pub(super) enum Read {
    /// Something, or nothing yet.
    Open,
    /// The peer's end of the stream.
    Closed,
    /// So many bytes must be covered first.
    Starved(usize),
}

/// What [`Inbound::next`] found.
pub(super) enum Next {
    /// A frame, and the memory it takes.
    Frame(Frame, Charge),
    /// No whole frame.
    Nothing,
    /// So many bytes must be covered first.
    Starved(usize),
}

impl Inbound {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            memory,
            buffer: BytesMut::new(),
            decoder: FrameDecoder::new(),
            charge: Charge::default(),
            held: None,
            read_bytes: READ_BYTES_MIN,
            began: None,
        }
    }

    /// Accepts frames up to `bytes` long from here on.
    pub(super) fn raise_frame_bytes_max(&mut self, bytes: u32) {
        self.decoder.frame_bytes_max = bytes;
    }

    /// Reads what the socket has, up to a bound.
    pub(super) fn read(&mut self, stream: &TcpStream) -> io::Result<Read> {
        let uncharged = READ_BYTES_MIN.saturating_sub(self.buffer.len());
        let needed = self.buffer.len() + self.read_bytes;
        // Within the allowance nothing but plain grains is worth taking.
        let need = if uncharged > 0 { Need::Waiting } else { Need::Arriving };
        let mut room = self.read_bytes;
        if needed > READ_BYTES_MIN && !self.memory.try_raise(&mut self.charge, need, needed) {
            if uncharged == 0 {
                return Ok(Read::Starved(needed));
            }
            room = room.min(uncharged);
        }
        self.buffer.reserve(room);
        match self.read_some(stream, room) {
            Ok(0) => return Ok(Read::Closed),
            Ok(count) if count == self.read_bytes => {
                self.read_bytes = (2 * count).min(READ_BYTES_MAX);
            }
            Ok(count) => {
                self.read_bytes = count.next_power_of_two().clamp(READ_BYTES_MIN, READ_BYTES_MAX);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(Read::Open)
    }

    /// Reads as much as there is `room` for at the most. Less was all there was: the stream is told so, or it would
    /// be asked once more only to hear that.
    fn read_some(&mut self, stream: &TcpStream, room: usize) -> io::Result<usize> {
        let mut read = 0;
        let all = stream.try_io(Interest::READABLE, || {
            read = stream.try_read_buf(&mut (&mut self.buffer).limit(room))?;
            let has_more = read == 0 || read == room;
            if has_more { Ok(read) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        if read > 0 { Ok(read) } else { all }
    }

    /// Takes the next whole frame of a connection that has so many receives `waiting`.
    pub(super) fn next(&mut self, waiting: usize) -> Result<Next, FrameError> {
        let frame = match self.held.take() {
            Some(frame) => frame,
            None => match self.decoder.decode(&mut self.buffer)? {
                Some(frame) => frame,
                None => {
                    self.settle();
                    return Ok(Next::Nothing);
                }
            },
        };
        self.began = None;
        let (need, bytes) = whole(&frame);
        if !self.memory.try_raise(&mut self.charge, need, bytes) {
            if need == Need::Waiting && waiting < RECEIVES_UNCHARGED {
                return Ok(Next::Frame(frame, Charge::default()));
            }
            self.held = Some(frame);
            return Ok(Next::Starved(bytes));
        }
        let mut charge = self.charge.split(bytes);
        if need == Need::Waiting {
            charge.wait();
        }
        Ok(Next::Frame(frame, charge))
    }

    /// Waits for the memory that `bytes` need beyond what is held.
    pub(super) fn wait_for(&self, bytes: usize) -> impl Future<Output = Charge> + Send + use<> {
        let need = self.held.as_ref().map_or(Need::Arriving, |frame| whole(frame).0);
        self.memory.wait_for(&self.charge, need, bytes)
    }

    /// Takes the memory that was waited for, and reads at once if that is what it is for: memory
    /// that nothing uses goes back at the next look.
    pub(super) fn grant(&mut self, charge: Charge, stream: &TcpStream) -> io::Result<Read> {
        self.charge.merge(charge);
        if self.held.is_some() { Ok(Read::Open) } else { self.read(stream) }
    }

    /// When the frame began that is not whole yet, and how much of it is there.
    pub(super) fn unfinished(&self) -> Option<(Instant, usize)> {
        self.began.map(|began| (began, self.buffer.len()))
    }

    /// Says that nothing is read for now, by the server's own choice: the peer cannot be blamed
    /// for a frame that stays unfinished.
    pub(super) fn pause(&mut self) {
        self.began = None;
    }

    /// Holds no more than what the bytes left need: an idle connection has no buffer.
    fn settle(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.began = None;
            self.charge.lower(0);
        } else {
            self.began.get_or_insert_with(Instant::now);
            let is_within_allowance = self.buffer.len() <= READ_BYTES_MIN;
            self.charge.lower(if is_within_allowance { 0 } else { self.buffer.len() });
        }
    }
}

/// What a whole frame needs memory for, and how much. A receive may wait long, and nothing is left of its frame then.
fn whole(frame: &Frame) -> (Need, usize) {
    match Opcode::from_code(frame.opcode) {
        Some(Opcode::Receive) => (Need::Waiting, GRAIN_BYTES),
        _ => (Need::Whole, FRAME_HEADER_BYTES + frame.body.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::caller::tests::connected;

    fn may_be_read(stream: &TcpStream) -> bool {
        let ready = pin!(stream.ready(Interest::READABLE));
        matches!(ready.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_)))
    }

    #[tokio::test]
    async fn a_stream_that_was_emptied_is_not_asked_again_and_tells_what_comes_later() {
        let (stream, mut peer) = connected().await;
        let mut inbound = Inbound::new(Memory::new(1 << 20));

        let written = [7; READ_BYTES_MIN];
        peer.write_all(&written).await.expect("the sockets take it");
        while inbound.buffer.len() < written.len() {
            stream.readable().await.expect("there is more");
            inbound.read(&stream).expect("it is open");
        }
        for count in 1..=3 {
            peer.write_all(b"more").await.expect("the sockets take it");
            while inbound.buffer.len() < written.len() + 4 * count {
                stream.readable().await.expect("it tells what has come");
                inbound.read(&stream).expect("it is open");
            }
            assert!(!may_be_read(&stream), "all was read");
        }
        drop(peer);
        let mut read = Read::Open;
        while !matches!(read, Read::Closed) {
            stream.readable().await.expect("it tells the end");
            read = inbound.read(&stream).expect("nothing is wrong with it");
        }
        assert!(may_be_read(&stream), "an end stays one");
    }
}
