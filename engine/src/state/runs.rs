//! A set of seqs as runs: what follows one another takes 16 bytes together.
//!
//! Made for sets that grow at the back and shrink at the front, as a group's messages do. A stretch
//! of a backlog that belongs to one group is one run, however long it is.

use std::collections::VecDeque;

use crate::ids::Seq;

/// The set. Its runs ascend, and neither touch nor overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeqRuns {
    runs: VecDeque<Run>,
    len: u64,
}

/// Every seq from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: u64,
    last: u64,
}

impl SeqRuns {
    /// How many seqs there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many runs there are: what takes memory.
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The least seq.
    pub(crate) fn first(&self) -> Option<Seq> {
        self.runs.front().map(|run| Seq(run.first))
    }

    /// The seqs in order.
    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = Seq> + '_ {
        self.runs.iter().flat_map(|run| run.first..=run.last).map(Seq)
    }

    /// The least seq that is greater than `seq`.
    pub(crate) fn next_after(&self, seq: Seq) -> Option<Seq> {
        let at = self.runs.partition_point(|run| run.last <= seq.0);
        self.runs.get(at).map(|run| Seq(run.first.max(seq.0 + 1)))
    }

    /// How many seqs are less than `end`.
    pub(crate) fn count_before(&self, end: Seq) -> u64 {
        if self.runs.back().is_none_or(|run| run.last < end.0) {
            return self.len();
        }
        let before = self.runs.iter().take_while(|run| run.first < end.0);
        before.map(|run| run.last.min(end.0 - 1) - run.first + 1).sum()
    }

    /// Whether the seq is in the set.
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.place(seq).is_ok()
    }

    /// Adds a seq; false if it was there.
    pub(crate) fn insert(&mut self, seq: Seq) -> bool {
        let Err(at) = self.place(seq) else { return false };
        self.len += 1;
        let touches_before = at > 0 && self.runs[at - 1].last + 1 == seq.0;
        let touches_behind = at < self.runs.len() && self.runs[at].first == seq.0 + 1;
        match (touches_before, touches_behind) {
            (true, true) => {
                self.runs[at - 1].last = self.runs[at].last;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].last = seq.0,
            (false, true) => self.runs[at].first = seq.0,
            (false, false) => self.runs.insert(at, Run { first: seq.0, last: seq.0 }),
        }
        true
    }

    /// Takes a seq out; false if it was not there.
    pub(crate) fn remove(&mut self, seq: Seq) -> bool {
        let Ok(at) = self.place(seq) else { return false };
        self.len -= 1;
        let Run { first, last } = self.runs[at];
        match (first == seq.0, last == seq.0) {
            (true, true) => {
                self.runs.remove(at);
            }
            (true, false) => self.runs[at].first += 1,
            (false, true) => self.runs[at].last -= 1,
            (false, false) => {
                self.runs[at].last = seq.0 - 1;
                self.runs.insert(at + 1, Run { first: seq.0 + 1, last });
            }
        }
        true
    }

    /// Takes out every seq up to `through`; how many those were.
    pub(crate) fn remove_through(&mut self, through: Seq) -> u64 {
        let before = self.len;
        while let Some(run) = self.runs.front_mut()
            && run.first <= through.0
        {
            if run.last > through.0 {
                self.len -= through.0 - run.first + 1;
                run.first = through.0 + 1;
                break;
            }
            self.len -= run.last - run.first + 1;
            self.runs.pop_front();
        }
        before - self.len
    }

    /// The run that has the seq, or where in the list a run of it would be.
    fn place(&self, seq: Seq) -> Result<usize, usize> {
        match self.runs.back() {
            Some(run) if run.last < seq.0 => return Err(self.runs.len()),
            _ => {}
        }
        let at = self.runs.partition_point(|run| run.last < seq.0);
        match self.runs.get(at) {
            Some(run) if run.first <= seq.0 => Ok(at),
            _ => Err(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Without it a message of a group would be given twice, or never.
        #[test]
        fn runs_are_what_a_plain_set_says(
            changes in prop::collection::vec((0u8..8, 1u64..60), 0..300),
        ) {
            let (mut runs, mut set) = (SeqRuns::default(), BTreeSet::new());
            for (change, seq) in changes {
                match change {
                    0..4 => prop_assert_eq!(runs.insert(Seq(seq)), set.insert(Seq(seq))),
                    4..7 => prop_assert_eq!(runs.remove(Seq(seq)), set.remove(&Seq(seq))),
                    _ => {
                        let kept = set.split_off(&Seq(seq + 1));
                        prop_assert_eq!(runs.remove_through(Seq(seq)), set.len() as u64);
                        set = kept;
                    }
                }
                prop_assert!(runs.iter().eq(set.iter().copied()));
                prop_assert_eq!(runs.len(), set.len() as u64);
                prop_assert_eq!(runs.first(), set.first().copied());
                prop_assert_eq!(runs.contains(Seq(seq)), set.contains(&Seq(seq)));
                prop_assert_eq!(runs.next_after(Seq(seq)), set.range(Seq(seq + 1)..).next().copied());
                prop_assert_eq!(runs.count_before(Seq(seq)), set.range(..Seq(seq)).count() as u64);
                let apart = runs.runs.iter().zip(runs.runs.iter().skip(1));
                prop_assert!(apart.clone().all(|(a, b)| a.last + 1 < b.first));
            }
        }
    }
}
