//! Frames: how requests and replies are told apart on a stream of bytes.
//!
//! ```text
//! | length u32 | opcode u8 | flags u8 | reserved u16 | correlation u32 | body |
//!               `------------------ length counts these ---------------------'
//! ```
//!
//! Decoding is a pure function of the bytes received: it holds no clock and no socket, and the
//! length is compared with the limit before anything is done with it. A length that breaks the
//! limit cannot be resynchronised: the connection ends.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::{ErrorCode, ProtocolError};
use crate::wire::TooLong;

/// The bytes of a frame before its body, the length field included.
pub const FRAME_HEADER_BYTES: usize = 12;

/// The largest `length` before Welcome has told the limits.
pub const FRAME_BYTES_MAX_BEFORE_WELCOME: u32 = 4096;

/// The correlation of an Error frame that is about the connection rather than a request.
pub const CONNECTION: u32 = 0;

/// The bytes of the length field itself, which `length` does not count.
pub const FRAME_LENGTH_BYTES: usize = 4;
/// How much room a read gets, of twice what has arrived of a frame, and with how little it still goes on.
const READ_BYTES: Range<usize> = 64 << 10..256 << 10;
const READ_BYTES_MIN: usize = 8 << 10;
/// What `length` counts besides the body.
const LENGTH_MIN: u32 = (FRAME_HEADER_BYTES - FRAME_LENGTH_BYTES) as u32;

/// A frame whose body is not yet decoded. The body shares the buffer it was read into, and keeps
/// it in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which operation, and whether a request or a reply.
    pub opcode: u8,
    /// Must be 0.
    pub flags: u8,
    /// Must be 0.
    pub reserved: u16,
    /// The request's number, chosen by the client, repeated by the reply.
    pub correlation: u32,
    /// What the operation says.
    pub body: Bytes,
}

/// Takes frames off the front of a buffer, as they become complete.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    /// The largest `length` that is accepted: raised when Welcome was sent or received.
    pub frame_bytes_max: u32,
}

/// A length after which the stream cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than a frame's own header.
    #[error("a frame of {length} bytes; at least {LENGTH_MIN}")]
    TooShort {
        /// The length announced.
        length: u32,
    },
    /// Longer than the limit.
    #[error("a frame of {length} bytes; at most {frame_bytes_max}")]
    TooLarge {
        /// The length announced.
        length: u32,
        /// The limit.
        frame_bytes_max: u32,
    },
}

impl FrameDecoder {
    /// A decoder for the beginning of a connection.
    pub fn new() -> FrameDecoder {
        FrameDecoder { frame_bytes_max: FRAME_BYTES_MAX_BEFORE_WELCOME }
    }

    /// Makes room in `buffer` for the next read. How much does not depend on any length announced:
    /// memory follows the bytes that arrive. What there is of a frame is moved then; where frames are long, several fit.
    pub fn make_room(&self, buffer: &mut BytesMut) {
        if buffer.capacity() - buffer.len() < READ_BYTES_MIN {
            buffer.reserve((2 * buffer.len()).clamp(READ_BYTES.start, READ_BYTES.end));
        }
    }

    /// Takes the next frame off the front of `buffer`, or `None` until all its bytes are there.
    /// Nothing is reserved for bytes that have not arrived. After an error the connection must end.
    pub fn decode(&self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(prefix) = buffer.first_chunk::<FRAME_LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix);
        if length > self.frame_bytes_max {
            return Err(FrameError::TooLarge { length, frame_bytes_max: self.frame_bytes_max });
        }
        if length < LENGTH_MIN {
            return Err(FrameError::TooShort { length });
        }
        if buffer.len() - FRAME_LENGTH_BYTES < length as usize {
            return Ok(None);
        }
        let mut bytes = buffer.split_to(FRAME_LENGTH_BYTES + length as usize).freeze();
        bytes.advance(FRAME_LENGTH_BYTES);
        Ok(Some(Frame {
            opcode: bytes.get_u8(),
            flags: bytes.get_u8(),
            reserved: bytes.get_u16_le(),
            correlation: bytes.get_u32_le(),
            body: bytes,
        }))
    }
}

impl Default for FrameDecoder {
    fn default() -> FrameDecoder {
        FrameDecoder::new()
    }
}

impl Frame {
    /// Refuses flags that this version gives no meaning: they might change what the body means.
    pub(crate) fn check_reserved(&self) -> Result<(), ProtocolError> {
        if self.flags == 0 && self.reserved == 0 {
            return Ok(());
        }
        let text =
            format!("flags {:#04x} and reserved {:#06x} must be 0", self.flags, self.reserved);
        Err(ProtocolError::new(ErrorCode::Malformed, text))
    }
}

impl FrameError {
    /// The error to tell the peer, with correlation [`CONNECTION`], before closing.
    pub fn to_protocol_error(self) -> ProtocolError {
        let code = match self {
            FrameError::TooShort { .. } => ErrorCode::Malformed,
            FrameError::TooLarge { .. } => ErrorCode::FrameTooLarge,
        };
        ProtocolError::new(code, self.to_string())
    }
}

/// Appends a frame whose body is what `body` appends. If that fails, `out` is left as it was.
pub(crate) fn encode_frame(
    opcode: u8,
    correlation: u32,
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    let start = out.len();
    out.put_u32_le(0);
    out.put_u8(opcode);
    out.put_u8(0);
    out.put_u16_le(0);
    out.put_u32_le(correlation);
    let encoded = body(out).and_then(|()| {
        let bytes = out.len() - start - FRAME_LENGTH_BYTES;
        u32::try_from(bytes).map_err(|_| TooLong {
            what: "a frame",
            bytes,
            bytes_max: u32::MAX as usize,
        })
    });
    match encoded {
        Ok(length) => {
            out[start..start + FRAME_LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Numbers an encoded frame.
#[cfg(feature = "client")]
pub(crate) fn set_correlation(frame: &mut BytesMut, correlation: u32) {
    frame[FRAME_HEADER_BYTES - 4..FRAME_HEADER_BYTES].copy_from_slice(&correlation.to_le_bytes());
}
