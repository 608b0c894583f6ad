//! What is held of messages, by their numbers: a sorted map whose clone is cheap.
//!
//! The entries lie in *leaves*, which a map shares with its clones until one of them changes a
//! leaf (copy on write). So a snapshot has a million held messages as they are by counting up two
//! thousand references, and the queue goes on changing.
//!
//! Invariants. A leaf has 1 to [`LEAF_ENTRIES_MAX`] entries, ascending. Its key is not greater than
//! its first seq, and greater than the last seq of the leaf before it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::ops::{Range, RangeBounds, RangeInclusive};
use std::sync::Arc;

use crate::command::MessageState;
use crate::ids::{Group, LeaseId, Seq};
use crate::time::LogTime;

/// What is known of a message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) state: MessageState,
    /// Its group; of a queue whose messages have none, none.
    pub(crate) group: Group,
    /// Until when the newest lease or change holds the message back. It stays when the message
    /// waits again; one that is in flight has it in its state too.
    pub(crate) until: LogTime,
    pub(crate) receive_count: u32,
    /// The newest lease; the default before the first.
    pub(crate) lease: LeaseId,
    pub(crate) first_received: LogTime,
    /// When the newest lease began.
    pub(crate) received: LogTime,
}

/// Held messages by their seqs; or what else is kept of messages.
#[derive(Debug, Clone)]
pub(crate) struct HeldMap<T = Held> {
    leaves: BTreeMap<Seq, Arc<Leaf<T>>>,
    len: u64,
}

/// A deque, because messages are acked at the front about as often as they are leased at the back.
type Leaf<T> = VecDeque<(Seq, T)>;

/// A leaf with more is split.
const LEAF_ENTRIES_MAX: usize = 512;

/// A leaf with at most a quarter looks for a neighbour to merge with, and does if both together
/// have at most this: far from what would be split again.
const MERGED_ENTRIES_MAX: usize = LEAF_ENTRIES_MAX / 2;

/// A message that was received so often and not deleted comes again behind others in a queue without groups (SQS).
const WORN_RECEIVES: u32 = 3;

impl Held {
    /// What is known of a message before anything has happened to it.
    pub(crate) fn new() -> Self {
        Self {
            state: MessageState::Waiting,
            group: Group::NONE,
            until: LogTime::default(),
            receive_count: 0,
            lease: LeaseId::default(),
            first_received: LogTime::default(),
            received: LogTime::default(),
        }
    }

    /// Whether it was received again and again.
    pub(crate) fn is_worn(&self) -> bool {
        self.receive_count >= WORN_RECEIVES
    }

    /// Whether it was ever received. (Its count may be 0 then: an attempt need not count.)
    pub(crate) fn was_received(&self) -> bool {
        // Nobody was ever given the default.
        self.lease != LeaseId::default()
    }

    /// When it last was.
    pub(crate) fn last_received(&self) -> Option<LogTime> {
        self.was_received().then_some(self.received)
    }
}

impl<T> Default for HeldMap<T> {
    fn default() -> Self {
        Self { leaves: BTreeMap::new(), len: 0 }
    }
}

impl<T: Clone> HeldMap<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes on the heap, by the sizes of what is there; shared leaves count in each map.
    pub(crate) fn heap_bytes(&self) -> u64 {
        const LEAF_BYTES: usize =
            size_of::<(Seq, Arc<Leaf<Held>>)>() + size_of::<Leaf<Held>>() + 16;
        self.len * size_of::<(Seq, T)>() as u64 + (self.leaves.len() * LEAF_BYTES) as u64
    }

    /// What is held of a message.
    pub(crate) fn get(&self, seq: Seq) -> Option<&T> {
        let (_, leaf) = self.leaves.range(..=seq).next_back()?;
        Some(&leaf[place(leaf, seq).ok()?].1)
    }

    /// Holds a message; what was held of it before.
    pub(crate) fn insert(&mut self, seq: Seq, held: T) -> Option<T> {
        let new_leaf = match self.leaves.range_mut(..=seq).next_back() {
            Some((_, leaf)) => match place(leaf, seq) {
                Ok(at) => {
                    let (_, before) = &mut Arc::make_mut(leaf)[at];
                    return Some(std::mem::replace(before, held));
                }
                Err(at) if leaf.len() < LEAF_ENTRIES_MAX => {
                    Arc::make_mut(leaf).insert(at, (seq, held));
                    None
                }
                // Ascending seqs leave full leaves behind them.
                Err(at) if at == leaf.len() => Some(Leaf::from([(seq, held)])),
                Err(at) => {
                    let lower = Arc::make_mut(leaf);
                    let mut upper = lower.split_off(LEAF_ENTRIES_MAX / 2);
                    match at.checked_sub(lower.len()) {
                        Some(at) => upper.insert(at, (seq, held)),
                        None => lower.insert(at, (seq, held)),
                    }
                    Some(upper)
                }
            },
            None => Some(self.first_leaf_with(seq, held)),
        };
        if let Some(leaf) = new_leaf {
            self.leaves.insert(leaf[0].0, Arc::new(leaf));
        }
        self.len += 1;
        None
    }

    /// The first leaf, taken out, with a seq in front of it; a new one when that is full.
    fn first_leaf_with(&mut self, seq: Seq, held: T) -> Leaf<T> {
        let mut leaf = match self.leaves.first_entry() {
            Some(first) if first.get().len() < LEAF_ENTRIES_MAX => {
                Arc::unwrap_or_clone(first.remove())
            }
            _ => Leaf::new(),
        };
        leaf.push_front((seq, held));
        leaf
    }

    /// Holds a message no longer; what was held of it.
    pub(crate) fn remove(&mut self, seq: Seq) -> Option<T> {
        let (key, leaf) = self.leaves.range_mut(..=seq).next_back()?;
        let (key, at) = (*key, place(leaf, seq).ok()?);
        let leaf = Arc::make_mut(leaf);
        let (_, held) = leaf.remove(at).expect("its place was found above");
        if leaf.capacity() > 4 * leaf.len() {
            leaf.shrink_to(2 * leaf.len());
        }
        self.len -= 1;
        match leaf.len() {
            0 => {
                self.leaves.remove(&key);
            }
            len if len <= LEAF_ENTRIES_MAX / 4 => self.merge_small(key, len),
            _ => {}
        }
        Some(held)
    }

    /// Merges the leaf of that key and length with a neighbour, if both together are small.
    fn merge_small(&mut self, key: Seq, len: usize) {
        let fits = |(key, leaf): (&Seq, &Arc<Leaf<T>>)| {
            (leaf.len() + len <= MERGED_ENTRIES_MAX).then_some(*key)
        };
        let before = self.leaves.range(..key).next_back().and_then(fits);
        let behind = self.leaves.range((Excluded(key), Unbounded)).next().and_then(fits);
        let (lower, upper) = match (before, behind) {
            (Some(before), _) => (before, key),
            (None, Some(behind)) => (key, behind),
            (None, None) => return,
        };
        let upper = self.leaves.remove(&upper).expect("the leaf was found above");
        let lower = self.leaves.get_mut(&lower).expect("the leaf was found above");
        Arc::make_mut(lower).extend(upper.iter().cloned());
    }

    /// The messages in a range, in order.
    pub(crate) fn range(
        &self,
        range: impl RangeBounds<Seq>,
    ) -> impl Iterator<Item = (Seq, &T)> + '_ {
        let leaves = self.leaves_in(range.start_bound().cloned(), range.end_bound().cloned());
        leaves.flat_map(|(leaf, range)| leaf.range(range)).map(|(seq, held)| (*seq, held))
    }

    /// How many there are in a range; counts leaf by leaf.
    pub(crate) fn count(&self, range: RangeInclusive<Seq>) -> u64 {
        let leaves = self.leaves_in(Included(*range.start()), Included(*range.end()));
        leaves.map(|(_, range)| range.len() as u64).sum()
    }

    /// The leaves that a range touches, and which of their entries lie in it.
    fn leaves_in(
        &self,
        start: Bound<Seq>,
        end: Bound<Seq>,
    ) -> impl Iterator<Item = (&Leaf<T>, Range<usize>)> {
        let is_before = move |seq: Seq| match start {
            Included(start) => seq < start,
            Excluded(start) => seq <= start,
            Unbounded => false,
        };
        let is_behind = move |seq: Seq| match end {
            Included(end) => seq > end,
            Excluded(end) => seq >= end,
            Unbounded => false,
        };
        let first = match start {
            Included(seq) | Excluded(seq) => self.leaves.range(..=seq).next_back(),
            Unbounded => None,
        };
        let first = first.map_or(Seq(0), |(key, _)| *key);
        let leaves = self.leaves.range(first..).take_while(move |(key, _)| !is_behind(**key));
        leaves.map(move |(_, leaf)| {
            let (first, last) = (leaf[0].0, leaf[leaf.len() - 1].0);
            let from = match is_before(first) {
                true => leaf.partition_point(|(seq, _)| is_before(*seq)),
                false => 0,
            };
            let to = match is_behind(last) {
                true => leaf.partition_point(|(seq, _)| !is_behind(*seq)),
                false => leaf.len(),
            };
            (&**leaf, from..to.max(from))
        })
    }
}

/// Where a seq is in a leaf, or where it would be.
fn place<T>(leaf: &Leaf<T>, seq: Seq) -> Result<usize, usize> {
    let (Some((first, _)), Some((last, _))) = (leaf.front(), leaf.back()) else { return Err(0) };
    if *last < seq {
        return Err(leaf.len());
    }
    // As a rule no seq between the first and this one is missing.
    let dense = seq.0.saturating_sub(first.0) as usize;
    match leaf.get(dense) {
        Some((found, _)) if *found == seq => Ok(dense),
        _ => leaf.binary_search_by_key(&seq, |(seq, _)| *seq),
    }
}

#[cfg(test)]
mod tests;
