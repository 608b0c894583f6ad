//! A connection on which a test says what it likes.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use forebay_protocol::{ErrorCode, Frame, FrameDecoder, Hello, Reply, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::within;

pub(crate) struct Raw {
    stream: TcpStream,
    buffer: BytesMut,
    decoder: FrameDecoder,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connect", TcpStream::connect(address)).await.unwrap();
        let decoder = FrameDecoder { frame_bytes_max: u32::MAX };
        Self { stream, buffer: BytesMut::new(), decoder }
    }

    /// A connection for which the system takes little of what comes as long as nobody reads it.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = within("a connect", socket.connect(address)).await.unwrap();
        let decoder = FrameDecoder { frame_bytes_max: u32::MAX };
        Self { stream, buffer: BytesMut::new(), decoder }
    }

    /// Says Hello and hears Welcome.
    pub(crate) async fn greet(mut self) -> Self {
        self.request(1, Hello::new("a test")).await;
        match self.reply().await {
            Some((1, Reply::Welcome(_))) => self,
            other => panic!("expected Welcome, found {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within("a write", self.stream.write_all(bytes)).await.unwrap();
    }

    /// Sends without minding whether the server still listens; false when it does not.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        within("a write", self.stream.write_all(bytes)).await.is_ok()
    }

    pub(crate) async fn request(&mut self, correlation: u32, request: impl Into<Request>) {
        self.send(&frame(correlation, request)).await;
    }

    /// The next reply; `None` when the server has closed the connection.
    pub(crate) async fn reply(&mut self) -> Option<(u32, Reply)> {
        let frame = within("a reply", self.frame()).await?;
        Some((frame.correlation, Reply::decode(&frame).unwrap()))
    }

    /// The next reply, which must be an error.
    pub(crate) async fn error(&mut self) -> (u32, ErrorCode, String) {
        match self.reply().await {
            Some((correlation, Reply::Error(error))) => (correlation, error.code, error.text),
            other => panic!("expected an error, found {other:?}"),
        }
    }

    /// Waits until the server has closed the connection, without another word.
    pub(crate) async fn closed(&mut self) {
        let reply = self.reply().await;
        assert!(reply.is_none(), "expected the end of the connection, found {reply:?}");
    }

    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("reading a reply: {error}"),
            }
        }
    }
}

/// A request as bytes.
pub(crate) fn frame(correlation: u32, request: impl Into<Request>) -> BytesMut {
    let mut bytes = BytesMut::new();
    request.into().encode(correlation, &mut bytes).unwrap();
    bytes
}
