//! What commands take in the log, and whether there is room for it.

use super::{Core, queues, redrives};
use crate::command::{
    BATCH_MESSAGES_MAX, Command, Deduplication, NewMessage, ReplyTo, TransactAcks, TransactSends,
};
use crate::error::RequestError;
use crate::log::NextSegment;
use crate::record::{
    RECORD_HEADER_BYTES, SENT_DEDUPLICATION_BYTES, SENT_DELAY_BYTES, SENT_OVERHEAD_BYTES,
};

/// What a lease takes in the log at the most: an item of a `Leased` record, with its group.
pub(super) const LEASED_ITEM_BYTES: u64 = 16;

/// What a changed lease takes at the most: a `Leased` record of its own.
pub(super) const CHANGE_BYTES: u64 = RECORD_HEADER_BYTES as u64 + 28 + LEASED_ITEM_BYTES;

/// What a message that is given back takes: the same, and an item of a `Returned` record.
const NACK_BYTES: u64 = CHANGE_BYTES + 8;

/// What an ack takes: an item of an `Acked` record.
pub(super) const ACKED_ITEM_BYTES: u64 = 8;

/// What a batch of a producer takes beside its messages: a `Produced` record.
pub(super) const PRODUCED_BYTES: u64 = RECORD_HEADER_BYTES as u64 + 56;

/// What retention takes at once at the most: two `Expired` records.
pub(super) const EXPIRED_BYTES: u64 = 2 * (RECORD_HEADER_BYTES as u64 + 28);

/// More than the headers and fixed fields of a command's records.
pub(super) const HEADERS_BYTES: u64 = 64;

/// Some purges and deletions of queues.
pub(super) const LAST_BYTES: u64 = 1024;

/// Whether a command can be handled now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes; if the disk is full it may be refused.
    Now,
    /// When the writer has taken the pending entry, or the next segment is prepared.
    Later,
}

/// The most bytes that a command's records take, whatever is decided.
pub(super) fn record_bytes(command: &Command) -> u64 {
    match command {
        Command::Send { messages, batch, .. } => {
            sent_bytes(messages) + if batch.is_some() { PRODUCED_BYTES } else { 0 }
        }
        Command::Receive { max, .. } => leased_bytes(*max),
        Command::Ack { receipts, .. } => items_bytes(receipts.len(), ACKED_ITEM_BYTES),
        Command::ChangeVisibility { changes, .. }
        | Command::ChangeVisibilityOfMessage { changes, .. } => {
            items_bytes(changes.len(), CHANGE_BYTES)
        }
        Command::ReturnUndelivered { receipts, .. } => items_bytes(receipts.len(), CHANGE_BYTES),
        Command::Nack { receipts, reason, .. } => nack_bytes(receipts.len(), reason),
        Command::Transact { acks, sends } => transact_bytes(acks, sends),
        Command::CreateQueue { attributes, .. } | Command::AlterQueue { attributes, .. } => {
            queues::attributes_record_bytes(attributes)
        }
        Command::TagQueue { .. } | Command::UntagQueue { .. } => queues::TAGS_RECORD_BYTES,
        Command::PurgeQueue { .. } | Command::DeleteQueue { .. } => queues::QUEUE_RECORD_BYTES,
        // It waits for room, instead of being refused or holding others up.
        Command::Await { .. } => 0,
        Command::StartRedrive { .. } | Command::CancelRedrive { .. } => {
            redrives::REDRIVE_RECORD_BYTES
        }
        Command::DescribeQueue { .. }
        | Command::ListRedrives { .. }
        | Command::ListDeadLetterSources { .. }
        | Command::ListQueues { .. }
        | Command::EndWait { .. }
        | Command::SetAside { .. }
        | Command::Peek { .. }
        | Command::Explain { .. }
        | Command::Stats => 0,
    }
}

pub(super) fn sent_bytes(messages: &[NewMessage]) -> u64 {
    let bytes = |message: &NewMessage| {
        let key_bytes = match message.deduplication {
            Deduplication::None => 0,
            Deduplication::Id(_) | Deduplication::Content(_) => SENT_DEDUPLICATION_BYTES,
        };
        (message.payload.len() + SENT_OVERHEAD_BYTES + SENT_DELAY_BYTES + key_bytes) as u64
    };
    messages.iter().map(bytes).sum()
}

pub(super) fn transact_bytes(acks: &[TransactAcks], sends: &[TransactSends]) -> u64 {
    let acked = acks.iter().map(|acks| items_bytes(acks.receipts.len(), ACKED_ITEM_BYTES));
    let sent = sends.iter().map(|sends| sent_bytes(&sends.messages));
    acked.sum::<u64>() + sent.sum::<u64>()
}

pub(super) fn leased_bytes(messages_max: u32) -> u64 {
    items_bytes(messages_max as usize, LEASED_ITEM_BYTES)
}

pub(super) fn items_bytes(items: usize, item_bytes: u64) -> u64 {
    HEADERS_BYTES + items as u64 * item_bytes
}

pub(super) fn nack_bytes(receipts: usize, reason: &str) -> u64 {
    // Those whose lease counts and those whose does not have a record each.
    items_bytes(receipts, NACK_BYTES) + HEADERS_BYTES + 2 * reason.len() as u64
}

impl<R: ReplyTo> Core<R> {
    /// Whether the command can be handled now. Asked before [`Core::handle`].
    pub(crate) fn room_for(&self, command: &Command) -> Room {
        // One that needs more is refused, or given less.
        let bytes = record_bytes(command).min(self.options.command_bytes_max());
        self.room(bytes, self.reserve(command))
    }

    /// What a command must leave of the active segment as long as no further one is prepared, so
    /// that a full disk can be drained: sends leave a quarter for receives and deletes, receives leave
    /// some for deletes, and those leave the last bytes for purges and deletions of queues.
    fn reserve(&self, command: &Command) -> u64 {
        match command {
            Command::Send { .. } | Command::CreateQueue { .. } | Command::StartRedrive { .. } => {
                self.tail.capacity / 4
            }
            Command::Transact { sends, .. } if !sends.is_empty() => self.tail.capacity / 4,
            Command::Receive { .. }
            | Command::ChangeVisibility { .. }
            | Command::ChangeVisibilityOfMessage { .. }
            | Command::ReturnUndelivered { .. }
            | Command::Nack { .. } => self.deletes_bytes(),
            Command::PurgeQueue { .. } | Command::DeleteQueue { .. } => 0,
            _ => LAST_BYTES,
        }
    }

    /// What leases leave for deletes on a full disk, which give space back: leases alone would use everything up.
    pub(super) fn deletes_bytes(&self) -> u64 {
        match self.tail.next {
            NextSegment::Full { .. } => self.options.standby_bytes().min(self.tail.capacity) / 2,
            _ => LAST_BYTES,
        }
    }

    pub(super) fn room(&self, bytes: u64, reserve: u64) -> Room {
        let pending = self.pending.body_bytes() as u64;
        if pending > 0 && pending + bytes > 2 * self.options.group_bytes_max() {
            return Room::Later;
        }
        let preparing = matches!(self.tail.next, NextSegment::Preparing);
        let fits = self.tail.has_room(pending + bytes + reserve);
        if preparing && !fits { Room::Later } else { Room::Now }
    }

    /// Whether records of so many bytes can be written now, and leave the reserve.
    pub(super) fn has_room_now(&self, bytes: u64, reserve: u64) -> bool {
        self.room(bytes, reserve) == Room::Now && self.check_room(bytes, reserve).is_ok()
    }

    /// Refuses a change for which there is no space left in the log beside `reserve`.
    pub(super) fn check_room(&self, bytes: u64, reserve: u64) -> Result<(), RequestError> {
        let needed = self.pending.body_bytes() as u64 + bytes + reserve;
        match &self.tail.next {
            NextSegment::Full { detail, .. } if !self.tail.has_room(needed) => {
                Err(RequestError::StorageFull { detail: detail.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Nothing that takes space for good is stored while no further segment can be prepared: what
    /// is left of the active one is for receives and deletes.
    pub(super) fn check_sends_allowed(&self) -> Result<(), RequestError> {
        match &self.tail.next {
            NextSegment::Full { detail, .. } => {
                Err(RequestError::StorageFull { detail: detail.clone() })
            }
            NextSegment::Ready(_) | NextSegment::Preparing => Ok(()),
        }
    }

    /// Refuses a command whose records would not fit one entry behind a full group.
    pub(super) fn check_fits(&self, bytes: u64) -> Result<(), RequestError> {
        let max = self.options.command_bytes_max();
        if bytes > max { Err(RequestError::BatchTooLarge { bytes, max }) } else { Ok(()) }
    }

    /// Refuses acks, if there is no room for them.
    pub(super) fn check_acks(&self, acks: usize) -> Result<(), RequestError> {
        let bytes = items_bytes(acks, ACKED_ITEM_BYTES);
        self.check_fits(bytes)?;
        self.check_room(bytes, LAST_BYTES)
    }

    /// Refuses what changes leases, if there is no room for it.
    pub(super) fn check_changes(&self, bytes: u64) -> Result<(), RequestError> {
        self.check_fits(bytes)?;
        self.check_room(bytes, self.deletes_bytes())
    }
}

pub(super) fn check_batch(item: &'static str, count: usize) -> Result<(), RequestError> {
    match count {
        0 => Err(RequestError::EmptyBatch { item }),
        1..=BATCH_MESSAGES_MAX => Ok(()),
        _ => Err(RequestError::TooManyInBatch { item, count, max: BATCH_MESSAGES_MAX }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::command::ProducerBatch;
    use crate::ids::{Group, LeaseId, ProducerId, QueueId, Seq};
    use crate::record::{Lease, RecordWriter};
    use crate::time::LogTime;

    fn size(write: impl FnOnce(&mut RecordWriter<'_>)) -> u64 {
        let mut out = BytesMut::new();
        write(&mut RecordWriter::new(&mut out));
        out.len() as u64
    }

    #[test]
    fn what_is_reserved_for_a_record_is_what_it_takes() {
        let (queue, time) = (QueueId(1), LogTime(2));
        let lease = Lease { seq: Seq(3), receive_count: 1, group: Group(5) };
        let leased = size(|out| out.leased(queue, time, time, LeaseId(6), &[lease]));
        assert_eq!(leased, CHANGE_BYTES);
        let changed = size(|out| out.lease_changed(queue, &[(Seq(3), time)]));
        assert!(changed <= CHANGE_BYTES, "{changed}");
        let batch = ProducerBatch { producer: ProducerId(7), number: 10, oldest: 10 };
        let produced = size(|out| out.produced(queue, batch, Seq(8), 9, time));
        assert_eq!(produced, PRODUCED_BYTES);
        let expired = size(|out| out.expired(queue, Seq(3), time, time));
        assert_eq!(2 * expired, EXPIRED_BYTES);
    }
}
