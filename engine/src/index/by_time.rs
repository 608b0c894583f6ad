//! From a time to the first message that was sent after it: a search by halves, for sent times
//! ascend with a queue's numbers, but for messages that came late. Of those behind the last one that did
//! what is found is right, whatever lies before.

use super::{BrokenIndex, Index, SegmentIndex, Slot};
use crate::ids::{QueueId, Seq};
use crate::index::shares::SegmentKey;
use crate::time::LogTime;

impl Index {
    /// The first message of the queue that was sent after `time`, or the number behind its last one.
    /// Errors as in [`Index::find`].
    pub(crate) fn first_sent_after(
        &mut self,
        queue: QueueId,
        time: LogTime,
    ) -> Result<Seq, BrokenIndex> {
        let keys = self.shares.segments_of(queue);
        // What lies in these segments was sent after it.
        let mut at = keys.partition_point(|key| self.created(*key) <= time);
        let behind = keys[at..].iter().find_map(|key| self.row_of(*key, queue));
        let mut found = behind.map(|(first, _)| first);
        // Of those before, the end of the last one may have been too.
        while at > 0 {
            at -= 1;
            let Some((first, last)) = self.row_of(keys[at], queue) else { continue };
            let after = self.first_in_segment(keys[at], queue, time)?;
            found = after.or(found).or(Some(last.next()));
            if after != Some(first) {
                break;
            }
        }
        Ok(found.unwrap_or(Seq(1)))
    }

    /// A message of the queue before which all came at `time` or before: of the last segment that
    /// was begun by then the first one.
    pub(crate) fn came_by(&self, queue: QueueId, time: LogTime) -> Seq {
        let keys = self.shares.segments_of(queue);
        let begun = keys.partition_point(|key| self.created(*key) <= time);
        let mut begun = keys[..begun].iter().rev();
        begun.find_map(|key| self.row_of(*key, queue)).map_or(Seq(0), |(first, _)| first)
    }

    fn created(&self, key: SegmentKey) -> LogTime {
        match &self.active {
            Some(active) if active.key == key => active.segment.created,
            _ => self.sealed[&key].segment.created,
        }
    }

    /// A queue's first and last message in a segment.
    fn row_of(&self, key: SegmentKey, queue: QueueId) -> Option<(Seq, Seq)> {
        let row = match &self.active {
            Some(active) if active.key == key => active.heap.row(queue),
            _ => self.sealed[&key].index.row(queue),
        };
        row.map(|row| (row.first, row.last))
    }

    fn first_in_segment(
        &mut self,
        key: SegmentKey,
        queue: QueueId,
        time: LogTime,
    ) -> Result<Option<Seq>, BrokenIndex> {
        if let Some(active) = self.active.as_ref().filter(|active| active.key == key) {
            let ms = time.ms_since(active.segment.created);
            return Ok(active.heap.first_after(queue, |slot| is_after(slot, ms)));
        }
        let sealed = self.sealed.get_mut(&key).expect("a share is of a segment that is there");
        let ms = time.ms_since(sealed.segment.created);
        let found = match &sealed.index {
            SegmentIndex::Heap(heap) => Ok(heap.first_after(queue, |slot| is_after(slot, ms))),
            SegmentIndex::Mapped(mapped) => mapped.first_after(queue, |slot| is_after(slot, ms)),
            // One that the damage hides counts with the next that it does not.
            SegmentIndex::Salvaged(salvaged) => {
                Ok(salvaged.first_after(queue, |slot| is_after(slot, ms)))
            }
        };
        found.map_err(|cause| {
            let segment = sealed.segment.clone();
            if !std::mem::replace(&mut sealed.is_broken, true) {
                self.broken.push(segment.clone());
            }
            BrokenIndex { segment, cause }
        })
    }
}

fn is_after(slot: &Slot, ms: u64) -> bool {
    u64::try_from(slot.sent_ms).is_ok_and(|sent_ms| sent_ms > ms)
}
