//! The endpoint: what all requests share, and how they ask the engine.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use forebay_engine::attributes::Attributes;
use forebay_engine::command::{Command, QueueInfo, Reply};
use forebay_engine::error::RequestError;
use forebay_engine::time::Clock;
use forebay_protocol::MessageId;
use tokio::sync::Semaphore;

use super::address::Addresses;
use super::credentials::Credentials;
use super::error::{Code, Result, SqsError};
use super::known::Known;
use super::recent::Recent;
use super::rooms::Rooms;
use crate::caller::{Answer, Caller, EngineHandle, Leases};
use crate::chaos::Duplicates;
use crate::ending::EndingReceiver;
use crate::limits::Limits;
use crate::memory::Memory;

/// What all requests share.
pub(crate) struct Endpoint {
    pub(crate) engine: EngineHandle,
    pub(crate) limits: Arc<Limits>,
    pub(crate) memory: Memory,
    pub(crate) rooms: Rooms,
    pub(crate) disk_reads: Arc<Semaphore>,
    pub(crate) duplicates: Option<Duplicates>,
    pub(crate) ending: EndingReceiver,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) addresses: Addresses,
    /// Whose requests are taken; `None`: everybody's.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) known: Known,
    pub(crate) deleted: Recent,
    pub(crate) purged: Recent,
    /// Held while attributes are read, changed and written back: notes are one attribute.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

/// What an action knows of the request beside its members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// What the client has reached this server by.
    pub(crate) host: String,
    /// The header X-Amzn-Trace-Id, which stands for a system attribute.
    pub(crate) trace: Option<String>,
    /// The request's body, which members may be a part of.
    pub(crate) body: Bytes,
}

impl Asked {
    /// A text of the request as bytes: where it is, if it is a part of the body.
    pub(crate) fn bytes(&self, text: Cow<'_, str>) -> Bytes {
        match text {
            Cow::Borrowed(text) => self.body.slice_ref(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        }
    }
}

impl Endpoint {
    /// Asks the engine something whose answer brings no messages.
    pub(crate) async fn ask(&self, command: Command) -> std::result::Result<Reply, RequestError> {
        self.begin(command).await
    }

    /// The same for one who has something to do meanwhile: it is asked when this returns.
    pub(crate) fn begin(
        &self,
        command: Command,
    ) -> impl Future<Output = std::result::Result<Reply, RequestError>> + use<> {
        let (caller, answer) = Caller::single(None);
        self.engine.submit(command, caller);
        async {
            match answer.await {
                Ok(Ok(Answer::Other(reply))) => Ok(reply),
                Ok(Err(error)) => Err(error),
                Ok(Ok(Answer::Received(_))) | Err(_) => Err(lost()),
            }
        }
    }

    /// Receives from a queue. Dropped while it waits, it receives nothing.
    pub(crate) async fn receive(
        &self,
        queue: &str,
        mut command: Command,
    ) -> std::result::Result<Leases, RequestError> {
        if let Some(duplicates) = &self.duplicates {
            duplicates.strike(&mut command, queue);
        }
        let (caller, answer) = Caller::single(Some((self.engine.clone(), queue.to_owned())));
        self.engine.submit(command, caller);
        match answer.await {
            Ok(Ok(Answer::Received(leases))) => Ok(leases),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Answer::Other(_))) | Err(_) => Err(lost()),
        }
    }

    /// A queue as it is; `None`: there is none of this name.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<QueueInfo>> {
        match self.ask(Command::DescribeQueue { name: name.to_owned() }).await {
            Ok(Reply::Described(info)) => Ok(Some(info)),
            Err(RequestError::UnknownQueue { .. }) => Ok(None),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(error.into()),
        }
    }

    /// A queue as it is.
    pub(crate) async fn describe(&self, name: &str) -> Result<QueueInfo> {
        self.find(name).await?.ok_or_else(SqsError::unknown_queue)
    }

    /// A queue's attributes; `None`: there is none of this name. They are asked for only if something has changed.
    pub(crate) async fn attributes(&self, name: &str) -> Result<Option<Arc<Attributes>>> {
        // Before it is asked: what changes meanwhile makes what it tells count as older than it is.
        let changes = self.engine.queues_changed();
        if let Some(known) = self.known.get(name, changes) {
            return Ok(Some(known));
        }
        let Some(QueueInfo { attributes, .. }) = self.find(name).await? else { return Ok(None) };
        self.known.tell(name, Arc::clone(&attributes), changes);
        Ok(Some(attributes))
    }

    /// The id of a message of this store.
    pub(crate) fn message_id(&self, queue_id: u32, seq: u64) -> MessageId {
        MessageId::new(self.engine.store_id().0, queue_id, seq)
    }
}

fn lost() -> RequestError {
    RequestError::StorageFailed { cause: "the engine ended without an answer".to_owned() }
}

/// The engine's fault.
pub(crate) fn unexpected() -> SqsError {
    SqsError::internal("the engine gave an answer of another kind than was asked for")
}

/// What the engine refuses, where an action has no better words for it.
impl From<RequestError> for SqsError {
    fn from(error: RequestError) -> Self {
        let text = error.to_string();
        match error {
            RequestError::UnknownQueue { .. } => SqsError::unknown_queue(),
            RequestError::QueueExists { .. } => SqsError::new(Code::QueueNameExists, text),
            RequestError::InFlightFull { .. } => {
                let text = "Too many messages have been received without being deleted. Please \
                            delete your received messages or let them timeout before receiving \
                            more.";
                SqsError::new(Code::OverLimit, text)
            }
            RequestError::AttemptSpent { attempt } => {
                let reason = "The receiveRequestAttemptId is not valid anymore since the receive \
                              call is not retryable.";
                SqsError::invalid_value(attempt, "ReceiveRequestAttemptId", reason)
            }
            RequestError::StorageFull { .. } | RequestError::ShuttingDown => {
                SqsError::new(Code::ServiceUnavailable, text)
            }
            RequestError::StorageFailed { .. } => SqsError::internal(text),
            RequestError::AttributeInvalid { attribute, value, expected } => {
                let parameter = match attribute {
                    "the key of a tag" => "Tag.Key",
                    "the value of a tag" => "Tag.Value",
                    "tags" => "Tags",
                    other => other,
                };
                let value = value.trim_matches('"');
                SqsError::invalid_value(value, parameter, format!("Must be {expected}."))
            }
            _ => SqsError::invalid(text),
        }
    }
}
