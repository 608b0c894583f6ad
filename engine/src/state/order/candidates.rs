//! The messages that can be given, in the order in which they are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::btree_set;
use std::iter::Peekable;

use super::{Discipline, Order, Ready};
use crate::ids::{Group, Seq};

/// An iterator over them.
pub(super) struct Candidates<'o> {
    order: &'o Order,
    groups: Peekable<btree_set::Range<'o, Ready>>,
    /// Groups of which something was given: what they give next.
    begun: BinaryHeap<Reverse<Ready>>,
}

impl<'o> Candidates<'o> {
    /// What those groups give.
    pub(super) fn new(order: &'o Order, groups: btree_set::Range<'o, Ready>) -> Self {
        Self { order, groups: groups.peekable(), begun: BinaryHeap::new() }
    }

    /// What the group gives behind `seq`.
    fn behind(&self, (rank, seq, group): Ready) -> Option<Ready> {
        let known = self.order.groups.get(&group)?;
        let next = known.visible.next_after(seq)?;
        let rank = match self.order.discipline {
            // All that a group gives comes before anything of another.
            Discipline::Fifo => rank,
            Discipline::Fair if rank == 0 => 0,
            Discipline::Fair => rank + 1,
        };
        (next < known.end(self.order.discipline)).then_some((rank, next, group))
    }
}

impl Iterator for Candidates<'_> {
    type Item = (Seq, Group);

    fn next(&mut self) -> Option<(Seq, Group)> {
        let is_begun_first = match (self.begun.peek(), self.groups.peek()) {
            (Some(Reverse(begun)), Some(fresh)) => {
                self.order.discipline == Discipline::Fifo || begun < *fresh
            }
            (begun, _) => begun.is_some(),
        };
        let ready = match is_begun_first {
            true => self.begun.pop()?.0,
            false => *self.groups.next()?,
        };
        self.begun.extend(self.behind(ready).map(Reverse));
        Some((ready.1, ready.2))
    }
}
