//! Receipts: self-describing, authenticated handles to a leased message.
//!
//! ```text
//!  0       4               12              20              28
//!  +-------+---------------+---------------+---------------+
//!  | queue | seq           | lease         | tag           |
//!  +-------+---------------+---------------+---------------+
//! ```
//! Little-endian. `tag` is SipHash-2-4 of the first 20 bytes under the store's own key. A receipt
//! needs no lookup table: an ack works after a restart even if the lease's record was lost.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::error::RequestError;
use crate::ids::{LeaseId, QueueId, Seq};

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The queue's number: of this incarnation, since numbers are never reused.
    pub queue: QueueId,
    /// The message's number.
    pub seq: Seq,
    /// The lease.
    pub lease: LeaseId,
}

/// A receipt as the client holds it: 28 bytes, opaque to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealedReceipt(pub [u8; SealedReceipt::BYTES]);

impl SealedReceipt {
    /// A sealed receipt's size.
    pub const BYTES: usize = 28;

    /// A receipt as it came from a client.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RequestError> {
        bytes.try_into().map(Self).map_err(|_| RequestError::ReceiptInvalid {
            reason: format!("it has {} bytes, expected {}", bytes.len(), Self::BYTES),
        })
    }
}

impl fmt::Debug for SealedReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedReceipt(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The store's key for receipts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReceiptKey(pub [u8; 16]);

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiptKey(secret)")
    }
}

impl ReceiptKey {
    /// Makes a receipt that only this store's key opens.
    pub fn seal(&self, receipt: Receipt) -> SealedReceipt {
        let mut bytes = [0; SealedReceipt::BYTES];
        bytes[0..4].copy_from_slice(&receipt.queue.0.to_le_bytes());
        bytes[4..12].copy_from_slice(&receipt.seq.0.to_le_bytes());
        bytes[12..20].copy_from_slice(&receipt.lease.0.to_le_bytes());
        let tag = self.tag(&bytes[..20]);
        bytes[20..28].copy_from_slice(&tag.to_le_bytes());
        SealedReceipt(bytes)
    }

    /// Reads a receipt back, or says that this store did not make it.
    pub fn open(&self, sealed: &SealedReceipt) -> Result<Receipt, RequestError> {
        let (fields, tag) = sealed.0.split_at(20);
        let (queue, rest) = fields.split_at(4);
        let (seq, lease) = rest.split_at(8);
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        if self.tag(fields) != number(tag) {
            return Err(RequestError::ReceiptInvalid {
                reason: "this store did not make it".to_owned(),
            });
        }
        Ok(Receipt {
            queue: QueueId(u32::from_le_bytes(queue.try_into().expect("four bytes"))),
            seq: Seq(number(seq)),
            lease: LeaseId(number(lease)),
        })
    }

    fn tag(&self, fields: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(fields);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_opens_only_unchanged_and_only_with_its_key() {
        let key = ReceiptKey([7; 16]);
        let receipt = Receipt { queue: QueueId(3), seq: Seq(9), lease: LeaseId(1 << 41) };
        let sealed = key.seal(receipt);
        assert_eq!(key.open(&sealed), Ok(receipt));
        assert!(ReceiptKey([8; 16]).open(&sealed).is_err());
        for bit in 0..SealedReceipt::BYTES * 8 {
            let mut forged = sealed;
            forged.0[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&forged).is_err(), "bit {bit} flipped");
        }
        assert!(SealedReceipt::from_bytes(&sealed.0[1..]).is_err());
    }
}
