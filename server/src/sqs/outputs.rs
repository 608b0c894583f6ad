//! What each action is answered with: one type an action, from which both protocols are written.
//!
//! An empty list or map is absent from an answer.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer};

use super::digests::Md5;
use super::inputs::TextMap;

macro_rules! outputs {
    ($( $name:ident { $( $(#[$meta:meta])* $member:ident: $type:ty, )* } )*) => {
        $(
            #[derive(Debug, Clone, Default, PartialEq, Serialize)]
            #[serde(rename_all = "PascalCase")]
            pub(crate) struct $name {
                $(
                    #[serde(skip_serializing_if = "Absent::is_absent")]
                    $(#[$meta])*
                    pub(crate) $member: $type,
                )*
            }
        )*
    };
}

/// A value that may be nothing.
trait Absent {
    fn is_absent(&self) -> bool;
}

impl<T> Absent for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T> Absent for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// A message's id, or an MD5 in hexadecimal, where it stands: a batch has twenty of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    bytes: [u8; SHORT_BYTES_MAX],
    length: usize,
}

/// The length of a UUID.
const SHORT_BYTES_MAX: usize = 36;

impl Short {
    /// Something as text, which must be no longer than a UUID.
    pub(crate) fn of(what: impl Display) -> Self {
        let mut short = Self::default();
        write!(short, "{what}").expect("an id or a digest is no longer than a UUID");
        short
    }

    /// An MD5 in hexadecimal.
    pub(crate) fn of_md5(md5: &Md5) -> Self {
        let mut short = Self { length: 2 * md5.len(), ..Self::default() };
        HEXLOWER.encode_mut(md5, &mut short.bytes[..short.length]);
        short
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("only whole texts are written")
    }
}

impl Default for Short {
    fn default() -> Self {
        Self { bytes: [0; SHORT_BYTES_MAX], length: 0 }
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Absent for Short {
    fn is_absent(&self) -> bool {
        false
    }
}

/// A text in the bytes that it was read into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(Bytes);

impl Text {
    /// `None`: it is no text.
    pub(crate) fn of(bytes: &Bytes) -> Option<Self> {
        str::from_utf8(bytes).ok().map(|_| Self(bytes.clone()))
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("it was looked at when it was made")
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Absent for Text {
    fn is_absent(&self) -> bool {
        false
    }
}

impl<K, V> Absent for BTreeMap<K, V> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Absent for String {
    fn is_absent(&self) -> bool {
        false
    }
}

impl Absent for bool {
    fn is_absent(&self) -> bool {
        false
    }
}

impl Absent for u64 {
    fn is_absent(&self) -> bool {
        false
    }
}

outputs! {
    QueueUrl {
        queue_url: String,
    }
    Queues {
        queue_urls: Vec<String>,
        next_token: Option<String>,
    }
    SourceQueues {
        #[serde(rename = "queueUrls")]
        queue_urls: Vec<String>,
        next_token: Option<String>,
    }
    Attributes {
        attributes: TextMap,
    }
    Tags {
        tags: TextMap,
    }
    Sent {
        #[serde(rename = "MD5OfMessageBody")]
        md5_of_message_body: Short,
        #[serde(rename = "MD5OfMessageAttributes")]
        md5_of_message_attributes: Option<String>,
        #[serde(rename = "MD5OfMessageSystemAttributes")]
        md5_of_message_system_attributes: Option<String>,
        message_id: Short,
        sequence_number: Option<String>,
    }
    SentBatch {
        successful: Vec<SentEntry>,
        failed: Vec<FailedEntry>,
    }
    SentEntry {
        id: String,
        #[serde(flatten)]
        sent: Sent,
    }
    ChangedBatch {
        successful: Vec<ChangedEntry>,
        failed: Vec<FailedEntry>,
    }
    ChangedEntry {
        id: String,
    }
    FailedEntry {
        id: String,
        sender_fault: bool,
        code: String,
        message: Option<String>,
    }
    Received {
        messages: Vec<Message>,
    }
    Message {
        message_id: Short,
        receipt_handle: String,
        #[serde(rename = "MD5OfBody")]
        md5_of_body: Short,
        body: Text,
        attributes: TextMap,
        #[serde(rename = "MD5OfMessageAttributes")]
        md5_of_message_attributes: Option<String>,
        message_attributes: BTreeMap<String, Value>,
    }
    Value {
        data_type: String,
        string_value: Option<String>,
        binary_value: Option<String>,
    }
    TaskStarted {
        task_handle: String,
    }
    Tasks {
        results: Vec<Task>,
    }
    Task {
        task_handle: Option<String>,
        status: String,
        source_arn: String,
        destination_arn: Option<String>,
        max_number_of_messages_per_second: Option<u64>,
        approximate_number_of_messages_moved: u64,
        approximate_number_of_messages_to_move: Option<u64>,
        failure_reason: Option<String>,
        started_timestamp: u64,
    }
    TaskCancelled {
        approximate_number_of_messages_moved: u64,
    }
}

impl Absent for Sent {
    fn is_absent(&self) -> bool {
        false
    }
}

/// An action's answer without members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nothing;

impl Serialize for Nothing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

macro_rules! any_output {
    ($( $name:ident, )*) => {
        /// The answer of any action.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub(crate) enum Output { $( $name($name), )* }

        $( impl From<$name> for Output {
            fn from(output: $name) -> Self { Self::$name(output) }
        } )*
    };
}

any_output! {
    Nothing, QueueUrl, Queues, SourceQueues, Attributes, Tags, Sent, SentBatch, ChangedBatch, Received,
    TaskStarted, Tasks, TaskCancelled,
}
