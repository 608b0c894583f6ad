//! A server that does what a test tells it: it knows frames, and nothing of queues.

#![allow(dead_code, reason = "each test uses a part of this module")]

use std::time::Duration;

use bytes::BytesMut;
use forebay_protocol::client::{Client, ClientOptions};
use forebay_protocol::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// Where clients connect.
pub(crate) struct Script {
    listener: TcpListener,
    limits: Limits,
}

/// One connection, from the server's side.
pub(crate) struct Peer {
    stream: TcpStream,
    decoder: FrameDecoder,
    buffer: BytesMut,
}

/// Options that lose no time.
pub(crate) fn options() -> ClientOptions {
    ClientOptions { backoff_min: Duration::from_millis(1), ..ClientOptions::default() }
}

/// The frame of a reply.
pub(crate) fn reply_bytes(correlation: u32, reply: impl Into<Reply>) -> BytesMut {
    let mut out = BytesMut::new();
    reply.into().encode(correlation, &mut out).expect("a reply of a test is short");
    out
}

impl Script {
    pub(crate) async fn listen() -> Script {
        Script {
            listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port"),
            limits: Limits::default(),
        }
    }

    pub(crate) fn with_limits(self, change: impl FnOnce(&mut Limits)) -> Script {
        let mut limits = self.limits;
        change(&mut limits);
        Script { limits, ..self }
    }

    pub(crate) fn addr(&self) -> String {
        self.listener.local_addr().expect("a bound address").to_string()
    }

    /// A client, and its connection on this side.
    pub(crate) async fn client(&self, options: ClientOptions) -> (Client, Peer) {
        let (client, peer) = tokio::join!(Client::connect(self.addr(), options), self.accept());
        (client.expect("the client connects"), peer)
    }

    /// The next connection, greeted.
    pub(crate) async fn accept(&self) -> Peer {
        let (mut peer, correlation) = self.accept_hello().await;
        self.welcome(&mut peer, correlation).await;
        peer
    }

    /// Answers a connection's Hello.
    pub(crate) async fn welcome(&self, peer: &mut Peer, correlation: u32) {
        let limits = self.limits.clone();
        let welcome =
            Welcome { version: 1, store_id: Uuid::from_u128(1), server: "script".into(), limits };
        peer.decoder.frame_bytes_max = welcome.limits.frame_bytes_max;
        peer.reply(correlation, welcome).await;
    }

    /// The next connection, and the correlation of its Hello.
    pub(crate) async fn accept_hello(&self) -> (Peer, u32) {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        let mut peer = Peer { stream, decoder: FrameDecoder::new(), buffer: BytesMut::new() };
        let (correlation, request) = peer.request().await;
        assert!(matches!(request, Request::Hello(_)), "{request:?}");
        (peer, correlation)
    }
}

impl Peer {
    /// The next request.
    pub(crate) async fn request(&mut self) -> (u32, Request) {
        loop {
            if let Some(request) = self.arrived() {
                return request;
            }
            let bytes = self.stream.read_buf(&mut self.buffer).await.expect("the client is there");
            assert!(bytes > 0, "the client closed the connection");
        }
    }

    /// The next request, if it is here once all tasks had many turns.
    pub(crate) async fn request_if_any(&mut self) -> Option<(u32, Request)> {
        for _ in 0..200 {
            tokio::task::yield_now().await;
            if let Ok(bytes) = self.stream.try_read_buf(&mut self.buffer) {
                assert!(bytes > 0, "the client closed the connection");
            }
        }
        self.arrived()
    }

    fn arrived(&mut self) -> Option<(u32, Request)> {
        let frame = self.decoder.decode(&mut self.buffer).expect("a frame")?;
        Some((frame.correlation, Request::decode(&frame).expect("a request")))
    }

    pub(crate) async fn reply(&mut self, correlation: u32, reply: impl Into<Reply>) {
        self.write(&reply_bytes(correlation, reply)).await;
    }

    pub(crate) async fn refuse(&mut self, correlation: u32, code: ErrorCode) {
        self.reply(correlation, ProtocolError::new(code, "as the script says")).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the client is there");
    }

    /// Waits until the client has closed its side.
    pub(crate) async fn closed(&mut self) {
        while self.stream.read_buf(&mut self.buffer).await.is_ok_and(|bytes| bytes > 0) {}
    }
}
