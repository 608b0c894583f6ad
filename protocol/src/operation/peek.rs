//! Peek shows messages in the order of their seqs without leasing them.

use bytes::BytesMut;

use crate::block::Block;
use crate::error::ProtocolError;
use crate::message_attributes::MessageAttributes;
use crate::wire::{Fault, Input, TooLong, Unreadable, Wire};

layout! {
    /// Asks for a page of messages. Errors: `UnknownQueue`, `OutOfRange`.
    pub struct Peek {
        /// The queue's name.
        pub queue: String,
        /// The first seq to show; 1 begins at the oldest message.
        pub from_seq: u64,
        /// The most messages to show, from 1; the server may show fewer.
        pub max: u32,
        /// The most bytes of bodies to show; the first message comes whatever its size.
        /// 0 leaves it to the server.
        pub bytes_max: u32,
        /// Only messages in one of these states; empty: in any.
        pub states: Vec<MessageState>,
        /// Only messages that were sent after this, in milliseconds since 1970 UTC.
        pub since_ms: u64,
        /// Only messages of this group; empty: of any and of none.
        pub group: String,
    }
}

layout! {
    /// The answer to [`Peek`].
    pub struct Peeked {
        /// The messages, in the order of their seqs. There may be none, and more behind them: a
        /// request looks at a bounded number of messages.
        pub messages: Vec<PeekedMessage>,
        /// Where the next page begins; 0 if this was the last.
        pub next_seq: u64,
    }
}

layout! {
    /// One message of a [`Peeked`].
    pub struct PeekedMessage {
        fields_bytes {
            /// The message's number in its queue.
            pub seq: u64,
            /// Where it is in its life.
            pub state: MessageState,
            /// When the lease or the delay ends, in milliseconds since 1970 UTC; 0 if it waits.
            pub until_ms: u64,
            /// How often it was received; of a dead letter, in all queues.
            pub receive_count: u32,
            /// When it was sent, in milliseconds since 1970 UTC.
            pub sent_ms: u64,
            /// Why it was last given back, of a dead letter also before it came here; empty if nobody
            /// said.
            pub reason: String,
            /// The name of the queue that it came from, if it is a dead letter; else empty.
            pub source: String,
            /// The id of the queue that it was sent to, ...
            pub origin_queue_id: u32,
            /// ... and its number there: its id is made of both. Of a message that is no dead letter,
            /// its queue and `seq`.
            pub origin_seq: u64,
        }
        /// The message, as it was sent.
        pub block: Block,
    }
}

impl PeekedMessage {
    /// What travelled with the message. Errors: see [`Block::message_attributes`].
    pub fn attributes(&self) -> Result<MessageAttributes, ProtocolError> {
        self.block.message_attributes()
    }
}

/// Where a message is in its life. On the wire a `u8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// 0: the next receive may get it.
    Waiting,
    /// 1: it is leased.
    InFlight,
    /// 2: its delay has not passed.
    Delayed,
}

impl Wire for MessageState {
    const BYTES_MIN: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let state: u8 = match self {
            MessageState::Waiting => 0,
            MessageState::InFlight => 1,
            MessageState::Delayed => 2,
        };
        state.encode(out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        match u8::decode(input)? {
            0 => Ok(MessageState::Waiting),
            1 => Ok(MessageState::InFlight),
            2 => Ok(MessageState::Delayed),
            other => Err(Fault::Rule(format!("no message state has the number {other}")).into()),
        }
    }
}
