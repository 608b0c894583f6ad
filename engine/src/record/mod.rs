//! Records: one fact each (FORMAT.md section 3.2).
//!
//! A record is an effect with absolute times, decided once. [`Record::decode`] reads one from
//! bytes; the functions of [`RecordWriter`] write one behind the others. Whoever changes the
//! state does it by applying a decoded record, live and in recovery alike.

mod attributes;
mod decode;
mod list;
mod moved;
mod write;

use crate::attributes_section::AttributesSection;
use crate::checksum;
use crate::ids::{DeduplicationKey, Epoch, Group, LeaseId, Position, ProducerId, QueueId, Seq};
use crate::time::LogTime;

pub use attributes::EncodedAttributes;
pub(crate) use attributes::put_attributes;
pub(crate) use decode::{RecordFrame, take_seq};
pub use list::{Item, Lease, LeaseList, List};
pub use moved::{MOVED_OVERHEAD_BYTES, Moved, RedriveEnded, RedriveOutcome, RedriveStarted};
pub(crate) use moved::{MOVED_REASON_BYTES_MAX, take_moved, take_redrive};
pub use write::RecordWriter;
pub(crate) use write::seal_record;

/// Bytes before a record's fields.
pub const RECORD_HEADER_BYTES: usize = 12;

/// Where the seal stands in a record.
const SEAL_AT: usize = 8;

/// The bytes that storing a message takes beyond its payload, without the optional fields.
pub const SENT_OVERHEAD_BYTES: usize = RECORD_HEADER_BYTES + 28;

/// When it is delayed: until when.
pub const SENT_DELAY_BYTES: usize = 8;

/// Its deduplication key, and when it was sent, if copies are looked for: then the delay is written
/// in any case.
pub const SENT_DEDUPLICATION_BYTES: usize = 24;

/// The fields of a message's record take no more.
const SENT_FIELDS_BYTES_MAX: usize =
    SENT_OVERHEAD_BYTES - RECORD_HEADER_BYTES + SENT_DELAY_BYTES + SENT_DEDUPLICATION_BYTES;

/// One fact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Record<'a> {
    /// The store was opened under a new epoch.
    Opened {
        /// The epoch.
        epoch: Epoch,
    },
    /// A queue exists from now on.
    QueueCreated {
        /// Its number.
        queue: QueueId,
        /// When.
        time: LogTime,
        /// All its attributes.
        attributes: EncodedAttributes<'a>,
        /// Its name.
        name: &'a str,
    },
    /// Attributes of a queue changed.
    QueueChanged {
        /// The queue.
        queue: QueueId,
        /// When.
        time: LogTime,
        /// Those that changed.
        attributes: EncodedAttributes<'a>,
    },
    /// Every message of the queue up to a seq is gone.
    QueuePurged {
        /// The queue.
        queue: QueueId,
        /// The last message that is gone.
        through: Seq,
        /// When; an older Forebay did not say.
        time: Option<LogTime>,
    },
    /// The queue and all its messages are gone.
    QueueDeleted {
        /// The queue.
        queue: QueueId,
    },
    /// A message was stored.
    Sent(Sent<'a>),
    /// Messages were received.
    Leased {
        /// The queue.
        queue: QueueId,
        /// When.
        time: LogTime,
        /// When the leases end.
        until: LogTime,
        /// The first message's lease; the others' follow.
        first_lease: LeaseId,
        /// Each with its receive count, and its group.
        messages: LeaseList<'a>,
    },
    /// Leases end at another time.
    LeaseChanged {
        /// The queue.
        queue: QueueId,
        /// (seq, new end) each.
        changes: List<'a, (Seq, LogTime)>,
    },
    /// Messages are gone: deleted by their consumers.
    Acked {
        /// The queue.
        queue: QueueId,
        /// Their seqs.
        messages: List<'a, Seq>,
    },
    /// A producer's batch has landed: its messages are in the same entry.
    Produced {
        /// The queue.
        queue: QueueId,
        /// The producer.
        producer: ProducerId,
        /// The batch's number.
        batch: u64,
        /// The oldest batch that the producer may send again.
        oldest: u64,
        /// Its first message.
        first: Seq,
        /// How many messages it has.
        count: u32,
        /// When.
        time: LogTime,
    },
    /// Copies of a message are looked for that was left out of the log, because it was gone.
    Deduplicated {
        /// The queue.
        queue: QueueId,
        /// The message.
        seq: Seq,
        /// What its copies would have too.
        key: DeduplicationKey,
        /// When it was sent.
        time: LogTime,
    },
    /// Messages of the queue were left out of the log, because they were gone.
    Compacted {
        /// The queue.
        queue: QueueId,
        /// The next message's number is at least this.
        next: Seq,
    },
    /// Messages were given back by their consumers.
    Returned {
        /// The queue.
        queue: QueueId,
        /// When their leases end.
        until: LogTime,
        /// False: the newest lease is taken off the receive count, unless it was already.
        is_counted: bool,
        /// Why; empty leaves the reason that there is.
        reason: &'a str,
        /// Their seqs.
        messages: List<'a, Seq>,
    },
    /// Messages of the queue are gone: their retention has passed.
    Expired {
        /// The queue.
        queue: QueueId,
        /// Every message less than this is gone.
        below: Seq,
        /// When.
        time: LogTime,
        /// Of the others, every late one that was sent before this is gone.
        late_before: LogTime,
    },
    /// A message went from one queue to another.
    Moved(Moved<'a>),
    /// A redrive started.
    RedriveStarted(RedriveStarted<'a>),
    /// A redrive ended.
    RedriveEnded(RedriveEnded<'a>),
}

impl<'a> Record<'a> {
    /// The message whose bytes it has, if it has any.
    pub fn message(&self) -> Option<&Sent<'a>> {
        match self {
            Record::Sent(sent) | Record::Moved(Moved { message: sent, .. }) => Some(sent),
            _ => None,
        }
    }

    /// The queue that it is about: of a move, the one that the message went to.
    pub fn queue(&self) -> Option<QueueId> {
        match *self {
            Record::Opened { .. } => None,
            Record::QueueCreated { queue, .. }
            | Record::QueueChanged { queue, .. }
            | Record::QueuePurged { queue, .. }
            | Record::QueueDeleted { queue }
            | Record::Sent(Sent { queue, .. })
            | Record::Leased { queue, .. }
            | Record::LeaseChanged { queue, .. }
            | Record::Acked { queue, .. }
            | Record::Produced { queue, .. }
            | Record::Deduplicated { queue, .. }
            | Record::Compacted { queue, .. }
            | Record::Returned { queue, .. }
            | Record::Expired { queue, .. }
            | Record::Moved(Moved { message: Sent { queue, .. }, .. }) => Some(queue),
            Record::RedriveStarted(RedriveStarted { redrive, .. })
            | Record::RedriveEnded(RedriveEnded { redrive, .. }) => Some(redrive.queue()),
        }
    }
}

/// The record of a stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent<'a> {
    /// The queue.
    pub queue: QueueId,
    /// The message's number in it.
    pub seq: Seq,
    /// The entry that the record belongs to.
    pub position: Position,
    /// When the message becomes visible, if it was delayed: not at time 0.
    pub visible_from: Option<LogTime>,
    /// What its copies would have too, and since when they are looked for, if they are.
    pub deduplication: Option<(DeduplicationKey, LogTime)>,
    /// The producer's checksum ([`checksum::message`]).
    pub checksum: u32,
    /// How many bytes of the payload are attributes.
    pub attributes_bytes: u32,
    /// Attributes, then the body.
    pub payload: &'a [u8],
}

/// Flags of records: in `Leased`, each message comes with its group.
const HAS_GROUPS: u8 = 1;

/// In `Moved`, the message comes with a reason.
const HAS_REASON: u8 = 1;

/// The `flags` field of `Returned`: the newest lease does not count.
const UNCOUNTED: u8 = 1;

/// The longest reason with which a message is given back.
pub const REASON_BYTES_MAX: usize = 256;

/// The numbers of the kinds (FORMAT.md section 3.2). Never used again.
mod kind {
    pub(super) const OPENED: u8 = 1;
    pub(super) const QUEUE_CREATED: u8 = 2;
    pub(super) const QUEUE_CHANGED: u8 = 3;
    pub(super) const QUEUE_PURGED: u8 = 4;
    pub(super) const QUEUE_DELETED: u8 = 5;
    pub(super) const SENT: u8 = 16;
    pub(super) const LEASED: u8 = 17;
    pub(super) const LEASE_CHANGED: u8 = 18;
    pub(super) const ACKED: u8 = 19;
    pub(super) const COMPACTED: u8 = 20;
    pub(super) const RETURNED: u8 = 21;
    pub(super) const MOVED: u8 = 22;
    pub(super) const PRODUCED: u8 = 23;
    pub(super) const DEDUPLICATED: u8 = 25;
    pub(super) const REDRIVE_STARTED: u8 = 26;
    pub(super) const REDRIVE_ENDED: u8 = 27;
    pub(super) const EXPIRED: u8 = 28;
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record says that it is longer than what is left, or shorter than its own header.
    #[error("record of {bytes} bytes with {fields} bytes of fields, {left} bytes are left")]
    Length {
        /// The size it states.
        bytes: u64,
        /// The size of its fields.
        fields: u64,
        /// What is left of the entry.
        left: u64,
    },
    /// The seal does not fit the bytes: not this record, not here, or not whole.
    #[error("record seal {found:08x}, expected {expected:08x}")]
    Seal {
        /// What the bytes give.
        expected: u32,
        /// What is written.
        found: u32,
    },
    /// No record kind has this number.
    #[error("unknown record kind {0}")]
    UnknownKind(u8),
    /// The fields are not those of the kind.
    #[error("fields of record kind {kind}, {bytes} bytes, are not what the kind has")]
    Fields {
        /// The kind.
        kind: u8,
        /// Bytes of fields found.
        bytes: usize,
    },
    /// The message's payload is not what its producer sent.
    #[error("message {queue}/{seq} has checksum {found:08x}, expected {expected:08x}")]
    Message {
        /// The queue.
        queue: QueueId,
        /// The message.
        seq: Seq,
        /// The producer's checksum.
        expected: u32,
        /// That of the stored bytes.
        found: u32,
    },
}

impl<'a> Sent<'a> {
    /// The attributes section.
    pub fn attributes(&self) -> &'a [u8] {
        self.payload.get(..self.attributes_bytes as usize).unwrap_or(self.payload)
    }

    /// The message's group.
    pub fn group(&self) -> Group {
        Group(AttributesSection::read(self.attributes()).group_crc())
    }

    /// Checks the payload against the producer's checksum.
    pub fn check_payload(&self) -> Result<(), RecordError> {
        let found = checksum::message(self.attributes_bytes, self.payload);
        if found == self.checksum {
            return Ok(());
        }
        let (queue, seq, expected) = (self.queue, self.seq, self.checksum);
        Err(RecordError::Message { queue, seq, expected, found })
    }
}
