//! The receipt: what a receiver shows to ack a message or to change its lease.
//!
//! To this crate it is opaque: the server makes it and checks it.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::{Fault, Input, TooLong, Unreadable, Wire};

/// The most bytes a receipt may have.
pub const RECEIPT_BYTES_MAX: usize = 128;

/// An opaque handle of one lease, of at most [`RECEIPT_BYTES_MAX`] bytes.
/// On the wire a count (`u16`), then the bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Receipt(Bytes);

/// More bytes than a receipt may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a receipt of {bytes} bytes; at most {RECEIPT_BYTES_MAX}")]
pub struct ReceiptTooLong {
    /// How many there were.
    pub bytes: usize,
}

impl Receipt {
    /// A receipt of these bytes, unless there are too many.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Receipt, ReceiptTooLong> {
        let bytes = bytes.into();
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptTooLong { bytes: bytes.len() });
        }
        Ok(Receipt(bytes))
    }

    /// The bytes, as the server made them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Wire for Receipt {
    const BYTES_MIN: usize = 2;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        const { assert!(RECEIPT_BYTES_MAX <= u16::MAX as usize) };
        out.put_u16_le(self.0.len() as u16);
        out.put_slice(&self.0);
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        let count = u16::decode(input)?;
        let bytes = input.take(usize::from(count))?;
        Receipt::new(bytes).map_err(|error| Fault::Rule(error.to_string()).into())
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({:x})", self.0)
    }
}
