//! A connection's stream as hyper uses it, with what hyper does not do: a client that takes nothing of its
//! answer is given up, and leases are a client's when the socket has taken every byte of their answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::receive::Held;

/// What answers hold that hyper has buffered and the socket has not taken. Dropped with its connection,
/// it gives leases back.
#[derive(Clone, Default)]
pub(super) struct Unwritten(Arc<Mutex<Vec<Held>>>);

impl Unwritten {
    fn push(&self, held: Held) {
        self.lock().push(held);
    }

    /// The socket has taken everything.
    fn written(&self) {
        for held in std::mem::take(&mut *self.lock()) {
            held.leases.written();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer, in one piece.
pub(super) struct AnswerBody {
    bytes: Bytes,
    held: Option<Held>,
    unwritten: Unwritten,
}

impl AnswerBody {
    pub(super) fn new(bytes: Bytes, held: Option<Held>, unwritten: Unwritten) -> Self {
        Self { bytes, held, unwritten }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        // From here on hyper has it, and the next flush that succeeds is behind it.
        if let Some(held) = self.held.take() {
            self.unwritten.push(held);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// The stream.
pub(super) struct Stream {
    socket: TcpStream,
    unwritten: Unwritten,
    alarm: Alarm,
    write_timeout: Duration,
    /// When the client must have taken something, if it is waited for.
    stalled_until: Option<Instant>,
}

impl Stream {
    pub(super) fn new(
        socket: TcpStream,
        unwritten: Unwritten,
        alarm: Alarm,
        write_timeout: Duration,
    ) -> Self {
        Self { socket, unwritten, alarm, write_timeout, stalled_until: None }
    }

    fn patient<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled_until = None;
            return written;
        }
        let timeout = self.write_timeout;
        let deadline = *self.stalled_until.get_or_insert_with(|| Instant::now() + timeout);
        self.alarm.poll(context, deadline).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.patient(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.patient(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Hyper flushes the stream only when it has written all that it has buffered.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            self.unwritten.written();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
