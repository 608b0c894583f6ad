//! Reading records: any bytes give a record or an error.

use super::moved::{decode_moved, decode_redrive_ended, decode_redrive_started};
use super::{
    EncodedAttributes, HAS_GROUPS, HAS_REASON, LeaseList, List, RECORD_HEADER_BYTES, Record,
    RecordError, SEAL_AT, SENT_FIELDS_BYTES_MAX, Sent, UNCOUNTED, kind,
};
use crate::checksum::{Placed, Salt};
use crate::codec::Fields;
use crate::ids::{DeduplicationKey, Epoch, LeaseId, Position, ProducerId, QueueId, Seq};
use crate::time::LogTime;

/// A record's frame: where its parts are. Says nothing yet of what is in them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordFrame<'a> {
    kind: u8,
    header: &'a [u8],
    fields: &'a [u8],
    payload: &'a [u8],
}

impl<'a> RecordFrame<'a> {
    /// Splits the record at the start of `bytes` off; checks its lengths only.
    pub(crate) fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RecordError> {
        let left = bytes.len() as u64;
        let length = |bytes, fields| RecordError::Length { bytes, fields, left };
        let mut header = Fields::new(bytes);
        let record_bytes = header.u32().ok_or(length(0, 0))?;
        let kind = header.u8().ok_or(length(u64::from(record_bytes), 0))?;
        let _flags = header.u8();
        let fields_bytes = header.u16().ok_or(length(u64::from(record_bytes), 0))?;
        let error = length(u64::from(record_bytes), u64::from(fields_bytes));
        let (record, rest) = bytes.split_at_checked(record_bytes as usize).ok_or(error.clone())?;
        let (header, behind) = record.split_at_checked(RECORD_HEADER_BYTES).ok_or(error.clone())?;
        let (fields, payload) = behind.split_at_checked(usize::from(fields_bytes)).ok_or(error)?;
        Ok((Self { kind, header, fields, payload }, rest))
    }

    pub(super) fn seal(&self, placed: &Placed) -> u32 {
        let (header, fields) = (&self.header[..SEAL_AT], self.fields);
        // Two short parts take longer than both as one.
        let mut covered = [0; SEAL_AT + SENT_FIELDS_BYTES_MAX];
        match covered.get_mut(..SEAL_AT + fields.len()) {
            Some(covered) => {
                covered[..SEAL_AT].copy_from_slice(header);
                covered[SEAL_AT..].copy_from_slice(fields);
                placed.crc(&[covered])
            }
            None => placed.crc(&[header, fields]),
        }
    }

    /// Checks the seal: that this is a record of that entry, and whole but for its payload.
    pub(crate) fn check_seal(&self, salt: Salt, position: Position) -> Result<(), RecordError> {
        let expected = self.seal(&Placed::new(salt, position));
        let found = self.stated_seal();
        if expected == found { Ok(()) } else { Err(RecordError::Seal { expected, found }) }
    }

    /// The seal that is written in it.
    pub(crate) fn stated_seal(&self) -> u32 {
        let seal = self.header[SEAL_AT..].try_into().expect("a header ends with four bytes");
        u32::from_le_bytes(seal)
    }

    /// Reads the fields.
    pub(crate) fn decode(&self) -> Result<Record<'a>, RecordError> {
        let wrong = RecordError::Fields { kind: self.kind, bytes: self.fields.len() };
        let flags = self.header[5];
        let has_groups = self.kind == kind::LEASED && flags == HAS_GROUPS;
        let has_reason = self.kind == kind::MOVED && flags == HAS_REASON;
        if flags != 0 && !has_groups && !has_reason
            || (!has_message(self.kind) && !self.payload.is_empty())
        {
            return Err(wrong);
        }
        let decode = match self.kind {
            kind::OPENED => decode_opened,
            kind::QUEUE_CREATED => decode_queue_created,
            kind::QUEUE_CHANGED => decode_queue_changed,
            kind::QUEUE_PURGED => decode_queue_purged,
            kind::QUEUE_DELETED => decode_queue_deleted,
            kind::SENT => decode_sent,
            kind::LEASED if has_groups => decode_leased::<true>,
            kind::LEASED => decode_leased::<false>,
            kind::LEASE_CHANGED => decode_lease_changed,
            kind::ACKED => decode_acked,
            kind::COMPACTED => decode_compacted,
            kind::RETURNED => decode_returned,
            kind::MOVED if has_reason => decode_moved::<true>,
            kind::MOVED => decode_moved::<false>,
            kind::PRODUCED => decode_produced,
            kind::DEDUPLICATED => decode_deduplicated,
            kind::REDRIVE_STARTED => decode_redrive_started,
            kind::REDRIVE_ENDED => decode_redrive_ended,
            kind::EXPIRED => decode_expired,
            unknown => return Err(RecordError::UnknownKind(unknown)),
        };
        decode(Fields::new(self.fields), self.payload).ok_or(wrong)
    }
}

/// Whether records of the kind have a payload.
fn has_message(kind: u8) -> bool {
    matches!(kind, kind::SENT | kind::MOVED)
}

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes` without checking its seal, and what is behind it.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RecordError> {
        let (frame, rest) = RecordFrame::split(bytes)?;
        Ok((frame.decode()?, rest))
    }
}

/// A message's number.
pub(crate) fn take_seq(fields: &mut Fields<'_>) -> Option<Seq> {
    fields.u64().map(Seq).filter(|seq| *seq <= Seq::MAX)
}

fn decode_opened<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::Opened { epoch: Epoch(fields.u32()?) })
}

fn decode_queue_created<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::QueueCreated {
        queue: QueueId(fields.u32()?),
        time: LogTime(fields.u64()?),
        attributes: EncodedAttributes::decode(&mut fields)?,
        name: std::str::from_utf8(fields.rest()).ok()?,
    })
}

fn decode_queue_changed<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::QueueChanged {
        queue: QueueId(fields.u32()?),
        time: LogTime(fields.u64()?),
        attributes: EncodedAttributes::decode(&mut fields)?,
    })
}

fn decode_queue_purged<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::QueuePurged {
        queue: QueueId(fields.u32()?),
        through: take_seq(&mut fields)?,
        time: match fields.rest().is_empty() {
            true => None,
            false => Some(LogTime(fields.u64()?)),
        },
    })
}

fn decode_queue_deleted<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::QueueDeleted { queue: QueueId(fields.u32()?) })
}

fn decode_sent<'a>(mut fields: Fields<'a>, payload: &'a [u8]) -> Option<Record<'a>> {
    let sent = Sent {
        queue: QueueId(fields.u32()?),
        seq: take_seq(&mut fields)?,
        position: Position(fields.u64()?),
        checksum: fields.u32()?,
        attributes_bytes: fields.u32()?,
        visible_from: match fields.rest().is_empty() {
            true => None,
            false => Some(LogTime(fields.u64()?)).filter(|time| time.0 > 0),
        },
        deduplication: match fields.rest().is_empty() {
            true => None,
            false => Some((DeduplicationKey(fields.array()?), LogTime(fields.u64()?))),
        },
        payload,
    };
    (sent.attributes_bytes as usize <= payload.len()).then_some(Record::Sent(sent))
}

fn decode_leased<'a, const GROUPS: bool>(
    mut fields: Fields<'a>,
    _: &'a [u8],
) -> Option<Record<'a>> {
    let queue = QueueId(fields.u32()?);
    let (time, until) = (LogTime(fields.u64()?), LogTime(fields.u64()?));
    let first_lease = LeaseId(fields.u64()?);
    let messages = LeaseList::decode(fields.rest(), GROUPS)?;
    let has_numbers = first_lease.has_room_for(messages.len());
    has_numbers.then_some(Record::Leased { queue, time, until, first_lease, messages })
}

fn decode_lease_changed<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::LeaseChanged {
        queue: QueueId(fields.u32()?),
        changes: List::decode(fields.rest())?,
    })
}

fn decode_acked<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::Acked { queue: QueueId(fields.u32()?), messages: List::decode(fields.rest())? })
}

fn decode_produced<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::Produced {
        queue: QueueId(fields.u32()?),
        producer: ProducerId(u128::from_le_bytes(fields.array()?)),
        batch: fields.u64()?,
        oldest: fields.u64()?,
        first: take_seq(&mut fields)?,
        count: fields.u32()?,
        time: LogTime(fields.u64()?),
    })
}

fn decode_deduplicated<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::Deduplicated {
        queue: QueueId(fields.u32()?),
        seq: take_seq(&mut fields)?,
        key: DeduplicationKey(fields.array()?),
        time: LogTime(fields.u64()?),
    })
}

fn decode_compacted<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::Compacted { queue: QueueId(fields.u32()?), next: take_seq(&mut fields)? })
}

fn decode_returned<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    let (queue, until, flags) = (QueueId(fields.u32()?), LogTime(fields.u64()?), fields.u8()?);
    let reason_bytes = usize::from(fields.u16()?);
    let (reason, messages) = fields.rest().split_at_checked(reason_bytes)?;
    let reason = std::str::from_utf8(reason).ok()?;
    let messages = List::decode(messages)?;
    let is_counted = flags & UNCOUNTED == 0;
    (flags & !UNCOUNTED == 0).then_some(Record::Returned {
        queue,
        until,
        is_counted,
        reason,
        messages,
    })
}

fn decode_expired<'a>(mut fields: Fields<'a>, _: &'a [u8]) -> Option<Record<'a>> {
    Some(Record::Expired {
        queue: QueueId(fields.u32()?),
        below: take_seq(&mut fields)?,
        time: LogTime(fields.u64()?),
        late_before: LogTime(fields.u64()?),
    })
}
