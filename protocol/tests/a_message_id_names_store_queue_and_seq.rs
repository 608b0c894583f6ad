//! Without this the id that a client was given could lead to another message.

use forebay_protocol::*;
use proptest::prelude::*;
use uuid::Uuid;

proptest! {
    #[test]
    fn its_parts_come_back(store: u128, queue_id: u32, seq: u64) {
        let store_id = Uuid::from_u128(store);
        let id = MessageId::new(store_id, queue_id, seq);
        prop_assert_eq!((id.queue_id(), id.seq()), (queue_id, seq));
        prop_assert!(id.is_of(store_id));
        prop_assert!(!id.is_of(Uuid::from_u128(store ^ (1 << 127))));
        prop_assert_eq!(id.uuid().get_version_num(), 8);
        prop_assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn its_text_comes_back(store: u128, queue_id: u32, seq: u64) {
        let id = MessageId::new(Uuid::from_u128(store), queue_id, seq);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(MessageId::try_from(id.uuid()), Ok(id));
    }

    #[test]
    fn any_text_is_an_id_or_an_error(text in "\\PC{0,40}") {
        let _ = text.parse::<MessageId>();
    }
}

#[test]
fn ids_of_a_queue_sort_by_seq() {
    let id = |seq| MessageId::new(Uuid::from_u128(7), 3, seq);
    assert!(id(1) < id(2) && id(2) < id(u64::from(u32::MAX)) && id(1 << 61) < id(1 << 62));
}

#[test]
fn another_kind_of_uuid_is_refused() {
    let error = "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0".parse::<MessageId>().unwrap_err();
    assert_eq!(error.reason, "expected a UUID of version 8, found version 4");
}
