//! The errors of the engine, by scope: of one request, of opening a store, of a running store.
//!
//! Each says what was wrong, where, what was expected and what was found.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::DiskError;
use crate::ids::{Position, QueueId, RedriveId, Seq};
use crate::unit::Unit;

/// Why one request was refused. Concerns nobody else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No queue has this name.
    #[error("queue \"{name}\" does not exist")]
    UnknownQueue {
        /// The name asked for.
        name: String,
    },
    /// `CreateQueue` of an existing queue with another attribute.
    #[error("queue \"{name}\" exists with {attribute} {current}, not {given}")]
    QueueExists {
        /// The queue's name.
        name: String,
        /// The first attribute that differs.
        attribute: &'static str,
        /// The value in the request, in words, cut to 100 characters.
        given: String,
        /// The queue's value, likewise.
        current: String,
    },
    /// A name outside 1 to 80 characters of `A-Za-z0-9_-`, with `.fifo` at the end of a FIFO
    /// queue's and no other.
    #[error(
        "queue name {name:?}: {reason}; a name is 1 to 80 characters of A-Z a-z 0-9 _ -, \
         and ends in .fifo if the queue is FIFO"
    )]
    BadQueueName {
        /// The name, cut to 100 characters.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An attribute that does not exist.
    #[error("no attribute has the id {id}")]
    UnknownAttribute {
        /// Its number.
        id: u16,
    },
    /// An attribute whose value breaks a rule, by itself or beside another one.
    #[error("{attribute} is {value}, expected {expected}")]
    AttributeInvalid {
        /// The attribute.
        attribute: &'static str,
        /// What it would be, in words, cut to 100 characters.
        value: String,
        /// What it should be.
        expected: String,
    },
    /// A number outside its range.
    #[error("{}", out_of_range(parameter, *unit, *value, *min, *max))]
    OutOfRange {
        /// The parameter.
        parameter: &'static str,
        /// What it counts.
        unit: Unit,
        /// What was given.
        value: u64,
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// A batch without messages, receipts or changes.
    #[error("the batch is empty, expected at least one {item}")]
    EmptyBatch {
        /// What a batch of this kind holds.
        item: &'static str,
    },
    /// A batch with too many messages, receipts or changes.
    #[error("the batch has {count} {item}s, expected at most {max}")]
    TooManyInBatch {
        /// What a batch of this kind holds.
        item: &'static str,
        /// How many it has.
        count: usize,
        /// The most it may have.
        max: usize,
    },
    /// A message over the queue's limit.
    #[error("message {index} of the batch has {bytes} bytes, queue \"{queue}\" allows {max}")]
    MessageTooLarge {
        /// The queue's name.
        queue: String,
        /// The message's index in the batch, from 0.
        index: usize,
        /// Its size: the body, and name, type and value of each attribute.
        bytes: u64,
        /// The queue's limit.
        max: u64,
    },
    /// A batch that cannot be stored as one entry.
    #[error("the batch needs {bytes} bytes in the log, expected at most {max}")]
    BatchTooLarge {
        /// The bytes it would take.
        bytes: u64,
        /// The most one command may take.
        max: u64,
    },
    /// A message that its queue does not take as it is.
    #[error("message {index} of the batch: {reason}")]
    MessageInvalid {
        /// The message's index in the batch, from 0.
        index: usize,
        /// What is wrong with it, and what was expected.
        reason: &'static str,
    },
    /// A batch of which it is not known any more whether it has landed.
    #[error(
        "batch {batch} is too old to know whether it has landed: of this producer batches from \
         {oldest} on are known"
    )]
    BatchForgotten {
        /// The batch's number.
        batch: u64,
        /// The oldest that is known.
        oldest: u64,
    },
    /// A receipt that this store did not make.
    #[error("the receipt is not valid: {reason}")]
    ReceiptInvalid {
        /// What is wrong with it.
        reason: String,
    },
    /// A receipt that this store made for another queue, which may be an earlier one of the same name.
    #[error("the receipt is not valid: it is of queue {of}, not of queue {queue}")]
    ReceiptOfOtherQueue {
        /// The queue that it is of.
        of: QueueId,
        /// The queue that was asked.
        queue: QueueId,
    },
    /// A receipt of an earlier receive: the message was received again since.
    #[error("the receipt is stale: message {seq} was received again since")]
    ReceiptStale {
        /// The message.
        seq: Seq,
    },
    /// A receipt of a FIFO queue whose lease has ended.
    #[error("the receipt has expired: the lease of message {seq} has ended")]
    ReceiptExpired {
        /// The message.
        seq: Seq,
    },
    /// A queue that has as many messages in flight as it may.
    #[error("queue \"{queue}\" has as many messages in flight as it may: its maximum is {max}")]
    InFlightFull {
        /// The queue's name.
        queue: String,
        /// Its limit.
        max: u64,
    },
    /// A receive that cannot be made again: who got its messages has deleted or changed some.
    #[error(
        "attempt {attempt:?} cannot be made again: of the messages that it got one was acked, \
         or its visibility changed, since"
    )]
    AttemptSpent {
        /// What the receive is called.
        attempt: String,
    },
    /// The receipt's message is no longer in the queue.
    #[error("message {seq} is no longer in the queue")]
    MessageGone {
        /// The message.
        seq: Seq,
    },
    /// A transaction with an item that cannot be done: nothing was.
    #[error("{item}: {cause}")]
    TransactionRefused {
        /// Which item, as a path into the command: `acks[0].receipts[2]`.
        item: String,
        /// Why.
        cause: Box<RequestError>,
    },
    /// A redrive of a queue that is no queue's dead-letter queue.
    #[error("queue \"{name}\" is the dead-letter queue of no queue")]
    NotDeadLetterQueue {
        /// The queue's name.
        name: String,
    },
    /// A redrive to a queue that cannot have the messages.
    #[error("the destination is queue \"{name}\", expected {expected}")]
    BadDestination {
        /// The destination's name.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A second redrive of one queue.
    #[error("redrive {redrive} of queue \"{name}\" is running, expected none")]
    RedriveRunning {
        /// The queue's name.
        name: String,
        /// The one that runs.
        redrive: RedriveId,
    },
    /// One redrive too many.
    #[error("{max} redrives are running, expected fewer")]
    TooManyRedrives {
        /// The most that run at once.
        max: usize,
    },
    /// No such redrive runs.
    #[error("redrive {redrive} does not run: {reason}")]
    UnknownRedrive {
        /// The one that was named.
        redrive: RedriveId,
        /// How it ended, or that none is known.
        reason: &'static str,
    },
    /// The log cannot grow, as a rule because the disk is full. Sends are refused; receives and
    /// deletes go on in what is reserved for them.
    #[error("there is no space in the log: {detail}")]
    StorageFull {
        /// What could not be reserved.
        detail: String,
    },
    /// The log failed: whether the request took effect is known only after a restart.
    #[error("the outcome is unknown, the log failed: {cause}")]
    StorageFailed {
        /// The first failure.
        cause: String,
    },
    /// The store is being closed; nothing was done.
    #[error("the store is shutting down")]
    ShuttingDown,
}

/// In the words in which a duration or a size is given.
fn out_of_range(parameter: &str, unit: Unit, value: u64, min: u64, max: u64) -> String {
    let [value, min, max] = [value, min, max].map(|number| unit.shown(number));
    format!("{parameter} is {value}, expected {min} to {max}")
}

/// Why a store could not be opened. Nothing was changed, unless said.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A disk operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process has the store open.
    #[error("{} is in use by another process: {detail}", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as far as known.
        detail: String,
    },
    /// The directory holds other files and no store.
    #[error("{} is not a Forebay store: it holds \"{found}\" and no store.toml", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// The first unexpected name in it.
        found: String,
    },
    /// The store was written in a format that this version does not know.
    #[error("{} has format version {found}, this Forebay knows up to {supported}", path.display())]
    FormatTooNew {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        supported: u32,
    },
    /// An option outside its range.
    #[error("option {name} is {value}, expected {expected}")]
    BadOption {
        /// The option.
        name: &'static str,
        /// Its value.
        value: u64,
        /// What it should be.
        expected: String,
    },
    /// A store that was opened as often as a store can be.
    #[error(
        "the store was opened {count} times, as often as it can be: its leases have no more numbers"
    )]
    OpeningsUsedUp {
        /// How often.
        count: u32,
    },
    /// Bytes below the durable position are not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(#[from] Damage),
    /// The operating system gave no randomness.
    #[error("no random bytes from the operating system: {0}")]
    Random(String),
}

/// Bytes on disk that are not what was written, with their exact extent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} at offset {offset}, {bytes} bytes: {detail}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where the damage begins.
    pub offset: u64,
    /// How many bytes are concerned; 0 when unknown or when the file is missing.
    pub bytes: u64,
    /// The entry concerned, when known.
    pub position: Option<Position>,
    /// What was expected, what was found, and what is lost with it.
    pub detail: String,
}

/// The first failure of the log's writer: kept, shown to every later request, and the reason why
/// the process must leave.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log failed and takes no more writes until the store is opened again: {cause}")]
pub struct LogFailure {
    /// What failed.
    pub cause: Arc<DiskError>,
}

/// Why a stored message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk did not give the bytes.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The bytes are not what was written.
    #[error("message damaged: {0}")]
    Damaged(#[from] Damage),
}
