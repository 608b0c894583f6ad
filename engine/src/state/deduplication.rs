//! The deduplication window of a FIFO queue: which messages were sent of late, by what their copies
//! would have too. A message stays here when it was received and deleted.
//!
//! Entries lie in chunks in the order of their times, which a clone for a snapshot shares: freezing
//! a window of millions counts up some references.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use crate::ids::{DeduplicationKey, Seq};
use crate::time::LogTime;

use places::Places;

mod places;

/// The window, with a table to look keys up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deduplication {
    places: Places,
    hashers: KeyHashers,
    window: Window,
}

/// Makes hashes of keys, which are hashes already: what is left is to mix in what nobody outside
/// knows, so that keys cannot be chosen to collide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHashers {
    seed: u64,
}

/// A hash under way: each 8 bytes are folded in by a multiplication.
#[derive(Debug)]
pub(crate) struct KeyHasher(u64);

/// Odd, and its bits in no order: the golden ratio's.
const FOLD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Default for KeyHashers {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(FOLD) }
    }
}

impl BuildHasher for KeyHashers {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.seed)
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FOLD);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }

    fn write_u128(&mut self, key: u128) {
        self.write_u64(key as u64);
        self.write_u64((key >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The window's entries in the order of their times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// Full ones, which clones share.
    chunks: VecDeque<Arc<Vec<Entry>>>,
    /// The entries behind them: fewer than a chunk has.
    newest: Vec<Entry>,
    /// The number of the first entry here. Entries are numbered as they come.
    from: u64,
    /// So many of the first entries are out of the window: fewer than a chunk has.
    passed: usize,
}

/// A message that was sent, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: DeduplicationKey,
    pub(crate) seq: Seq,
    pub(crate) time: LogTime,
}

/// Entries in a chunk.
const CHUNK_ENTRIES: usize = 1024;

impl Deduplication {
    /// For each key the message that was sent with it at `since` or later, if there is one. To look
    /// a key up is to wait for memory: here nothing stands between the looks, and they wait together.
    pub(crate) fn find_all(
        &self,
        keys: &[Option<DeduplicationKey>],
        since: LogTime,
    ) -> Vec<Option<Seq>> {
        let hashes: Vec<_> = keys.iter().map(|key| key.map(|key| self.hash(&key))).collect();
        let find = |(key, hash): (&Option<DeduplicationKey>, &Option<u32>)| {
            let (key, hash) = (key.as_ref()?, (*hash)?);
            let is_same = |number| self.window.entry(number).key == *key;
            let entry = self.window.entry(self.places.find(hash, is_same)?);
            (entry.time >= since).then_some(entry.seq)
        };
        keys.iter().zip(&hashes).map(find).collect()
    }

    /// A message was sent; those before `since` are forgotten.
    pub(crate) fn insert(&mut self, entry: Entry, since: LogTime) {
        while let Some(first) = self.window.first()
            && first.time < since
        {
            let number = self.window.first_number();
            self.window.pass();
            self.places.remove(self.hash(&first.key), number);
        }
        self.push(entry);
    }

    fn push(&mut self, entry: Entry) {
        let hash = self.hash(&entry.key);
        let number = self.window.push(entry);
        let (window, key) = (&self.window, &entry.key);
        self.places.insert(hash, number, |older| window.entry(older).key == *key);
    }

    fn hash(&self, key: &DeduplicationKey) -> u32 {
        (self.hashers.hash_one(key) >> 32) as u32
    }

    /// The window as it is now.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let entries = self.window.chunks.len() * CHUNK_ENTRIES + self.window.newest.capacity();
        (self.places.heap_bytes() + entries * size_of::<Entry>()) as u64
    }
}

impl From<Window> for Deduplication {
    fn from(window: Window) -> Self {
        let entries = window.iter().len();
        let mut made = Self { places: Places::with_capacity(entries), ..Self::default() };
        for entry in window.iter() {
            made.push(*entry);
        }
        made
    }
}

impl Window {
    /// Adds an entry that is not older than the last. Returns its number, as far as it fits.
    pub(crate) fn push(&mut self, entry: Entry) -> u32 {
        if self.newest.is_empty() {
            self.newest.reserve_exact(CHUNK_ENTRIES);
        }
        let number = self.from + (self.in_chunks() + self.newest.len()) as u64;
        self.newest.push(entry);
        if self.newest.len() == CHUNK_ENTRIES {
            self.chunks.push_back(Arc::new(std::mem::take(&mut self.newest)));
        }
        number as u32
    }

    fn first_chunk(&self) -> &[Entry] {
        self.chunks.front().map_or(&self.newest, |chunk| chunk)
    }

    fn in_chunks(&self) -> usize {
        self.chunks.len() * CHUNK_ENTRIES
    }

    /// The entry that got this number, and is in the window.
    fn entry(&self, number: u32) -> &Entry {
        let index = number.wrapping_sub(self.from as u32) as usize;
        match self.chunks.get(index / CHUNK_ENTRIES) {
            Some(chunk) => &chunk[index % CHUNK_ENTRIES],
            None => &self.newest[index - self.in_chunks()],
        }
    }

    fn first_number(&self) -> u32 {
        (self.from + self.passed as u64) as u32
    }

    fn first(&self) -> Option<Entry> {
        self.first_chunk().get(self.passed).copied()
    }

    fn pass(&mut self) {
        self.passed += 1;
        if self.first_chunk().len() == self.passed {
            if self.chunks.pop_front().is_none() {
                self.newest = Vec::new();
            }
            self.from += self.passed as u64;
            self.passed = 0;
        }
    }

    /// The entries in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> + '_ {
        let chunks = self.chunks.iter().flat_map(|chunk| chunk.iter());
        Entries {
            entries: chunks.chain(&self.newest),
            skip: self.passed,
            left: self.in_chunks() + self.newest.len() - self.passed,
        }
    }

    /// Whether a message that had a key is among the entries: all of those are from the first one on.
    pub(crate) fn has(&self, seq: Seq) -> bool {
        self.first().is_some_and(|first| first.seq <= seq)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.newest.is_empty()
    }
}

/// Entries, which know how many they are.
struct Entries<I> {
    entries: I,
    skip: usize,
    left: usize,
}

impl<'w, I: Iterator<Item = &'w Entry>> Iterator for Entries<I> {
    type Item = &'w Entry;

    fn next(&mut self) -> Option<&'w Entry> {
        let next = self.entries.nth(std::mem::take(&mut self.skip))?;
        self.left -= 1;
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'w, I: Iterator<Item = &'w Entry>> ExactSizeIterator for Entries<I> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Without it a copy would be stored, or a message be taken for a copy of a forgotten one.
        #[test]
        fn a_key_is_found_as_long_as_the_window_says(
            sends in prop::collection::vec((0u8..40, 0u64..9, 0u64..60), 1..5000),
        ) {
            let (mut table, mut plain) = (Deduplication::default(), BTreeMap::new());
            let mut time = LogTime(1000);
            for ((key, pass, window), seq) in sends.into_iter().zip((1..).map(Seq)) {
                time = time.plus_ms(pass);
                let (key, since) = (DeduplicationKey([key; 16]), LogTime(time.0 - window));
                let expected = plain.get(&key).filter(|(_, at)| *at >= since).map(|(seq, _)| *seq);
                prop_assert_eq!(table.find_all(&[Some(key)], since), [expected]);
                if expected.is_none() {
                    table.insert(Entry { key, seq, time }, LogTime(time.0 - 60));
                    plain.insert(key, (seq, time));
                }
            }
            prop_assert!(table.window.iter().all(|entry| entry.time.0 + 60 + 9 > time.0 - 9 * 60));
            let restored = Deduplication::from(table.window().clone());
            let since = LogTime(time.0 - 60);
            for key in (0..40).map(|key| [Some(DeduplicationKey([key; 16])), None]) {
                prop_assert_eq!(restored.find_all(&key, since), table.find_all(&key, since));
            }
            prop_assert_eq!(table.window.iter().len(), table.window.iter().count());
        }
    }
}
