//! Messages that their consumers gave back: why, and whether the attempt counts.
//!
//! Kept beside what is held of a message, because few messages have it, and until the message is
//! gone, because whoever finds it again, or among dead letters, wants to know.

use std::sync::Arc;

use super::held::{Held, HeldMap};
use super::queue::Messages;
use crate::command::MessageState;
use crate::ids::Seq;
use crate::time::LogTime;

/// What is known of a message that was given back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Return {
    /// Why, when a reason was last given.
    pub(crate) reason: Option<Arc<str>>,
    /// The newest lease was taken off the receive count. Once: who asks twice, not knowing whether
    /// the first time was heard, takes it off once.
    pub(crate) is_uncounted: bool,
}

/// All of a queue's, by their seqs. A clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Returns {
    map: HeldMap<Return>,
    reasons_bytes: u64,
}

impl Return {
    /// Whether giving a message back with these words is still the newest that is known of it.
    pub(crate) fn is_of(&self, is_counted: bool, reason: &str) -> bool {
        !is_counted && self.is_uncounted
            || !reason.is_empty() && self.reason.as_deref() == Some(reason)
    }

    fn reason_bytes(&self) -> u64 {
        self.reason.as_ref().map_or(0, |reason| reason.len() as u64)
    }
}

impl Returns {
    /// How many messages there are.
    pub(crate) fn len(&self) -> u64 {
        self.map.len()
    }

    /// What is known of a message.
    pub(crate) fn get(&self, seq: Seq) -> Option<&Return> {
        self.map.get(seq)
    }

    /// Each message of which something is known, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Seq, &Return)> + '_ {
        self.map.range(..)
    }

    /// Knows this of a message, and nothing else. What says nothing is not kept.
    pub(crate) fn set(&mut self, seq: Seq, known: Return) {
        self.reasons_bytes += known.reason_bytes();
        let before = match known == Return::default() {
            true => self.map.remove(seq),
            false => self.map.insert(seq, known),
        };
        self.reasons_bytes -= before.map_or(0, |before| before.reason_bytes());
    }

    /// The message is gone.
    pub(super) fn remove(&mut self, seq: Seq) {
        self.set(seq, Return::default());
    }

    /// Every message up to `through` is gone.
    pub(super) fn remove_through(&mut self, through: Seq) {
        let gone: Vec<Seq> = self.map.range(..=through).map(|(seq, _)| seq).collect();
        gone.into_iter().for_each(|seq| self.remove(seq));
    }

    /// Bytes on the heap, about; what is shared counts for each.
    pub(super) fn heap_bytes(&self) -> u64 {
        self.map.heap_bytes() + self.reasons_bytes
    }
}

impl Messages {
    /// A message was given back: its lease ends then.
    pub(crate) fn given_back(
        &mut self,
        seq: Seq,
        until: LogTime,
        is_counted: bool,
        reason: Option<&Arc<str>>,
    ) {
        if !self.contains(seq) {
            return;
        }
        let mut known = self.returns.get(seq).cloned().unwrap_or_default();
        if let Some(reason) = reason {
            known.reason = Some(Arc::clone(reason));
        }
        // The compactor may have left out its lease, and kept this for the reason's sake.
        if let Some(mut held) = self.held.get(seq).copied() {
            if !is_counted && !known.is_uncounted {
                held.receive_count = held.receive_count.saturating_sub(1);
                known.is_uncounted = true;
            }
            self.hold(seq, Held { state: MessageState::InFlight { until }, until, ..held });
        }
        self.returns.set(seq, known);
    }

    /// Why a message was last given back, if a reason was told.
    pub(crate) fn reason(&self, seq: Seq) -> Option<&Arc<str>> {
        self.returns.get(seq)?.reason.as_ref()
    }

    /// A message was received: this lease counts.
    pub(super) fn count_again(&mut self, seq: Seq) {
        if let Some(known) = self.returns.get(seq).filter(|known| known.is_uncounted) {
            let reason = known.reason.clone();
            self.returns.set(seq, Return { reason, is_uncounted: false });
        }
    }
}
