//! Engine and protocol know nothing of each other, but state some facts both. Without these, the
//! two could drift apart.

use bytes::Bytes;
use forebay_engine::attributes::{self, ATTRIBUTES, TEXT_ATTRIBUTES, Value};
use forebay_engine::attributes_section::AttributesSection;
use forebay_engine::command;
use forebay_engine::record;
use forebay_engine::unit::Unit;
use forebay_protocol::{Block, MessageAttribute, MessageAttributes, QueueAttributes};
use proptest::prelude::*;

fn message_attributes() -> impl Strategy<Value = MessageAttributes> {
    let text = || proptest::option::of("\\PC{0,20}");
    let value = proptest::collection::vec(any::<u8>(), 0..20);
    let attribute = ("\\PC{0,9}", "\\PC{0,9}", value)
        .prop_map(|(name, data_type, value)| MessageAttribute::new(name, data_type, value));
    (text(), text(), text(), proptest::collection::vec(attribute, 0..10)).prop_map(
        |(group, deduplication, trace, attributes)| MessageAttributes {
            group,
            deduplication,
            trace,
            attributes,
        },
    )
}

proptest! {
    #[test]
    fn a_message_has_the_same_checksum_on_the_wire_and_in_the_log(
        attributes in message_attributes(),
        body in proptest::collection::vec(any::<u8>(), 0..1000),
    ) {
        let block = Block::with_attributes(&attributes, Bytes::from(body));
        let (crc, attributes_bytes) = (block.crc(), block.attributes_bytes() as u32);
        let payload = block.into_payload();
        prop_assert_eq!(crc, forebay_engine::checksum::message(attributes_bytes, &payload));
    }

    #[test]
    fn what_travels_with_a_message_is_the_same_on_the_wire_and_in_the_log(
        attributes in message_attributes(),
    ) {
        let section = attributes.encode();
        let found = AttributesSection::read(&section);
        prop_assert_eq!(found.group, attributes.group.as_deref().map(str::as_bytes));
        prop_assert_eq!(found.deduplication, attributes.deduplication.as_deref().map(str::as_bytes));
        prop_assert_eq!(found.counted_bytes, attributes.counted_bytes() as u64);
    }
}

#[test]
fn queue_attributes_have_the_same_numbers_defaults_and_ranges() {
    assert_eq!(ATTRIBUTES.len(), QueueAttributes::TABLE.len());
    for (engine, protocol) in ATTRIBUTES.iter().zip(QueueAttributes::TABLE) {
        let name = protocol.name.replace('_', "-");
        assert!(name.starts_with(engine.name), "{name}, {}", engine.name);
        assert_eq!(engine.id, protocol.id, "{name}");
        // A refusal of it is in the words in which it is given.
        let is_duration = engine.unit == Unit::Milliseconds;
        assert_eq!(is_duration, name.ends_with("-ms"), "{name}");
        let is_size = engine.unit == Unit::Bytes;
        assert_eq!(is_size, name.contains("-bytes-"), "{name}");
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

#[test]
fn requests_have_the_same_limits() {
    assert_eq!(forebay_protocol::RECEIVE_MESSAGES_MAX as usize, command::BATCH_MESSAGES_MAX);
    assert_eq!(forebay_protocol::MESSAGE_BYTES_MAX, attributes::MESSAGE_BYTES_MAX);
    assert_eq!(forebay_protocol::ATTEMPT_BYTES_MAX as u64, command::ATTEMPT_BYTES_MAX);
    assert_eq!(forebay_protocol::REASON_BYTES_MAX, record::REASON_BYTES_MAX);
    assert_eq!(u64::from(forebay_protocol::REDRIVE_RATE_MAX), command::REDRIVE_RATE_MAX);
}
