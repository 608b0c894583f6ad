//! What of a segment need not even be read: messages that are gone, many in a row.
//!
//! The index says where they are, so a segment of which nothing is left costs the disk little more than the records
//! that are no messages.

use super::Views;
use crate::broken::{Mistake, makes};
use crate::ids::{QueueId, Seq};
use crate::index::Slot;
use crate::log::scan::Skip;
use crate::pace::{BYTES_JUDGED_PER_BYTE, Pace};
use crate::upkeep::SealedSegment;

/// After so many messages there is a rest.
const MESSAGES_AT_ONCE: u64 = 4096;

/// So many runs, of several queues, are joined to what is worth it at the most: there would be too many.
const RUNS: u64 = 8;

/// What may be passed over, ascending, each of `bytes_min` or more. Tells `gone` how far a queue's messages are that
/// are gone. Where the segment's index is damaged nothing is passed over: it goes with the segment.
pub(super) fn skips(
    sealed: &SealedSegment,
    views: &Views,
    bytes_min: u64,
    pace: &Pace,
    mut gone: impl FnMut(QueueId, Seq),
) -> Vec<Skip> {
    let (mut runs, mut looked) = (Vec::new(), 0);
    let mut keep = |run: Option<Skip>| {
        // Several queues' may be one behind the other.
        runs.extend(run.filter(|run| run.len() >= bytes_min / RUNS));
    };
    let passes_over_moved = makes(Mistake::MovesPassedOver);
    // A message that was moved says what is gone in another queue, so it must be read.
    for row in sealed.index.rows().filter(|row| row.is_all_sent || passes_over_moved) {
        let view = views.queues.get(&row.queue);
        let live = view.map_or(0, |view| view.messages.live_in(row.first..=row.last));
        if live >= row.messages.into() {
            continue;
        }
        // What copies are known by stands in the message's record.
        let is_gone = |seq| {
            view.is_none_or(|view| !view.messages.is_live(seq) && !view.deduplication.has(seq))
        };
        let (mut run, mut last) = (None::<Skip>, None);
        for item in sealed.index.slots(row.queue) {
            looked += 1;
            if looked == MESSAGES_AT_ONCE {
                pace.moved(looked * size_of::<Slot>() as u64 / BYTES_JUDGED_PER_BYTE);
                looked = 0;
            }
            let (seq, slot) = match item {
                Ok(item) => item,
                Err(block) => {
                    tracing::warn!("a compaction reads a segment whole: {block}");
                    return Vec::new();
                }
            };
            if !is_gone(seq) {
                continue;
            }
            last = Some(seq);
            let start = u64::from(slot.offset);
            let bytes = start..start + u64::from(slot.bytes);
            match &mut run {
                Some(run) if run.bytes.end == bytes.start => {
                    run.bytes.end = bytes.end;
                    run.records += 1;
                }
                _ => keep(run.replace(Skip { bytes, records: 1 })),
            }
        }
        keep(run);
        if let (Some(_), Some(last)) = (view, last) {
            gone(row.queue, last.next());
        }
    }
    runs.sort_unstable_by_key(|run| run.bytes.start);
    let mut skips = joined(runs);
    skips.retain(|skip| skip.len() >= bytes_min);
    skips
}

/// The same, of which none begins where another one ends.
fn joined(mut runs: Vec<Skip>) -> Vec<Skip> {
    runs.dedup_by(|next, skip| {
        let follows = skip.bytes.end == next.bytes.start;
        if follows {
            skip.bytes.end = next.bytes.end;
            skip.records += next.records;
        }
        follows
    });
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_one_another_is_one() {
        let skip = |start, end, records| Skip { bytes: start..end, records };
        let runs = vec![skip(10, 20, 1), skip(20, 25, 2), skip(26, 30, 4), skip(30, 31, 8)];
        assert_eq!(joined(runs), [skip(10, 25, 3), skip(26, 31, 12)]);
        assert_eq!(joined(Vec::new()), []);
    }
}
