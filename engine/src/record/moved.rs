//! A message that went from one queue to another, and the redrives that move many.

use bytes::{BufMut, BytesMut};

use super::decode::take_seq;
use super::{HAS_REASON, REASON_BYTES_MAX, Record, RecordWriter, Sent, kind};
use crate::codec::Fields;
use crate::ids::{Position, QueueId, RedriveId, Seq};
use crate::time::LogTime;

/// The bytes that a move takes beyond the payload, the name of the queue it came from, and a reason.
pub const MOVED_OVERHEAD_BYTES: usize = super::RECORD_HEADER_BYTES + FIELDS_BYTES;

/// The most that a reason takes.
pub(crate) const MOVED_REASON_BYTES_MAX: usize = 2 + REASON_BYTES_MAX;

/// Its fields without name and reason.
const FIELDS_BYTES: usize = 4 + 8 + 8 + 8 + 4 + 4 + (4 + 8) + (4 + 8) + 8 + 8 + 4 + 8 + 8 + 8;

/// The record of a message's end in one queue and its beginning in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved<'a> {
    /// The message as it is in the queue that it went to.
    pub message: Sent<'a>,
    /// The queue that it came from, ...
    pub from_queue: QueueId,
    /// ... and what was its number there.
    pub from_seq: Seq,
    /// The queue that it was sent to at first, ...
    pub origin_queue: QueueId,
    /// ... and its number there: its public id is made of both. Of a redriven message its own.
    pub origin_seq: Seq,
    /// When it was sent.
    pub sent: LogTime,
    /// When it was first received, in whatever queue; 0 of a redriven message.
    pub first_received: LogTime,
    /// How often it was received in all queues before; 0 of a redriven message.
    pub receive_count: u32,
    /// When it was moved.
    pub time: LogTime,
    /// The redrive that moved it, and how many that has moved, this one included; `None` of a dead
    /// letter.
    pub redrive: Option<(RedriveId, u64)>,
    /// Why it was last given back; empty if nobody said, and of a redriven message.
    pub reason: &'a str,
    /// The name of the queue that it came from; empty of a redriven message.
    pub source: &'a str,
}

/// The record of a redrive's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedriveStarted<'a> {
    /// Its number, which names the dead-letter queue too.
    pub redrive: RedriveId,
    /// When it started.
    pub time: LogTime,
    /// Messages a second; 0: no limit.
    pub rate: u64,
    /// The last message that it moves.
    pub through: Seq,
    /// How many messages were in the queue.
    pub to_move: u64,
    /// How many it has moved, at least.
    pub moved: u64,
    /// The queue that gets them; empty: each goes to the queue that it came from.
    pub destination: &'a str,
}

/// The record of a redrive's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedriveEnded<'a> {
    /// Its number.
    pub redrive: RedriveId,
    /// When it ended.
    pub time: LogTime,
    /// How.
    pub outcome: RedriveOutcome,
    /// How many it has moved.
    pub moved: u64,
    /// Why it failed; empty if it did not.
    pub reason: &'a str,
}

/// How a redrive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedriveOutcome {
    /// 1: nothing that it could move was left.
    Completed,
    /// 2: somebody cancelled it.
    Cancelled,
    /// 3: it could not go on.
    Failed,
}

impl RedriveOutcome {
    /// The number in records and snapshots.
    pub(crate) fn number(self) -> u8 {
        match self {
            RedriveOutcome::Completed => 1,
            RedriveOutcome::Cancelled => 2,
            RedriveOutcome::Failed => 3,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Completed, Self::Cancelled, Self::Failed]
            .into_iter()
            .find(|outcome| outcome.number() == number)
    }
}

/// A redrive's number: another one can come after it.
pub(crate) fn take_redrive(fields: &mut Fields<'_>) -> Option<RedriveId> {
    fields.u64().map(RedriveId).filter(|redrive| redrive.count() < u32::MAX)
}

/// How many messages a redrive has moved: no more than there can be.
pub(crate) fn take_moved(fields: &mut Fields<'_>) -> Option<u64> {
    fields.u64().filter(|moved| *moved <= Seq::MAX.0)
}

pub(super) fn decode_moved<'a, const HAS_REASON: bool>(
    mut fields: Fields<'a>,
    payload: &'a [u8],
) -> Option<Record<'a>> {
    let message = Sent {
        queue: QueueId(fields.u32()?),
        seq: take_seq(&mut fields)?,
        position: Position(fields.u64()?),
        visible_from: Some(LogTime(fields.u64()?)).filter(|time| time.0 > 0),
        deduplication: None,
        checksum: fields.u32()?,
        attributes_bytes: fields.u32()?,
        payload,
    };
    let mut moved = Moved {
        message,
        from_queue: QueueId(fields.u32()?),
        from_seq: take_seq(&mut fields)?,
        origin_queue: QueueId(fields.u32()?),
        origin_seq: take_seq(&mut fields)?,
        sent: LogTime(fields.u64()?),
        first_received: LogTime(fields.u64()?),
        receive_count: fields.u32()?,
        time: LogTime(fields.u64()?),
        redrive: None,
        reason: "",
        source: "",
    };
    let (redrive, count) = (take_redrive(&mut fields)?, take_moved(&mut fields)?);
    moved.redrive = (redrive.0 > 0).then_some((redrive, count));
    if HAS_REASON {
        let reason_bytes = fields.u16()?;
        moved.reason = str::from_utf8(fields.bytes(usize::from(reason_bytes))?).ok()?;
    }
    moved.source = str::from_utf8(fields.rest()).ok()?;
    let is_whole = message.attributes_bytes as usize <= payload.len();
    // A redrive is of the queue that its messages leave.
    let is_of_its_queue = redrive.0 == 0 && count == 0 || redrive.queue() == moved.from_queue;
    // One way to write each move.
    let says_why = HAS_REASON != moved.reason.is_empty();
    (is_whole && is_of_its_queue && says_why).then_some(Record::Moved(moved))
}

pub(super) fn decode_redrive_started<'a>(
    mut fields: Fields<'a>,
    _: &'a [u8],
) -> Option<Record<'a>> {
    Some(Record::RedriveStarted(RedriveStarted {
        redrive: take_redrive(&mut fields)?,
        time: LogTime(fields.u64()?),
        rate: fields.u64()?,
        through: take_seq(&mut fields)?,
        to_move: fields.u64()?,
        moved: take_moved(&mut fields)?,
        destination: str::from_utf8(fields.rest()).ok()?,
    }))
}

pub(super) fn decode_redrive_ended<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::RedriveEnded(RedriveEnded {
        redrive: take_redrive(&mut fields)?,
        time: LogTime(fields.u64()?),
        outcome: RedriveOutcome::from_number(fields.u8()?)?,
        moved: take_moved(&mut fields)?,
        reason: str::from_utf8(fields.rest()).ok()?,
    }))
}

impl RecordWriter<'_> {
    /// Writes [`Record::Moved`].
    pub fn moved(&mut self, moved: &Moved<'_>) {
        let message = &moved.message;
        let reason_bytes =
            u16::try_from(moved.reason.len()).expect("a reason has at most 256 bytes");
        let flags = if moved.reason.is_empty() { 0 } else { HAS_REASON };
        self.flagged(kind::MOVED, flags, message.payload, |out| {
            let start = out.len();
            out.put_u32_le(message.queue.0);
            out.put_u64_le(message.seq.0);
            out.put_u64_le(message.position.0);
            out.put_u64_le(message.visible_from.unwrap_or_default().0);
            out.put_u32_le(message.checksum);
            out.put_u32_le(message.attributes_bytes);
            out.put_u32_le(moved.from_queue.0);
            out.put_u64_le(moved.from_seq.0);
            out.put_u32_le(moved.origin_queue.0);
            out.put_u64_le(moved.origin_seq.0);
            out.put_u64_le(moved.sent.0);
            out.put_u64_le(moved.first_received.0);
            out.put_u32_le(moved.receive_count);
            out.put_u64_le(moved.time.0);
            let (redrive, count) = moved.redrive.unwrap_or_default();
            out.put_u64_le(redrive.0);
            out.put_u64_le(count);
            debug_assert_eq!(out.len() - start, FIELDS_BYTES);
            if flags == HAS_REASON {
                out.put_u16_le(reason_bytes);
                out.put_slice(moved.reason.as_bytes());
            }
            out.put_slice(moved.source.as_bytes());
        });
    }

    /// Writes [`Record::RedriveStarted`].
    pub fn redrive_started(&mut self, started: &RedriveStarted<'_>) {
        self.record(kind::REDRIVE_STARTED, &[], |out: &mut BytesMut| {
            out.put_u64_le(started.redrive.0);
            out.put_u64_le(started.time.0);
            out.put_u64_le(started.rate);
            out.put_u64_le(started.through.0);
            out.put_u64_le(started.to_move);
            out.put_u64_le(started.moved);
            out.put_slice(started.destination.as_bytes());
        });
    }

    /// Writes [`Record::RedriveEnded`].
    pub fn redrive_ended(&mut self, ended: &RedriveEnded<'_>) {
        self.record(kind::REDRIVE_ENDED, &[], |out: &mut BytesMut| {
            out.put_u64_le(ended.redrive.0);
            out.put_u64_le(ended.time.0);
            out.put_u8(ended.outcome.number());
            out.put_u64_le(ended.moved);
            out.put_slice(ended.reason.as_bytes());
        });
    }
}
