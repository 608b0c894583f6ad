//! Sets of messages: their members in order, two of them as one, and where a run of them ends.

use roaring::RoaringTreemap;

use crate::ids::Seq;

/// The members of a set from one on that are less than `end`.
#[inline]
pub(super) fn between(set: &RoaringTreemap, from: Seq, end: Seq) -> impl Iterator<Item = Seq> + '_ {
    let mut members = set.iter();
    members.advance_to(from.0);
    members.map(Seq).take_while(move |seq| *seq < end)
}

/// Two ascending lists as one.
pub(super) fn merge(
    a: impl Iterator<Item = Seq>,
    b: impl Iterator<Item = Seq>,
) -> impl Iterator<Item = Seq> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(x), Some(y)) if x < y => a.next(),
        (Some(_), None) => a.next(),
        _ => b.next(),
    })
}

/// The first number from `from` on that is not in the set. Runs may be as long as all that the
/// compactor left out, so they are measured in steps that double.
#[inline]
pub(super) fn run_end(set: &RoaringTreemap, from: Seq) -> Seq {
    let (mut end, mut step) = (from.0, 1);
    while set.contains_range(end..end + step) {
        end += step;
        step *= 2;
    }
    while step > 1 {
        step /= 2;
        if set.contains_range(end..end + step) {
            end += step;
        }
    }
    Seq(end)
}
