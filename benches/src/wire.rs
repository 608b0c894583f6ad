//! A connection of the load generator: frames out, frames in, and nothing between.
//!
//! Not the client of `forebay-protocol`: the load must cost as little as can be, and the same
//! against both servers.

use std::io::IoSlice;

use bytes::BytesMut;
use forebay_protocol::{Frame, FrameDecoder, Hello, Operation, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::BenchError;
use crate::frames::{encode, numbered};

/// A connection that has said Hello.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    decoder: FrameDecoder,
    arrived: BytesMut,
}

impl Wire {
    /// Connects and says Hello.
    pub(crate) async fn connect(address: &str) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(BenchError::doing(format_args!("cannot connect to {address}")))?;
        stream.set_nodelay(true)?;
        let (decoder, arrived) = (FrameDecoder::new(), BytesMut::new());
        let mut wire = Self { stream, decoder, arrived };
        let welcome = wire.ask(Hello::new("forebay bench")).await?;
        wire.decoder.frame_bytes_max = welcome.limits.frame_bytes_max;
        Ok(wire)
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask<O: Operation>(&mut self, request: O) -> Result<O::Reply, BenchError> {
        let frame = encode(&request.into(), 1)?;
        self.write(&frame).await?;
        let frame = self.read().await?;
        match O::reply(reply_of(&frame)?) {
            Some(reply) => Ok(reply),
            None => Err(BenchError::new(format!("opcode {:#04x} is no answer", frame.opcode))),
        }
    }

    /// Writes whole frames.
    pub(crate) async fn write(&mut self, frames: &[u8]) -> Result<(), BenchError> {
        let wrote = self.stream.write_all(frames).await;
        wrote.map_err(BenchError::doing("cannot write to the server"))
    }

    /// Writes frames, each with the correlation that it is given: without a copy of their bodies.
    pub(crate) async fn write_numbered(
        &mut self,
        frames: impl Iterator<Item = (u32, &[u8])>,
    ) -> Result<(), BenchError> {
        let (heads, bodies): (Vec<_>, Vec<_>) = frames.map(|(n, frame)| numbered(frame, n)).unzip();
        let parts = heads.iter().zip(bodies);
        let parts = parts.flat_map(|(head, body)| [IoSlice::new(head), IoSlice::new(body)]);
        let mut parts: Vec<_> = parts.collect();
        let mut rest = &mut parts[..];
        while !rest.is_empty() {
            match self.stream.write_vectored(rest).await {
                Ok(0) => return Err(BenchError::new("the server takes nothing any more")),
                Ok(count) => IoSlice::advance_slices(&mut rest, count),
                Err(error) => return Err(BenchError::doing("cannot write to the server")(error)),
            }
        }
        Ok(())
    }

    /// Waits for a frame.
    pub(crate) async fn read(&mut self) -> Result<Frame, BenchError> {
        loop {
            if let Some(frame) = self.next_arrived()? {
                return Ok(frame);
            }
            self.decoder.make_room(&mut self.arrived);
            let read = self.stream.read_buf(&mut self.arrived).await;
            if read.map_err(BenchError::doing("cannot read from the server"))? == 0 {
                return Err(BenchError::new("the server closed the connection"));
            }
        }
    }

    /// A frame that has arrived already.
    pub(crate) fn next_arrived(&mut self) -> Result<Option<Frame>, BenchError> {
        Ok(self.decoder.decode(&mut self.arrived)?)
    }
}

/// The reply in a frame; an Error frame is an error.
pub(crate) fn reply_of(frame: &Frame) -> Result<Reply, BenchError> {
    match Reply::decode(frame)? {
        Reply::Error(error) => Err(error.into()),
        reply => Ok(reply),
    }
}

/// Does one request on a connection of its own.
pub(crate) async fn ask_once<O: Operation>(
    address: &str,
    request: O,
) -> Result<O::Reply, BenchError> {
    Wire::connect(address).await?.ask(request).await
}
