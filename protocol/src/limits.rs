//! What requests may ask for at the most, whatever the server: its own limits are in its welcome.

/// The most messages that one receive, peek or push may ask for, and, if a server says nothing else, that
/// one request may have.
pub const RECEIVE_MESSAGES_MAX: u32 = 4096;

/// The largest message that any queue may allow: body, and names, types and values of attributes.
pub const MESSAGE_BYTES_MAX: u64 = 16 << 20;

/// The longest name of a receive that may be asked again, in bytes (SQS).
pub const ATTEMPT_BYTES_MAX: usize = 128;

/// The longest reason of a nack, in bytes.
pub const REASON_BYTES_MAX: usize = 256;

/// The fastest redrive that has a rate, in messages a second.
pub const REDRIVE_RATE_MAX: u32 = 100_000;

/// The most credits that a subscription may have at one time.
pub const CREDITS_MAX: u32 = 65_536;

/// The most bytes of credit that a subscription may have at one time.
pub const CREDIT_BYTES_MAX: u32 = 1 << 30;
