//! The operations: one table from which opcodes, requests, replies and their names come.
//!
//! Each operation has a file below with its request and its reply. PROTOCOL.md repeats the table,
//! and a test compares the two.

mod ack;
mod alter_queue;
mod cancel_redrive;
mod change_visibility;
mod create_queue;
mod credit;
mod delete_queue;
mod describe_queue;
mod explain;
mod hello;
mod list_dead_letter_sources;
mod list_queues;
mod list_redrives;
mod nack;
mod peek;
mod ping;
mod purge_queue;
mod receive;
mod send;
mod start_redrive;
mod stats;
mod subscribe;
mod tag_queue;
mod transact;
mod unsubscribe;
mod untag_queue;

use bytes::BytesMut;

pub use ack::{Ack, Acked, Failure};
pub use alter_queue::{AlterQueue, QueueAltered};
pub use cancel_redrive::{CancelRedrive, RedriveCancelled};
pub use change_visibility::{ChangeVisibility, VisibilityChange, VisibilityChanged};
pub use create_queue::{CreateQueue, QueueCreated};
pub use credit::{Credit, Credited};
pub use delete_queue::{DeleteQueue, QueueDeleted};
pub use describe_queue::{DescribeQueue, QueueDescribed, QueueInfo};
pub use explain::{Explain, Explained, Fact};
pub use hello::{Hello, Limits, VERSION_MAX, VERSION_MIN, Welcome};
pub use list_dead_letter_sources::{DeadLetterSourcesListed, ListDeadLetterSources};
pub use list_queues::{ListQueues, QueuesListed};
pub use list_redrives::{ListRedrives, RedriveInfo, RedriveState, RedrivesListed};
pub use nack::{Nack, Nacked};
pub use peek::{MessageState, Peek, Peeked, PeekedMessage};
pub use ping::{Ping, Pong};
pub use purge_queue::{PurgeQueue, QueuePurged};
pub use receive::{Receive, Received, ReceivedMessage};
pub use send::{OutgoingMessage, Send, Sent};
pub use start_redrive::{RedriveStarted, StartRedrive};
pub use stats::{DiskStats, MemoryStats, Stats, StatsTold};
pub use subscribe::{Delivered, Subscribe};
pub use tag_queue::{QueueTagged, TagQueue};
pub use transact::{Transact, TransactAcks, TransactSends, TransactSent, Transacted};
pub use unsubscribe::{Unsubscribe, Unsubscribed};
pub use untag_queue::{QueueUntagged, UntagQueue};

use crate::error::{ErrorCode, ProtocolError};
use crate::frame::{CONNECTION, Frame, encode_frame};
use crate::wire::{Input, TooLong, UnknownAttributes, Wire};

/// Set in the opcode of a reply.
const REPLY_BIT: u8 = 0x80;
/// The opcode of an Error reply, whatever was asked.
const ERROR_OPCODE: u8 = 0xff;

/// A request that knows the type of its reply. (Of Subscribe's there may be many.)
pub trait Operation: Into<Request> {
    /// Its row of the table.
    const OPCODE: Opcode;
    /// What answers it, unless an error does.
    type Reply;

    /// The reply, if it is of this operation.
    fn reply(reply: Reply) -> Option<Self::Reply>;
}

macro_rules! operations {
    ($($code:literal $request:ident => $reply:ident $sentence:literal;)*) => {
        /// The number of an operation on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Opcode { $( #[doc = $sentence] $request = $code, )* }

        /// A decoded request.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Request { $( #[doc = $sentence] $request($request), )* }

        /// A decoded reply.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reply {
            $( #[doc = concat!("Answers ", stringify!($request), ".")] $reply($reply), )*
            /// Answers any request that was refused or failed.
            Error(ProtocolError),
        }

        impl Opcode {
            /// The table's rows, in the order of their codes.
            pub const ALL: &'static [Opcode] = &[$( Opcode::$request, )*];

            /// The operation with this code.
            pub fn from_code(code: u8) -> Option<Opcode> {
                match code {
                    $( $code => Some(Opcode::$request), )*
                    _ => None,
                }
            }

            /// The request's name, as documents and logs spell it.
            pub fn name(self) -> &'static str {
                match self { $( Opcode::$request => stringify!($request), )* }
            }

            /// The reply's name.
            pub fn reply_name(self) -> &'static str {
                match self { $( Opcode::$request => stringify!($reply), )* }
            }

            /// What it does, in a sentence.
            pub fn sentence(self) -> &'static str {
                match self { $( Opcode::$request => $sentence, )* }
            }
        }

        impl Request {
            /// The request's row of the table.
            pub fn opcode(&self) -> Opcode {
                match self { $( Request::$request(_) => Opcode::$request, )* }
            }

            fn decode_body(opcode: Opcode, input: &mut Input<'_>) -> Result<Request, crate::wire::Unreadable> {
                Ok(match opcode { $( Opcode::$request => Request::$request($request::decode(input)?), )* })
            }

            fn encode_body(&self, out: &mut BytesMut) -> Result<(), TooLong> {
                match self { $( Request::$request(request) => request.encode(out), )* }
            }
        }

        impl Reply {
            /// The reply's name, as documents and logs spell it.
            pub fn name(&self) -> &'static str {
                match self {
                    $( Reply::$reply(_) => stringify!($reply), )*
                    Reply::Error(_) => "Error",
                }
            }

            fn code(&self) -> u8 {
                match self {
                    $( Reply::$reply(_) => $code | REPLY_BIT, )*
                    Reply::Error(_) => ERROR_OPCODE,
                }
            }

            fn decode_body(opcode: Opcode, input: &mut Input<'_>) -> Result<Reply, crate::wire::Unreadable> {
                Ok(match opcode { $( Opcode::$request => Reply::$reply($reply::decode(input)?), )* })
            }

            fn encode_body(&self, out: &mut BytesMut) -> Result<(), TooLong> {
                match self {
                    $( Reply::$reply(reply) => reply.encode(out), )*
                    Reply::Error(error) => error.encode(out),
                }
            }
        }

        $(
            impl From<$request> for Request {
                fn from(request: $request) -> Request {
                    Request::$request(request)
                }
            }

            impl From<$reply> for Reply {
                fn from(reply: $reply) -> Reply {
                    Reply::$reply(reply)
                }
            }

            impl Operation for $request {
                const OPCODE: Opcode = Opcode::$request;
                type Reply = $reply;

                fn reply(reply: Reply) -> Option<$reply> {
                    match reply {
                        Reply::$reply(reply) => Some(reply),
                        _ => None,
                    }
                }
            }
        )*
    };
}

operations! {
    0x01 Hello            => Welcome           "Opens a connection: versions, name, credentials; the reply tells the limits.";
    0x02 Ping             => Pong              "Does nothing but show that both sides are there.";
    0x03 Stats            => StatsTold         "Tells what the server holds and has done, in numbers.";
    0x10 CreateQueue      => QueueCreated      "Creates a queue, unless it exists with the same attributes.";
    0x11 AlterQueue       => QueueAltered      "Sets the attributes that are given, and leaves the others.";
    0x12 DescribeQueue    => QueueDescribed    "Tells a queue's attributes and counts.";
    0x13 ListQueues       => QueuesListed      "Lists queues by name, a page at a time.";
    0x14 PurgeQueue       => QueuePurged       "Deletes all messages of a queue.";
    0x15 DeleteQueue      => QueueDeleted      "Deletes a queue and its messages.";
    0x16 TagQueue         => QueueTagged       "Adds tags to a queue, and leaves the others.";
    0x17 UntagQueue       => QueueUntagged     "Takes tags away from a queue.";
    0x18 ListDeadLetterSources => DeadLetterSourcesListed "Lists the queues that have this dead-letter queue.";
    0x20 Send             => Sent              "Stores a batch of messages, all or nothing.";
    0x21 Receive          => Received          "Leases messages, waiting for some if there are none.";
    0x22 Ack              => Acked             "Deletes messages that were received.";
    0x23 ChangeVisibility => VisibilityChanged "Makes leases end later or earlier, or at once.";
    0x24 Peek             => Peeked            "Shows messages without leasing them.";
    0x25 Subscribe        => Delivered         "Has messages pushed as they come, as many as credits allow.";
    0x26 Transact         => Transacted        "Deletes received messages and stores others, all or nothing.";
    0x27 Nack             => Nacked            "Gives received messages back, and says why.";
    0x28 Explain          => Explained         "Tells why a receive gets nothing, or where a message is.";
    0x29 Unsubscribe      => Unsubscribed      "Ends a subscription of this connection.";
    0x2a Credit           => Credited          "Lets a subscription push more.";
    0x30 StartRedrive     => RedriveStarted    "Starts to move the messages of a dead-letter queue back.";
    0x31 ListRedrives     => RedrivesListed    "Lists a queue's redrives: the one that runs, and the last that ended.";
    0x32 CancelRedrive    => RedriveCancelled  "Ends a redrive; what it has moved stays moved.";
}

impl Opcode {
    /// The number on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl Request {
    /// Decodes a frame that a client sent. The error is what to answer it with; the connection
    /// can go on, unless the frame's correlation is [`CONNECTION`]. Errors: `UnknownOperation`, `Malformed`, and those that a body may have:
    /// `BadMagic`, `UnknownAttribute`, `BatchTooLarge`.
    pub fn decode(frame: &Frame) -> Result<Request, ProtocolError> {
        if frame.correlation == CONNECTION {
            let text = "a request with correlation 0, which is kept for errors of the connection";
            return Err(ProtocolError::new(ErrorCode::Malformed, text));
        }
        let opcode = Opcode::from_code(frame.opcode).ok_or_else(|| {
            ProtocolError::new(
                ErrorCode::UnknownOperation,
                format!("no operation has the opcode {:#04x}", frame.opcode),
            )
        })?;
        frame.check_reserved()?;
        let mut input = Input::new(&frame.body, UnknownAttributes::Refuse);
        Request::decode_body(opcode, &mut input)
            .map_err(|unreadable| unreadable.into_error(opcode.name()))
    }

    /// Whether messages may be stored twice when it is carried out twice. An ack that a transaction
    /// begins with fails the second time, and a producer's batch lands once.
    pub fn may_double(&self) -> bool {
        match self {
            Request::Send(send) => send.producer.is_nil(),
            Request::Transact(transact) => transact.acks.is_empty(),
            _ => false,
        }
    }

    /// Whether it may delete, when it is carried out a second time, what came after the first: a later queue
    /// of the same name, or messages that were sent since.
    pub fn may_hit_later(&self) -> bool {
        matches!(self, Request::DeleteQueue(_) | Request::PurgeQueue(_))
    }

    /// Appends the request as a frame. If it fails, `out` is left as it was.
    pub fn encode(&self, correlation: u32, out: &mut BytesMut) -> Result<(), TooLong> {
        encode_frame(self.opcode().code(), correlation, out, |out| self.encode_body(out))
    }
}

impl Reply {
    /// Decodes a frame that a server sent. An Error frame is `Ok(Reply::Error(_))`; the error here
    /// means that the frame itself cannot be understood.
    pub fn decode(frame: &Frame) -> Result<Reply, ProtocolError> {
        frame.check_reserved()?;
        let mut input = Input::new(&frame.body, UnknownAttributes::Skip);
        if frame.opcode == ERROR_OPCODE {
            let error = ProtocolError::decode(&mut input)
                .map_err(|unreadable| unreadable.into_error("Error"))?;
            return Ok(Reply::Error(error));
        }
        let request =
            Some(frame.opcode).filter(|code| code & REPLY_BIT != 0).map(|code| code & !REPLY_BIT);
        let opcode = request.and_then(Opcode::from_code).ok_or_else(|| {
            ProtocolError::new(
                ErrorCode::UnknownOperation,
                format!("no reply has the opcode {:#04x}", frame.opcode),
            )
        })?;
        Reply::decode_body(opcode, &mut input)
            .map_err(|unreadable| unreadable.into_error(opcode.reply_name()))
    }

    /// Appends the reply as a frame. If it fails, `out` is left as it was.
    pub fn encode(&self, correlation: u32, out: &mut BytesMut) -> Result<(), TooLong> {
        encode_frame(self.code(), correlation, out, |out| self.encode_body(out))
    }
}

impl From<ProtocolError> for Reply {
    fn from(error: ProtocolError) -> Reply {
        Reply::Error(error)
    }
}
