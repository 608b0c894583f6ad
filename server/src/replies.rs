//! The engine's replies and errors in the protocol's words: exhaustive matches, no rules.

use bytes::Bytes;
use forebay_engine::attributes::{AttributeChanges, Attributes, Value};
use forebay_engine::command::{self, Delivery, MessageState, Peeked};
use forebay_engine::error::RequestError;
use forebay_engine::facts;
use forebay_engine::ids::{QueueId, Seq};
use forebay_engine::location::Location;
use forebay_engine::stats;
use forebay_engine::{DeadLetter, LogTime, StoredMessage};
use forebay_protocol::{
    Acked, Block, DeadLetterSourcesListed, DiskStats, ErrorCode, Explained, Fact, Failure,
    MemoryStats, Nacked, PeekedMessage, ProtocolError, QueueAltered, QueueAttributes, QueueCreated,
    QueueDeleted, QueueDescribed, QueueInfo, QueuePurged, QueueTagged, QueueUntagged, QueuesListed,
    Receipt, ReceivedMessage, RedriveCancelled, RedriveInfo, RedriveStarted, RedriveState,
    RedrivesListed, Reply, Sent, StatsTold, TransactSent, Transacted, VisibilityChanged,
};

use crate::caller::Kind;

/// A reply of the engine, translated.
pub(crate) enum Translated {
    /// Ready to be written.
    Ready(Reply),
    /// The messages of a peek, whose bodies are to be read first.
    Peeked(Vec<Peeked>, u64),
}

/// Translates a reply. `kind` tells the requests apart that the engine answers alike.
pub(crate) fn translate(reply: command::Reply, kind: &Kind) -> Translated {
    Translated::Ready(match reply {
        command::Reply::Created { queue, created } => {
            QueueCreated { queue_id: queue.0, created }.into()
        }
        command::Reply::Altered => QueueAltered {}.into(),
        command::Reply::Described(info) => {
            QueueDescribed { queue: Box::new(queue_info(info)) }.into()
        }
        command::Reply::Listed { queues, more } => {
            QueuesListed { queues: queues.into_iter().map(queue_info).collect(), more }.into()
        }
        command::Reply::Tagged => QueueTagged {}.into(),
        command::Reply::Untagged => QueueUntagged {}.into(),
        command::Reply::DeadLetterSources { names, more } => {
            DeadLetterSourcesListed { names, more }.into()
        }
        command::Reply::Purged { count } => QueuePurged { purged: count }.into(),
        command::Reply::Deleted => QueueDeleted {}.into(),
        command::Reply::Sent(command::StoredMessages { queue, first, count, seqs }) => {
            let seqs = seqs.into_iter().map(|seq| seq.0).collect();
            Sent { queue_id: queue.0, first_seq: first.0, count, seqs }.into()
        }
        command::Reply::Changed { mut failures } => {
            if *kind == Kind::Nack {
                failures.iter_mut().for_each(|(_, error)| name_delay(error));
            }
            let failures = failures.into_iter().map(failure).collect();
            match kind {
                Kind::ChangeVisibility => VisibilityChanged { failures }.into(),
                Kind::Nack => Nacked { failures }.into(),
                _ => Acked { failures }.into(),
            }
        }
        command::Reply::Explained { queue, now, facts } => {
            let facts = facts.into_iter().map(fact).collect();
            Explained { queue_id: queue.0, now_ms: now.0, facts }.into()
        }
        command::Reply::Transacted { sent } => {
            Transacted { sent: sent.into_iter().map(transact_sent).collect() }.into()
        }
        command::Reply::Peeked { messages, next, queue: _ } => {
            return Translated::Peeked(messages, next.map_or(0, |seq| seq.0));
        }
        command::Reply::RedriveStarted { redrive, to_move } => {
            RedriveStarted { redrive: redrive.0, to_move }.into()
        }
        command::Reply::RedrivesListed { redrives } => {
            RedrivesListed { redrives: redrives.into_iter().map(redrive_info).collect() }.into()
        }
        command::Reply::RedriveCancelled { moved } => RedriveCancelled { moved }.into(),
        command::Reply::Stats(stats) => stats_told(*stats).into(),
        // Leases travel in a wrapper of their own, and nobody waits for the other two.
        command::Reply::Received { .. } | command::Reply::WaitEnded | command::Reply::SetAside => {
            wrong_kind().into()
        }
    })
}

/// What a Nack calls a delay is to the engine how long the message stays invisible.
fn name_delay(error: &mut RequestError) {
    if let RequestError::OutOfRange { parameter, .. } = error {
        *parameter = "delay";
    }
}

/// The engine's fault.
pub(crate) fn wrong_kind() -> ProtocolError {
    let text = "the engine gave an answer of another kind than was asked for";
    ProtocolError::new(ErrorCode::Internal, text)
}

/// Translates an error.
pub(crate) fn error(error: &RequestError) -> ProtocolError {
    ProtocolError::new(error_code(error), error.to_string())
}

fn error_code(error: &RequestError) -> ErrorCode {
    match error {
        RequestError::UnknownQueue { .. } => ErrorCode::UnknownQueue,
        RequestError::QueueExists { .. } => ErrorCode::QueueExists,
        RequestError::BadQueueName { .. } => ErrorCode::BadQueueName,
        RequestError::UnknownAttribute { .. } => ErrorCode::UnknownAttribute,
        RequestError::OutOfRange { .. } => ErrorCode::OutOfRange,
        RequestError::AttributeInvalid { .. } => ErrorCode::AttributeInvalid,
        RequestError::EmptyBatch { .. } => ErrorCode::EmptyBatch,
        RequestError::MessageTooLarge { .. } => ErrorCode::MessageTooLarge,
        RequestError::TooManyInBatch { .. } | RequestError::BatchTooLarge { .. } => {
            ErrorCode::BatchTooLarge
        }
        RequestError::MessageInvalid { .. } => ErrorCode::MessageInvalid,
        RequestError::BatchForgotten { .. } => ErrorCode::BatchForgotten,
        RequestError::ReceiptExpired { .. } => ErrorCode::ReceiptExpired,
        RequestError::InFlightFull { .. } => ErrorCode::InFlightFull,
        RequestError::AttemptSpent { .. } => ErrorCode::AttemptSpent,
        RequestError::ReceiptInvalid { .. } | RequestError::ReceiptOfOtherQueue { .. } => {
            ErrorCode::ReceiptInvalid
        }
        RequestError::ReceiptStale { .. } => ErrorCode::ReceiptStale,
        RequestError::MessageGone { .. } => ErrorCode::MessageGone,
        RequestError::TransactionRefused { cause, .. } => error_code(cause),
        RequestError::NotDeadLetterQueue { .. } => ErrorCode::NotDeadLetterQueue,
        RequestError::BadDestination { .. } => ErrorCode::BadDestination,
        RequestError::RedriveRunning { .. } => ErrorCode::RedriveRunning,
        RequestError::TooManyRedrives { .. } => ErrorCode::TooManyRedrives,
        RequestError::UnknownRedrive { .. } => ErrorCode::UnknownRedrive,
        RequestError::StorageFull { .. } => ErrorCode::StorageFull,
        RequestError::StorageFailed { .. } => ErrorCode::StorageFailed,
        RequestError::ShuttingDown => ErrorCode::ShuttingDown,
    }
}

/// A leased message with its bytes.
pub(crate) fn received(delivery: &Delivery, stored: StoredMessage) -> ReceivedMessage {
    let (receive_count, sent) = (delivery.receive_count, delivery.sent);
    let (location, reason) = (&delivery.location, delivery.reason.as_deref());
    let told = Told::of(location, receive_count, sent, reason, stored.dead_letter.as_ref());
    let first_received = stored.dead_letter.as_ref().map(|letter| letter.first_received);
    ReceivedMessage {
        seq: delivery.seq.0,
        receipt: Receipt::new(Bytes::copy_from_slice(&delivery.receipt.0))
            .expect("a sealed receipt has 28 bytes, fewer than the protocol allows"),
        receive_count: told.receive_count,
        sent_ms: told.sent.0,
        first_received_ms: first_received.unwrap_or(delivery.first_received).0,
        source: told.source,
        origin_queue_id: told.origin_queue.0,
        origin_seq: told.origin_seq.0,
        reason: told.reason,
        block: block(stored),
    }
}

/// A peeked message with its bytes; `None` for one that was set aside, which has none to show.
pub(crate) fn peeked(peeked: &Peeked, stored: StoredMessage) -> Option<PeekedMessage> {
    let (state, until_ms) = match peeked.state {
        MessageState::Waiting => (forebay_protocol::MessageState::Waiting, 0),
        MessageState::InFlight { until } => (forebay_protocol::MessageState::InFlight, until.0),
        MessageState::Delayed => {
            let until = peeked.visible_from.or(stored.visible_from).unwrap_or_default();
            (forebay_protocol::MessageState::Delayed, until.0)
        }
        MessageState::Damaged => return None,
    };
    let (receive_count, sent) = (peeked.receive_count, peeked.sent);
    let (location, reason) = (&peeked.location, peeked.reason.as_deref());
    let told = Told::of(location, receive_count, sent, reason, stored.dead_letter.as_ref());
    Some(PeekedMessage {
        seq: peeked.seq.0,
        state,
        until_ms,
        receive_count: told.receive_count,
        sent_ms: told.sent.0,
        reason: told.reason,
        source: told.source,
        origin_queue_id: told.origin_queue.0,
        origin_seq: told.origin_seq.0,
        block: block(stored),
    })
}

/// What is told of a message beside what its queue knows: a dead letter is still the message that
/// was sent to another queue.
struct Told {
    receive_count: u32,
    sent: LogTime,
    source: String,
    origin_queue: QueueId,
    origin_seq: Seq,
    reason: String,
}

impl Told {
    fn of(
        location: &Location,
        receive_count: u32,
        sent: LogTime,
        reason: Option<&str>,
        dead_letter: Option<&DeadLetter>,
    ) -> Self {
        match dead_letter {
            None => Told {
                receive_count,
                sent,
                source: String::new(),
                origin_queue: location.queue,
                origin_seq: location.seq,
                reason: reason.unwrap_or_default().to_owned(),
            },
            Some(letter) => Told {
                receive_count: letter.receive_count.saturating_add(receive_count),
                sent: letter.sent,
                source: letter.source.clone(),
                origin_queue: letter.origin_queue,
                origin_seq: letter.origin_seq,
                reason: reason.unwrap_or(&letter.reason).to_owned(),
            },
        }
    }
}

fn redrive_info(info: command::RedriveInfo) -> RedriveInfo {
    RedriveInfo {
        redrive: info.redrive.0,
        state: match info.state {
            command::RedriveState::Running => RedriveState::Running,
            command::RedriveState::Completed => RedriveState::Completed,
            command::RedriveState::Cancelled => RedriveState::Cancelled,
            command::RedriveState::Failed => RedriveState::Failed,
        },
        source: info.source,
        destination: info.destination,
        rate: u32::try_from(info.rate).unwrap_or(u32::MAX),
        moved: info.moved,
        to_move: info.to_move,
        started_ms: info.started.0,
        ended_ms: info.ended.unwrap_or_default().0,
        reason: info.reason,
    }
}

fn block(stored: StoredMessage) -> Block {
    Block::from_payload(stored.checksum, stored.attributes_bytes as usize, stored.payload)
}

fn failure((index, cause): (u32, RequestError)) -> Failure {
    Failure { index, code: error_code(&cause), text: cause.to_string() }
}

fn fact(fact: facts::Fact) -> Fact {
    match fact {
        facts::Fact::Empty => Fact::Empty {},
        facts::Fact::Waiting { messages, next } => {
            Fact::Waiting { messages, next_seq: next.map_or(0, |seq| seq.0) }
        }
        facts::Fact::Delayed { messages, first_due } => {
            Fact::Delayed { messages, first_due_ms: first_due.0 }
        }
        facts::Fact::InFlight { messages, first_ends } => {
            Fact::InFlight { messages, first_ends_ms: first_ends.0 }
        }
        facts::Fact::Damaged { messages } => Fact::Damaged { messages },
        facts::Fact::InFlightLimit { max } => Fact::InFlightLimit { max },
        facts::Fact::GroupsLocked { groups, locked, blocker } => {
            Fact::GroupsLocked { groups, locked, blocker_seq: blocker.0 }
        }
        facts::Fact::GroupsNoisy { groups } => Fact::GroupsNoisy { groups },
        facts::Fact::Moving { messages } => Fact::Moving { messages },
        facts::Fact::Expired { below, at } => Fact::Expired { before_seq: below.0, at_ms: at.0 },
        facts::Fact::QueueDelay { ms } => Fact::QueueDelay { ms },
        facts::Fact::ReceivesWait { receives } => Fact::ReceivesWait { receives },
        facts::Fact::IndexDamaged { seq } => Fact::IndexDamaged { seq: seq.0 },
        facts::Fact::StorageFull { detail } => Fact::StorageFull { detail },
        facts::Fact::MessageWaiting { before } => Fact::MessageWaiting { before },
        facts::Fact::MessageDelayed => Fact::MessageDelayed {},
        facts::Fact::MessageInFlight { since, until, receive_count } => {
            Fact::MessageInFlight { since_ms: since.0, until_ms: until.0, receive_count }
        }
        facts::Fact::MessageBehind { blocker } => Fact::MessageBehind { blocker_seq: blocker.0 },
        facts::Fact::MessageDamaged { path, offset } => {
            Fact::MessageDamaged { file: path.display().to_string(), offset }
        }
        facts::Fact::MessageMoving => Fact::MessageMoving {},
        facts::Fact::MessageBehindMoving { moving } => {
            Fact::MessageBehindMoving { moving_seq: moving.0 }
        }
        facts::Fact::MessageNotDurable => Fact::MessageNotDurable {},
        facts::Fact::MessageAcked => Fact::MessageAcked {},
        facts::Fact::MessagePurged { at } => Fact::MessagePurged { at_ms: at.0 },
        facts::Fact::MessageExpired { at } => Fact::MessageExpired { at_ms: at.0 },
        facts::Fact::MessageUnknown { next } => Fact::MessageUnknown { next_seq: next.0 },
    }
}

fn transact_sent(stored: command::StoredMessages) -> TransactSent {
    let command::StoredMessages { queue, first, count, seqs } = stored;
    let seqs = seqs.into_iter().map(|seq| seq.0).collect();
    TransactSent { queue_id: queue.0, first_seq: first.0, count, seqs }
}

fn queue_info(info: command::QueueInfo) -> QueueInfo {
    let command::Counts { waiting, in_flight, delayed, damaged } = info.counts;
    QueueInfo {
        name: info.name,
        queue_id: info.id.0,
        created_ms: info.created.0,
        modified_ms: info.modified.0,
        attributes: attributes(&info.attributes),
        waiting,
        in_flight,
        delayed,
        damaged,
        next_seq: info.next_seq.0,
    }
}

fn attributes(attributes: &Attributes) -> QueueAttributes {
    let all = attributes.as_changes();
    let mut told = QueueAttributes::default();
    for (id, value) in all.iter() {
        if let (Value::Number(number), Some(slot)) = (value, told.by_id(id)) {
            *slot = Some(number);
        }
    }
    let AttributeChanges { dead_letter_queue, redrive_sources, tags, notes, .. } = all;
    QueueAttributes { dead_letter_queue, redrive_sources, tags, notes, ..told }
}

fn stats_told(stats: stats::Stats) -> StatsTold {
    let stats::Stats { queues, messages, held_messages, expired_messages, memory, disk } = stats;
    let (memory, disk) = (memory_stats(memory), disk_stats(disk));
    StatsTold { queues, messages, held_messages, memory, disk, expired_messages }
}

fn memory_stats(memory: stats::MemoryStats) -> MemoryStats {
    let stats::MemoryStats {
        held_bytes,
        timers_bytes,
        apart_bytes,
        queues_bytes,
        index_heap_bytes,
        index_runs_bytes,
        index_mapped_bytes,
        tail_cache_bytes,
    } = memory;
    MemoryStats {
        held_bytes,
        timers_bytes,
        apart_bytes,
        queues_bytes,
        index_heap_bytes,
        index_runs_bytes,
        index_mapped_bytes,
        tail_cache_bytes,
    }
}

fn disk_stats(disk: stats::DiskStats) -> DiskStats {
    let stats::DiskStats {
        last_position,
        segments_sealed,
        sealed_bytes,
        live_bytes,
        sent_bytes,
        log_bytes_written,
        index_bytes_written,
        snapshots,
        snapshot_bytes_written,
        // Measured by a test of the engine; not on the wire.
        freeze_us_max: _,
        snapshot_position,
        compactions,
        is_compacting,
        compacted_bytes_read,
        compacted_bytes_written,
        compacted_bytes_freed,
        log_rested_ms,
        compacted_bytes_skipped,
    } = disk;
    DiskStats {
        last_position,
        segments_sealed,
        sealed_bytes,
        live_bytes,
        sent_bytes,
        log_bytes_written,
        index_bytes_written,
        snapshots,
        snapshot_bytes_written,
        snapshot_position,
        compactions,
        is_compacting,
        compacted_bytes_read,
        compacted_bytes_written,
        compacted_bytes_freed,
        log_rested_ms,
        compacted_bytes_skipped,
    }
}
