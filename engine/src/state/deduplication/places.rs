//! Where in a window the newest entry of each key is: a table with open addressing, for windows of
//! millions whose every message is looked up once and stored once.
//!
//! A slot has 8 bytes, all in one place, and a key's first slot is found by its hash alone: so to
//! look a key up brings one line of the processor's cache from memory, as a rule, and to store it
//! afterwards finds that line there. A key is stored at its first slot or, where others have that,
//! behind it, without a gap between.

/// A table of places. A place is a key's hash, and the number of its entry in the window; the key
/// itself is only there.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// 0 where nothing is, else the hash above the number. As many as a power of two, or none.
    slots: Vec<u64>,
    len: usize,
}

/// The fewest slots of a table in which something is.
const SLOTS_MIN: usize = 1024;

/// Of so many slots ...
const LOAD_OF: usize = 4;

/// ... at most these are taken: a key that is not there is then 9 slots away at the mean.
const LOAD_MAX: usize = 3;

impl Places {
    pub(super) fn with_capacity(places: usize) -> Self {
        let mut made = Self::default();
        made.resize(slots_for(places));
        made
    }

    /// The entry of a key, if there is one: `is_same` says of an entry whether its key is that.
    pub(super) fn find(&self, hash: u32, is_same: impl FnMut(u32) -> bool) -> Option<u32> {
        let index = self.probe(hash, is_of(hash, is_same))?;
        (self.slots[index] != 0).then(|| self.slots[index] as u32)
    }

    /// Says where a key's entry is, instead of an older one's place.
    pub(super) fn insert(&mut self, hash: u32, number: u32, is_same: impl FnMut(u32) -> bool) {
        if (self.len + 1) * LOAD_OF > self.slots.len() * LOAD_MAX {
            self.resize(slots_for(self.len + 1).max(2 * self.slots.len()));
        }
        let index = self.probe(hash, is_of(hash, is_same)).expect("a table has free slots");
        self.len += usize::from(self.slots[index] == 0);
        self.slots[index] = slot(hash, number);
    }

    /// Forgets an entry. A key that has got another one since keeps that.
    pub(super) fn remove(&mut self, hash: u32, number: u32) {
        let gone = slot(hash, number);
        let Some(mut hole) = self.probe(hash, |slot| slot == gone) else { return };
        if self.slots[hole] == 0 {
            return;
        }
        // Whatever stands behind the hole and may stand in it moves there, and leaves the next one.
        let mask = self.slots.len() - 1;
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let slot = self.slots[next];
            if slot == 0 {
                break;
            }
            let passed = next.wrapping_sub(self.first_of(hash_of(slot))) & mask;
            if passed >= next.wrapping_sub(hole) & mask {
                self.slots[hole] = slot;
                hole = next;
            }
        }
        self.slots[hole] = 0;
        self.len -= 1;
        // Half of that again fits before the table grows.
        if self.slots.len() > SLOTS_MIN && self.len * 8 < self.slots.len() {
            self.resize(slots_for(2 * self.len));
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    /// The slot at which it ends to look for a key: a free one, or the one that is found.
    fn probe(&self, hash: u32, mut is_found: impl FnMut(u64) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut index = self.first_of(marked(hash));
        while self.slots[index] != 0 && !is_found(self.slots[index]) {
            index = (index + 1) & mask;
        }
        Some(index)
    }

    /// A key's first slot. It ascends with the hash, so a table that grows is read and written from
    /// one end to the other.
    fn first_of(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![0; slots]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let free = self.probe(hash_of(slot), |_| false).expect("a table has free slots");
            self.slots[free] = slot;
        }
    }
}

/// A hash as it is in a slot: never 0.
fn marked(hash: u32) -> u32 {
    hash | 1
}

/// Whether a slot is that of a key.
fn is_of(hash: u32, mut is_same: impl FnMut(u32) -> bool) -> impl FnMut(u64) -> bool {
    move |slot| hash_of(slot) == marked(hash) && is_same(slot as u32)
}

fn slot(hash: u32, number: u32) -> u64 {
    u64::from(marked(hash)) << 32 | u64::from(number)
}

fn hash_of(slot: u64) -> u32 {
    (slot >> 32) as u32
}

/// Slots in which so many places leave enough free ones.
fn slots_for(places: usize) -> usize {
    match places {
        0 => 0,
        _ => (places * LOAD_OF).div_ceil(LOAD_MAX).next_power_of_two().max(SLOTS_MIN),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Without it a copy would be stored, or a message be taken for a copy of another one. The
        /// hashes of most keys are close to each other, and to the table's end.
        #[test]
        fn a_table_is_what_a_map_is(
            steps in prop::collection::vec((0u32..2000, any::<bool>()), 1..1500),
        ) {
            let hash = |key: u32| match key % 5 {
                0 => key.wrapping_mul(0x9e37_79b9),
                _ => u32::MAX - key % 500 / 3 * 2,
            };
            let (mut table, mut map) = (Places::default(), BTreeMap::new());
            let mut keys = Vec::new();
            for (key, is_stored) in steps {
                if is_stored {
                    keys.push(key);
                    let number = keys.len() as u32 - 1;
                    table.insert(hash(key), number, |older| keys[older as usize] == key);
                    map.insert(key, number);
                } else if let Some(number) = map.remove(&key) {
                    // An entry whose place is not there takes nothing along.
                    table.remove(hash(key), u32::MAX);
                    table.remove(hash(key), number);
                }
                prop_assert_eq!(table.len, map.len());
            }
            for key in 0..2000 {
                let found = table.find(hash(key), |number| keys[number as usize] == key);
                prop_assert_eq!(found, map.get(&key).copied());
            }
            prop_assert!(table.slots.len() <= SLOTS_MIN.max(16 * map.len()));
        }
    }
}
