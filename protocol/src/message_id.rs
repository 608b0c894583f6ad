//! The public id of a message: a UUID derived from store, queue and seq, so it need not be stored.
//!
//! ```text
//! n (122 bits) = first 26 bits of the store id | queue id (32) | seq (64)
//! UUID         = n[121..74] (48) | version 8 (4) | n[73..62] (12) | variant 0b10 (2) | n[61..0] (62)
//! ```
//!
//! Version 8 is the one that RFC 9562 leaves to applications.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

const TAG_SHIFT: u32 = 96;
const QUEUE_SHIFT: u32 = 64;
const VERSION: u128 = 8;
const VARIANT: u128 = 0b10;

/// A message's id. Prints and parses as a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Uuid);

/// A text or UUID that no message has as its id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message id {text:?}: {reason}")]
pub struct MessageIdError {
    /// What was given.
    pub text: String,
    /// Why it is not a message id.
    pub reason: String,
}

impl MessageId {
    /// The id of message `seq` of a queue of a store.
    pub fn new(store_id: Uuid, queue_id: u32, seq: u64) -> MessageId {
        let n = u128::from(tag_of(store_id)) << TAG_SHIFT
            | u128::from(queue_id) << QUEUE_SHIFT
            | u128::from(seq);
        let high = n >> 74;
        let middle = n >> 62 & 0xfff;
        let low = n & ((1 << 62) - 1);
        MessageId(Uuid::from_u128(high << 80 | VERSION << 76 | middle << 64 | VARIANT << 62 | low))
    }

    /// The queue's id.
    pub fn queue_id(self) -> u32 {
        (self.n() >> QUEUE_SHIFT) as u32
    }

    /// The message's number in its queue, from 1.
    pub fn seq(self) -> u64 {
        self.n() as u64
    }

    /// Whether the id can be of this store: its first 26 bits agree.
    pub fn is_of(self, store_id: Uuid) -> bool {
        (self.n() >> TAG_SHIFT) as u32 == tag_of(store_id)
    }

    /// The id as a UUID.
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// The 122 bits without version and variant.
    fn n(self) -> u128 {
        let bits = self.0.as_u128();
        (bits >> 80) << 74 | (bits >> 64 & 0xfff) << 62 | bits & ((1 << 62) - 1)
    }
}

/// The first 26 bits of a store id.
fn tag_of(store_id: Uuid) -> u32 {
    (store_id.as_u128() >> 102) as u32
}

impl TryFrom<Uuid> for MessageId {
    type Error = MessageIdError;

    fn try_from(uuid: Uuid) -> Result<MessageId, MessageIdError> {
        let bits = uuid.as_u128();
        if bits >> 76 & 0xf == VERSION && bits >> 62 & 0b11 == VARIANT {
            return Ok(MessageId(uuid));
        }
        let reason =
            format!("expected a UUID of version 8, found version {}", uuid.get_version_num());
        Err(MessageIdError { text: uuid.to_string(), reason })
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<MessageId, MessageIdError> {
        let refuse = |_| MessageIdError {
            text: text.to_owned(),
            reason: "expected a UUID like 0f1e2d00-0000-801c-8000-00000000002a".to_owned(),
        };
        MessageId::try_from(Uuid::parse_str(text).map_err(refuse)?)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
