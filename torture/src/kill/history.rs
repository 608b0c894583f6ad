//! What clients did to a server that was killed under them, and what they were told.
//!
//! A call ends in one of three ways: it was answered, it was not done, or nobody knows. The checker
//! reads nothing else, so a history is all that is needed to judge a server, by hand too: it is
//! written as JSON, a call a line.

use std::collections::BTreeSet;

use serde::Serialize;

/// A message, by the number in its body. Never used twice in a round.
pub type Number = u64;

/// Microseconds since the campaign began, on a clock that does not jump.
pub type Micros = u64;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was answered: it is done, and durable.
    Ok,
    /// It was not done, and will not be.
    Failed,
    /// Its answer was lost: it may be done.
    Unknown,
}

/// One call.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// Which start of the server it was made to.
    pub life: u32,
    /// When it was made.
    pub began: Micros,
    /// When its end was known.
    pub ended: Micros,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, or why nobody knows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What the server refused it with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// What was asked, and what was answered.
    #[serde(flatten)]
    pub what: What,
}

/// What a call asked, and what it was answered.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum What {
    /// A batch of messages.
    Send {
        /// The queue.
        queue: &'static str,
        /// In the order of the batch.
        messages: Vec<SentMessage>,
    },
    /// A receive, and what it got.
    Receive {
        /// The queue.
        queue: &'static str,
        /// How long the messages were to stay leased, in ms.
        visibility_ms: u64,
        /// In the order in which they came.
        deliveries: Vec<Delivery>,
    },
    /// Deletions.
    Ack {
        /// The queue.
        queue: &'static str,
        /// The messages, but those whose receipt was refused because it was too old.
        messages: Vec<Number>,
        /// Those whose receipt the server did not know as its own.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        invalid: Vec<Number>,
    },
    /// Messages that were given back, or whose lease was to end at another time.
    Release {
        /// The queue.
        queue: &'static str,
        /// The messages.
        messages: Vec<Number>,
    },
    /// Deletions and a batch of messages, all or nothing.
    Transact {
        /// The queue of what was deleted.
        from: &'static str,
        /// What was deleted.
        acked: Vec<Number>,
        /// The queue of what was sent.
        to: &'static str,
        /// What was sent.
        messages: Vec<SentMessage>,
    },
    /// A queue was emptied.
    Purge {
        /// The queue.
        queue: &'static str,
    },
    /// What a queue says that it holds, when everything is to be gone.
    Count {
        /// The queue.
        queue: &'static str,
        /// Messages that wait, are leased, are delayed, and are damaged.
        messages: [u64; 4],
    },
}

/// A message of a send.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SentMessage {
    /// The message.
    pub number: Number,
    /// Its group; 0 where there are none.
    pub group: u32,
    /// How long it was to be delayed, in ms.
    pub delay_ms: u64,
    /// The number that its queue gave it, if that is known; else 0.
    pub seq: u64,
}

/// A message that came.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// What its body says that it is.
    pub content: Content,
    /// Its number in the queue that it came from.
    pub seq: u64,
    /// Its number in the queue that it was sent to.
    pub origin_seq: u64,
    /// How often it was received, this time included.
    pub receive_count: u32,
}

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Byte for byte that of this message.
    Message(Number),
    /// That of a message of a round before, all of which were deleted.
    Before {
        /// The round.
        round: u32,
        /// The message.
        number: Number,
    },
    /// None that was ever sent: its first bytes.
    Garbage(String),
    /// One that did not match its checksum.
    Damaged,
}

/// All calls of a round. A round ends with every queue drained.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In the order in which they ended.
    pub calls: Vec<Call>,
    /// Whether the queues were emptied at the end: then what was sent and never deleted is lost.
    pub drained: bool,
    /// Whether something was lost that was not synced: answered sends to [`queues::WRITTEN`] may be.
    pub power_was_cut: bool,
    /// Whether reads of the store failed: what the disk did not give was received, and came to nobody.
    pub reads_failed: bool,
    /// Lives of the server that ended in order, with SIGTERM and exit status 0.
    pub stopped: BTreeSet<u32>,
    /// The life whose receives show everything that is there, and delete nothing.
    pub inventory: Option<u32>,
}

/// The queues that a campaign uses, and what each is there for.
pub mod queues {
    /// Sends whose answer was lost are not repeated; deleted by acks and by transactions.
    pub const PLAIN: &str = "plain";
    /// What transactions send when they delete from [`PLAIN`].
    pub const DONE: &str = "done";
    /// Messages with delays.
    pub const LATE: &str = "late";
    /// Batches with a producer's numbers, repeated until they are answered.
    pub const ONCE: &str = "once";
    /// Groups and deduplication ids, repeated until they are answered.
    pub const ORDERS: &str = "orders.fifo";
    /// Messages that are given back until they are dead letters.
    pub const RETRY: &str = "retry";
    /// Sends are answered before they are synced: a power cut may take them, a kill may not.
    pub const WRITTEN: &str = "written";
    /// The dead-letter queue of [`RETRY`].
    pub const DEAD: &str = "dead";
    /// How often [`RETRY`] delivers a message before it is a dead letter.
    pub const RECEIVE_COUNT_MAX: u32 = 3;
    /// All of them.
    pub const ALL: [&str; 8] = [PLAIN, DONE, LATE, ONCE, ORDERS, WRITTEN, RETRY, DEAD];
    /// Those that are purged now and then. What is sent to them again would be stored again, and dead letters may
    /// be on their way: so these are none of the others.
    pub const PURGED: [&str; 2] = [LATE, WRITTEN];

    /// Whether no send to `queue` is repeated, and none is answered before it is durable: each that is answered
    /// was made durable after it was made.
    pub(crate) fn is_sent_once(queue: &str) -> bool {
        [PLAIN, LATE, RETRY].contains(&queue)
    }

    /// Whether a message that was sent to `home` may come from `queue`.
    pub(crate) fn may_come_from(home: &str, queue: &str) -> bool {
        home == queue || (home == RETRY && queue == DEAD)
    }
}
