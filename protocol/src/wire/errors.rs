//! How errors become bytes.

use bytes::BytesMut;

use super::{Input, TooLong, Unreadable, Wire};
use crate::error::{ErrorCode, ProtocolError, Retry};

/// Longer error texts are cut when they are encoded.
const TEXT_BYTES_MAX: usize = 1024;

impl Wire for ProtocolError {
    const BYTES_MIN: usize = ErrorCode::BYTES_MIN + Retry::BYTES_MIN + String::BYTES_MIN;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        self.code.encode(out)?;
        self.retry.encode(out)?;
        cut(&self.text).to_owned().encode(out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        Ok(ProtocolError {
            code: input.field("code")?,
            retry: input.field("retry")?,
            text: input.field("text")?,
        })
    }
}

/// The longest beginning of `text` that an error carries.
fn cut(text: &str) -> &str {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

impl Wire for ErrorCode {
    const BYTES_MIN: usize = 2;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        self.code().encode(out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        Ok(ErrorCode::from_code(u16::decode(input)?))
    }
}

impl Wire for Retry {
    const BYTES_MIN: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let class: u8 = match self {
            Retry::Never => 0,
            Retry::Later => 1,
            Retry::UnknownOutcome => 2,
        };
        class.encode(out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        Ok(match u8::decode(input)? {
            0 => Retry::Never,
            1 => Retry::Later,
            // A class from a newer server: the least that can be assumed.
            _ => Retry::UnknownOutcome,
        })
    }
}
