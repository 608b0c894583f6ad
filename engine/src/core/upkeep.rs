//! The core's part in upkeep: freezing queues for the keeper, and taking over what it made.

use super::{Core, Writing};
use crate::command::ReplyTo;
use crate::ids::{Position, QueueId};
use crate::index::SegmentIndex;
use crate::time::LogTime;
use crate::upkeep::{FreezeRequest, Frozen, SealedSegment, Task, Upkeep};

/// So many queues are frozen between two entries, which keeps the pause far below a millisecond.
const FREEZE_QUEUES_MAX: usize = 256;

impl<R: ReplyTo> Core<R> {
    /// Takes what the keeper asks for or has made.
    pub(crate) fn upkeep(&mut self, upkeep: Upkeep, now: LogTime) {
        match upkeep {
            Upkeep::Freeze(request) => self.freeze(request, now),
            Upkeep::Indexed(segment, index) => {
                self.index.set_mapped(&segment, index);
                self.serve_postponed(now);
            }
            Upkeep::Rebuilt(segment, index) => {
                self.index.set_rebuilt(&segment, index);
                self.serve_postponed(now);
            }
            Upkeep::Swapped { removed, added } => {
                self.index.replace(&removed, added.segment, added.index);
                self.serve_postponed(now);
            }
        }
    }

    /// What the keeper is to do next.
    pub(crate) fn take_tasks(&mut self) -> Vec<Task> {
        let broken = self.index.take_broken().into_iter().map(Task::Broken);
        self.tasks.extend(broken);
        std::mem::take(&mut self.tasks)
    }

    fn freeze(&mut self, request: FreezeRequest, now: LogTime) {
        let is_behind = request.behind.is_none_or(|position| self.tail.last() > position);
        if self.is_committed() && is_behind {
            let frozen = self.frozen(request.after, self.tail.last(), now);
            self.tasks.push(Task::Frozen(frozen));
            return;
        }
        // Otherwise at the end of the entry that comes.
        self.freeze_request = Some(request.after);
        if self.is_committed() {
            self.watermark_due = Some(now);
        }
    }

    /// Every queue as it is now, for the last snapshot before the store is closed.
    pub(crate) fn freeze_all(&self, now: LogTime) -> Frozen {
        assert!(self.is_committed(), "a store is closed when everything is durable");
        let position = self.tail.last();
        let queues = self.state.freeze_after(QueueId(0), usize::MAX, position);
        let last_queue = self.state.last_queue();
        Frozen { position, log_time: now, queues, is_last: true, last_queue }
    }

    fn frozen(&self, after: QueueId, position: Position, now: LogTime) -> Frozen {
        let queues = self.state.freeze_after(after, FREEZE_QUEUES_MAX, position);
        let is_last = queues.len() < FREEZE_QUEUES_MAX;
        let last_queue = self.state.last_queue();
        Frozen { position, log_time: now, queues, is_last, last_queue }
    }

    /// At the end of the entry at `position`, everything pending being in it: freezes what was
    /// asked for. Handed over when the entry is durable.
    pub(super) fn freeze_at_end(&mut self, position: Position, now: LogTime) -> Option<Task> {
        let after = self.freeze_request.take()?;
        Some(Task::Frozen(self.frozen(after, position, now)))
    }

    /// The entry of `writing` is durable: what it gave rise to goes to the keeper.
    pub(super) fn hand_over(&mut self, writing: &mut Writing<R>, now: LogTime) {
        self.tasks.append(&mut writing.tasks);
        if self.pending.is_empty()
            && let Some(task) = self.freeze_at_end(writing.position, now)
        {
            self.tasks.push(task);
        }
    }

    /// The active segment's index, when the entry that comes begins another segment.
    pub(super) fn seal_index(&mut self, end: u64) -> Option<Task> {
        let (segment, index) = self.index.begin_segment(self.tail.segment.clone())?;
        let (last, index) = (self.tail.segment.first.previous(), SegmentIndex::Heap(index));
        Some(Task::Sealed(SealedSegment { segment, last, bytes: end, index }))
    }
}
