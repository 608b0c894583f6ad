//! What a queue's name must be.

use super::QUEUE_NAME_BYTES_MAX;
use crate::error::RequestError;

/// What the name of a FIFO queue ends in, and of no other (SQS).
pub const FIFO_SUFFIX: &str = ".fifo";

/// Checks a name by itself: 1 to 80 characters of `A-Za-z0-9_-`, of which `.fifo` may be the last.
pub(crate) fn check_queue_name(name: &str) -> Result<(), RequestError> {
    let plain = name.strip_suffix(FIFO_SUFFIX).unwrap_or(name);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let reason = if name.is_empty() {
        "it is empty"
    } else if plain.is_empty() {
        "nothing is before .fifo"
    } else if name.len() > QUEUE_NAME_BYTES_MAX {
        "it is too long"
    } else if !plain.bytes().all(is_plain) {
        "it has another character"
    } else {
        return Ok(());
    };
    Err(RequestError::BadQueueName { name: shorten(name), reason })
}

/// Checks that a good name tells whether the queue is FIFO.
pub(crate) fn check_type_of_name(name: &str, fifo: bool) -> Result<(), RequestError> {
    let reason = match (name.ends_with(FIFO_SUFFIX), fifo) {
        (true, false) => "it ends in .fifo, and the queue is not FIFO",
        (false, true) => "it does not end in .fifo, and the queue is FIFO",
        (true, true) | (false, false) => return Ok(()),
    };
    Err(RequestError::BadQueueName { name: shorten(name), reason })
}

/// A name as it may stand in an error: whoever sent it may have sent much.
pub(crate) fn shorten(name: &str) -> String {
    name.chars().take(100).collect()
}
