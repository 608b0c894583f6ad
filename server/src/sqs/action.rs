//! The actions of SQS: one table. A request in either protocol becomes one typed value ([`Request`]), and
//! what comes of it one typed answer.

use serde::Deserialize;
use serde_json::Value;

use super::address::queue_of_url;
use super::endpoint::{Asked, Endpoint};
use super::error::{Code, Result, SqsError};
use super::inputs::{self, Input, undecodable};
use super::outputs::Output;
use super::query::PARAMETERS_MAX;
use super::receive::Held;
use super::{move_tasks, permissions, queues, receipts, receive, send};

/// An action's answer, and what it holds until it is written.
pub(crate) struct Answer {
    pub(crate) output: Output,
    pub(crate) held: Option<Held>,
}

impl<T: Into<Output>> From<T> for Answer {
    fn from(output: T) -> Self {
        Self { output: output.into(), held: None }
    }
}

impl<T: Into<Output>> From<(T, Option<Held>)> for Answer {
    fn from((output, held): (T, Option<Held>)) -> Self {
        Self { output: output.into(), held }
    }
}

macro_rules! actions {
    ($( $name:ident $(<$body:lifetime>)? => $handler:path; )*) => {
        /// The name of an action.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Action { $( $name, )* }

        impl Action {
            /// All of them.
            pub(crate) const ALL: &[Action] = &[$( Action::$name, )*];

            pub(crate) fn name(self) -> &'static str {
                match self { $( Self::$name => stringify!($name), )* }
            }

            pub(crate) fn by_name(name: &str) -> Option<Self> {
                match name { $( stringify!($name) => Some(Self::$name), )* _ => None }
            }
        }

        /// A request for an action.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) enum Request<'a> { $( $name(inputs::$name $(<$body>)?), )* }

        impl<'a> Request<'a> {
            /// A request of the JSON protocol.
            pub(crate) fn from_json(action: Action, body: &'a [u8]) -> Result<Self> {
                // A request without members may be without a body.
                let body = if body.is_empty() { b"{}" } else { body };
                check_is_object(body)?;
                check_values(body)?;
                let wrong = |error| undecodable(&error);
                Ok(match action {
                    $( Action::$name => Self::$name(serde_json::from_slice(body).map_err(wrong)?), )*
                })
            }

            /// A request of the Query protocol, as [`super::query`] has made it JSON.
            pub(crate) fn from_value(action: Action, members: Value) -> Result<Self> {
                let wrong = |error| undecodable(&error);
                Ok(match action {
                    $( Action::$name => Self::$name(Deserialize::deserialize(members).map_err(wrong)?), )*
                })
            }

            /// Which action is asked for.
            pub(crate) fn action(&self) -> Action {
                match self { $( Self::$name(_) => Action::$name, )* }
            }

            /// The URL of its queue, if it is about one.
            pub(crate) fn queue_url(&self) -> Option<&str> {
                match self { $( Self::$name(input) => input.queue_url()?.as_deref(), )* }
            }

            /// Where that stands.
            pub(crate) fn queue_url_mut(&mut self) -> Option<&mut Option<String>> {
                match self { $( Self::$name(input) => input.queue_url_mut(), )* }
            }

            async fn handle(self, endpoint: &Endpoint, asked: &Asked) -> Result<Answer> {
                match self {
                    $( Self::$name(input) => Ok($handler(endpoint, asked, input).await?.into()), )*
                }
            }
        }
    };
}

actions! {
    AddPermission => permissions::add;
    CancelMessageMoveTask => move_tasks::cancel;
    ChangeMessageVisibility => receipts::change_visibility;
    ChangeMessageVisibilityBatch => receipts::change_visibility_batch;
    CreateQueue => queues::create;
    DeleteMessage => receipts::delete;
    DeleteMessageBatch => receipts::delete_batch;
    DeleteQueue => queues::delete;
    GetQueueAttributes => queues::get_attributes;
    GetQueueUrl => queues::get_url;
    ListDeadLetterSourceQueues => queues::list_dead_letter_sources;
    ListMessageMoveTasks => move_tasks::list;
    ListQueueTags => queues::list_tags;
    ListQueues => queues::list;
    PurgeQueue => queues::purge;
    ReceiveMessage => receive::receive;
    RemovePermission => permissions::remove;
    SendMessage<'a> => send::send;
    SendMessageBatch<'a> => send::send_batch;
    SetQueueAttributes => queues::set_attributes;
    StartMessageMoveTask => move_tasks::start;
    TagQueue => queues::tag;
    UntagQueue => queues::untag;
}

impl Action {
    /// Whether the Query protocol takes it at the path of a queue.
    pub(crate) fn is_for_queue_path(self) -> bool {
        !matches!(self, Self::CreateQueue | Self::ListQueues)
    }

    /// What the Query protocol calls the items of `Successful` in its answer.
    pub(crate) fn successful_entry(self) -> &'static str {
        match self {
            Self::SendMessageBatch => "SendMessageBatchResultEntry",
            Self::DeleteMessageBatch => "DeleteMessageBatchResultEntry",
            Self::ChangeMessageVisibilityBatch => "ChangeMessageVisibilityBatchResultEntry",
            _ => "Successful",
        }
    }
}

impl Request<'_> {
    /// Does what is asked for.
    pub(crate) async fn act(self, endpoint: &Endpoint, asked: &Asked) -> Result<Answer> {
        let url = self.queue_url().map(str::to_owned);
        let result = self.handle(endpoint, asked).await;
        let Err(error) = &result else { return result };
        // That the queue is not there is said before anything is said of values.
        if is_about_values(error)
            && let Some(name) = url.as_deref().and_then(|url| queue_of_url(url).ok())
        {
            endpoint.describe(name).await?;
        }
        result
    }
}

/// Members have names: a list of values would be taken for them in their order.
fn check_is_object(body: &[u8]) -> Result<()> {
    match body.trim_ascii_start().first() {
        Some(b'{') => Ok(()),
        _ => Err(SqsError::new(Code::Serialization, "expected a JSON object")),
    }
}

/// A request has no more members and items than one of the Query protocol has parameters: each takes far
/// more memory than it may be long.
fn check_values(body: &[u8]) -> Result<()> {
    // Most bodies have few commas, also in their texts. The processor counts many bytes at once if the sum of
    // a stretch fits a byte, and nobody asks whether it does.
    let commas_in = |stretch: &[u8]| {
        stretch.iter().fold(0u8, |commas, byte| commas.wrapping_add(u8::from(*byte == b',')))
    };
    let commas = body.chunks(255).map(|stretch| usize::from(commas_in(stretch))).sum::<usize>();
    if commas < PARAMETERS_MAX {
        return Ok(());
    }
    let (mut values, mut is_text, mut rest) = (1, false, body.iter());
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => is_text = !is_text,
            b'\\' if is_text => drop(rest.next()),
            b',' if !is_text => values += 1,
            _ => {}
        }
    }
    if values <= PARAMETERS_MAX {
        return Ok(());
    }
    let text = format!("{values} members and items, expected at most {PARAMETERS_MAX}");
    Err(SqsError::new(Code::Serialization, text))
}

fn is_about_values(error: &SqsError) -> bool {
    !matches!(
        error.code,
        Code::QueueDoesNotExist
            | Code::MissingParameter
            | Code::InvalidAddress
            | Code::InternalFailure
            | Code::ServiceUnavailable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_twenty_three_actions_and_each_is_found_by_its_name() {
        assert_eq!(Action::ALL.len(), 23);
        for action in Action::ALL {
            assert_eq!(Action::by_name(action.name()), Some(*action));
            let request = Request::from_json(*action, b"").unwrap();
            assert_eq!(request.action(), *action);
        }
        assert_eq!(Action::by_name("sendMessage"), None);
    }

    #[test]
    fn the_same_request_in_either_protocol_is_one_value() {
        let json = br#"{"QueueUrl":"u","MessageBody":"b","DelaySeconds":3,
            "MessageAttributes":{"n":{"DataType":"Binary","BinaryValue":"AQ=="}}}"#;
        let mut query = super::super::query::Parameters::default();
        query
            .add(
            b"QueueUrl=u&MessageBody=b&DelaySeconds=3&MessageAttribute.1.Name=n\
              &MessageAttribute.1.Value.DataType=Binary&MessageAttribute.1.Value.BinaryValue=AQ%3D%3D",
        ).unwrap();
        let of_query = Request::from_value(Action::SendMessage, query.into_json().unwrap());
        assert_eq!(Request::from_json(Action::SendMessage, json), of_query);
        assert!(of_query.is_ok());
    }
}
