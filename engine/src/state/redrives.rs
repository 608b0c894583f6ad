//! The redrives of one dead-letter queue: the one that runs, and the last that ended.

use crate::ids::{QueueId, RedriveId, Seq};
use crate::record::{RedriveEnded, RedriveOutcome, RedriveStarted};
use crate::time::LogTime;

/// So many that ended are remembered.
pub(crate) const ENDED_MAX: usize = 10;

/// What is remembered of a queue's redrives. The newest always is, so no number is given twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Redrives {
    /// Ascending by their numbers; only the last can be running.
    list: Vec<Redrive>,
}

/// One redrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redrive {
    pub(crate) id: RedriveId,
    pub(crate) started: LogTime,
    /// Messages a second; 0: no limit.
    pub(crate) rate: u64,
    /// The last message that it moves.
    pub(crate) through: Seq,
    /// How many messages were in the queue when it started.
    pub(crate) to_move: u64,
    pub(crate) moved: u64,
    /// Empty: each message goes to the queue that it came from.
    pub(crate) destination: String,
    /// `None` while it runs.
    pub(crate) end: Option<RedriveEnd>,
}

impl Redrive {
    /// What says that it started, and how many messages it has moved.
    pub(crate) fn as_started(&self) -> RedriveStarted<'_> {
        RedriveStarted {
            redrive: self.id,
            time: self.started,
            rate: self.rate,
            through: self.through,
            to_move: self.to_move,
            moved: self.moved,
            destination: &self.destination,
        }
    }
}

/// How a redrive ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedriveEnd {
    pub(crate) time: LogTime,
    pub(crate) outcome: RedriveOutcome,
    pub(crate) reason: String,
}

impl Redrives {
    /// All that are remembered, the oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Redrive> {
        self.list.iter()
    }

    /// Whether none is.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The one that runs.
    pub(crate) fn running(&self) -> Option<&Redrive> {
        self.list.last().filter(|redrive| redrive.end.is_none())
    }

    /// The one of that number.
    pub(crate) fn get(&self, id: RedriveId) -> Option<&Redrive> {
        self.list.iter().find(|redrive| redrive.id == id)
    }

    /// The number that the queue's next one gets.
    pub(crate) fn next_id(&self, queue: QueueId) -> RedriveId {
        RedriveId::new(queue, self.list.last().map_or(0, |last| last.id.count()) + 1)
    }

    /// One started; or the compactor says again that it did, and how many it has moved.
    pub(crate) fn started(&mut self, record: &RedriveStarted<'_>) {
        if let Some(known) = self.get_mut(record.redrive) {
            known.moved = known.moved.max(record.moved);
            return;
        }
        // The end of the one before may be left out of the log when that is not remembered any
        // more; until enough others came, replay remembers it.
        if let Some(before) = self.list.last_mut()
            && before.end.is_none()
        {
            let (time, outcome) = (record.time, RedriveOutcome::Cancelled);
            before.end = Some(RedriveEnd { time, outcome, reason: String::new() });
        }
        self.add(Redrive {
            id: record.redrive,
            started: record.time,
            rate: record.rate,
            through: record.through,
            to_move: record.to_move,
            moved: record.moved,
            destination: record.destination.to_owned(),
            end: None,
        });
    }

    /// One has moved so many messages.
    pub(crate) fn moved(&mut self, id: RedriveId, count: u64) {
        if let Some(redrive) = self.get_mut(id) {
            redrive.moved = redrive.moved.max(count);
        }
    }

    /// One ended.
    pub(crate) fn ended(&mut self, record: &RedriveEnded<'_>) {
        if let Some(redrive) = self.get_mut(record.redrive) {
            let (time, outcome, reason) = (record.time, record.outcome, record.reason.to_owned());
            redrive.moved = record.moved;
            redrive.end = Some(RedriveEnd { time, outcome, reason });
            self.forget();
        }
    }

    /// Adds one as it was remembered: numbers ascend.
    pub(crate) fn add(&mut self, redrive: Redrive) {
        self.list.push(redrive);
        self.forget();
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let texts = |redrive: &Redrive| {
            redrive.destination.len() + redrive.end.as_ref().map_or(0, |end| end.reason.len())
        };
        let of_list = self.list.capacity() * size_of::<Redrive>();
        (of_list + self.list.iter().map(texts).sum::<usize>()) as u64
    }

    fn get_mut(&mut self, id: RedriveId) -> Option<&mut Redrive> {
        self.list.iter_mut().rev().find(|redrive| redrive.id == id)
    }

    /// Forgets the oldest that ended, if there are too many.
    fn forget(&mut self) {
        let ended = self.list.iter().filter(|redrive| redrive.end.is_some()).count();
        self.list.drain(..ended.saturating_sub(ENDED_MAX));
    }
}
