//! Engine and protocol know nothing of each other, but state some facts both. Without these, the
//! two could drift apart.

use bytes::Bytes;
use forebay_engine::attributes::{ATTRIBUTES, TEXT_ATTRIBUTES, Value};
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
    assert_eq!(TEXT_ATTRIBUTES.len(), QueueAttributes::TEXTS.len());
    for (engine, protocol) in TEXT_ATTRIBUTES.iter().zip(QueueAttributes::TEXTS) {
        let type_name = match (engine.empty)() {
            Value::Number(_) => "u64",
            Value::Text(_) => "text",
            Value::List(_) => "texts",
            Value::Map(_) => "map",
        };
        assert_eq!(
            (engine.id, engine.name.replace('-', "_"), type_name),
            (protocol.id, protocol.name.to_owned(), protocol.type_name)
        );
    }
}
