//! What the engine can be asked, and what it answers.
//!
//! A [`Command`] goes in with a [`ReplyTo`]; exactly one answer comes back through it, when what
//! the answer says is durable. Bodies do not travel in answers: a [`Delivery`] says where the
//! message is stored, and the caller's own thread reads it.

use std::sync::Arc;

use bytes::Bytes;

use crate::attributes::{AttributeChanges, Attributes, TextMap};
use crate::error::RequestError;
use crate::facts::Fact;
use crate::ids::{DeduplicationKey, Group, ProducerId, QueueId, RedriveId, Seq, WaitId};
use crate::location::Location;
use crate::receipt::SealedReceipt;
use crate::stats::Stats;
use crate::time::LogTime;

/// One request to the engine.
#[derive(Debug, Clone)]
pub enum Command {
    /// Creates a queue, or finds the one that is there already. Idempotent: an existing queue
    /// whose attributes equal all that are given is success; otherwise `QueueExists`.
    CreateQueue {
        /// 1 to 80 characters of `A-Za-z0-9_-`; a FIFO queue's, and no other, ends in `.fifo`.
        name: String,
        /// Those given; the rest take their defaults.
        attributes: Box<AttributeChanges>,
    },
    /// Changes the attributes given, from now on.
    AlterQueue {
        /// The queue's name.
        name: String,
        /// Those given; the rest stay as they are.
        attributes: Box<AttributeChanges>,
    },
    /// A queue's attributes and counts.
    DescribeQueue {
        /// The queue's name.
        name: String,
    },
    /// Queues in the order of their names.
    ListQueues {
        /// Only names that start so.
        prefix: String,
        /// Only names after this one; empty for all.
        after: String,
        /// At most this many, 1 to [`LIST_QUEUES_MAX`].
        max: u32,
    },
    /// Adds tags to those that the queue has, in the place of those of the same keys.
    TagQueue {
        /// The queue's name.
        name: String,
        /// By their keys.
        tags: TextMap,
    },
    /// Takes tags away; a key that the queue has no tag of changes nothing.
    UntagQueue {
        /// The queue's name.
        name: String,
        /// The keys.
        keys: Vec<String>,
    },
    /// The queues that have this one as their dead-letter queue, in the order of their names.
    ListDeadLetterSources {
        /// The queue's name.
        name: String,
        /// Only names after this one; empty for all.
        after: String,
        /// At most this many, 1 to [`LIST_QUEUES_MAX`].
        max: u32,
    },
    /// Deletes every message of the queue: waiting, delayed and in flight.
    PurgeQueue {
        /// The queue's name.
        name: String,
    },
    /// Deletes the queue with all its messages.
    DeleteQueue {
        /// The queue's name.
        name: String,
    },
    /// Stores messages: all or none.
    Send {
        /// The queue's name.
        queue: String,
        /// 1 to [`BATCH_MESSAGES_MAX`] messages.
        messages: Vec<NewMessage>,
        /// With it the messages, the same each time, land once however often they are sent, also after
        /// a restart. (In a FIFO queue deduplication sees to that.)
        batch: Option<ProducerBatch>,
    },
    /// Leases messages to the caller, waiting for one if there is none.
    Receive {
        /// The queue's name.
        queue: String,
        /// At most this many, 1 to [`BATCH_MESSAGES_MAX`].
        max: u32,
        /// How long to wait for the first message, in ms, 0 to 20 s; `None`: the queue's attribute.
        wait_ms: Option<u64>,
        /// The visibility timeout in ms, 0 to 12 h; `None`: the queue's attribute.
        visibility_ms: Option<u64>,
        /// Stop before the bodies exceed this many bytes; one message is always given.
        bytes_max: u64,
        /// What the receiver calls the attempt. From a FIFO queue the same attempt, asked again within
        /// five minutes, gets the same messages and receipts, as long as none of them was deleted or
        /// had its visibility changed; their timeout begins again.
        attempt: Option<String>,
    },
    /// Leases messages to the caller as soon as there are any. Waits in line with the receives
    /// that wait, but without an end: until [`Command::EndWait`], or until the queue is deleted.
    /// A full disk does not refuse it: it waits for room.
    Await {
        /// The queue's number: one of the same name that comes later is another queue.
        queue: QueueId,
        /// What ends the wait.
        wait: WaitId,
        /// At most this many, 1 to [`BATCH_MESSAGES_MAX`].
        max: u32,
        /// The visibility timeout in ms, 0 to 12 h; `None`: the queue's attribute, as it is when
        /// messages are leased.
        visibility_ms: Option<u64>,
        /// Stop before the bodies exceed this many bytes; one message is always given.
        bytes_max: u64,
    },
    /// Ends a wait without an end: it is answered with no messages, if it is not answered yet.
    EndWait {
        /// Its number.
        wait: WaitId,
    },
    /// Deletes received messages.
    Ack {
        /// The queue's name.
        queue: String,
        /// 1 to [`BATCH_MESSAGES_MAX`] receipts.
        receipts: Vec<SealedReceipt>,
    },
    /// Lets leases end that many ms from now; 0 makes the message visible at once.
    ChangeVisibility {
        /// The queue's name.
        queue: String,
        /// Receipt and new visibility timeout in ms, 0 to 12 h from the receive.
        changes: Vec<(SealedReceipt, u64)>,
    },
    /// As [`Command::ChangeVisibility`], but of the message, whoever has received it since: the newest
    /// lease of the message is changed (SQS). Of a FIFO queue only as long as the receipt's own lasts.
    ChangeVisibilityOfMessage {
        /// The queue's name.
        queue: String,
        /// As in [`Command::ChangeVisibility`].
        changes: Vec<(SealedReceipt, u64)>,
    },
    /// Gives received messages back, saying why.
    Nack {
        /// The queue's name.
        queue: String,
        /// 1 to [`BATCH_MESSAGES_MAX`] receipts.
        receipts: Vec<SealedReceipt>,
        /// Not visible before this many ms from now, 0 to 12 h from the receive.
        delay_ms: u64,
        /// False: this attempt is taken off the receive count again.
        is_counted: bool,
        /// Why, at most [`REASON_BYTES_MAX`](crate::record::REASON_BYTES_MAX) bytes; empty leaves
        /// the reason that the messages have.
        reason: String,
    },
    /// Gives messages back that were leased to a caller who never got them, or who has gone: their
    /// leases end, and no error is told of those whose lease ended already.
    ReturnUndelivered {
        /// The queue's name.
        queue: String,
        /// What was leased.
        receipts: Vec<SealedReceipt>,
        /// Not visible before this many ms from now.
        delay_ms: u64,
    },
    /// Takes a message whose stored bytes are damaged out of delivery until the store is opened
    /// again; it is counted in [`QueueInfo::damaged`].
    SetAside {
        /// The queue.
        queue: QueueId,
        /// The message.
        seq: Seq,
    },
    /// Deletes received messages and stores others, in any queues: all of it or nothing. At most
    /// [`BATCH_MESSAGES_MAX`] receipts and messages together. Refused with `TransactionRefused`,
    /// which names the first item that cannot be done; the acks are looked at first.
    Transact {
        /// What is deleted: here a message must be there.
        acks: Vec<TransactAcks>,
        /// What is stored.
        sends: Vec<TransactSends>,
    },
    /// Shows messages in the order of their numbers, touching nothing.
    Peek {
        /// The queue's name.
        queue: String,
        /// From this message on.
        from: Seq,
        /// At most this many, 1 to [`BATCH_MESSAGES_MAX`].
        max: u32,
        /// Stop before the bodies exceed this many bytes; one message is always given.
        bytes_max: u64,
        /// Which messages. A request looks at a bounded number of them, so an answer may have few or
        /// none, and say where to go on.
        filter: PeekFilter,
    },
    /// Tells why a receive would get nothing, or where a message is.
    Explain {
        /// The queue's name.
        queue: String,
        /// The message; `None`: the queue.
        seq: Option<Seq>,
    },
    /// Moves the messages of a dead-letter queue back to the queues that they came from, or to
    /// another one: those that are there now, in the background, the oldest first.
    StartRedrive {
        /// The dead-letter queue's name.
        queue: String,
        /// The queue that gets them; empty: each goes to the queue that it came from.
        destination: String,
        /// Messages a second, up to [`REDRIVE_RATE_MAX`]; 0: no limit.
        rate: u64,
    },
    /// The redrives of a queue: the one that runs, and the last that ended.
    ListRedrives {
        /// The queue's name.
        queue: String,
    },
    /// Ends a redrive; what it has moved stays moved.
    CancelRedrive {
        /// Its number.
        redrive: RedriveId,
    },
    /// Tells what the engine holds and has done.
    Stats,
}

/// Which batch of an idempotent producer a send is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Who sends, drawn at random.
    pub producer: ProducerId,
    /// The batch's number, greater than those before it.
    pub number: u64,
    /// The oldest batch that is not answered: none before it is sent again. No more than
    /// [`PRODUCER_BATCHES_MAX`] from it on are known.
    pub oldest: u64,
}

/// What a transaction deletes of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactAcks {
    /// The queue's name.
    pub queue: String,
    /// At least one receipt; of each message one.
    pub receipts: Vec<SealedReceipt>,
}

/// What a transaction stores in one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactSends {
    /// The queue's name.
    pub queue: String,
    /// At least one message.
    pub messages: Vec<NewMessage>,
}

/// Messages that were stored: their numbers are `first`, `first + 1`, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessages {
    /// The queue's number.
    pub queue: QueueId,
    /// The first message's number.
    pub first: Seq,
    /// How many.
    pub count: u32,
    /// In a FIFO queue, if some were copies of messages sent before: the message that each one is,
    /// or is a copy of. Else empty: the numbers follow the first.
    pub seqs: Vec<Seq>,
}

/// The fastest redrive that has a rate, in messages a second.
pub const REDRIVE_RATE_MAX: u64 = 100_000;

/// The longest name of a receive that may be asked again, in bytes (SQS).
pub const ATTEMPT_BYTES_MAX: u64 = 128;

/// The most messages, receipts or changes in one command.
pub const BATCH_MESSAGES_MAX: usize = 4096;

/// The most batches of one producer of which it is known whether they have landed.
pub const PRODUCER_BATCHES_MAX: usize = 1024;

/// The most queues in one answer to [`Command::ListQueues`].
pub const LIST_QUEUES_MAX: u32 = 1000;

/// The bytes of attributes' texts at which an answer to [`Command::ListQueues`] ends; one queue is
/// always given.
pub const LIST_TEXTS_BYTES_MAX: usize = 1 << 20;

/// A message to be stored. Attributes and body are stored as they come; `checksum` was set by the
/// producer over both ([`crate::checksum::message`]) and must have been checked by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Not visible before this many ms from now; `None`: the queue's attribute.
    pub delay_ms: Option<u64>,
    /// [`crate::checksum::message`] of `attributes_bytes` and `payload`.
    pub checksum: u32,
    /// How many bytes at the start of `payload` are attributes.
    pub attributes_bytes: u32,
    /// Attributes, then the body.
    pub payload: Bytes,
    /// What tells a second copy of the message, in a queue that looks for such.
    pub deduplication: Deduplication,
}

/// What a message and its copies have in common: the first 16 bytes of a SHA-256. The caller makes
/// it, so that no hash is made on the engine's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deduplication {
    /// The message has neither deduplication id nor group.
    #[default]
    None,
    /// Of `0x01`, then the deduplication id.
    Id(DeduplicationKey),
    /// Of `0x01`, then the SHA-256 of the body in hexadecimal, which stands for the id: the message has a
    /// group, and no deduplication id.
    Content(DeduplicationKey),
}

/// The answer to a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To `CreateQueue`.
    Created {
        /// The queue's number.
        queue: QueueId,
        /// False when it was there already.
        created: bool,
    },
    /// To `AlterQueue`.
    Altered,
    /// To `DescribeQueue`.
    Described(QueueInfo),
    /// To `ListQueues`.
    Listed {
        /// In the order of their names.
        queues: Vec<QueueInfo>,
        /// Whether there are more after the last.
        more: bool,
    },
    /// To `TagQueue`.
    Tagged,
    /// To `UntagQueue`.
    Untagged,
    /// To `ListDeadLetterSources`.
    DeadLetterSources {
        /// Their names, in order.
        names: Vec<String>,
        /// Whether there are more after the last.
        more: bool,
    },
    /// To `PurgeQueue`.
    Purged {
        /// How many messages were deleted.
        count: u64,
    },
    /// To `DeleteQueue`.
    Deleted,
    /// To `Send`.
    Sent(StoredMessages),
    /// To `Receive` and `Await`; empty when the wait ended without a message.
    Received {
        /// The queue's number.
        queue: QueueId,
        /// What was leased, in order.
        deliveries: Vec<Delivery>,
    },
    /// To `Ack`, `ChangeVisibility`, `Nack` and `ReturnUndelivered`: those that failed.
    Changed {
        /// Index into the command's list, and why.
        failures: Vec<(u32, RequestError)>,
    },
    /// To `EndWait`.
    WaitEnded,
    /// To `SetAside`.
    SetAside,
    /// To `Transact`.
    Transacted {
        /// What was stored, in the order of the command.
        sent: Vec<StoredMessages>,
    },
    /// To `Peek`.
    Peeked {
        /// The queue's number.
        queue: QueueId,
        /// In the order of their numbers.
        messages: Vec<Peeked>,
        /// Where to go on; `None` at the end.
        next: Option<Seq>,
    },
    /// To `Explain`.
    Explained {
        /// The queue's number.
        queue: QueueId,
        /// When all of it was so.
        now: LogTime,
        /// What is so.
        facts: Vec<Fact>,
    },
    /// To `StartRedrive`.
    RedriveStarted {
        /// Its number.
        redrive: RedriveId,
        /// How many messages are in the queue.
        to_move: u64,
    },
    /// To `ListRedrives`.
    RedrivesListed {
        /// The newest first.
        redrives: Vec<RedriveInfo>,
    },
    /// To `CancelRedrive`.
    RedriveCancelled {
        /// How many messages it has moved.
        moved: u64,
    },
    /// The engine's figures.
    Stats(Box<Stats>),
}

/// What is known of a redrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveInfo {
    /// Its number.
    pub redrive: RedriveId,
    /// Whether it runs, or how it ended.
    pub state: RedriveState,
    /// The dead-letter queue whose messages it moves.
    pub source: String,
    /// The queue that gets them; empty: each goes to the queue that it came from.
    pub destination: String,
    /// Messages a second; 0: no limit.
    pub rate: u64,
    /// How many it has moved.
    pub moved: u64,
    /// How many were in the queue when it started.
    pub to_move: u64,
    /// When that was.
    pub started: LogTime,
    /// When it ended.
    pub ended: Option<LogTime>,
    /// Why it failed; empty if it did not.
    pub reason: String,
}

/// Whether a redrive runs, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedriveState {
    /// It moves messages.
    Running,
    /// Nothing that it could move was left.
    Completed,
    /// Somebody cancelled it.
    Cancelled,
    /// It could not go on.
    Failed,
}

/// A queue's attributes and counts at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueInfo {
    /// The queue's name.
    pub name: String,
    /// Its number.
    pub id: QueueId,
    /// When it was created.
    pub created: LogTime,
    /// When its attributes last changed.
    pub modified: LogTime,
    /// All attributes, shared with the queue.
    pub attributes: Arc<Attributes>,
    /// What it holds.
    pub counts: Counts,
    /// The number that the next message will get.
    pub next_seq: Seq,
}

/// How many messages a queue holds in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Visible: a receive would get them.
    pub waiting: u64,
    /// Leased to a consumer.
    pub in_flight: u64,
    /// Sent with a delay that has not passed.
    pub delayed: u64,
    /// Set aside because their stored bytes are damaged.
    pub damaged: u64,
}

/// A leased message: what the consumer needs, and where the body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message's number.
    pub seq: Seq,
    /// The handle to ack it with.
    pub receipt: SealedReceipt,
    /// How often it was received from this queue, this time included. Of a dead letter its
    /// [`DeadLetter`](crate::DeadLetter) has more, as of when it was sent and first received.
    pub receive_count: u32,
    /// When it was sent.
    pub sent: LogTime,
    /// When it was first received.
    pub first_received: LogTime,
    /// Why it was last given back to this queue, if a reason was told. That of a dead letter's
    /// queues before is in its [`DeadLetter`](crate::DeadLetter).
    pub reason: Option<Arc<str>>,
    /// Where it is stored.
    pub location: Location,
}

/// Which messages [`Command::Peek`] shows; by default all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeekFilter {
    /// Those in one of these states.
    pub states: States,
    /// Those that were sent after this.
    pub since: Option<LogTime>,
    /// Those of this group, as [`group_of`](crate::attributes_section::group_of) says it; now and
    /// then also those of another group that it says the same of.
    pub group: Option<Group>,
}

/// States of messages; by default all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct States {
    /// [`MessageState::Waiting`].
    pub waiting: bool,
    /// [`MessageState::InFlight`].
    pub in_flight: bool,
    /// [`MessageState::Delayed`].
    pub delayed: bool,
    /// [`MessageState::Damaged`].
    pub damaged: bool,
}

impl States {
    /// None of them, to which some are added.
    pub const NONE: States =
        States { waiting: false, in_flight: false, delayed: false, damaged: false };

    /// Whether this state is one of them.
    pub fn contains(self, state: MessageState) -> bool {
        match state {
            MessageState::Waiting => self.waiting,
            MessageState::InFlight { .. } => self.in_flight,
            MessageState::Delayed => self.delayed,
            MessageState::Damaged => self.damaged,
        }
    }
}

impl Default for States {
    fn default() -> Self {
        Self { waiting: true, in_flight: true, delayed: true, damaged: true }
    }
}

/// A message seen by [`Command::Peek`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    /// The message's number.
    pub seq: Seq,
    /// Its state.
    pub state: MessageState,
    /// Until when its queue's delay holds it back; a delay of its own is stored with it.
    pub visible_from: Option<LogTime>,
    /// How often it was received.
    pub receive_count: u32,
    /// When it was sent.
    pub sent: LogTime,
    /// Why it was last given back to this queue, if a reason was told.
    pub reason: Option<Arc<str>>,
    /// Where it is stored.
    pub location: Location,
}

/// The state of a message that is in its queue.
///
/// ```text
///   send ──▶ Delayed ──due──▶ Waiting ──receive──▶ InFlight ──ack──▶ (gone)
///     └─────── no delay ────────▲  ▲                   │
///                               └──┴── lease ended ────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// A receive would get it.
    Waiting,
    /// Leased until then.
    InFlight {
        /// The lease's end.
        until: LogTime,
    },
    /// Not visible yet; until when is stored with the message
    /// ([`StoredMessage::visible_from`](crate::StoredMessage::visible_from)).
    Delayed,
    /// Set aside: its stored bytes are damaged.
    Damaged,
}

/// Where an answer goes. Called on the core's thread: must not block.
pub trait ReplyTo: Send + 'static {
    /// Gives the answer.
    fn reply(self, result: Result<Reply, RequestError>);

    /// Whether nobody can hear the answer any more: a waiting receive of a closed connection is
    /// then dropped instead of served.
    fn is_gone(&self) -> bool;
}
