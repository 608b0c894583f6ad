//! Writing records.

use bytes::{BufMut, BytesMut};

use super::{
    HAS_GROUPS, Item, Lease, REASON_BYTES_MAX, RECORD_HEADER_BYTES, RecordFrame, SEAL_AT, Sent,
    UNCOUNTED, kind, put_attributes,
};
use crate::attributes::AttributeChanges;
use crate::checksum::Placed;
use crate::command::ProducerBatch;
use crate::ids::{DeduplicationKey, Epoch, Group, LeaseId, QueueId, Seq};
use crate::time::LogTime;

/// Writes records one behind the other. Seals are left zero: they need the segment's salt, which
/// is known when the entry has its place (`seal_record`).
#[derive(Debug)]
pub struct RecordWriter<'b> {
    out: &'b mut BytesMut,
    records: u32,
}

impl<'b> RecordWriter<'b> {
    /// Writes behind what `out` holds.
    pub fn new(out: &'b mut BytesMut) -> Self {
        Self { out, records: 0 }
    }

    /// How many it has written.
    pub fn records(&self) -> u32 {
        self.records
    }

    pub(super) fn record(&mut self, kind: u8, payload: &[u8], fields: impl FnOnce(&mut BytesMut)) {
        self.flagged(kind, 0, payload, fields);
    }

    pub(super) fn flagged(
        &mut self,
        kind: u8,
        flags: u8,
        payload: &[u8],
        fields: impl FnOnce(&mut BytesMut),
    ) {
        let start = self.out.len();
        self.out.put_bytes(0, RECORD_HEADER_BYTES);
        fields(self.out);
        let fields_bytes = self.out.len() - start - RECORD_HEADER_BYTES;
        self.out.put_slice(payload);
        let record_bytes = u32::try_from(self.out.len() - start)
            .expect("a command is far below 4 GiB (Options::command_bytes_max)");
        let fields_bytes = u16::try_from(fields_bytes)
            .expect("lists are written in as many records as they take, and attributes fit one");
        self.out[start..start + 4].copy_from_slice(&record_bytes.to_le_bytes());
        self.out[start + 4] = kind;
        self.out[start + 5] = flags;
        self.out[start + 6..start + 8].copy_from_slice(&fields_bytes.to_le_bytes());
        self.records += 1;
    }

    /// Writes [`Record::Opened`].
    pub fn opened(&mut self, epoch: Epoch) {
        self.record(kind::OPENED, &[], |out| out.put_u32_le(epoch.0));
    }

    /// Writes [`Record::QueueCreated`].
    pub fn queue_created(
        &mut self,
        queue: QueueId,
        time: LogTime,
        attributes: &AttributeChanges,
        name: &str,
    ) {
        self.record(kind::QUEUE_CREATED, &[], |out| {
            out.put_u32_le(queue.0);
            out.put_u64_le(time.0);
            put_attributes(out, attributes);
            out.put_slice(name.as_bytes());
        });
    }

    /// Writes [`Record::QueueChanged`].
    pub fn queue_changed(&mut self, queue: QueueId, time: LogTime, attributes: &AttributeChanges) {
        self.record(kind::QUEUE_CHANGED, &[], |out| {
            out.put_u32_le(queue.0);
            out.put_u64_le(time.0);
            put_attributes(out, attributes);
        });
    }

    /// Writes [`Record::QueuePurged`].
    pub fn queue_purged(&mut self, queue: QueueId, through: Seq, time: Option<LogTime>) {
        self.record(kind::QUEUE_PURGED, &[], |out| {
            out.put_u32_le(queue.0);
            out.put_u64_le(through.0);
            if let Some(time) = time {
                out.put_u64_le(time.0);
            }
        });
    }

    /// Writes [`Record::QueueDeleted`].
    pub fn queue_deleted(&mut self, queue: QueueId) {
        self.record(kind::QUEUE_DELETED, &[], |out| out.put_u32_le(queue.0));
    }

    /// Writes [`Record::Sent`].
    pub fn sent(&mut self, sent: &Sent<'_>) {
        self.record(kind::SENT, sent.payload, |out| {
            out.put_u32_le(sent.queue.0);
            out.put_u64_le(sent.seq.0);
            out.put_u64_le(sent.position.0);
            out.put_u32_le(sent.checksum);
            out.put_u32_le(sent.attributes_bytes);
            // 0: not delayed.
            let visible_from = sent.visible_from.unwrap_or_default();
            if visible_from.0 > 0 || sent.deduplication.is_some() {
                out.put_u64_le(visible_from.0);
            }
            if let Some((key, time)) = &sent.deduplication {
                out.put_slice(&key.0);
                out.put_u64_le(time.0);
            }
        });
    }

    /// Writes [`Record::Leased`], in as many records as it takes.
    pub fn leased(
        &mut self,
        queue: QueueId,
        time: LogTime,
        until: LogTime,
        first_lease: LeaseId,
        messages: &[Lease],
    ) {
        let has_groups = messages.iter().any(|lease| lease.group != Group::NONE);
        let flags = if has_groups { HAS_GROUPS } else { 0 };
        for (chunk, at) in messages.chunks(ITEMS_A_RECORD).zip((0..).step_by(ITEMS_A_RECORD)) {
            self.flagged(kind::LEASED, flags, &[], |out| {
                out.put_u32_le(queue.0);
                out.put_u64_le(time.0);
                out.put_u64_le(until.0);
                out.put_u64_le(first_lease.plus(at).0);
                chunk.iter().for_each(|lease| lease.write(has_groups, out));
            });
        }
    }

    /// Writes [`Record::LeaseChanged`], in as many records as it takes.
    pub fn lease_changed(&mut self, queue: QueueId, changes: &[(Seq, LogTime)]) {
        for changes in changes.chunks(ITEMS_A_RECORD) {
            self.record(kind::LEASE_CHANGED, &[], |out| {
                out.put_u32_le(queue.0);
                changes.iter().for_each(|item| item.write(out));
            });
        }
    }

    /// Writes [`Record::Acked`].
    pub fn acked(&mut self, queue: QueueId, messages: &[Seq]) {
        self.record(kind::ACKED, &[], |out| {
            out.put_u32_le(queue.0);
            messages.iter().for_each(|item| item.write(out));
        });
    }

    /// Writes [`Record::Produced`].
    pub fn produced(
        &mut self,
        queue: QueueId,
        batch: ProducerBatch,
        first: Seq,
        count: u32,
        time: LogTime,
    ) {
        self.record(kind::PRODUCED, &[], |out| {
            out.put_u32_le(queue.0);
            out.put_u128_le(batch.producer.0);
            out.put_u64_le(batch.number);
            out.put_u64_le(batch.oldest);
            out.put_u64_le(first.0);
            out.put_u32_le(count);
            out.put_u64_le(time.0);
        });
    }

    /// Writes [`Record::Deduplicated`].
    pub fn deduplicated(&mut self, queue: QueueId, seq: Seq, key: DeduplicationKey, time: LogTime) {
        self.record(kind::DEDUPLICATED, &[], |out| {
            out.put_u32_le(queue.0);
            out.put_u64_le(seq.0);
            out.put_slice(&key.0);
            out.put_u64_le(time.0);
        });
    }

    /// Writes [`Record::Compacted`].
    pub fn compacted(&mut self, queue: QueueId, next: Seq) {
        self.record(kind::COMPACTED, &[], |out| {
            out.put_u32_le(queue.0);
            out.put_u64_le(next.0);
        });
    }

    /// Writes [`Record::Returned`].
    pub fn returned(
        &mut self,
        queue: QueueId,
        until: LogTime,
        is_counted: bool,
        reason: &str,
        messages: &[Seq],
    ) {
        let reason_bytes = u16::try_from(reason.len()).expect("a reason has at most 256 bytes");
        self.record(kind::RETURNED, &[], |out| {
            out.put_u32_le(queue.0);
            out.put_u64_le(until.0);
            out.put_u8(if is_counted { 0 } else { UNCOUNTED });
            out.put_u16_le(reason_bytes);
            out.put_slice(reason.as_bytes());
            messages.iter().for_each(|item| item.write(out));
        });
    }

    /// Writes [`Record::Expired`].
    pub fn expired(&mut self, queue: QueueId, below: Seq, time: LogTime, late_before: LogTime) {
        self.record(kind::EXPIRED, &[], |out| {
            out.put_u32_le(queue.0);
            out.put_u64_le(below.0);
            out.put_u64_le(time.0);
            out.put_u64_le(late_before.0);
        });
    }
}

/// How many items of the largest kind, 16 bytes, one record holds.
const ITEMS_A_RECORD: usize = 4000;

const _: () = {
    use crate::command::BATCH_MESSAGES_MAX;
    assert!(28 + ITEMS_A_RECORD * 16 <= u16::MAX as usize);
    assert!(4 + BATCH_MESSAGES_MAX * 8 <= u16::MAX as usize, "an Acked record holds a batch");
    assert!(
        15 + REASON_BYTES_MAX + BATCH_MESSAGES_MAX * 8 <= u16::MAX as usize,
        "so does Returned"
    );
};

/// Seals the record at the start of `bytes`, which was written by [`RecordWriter`], and returns
/// its size.
pub(crate) fn seal_record(bytes: &mut [u8], placed: &Placed) -> usize {
    let (frame, rest) = RecordFrame::split(bytes).expect("RecordWriter wrote the lengths");
    let size = bytes.len() - rest.len();
    let seal = frame.seal(placed);
    bytes[SEAL_AT..RECORD_HEADER_BYTES].copy_from_slice(&seal.to_le_bytes());
    size
}
