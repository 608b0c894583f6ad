//! Queues as they were at the end of an entry: what snapshots write and the compactor asks.

use std::ops::RangeInclusive;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::Queue;
use super::deduplication::{Deduplication, Window};
use super::delays::Delays;
use super::held::{Held, HeldMap};
use super::late::Late;
use super::order::Discipline;
use super::past::Past;
use super::producers::Producers;
use super::queue::Messages;
use super::redrives::Redrives;
use super::returns::{Return, Returns};
use super::worn::Worn;
use crate::attributes::Attributes;
use crate::broken::{Mistake, makes};
use crate::command::MessageState;
use crate::ids::{Position, QueueId, Seq};
use crate::time::LogTime;

/// A queue as it was at the end of an entry: shared with the queue until that changes.
#[derive(Debug, Clone)]
pub(crate) struct FrozenQueue {
    pub(crate) id: QueueId,
    pub(crate) name: String,
    pub(crate) created: LogTime,
    pub(crate) modified: LogTime,
    pub(crate) attributes: Arc<Attributes>,
    /// Every entry up to this one was applied, and none behind it.
    pub(crate) position: Position,
    pub(crate) messages: FrozenMessages,
    /// In a FIFO queue, which messages were sent of late.
    pub(crate) deduplication: Window,
    /// In any other, which batches have landed.
    pub(crate) producers: Producers,
    pub(crate) redrives: Redrives,
}

/// Its messages. The invariants are those of [`Messages`].
#[derive(Debug, Clone)]
pub(crate) struct FrozenMessages {
    /// The next message's number.
    pub(crate) next: Seq,
    /// The first message of the backlog.
    pub(crate) cursor: Seq,
    /// Those from the cursor on that are not in the backlog.
    pub(crate) apart: RoaringTreemap,
    /// Messages that were received, and are not gone.
    pub(crate) held: HeldMap,
    /// Messages that were never received, and whose delay has not passed, ...
    pub(crate) delays: Delays,
    /// ... or has.
    pub(crate) due: RoaringTreemap,
    /// What consumers said of messages that they gave back.
    pub(crate) returns: Returns,
    /// What is remembered of those that are gone.
    pub(crate) past: Past,
    /// Those that were sent before they came.
    pub(crate) late: Late,
    /// In what order a queue whose messages have groups gives them.
    pub(crate) discipline: Option<Discipline>,
}

impl FrozenMessages {
    /// Whether the message was in the queue.
    pub(crate) fn is_live(&self, seq: Seq) -> bool {
        self.held.get(seq).is_some()
            || (self.cursor..self.next).contains(&seq) && !self.apart.contains(seq.0)
            || self.due.contains(seq.0)
            || self.delays.contains(seq)
    }

    /// What was held of a message; `None` when it was never received, or was gone.
    pub(crate) fn held(&self, seq: Seq) -> Option<&Held> {
        self.held.get(seq)
    }

    /// What was said of a message when it was given back.
    pub(crate) fn given_back(&self, seq: Seq) -> Option<&Return> {
        self.returns.get(seq)
    }

    /// How many messages of the range were in the queue; counts leaf by leaf.
    pub(crate) fn live_in(&self, range: RangeInclusive<Seq>) -> u64 {
        let start = self.cursor.max(*range.start()).0;
        let end = self.next.0.min(range.end().0.saturating_add(1)).max(start);
        let backlog = end - start - self.apart.range_cardinality(start..end);
        let out_of_backlog =
            |set: &RoaringTreemap| set.range_cardinality(range.start().0..=range.end().0);
        let never_received = out_of_backlog(self.delays.seqs()) + out_of_backlog(&self.due);
        backlog + never_received + self.held.count(range)
    }
}

impl Queue {
    /// The queue as it is now, at the end of the entry at `position`.
    pub(crate) fn freeze(&self, position: Position) -> FrozenQueue {
        let Messages { next, cursor, apart, held, delays, due, returns, past, late, order, .. } =
            &self.messages;
        FrozenQueue {
            id: self.id,
            name: self.name.clone(),
            created: self.created,
            modified: self.modified,
            attributes: Arc::clone(&self.attributes),
            position,
            messages: FrozenMessages {
                next: *next,
                cursor: *cursor,
                apart: apart.clone(),
                held: held.clone(),
                delays: delays.clone(),
                due: due.clone(),
                returns: returns.clone(),
                past: *past,
                late: late.clone(),
                discipline: order.as_ref().map(|order| order.discipline()),
            },
            deduplication: self.deduplication.window().clone(),
            producers: self.producers.clone(),
            redrives: self.redrives.clone(),
        }
    }
}

impl From<FrozenQueue> for Queue {
    fn from(frozen: FrozenQueue) -> Self {
        let FrozenQueue { id, name, created, modified, attributes, messages, .. } = frozen;
        let mut messages: Messages = messages.into();
        if attributes.fifo {
            messages.set_order(Discipline::Fifo);
        }
        let (mut deduplication, mut producers) = (frozen.deduplication.into(), frozen.producers);
        if makes(Mistake::WindowLostAtRestart) {
            deduplication = Deduplication::default();
        }
        if makes(Mistake::BatchesLostAtRestart) {
            producers = Producers::default();
        }
        let redrives = frozen.redrives;
        Self {
            id,
            name,
            created,
            modified,
            attributes,
            messages,
            deduplication,
            producers,
            redrives,
        }
    }
}

impl From<FrozenMessages> for Messages {
    /// Messages to go on with: all durable. A damaged one waits, for whether it is damaged is
    /// found when it is read again.
    fn from(frozen: FrozenMessages) -> Self {
        let FrozenMessages {
            next,
            cursor,
            apart,
            mut held,
            delays,
            due,
            returns,
            past,
            late,
            discipline,
        } = frozen;
        let is_damaged = |(seq, held): (Seq, &Held)| {
            (held.state == MessageState::Damaged).then_some((seq, *held))
        };
        let damaged: Vec<(Seq, Held)> = held.range(..).filter_map(is_damaged).collect();
        for (seq, before) in damaged {
            held.insert(seq, Held { state: MessageState::Waiting, ..before });
        }
        // Collected from vectors, sets are built at once rather than message by message.
        let (mut timers, mut returned) = (Vec::new(), RoaringTreemap::new());
        let mut worn = Vec::new();
        for (seq, held) in held.range(..) {
            match held.state {
                MessageState::Waiting if held.is_worn() => worn.push((held.received, seq)),
                MessageState::Waiting => drop(returned.insert(seq.0)),
                MessageState::InFlight { .. } if makes(Mistake::LeasesLostAtRestart) => {
                    returned.insert(seq.0);
                }
                MessageState::InFlight { .. } => timers.push((held.until, seq)),
                MessageState::Delayed | MessageState::Damaged => {
                    unreachable!("the damaged ones wait, and no other state is held")
                }
            }
        }
        let timers = timers.into_iter().collect();
        let worn: Worn = worn.into_iter().collect();
        let delays = if makes(Mistake::DelayLost) { Delays::default() } else { delays };
        let (durable_end, damaged, order, moving) = (next, 0, None, RoaringTreemap::new());
        let mut messages = Self {
            next,
            durable_end,
            cursor,
            apart,
            held,
            timers,
            returned,
            worn,
            delays,
            due,
            damaged,
            returns,
            past,
            late,
            order,
            moving,
        };
        if let Some(discipline) = discipline {
            messages.set_order(discipline);
        }
        messages
    }
}
