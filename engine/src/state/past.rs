//! What is remembered of messages that are gone: no more than what took many of them at once.

use super::queue::Messages;
use crate::ids::Seq;
use crate::time::LogTime;

/// What is remembered. Whatever else takes many messages at once belongs beside the purge, in
/// [`Past::end_of`], and at the end of the snapshot's section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Past {
    /// The newest purge whose time is known.
    pub(crate) last_purge: Option<Swept>,
}

/// Every message up to one was gone at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) through: Seq,
    pub(crate) at: LogTime,
}

/// How a message that is gone may have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In the purge at that time, unless it was acked before.
    Purged(LogTime),
    /// It was acked.
    Acked,
}

impl Past {
    /// How a message that is gone has ended.
    pub(crate) fn end_of(&self, seq: Seq) -> End {
        match self.last_purge.filter(|purge| seq <= purge.through) {
            Some(purge) => End::Purged(purge.at),
            None => End::Acked,
        }
    }
}

impl Messages {
    /// What is remembered of messages that are gone.
    pub(crate) fn past(&self) -> &Past {
        &self.past
    }

    /// Every message up to `through` was purged at that time, if it is known.
    pub(crate) fn purged_at(&mut self, through: Seq, time: Option<LogTime>) {
        self.purged(through);
        if let Some(at) = time {
            self.past.last_purge = Some(Swept { through, at });
        }
    }
}
