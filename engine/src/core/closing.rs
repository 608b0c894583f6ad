//! Entries: when one is closed for the writer, and what follows when it is durable.

use bytes::BytesMut;

use super::slots::Stored;
use super::{Answer, Core, sent_slots};
use crate::command::ReplyTo;
use crate::entry::EntryBuilder;
use crate::ids::{Position, QueueId, Seq};
use crate::index::Indexed;
use crate::log::{ClosedEntry, NextSegment, Place};
use crate::record::SENT_OVERHEAD_BYTES;
use crate::time::LogTime;
use crate::upkeep::Task;

/// The entry that the writer has.
#[derive(Debug)]
pub(super) struct Writing<R> {
    pub(super) position: Position,
    pub(super) answers: Vec<Answer<R>>,
    /// Those that leave as soon as it is written.
    pub(super) written_answers: Vec<Answer<R>>,
    /// For each queue that was sent to, the end of its messages.
    pub(super) sent: Vec<(QueueId, Seq)>,
    pub(super) is_watermark: bool,
    /// What the keeper is to do when it is durable.
    pub(super) tasks: Vec<Task>,
}

impl<R: ReplyTo> Core<R> {
    /// The next entry for the writer: what is pending, or a watermark that is due. `None` while
    /// the writer has one, or when there is nothing to write.
    pub(crate) fn close_entry(&mut self, now: LogTime) -> Option<ClosedEntry> {
        if self.writing.is_some() {
            return None;
        }
        let is_watermark = self.pending.is_empty();
        let due = self.watermark_due.is_some_and(|due| due <= now);
        if is_watermark && !(due && self.tail.has_room(0)) {
            return None;
        }
        self.watermark_due = None;
        let end = self.tail.offset;
        let place = self.tail.place(self.pending.body_bytes() as u64, now);
        let sealed = place.roll.is_some().then(|| self.seal_index(end)).flatten();
        let sent = self.index_sent(&place, now);
        // The next one begins here, unless it begins a segment.
        let next = EntryBuilder::after(&self.pending, self.spare.take(), self.tail.offset);
        let records = std::mem::replace(&mut self.pending, next);
        let answers = std::mem::take(&mut self.pending_answers);
        let written_answers = std::mem::take(&mut self.pending_written);
        let position = place.position;
        let tasks = sealed.into_iter().chain(self.freeze_at_end(position, now)).collect();
        let tells_written = !written_answers.is_empty();
        self.writing =
            Some(Writing { position, answers, written_answers, sent, is_watermark, tasks });
        self.serve_postponed(now);
        Some(ClosedEntry { place, log_time: now, records, tells_written })
    }

    /// Puts the messages of the pending entry into the index, and says for each queue where its
    /// messages end.
    fn index_sent(&mut self, place: &Place, now: LogTime) -> Vec<(QueueId, Seq)> {
        let mut ends: Vec<(QueueId, Seq)> = Vec::new();
        let mut control_bytes = self.pending.body_bytes();
        let times = (now, place.segment.created);
        let mut sent_bytes = 0;
        let place_of = |stored: &Stored| stored.indexed(place.offset, times);
        debug_assert!(
            sent_slots(place.offset, times, self.pending.body())
                .eq(self.stored.iter().map(place_of)),
            "what was noted is what the entry has"
        );
        for message in self.stored.drain(..).map(|stored| place_of(&stored)) {
            let Indexed { queue, seq, slot, .. } = message;
            control_bytes -= slot.bytes as usize;
            // A queue created and deleted within the entry has no index.
            if !self.state.contains(queue) {
                continue;
            }
            self.index.add(message);
            sent_bytes += u64::from(slot.bytes) - SENT_OVERHEAD_BYTES as u64;
            match ends.last_mut() {
                Some((last, end)) if *last == queue => *end = seq.next(),
                _ => ends.push((queue, seq.next())),
            }
        }
        self.counters.sent_bytes.add(sent_bytes);
        self.index.add_control(control_bytes as u64);
        ends
    }

    /// The writer has made the entry at `position` durable: its answers leave, its messages are
    /// visible.
    pub(crate) fn durable(&mut self, position: Position, now: LogTime) {
        #[cfg(feature = "broken")]
        for (queue, seq) in crate::broken::take_owed() {
            self.record(|out| out.acked(queue, &[seq]));
        }
        let mut writing = self.writing.take().expect("the writer had an entry");
        assert_eq!(writing.position, position, "the writer writes what it was given");
        self.hand_over(&mut writing, now);
        self.answers.extend(writing.written_answers);
        self.answers.extend(writing.answers);
        if !writing.is_watermark {
            self.watermark_due = Some(now.plus_ms(self.options.watermark_ms));
        }
        for (queue, end) in &writing.sent {
            if let Some(queue) = self.state.by_id(*queue) {
                queue.messages.set_durable_end(*end);
            }
        }
        for (queue, _) in writing.sent {
            self.serve(queue, now);
        }
        self.redrives.wake(now);
    }

    /// Memory that was an entry's, for another one.
    pub(crate) fn reuse(&mut self, memory: Option<BytesMut>) {
        self.spare = memory.or(self.spare.take());
    }

    /// The segment after the active one is prepared, or could not be.
    pub(crate) fn set_next_segment(&mut self, mut next: NextSegment, now: LogTime) {
        if let NextSegment::Full { standby, .. } = &mut next {
            // The log may have rolled to it meanwhile.
            standby.take_if(|standby| standby.is(&self.tail.segment));
            // What is pending counts on the one that there was.
            if let NextSegment::Full { standby: before, .. } = &mut self.tail.next
                && standby.is_none()
            {
                *standby = before.take();
            }
        }
        let is_refusing = matches!(next, NextSegment::Full { .. });
        self.counters.signals.is_refusing.set(is_refusing);
        self.tail.next = next;
        self.serve_postponed(now);
    }

    /// What the tail says of the next segment.
    pub(crate) fn next_segment(&self) -> &NextSegment {
        &self.tail.next
    }

    pub(super) fn serve_postponed(&mut self, now: LogTime) {
        self.move_on(now);
        self.redrives.wake(now);
        for queue in std::mem::take(&mut self.postponed) {
            self.serve(queue, now);
        }
    }

    /// Makes the watermark due now, if the newest entry still waits for one; true if so.
    pub(crate) fn hasten_watermark(&mut self, now: LogTime) -> bool {
        let wanted = self.watermark_due.is_some() && self.tail.has_room(0);
        if wanted {
            self.watermark_due = Some(now);
        }
        wanted
    }

    /// Whether everything that was decided is durable.
    pub(crate) fn is_committed(&self) -> bool {
        self.writing.is_none() && self.pending.is_empty()
    }
}
