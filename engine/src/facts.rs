//! Facts: why a receive gets nothing, or where a message is.
//!
//! Numbers and names, no sentences: whoever shows them finds the words.

use std::path::PathBuf;

use crate::ids::Seq;
use crate::time::LogTime;

/// Something that is so at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The queue has no messages.
    Empty,
    /// Messages wait.
    Waiting {
        /// How many.
        messages: u64,
        /// The one that a receive would get first, if it would get one.
        next: Option<Seq>,
    },
    /// Messages are delayed.
    Delayed {
        /// How many.
        messages: u64,
        /// Not before this the first of them can be received.
        first_due: LogTime,
    },
    /// Messages are in flight, or were given back with a delay.
    InFlight {
        /// How many.
        messages: u64,
        /// When the first of these leases ends.
        first_ends: LogTime,
    },
    /// Messages are being moved to another queue.
    Moving {
        /// How many.
        messages: u64,
    },
    /// Messages are set aside, for their stored bytes are damaged.
    Damaged {
        /// How many.
        messages: u64,
    },
    /// As many messages are in flight as the queue allows.
    InFlightLimit {
        /// How many those are.
        max: u64,
    },
    /// Messages have expired.
    Expired {
        /// Whatever was left of those less than this.
        below: Seq,
        /// When retention removed something last.
        at: LogTime,
    },
    /// In a FIFO queue, groups wait for a message in flight, or one that is being moved.
    GroupsLocked {
        /// How many groups are known.
        groups: u64,
        /// How many of them have such a message.
        locked: u64,
        /// The first such message.
        blocker: Seq,
    },
    /// Groups are noisy: their messages come after those of others.
    GroupsNoisy {
        /// How many are.
        groups: u64,
    },
    /// The queue delays each message.
    QueueDelay {
        /// For so long.
        ms: u64,
    },
    /// Receives wait for a message, and come first.
    ReceivesWait {
        /// How many.
        receives: u64,
    },
    /// The index of the next message is damaged: it comes when that was made anew.
    IndexDamaged {
        /// The message.
        seq: Seq,
    },
    /// The disk is full: sends are refused.
    StorageFull {
        /// What could not be reserved.
        detail: String,
    },
    /// The message waits.
    MessageWaiting {
        /// About how many messages wait that come before it; 0: it is next.
        before: u64,
    },
    /// The message's delay has not passed. Until when is stored with it
    /// ([`StoredMessage::visible_from`](crate::StoredMessage::visible_from)).
    MessageDelayed,
    /// The message was received, and is held back.
    MessageInFlight {
        /// When it was received.
        since: LogTime,
        /// Until when it is held back.
        until: LogTime,
        /// How often it was received.
        receive_count: u32,
    },
    /// The message waits for one of its group that is in flight.
    MessageBehind {
        /// That one.
        blocker: Seq,
    },
    /// The message is being moved to another queue.
    MessageMoving,
    /// The message waits for one of its group that is being moved.
    MessageBehindMoving {
        /// That one.
        moving: Seq,
    },
    /// The message is set aside, for its stored bytes are damaged.
    MessageDamaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// The message is not durable yet.
    MessageNotDurable,
    /// The message is gone: it was acked, or moved to another queue. Nothing remembers which.
    MessageAcked,
    /// The message is gone: it was purged, or acked before that.
    MessagePurged {
        /// When everything up to it was purged.
        at: LogTime,
    },
    /// The message is gone: its retention had passed, unless it was acked or moved before.
    MessageExpired {
        /// When everything less than it, and it, was removed.
        at: LogTime,
    },
    /// No message has this number.
    MessageUnknown {
        /// The number that the next message gets.
        next: Seq,
    },
}
