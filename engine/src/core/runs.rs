//! How fast redrives go: when each takes messages next, and how many.
//!
//! A message costs a thousand; a redrive of `rate` messages a second gets `rate` a millisecond. So
//! it keeps to its rate to the message, and no time is read here.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::ids::{QueueId, RedriveId, Seq};
use crate::state::redrives::Redrive;
use crate::time::LogTime;

/// So many messages of one redrive are under way at once.
const BATCH_MESSAGES_MAX: u64 = 256;

/// What a redrive did not use of its rate is good for so long: clocks tick in milliseconds.
const CREDIT_MS: u64 = 10;

/// So many messages that came from no other queue, or fit no segment, are left where they are, and passed
/// each time.
pub(super) const LEFT_MAX: u64 = 65_536;

/// The redrives that run.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: BTreeMap<QueueId, Run>,
    /// Where the next round begins, so that each has its turn.
    turn: QueueId,
}

/// How one goes on.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RedriveId,
    rate: u64,
    /// Thousandths of messages that it may take, as of then.
    credit: u64,
    counted: LogTime,
    /// When it takes messages next; `None`: when those under way have arrived, or something else
    /// happens for which it waits.
    due: Option<LogTime>,
    pub(super) under_way: u64,
    /// It waits for room in the log, or for an index.
    is_postponed: bool,
    /// Messages that it leaves. After a restart it comes upon them once more.
    left: RoaringTreemap,
    /// Those of them that fit no segment.
    too_large: RoaringTreemap,
}

impl Runs {
    /// One runs from now on.
    pub(super) fn add(&mut self, redrive: &Redrive, now: LogTime) {
        let run = Run {
            id: redrive.id,
            rate: redrive.rate,
            credit: 1000,
            counted: now,
            due: Some(now),
            under_way: 0,
            is_postponed: false,
            left: RoaringTreemap::new(),
            too_large: RoaringTreemap::new(),
        };
        self.runs.insert(redrive.id.queue(), run);
    }

    /// One has ended, or its queue is gone.
    pub(super) fn remove(&mut self, queue: QueueId) {
        self.runs.remove(&queue);
    }

    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// That of a queue, ...
    pub(super) fn get(&self, queue: QueueId) -> Option<&Run> {
        self.runs.get(&queue)
    }

    /// ... to be changed.
    pub(super) fn get_mut(&mut self, queue: QueueId) -> Option<&mut Run> {
        self.runs.get_mut(&queue)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<LogTime> {
        self.runs.values().filter_map(|run| run.due).min()
    }

    /// Messages that one took have arrived, or stayed for want of space.
    pub(super) fn arrived(&mut self, id: RedriveId, messages: u64, is_full: bool, now: LogTime) {
        if let Some(run) = self.runs.get_mut(&id.queue()).filter(|run| run.id == id) {
            run.under_way -= messages;
            run.is_postponed |= is_full;
            // Whatever its rate: there may be nothing more to take.
            run.due = Some(now).filter(|_| !run.is_postponed);
        }
        // Their bytes were bounded together.
        for run in self.runs.values_mut().filter(|run| run.due.is_none() && run.under_way == 0) {
            run.due = run.ready_at(now);
        }
    }

    /// What that of a queue finds to take may be something else now, or nothing.
    pub(super) fn look_again(&mut self, queue: QueueId, now: LogTime) {
        if let Some(run) = self.runs.get_mut(&queue) {
            run.go_on(now);
        }
    }

    /// There may be what was waited for.
    pub(super) fn wake(&mut self, now: LogTime) {
        for run in self.runs.values_mut() {
            if std::mem::take(&mut run.is_postponed) {
                run.due = Some(now);
            }
        }
    }

    /// Those that are due, each once, beginning behind the one that began last time.
    pub(super) fn due(&mut self, now: LogTime) -> Vec<QueueId> {
        let is_due = |run: &Run| run.due.is_some_and(|due| due <= now);
        let due = self.runs.iter().filter(|(_, run)| is_due(run)).map(|(queue, _)| *queue);
        let (before, mut behind): (Vec<_>, Vec<_>) = due.partition(|queue| *queue <= self.turn);
        behind.extend(before);
        self.turn = behind.first().copied().unwrap_or_default();
        behind
    }
}

impl Run {
    /// Counts the messages that the time since the last count allows.
    pub(super) fn refill(&mut self, now: LogTime) {
        let credit = self.rate.saturating_mul(now.ms_since(self.counted));
        let most = (self.rate * CREDIT_MS).max(1000);
        self.credit = self.credit.saturating_add(credit).min(most);
        self.counted = now;
    }

    /// How many messages it may take now.
    pub(super) fn allowed(&self) -> u64 {
        let by_rate = if self.rate == 0 { u64::MAX } else { self.credit / 1000 };
        by_rate.min(BATCH_MESSAGES_MAX - self.under_way)
    }

    /// It took so many messages.
    pub(super) fn took(&mut self, messages: u64) {
        self.under_way += messages;
        self.credit = self.credit.saturating_sub(messages * 1000);
    }

    /// It leaves a message where it is; false if those are too many.
    pub(super) fn leave(&mut self, seq: Seq, is_too_large: bool) -> bool {
        self.left.insert(seq.0);
        if is_too_large {
            self.too_large.insert(seq.0);
        }
        self.left.len() <= LEFT_MAX
    }

    /// Whether it leaves a message where it is.
    pub(super) fn has_left(&self, seq: Seq) -> bool {
        self.left.contains(seq.0)
    }

    /// How many it leaves.
    pub(super) fn left_count(&self) -> u64 {
        self.left.len()
    }

    /// Those that it leaves, and whether each fits no segment.
    pub(super) fn left(&self) -> impl Iterator<Item = (Seq, bool)> + '_ {
        self.left.iter().map(|seq| (Seq(seq), self.too_large.contains(seq)))
    }

    /// It goes on when it may take another message.
    pub(super) fn go_on(&mut self, now: LogTime) {
        self.due = self.ready_at(now);
    }

    /// It goes on then, or, if that is `None`, when messages have arrived.
    pub(super) fn rest(&mut self, until: Option<LogTime>) {
        self.due = until;
    }

    /// It goes on when there may be what it waits for.
    pub(super) fn postpone(&mut self) {
        self.is_postponed = true;
        self.due = None;
    }

    /// When it may take another one; `None` if something else must happen first.
    fn ready_at(&self, now: LogTime) -> Option<LogTime> {
        if self.is_postponed || self.under_way >= BATCH_MESSAGES_MAX {
            return None;
        }
        if self.rate == 0 || self.credit >= 1000 {
            return Some(now);
        }
        Some(self.counted.plus_ms((1000 - self.credit).div_ceil(self.rate)))
    }
}
