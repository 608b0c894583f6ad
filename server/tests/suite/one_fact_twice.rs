//! Engine and protocol know nothing of each other, but state some facts both. Without these, the
//! two could drift apart.

use bytes::Bytes;
use forebay_engine::attributes::ATTRIBUTES;
use forebay_protocol::{Block, QueueAttributes};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_message_has_the_same_checksum_on_the_wire_and_in_the_log(
        body in proptest::collection::vec(any::<u8>(), 0..1000),
    ) {
        let block = Block::new(Bytes::from(body.clone()));
        prop_assert_eq!(block.crc(), forebay_engine::checksum::message(0, &body));
    }
}

#[test]
fn queue_attributes_have_the_same_numbers_defaults_and_ranges() {
    assert_eq!(ATTRIBUTES.len(), QueueAttributes::TABLE.len());
    for (engine, protocol) in ATTRIBUTES.iter().zip(QueueAttributes::TABLE) {
        let name = protocol.name.replace('_', "-");
        assert!(name.starts_with(engine.name), "{name}, {}", engine.name);
        assert_eq!(engine.id, protocol.id, "{name}");
        assert_eq!(
            (engine.default, engine.min, engine.max),
            (protocol.default, protocol.min, protocol.max),
            "{name}"
        );
    }
}
