//! Messages as producers make them.

use bytes::Bytes;
use forebay_engine::checksum;
use forebay_engine::command::{Deduplication, NewMessage};
use forebay_engine::ids::DeduplicationKey;

/// A message that is to be stored, with the checksum that its producer makes.
pub fn message(body: &[u8], delay_ms: Option<u64>) -> NewMessage {
    NewMessage {
        delay_ms,
        checksum: checksum::message(0, body),
        attributes_bytes: 0,
        payload: Bytes::copy_from_slice(body),
        deduplication: Deduplication::None,
    }
}

/// A message of a group, with a deduplication id.
pub fn in_group(group: &str, deduplication: Option<u64>, body: &[u8]) -> NewMessage {
    let mut payload = vec![1];
    payload.extend_from_slice(&(group.len() as u32).to_le_bytes());
    payload.extend_from_slice(group.as_bytes());
    let attributes_bytes = payload.len() as u32;
    payload.extend_from_slice(body);
    let key = deduplication.map(|id| DeduplicationKey(u128::from(id).to_be_bytes()));
    NewMessage {
        delay_ms: None,
        checksum: checksum::message(attributes_bytes, &payload),
        attributes_bytes,
        payload: payload.into(),
        deduplication: key.map_or(Deduplication::None, Deduplication::Id),
    }
}
