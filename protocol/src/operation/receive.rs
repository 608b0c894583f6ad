//! Receive leases messages, and waits for some if there are none.

use crate::block::Block;
use crate::error::ProtocolError;
use crate::message_attributes::MessageAttributes;
use crate::receipt::Receipt;

layout! {
    /// Asks for messages. Errors: `UnknownQueue`, `OutOfRange`.
    pub struct Receive {
        /// The queue's name.
        pub queue: String,
        /// The most messages to get, from 1 to [`RECEIVE_MESSAGES_MAX`](crate::RECEIVE_MESSAGES_MAX).
        pub max: u32,
        /// How long to wait for the first message; `None` for the queue's `receive_wait_ms`.
        pub wait_ms: Option<u64>,
        /// How long the leases last; `None` for the queue's `visibility_timeout_ms`.
        pub visibility_ms: Option<u64>,
        /// The most bytes of bodies to get; the first message comes whatever its size.
        /// 0 leaves it to the server.
        pub bytes_max: u32,
        /// What the receive is called, of 1 to 128 bytes: the same one again gets the same
        /// messages from a FIFO queue. Empty: nothing.
        pub attempt: String,
    }
}

layout! {
    /// The answer to [`Receive`]; no messages if none came in time.
    pub struct Received {
        /// The messages, leased to whoever has their receipts.
        pub messages: Vec<ReceivedMessage>,
        /// The queue's id.
        pub queue_id: u32,
    }
}

layout! {
    /// One message of a [`Received`].
    pub struct ReceivedMessage {
        fields_bytes {
            /// The message's number in its queue.
            pub seq: u64,
            /// What acks it or changes its visibility.
            pub receipt: Receipt,
            /// How often it was received, this time included; of a dead letter, in all queues.
            pub receive_count: u32,
            /// When it was sent, in milliseconds since 1970 UTC.
            pub sent_ms: u64,
            /// When it was first received, in milliseconds since 1970 UTC.
            pub first_received_ms: u64,
            /// The name of the queue that it came from, if it is a dead letter; else empty.
            pub source: String,
            /// The id of the queue that it was sent to, ...
            pub origin_queue_id: u32,
            /// ... and its number there: its id is made of both. Of a message that is no dead letter,
            /// its queue and `seq`.
            pub origin_seq: u64,
            /// Why it was last given back, of a dead letter also before it came here; empty if nobody
            /// said.
            pub reason: String,
        }
        /// The message, as it was sent.
        pub block: Block,
    }
}

impl ReceivedMessage {
    /// What travelled with the message. Errors: see [`Block::message_attributes`].
    pub fn attributes(&self) -> Result<MessageAttributes, ProtocolError> {
        self.block.message_attributes()
    }
}
