//! The calls that are not answered, and what a lost connection means for each.
//!
//! ```text
//!            written            answered
//!   waiting ---------> in flight --------> (gone)
//!      ^                   |
//!      |    lost, may be   |  lost, must not be sent twice
//!      `--- sent again ----+--------> outcome unknown
//! ```
//! [`Resend`] says which may be sent again.
//!
//! A frame that was not wholly written cannot have been carried out, so it is always sent again.
//!
//! A receive whose caller stopped waiting is not sent, and gives back what it brings all the same. A
//! send or an ack is sent, and sent again, whether or not somebody waits for its answer.
//!
//! A call that is not answered when the session ends fails as any that is not sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::ClientError;
use super::feeds::{Feed, Feeds};
use super::window::Permits;
use crate::error::{ErrorCode, ProtocolError, Retry};
use crate::frame::{CONNECTION, FrameDecoder, set_correlation};
use crate::operation::{Nack, Opcode, Receive, Reply, Request};

/// What the session's own requests take at the most.
const UNATTENDED_FRAME_BYTES: usize = 24;

/// A reply on its way to who asked.
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// Whether an earlier copy of the request may have been carried out.
    pub(super) resent: bool,
}

/// A copy of what was sent to a FIFO queue is sent again for so long: less than the shortest window in
/// which the queue knows copies, by a minute that requests may take.
const FIFO_RESEND: Duration = Duration::from_secs(240);

/// What the name of a FIFO queue ends in.
const FIFO_SUFFIX: &str = ".fifo";

/// Whether a request that was written may be sent again when its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resend {
    Always,
    /// For so long after it was first written.
    Within(Duration),
    Never,
}

/// One request and who waits for it.
pub(super) struct Call {
    operation: Opcode,
    frame: BytesMut,
    resend: Resend,
    answer: Option<oneshot::Sender<Result<Answer, ClientError>>>,
    _permits: Option<Permits>,
}

/// A call that has its correlation.
struct Numbered {
    call: Call,
    frame: Bytes,
    /// All bytes were handed to the current connection.
    written: bool,
    /// It was written to a connection that was lost.
    resent: bool,
    /// Set where that matters.
    first_written_at: Option<Instant>,
    /// The server is leaving: it waits for the next connection.
    deferred: bool,
}

/// All unanswered calls, in the order they were made, and the subscriptions, which share their
/// correlations.
#[derive(Default)]
pub(super) struct Calls {
    numbered: BTreeMap<u32, Numbered>,
    latest: u32,
    pub(super) feeds: Feeds,
    deferred_count: usize,
}

/// What an answer means for the connection.
pub(super) enum Verdict {
    /// Nothing: go on.
    Stay,
    /// The server is going away; the text says why.
    Leave(String),
    /// Nobody waits for this correlation: the stream cannot be trusted.
    Stray,
    /// Nobody takes the messages that came: this is to be sent, which gives them back.
    GiveBack(Call),
}

impl Resend {
    /// That of a request; with `retries_sends` also of one that may store messages twice.
    pub(super) fn of(request: &Request, retries_sends: bool) -> Resend {
        match request {
            _ if request.may_hit_later() => Resend::Never,
            _ if request.may_double() && !retries_sends => Resend::Never,
            Request::Send(send) if send.queue.ends_with(FIFO_SUFFIX) => Resend::Within(FIFO_RESEND),
            _ => Resend::Always,
        }
    }
}

impl Call {
    /// A call, and where its answer will arrive. The frame has no number yet.
    pub(super) fn new(
        operation: Opcode,
        frame: BytesMut,
        resend: Resend,
        permits: Permits,
    ) -> (Call, oneshot::Receiver<Result<Answer, ClientError>>) {
        let (answer, receiver) = oneshot::channel();
        (Call { operation, frame, resend, answer: Some(answer), _permits: Some(permits) }, receiver)
    }

    /// A request of the session's own, whose answer nobody waits for. When a connection is lost it is
    /// dropped.
    pub(super) fn unattended(request: impl Into<Request>) -> Call {
        let request = request.into();
        let mut frame = BytesMut::with_capacity(UNATTENDED_FRAME_BYTES);
        request.encode(0, &mut frame).expect("it is smaller than what it is about");
        let (operation, resend) = (request.opcode(), Resend::Never);
        Call { operation, frame, resend, answer: None, _permits: None }
    }

    /// What gives back the messages that a receive from `queue` got, and that nobody takes.
    pub(super) fn giving_back(queue: String, answer: Answer) -> Option<Call> {
        let Reply::Received(received) = answer.reply else { return None };
        let receipts = received.messages.into_iter().map(|message| message.receipt);
        let (receipts, reason): (Vec<_>, _) = (receipts.collect(), String::new());
        let any = !receipts.is_empty();
        any.then(|| {
            Call::unattended(Nack { queue, receipts, delay_ms: 0, uncounted: true, reason })
        })
    }

    /// Whether somebody still waits.
    fn wanted(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }

    /// Whether it is a receive that nobody waits for any more.
    pub(super) fn abandoned(&self) -> bool {
        self.operation == Opcode::Receive && !self.wanted()
    }

    /// Whether it is done though nobody may wait for it any more.
    fn outlives_its_caller(&self) -> bool {
        self.answer.is_some() && matches!(self.operation, Opcode::Send | Opcode::Ack)
    }

    /// Tells who asked. Returns the answer if they have stopped waiting.
    fn finish(self, result: Result<Answer, ClientError>) -> Option<Answer> {
        self.answer?.send(result).err()?.ok()
    }

    fn unknown(&self, cause: &str) -> ClientError {
        self.unknown_by(None, cause)
    }

    fn unknown_by(&self, code: Option<ErrorCode>, cause: &str) -> ClientError {
        let (operation, cause) = (self.operation.name(), cause.to_owned());
        ClientError::Unknown { operation, cause, code }
    }
}

impl Calls {
    /// Numbers a call. Returns its correlation and its frame, to be written.
    pub(super) fn add(&mut self, mut call: Call) -> (u32, Bytes) {
        let correlation = self.next_correlation();
        let mut frame = std::mem::take(&mut call.frame);
        set_correlation(&mut frame, correlation);
        let frame = frame.freeze();
        let numbered = Numbered {
            call,
            frame: frame.clone(),
            written: false,
            resent: false,
            first_written_at: None,
            deferred: false,
        };
        self.numbered.insert(correlation, numbered);
        (correlation, frame)
    }

    /// Adds a subscription. It is away until [`Feeds::subscribe`].
    pub(super) fn add_feed(&mut self, feed: Feed) {
        let correlation = self.next_correlation();
        self.feeds.add(correlation, feed);
    }

    fn next_correlation(&mut self) -> u32 {
        let mut correlation = self.latest.wrapping_add(1);
        while correlation == CONNECTION
            || self.numbered.contains_key(&correlation)
            || self.feeds.contains(correlation)
        {
            correlation = correlation.wrapping_add(1);
        }
        self.latest = correlation;
        correlation
    }

    /// The frames to write to a new connection.
    pub(super) fn frames(&mut self, now: Instant) -> impl Iterator<Item = (u32, Bytes)> {
        self.numbered.retain(|_, numbered| !numbered.call.abandoned());
        let numbered = self.numbered.iter();
        let too_late = numbered.filter(|(_, numbered)| numbered.is_too_late(now));
        for correlation in too_late.map(|(correlation, _)| *correlation).collect::<Vec<_>>() {
            let Some(Numbered { call, .. }) = self.numbered.remove(&correlation) else { continue };
            let cause = "its answer was lost, and its queue may have forgotten it meanwhile";
            let error = call.unknown(cause);
            call.finish(Err(error));
        }
        self.numbered.iter().map(|(&correlation, numbered)| (correlation, numbered.frame.clone()))
    }

    /// Whether the current connection owes an answer.
    pub(super) fn any_in_flight(&self) -> bool {
        self.numbered.len() > self.deferred_count
    }

    /// A frame was wholly written.
    pub(super) fn written(&mut self, correlation: u32) {
        if let Some(numbered) = self.numbered.get_mut(&correlation) {
            numbered.written = true;
            if let Resend::Within(_) = numbered.call.resend {
                numbered.first_written_at.get_or_insert_with(Instant::now);
            }
        }
    }

    /// A reply arrived: an error here is a frame that could not be decoded.
    pub(super) fn answered(
        &mut self,
        correlation: u32,
        reply: Result<Reply, ProtocolError>,
    ) -> Verdict {
        let Some(mut numbered) =
            self.numbered.remove(&correlation).filter(|numbered| numbered.written)
        else {
            return Verdict::Stray;
        };
        match reply {
            Ok(Reply::Error(error)) if numbered.waits_after(&error) => {
                let cause = error.to_string();
                // A refusal settles this copy of the request; a failed write does not.
                numbered.written = error.retry == Retry::UnknownOutcome;
                numbered.deferred = true;
                self.deferred_count += 1;
                self.numbered.insert(correlation, numbered);
                Verdict::Leave(cause)
            }
            reply => {
                let result = numbered.result(reply);
                let unclaimed = numbered.call.finish(result);
                let given_back = unclaimed.and_then(|answer| give_back(&numbered.frame, answer));
                given_back.map_or(Verdict::Stay, Verdict::GiveBack)
            }
        }
    }

    /// The connection was lost: what may be sent again stays, the rest has an unknown outcome.
    pub(super) fn lost(&mut self, cause: &str) {
        self.deferred_count = 0;
        self.feeds.lost();
        for (correlation, mut numbered) in std::mem::take(&mut self.numbered) {
            if !numbered.call.wanted() && !numbered.call.outlives_its_caller() {
                continue;
            }
            if numbered.written && numbered.call.resend == Resend::Never {
                let error = numbered.call.unknown(cause);
                numbered.call.finish(Err(error));
                continue;
            }
            numbered.resent |= numbered.written;
            numbered.written = false;
            numbered.deferred = false;
            self.numbered.insert(correlation, numbered);
        }
    }

    /// No other connection will be tried: every call fails.
    pub(super) fn fail(&mut self, error: &ClientError) {
        self.feeds.fail(error);
        self.fail_numbered(error);
    }

    fn fail_numbered(&mut self, error: &ClientError) {
        self.deferred_count = 0;
        for numbered in std::mem::take(&mut self.numbered).into_values() {
            let exposed = numbered.resent || numbered.written;
            let error =
                if exposed { numbered.call.unknown(&error.to_string()) } else { error.clone() };
            numbered.call.finish(Err(error));
        }
    }
}

impl Drop for Calls {
    /// The session has ended: what was written may be carried out.
    fn drop(&mut self) {
        self.fail_numbered(&ClientError::Closed);
    }
}

/// What gives back the messages that an unclaimed answer to the request in `frame` brings. Those of a named
/// attempt stay for whoever asks again.
fn give_back(frame: &[u8], answer: Answer) -> Option<Call> {
    let mut bytes = BytesMut::from(frame);
    let frame = FrameDecoder::new().decode(&mut bytes).ok()??;
    match Request::decode(&frame) {
        Ok(Request::Receive(Receive { queue, attempt, .. })) if attempt.is_empty() => {
            Call::giving_back(queue, answer)
        }
        _ => None,
    }
}

impl Numbered {
    /// Whether an error means to try again on the next connection.
    fn waits_after(&self, error: &ProtocolError) -> bool {
        match error.code {
            ErrorCode::ShuttingDown | ErrorCode::TooManyConnections | ErrorCode::IdleTimeout => {
                true
            }
            // The server stops after it; what it really holds shows after its restart.
            ErrorCode::StorageFailed => self.call.resend != Resend::Never,
            _ => false,
        }
    }

    /// Whether it was written too long ago to be sent again.
    fn is_too_late(&self, now: Instant) -> bool {
        match (self.call.resend, self.first_written_at) {
            (Resend::Within(patience), Some(at)) => self.resent && now >= at + patience,
            _ => false,
        }
    }

    fn result(&self, reply: Result<Reply, ProtocolError>) -> Result<Answer, ClientError> {
        match reply {
            Ok(Reply::Error(error)) => {
                // The first copy may be carried out, whatever became of the second.
                let may_be_done = self.resent
                    && match self.call.operation {
                        Opcode::Send => true,
                        Opcode::StartRedrive => error.code == ErrorCode::RedriveRunning,
                        Opcode::CancelRedrive => error.code == ErrorCode::UnknownRedrive,
                        // These say of the first copy what became of it.
                        Opcode::Transact => !matches!(
                            error.code,
                            ErrorCode::MessageGone
                                | ErrorCode::ReceiptStale
                                | ErrorCode::ReceiptExpired
                        ),
                        _ => false,
                    };
                if error.retry == Retry::UnknownOutcome || may_be_done {
                    return Err(self.call.unknown_by(Some(error.code), &error.to_string()));
                }
                Err(ClientError::Refused(error))
            }
            Ok(reply) => Ok(Answer { reply, resent: self.resent }),
            Err(error) => Err(self.call.unknown(&format!("the reply cannot be read: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::window::Window;
    use crate::operation::{Limits, OutgoingMessage, Send};

    const CAUSE: &str = "as the test says";

    /// A send to `queue` that was written to a connection that was then lost.
    async fn lost(
        calls: &mut Calls,
        queue: &str,
    ) -> oneshot::Receiver<Result<Answer, ClientError>> {
        let permits = Window::new(&Limits::default()).request().await.expect("it is open");
        let request: Request = Send::new(queue, vec![OutgoingMessage::new("m")]).into();
        let mut frame = BytesMut::new();
        request.encode(0, &mut frame).expect("it is short");
        let (call, answer) = Call::new(Opcode::Send, frame, Resend::of(&request, true), permits);
        let (correlation, _) = calls.add(call);
        calls.written(correlation);
        calls.lost(CAUSE);
        answer
    }

    /// Without it the message would be stored again, as one that the queue has never had.
    #[tokio::test]
    async fn what_a_fifo_queue_may_have_forgotten_is_not_sent_again() {
        let mut calls = Calls::default();
        let mut fifo = lost(&mut calls, "q.fifo").await;
        let _other = lost(&mut calls, "q").await;
        let now = Instant::now();
        assert_eq!(calls.frames(now).count(), 2);
        assert_eq!(calls.frames(now + FIFO_RESEND).count(), 1);
        let told = fifo.try_recv().expect("it has ended");
        assert!(matches!(told, Err(ClientError::Unknown { operation: "Send", .. })));
    }
}
