//! What two copies of a message have in common. Made on the connection's task, so that the engine's
//! thread hashes no bodies.

use forebay_engine::command::Deduplication;
use forebay_engine::ids::DeduplicationKey;
use forebay_protocol::AcceptedIds;
use sha2::{Digest, Sha256};

/// Of the deduplication id if the message has one, else, for a FIFO queue, of the body if it has a
/// group.
pub(crate) fn deduplication(ids: AcceptedIds<'_>, body: &[u8], is_fifo: bool) -> Deduplication {
    match (ids.deduplication, ids.group) {
        (Some(id), _) => Deduplication::Id(key(0x01, id.as_bytes())),
        (None, Some(_)) if is_fifo => Deduplication::Content(key(0x02, body)),
        (None, _) => Deduplication::None,
    }
}

/// Ids are no longer, by their rules.
const ID_BYTES_MAX: usize = 128;

/// The first 16 bytes of SHA-256. The kind is hashed too, so that no id is taken for a body.
fn key(kind: u8, bytes: &[u8]) -> DeduplicationKey {
    let mut whole = [kind; 1 + ID_BYTES_MAX];
    let digest = match whole.get_mut(1..=bytes.len()) {
        // As one part a short id takes less time.
        Some(part) => {
            part.copy_from_slice(bytes);
            Sha256::digest(&whole[..=bytes.len()])
        }
        None => Sha256::new().chain_update([kind]).chain_update(bytes).finalize(),
    };
    DeduplicationKey(std::array::from_fn(|at| digest[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(group: Option<&str>, id: Option<&str>, body: &[u8]) -> Deduplication {
        deduplication(AcceptedIds { group, deduplication: id }, body, true)
    }

    #[test]
    fn an_id_counts_before_the_body_and_a_body_only_in_a_group() {
        assert_eq!(of(None, None, b"body"), Deduplication::None);
        let id = of(None, Some("id"), b"body");
        assert!(matches!(id, Deduplication::Id(_)));
        assert_eq!(of(Some("group"), Some("id"), b"another"), id, "whatever the body");
        let content = of(Some("group"), None, b"body");
        assert!(matches!(content, Deduplication::Content(_)));
        assert_eq!(of(Some("other"), None, b"body"), content, "whatever the group");
        assert_ne!(of(Some("group"), None, b"another"), content);
    }

    #[test]
    fn keys_stay_what_they_are_because_they_are_stored() {
        // printf '\001id' | sha256sum, printf '\002body' | sha256sum
        let key = |deduplication| match deduplication {
            Deduplication::Id(key) | Deduplication::Content(key) => key.to_string(),
            Deduplication::None => String::new(),
        };
        assert_eq!(key(of(None, Some("id"), b"")), "5a281f5184f0968f6899faa7de5447ec");
        assert_eq!(key(of(Some("g"), None, b"body")), "ffc1d01e8ba5e96535205b48a6a35051");
        // printf '\002%0128d' 0 | sha256sum, and the same with %0129d.
        let zeros = |count| key(of(Some("g"), None, &vec![b'0'; count]));
        assert_eq!(zeros(128), "2315d9afb3bf828730ce1b7778ccf43b");
        assert_eq!(zeros(129), "20288af18c556517e97cbb73965d9a37");
    }
}
