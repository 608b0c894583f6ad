//! Hello opens a connection; Welcome answers it with the version to speak and the limits to keep.

use crate::limits::{MESSAGE_BYTES_MAX, RECEIVE_MESSAGES_MAX};
use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::error::{ErrorCode, ProtocolError};
use crate::wire::{Fault, Input, TooLong, Unreadable, Wire};

/// The oldest version this crate speaks.
pub const VERSION_MIN: u16 = 1;
/// The newest version this crate speaks.
pub const VERSION_MAX: u16 = 1;
const _: () = assert!(VERSION_MIN <= VERSION_MAX);

/// The first bytes of a Hello: they tell this protocol from any other.
const MAGIC: u32 = u32::from_le_bytes(*b"FBAY");

/// The first request of a connection. On the wire `magic u32` stands before the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version the client speaks.
    pub version_min: u16,
    /// The newest version the client speaks.
    pub version_max: u16,
    /// The client's name and version, for the server's logs.
    pub client: String,
    /// Who the client is: empty as long as servers ask nobody.
    pub credentials: Bytes,
}

layout! {
    /// The answer to [`Hello`].
    pub struct Welcome {
        /// The version that both speak from here on.
        pub version: u16,
        /// The store's id: message ids are derived from it.
        pub store_id: Uuid,
        /// The server's name and version.
        pub server: String,
        /// What the server accepts.
        pub limits: Limits,
    }
}

layout! {
    /// What a server accepts on a connection.
    pub struct Limits {
        /// The largest `length` of a frame, in either direction.
        pub frame_bytes_max: u32,
        /// The largest message, body and attributes, whatever a queue's attribute says.
        pub message_bytes_max: u32,
        /// The most items of a batch: messages, receipts, changes.
        pub batch_messages_max: u32,
        /// The most requests that may be unanswered. The server reads no further beyond it.
        pub in_flight_requests_max: u32,
        /// The most bytes that the unanswered requests' frames may have together.
        pub in_flight_bytes_max: u32,
        /// How long the server hears nothing before it closes the connection; 0 for ever.
        pub idle_timeout_ms: u32,
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_bytes_max: 18 << 20,
            message_bytes_max: MESSAGE_BYTES_MAX as u32,
            batch_messages_max: RECEIVE_MESSAGES_MAX,
            in_flight_requests_max: 1024,
            in_flight_bytes_max: 64 << 20,
            idle_timeout_ms: 60_000,
        }
    }
}

impl Hello {
    /// A Hello with the versions of this crate and no credentials.
    pub fn new(client: impl Into<String>) -> Hello {
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            client: client.into(),
            credentials: Bytes::new(),
        }
    }

    /// The newest version that the client and this crate both speak, or `VersionUnsupported`.
    pub fn choose_version(&self) -> Result<u16, ProtocolError> {
        let newest = self.version_max.min(VERSION_MAX);
        if newest >= self.version_min.max(VERSION_MIN) {
            return Ok(newest);
        }
        let text = format!(
            "the client speaks versions {} to {}, the server {VERSION_MIN} to {VERSION_MAX}",
            self.version_min, self.version_max
        );
        Err(ProtocolError::new(ErrorCode::VersionUnsupported, text))
    }
}

impl Wire for Hello {
    const BYTES_MIN: usize = 4 + 2 + 2 + String::BYTES_MIN + Bytes::BYTES_MIN;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        MAGIC.encode(out)?;
        self.version_min.encode(out)?;
        self.version_max.encode(out)?;
        self.client.encode(out)?;
        self.credentials.encode(out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        let magic: u32 = input.field("magic")?;
        if magic != MAGIC {
            let (found, expected) = (magic.to_le_bytes(), MAGIC.to_le_bytes());
            let text = format!(
                "magic \"{}\", expected \"{}\"",
                found.escape_ascii(),
                expected.escape_ascii()
            );
            return Err(Fault::Coded(ErrorCode::BadMagic, text).into());
        }
        Ok(Hello {
            version_min: input.field("version_min")?,
            version_max: input.field("version_max")?,
            client: input.field("client")?,
            credentials: input.field("credentials")?,
        })
    }
}
