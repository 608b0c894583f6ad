//! The names of a queue's attributes: one table.

use super::error::{Code, Result, SqsError};

/// What an attribute is called in a queue's notes, if it is kept there, begins so.
const NOTE_PREFIX: &str = "sqs.";

macro_rules! names {
    ($( $kind:ident { $( $name:ident, )* } )*) => {
        /// The name of an attribute.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Name { $( $( $name, )* )* }

        impl Name {
            /// All of them.
            pub(crate) const ALL: &[Name] = &[$( $( Name::$name, )* )*];

            pub(crate) fn as_str(self) -> &'static str {
                match self { $( $( Self::$name => stringify!($name), )* )* }
            }

            pub(super) fn kind(self) -> Kind {
                match self { $( $( Self::$name => Kind::$kind, )* )* }
            }
        }
    };
}

/// Whose attribute it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// May be set of any queue.
    AnyQueue,
    /// May be set of FIFO queues.
    FifoOnly,
    /// Is told, and never set.
    ReadOnly,
}

names! {
    AnyQueue {
        DelaySeconds,
        MaximumMessageSize,
        MessageRetentionPeriod,
        ReceiveMessageWaitTimeSeconds,
        VisibilityTimeout,
        Policy,
        RedrivePolicy,
        RedriveAllowPolicy,
        KmsMasterKeyId,
        KmsDataKeyReusePeriodSeconds,
        SqsManagedSseEnabled,
    }
    FifoOnly {
        FifoQueue,
        ContentBasedDeduplication,
        DeduplicationScope,
        FifoThroughputLimit,
    }
    ReadOnly {
        ApproximateNumberOfMessages,
        ApproximateNumberOfMessagesDelayed,
        ApproximateNumberOfMessagesNotVisible,
        CreatedTimestamp,
        LastModifiedTimestamp,
        QueueArn,
    }
}

impl Name {
    /// The attribute of this name.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|name| name.as_str() == text);
        found.copied().ok_or_else(|| unknown(text))
    }

    /// What it is called in a queue's notes.
    pub(super) fn note(self) -> String {
        format!("{NOTE_PREFIX}{}", self.as_str())
    }
}

pub(super) fn unknown(name: &str) -> SqsError {
    SqsError::new(Code::InvalidAttributeName, format!("Unknown Attribute {name}."))
}

pub(super) fn invalid(name: Name) -> SqsError {
    let text = format!("Invalid value for the parameter {}.", name.as_str());
    SqsError::new(Code::InvalidAttributeValue, text)
}

pub(super) fn invalid_because(name: Name, reason: &str) -> SqsError {
    let text = format!("Invalid value for the parameter {}. Reason: {reason}", name.as_str());
    SqsError::new(Code::InvalidAttributeValue, text)
}
