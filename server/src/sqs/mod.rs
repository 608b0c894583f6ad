//! The SQS endpoint: the API of Amazon SQS over HTTP, in front of the same engine as the native protocol.
//! What it does is in `SQS.md`.
//!
//! ```text
//!  HTTP ─▶ JSON ──────────┐                                        ┌─▶ JSON ─▶ HTTP
//!                          ├─▶ Request ─▶ action ─▶ engine ─▶ Output ─┤
//!  HTTP ─▶ Query ─▶ JSON ─┘                                        └─▶ XML ──▶ HTTP
//! ```
//!
//! Nothing of the engine knows of it. Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `digests` | MD5s of several bodies at once |
//! | `characters` | which characters SQS takes |
//! | `error`, `address`, `attribute_name`, `names`, `member`, `inputs`, `outputs` | words: errors, URLs and ARNs, attributes of queues, what the protocols call things, what members are, what each action takes and gives |
//! | `query`, `xml`, `query_json` | the Query protocol to JSON and back, and its own JSON |
//! | `credentials` | access keys |
//! | `config` | how the endpoint is set up |
//! | `recent`, `known`, `rooms`, `endpoint` | what happened to queues of late; their attributes; memory that is used again; what all requests share |
//! | `policy`, `redrive_policy`, `queue_attributes`, `message_attributes`, `batch` | rules of SQS |
//! | `queues`, `permissions`, `move_tasks`, `send`, `receive`, `receipts` | what the actions do |
//! | `action` | the table of actions |
//! | `signature`, `conditions`, `rights` | who has signed a request, what policies ask besides, what each may do |
//! | `cors` | what web pages of other origins may |
//! | `alarm`, `stream`, `http`, `server` | how long a connection waits, its bytes, one request, all connections |

mod action;
mod address;
mod alarm;
mod attribute_name;
mod batch;
mod characters;
mod conditions;
mod config;
mod cors;
mod credentials;
mod digests;
mod endpoint;
mod error;
mod http;
mod inputs;
mod known;
mod member;
mod message_attributes;
mod move_tasks;
mod names;
mod outputs;
mod permissions;
mod policy;
mod query;
mod query_json;
mod queue_attributes;
mod queues;
mod receipts;
mod receive;
mod recent;
mod redrive_policy;
mod rights;
mod rooms;
mod send;
mod server;
mod signature;
mod stream;
mod xml;

pub use config::{ACCOUNT, Config, PAUSE, REGION};
pub use credentials::Credentials;
pub use server::run;

/// The names of all actions. For the fuzzer.
#[doc(hidden)]
pub fn action_names() -> impl ExactSizeIterator<Item = &'static str> {
    action::Action::ALL.iter().map(|action| action.name())
}

/// A request as it was understood. For the fuzzer and the benchmarks.
#[doc(hidden)]
#[derive(Debug, PartialEq, Eq)]
pub struct Understood<'a>(action::Request<'a>);

impl Understood<'_> {
    /// The messages that it sends as a batch: their entries' ids, and their bodies.
    pub fn messages(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = match &self.0 {
            action::Request::SendMessageBatch(batch) => {
                batch.entries.as_deref().unwrap_or_default()
            }
            _ => &[],
        };
        entries
            .iter()
            .filter_map(|entry| Some((entry.id.as_deref()?, entry.message_body.as_deref()?)))
    }
}

/// What a body of the JSON protocol for an action is understood as; `Err`: why it is refused.
#[doc(hidden)]
pub fn understand_json<'a>(action: &str, body: &'a [u8]) -> Result<Understood<'a>, String> {
    let action = action::Action::by_name(action).ok_or("no action")?;
    action::Request::from_json(action, body).map(Understood).map_err(|error| error.message)
}

/// As [`understand_json`], of parameters of the Query protocol, with the JSON that they were made.
#[doc(hidden)]
pub fn understand_query(
    action: &str,
    parameters: &[u8],
) -> Result<(Understood<'static>, String), String> {
    let action = action::Action::by_name(action).ok_or("no action")?;
    let mut found = query::Parameters::default();
    found.add(parameters).map_err(|error| error.message)?;
    let members = found.into_json().map_err(|error| error.message)?;
    let json = members.to_string();
    let request = action::Request::from_value(action, members).map_err(|error| error.message)?;
    Ok((Understood(request), json))
}
