//! What every client has of one life of the server.

use std::sync::Arc;

use forebay_protocol::client::{Client, ClientError};
use tokio_util::sync::CancellationToken;

use super::body::{body, content};
use super::crew::Habits;
use super::history::{Content, Micros, Number, Outcome, What};
use super::recorder::{Recorder, outcome};

/// One life of the server, as a client has it.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) client: Client,
    pub(super) round: u32,
    pub(super) number: u32,
    pub(super) recorder: Arc<Recorder>,
    pub(super) habits: Habits,
    /// Cancelled when the clients are to stop, if the server does not stop first.
    pub(super) ending: CancellationToken,
}

impl Life {
    pub(super) fn now(&self) -> Micros {
        self.recorder.now()
    }

    pub(super) fn number(&self) -> Number {
        self.recorder.number()
    }

    pub(super) fn body(&self, number: Number) -> Vec<u8> {
        body(self.round, number)
    }

    pub(super) fn content(&self, found: &[u8]) -> Content {
        content(self.round, found)
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    pub(super) fn note<T>(&self, began: Micros, result: &Result<T, ClientError>, what: What) {
        self.recorder.note(self.number, began, result, what);
    }
}

/// Whether a call ended because its server did.
pub(super) fn is_over<T>(result: &Result<T, ClientError>) -> bool {
    match result {
        Ok(_) | Err(ClientError::Refused(_)) => false,
        Err(error) => outcome(error) != Outcome::Ok,
    }
}
