//! The attributes section of a message: what the engine needs to know of it (FORMAT.md section 3.3).
//!
//! ```text
//! items, kinds ascending    | kind u8 | bytes u32 | value |
//! ```
//!
//! The section is stored as it came. The caller has refused what breaks a rule; here any bytes are
//! read as far as they are items, and what is behind that is nobody's.

use crate::checksum;
use crate::codec::Fields;
use crate::ids::Group;

/// What was found in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttributesSection<'a> {
    /// The group's id.
    pub group: Option<&'a [u8]>,
    /// The deduplication id.
    pub deduplication: Option<&'a [u8]>,
    /// The bytes that count for a queue's `message_bytes_max`: name, type and value of each
    /// attribute, and whatever is not understood.
    pub counted_bytes: u64,
}

/// The numbers of the kinds. Never used again.
mod kind {
    pub(super) const GROUP: u8 = 1;
    pub(super) const DEDUPLICATION: u8 = 2;
    pub(super) const TRACE: u8 = 3;
    pub(super) const ATTRIBUTE: u8 = 16;
}

/// Before the value of an item.
const ITEM_HEADER_BYTES: u64 = 1 + 4;

/// In the value of an attribute: how long name and type are.
const ATTRIBUTE_LENGTHS_BYTES: u64 = 2 + 2;

impl<'a> AttributesSection<'a> {
    /// Reads a section. Any bytes give one.
    pub fn read(section: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut uncounted_bytes = 0;
        let mut rest = section;
        while let Some((kind, value, behind)) = split_item(rest) {
            let value_bytes = value.len() as u64;
            match kind {
                kind::GROUP => found.group = Some(value),
                kind::DEDUPLICATION => found.deduplication = Some(value),
                _ => {}
            }
            uncounted_bytes += match kind {
                kind::GROUP | kind::DEDUPLICATION | kind::TRACE => ITEM_HEADER_BYTES + value_bytes,
                kind::ATTRIBUTE => ITEM_HEADER_BYTES + ATTRIBUTE_LENGTHS_BYTES.min(value_bytes),
                _ => 0,
            };
            rest = behind;
        }
        found.counted_bytes = section.len() as u64 - uncounted_bytes;
        found
    }

    /// What stands for the group in an index: the CRC-32 of its id, or 1 if that is 0; 0 is no group.
    pub fn group_crc(&self) -> u32 {
        self.group.map_or(Group::NONE, group_of).0
    }
}

/// The group of this id.
pub fn group_of(id: &[u8]) -> Group {
    Group(checksum::plain(&[id]).max(1))
}

fn split_item(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let mut fields = Fields::new(bytes);
    let (kind, value_bytes) = (fields.u8()?, fields.u32()?);
    let (value, behind) = fields.rest().split_at_checked(value_bytes as usize)?;
    Some((kind, value, behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind][..], &(value.len() as u32).to_le_bytes(), value].concat()
    }

    #[test]
    fn ids_are_found_and_only_attributes_count() {
        let attribute = item(16, b"\x01\0n\x06\0Stringvalue");
        let section = [item(1, b"group"), item(2, b"once"), item(3, b"Root=1"), attribute].concat();
        let found = AttributesSection::read(&section);
        assert_eq!((found.group, found.deduplication), (Some(&b"group"[..]), Some(&b"once"[..])));
        assert_eq!(found.counted_bytes, "nStringvalue".len() as u64);
        assert_eq!(found.group_crc(), crc32fast::hash(b"group"));
        assert_eq!(AttributesSection::read(&[]), AttributesSection::default());
    }

    #[test]
    fn no_group_is_told_from_one_whose_checksum_is_zero() {
        // The CRC-32 of no bytes is 0.
        assert_eq!(AttributesSection::read(&item(1, b"")).group_crc(), 1);
        assert_eq!(AttributesSection::read(&item(2, b"")).group_crc(), 0);
    }

    #[test]
    fn what_is_not_understood_counts() {
        let unknown = [item(1, b"g"), item(200, b"?"), vec![3, 9, 0, 0, 0, b'x']].concat();
        let found = AttributesSection::read(&unknown);
        assert_eq!(found.group, Some(&b"g"[..]));
        assert_eq!(found.counted_bytes, unknown.len() as u64 - 6);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_section(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let found = AttributesSection::read(&bytes);
            prop_assert!(found.counted_bytes <= bytes.len() as u64);
        }

        #[test]
        fn any_items_give_a_section(
            items in proptest::collection::vec(
                (0..18_u8, proptest::collection::vec(any::<u8>(), 0..9)), 0..6),
        ) {
            let section: Vec<u8> =
                items.iter().flat_map(|(kind, value)| item(*kind, value)).collect();
            let found = AttributesSection::read(&section);
            let last = |kind| items.iter().rfind(|(k, _)| *k == kind).map(|(_, value)| &**value);
            prop_assert_eq!((found.group, found.deduplication), (last(1), last(2)));
            prop_assert!(found.counted_bytes <= section.len() as u64);
        }
    }
}
