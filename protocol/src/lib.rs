//! The native protocol of Forebay: frames, the codec, and (feature `client`) the client that speaks them.
//!
//! `PROTOCOL.md` beside this crate describes every byte. The codec has no sockets and no clock: the
//! same functions drive client, server and fuzzers. The invariants:
//!
//! - Decoding is total: any bytes give a value or an error, never a panic.
//! - No length is believed before it is compared with what is left; memory follows bytes received.
//! - Opcodes and error codes are never reused; fields are only appended, and a decoder ignores what
//!   follows the fields it knows.
//! - A message's [`Block`] is the same bytes, checksum included, from sender to receiver.
//!
//! Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `limits` | what requests may ask for at the most |
//! | `error` | the table of error codes |
//! | `wire` | integers, texts, lists, errors: how a value becomes bytes |
//! | `receipt`, `message_attributes`, `block`, `message_id`, `redrive_id`, `attributes` | the nouns that requests carry |
//! | `frame` | length, opcode, correlation, body |
//! | `operation` | the table of operations, and a file for each |
//! | `client` | connection, window, reconnecting, the batching producer |

#[macro_use]
mod wire;

mod attributes;
mod block;
mod error;
mod frame;
mod limits;
mod message_attributes;
mod message_id;
mod operation;
mod receipt;
mod redrive_id;

#[cfg(feature = "client")]
pub mod client;

pub use attributes::{AttributeRow, QueueAttributes, TextAttributeRow, TextMap};
pub use block::{Block, BlockDamage};
pub use error::{ErrorCode, ProtocolError, Retry};
pub use frame::{
    CONNECTION, FRAME_BYTES_MAX_BEFORE_WELCOME, FRAME_HEADER_BYTES, FRAME_LENGTH_BYTES, Frame,
    FrameDecoder, FrameError,
};
pub use limits::{
    ATTEMPT_BYTES_MAX, CREDIT_BYTES_MAX, CREDITS_MAX, MESSAGE_BYTES_MAX, REASON_BYTES_MAX,
    RECEIVE_MESSAGES_MAX, REDRIVE_RATE_MAX,
};
pub use message_attributes::{
    AcceptedIds, DataType, MESSAGE_ATTRIBUTES_MAX, MessageAttribute, MessageAttributes,
    is_attribute_name_character, is_sqs_character, md5_of_body, md5_of_message_attributes,
};
pub use message_id::{MessageId, MessageIdError};
pub use operation::*;
pub use receipt::{RECEIPT_BYTES_MAX, Receipt, ReceiptTooLong};
pub use redrive_id::{RedriveId, RedriveIdError};
pub use wire::{LIST_ITEMS_MAX, TooLong};
