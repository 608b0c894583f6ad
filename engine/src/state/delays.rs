//! Messages whose delay has not passed: when each becomes visible.
//!
//! Ten million of them take some 17 bytes each here, and adding one takes as long as adding one to an
//! empty queue: a message goes to the end of a *bucket*, which is a stretch of time. The farther
//! away, the longer the stretch; when a bucket comes near, its messages go to shorter ones, and
//! those of the shortest into one sorted set, from which they leave to the millisecond.
//!
//! ```text
//!   levels    ... 3 days | 70 minutes | 65 seconds | 1 second | soon: sorted
//!                                     ◀── messages move this way as time passes
//! ```
//! Invariants. A message is delayed exactly if it is in `seqs`; what a bucket says of others is
//! stale, and skipped. A bucket's messages lie in chunks, which a clone shares until they change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::ids::Seq;
use crate::time::LogTime;

/// Delayed messages, each with the time at which it becomes visible.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delays {
    seqs: RoaringTreemap,
    levels: [BTreeMap<u64, Bucket>; LEVELS.len()],
    /// Those of stretches that have come or come next.
    soon: BTreeSet<(LogTime, Seq)>,
    /// Everything that is visible from before this is in `soon`.
    opened: LogTime,
    /// The newest time that was told.
    now: LogTime,
    /// When a bucket that is not due yet was last moved on.
    stepped: LogTime,
    /// How many messages the buckets and `soon` name, stale ones too.
    named: u64,
}

type Bucket = Vec<Arc<Vec<(Seq, LogTime)>>>;

/// A bucket of level `i` is a stretch of `2^LEVELS[i]` ms.
const LEVELS: [u32; 5] = [10, 16, 22, 28, 34];

/// A bucket is taken when its stretch is as near as one of the level below is long: time enough to
/// move it in steps.
const STRETCHES_AHEAD: u64 = 1 << 6;

/// Messages in a chunk.
const CHUNK_MESSAGES: usize = 512;

/// So many chunks are moved down at once, which takes about a millisecond, ...
const CHUNKS_A_STEP: usize = 64;

/// ... and no more for so long, unless something in them may be due.
const STEP_MS: u64 = 4;

/// Stale messages are thrown out when there are more than this, and more than half are stale.
const STALE_MIN: u64 = 4096;

impl Delays {
    /// None, at a time near which more will be added.
    pub(crate) fn at(now: LogTime) -> Self {
        let opened = LogTime((now.0 >> LEVELS[0]) << LEVELS[0]);
        Self { opened, now, ..Self::default() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.seqs.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// Whether the message is delayed.
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.seqs.contains(seq.0)
    }

    /// Which messages are delayed.
    pub(crate) fn seqs(&self) -> &RoaringTreemap {
        &self.seqs
    }

    /// The time that was told last.
    pub(crate) fn now(&self) -> LogTime {
        self.now
    }

    /// Every delayed message and when it becomes visible, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Seq, LogTime)> + '_ {
        let buckets = self.levels.iter().flat_map(BTreeMap::values);
        let in_buckets = buckets.flatten().flat_map(|chunk| chunk.iter().copied());
        let soon = self.soon.iter().map(|(until, seq)| (*seq, *until));
        in_buckets.chain(soon).filter(|(seq, _)| self.contains(*seq))
    }

    /// Bytes on the heap, about; shared chunks count in each clone.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let seqs = if self.is_empty() { 0 } else { self.seqs.serialized_size() as u64 };
        self.named * size_of::<(Seq, LogTime)>() as u64 + seqs
    }

    /// Adds a message, which was never added before.
    pub(crate) fn insert(&mut self, seq: Seq, until: LogTime) {
        self.seqs.insert(seq.0);
        self.named += 1;
        let away = until.0.saturating_sub(self.now.0);
        let fits = |shift: &u32| away < STRETCHES_AHEAD << shift;
        let level = LEVELS.iter().position(fits).unwrap_or(LEVELS.len() - 1);
        self.put(seq, until, level);
    }

    fn put(&mut self, seq: Seq, until: LogTime, level: usize) {
        if until < self.opened {
            self.soon.insert((until, seq));
            return;
        }
        let bucket = self.levels[level].entry(until.0 >> LEVELS[level]).or_default();
        match bucket.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_MESSAGES => Arc::make_mut(chunk).push((seq, until)),
            _ => bucket.push(Arc::new(vec![(seq, until)])),
        }
    }

    /// The message is gone, or held in another way.
    pub(crate) fn remove(&mut self, seq: Seq) -> bool {
        let removed = self.seqs.remove(seq.0);
        if removed {
            self.clean();
        }
        removed
    }

    /// Every message up to `through` is gone.
    pub(crate) fn remove_through(&mut self, through: Seq) {
        self.seqs.remove_range(..=through.0);
        self.clean();
    }

    fn clean(&mut self) {
        if self.seqs.is_empty() {
            *self = Self { now: self.now, opened: self.opened, ..Self::default() };
        } else if self.named > STALE_MIN && self.named > 2 * self.seqs.len() {
            let mut cleaned = Self { now: self.now, opened: self.opened, ..Self::default() };
            self.iter().for_each(|(seq, until)| cleaned.insert(seq, until));
            *self = cleaned;
        }
    }

    /// Moves on to `now`, and takes one message that is visible since then or before.
    pub(crate) fn take_due(&mut self, now: LogTime) -> Option<Seq> {
        if now > self.now {
            self.now = now;
        }
        loop {
            if let Some((until, seq)) = self.soon.first().copied()
                && until <= now
            {
                self.soon.pop_first();
                self.named -= 1;
                if self.seqs.remove(seq.0) {
                    self.clean();
                    return Some(seq);
                }
            } else if !self.open_next() {
                return None;
            }
        }
    }

    /// When there is something to do next: a message becomes visible, or a bucket is to be moved.
    pub(crate) fn next(&self) -> Option<LogTime> {
        let soon = self.soon.first().map(|(until, _)| *until);
        let buckets = (0..LEVELS.len()).filter_map(|level| self.opens_at(level));
        soon.into_iter().chain(buckets).min()
    }

    /// When the first one becomes visible. Where very many may be the first, it is not looked at all of
    /// them, and this is a time before it.
    pub(crate) fn first(&self) -> Option<LogTime> {
        let is_there = |seq: &Seq| self.contains(*seq);
        let soon = self.soon.iter().find(|(_, seq)| is_there(seq)).map(|(until, _)| *until);
        let of_level = |level: usize| {
            self.levels[level].iter().find_map(|(key, bucket)| {
                if bucket.len() > CHUNKS_A_STEP {
                    return Some(LogTime(key << LEVELS[level]));
                }
                let messages = bucket.iter().flat_map(|chunk| chunk.iter());
                messages.filter(|(seq, _)| is_there(seq)).map(|(_, until)| *until).min()
            })
        };
        soon.into_iter().chain((0..LEVELS.len()).filter_map(of_level)).min()
    }

    /// When the first bucket of a level is to be moved, or moved on: from a little before its
    /// stretch begins, in steps; at once when that has come.
    fn opens_at(&self, level: usize) -> Option<LogTime> {
        let (key, _) = self.levels[level].first_key_value()?;
        let start = key << LEVELS[level];
        let from = LogTime(start.saturating_sub(1 << LEVELS[level.saturating_sub(1)]));
        let next_step = self.stepped.plus_ms(STEP_MS).min(LogTime(start));
        Some(if level == 0 { from } else { from.max(next_step) })
    }

    /// Moves some of the messages of the bucket that is to be moved first, if it is time for one.
    fn open_next(&mut self) -> bool {
        let is_time = |level: &usize| self.opens_at(*level).is_some_and(|at| at <= self.now);
        // The shortest stretches first: what is due is in them, or comes through them.
        let Some(level) = (0..LEVELS.len()).find(is_time) else { return false };
        let mut first = self.levels[level].first_entry().expect("it is to be moved");
        let end = (first.key() + 1) << LEVELS[level];
        let at = first.get().len().saturating_sub(CHUNKS_A_STEP);
        let chunks = match level {
            0 => std::mem::take(first.get_mut()),
            _ => first.get_mut().split_off(at),
        };
        if first.get().is_empty() {
            first.remove();
        }
        match level {
            0 => self.opened = self.opened.max(LogTime(end)),
            _ => self.stepped = self.now,
        }
        for (seq, until) in chunks.iter().flat_map(|chunk| chunk.iter().copied()) {
            if self.contains(seq) {
                self.put(seq, until, level.saturating_sub(1));
            } else {
                self.named -= 1;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From milliseconds to a hundred years.
    fn delay_ms() -> impl Strategy<Value = u64> {
        (0u32..42, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Delay(u64),
        Pass(u64),
        Remove(usize),
        RemoveThrough(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => delay_ms().prop_map(Step::Delay),
            3 => delay_ms().prop_map(Step::Pass),
            1 => any::<usize>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::RemoveThrough),
        ]
    }

    proptest! {
        /// Without it a delayed message would come early, late, or never.
        #[test]
        fn each_message_comes_when_it_is_due(steps in prop::collection::vec(step(), 1..200)) {
            let mut now = LogTime(1_700_000_000_000);
            let mut delays = Delays::at(now);
            let mut plain: BTreeMap<Seq, LogTime> = BTreeMap::new();
            let mut next = Seq(1);
            for step in steps {
                match step {
                    Step::Delay(ms) => {
                        delays.insert(next, now.plus_ms(ms));
                        plain.insert(next, now.plus_ms(ms));
                        next = next.next();
                    }
                    Step::Pass(ms) => {
                        now = now.plus_ms(ms);
                        let mut due = BTreeSet::new();
                        while let Some(seq) = delays.take_due(now) {
                            due.insert(seq);
                        }
                        let (gone, left) = plain.into_iter().partition(|(_, until)| *until <= now);
                        plain = left;
                        let gone: BTreeMap<Seq, LogTime> = gone;
                        prop_assert!(due.iter().eq(gone.keys()));
                        let first = plain.values().min();
                        prop_assert!(delays.next() <= first.copied().or(delays.next()));
                        prop_assert_eq!(delays.next().is_none(), first.is_none());
                        prop_assert!(delays.next().is_none_or(|next| next > now));
                    }
                    Step::Remove(any) if !plain.is_empty() => {
                        let seq = *plain.keys().nth(any % plain.len()).expect("fewer than that");
                        plain.remove(&seq);
                        prop_assert!(delays.remove(seq));
                    }
                    Step::RemoveThrough(any) if !plain.is_empty() => {
                        let seq = *plain.keys().nth(any % plain.len()).expect("fewer than that");
                        plain = plain.split_off(&seq.next());
                        delays.remove_through(seq);
                    }
                    Step::Remove(_) | Step::RemoveThrough(_) => {}
                }
                let seen: BTreeMap<Seq, LogTime> = delays.iter().collect();
                prop_assert_eq!(&seen, &plain);
                prop_assert_eq!(delays.first(), plain.values().min().copied());
                prop_assert_eq!(delays.len(), plain.len() as u64);
            }
        }
    }

    /// Without it a purge of delayed messages would give no memory back for years.
    #[test]
    fn what_is_gone_is_forgotten_long_before_it_was_due() {
        let mut delays = Delays::at(LogTime(0));
        for seq in 1..=100_000 {
            delays.insert(Seq(seq), LogTime(10_000_000_000 + seq));
        }
        delays.remove_through(Seq(99_990));
        assert_eq!((delays.len(), delays.named), (10, 10));
    }

    /// Without it the first of millions that are due together would be searched for among all.
    #[test]
    fn the_first_of_very_many_is_known_about() {
        let mut delays = Delays::at(LogTime(0));
        for seq in 1..=100_000 {
            delays.insert(Seq(seq), LogTime(20_000_000_000 - seq));
        }
        let first = delays.first().unwrap();
        assert!(first <= LogTime(19_999_900_000) && first >= LogTime(1 << LEVELS[4]), "{first:?}");
    }
}
