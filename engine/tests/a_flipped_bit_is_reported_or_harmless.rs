//! Without this: a disk that flips a bit could make the store deliver other bytes than were sent,
//! or take the rest of the log for a torn tail and drop answered messages without a word.
//!
//! The default run flips some hundred bits; `FOREBAY_FULL_SWEEP=1` flips every one.

mod common;
#[path = "common/reference.rs"]
mod reference;

use std::collections::BTreeMap;
use std::path::Path;

use reference::{Judgement, Reference, full_sweep, is_dispensable};

/// The bits to flip in a file: at places that share no factor with the formats' fields, most of
/// them where the formats keep those.
fn bits(reference: &Reference, path: &Path) -> Vec<u64> {
    let bits = reference.files[path].len() as u64 * 8;
    if full_sweep() {
        return (0..bits).collect();
    }
    let Some(entries) = reference.entries.get(path) else {
        let step = if bits > 10_000 { 12_347 } else { 23 };
        return (0..bits).step_by(step).collect();
    };
    let in_active = path == reference.active();
    let header_page = (0..80 * 8).step_by(if in_active { 29 } else { 211 });
    let newest = entries.iter().rev().take(if in_active { 2 } else { 0 });
    let newest = newest.flat_map(|(start, end)| (start * 8..end * 8).step_by(101));
    let rest = (80 * 8..bits).step_by(9973);
    header_page.chain(newest).chain(rest).filter(|bit| *bit < bits).collect()
}

#[test]
fn a_flipped_bit_is_reported_where_it_is_or_changes_nothing() {
    let reference = Reference::build();
    let (newest, log_end) = reference.newest();
    let mut seen = BTreeMap::new();
    for path in reference.files.keys() {
        for bit in bits(&reference, path) {
            let byte = bit / 8;
            let what = format!("bit {} of byte {byte} of {}", bit % 8, path.display());
            let disk = reference.disk(|_| {});
            disk.flip_bit(path, byte, (bit % 8) as u8).unwrap();
            let (judgement, damages) = reference.judge(&disk, &what);
            *seen.entry(judgement).or_insert(0u32) += 1;
            let in_active = path == reference.active();
            match judgement {
                Judgement::Whole => {
                    assert!(is_dispensable(path), "{what} went unseen");
                }
                // The newest entry is a watermark, and behind it is nothing: neither is missed.
                Judgement::Torn => assert!(in_active && byte >= newest, "{what} was cut"),
                Judgement::Refused => {
                    assert!(!in_active || byte < log_end, "{what} is no data");
                    // A version that is too new is told without an extent.
                    if let [damage] = &damages[..] {
                        assert_eq!(damage.path, *path, "{what}: {damage}");
                        let extent = damage.offset..damage.offset + damage.bytes;
                        assert!(extent.contains(&byte), "{what} lies outside of {damage}");
                    } else {
                        assert!(damages.is_empty(), "{what}: {damages:?}");
                    }
                }
            }
        }
    }
    assert_eq!(seen.len(), 3, "all outcomes are met: {seen:?}");
}
