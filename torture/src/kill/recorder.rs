//! Writes down what the clients do, while they do it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use forebay_protocol::client::ClientError;

use super::history::{Call, Micros, Number, Outcome, What};

/// The history of the round that runs, shared by its clients.
#[derive(Debug)]
pub(super) struct Recorder {
    began: Instant,
    next: AtomicU64,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    calls: Vec<Call>,
    tally: Tally,
}

/// What a campaign has done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Messages whose send was answered.
    pub sent: u64,
    /// Messages whose send has an unknown outcome.
    pub sends_unknown: u64,
    /// Messages that came.
    pub delivered: u64,
    /// Messages whose delete was answered.
    pub deleted: u64,
    /// Messages whose delete has an unknown outcome.
    pub deletes_unknown: u64,
    /// Calls of all kinds.
    pub calls: u64,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), next: AtomicU64::new(1), noted: Mutex::default() }
    }

    /// The time now.
    pub(super) fn now(&self) -> Micros {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A number for a message.
    pub(super) fn number(&self) -> Number {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes a call, and that it ends now.
    pub(super) fn note<T>(
        &self,
        life: u32,
        began: Micros,
        result: &Result<T, ClientError>,
        what: What,
    ) {
        let (outcome, error, code) = match result {
            Ok(_) => (Outcome::Ok, String::new(), String::new()),
            Err(error) => (outcome(error), error.to_string(), code(error)),
        };
        let mut noted = self.noted();
        // Read under the lock, so that the calls lie in the order in which they ended.
        let ended = self.now();
        let call = Call { life, began, ended, outcome, error, code, what };
        noted.tally.count(&call);
        noted.calls.push(call);
    }

    /// The calls since the last time.
    pub(super) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.noted().calls)
    }

    /// What was done since the beginning.
    pub(super) fn tally(&self) -> Tally {
        self.noted().tally
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn count(&mut self, call: &Call) {
        self.calls += 1;
        let (sent, deleted) = match &call.what {
            What::Send { messages, .. } => (messages.len(), 0),
            What::Ack { messages, .. } => (0, messages.len()),
            What::Transact { acked, messages, .. } => (messages.len(), acked.len()),
            What::Receive { deliveries, .. } => {
                self.delivered += deliveries.len() as u64;
                (0, 0)
            }
            What::Release { .. } | What::Purge { .. } | What::Count { .. } => (0, 0),
        };
        match call.outcome {
            Outcome::Ok => {
                self.sent += sent as u64;
                self.deleted += deleted as u64;
            }
            Outcome::Unknown => {
                self.sends_unknown += sent as u64;
                self.deletes_unknown += deleted as u64;
            }
            Outcome::Failed => {}
        }
    }
}

/// What an error says of the call's outcome.
pub(super) fn outcome(error: &ClientError) -> Outcome {
    match error {
        ClientError::Refused(_)
        | ClientError::Connect { .. }
        | ClientError::GaveUp { .. }
        | ClientError::TooLong(_)
        | ClientError::FrameTooLarge { .. } => Outcome::Failed,
        ClientError::Unknown { .. } | ClientError::Closed | ClientError::Damaged { .. } => {
            Outcome::Unknown
        }
    }
}

/// What the server said, by name.
fn code(error: &ClientError) -> String {
    match error {
        ClientError::Refused(refused) => format!("{:?}", refused.code),
        ClientError::Unknown { code: Some(code), .. } => format!("{code:?}"),
        _ => String::new(),
    }
}
