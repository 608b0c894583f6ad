//! One connection, from after its greeting to its end. It decides nothing about calls: `calls` does.
//!
//! A single task reads, writes and takes new calls, whichever is ready; so no lock is held and no
//! byte is written by two.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Order;
use super::calls::{Call, Calls, Verdict};
use super::end::{End, check_read};
use super::greeting::Greeted;
use super::outgoing::Outgoing;
use crate::error::{ProtocolError, Retry};
use crate::frame::{CONNECTION, FRAME_HEADER_BYTES, FRAME_LENGTH_BYTES, FrameDecoder};
use crate::operation::{Ping, Reply, Welcome};

/// How long a server that is going away may take to answer what it has begun.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was greeted.
pub(super) struct Connection {
    stream: TcpStream,
    decoder: FrameDecoder,
    buffer: BytesMut,
    welcome: Welcome,
    outgoing: Outgoing,
    began_at: Instant,
    /// Since when nothing was written.
    written_at: Instant,
    /// Since when there was no sign of life from the server.
    heard_at: Instant,
    /// Until when, and why, no more calls are taken.
    leaving: Option<(Instant, String)>,
    /// Whether any call was answered.
    pub(super) answered: bool,
}

impl Connection {
    /// A connection to drive, once it is greeted.
    pub(super) fn new(greeted: Greeted) -> Connection {
        let Greeted { stream, decoder, buffer, welcome } = greeted;
        let now = Instant::now();
        Connection {
            stream,
            decoder,
            buffer,
            welcome,
            outgoing: Outgoing::default(),
            began_at: now,
            written_at: now,
            heard_at: now,
            leaving: None,
            answered: false,
        }
    }

    /// How long it has stood.
    pub(super) fn age(&self) -> Duration {
        self.began_at.elapsed()
    }

    pub(super) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Sends `calls` and those that come, and answers them, until the connection ends.
    pub(super) async fn drive(
        &mut self,
        calls: &mut Calls,
        incoming: &mut mpsc::UnboundedReceiver<Order>,
    ) -> End {
        let frames: Vec<_> = calls.frames(Instant::now()).collect();
        for (correlation, frame) in frames.into_iter().chain(calls.feeds.subscribe()) {
            self.outgoing.push(correlation, frame);
        }
        match self.turns(calls, incoming).await {
            Ok(()) => End::Unused,
            // Why the server left says more than how.
            Err(End::Lost(cause)) => End::Lost(self.leaving.take().map_or(cause, |(_, why)| why)),
            Err(end) => end,
        }
    }

    /// Does whatever is ready, again and again.
    async fn turns(
        &mut self,
        calls: &mut Calls,
        incoming: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<(), End> {
        loop {
            self.take_frames(calls)?;
            if self.leaving.is_some() && !calls.any_in_flight() {
                return Err(End::Lost("the server is leaving".to_owned()));
            }
            let wake_at = self.wake_at(calls);
            let (mut reader, mut writer) = self.stream.split();
            self.decoder.make_room(&mut self.buffer);
            select! {
                // What was heard counts before any silence. Replies cannot keep calls from being
                // written for long: without calls there are no replies.
                biased;
                read = reader.read_buf(&mut self.buffer) => {
                    check_read(read)?;
                    self.heard_at = Instant::now();
                }
                written = self.outgoing.write(&mut writer), if !self.outgoing.is_empty() => {
                    self.outgoing.advance(written?, |correlation| calls.written(correlation));
                    self.written_at = Instant::now();
                    if !self.outgoing.is_empty() {
                        // The socket was full: more is taken only when the server reads.
                        self.heard_at = self.written_at;
                    }
                }
                order = incoming.recv(), if self.leaving.is_none() => {
                    let Some(order) = order else { return Ok(()) };
                    self.obey(calls, order);
                    // Whatever came meanwhile leaves in the same write.
                    while let Ok(order) = incoming.try_recv() {
                        self.obey(calls, order);
                    }
                }
                () = sleep_until_some(wake_at) => self.woke(calls)?,
            }
        }
    }

    fn obey(&mut self, calls: &mut Calls, order: Order) {
        match order {
            Order::Call(call) if call.abandoned() => {}
            Order::Call(call) => self.push(calls, call),
            Order::Subscribe(feed) => {
                calls.add_feed(feed);
                for (correlation, frame) in calls.feeds.subscribe() {
                    self.outgoing.push(correlation, frame);
                }
            }
            Order::Note(note) => {
                if let Some(call) = calls.feeds.note(&note) {
                    self.push(calls, call);
                }
            }
        }
    }

    fn push(&mut self, calls: &mut Calls, call: Call) {
        // Silence counts from when an answer is owed.
        if !calls.any_in_flight() {
            self.heard_at = Instant::now();
        }
        let (correlation, frame) = calls.add(call);
        self.outgoing.push(correlation, frame);
    }

    /// Answers the calls whose replies have arrived.
    fn take_frames(&mut self, calls: &mut Calls) -> Result<(), End> {
        loop {
            let Some(frame) = self.decoder.decode(&mut self.buffer)? else {
                return Ok(());
            };
            let reply = Reply::decode(&frame);
            if frame.correlation == CONNECTION {
                self.notice(reply)?;
                continue;
            }
            let verdict = match calls.feeds.contains(frame.correlation) {
                true => {
                    let length = FRAME_HEADER_BYTES - FRAME_LENGTH_BYTES + frame.body.len();
                    calls.feeds.answered(frame.correlation, reply, length)
                }
                false => calls.answered(frame.correlation, reply),
            };
            match verdict {
                Verdict::Stay => self.answered = true,
                Verdict::Leave(cause) => self.leave(cause),
                Verdict::GiveBack(call) => self.push(calls, call),
                Verdict::Stray => {
                    let text = format!(
                        "a reply to correlation {}, which is not waiting",
                        frame.correlation
                    );
                    return Err(End::Lost(text));
                }
            }
        }
    }

    /// An error about the connection itself.
    fn notice(&mut self, reply: Result<Reply, ProtocolError>) -> Result<(), End> {
        match reply {
            Ok(Reply::Error(error)) if error.retry == Retry::Never => Err(End::Refused(error)),
            Ok(Reply::Error(error)) => {
                self.leave(error.to_string());
                Ok(())
            }
            Ok(other) => Err(End::Lost(format!("{} with correlation 0", other.name()))),
            Err(error) => Err(End::Lost(error.to_string())),
        }
    }

    /// Takes no more calls; what is in flight may still be answered.
    fn leave(&mut self, cause: String) {
        self.leaving.get_or_insert((Instant::now() + LEAVE_TIMEOUT, cause));
    }

    /// When something must be done though nothing arrives.
    fn wake_at(&self, calls: &Calls) -> Option<Instant> {
        let leave_at = self.leaving.as_ref().map(|(at, _)| *at);
        let idle_timeout = self.idle_timeout();
        let silent_at =
            idle_timeout.filter(|_| calls.any_in_flight()).map(|idle| self.heard_at + idle);
        let ping_at =
            idle_timeout.filter(|_| self.leaving.is_none()).map(|idle| self.written_at + idle / 3);
        [leave_at, silent_at, ping_at].into_iter().flatten().min()
    }

    fn woke(&mut self, calls: &mut Calls) -> Result<(), End> {
        let now = Instant::now();
        if self.leaving.as_ref().is_some_and(|(at, _)| now >= *at) {
            return Err(End::Lost("the server did not leave in time".to_owned()));
        }
        let Some(idle) = self.idle_timeout() else {
            return Ok(());
        };
        if calls.any_in_flight() && now >= self.heard_at + idle {
            return Err(End::Lost(format!("nothing was heard for {idle:?}")));
        }
        if self.leaving.is_none() && now >= self.written_at + idle / 3 {
            // The next ping is due a third later, whether or not this one can be written now.
            self.written_at = now;
            self.push(calls, Call::unattended(Ping {}));
        }
        Ok(())
    }

    fn idle_timeout(&self) -> Option<Duration> {
        let idle_timeout_ms = self.welcome.limits.idle_timeout_ms;
        (idle_timeout_ms > 0).then(|| Duration::from_millis(idle_timeout_ms.into()))
    }
}

/// Sleeps until then; for ever if there is no then.
async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
