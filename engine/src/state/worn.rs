//! Worn messages: those that wait though they were received again and again. In a queue without groups they come again
//! behind others; where messages have groups nobody asks for them.

use std::collections::BTreeSet;

use roaring::RoaringTreemap;

use crate::ids::Seq;
use crate::time::LogTime;

/// The worn messages of a queue. Most queues have none, which takes no memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Worn(Option<Box<Sets>>);

/// The same messages twice.
#[derive(Debug, Clone, Default)]
struct Sets {
    by_time: BTreeSet<(LogTime, Seq)>,
    by_seq: RoaringTreemap,
}

impl FromIterator<(LogTime, Seq)> for Worn {
    /// Built at once, rather than message by message.
    fn from_iter<I: IntoIterator<Item = (LogTime, Seq)>>(worn: I) -> Self {
        let by_time: BTreeSet<_> = worn.into_iter().collect();
        if by_time.is_empty() {
            return Self::default();
        }
        let mut seqs: Vec<u64> = by_time.iter().map(|(_, seq)| seq.0).collect();
        seqs.sort_unstable();
        Self(Some(Box::new(Sets { by_time, by_seq: seqs.into_iter().collect() })))
    }
}

impl Worn {
    pub(super) fn insert(&mut self, received: LogTime, seq: Seq) {
        let sets = self.0.get_or_insert_default();
        sets.by_time.insert((received, seq));
        sets.by_seq.insert(seq.0);
    }

    pub(super) fn remove(&mut self, received: LogTime, seq: Seq) {
        let Some(sets) = &mut self.0 else { return };
        sets.by_time.remove(&(received, seq));
        sets.by_seq.remove(seq.0);
        if sets.by_seq.is_empty() {
            self.0 = None;
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, |sets| sets.by_seq.len())
    }

    /// Each with the time at which it was last received, in the order of these times.
    pub(super) fn by_time(&self) -> impl Iterator<Item = (LogTime, Seq)> + '_ {
        self.0.iter().flat_map(|sets| sets.by_time.iter().copied())
    }

    /// The numbers, if there are any.
    pub(super) fn by_seq(&self) -> Option<&RoaringTreemap> {
        self.0.as_ref().map(|sets| &sets.by_seq)
    }
}
