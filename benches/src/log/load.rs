//! What the engine and the plain file are asked to do.

use std::fmt;

/// One load. Displayed, it is the name that reports use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) kind: Kind,
    /// Messages in an append, a receive and an ack.
    pub(super) batch: u32,
    /// Bytes of a message's body.
    pub(super) bytes: usize,
    /// Requests that are unanswered at one time.
    pub(super) in_flight: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Messages are sent, for a time.
    Append,
    /// So many messages wait, and are received and acked until none is left.
    ReceiveAck { messages: u32 },
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, batch, bytes, in_flight } = self;
        match kind {
            Kind::Append => write!(f, "append/batch={batch} bytes={bytes} in_flight={in_flight}"),
            Kind::ReceiveAck { messages } => write!(
                f,
                "receive+ack/batch={batch} bytes={bytes} in_flight={in_flight} messages={messages}"
            ),
        }
    }
}

impl Load {
    /// What it is, in words that follow "with".
    pub(super) fn in_words(&self) -> String {
        let Self { kind, batch, bytes, in_flight } = self;
        let messages = match batch {
            1 => format!("one message of {bytes} bytes"),
            batch => format!("{batch} messages of {bytes} bytes"),
        };
        match (kind, in_flight) {
            (Kind::Append, 1) => format!("one append of {messages} unanswered at a time"),
            (Kind::Append, many) => format!("{many} appends of {messages} unanswered at a time"),
            (Kind::ReceiveAck { messages: waiting }, many) => format!(
                "{many} receivers, each of which received, read and acked {messages} at a time until \
                 {waiting} were gone"
            ),
        }
    }
}
