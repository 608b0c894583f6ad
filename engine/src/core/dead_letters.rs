//! Decisions about dead letters: which messages are, and where they go.

use super::Core;
use super::moves::{Chosen, Moves, moved_bytes};
#[cfg(feature = "broken")]
use crate::broken::{Mistake, makes};
use crate::command::ReplyTo;
use crate::ids::QueueId;
use crate::location::Location;
use crate::log::reader::StoredMessage;
use crate::record::Moved;
use crate::state::Queue;
use crate::time::LogTime;

/// Dead letters that a receive comes upon.
pub(super) struct DeadLetters {
    /// Whoever was received so often is one.
    receive_count_max: u32,
    found: Vec<Chosen>,
    bytes: u64,
    may_mark: bool,
    /// The most bytes that a move may take.
    moved_bytes_max: u64,
    /// There was no room to mark one at least.
    is_starved: bool,
}

impl DeadLetters {
    /// Whether a message that was received so often is one.
    pub(super) fn is_one(&self, receive_count: u32) -> bool {
        receive_count >= self.receive_count_max
    }

    /// Whether another one may be marked; one that may not stays, and is delivered to nobody.
    pub(super) fn wants(&mut self, moves: &Moves) -> bool {
        let has_room = moves.dead_letters_have_room(self.found.len(), self.bytes);
        let wants = self.may_mark && has_room;
        self.is_starved |= !wants;
        wants
    }

    /// Whether one is too large for any segment to come, and so for a move. It is delivered as before.
    pub(super) fn is_too_large(&self, location: &Location) -> bool {
        moved_bytes(location) > self.moved_bytes_max
    }

    /// One was found.
    pub(super) fn add(&mut self, chosen: Chosen) {
        self.bytes += u64::from(chosen.location.bytes);
        self.found.push(chosen);
    }
}

impl<R: ReplyTo> Core<R> {
    /// What becomes of a queue's dead letters: `None` if it has no dead-letter queue that is there
    /// and of its type. Then they are no dead letters, and delivered as before.
    pub(super) fn dead_letters(&self, queue: &Queue) -> Option<DeadLetters> {
        self.dead_letter_target(queue)?;
        let count = u32::try_from(queue.attributes.receive_count_max).unwrap_or(u32::MAX);
        let may_mark = self.moves.may_begin() && self.check_sends_allowed().is_ok();
        Some(DeadLetters {
            receive_count_max: count,
            found: Vec::new(),
            bytes: 0,
            may_mark,
            moved_bytes_max: self.options.segment_room(),
            is_starved: false,
        })
    }

    fn dead_letter_target(&self, queue: &Queue) -> Option<&Queue> {
        let attributes = &queue.attributes;
        if attributes.receive_count_max == 0 {
            return None;
        }
        let target = self.state.by_name(&attributes.dead_letter_queue)?;
        (target.id != queue.id && target.attributes.fifo == attributes.fifo).then_some(target)
    }

    /// A receive has come upon these.
    pub(super) fn take_dead_letters(&mut self, id: QueueId, dead: DeadLetters, now: LogTime) {
        if dead.is_starved {
            match dead.may_mark || self.moves.rests_until.is_some() {
                true => self.moves.starve(id),
                false => drop(self.postponed.insert(id)),
            };
        }
        self.begin_moving(id, None, dead.found, now);
    }

    /// Moves a dead letter, if it is still one.
    pub(super) fn move_dead_letter(
        &mut self,
        chosen: &Chosen,
        stored: &StoredMessage,
        now: LogTime,
    ) {
        let (from_queue, from_seq) = (chosen.location.queue, chosen.location.seq);
        let Some(queue) = self.state.get(from_queue) else { return };
        let (Some(dead), Some(target)) = (self.dead_letters(queue), self.dead_letter_target(queue))
        else {
            return;
        };
        let Some(held) = queue.messages.held(from_seq).filter(|h| dead.is_one(h.receive_count))
        else {
            return;
        };
        let (fifo, source) = (target.attributes.fifo, queue.name.clone());
        let before = stored.dead_letter.as_ref();
        // Of several queues the last one where somebody said why.
        let reason = queue.messages.reason(from_seq).map(|reason| &**reason);
        let reason = reason.or(before.map(|before| &*before.reason)).unwrap_or_default().to_owned();
        let message = self.moved_message(target.id, stored, None);
        let moved = Moved {
            message,
            from_queue,
            from_seq,
            origin_queue: before.map_or(from_queue, |before| before.origin_queue),
            origin_seq: before.map_or(from_seq, |before| before.origin_seq),
            // The record's own is exact, also of a message older than its slot can say.
            sent: if fifo { now } else { before.map_or(chosen.sent, |before| before.sent) },
            first_received: before.map_or(held.first_received, |before| before.first_received),
            receive_count: before
                .map_or(0, |before| before.receive_count)
                .saturating_add(held.receive_count),
            time: now,
            redrive: None,
            reason: &reason,
            source: &source,
        };
        let (queue, sent) = (message.queue, moved.sent);
        #[cfg(feature = "broken")]
        if makes(Mistake::MovedInTwo) {
            self.record(|out| out.sent(&message));
            crate::broken::owe(from_queue, from_seq);
            return self.message_came(queue, sent);
        }
        self.record(|out| out.moved(&moved));
        self.message_came(queue, sent);
    }
}
