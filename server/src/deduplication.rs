//! What two copies of a message have in common. Made on the connection's task, so that the engine's
//! thread hashes no bodies.

use data_encoding::HEXLOWER;
use forebay_engine::command::Deduplication;
use forebay_engine::ids::DeduplicationKey;
use forebay_protocol::AcceptedIds;
use sha2::{Digest, Sha256};

/// Of the deduplication id if the message has one; else, for a FIFO queue, if it has a group, of the id that
/// its body makes: the body's SHA-256 in hexadecimal. So it is told, and so a message that is sent with that
/// text as its id is a copy, as in SQS.
pub(crate) fn deduplication(ids: AcceptedIds<'_>, body: &[u8], is_fifo: bool) -> Deduplication {
    match (ids.deduplication, ids.group) {
        (Some(id), _) => Deduplication::Id(key(id.as_bytes())),
        (None, Some(_)) if is_fifo => Deduplication::Content(key(id_of_body(body).as_bytes())),
        (None, _) => Deduplication::None,
    }
}

/// The deduplication id of a message of a group that was sent without one.
pub(crate) fn id_of_body(body: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(body))
}

/// Ids are no longer, by their rules.
const ID_BYTES_MAX: usize = 128;

/// The first 16 bytes of SHA-256, of 1 and the id.
fn key(id: &[u8]) -> DeduplicationKey {
    let mut whole = [0x01; 1 + ID_BYTES_MAX];
    let digest = match whole.get_mut(1..=id.len()) {
        // As one part a short id takes less time.
        Some(part) => {
            part.copy_from_slice(id);
            Sha256::digest(&whole[..=id.len()])
        }
        None => Sha256::new().chain_update([0x01]).chain_update(id).finalize(),
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
    fn the_digest_of_a_body_is_the_id_of_a_message_without_one() {
        // printf body | sha256sum
        let digest = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5";
        assert_eq!(id_of_body(b"body"), digest);
        let key = |deduplication| match deduplication {
            Deduplication::Id(key) | Deduplication::Content(key) => Some(key),
            Deduplication::None => None,
        };
        let (id, content) = (of(None, Some(digest), b""), of(Some("g"), None, b"body"));
        assert_eq!(key(id), key(content));
        assert_ne!(id, content, "a queue may take only one of them");
    }

    #[test]
    fn keys_stay_what_they_are_because_they_are_stored() {
        // printf '\001id' | sha256sum, printf "\001$(printf body | sha256sum | cut -c-64)" | sha256sum
        let key = |deduplication| match deduplication {
            Deduplication::Id(key) | Deduplication::Content(key) => key.to_string(),
            Deduplication::None => String::new(),
        };
        assert_eq!(key(of(None, Some("id"), b"")), "5a281f5184f0968f6899faa7de5447ec");
        assert_eq!(key(of(Some("g"), None, b"body")), "dde902200d977b191e220ef630124061");
    }
}
