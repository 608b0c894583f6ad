//! Which numbers of messages may have been given in what is lost.

use std::collections::HashMap;

use super::reading::Hole;
use crate::ids::{Position, QueueId};
use crate::record::SENT_OVERHEAD_BYTES;

/// How far each queue's messages are known.
pub(super) struct Numbers {
    /// Up to this entry it is known of each queue which messages it got.
    known: HashMap<QueueId, Position>,
    /// Holes of which no index tells which messages were in them: the last entry, and the bytes.
    unindexed: Vec<(Position, u64)>,
    /// Whether such a hole is being read.
    pub(super) is_in_unindexed: bool,
}

impl Numbers {
    /// What a snapshot contains is known.
    pub(super) fn of(parts: &HashMap<QueueId, Position>) -> Self {
        Self { known: parts.clone(), unindexed: Vec::new(), is_in_unindexed: false }
    }

    /// A hole was read of which no index tells.
    pub(super) fn add(&mut self, hole: &Hole) {
        self.unindexed.push((hole.last, hole.bytes_assumed()));
    }

    /// Of a queue's messages nothing is missing up to an entry. Of one that is damaged, where no index tells,
    /// the rest may have had others.
    pub(super) fn know(&mut self, queue: QueueId, position: Position) {
        let position = Position(position.0.saturating_sub(u64::from(self.is_in_unindexed)));
        let known = self.known.entry(queue).or_default();
        *known = position.max(*known);
    }

    /// Whether between the newest message of a queue that is known and the next one of which something
    /// is said others may be lost.
    pub(super) fn has_gap(&self, queue: QueueId) -> bool {
        self.is_in_unindexed || self.skipped(queue) > 0
    }

    /// So many messages behind the newest one that is known may be lost, at the most.
    pub(super) fn skipped(&self, queue: QueueId) -> u64 {
        let known = self.known.get(&queue).copied().unwrap_or_default();
        let behind = self.unindexed.iter().filter(|(last, _)| *last > known);
        behind.fold(0, |sum, (_, bytes)| {
            sum.saturating_add(bytes.div_ceil(SENT_OVERHEAD_BYTES as u64))
        })
    }
}
