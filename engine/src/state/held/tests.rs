//! A map is what a plain sorted map is, and a clone is what it was cloned from.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// Something to tell entries apart by.
fn held(count: u32) -> Held {
    Held { receive_count: count, ..Held::new() }
}

/// A map of the seqs from 1 on.
fn filled(count: u64) -> HeldMap {
    let mut map = HeldMap::default();
    for seq in (1..=count).map(Seq) {
        map.insert(seq, held(1));
    }
    map
}

fn contents(map: &HeldMap) -> Vec<(Seq, Held)> {
    map.range(..).map(|(seq, held)| (seq, *held)).collect()
}

/// Holds the invariants up against every leaf.
fn check(map: &HeldMap) {
    let mut before = None;
    let mut len = 0;
    for (key, leaf) in &map.leaves {
        assert!((1..=LEAF_ENTRIES_MAX).contains(&leaf.len()), "{} entries", leaf.len());
        assert!(before < Some(*key) && *key <= leaf[0].0);
        assert!(leaf.iter().zip(leaf.iter().skip(1)).all(|(a, b)| a.0 < b.0));
        before = leaf.back().map(|(seq, _)| *seq);
        len += leaf.len() as u64;
    }
    assert_eq!(len, map.len());
}

/// What is done to a map: runs, so that leaves are filled, split, emptied and merged.
#[derive(Debug, Clone)]
enum Change {
    Insert { first: u64, step: u64, count: u64, descending: bool },
    Remove { first: u64, step: u64, count: u64 },
}

fn changes() -> impl Strategy<Value = Change> {
    let run = (0..3000_u64, 1..4_u64, 1..900_u64);
    prop_oneof![
        (run.clone(), any::<bool>()).prop_map(|((first, step, count), descending)| {
            Change::Insert { first, step, count, descending }
        }),
        run.prop_map(|(first, step, count)| Change::Remove { first, step, count }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_agrees_with_a_plain_map_and_clones_do_not_change(
        changes in proptest::collection::vec(changes(), 1..12),
        clone_at in 0..12_usize,
        from in 0..6000_u64,
        to in 0..6000_u64,
    ) {
        let (mut map, mut plain) = (HeldMap::default(), BTreeMap::new());
        let mut cloned = (map.clone(), Vec::new());
        for (number, change) in changes.iter().enumerate() {
            if number == clone_at {
                cloned = (map.clone(), contents(&map));
            }
            let value = held(number as u32);
            match *change {
                Change::Insert { first, step, count, descending } => for n in 0..count {
                    let n = if descending { count - 1 - n } else { n };
                    let seq = Seq(first + n * step);
                    prop_assert_eq!(map.insert(seq, value), plain.insert(seq, value));
                },
                Change::Remove { first, step, count } => for n in 0..count {
                    let seq = Seq(first + n * step);
                    prop_assert_eq!(map.remove(seq), plain.remove(&seq));
                },
            }
            check(&map);
        }
        let expected: Vec<_> = plain.iter().map(|(seq, held)| (*seq, *held)).collect();
        prop_assert_eq!(contents(&map), expected);
        for seq in (0..6000).map(Seq) {
            prop_assert_eq!(map.get(seq), plain.get(&seq));
        }
        let (from, to) = (Seq(from), Seq(to));
        let inside = plain.keys().filter(|seq| (from..=to).contains(seq)).count();
        prop_assert_eq!(map.count(from..=to), inside as u64);
        for start in [Included(from), Excluded(from), Unbounded] {
            for end in [Included(to), Excluded(to), Unbounded] {
                let expected: Vec<_> =
                    plain.keys().copied().filter(|seq| (start, end).contains(seq)).collect();
                let found: Vec<_> = map.range((start, end)).map(|(seq, _)| seq).collect();
                prop_assert_eq!(found, expected);
            }
        }
        prop_assert_eq!(contents(&cloned.0), cloned.1);
        check(&cloned.0);
    }
}

#[test]
fn ascending_and_descending_seqs_fill_leaves() {
    let count = 10 * LEAF_ENTRIES_MAX as u64;
    let (up, mut down) = (filled(count), HeldMap::default());
    for n in 1..=count {
        down.insert(Seq(1_000_000 - n), held(1));
    }
    assert_eq!((up.leaves.len(), down.leaves.len()), (10, 10));
}

#[test]
fn what_remains_here_and_there_is_merged() {
    let mut map = filled(100_000);
    for n in (1..=100_000).filter(|n| n % 100 != 0) {
        map.remove(Seq(n));
    }
    check(&map);
    assert_eq!(map.len(), 1000);
    assert!(map.leaves.len() <= 10, "{} leaves", map.leaves.len());
}

#[test]
fn a_million_entries_are_cloned_in_no_time() {
    let map = filled(1_000_000);
    // The fastest of some: others may be using the machine.
    let clone = || {
        let start = Instant::now();
        let clone = map.clone();
        (start.elapsed(), clone)
    };
    let fastest = (0..20).map(|_| clone().0).min().unwrap();
    assert!(fastest < Duration::from_millis(1), "{fastest:?}");
}
