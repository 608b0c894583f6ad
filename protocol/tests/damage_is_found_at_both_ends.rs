//! Without this a message could be stored or delivered with other bytes than it was sent with.

mod common;

use bytes::Bytes;
use common::{message_attributes, only_frame, request_frame};
use forebay_protocol::*;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_one_bit_of_a_block_is_noticed(
        attributes in message_attributes(),
        body in vec(any::<u8>(), 0..100),
        flip: prop::sample::Index,
    ) {
        let block = Block::with_attributes(&attributes, body);
        let block_bytes = block.encoded_bytes();
        let messages = vec![OutgoingMessage { delay_ms: None, block }];
        let mut bytes = request_frame(Send::new("q", messages), 1);
        let bit = (bytes.len() - block_bytes) * 8 + flip.index(block_bytes * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        match Request::decode(&only_frame(bytes)) {
            Ok(Request::Send(send)) => prop_assert!(send.messages[0].block.verify().is_err()),
            Ok(other) => prop_assert!(false, "decoded as {other:?}"),
            Err(error) => prop_assert_eq!(error.code, ErrorCode::Malformed),
        }
    }

    #[test]
    fn a_block_taken_apart_and_put_together_is_the_same(
        attributes in message_attributes(),
        body in vec(any::<u8>(), 0..100),
    ) {
        let block = Block::with_attributes(&attributes, body.clone());
        prop_assert_eq!(block.message_attributes(), Ok(attributes));
        prop_assert_eq!(block.body(), &body);
        let again = Block::from_parts(block.crc(), block.attributes(), block.body().clone());
        prop_assert_eq!(again.verify(), Ok(()));
        prop_assert_eq!(&again, &block);
        let attributes_bytes = block.attributes_bytes();
        let stored = Block::from_payload(block.crc(), attributes_bytes, block.clone().into_payload());
        prop_assert_eq!(stored, block);
    }
}

#[test]
fn the_checksum_covers_the_lengths() {
    // The same bytes, divided otherwise between attributes and body.
    let block = Block::new("ab");
    let divided = Block::from_parts(block.crc(), Bytes::from("a"), Bytes::from("b"));
    assert!(divided.verify().is_err());
}

#[test]
fn an_empty_body_is_a_message() {
    assert_eq!(Block::new("").verify(), Ok(()));
}
