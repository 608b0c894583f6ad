//! What of a segment need not even be read: messages that are gone, many in a row.
//!
//! The index says where they are, so a segment of which nothing is left costs the disk little more than the records
//! that are no messages.

use super::Views;
use crate::broken::{Mistake, makes};
use crate::ids::{QueueId, Seq};
use crate::index::{BadBlock, Slot};
use crate::log::scan::Skip;
use crate::pace::{BYTES_JUDGED_PER_BYTE, Pace};
use crate::upkeep::SealedSegment;

/// After so many messages there is a rest.
const MESSAGES_AT_ONCE: u64 = 4096;

/// What may be passed over, ascending, each of `bytes_min` or more. Tells `gone` how far a queue's messages are that
/// are gone.
pub(super) fn skips(
    sealed: &SealedSegment,
    views: &Views,
    bytes_min: u64,
    pace: &Pace,
    mut gone: impl FnMut(QueueId, Seq),
) -> Result<Vec<Skip>, BadBlock> {
    let (mut skips, mut looked) = (Vec::new(), 0);
    let mut keep = |skip: Option<Skip>| {
        skips.extend(skip.filter(|skip| skip.bytes.end - skip.bytes.start >= bytes_min));
    };
    let passes_over_moved = makes(Mistake::MovesPassedOver);
    // A message that was moved says what is gone in another queue, so it must be read.
    for row in sealed.index.rows().filter(|row| row.is_all_sent || passes_over_moved) {
        let view = views.queues.get(&row.queue);
        // What copies are known by stands in the message's record.
        let is_gone = |seq| {
            view.is_none_or(|view| !view.messages.is_live(seq) && !view.deduplication.has(seq))
        };
        let (mut skip, mut last) = (None::<Skip>, None);
        for item in sealed.index.slots(row.queue) {
            looked += 1;
            if looked == MESSAGES_AT_ONCE {
                pace.moved(looked * size_of::<Slot>() as u64 / BYTES_JUDGED_PER_BYTE);
                looked = 0;
            }
            let (seq, slot) = item?;
            if !is_gone(seq) {
                continue;
            }
            last = Some(seq);
            let start = u64::from(slot.offset);
            let bytes = start..start + u64::from(slot.bytes);
            match &mut skip {
                Some(skip) if skip.bytes.end == bytes.start => {
                    skip.bytes.end = bytes.end;
                    skip.records += 1;
                }
                _ => keep(skip.replace(Skip { bytes, records: 1 })),
            }
        }
        keep(skip);
        if let (Some(_), Some(last)) = (view, last) {
            gone(row.queue, last.next());
        }
    }
    skips.sort_unstable_by_key(|skip| skip.bytes.start);
    Ok(skips)
}
