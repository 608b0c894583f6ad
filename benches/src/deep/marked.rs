//! Bodies that say which message they are, so that whoever receives one knows whether it is right.

use std::sync::Arc;

use crate::BenchError;
use crate::frames::random_bytes;

/// The bytes of a body before those that are random.
pub(super) const MARK_BYTES: usize = 16;
/// Random bytes, of which each body has a stretch.
const POOL_BYTES: usize = 1 << 20;

/// Makes bodies and knows them again.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    pool: Arc<[u8]>,
    bytes: usize,
}

impl Marked {
    /// Bodies of so many bytes.
    pub(super) fn new(bytes: u32) -> Result<Self, BenchError> {
        let bytes = bytes as usize;
        if bytes < MARK_BYTES {
            return Err(BenchError::new(format!("a body has at least {MARK_BYTES} bytes")));
        }
        Ok(Self { pool: random_bytes(POOL_BYTES + bytes)?.into(), bytes })
    }

    /// The body of the message that two numbers stand for.
    pub(super) fn body(&self, first: u64, second: u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.bytes);
        body.extend_from_slice(&first.to_le_bytes());
        body.extend_from_slice(&second.to_le_bytes());
        body.extend_from_slice(self.stretch(first, second));
        body
    }

    /// The numbers of a body; `None` if it was never made.
    pub(super) fn read(&self, body: &[u8]) -> Option<(u64, u64)> {
        let (first, rest) = body.split_first_chunk::<8>()?;
        let (second, rest) = rest.split_first_chunk::<8>()?;
        let (first, second) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
        (rest == self.stretch(first, second)).then_some((first, second))
    }

    /// One body after the other, each of another message.
    pub(super) fn bodies(self) -> impl FnMut() -> Vec<u8> {
        let mut number = 0;
        move || {
            number += 1;
            self.body(number, 0)
        }
    }

    fn stretch(&self, first: u64, second: u64) -> &[u8] {
        let mixed = (first ^ second.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let at = mixed as usize % POOL_BYTES;
        &self.pool[at..at + self.bytes - MARK_BYTES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_known_again_and_no_other_is() {
        let marked = Marked::new(100).unwrap();
        let mut body = marked.body(7, 9);
        assert_eq!((body.len(), marked.read(&body)), (100, Some((7, 9))));
        body[50] ^= 1;
        assert_eq!(marked.read(&body), None);
        assert_eq!(marked.read(&[]), None);
    }
}
