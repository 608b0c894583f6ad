//! What an `Error` frame says: a code, whether to try again, and a text.
//!
//! The table below is the only list of codes; PROTOCOL.md repeats it and a test compares the two.
//! A code is never reused. A code from a newer peer decodes as [`ErrorCode::Other`] and keeps its
//! number, and the `retry` byte beside it says how to treat it.

use std::fmt;

/// Whether the same request may be tried again. On the wire a `u8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// 0: the request did nothing, and would be refused again.
    Never,
    /// 1: the request did nothing, and may succeed later.
    Later,
    /// 2: the request may have been carried out, wholly or not at all.
    UnknownOutcome,
}

/// An error as it travels: the body of an `Error` frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct ProtocolError {
    /// What kind of error.
    pub code: ErrorCode,
    /// Whether to try again; by the table, unless a newer peer says otherwise.
    pub retry: Retry,
    /// What was wrong, where, what was expected and what found. Encoding cuts it at 1024 bytes.
    pub text: String,
}

macro_rules! error_codes {
    ($($code:literal $name:ident $retry:ident $sentence:literal;)*) => {
        /// The kinds of errors. Each has a number, a retry class and a sentence, all from one table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $( #[doc = $sentence] $name, )*
            /// A code that this version does not know; always a number outside the table.
            Other(u16),
        }

        impl ErrorCode {
            /// The table's rows, in the order of their numbers.
            pub const ALL: &'static [ErrorCode] = &[$( ErrorCode::$name, )*];

            /// The number on the wire.
            pub fn code(self) -> u16 {
                match self {
                    $( ErrorCode::$name => $code, )*
                    ErrorCode::Other(code) => code,
                }
            }

            /// The code with this number.
            pub fn from_code(code: u16) -> ErrorCode {
                match code {
                    $( $code => ErrorCode::$name, )*
                    other => ErrorCode::Other(other),
                }
            }

            /// The name as documents and logs spell it.
            pub fn name(self) -> &'static str {
                match self {
                    $( ErrorCode::$name => stringify!($name), )*
                    ErrorCode::Other(_) => "Other",
                }
            }

            /// What the code means, in a sentence.
            pub fn sentence(self) -> &'static str {
                match self {
                    $( ErrorCode::$name => $sentence, )*
                    ErrorCode::Other(_) => "An error that this version does not know.",
                }
            }

            /// Whether to try again. What is not known may have done anything.
            pub fn retry(self) -> Retry {
                match self {
                    $( ErrorCode::$name => Retry::$retry, )*
                    ErrorCode::Other(_) => Retry::UnknownOutcome,
                }
            }
        }
    };
}

error_codes! {
    1  BadMagic           Never          "The first bytes of Hello are not FBAY: the peer speaks another protocol.";
    2  VersionUnsupported Never          "Client and server have no protocol version in common.";
    3  HelloExpected      Never          "The first request of a connection must be Hello, and only the first.";
    4  FrameTooLarge      Never          "A frame announces more bytes than the limit; the connection closes.";
    5  Malformed          Never          "The bytes are not a valid frame or body.";
    6  UnknownOperation   Never          "The server does not know this opcode.";
    7  TooManyConnections Later          "The server has as many connections as it accepts.";
    8  IdleTimeout        Later          "The connection was closed because nothing was heard for too long.";
    9  ShuttingDown       Later          "The server is stopping; the request was not begun.";
    16 UnknownQueue       Never          "There is no queue of this name.";
    17 QueueExists        Never          "A queue of this name exists with other attributes.";
    18 BadQueueName       Never          "The name breaks the rules for queue names.";
    19 UnknownAttribute   Never          "The server does not know this queue attribute.";
    20 OutOfRange         Never          "A parameter is outside its range; the text names it, its value and the range.";
    21 AttributeInvalid   Never          "A queue attribute breaks a rule; the text names it, its value and what is expected.";
    24 NotDeadLetterQueue Never          "The queue is the dead-letter queue of no queue.";
    25 BadDestination     Never          "The destination of a redrive is its own queue, or of another type.";
    26 RedriveRunning     Later          "A redrive of the queue is running; there is one at a time.";
    27 TooManyRedrives    Later          "The server has as many redrives running as it allows.";
    28 UnknownRedrive     Never          "No redrive of this number is running.";
    32 EmptyBatch         Never          "A batch must have at least one item.";
    33 BatchTooLarge      Never          "A batch has more items, or more bytes, than the limit.";
    34 MessageTooLarge    Never          "A message is larger than its queue accepts; the text names its index.";
    35 ChecksumMismatch   Never          "A message does not match its checksum: it was damaged on the way here.";
    36 BadMessageAttribute Never         "A group id, deduplication id, trace header or attribute of a message breaks a rule; the text names it.";
    37 MessageInvalid     Never          "The queue does not take a message as it is; the text names its index and what is wrong.";
    38 BatchForgotten     UnknownOutcome "The batch is so old that it is not known whether it has landed.";
    48 ReceiptInvalid     Never          "The receipt was not made by this store, is of another queue, or was altered.";
    49 ReceiptStale       Never          "The message was received again since: the receipt no longer holds it.";
    50 MessageGone        Never          "The message is no longer in the queue.";
    51 ReceiptExpired     Never          "The lease has ended: in a FIFO queue its receipt is then no longer good.";
    52 InFlightFull       Later          "The queue has as many messages in flight as it may.";
    53 AttemptSpent       Never          "A message that the attempt got was acked, or its visibility changed, since: it cannot be made again.";
    64 StorageFull        Later          "The disk is full: sends are refused, receives and acks go on.";
    65 StorageFailed      UnknownOutcome "A write or sync failed: the request may or may not be durable, and the server stops.";
    66 Damaged            Never          "Stored bytes failed their checksum; the text names their extent.";
    80 Internal           UnknownOutcome "The server broke a rule of its own; its log has the details.";
    96 UnknownSubscription  Never         "The connection has no such subscription: it has ended, or never was.";
    97 TooManySubscriptions Never         "The connection has as many subscriptions as it may have.";
}

impl ProtocolError {
    /// An error with the table's retry class.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> ProtocolError {
        ProtocolError { code, retry: code.retry(), text: text.into() }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorCode::Other(code) => write!(f, "error {code}"),
            known => f.write_str(known.name()),
        }
    }
}
