//! The receipts of messages that were received and not yet acked, and which of them go next.
//!
//! Each of them goes with the same chance, so garbage arises everywhere in the log at once.

use forebay_protocol::{Receipt, ReceivedMessage};

use crate::BenchError;

/// Receipts, in no order.
#[derive(Debug)]
pub(super) struct Shelf {
    /// Copies: a receipt as it arrives keeps the frame around it, with its bodies.
    receipts: Vec<Box<[u8]>>,
    random: Random,
    /// Of so many messages of the queue one is never taken.
    kept_one_in: Option<u64>,
}

impl Shelf {
    /// An empty one; of every `kept_one_in` messages it forgets one, which stays in the queue.
    pub(super) fn new(kept_one_in: Option<u64>) -> Self {
        Self { receipts: Vec::new(), random: Random(1), kept_one_in }
    }

    /// Puts what was received on the shelf.
    pub(super) fn put(&mut self, messages: &[ReceivedMessage]) {
        let kept = |seq: u64| self.kept_one_in.is_some_and(|one_in| seq.is_multiple_of(one_in));
        let to_ack = messages.iter().filter(|message| !kept(message.seq));
        self.receipts.extend(to_ack.map(|message| message.receipt.as_bytes().into()));
    }

    /// Takes `count` receipts, or what there is.
    pub(super) fn take(&mut self, count: usize) -> Result<Vec<Receipt>, BenchError> {
        let count = count.min(self.receipts.len());
        (0..count)
            .map(|_| {
                let index = self.random.below(self.receipts.len());
                let bytes = self.receipts.swap_remove(index);
                Receipt::new(bytes).map_err(|error| BenchError::new(error.to_string()))
            })
            .collect()
    }
}

/// Numbers without order, the same in every run (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use forebay_protocol::Block;

    use super::*;

    fn message(seq: u64) -> ReceivedMessage {
        let receipt = Receipt::new(seq.to_le_bytes().to_vec()).unwrap();
        let block = Block::new(Vec::new());
        ReceivedMessage {
            seq,
            receipt,
            receive_count: 1,
            sent_ms: 0,
            first_received_ms: 0,
            source: String::new(),
            origin_queue_id: 1,
            origin_seq: seq,
            reason: String::new(),
            block,
        }
    }

    #[test]
    fn all_are_taken_once_but_those_that_stay() {
        let mut shelf = Shelf::new(Some(10));
        let messages: Vec<_> = (0..100).map(message).collect();
        shelf.put(&messages);
        let mut taken = shelf.take(7).unwrap();
        assert_eq!(taken.len(), 7);
        taken.extend(shelf.take(1000).unwrap());
        let seq = |receipt: &Receipt| u64::from_le_bytes(receipt.as_bytes().try_into().unwrap());
        let mut seqs: Vec<u64> = taken.iter().map(seq).collect();
        assert!(!seqs.is_sorted());
        seqs.sort_unstable();
        assert_eq!(seqs, (0..100).filter(|seq| seq % 10 != 0).collect::<Vec<_>>());
        assert!(shelf.take(1).unwrap().is_empty());
    }
}
