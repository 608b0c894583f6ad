//! The newest entries, in memory, and what becomes of their memory when newer ones have come.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::ids::Position;
use crate::location::Location;

/// An entry that takes less of its memory than one in so many bytes is copied into memory of its own: else one large
/// entry now and then would in time leave all the small ones in memory as large as its own.
const TIMES_TOO_LARGE_MAX: usize = 4;

/// So much memory of entries that are not kept any more waits for entries to come, the largest there is.
const SPARES_MAX: usize = 3;

/// Keeps entries until as many bytes of newer ones came.
#[derive(Debug)]
pub(super) struct TailCache {
    bytes_max: usize,
    bytes: usize,
    /// In the order of writing.
    entries: VecDeque<KeptEntry>,
    /// Memory that nobody reads any more, the largest last.
    spares: Vec<BytesMut>,
}

/// An entry in memory.
#[derive(Debug)]
pub(super) struct KeptEntry {
    segment: Position,
    /// Where it begins in its segment.
    offset: u64,
    memory: Bytes,
    /// Where it begins in its memory.
    start: usize,
}

/// What came of keeping an entry.
pub(super) struct Kept {
    /// How many bytes of entries are kept.
    pub(super) bytes: u64,
    /// Memory for another one.
    pub(super) spare: Option<BytesMut>,
}

impl KeptEntry {
    /// An entry that was just written at `offset` of its segment, and is what `memory` has from `start` on; and that memory,
    /// if it is far too large for it.
    pub(super) fn new(
        segment: Position,
        offset: u64,
        memory: BytesMut,
        start: usize,
    ) -> (Self, Option<BytesMut>) {
        let entry = &memory[start..];
        match memory.capacity() > entry.len() * TIMES_TOO_LARGE_MAX {
            true => {
                let entry = Bytes::copy_from_slice(entry);
                (Self { segment, offset, memory: entry, start: 0 }, Some(memory))
            }
            false => (Self { segment, offset, memory: memory.freeze(), start }, None),
        }
    }
}

impl TailCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, entries: VecDeque::new(), spares: Vec::new() }
    }

    /// Keeps an entry, and the memory that is left of it.
    pub(super) fn keep(&mut self, (entry, spare): (KeptEntry, Option<BytesMut>)) -> Kept {
        self.spares.extend(spare);
        self.bytes += entry.memory.len();
        self.entries.push_back(entry);
        while self.bytes > self.bytes_max {
            let Some(KeptEntry { memory: oldest, .. }) = self.entries.pop_front() else { break };
            self.bytes -= oldest.len();
            self.spares.extend(oldest.try_into_mut());
        }
        // Entries are of all lengths, so now several leave for one that comes, and now none.
        self.spares.sort_unstable_by_key(BytesMut::capacity);
        let spare = self.spares.pop();
        self.spares.drain(..self.spares.len().saturating_sub(SPARES_MAX));
        Kept { bytes: self.bytes as u64, spare }
    }

    /// A location's bytes, shared with the cached entry.
    pub(super) fn find(&self, location: &Location) -> Option<Bytes> {
        // What the compactor wrote is not in here.
        if location.segment.generation > 0 {
            return None;
        }
        let offset = u64::from(location.offset);
        let place = (location.segment.first, offset);
        let after = self.entries.partition_point(|entry| (entry.segment, entry.offset) <= place);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        let start = entry.start + usize::try_from(offset - entry.offset).ok()?;
        let end = start.checked_add(location.bytes as usize)?;
        let is_in = entry.segment == location.segment.first && end <= entry.memory.len();
        is_in.then(|| entry.memory.slice(start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    const BYTES_MAX: usize = 1 << 20;

    /// Keeps entries of these lengths; gives how much memory there is once each is kept, and where each was written.
    fn keep_all(lengths: impl IntoIterator<Item = usize>) -> Vec<(usize, *const u8)> {
        let (mut cache, mut spare) = (TailCache::new(BYTES_MAX), None::<BytesMut>);
        // What is kept can only be asked for its capacity once it is let go, so it is noted before.
        let mut capacities = VecDeque::new();
        let mut seen = Vec::new();
        for (offset, length) in (0..).zip(lengths) {
            let mut memory = spare.take().unwrap_or_default();
            memory.clear();
            memory.resize(length, 0);
            let (capacity, address) = (memory.capacity(), memory.as_ptr());
            spare = cache.keep(KeptEntry::new(Position(1), offset, memory, 0)).spare;
            let kept = &cache.entries.back().unwrap().memory;
            capacities.push_back(if kept.as_ptr() == address { capacity } else { length });
            while capacities.len() > cache.entries.len() {
                capacities.pop_front();
            }
            let unused = cache.spares.iter().chain(&spare).map(BytesMut::capacity);
            seen.push((capacities.iter().copied().chain(unused).sum(), address));
        }
        seen
    }

    #[test]
    fn entries_of_one_length_are_made_in_the_memory_of_those_that_left() {
        let seen = keep_all(std::iter::repeat_n(10_000, 1000));
        let addresses: BTreeSet<_> = seen.iter().map(|(_, address)| address).collect();
        // One that is made beside those that are kept, and one that waits.
        assert!(addresses.len() <= BYTES_MAX / 10_000 + 2, "{} pieces of memory", addresses.len());
    }

    #[test]
    fn memory_that_is_far_too_large_for_an_entry_goes_to_the_next_one_at_once() {
        let mut cache = TailCache::new(BYTES_MAX);
        let mut memory = BytesMut::with_capacity(100_000);
        memory.extend_from_slice(&[[0; 500], [7; 500]].concat());
        let address = memory.as_ptr();
        let spare = cache.keep(KeptEntry::new(Position(1), 0, memory, 500)).spare.unwrap();
        assert_eq!((spare.as_ptr(), spare.capacity()), (address, 100_000));
        let KeptEntry { memory, start, .. } = &cache.entries[0];
        assert_eq!((&memory[..], *start), (&[7; 500][..], 0));
    }

    #[test]
    fn memory_that_somebody_reads_is_nobody_elses() {
        let mut cache = TailCache::new(1000);
        let entry = |offset| KeptEntry::new(Position(1), offset, BytesMut::zeroed(800), 0);
        let mut keep = |offset| cache.keep(entry(offset)).spare;
        assert!(keep(0).is_none());
        let reader = cache.entries[0].memory.clone();
        let mut keep = |offset| cache.keep(entry(offset)).spare;
        assert!(keep(800).is_none());
        assert!(keep(1600).is_some());
        assert_eq!(reader.len(), 800);
    }

    proptest! {
        /// Most are small and few are large, in any order.
        #[test]
        fn a_large_entry_now_and_then_does_not_make_all_memory_large(
            lengths in proptest::collection::vec(
                prop_oneof![20 => 64..5_000_usize, 1 => 64..300_000_usize], 2000
            ),
        ) {
            let spares = (SPARES_MAX + 1) * 2 * 300_000;
            for (memory, _) in keep_all(lengths) {
                prop_assert!(memory <= TIMES_TOO_LARGE_MAX * BYTES_MAX + spares, "{memory} bytes");
            }
        }
    }
}
