//! What each action is asked with: one type an action, whichever protocol it came in.
//!
//! What a member must be beyond its type is for the actions. Members that are required may be missing
//! here: the error names them. The bodies of messages are where they are in the request, if JSON has them
//! without an escape.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::error::{Code, Result, SqsError};
use super::member::{self, Member};

/// A request's members.
pub(crate) trait Input {
    /// The URL of the queue that the action is about; `None`: it is about none.
    fn queue_url(&self) -> Option<&Option<String>>;

    /// Where it stands.
    fn queue_url_mut(&mut self) -> Option<&mut Option<String>>;
}

macro_rules! inputs {
    ($(
        $kind:ident $name:ident $(<$body:lifetime>)? {
            $( $(#[$meta:meta])* $member:ident: $type:ty, )*
        }
    )*) => { $(
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub(crate) struct $name $(<$body>)? {
            $(
                #[serde(deserialize_with = "member::read")]
                $(#[$meta])*
                pub(crate) $member: Option<$type>,
            )*
        }

        inputs!(@ $kind $name $(<$body>)?);
    )* };
    (@ entry $name:ident $(<$body:lifetime>)?) => {
        impl<$($body,)? 'de $(: $body)?> Member<'de> for $name $(<$body>)? {
            fn read<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                member::structure(deserializer)
            }
        }
    };
    (@ queue $name:ident $(<$body:lifetime>)?) => {
        impl $(<$body>)? Input for $name $(<$body>)? {
            fn queue_url(&self) -> Option<&Option<String>> { Some(&self.queue_url) }

            fn queue_url_mut(&mut self) -> Option<&mut Option<String>> { Some(&mut self.queue_url) }
        }
    };
    (@ account $name:ident) => {
        impl Input for $name {
            fn queue_url(&self) -> Option<&Option<String>> { None }

            fn queue_url_mut(&mut self) -> Option<&mut Option<String>> { None }
        }
    };
}

/// Texts by their names.
pub(crate) type TextMap = BTreeMap<String, String>;

/// Attributes of a message by their names.
pub(crate) type ValueMap = BTreeMap<String, AttributeValue>;

inputs! {
    queue AddPermission {
        queue_url: String,
        label: String,
        #[serde(rename = "AWSAccountIds")]
        aws_account_ids: Vec<String>,
        actions: Vec<String>,
    }
    account CancelMessageMoveTask {
        task_handle: String,
    }
    queue ChangeMessageVisibility {
        queue_url: String,
        receipt_handle: String,
        visibility_timeout: i64,
    }
    queue ChangeMessageVisibilityBatch {
        queue_url: String,
        entries: Vec<VisibilityEntry>,
    }
    entry VisibilityEntry {
        id: String,
        receipt_handle: String,
        visibility_timeout: i64,
    }
    account CreateQueue {
        queue_name: String,
        attributes: TextMap,
        #[serde(rename = "tags", alias = "Tags")]
        tags: TextMap,
    }
    queue DeleteMessage {
        queue_url: String,
        receipt_handle: String,
    }
    queue DeleteMessageBatch {
        queue_url: String,
        entries: Vec<ReceiptEntry>,
    }
    entry ReceiptEntry {
        id: String,
        receipt_handle: String,
    }
    queue DeleteQueue {
        queue_url: String,
    }
    queue GetQueueAttributes {
        queue_url: String,
        attribute_names: Vec<String>,
    }
    account GetQueueUrl {
        queue_name: String,
        #[serde(rename = "QueueOwnerAWSAccountId")]
        queue_owner_aws_account_id: String,
    }
    queue ListDeadLetterSourceQueues {
        queue_url: String,
        max_results: i64,
        next_token: String,
    }
    account ListMessageMoveTasks {
        source_arn: String,
        max_results: i64,
    }
    queue ListQueueTags {
        queue_url: String,
    }
    account ListQueues {
        queue_name_prefix: String,
        max_results: i64,
        next_token: String,
    }
    queue PurgeQueue {
        queue_url: String,
    }
    queue ReceiveMessage {
        queue_url: String,
        attribute_names: Vec<String>,
        message_system_attribute_names: Vec<String>,
        message_attribute_names: Vec<String>,
        max_number_of_messages: i64,
        visibility_timeout: i64,
        wait_time_seconds: i64,
        receive_request_attempt_id: String,
    }
    queue RemovePermission {
        queue_url: String,
        label: String,
    }
    queue SendMessage<'a> {
        queue_url: String,
        #[serde(borrow)]
        message_body: Cow<'a, str>,
        delay_seconds: i64,
        message_attributes: ValueMap,
        message_system_attributes: ValueMap,
        message_deduplication_id: String,
        message_group_id: String,
    }
    queue SendMessageBatch<'a> {
        queue_url: String,
        #[serde(borrow)]
        entries: Vec<SendEntry<'a>>,
    }
    entry SendEntry<'a> {
        id: String,
        #[serde(borrow)]
        message_body: Cow<'a, str>,
        delay_seconds: i64,
        message_attributes: ValueMap,
        message_system_attributes: ValueMap,
        message_deduplication_id: String,
        message_group_id: String,
    }
    entry AttributeValue {
        data_type: String,
        string_value: String,
        // In base64, as it came.
        binary_value: String,
        string_list_values: Vec<String>,
        binary_list_values: Vec<String>,
    }
    queue SetQueueAttributes {
        queue_url: String,
        attributes: TextMap,
    }
    account StartMessageMoveTask {
        source_arn: String,
        destination_arn: String,
        max_number_of_messages_per_second: i64,
    }
    queue TagQueue {
        queue_url: String,
        tags: TextMap,
    }
    queue UntagQueue {
        queue_url: String,
        tag_keys: Vec<String>,
    }
}

/// An error of the JSON protocol's decoder, or of what Query was made into.
pub(super) fn undecodable(error: &serde_json::Error) -> SqsError {
    let mut text = error.to_string();
    // What a member must be is said without where it stands.
    if error.is_data() {
        let place = format!(" at line {} column {}", error.line(), error.column());
        text.truncate(text.strip_suffix(&place).unwrap_or(&text).len());
    }
    SqsError::new(Code::Serialization, text)
}

/// A member that must be given; a text may not be empty.
pub(crate) fn required<T>(member: Option<T>, name: &str) -> Result<T> {
    member.ok_or_else(|| SqsError::missing(name))
}
