//! What is remembered of messages that are gone: no more than what took many of them at once.

use super::queue::Messages;
use crate::ids::Seq;
use crate::time::LogTime;

/// What is remembered. Whatever else takes many messages at once belongs beside these, in
/// [`Past::end_of`], and at the end of the snapshot's section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Past {
    /// The newest purge whose time is known.
    pub(crate) last_purge: Option<Swept>,
    /// What retention removed last.
    pub(crate) last_expiry: Option<Expiry>,
}

/// Every message up to one was gone at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) through: Seq,
    pub(crate) at: LogTime,
}

/// Every message below one had expired at a time, and so had late ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) below: Seq,
    pub(crate) at: LogTime,
    /// Every late message that was sent before this had expired.
    pub(crate) late_before: LogTime,
}

/// How a message that is gone may have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In the purge at that time, unless it was acked before.
    Purged(LogTime),
    /// Its retention had passed at that time, unless it was acked or moved before.
    Expired(LogTime),
    /// It was acked or moved to another queue; or it came late and expired.
    Acked,
}

impl Past {
    /// How a message that is gone has ended.
    pub(crate) fn end_of(&self, seq: Seq) -> End {
        let purged = self.last_purge.filter(|purge| seq <= purge.through).map(|purge| purge.at);
        let expired = self.last_expiry.filter(|expiry| seq < expiry.below).map(|expiry| expiry.at);
        match (purged, expired) {
            (Some(at), expired) if expired.is_none_or(|expired| at <= expired) => End::Purged(at),
            (_, Some(at)) => End::Expired(at),
            (_, None) => End::Acked,
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

    /// Every message less than `below` had expired at that time, and every late one that was sent
    /// before `late_before`.
    pub(crate) fn expired(&mut self, below: Seq, at: LogTime, late_before: LogTime) {
        self.swept(Seq(below.0.saturating_sub(1)));
        self.late_expired(late_before);
        self.past.last_expiry = Some(Expiry { below, at, late_before });
    }
}
