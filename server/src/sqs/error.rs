//! The errors of SQS: one table, with both names and the status of each.

use std::fmt;

use http::StatusCode;

/// An error as a client of SQS gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqsError {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// What is said of a text that has characters which SQS does not take, where it is no body.
pub(super) const INVALID_CHARACTERS: &str = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 \
     to #xFFFD | #x10000 to #x10FFFF";

pub(crate) type Result<T> = std::result::Result<T, SqsError>;

macro_rules! errors {
    (
        sqs { $( $sqs:ident $sqs_query:literal $sqs_status:literal; )* }
        common { $( $common:ident $common_json:literal $common_query:literal $common_status:literal; )* }
    ) => {
        /// What went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Code { $( $sqs, )* $( $common, )* }

        impl Code {
            #[cfg(test)]
            pub(crate) const ALL: &[Code] = &[$( Self::$sqs, )* $( Self::$common, )*];

            /// The value of `__type` in the JSON protocol.
            pub(crate) fn json_name(self) -> &'static str {
                match self {
                    $( Self::$sqs => concat!("com.amazonaws.sqs#", stringify!($sqs)), )*
                    $( Self::$common => concat!("com.amazon.coral.service#", $common_json), )*
                }
            }

            /// The code in the Query protocol, in `x-amzn-query-error` and in results of batches.
            pub(crate) fn query_name(self) -> &'static str {
                match self { $( Self::$sqs => $sqs_query, )* $( Self::$common => $common_query, )* }
            }

            /// The status of the answer, in both protocols.
            pub(crate) fn status(self) -> StatusCode {
                let status: u16 = match self {
                    $( Self::$sqs => $sqs_status, )* $( Self::$common => $common_status, )*
                };
                StatusCode::from_u16(status).expect("the table has statuses of HTTP")
            }
        }
    };
}

errors! {
    // In the service's model: the name in JSON, the query code, the status.
    sqs {
        QueueDoesNotExist "AWS.SimpleQueueService.NonExistentQueue" 400;
        QueueNameExists "QueueAlreadyExists" 400;
        QueueDeletedRecently "AWS.SimpleQueueService.QueueDeletedRecently" 400;
        PurgeQueueInProgress "AWS.SimpleQueueService.PurgeQueueInProgress" 403;
        ReceiptHandleIsInvalid "ReceiptHandleIsInvalid" 404;
        OverLimit "OverLimit" 403;
        BatchEntryIdsNotDistinct "AWS.SimpleQueueService.BatchEntryIdsNotDistinct" 400;
        BatchRequestTooLong "AWS.SimpleQueueService.BatchRequestTooLong" 400;
        EmptyBatchRequest "AWS.SimpleQueueService.EmptyBatchRequest" 400;
        InvalidBatchEntryId "AWS.SimpleQueueService.InvalidBatchEntryId" 400;
        TooManyEntriesInBatchRequest "AWS.SimpleQueueService.TooManyEntriesInBatchRequest" 400;
        InvalidAttributeName "InvalidAttributeName" 400;
        InvalidAttributeValue "InvalidAttributeValue" 400;
        InvalidMessageContents "InvalidMessageContents" 400;
        UnsupportedOperation "AWS.SimpleQueueService.UnsupportedOperation" 400;
        InvalidAddress "InvalidAddress" 404;
        ResourceNotFoundException "ResourceNotFoundException" 404;
    }
    // Of all services of AWS.
    common {
        InvalidParameterValue "InvalidParameterValueException" "InvalidParameterValue" 400;
        MissingParameter "MissingRequiredParameterException" "MissingParameter" 400;
        Serialization "SerializationException" "MalformedInput" 400;
        MalformedQueryString "MalformedQueryString" "MalformedQueryString" 404;
        InvalidAction "InvalidAction" "InvalidAction" 400;
        RequestEntityTooLarge "RequestEntityTooLargeException" "RequestEntityTooLarge" 413;
        RequestTimeout "RequestTimeoutException" "RequestTimeout" 408;
        AccessDenied "AccessDeniedException" "AccessDenied" 403;
        IncompleteSignature "IncompleteSignatureException" "IncompleteSignature" 400;
        InvalidClientTokenId "UnrecognizedClientException" "InvalidClientTokenId" 403;
        SignatureDoesNotMatch "InvalidSignatureException" "SignatureDoesNotMatch" 403;
        RequestExpired "RequestExpired" "RequestExpired" 400;
        InternalFailure "InternalFailure" "InternalFailure" 500;
        ServiceUnavailable "ServiceUnavailableException" "ServiceUnavailable" 503;
    }
}

impl Code {
    /// Whose fault it is, as a result of a batch says.
    pub(crate) fn is_senders(self) -> bool {
        !self.status().is_server_error()
    }

    /// `Sender` or `Receiver`, as answers say.
    pub(crate) fn fault(self) -> &'static str {
        if self.is_senders() { "Sender" } else { "Receiver" }
    }
}

impl SqsError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// The commonest of them.
    pub(crate) fn invalid_value(
        value: impl fmt::Display,
        parameter: &str,
        reason: impl fmt::Display,
    ) -> Self {
        let value = shorten(value.to_string());
        Self::invalid(format!(
            "Value {value} for parameter {parameter} is invalid. Reason: {reason}"
        ))
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        let text = format!("The request must contain the parameter {parameter}.");
        Self::new(Code::MissingParameter, text)
    }

    /// A text that is none, whatever it may be a part of.
    pub(crate) fn invalid_characters() -> Self {
        Self::new(Code::InvalidMessageContents, INVALID_CHARACTERS)
    }

    /// A character of a body that SQS does not take.
    pub(crate) fn invalid_character(character: char) -> Self {
        let text = format!(
            "Invalid binary character '#x{:X}' was found in the message body, the set of allowed \
             characters is #x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF].",
            u32::from(character)
        );
        Self::new(Code::InvalidMessageContents, text)
    }

    pub(crate) fn unknown_queue() -> Self {
        Self::new(Code::QueueDoesNotExist, "The specified queue does not exist.")
    }

    /// A queue of another account: whether there is one is not told.
    pub(crate) fn queue_of_others() -> Self {
        let text = "The specified queue does not exist or you do not have access to it.";
        Self::new(Code::QueueDoesNotExist, text)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::InternalFailure, message)
    }
}

/// A value as it may stand in an error: whoever sent it may have sent much.
fn shorten(mut value: String) -> String {
    const BYTES_MAX: usize = 1024;
    if value.len() > BYTES_MAX {
        let end = (0..=BYTES_MAX).rev().find(|end| value.is_char_boundary(*end));
        value.truncate(end.unwrap_or_default());
    }
    value
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_error_has_its_own_names_and_a_status() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.json_name()).collect();
        let codes: HashSet<_> = Code::ALL.iter().map(|code| code.query_name()).collect();
        assert_eq!((names.len(), codes.len()), (Code::ALL.len(), Code::ALL.len()));
        assert!(Code::ALL.iter().all(|code| code.status().as_u16() >= 400));
    }
}
