//! How long a connection waits for its peer, in each of the things it waits for.

use std::time::{Duration, Instant};

use forebay_protocol::{ErrorCode, ProtocolError};

use super::Connection;
use super::closing::Closing;

/// When to look again though nothing is due.
const NOTHING_DUE: Duration = Duration::from_secs(3600);

impl Connection {
    /// The next moment at which [`Connection::check_deadlines`] may find something, unless
    /// something happens before.
    pub(super) fn deadline(&self) -> Instant {
        let limits = &self.shared.limits;
        let hello = self.hello_deadline();
        let frame = self.frame_deadline();
        let write = self.outbound.stalled_since().map(|since| since + limits.write_timeout);
        let idle = self.idle_deadline();
        let all = [hello, frame, write, idle].into_iter().flatten();
        all.min().unwrap_or_else(|| Instant::now() + NOTHING_DUE)
    }

    /// When a peer may be quiet for too long that waits for nothing from now on.
    pub(super) fn quiet_deadline(&self) -> Instant {
        let idle_timeout = self.shared.limits.idle_timeout;
        Instant::now() + if idle_timeout.is_zero() { NOTHING_DUE } else { idle_timeout }
    }

    /// Ends the connection of a peer that was waited for long enough.
    pub(super) fn check_deadlines(&self) -> Result<(), Closing> {
        let limits = &self.shared.limits;
        let now = Instant::now();
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        if self.outbound.stalled_since().is_some_and(|since| now >= since + limits.write_timeout) {
            return Err(Closing::NeverRead {
                unwritten_bytes: self.outbound.len(),
                waited: limits.write_timeout,
            });
        }
        let timed_out = |code: ErrorCode, what: &str, waited: Duration| {
            let text = format!("{what} within {}", humantime::format_duration(waited));
            Err(Closing::told(ProtocolError::new(code, text)))
        };
        if passed(self.hello_deadline()) {
            let code = ErrorCode::HelloExpected;
            return timed_out(code, "no whole Hello came", limits.hello_timeout);
        }
        if let Some((_, bytes)) =
            self.inbound.unfinished().filter(|_| passed(self.frame_deadline()))
        {
            let patience = limits.frame_patience(bytes);
            return timed_out(ErrorCode::IdleTimeout, "a frame began and did not end", patience);
        }
        if passed(self.idle_deadline()) {
            return timed_out(ErrorCode::IdleTimeout, "nothing was heard", limits.idle_timeout);
        }
        Ok(())
    }

    /// When the Hello must be there. One that waits for memory is.
    fn hello_deadline(&self) -> Option<Instant> {
        let is_expected = !self.open && self.more_memory.is_none();
        is_expected.then(|| self.connected + self.shared.limits.hello_timeout)
    }

    fn frame_deadline(&self) -> Option<Instant> {
        let (began, bytes) = self.inbound.unfinished()?;
        Some(began + self.shared.limits.frame_patience(bytes))
    }

    /// When the peer has been quiet for too long. A peer that waits for an answer is not quiet,
    /// nor is one that waits for messages.
    fn idle_deadline(&self) -> Option<Instant> {
        let quiet = !self.shared.limits.idle_timeout.is_zero()
            && self.in_flight.is_empty()
            && self.subscriptions.is_empty()
            && self.outbound.is_empty()
            && self.inbound.unfinished().is_none()
            && self.more_memory.is_none();
        quiet.then(|| self.heard + self.shared.limits.idle_timeout)
    }
}
