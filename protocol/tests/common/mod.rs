//! What several tests use: values of every kind, and frames of them.

#![allow(dead_code, reason = "each test uses a part of this module")]

use bytes::{Bytes, BytesMut};
use forebay_protocol::*;
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

/// The frame of a request.
pub(crate) fn request_frame(request: impl Into<Request>, correlation: u32) -> BytesMut {
    let mut out = BytesMut::new();
    request.into().encode(correlation, &mut out).expect("a value of a test is short");
    out
}

/// The frame of a reply.
pub(crate) fn reply_frame(reply: impl Into<Reply>, correlation: u32) -> BytesMut {
    let mut out = BytesMut::new();
    reply.into().encode(correlation, &mut out).expect("a value of a test is short");
    out
}

/// A decoder that accepts any length that a test uses.
pub(crate) fn decoder() -> FrameDecoder {
    FrameDecoder { frame_bytes_max: 1 << 20 }
}

/// The one frame that `bytes` hold.
pub(crate) fn only_frame(mut bytes: BytesMut) -> Frame {
    let frame = decoder()
        .decode(&mut bytes)
        .expect("a length within the limit")
        .expect("the frame is complete");
    assert!(bytes.is_empty(), "{} bytes follow the frame", bytes.len());
    frame
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

/// `Some(u64::MAX)` is left out: it means `None`.
fn optional() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(0..u64::MAX)
}

fn receipt() -> impl Strategy<Value = Receipt> {
    vec(any::<u8>(), 0..=RECEIPT_BYTES_MAX)
        .prop_map(|bytes| Receipt::new(bytes).expect("not too long"))
}

/// Attributes that break no rule.
pub(crate) fn message_attributes() -> impl Strategy<Value = MessageAttributes> {
    let id = || proptest::option::of("[!-~]{1,128}");
    let trace = proptest::option::of("[ -~é]{1,500}");
    (id(), id(), trace, vec(message_attribute(), 0..MESSAGE_ATTRIBUTES_MAX)).prop_map(
        |(group, deduplication, trace, mut attributes)| {
            attributes.sort_by(|one, other| one.name.cmp(&other.name));
            attributes.dedup_by(|one, other| one.name == other.name);
            attributes.reverse();
            MessageAttributes { group, deduplication, trace, attributes }
        },
    )
}

fn message_attribute() -> impl Strategy<Value = MessageAttribute> {
    let (name, label) = (|| "[A-Za-z0-9_-]{1,8}(\\.[a-z]{1,4})?", || "(\\.[a-zé. ]{1,9})?");
    let bytes = vec(any::<u8>(), 1..20).prop_map(Bytes::from);
    prop_oneof![
        (name(), label(), "[ -~é\n]{1,20}").prop_map(|(name, label, text)| (
            name,
            format!("String{label}"),
            Bytes::from(text)
        )),
        (name(), label(), "-?[0-9]{1,19}(\\.[0-9]{1,19})?(e[0-9]{1,2})?")
            .prop_map(|(name, label, text)| (name, format!("Number{label}"), Bytes::from(text))),
        (name(), label(), bytes).prop_map(|(name, label, bytes)| (
            name,
            format!("Binary{label}"),
            bytes
        )),
    ]
    .prop_map(|(name, data_type, value)| MessageAttribute { name, data_type, value })
}

fn block() -> impl Strategy<Value = Block> {
    let sound = (message_attributes(), bytes())
        .prop_map(|(attributes, body)| Block::with_attributes(&attributes, body));
    let damaged = (any::<u32>(), bytes(), bytes())
        .prop_map(|(crc, attributes, body)| Block::from_parts(crc, attributes, body));
    prop_oneof![bytes().prop_map(Block::new), sound, damaged]
}

fn attributes() -> impl Strategy<Value = QueueAttributes> {
    let numbers = vec(proptest::option::of(any::<u64>()), QueueAttributes::TABLE.len());
    let texts = (
        proptest::option::of(text()),
        proptest::option::of(vec(text(), 0..4)),
        proptest::option::of(text_map()),
        proptest::option::of(text_map()),
    );
    (numbers, texts).prop_map(|(numbers, (dead_letter_queue, redrive_sources, tags, notes))| {
        let texts = QueueAttributes { dead_letter_queue, redrive_sources, tags, notes, ..none() };
        QueueAttributes::TABLE.iter().zip(numbers).fold(texts, |mut attributes, (row, number)| {
            *attributes.by_name(row.name).expect("a row of the table") = number;
            attributes
        })
    })
}

fn none() -> QueueAttributes {
    QueueAttributes::default()
}

fn text_map() -> impl Strategy<Value = TextMap> {
    proptest::collection::btree_map(text(), text(), 0..4)
}

fn outgoing() -> impl Strategy<Value = OutgoingMessage> {
    (optional(), block()).prop_map(|(delay_ms, block)| OutgoingMessage { delay_ms, block })
}

fn change() -> impl Strategy<Value = VisibilityChange> {
    (receipt(), any::<u64>())
        .prop_map(|(receipt, visibility_ms)| VisibilityChange { receipt, visibility_ms })
}

fn transact_acks() -> impl Strategy<Value = TransactAcks> {
    (text(), vec(receipt(), 0..3)).prop_map(|(queue, receipts)| TransactAcks { queue, receipts })
}

fn transact_sends() -> impl Strategy<Value = TransactSends> {
    (text(), vec(outgoing(), 0..3)).prop_map(|(queue, messages)| TransactSends { queue, messages })
}

fn transact_sent() -> impl Strategy<Value = TransactSent> {
    (any::<u32>(), any::<u64>(), any::<u32>()).prop_map(|(queue_id, first_seq, count)| {
        TransactSent { queue_id, first_seq, count, seqs: vec![first_seq] }
    })
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        Just(Fact::Empty {}),
        Just(Fact::MessageDelayed {}),
        any::<[u64; 2]>().prop_map(|[messages, next_seq]| Fact::Waiting { messages, next_seq }),
        any::<[u64; 3]>().prop_map(|[groups, locked, blocker_seq]| Fact::GroupsLocked {
            groups,
            locked,
            blocker_seq
        }),
        (any::<u64>(), any::<u64>(), any::<u32>()).prop_map(
            |(since_ms, until_ms, receive_count)| {
                Fact::MessageInFlight { since_ms, until_ms, receive_count }
            }
        ),
        (text(), any::<u64>()).prop_map(|(file, offset)| Fact::MessageDamaged { file, offset }),
        (200..=255u8).prop_map(|kind| Fact::Other { kind }),
    ]
}

/// Any request.
pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (any::<u16>(), any::<u16>(), text(), bytes()).prop_map(
            |(version_min, version_max, client, credentials)| {
                Hello { version_min, version_max, client, credentials }.into()
            }
        ),
        Just(Ping {}.into()),
        Just(Stats {}.into()),
        (text(), attributes())
            .prop_map(|(name, attributes)| CreateQueue { name, attributes }.into()),
        (text(), attributes())
            .prop_map(|(name, attributes)| AlterQueue { name, attributes }.into()),
        text().prop_map(|name| DescribeQueue { name }.into()),
        (text(), text(), any::<u32>()).prop_map(|(prefix, after, max)| ListQueues {
            prefix,
            after,
            max
        }
        .into()),
        (text(), text_map()).prop_map(|(name, tags)| TagQueue { name, tags }.into()),
        (text(), vec(text(), 0..4)).prop_map(|(name, keys)| UntagQueue { name, keys }.into()),
        (text(), text(), any::<u32>()).prop_map(|(name, after, max)| ListDeadLetterSources {
            name,
            after,
            max
        }
        .into()),
        (text(), any::<u64>()).prop_map(|(queue, seq)| Explain { queue, seq }.into()),
        text().prop_map(|name| PurgeQueue { name }.into()),
        text().prop_map(|name| DeleteQueue { name }.into()),
        (text(), any::<u128>(), any::<u64>(), any::<u64>(), vec(outgoing(), 0..4)).prop_map(
            |(queue, producer, batch, oldest, messages)| {
                let producer = Uuid::from_u128(producer);
                Send { queue, producer, batch, oldest, messages }.into()
            }
        ),
        (text(), any::<u32>(), optional(), optional(), any::<u32>(), text()).prop_map(
            |(queue, max, wait_ms, visibility_ms, bytes_max, attempt)| {
                Receive { queue, max, wait_ms, visibility_ms, bytes_max, attempt }.into()
            }
        ),
        (text(), vec(receipt(), 0..4)).prop_map(|(queue, receipts)| Ack { queue, receipts }.into()),
        (text(), vec(change(), 0..4)).prop_map(|(queue, changes)| ChangeVisibility {
            queue,
            changes
        }
        .into()),
        (vec(transact_acks(), 0..3), vec(transact_sends(), 0..3))
            .prop_map(|(acks, sends)| Transact { acks, sends }.into()),
        (text(), vec(receipt(), 0..4), any::<u64>(), any::<bool>(), text()).prop_map(
            |(queue, receipts, delay_ms, uncounted, reason)| {
                Nack { queue, receipts, delay_ms, uncounted, reason }.into()
            }
        ),
        (text(), any::<[u32; 4]>(), optional(), any::<bool>()).prop_map(
            |(queue, numbers, visibility_ms, release_on_close)| {
                let [credits, credit_bytes, batch_max, bytes_max] = numbers;
                Subscribe {
                    queue,
                    credits,
                    credit_bytes,
                    batch_max,
                    bytes_max,
                    visibility_ms,
                    release_on_close,
                }
                .into()
            }
        ),
        any::<u32>().prop_map(|subscription| Unsubscribe { subscription }.into()),
        any::<[u32; 3]>().prop_map(|[subscription, credits, credit_bytes]| {
            Credit { subscription, credits, credit_bytes }.into()
        }),
        (
            text(),
            any::<u64>(),
            any::<u32>(),
            any::<u32>(),
            vec(message_state(), 0..4),
            any::<u64>(),
            text()
        )
            .prop_map(|(queue, from_seq, max, bytes_max, states, since_ms, group)| {
                Peek { queue, from_seq, max, bytes_max, states, since_ms, group }.into()
            }),
        (text(), text(), any::<u32>()).prop_map(|(queue, destination, rate)| StartRedrive {
            queue,
            destination,
            rate
        }
        .into()),
        text().prop_map(|queue| ListRedrives { queue }.into()),
        any::<u64>().prop_map(|redrive| CancelRedrive { redrive }.into()),
    ]
}

fn error_code() -> impl Strategy<Value = ErrorCode> {
    any::<u16>().prop_map(ErrorCode::from_code)
}

fn retry() -> impl Strategy<Value = Retry> {
    prop_oneof![Just(Retry::Never), Just(Retry::Later), Just(Retry::UnknownOutcome)]
}

fn failure() -> impl Strategy<Value = Failure> {
    (any::<u32>(), error_code(), text()).prop_map(|(index, code, text)| Failure {
        index,
        code,
        text,
    })
}

fn queue_info() -> impl Strategy<Value = QueueInfo> {
    (text(), attributes(), any::<u32>(), any::<[u64; 7]>()).prop_map(
        |(name, attributes, queue_id, numbers)| {
            let [created_ms, modified_ms, waiting, in_flight, delayed, damaged, next_seq] = numbers;
            QueueInfo {
                name,
                queue_id,
                created_ms,
                modified_ms,
                attributes,
                waiting,
                in_flight,
                delayed,
                damaged,
                next_seq,
            }
        },
    )
}

fn received() -> impl Strategy<Value = ReceivedMessage> {
    (any::<[u64; 4]>(), receipt(), any::<[u32; 2]>(), [text(), text()], block()).prop_map(
        |(numbers, receipt, [receive_count, origin_queue_id], [source, reason], block)| {
            let [seq, sent_ms, first_received_ms, origin_seq] = numbers;
            ReceivedMessage {
                seq,
                receipt,
                receive_count,
                sent_ms,
                first_received_ms,
                source,
                origin_queue_id,
                origin_seq,
                reason,
                block,
            }
        },
    )
}

fn message_state() -> impl Strategy<Value = MessageState> {
    prop_oneof![
        Just(MessageState::Waiting),
        Just(MessageState::InFlight),
        Just(MessageState::Delayed)
    ]
}

fn peeked() -> impl Strategy<Value = PeekedMessage> {
    let numbers = (any::<[u64; 4]>(), any::<[u32; 2]>());
    (numbers, message_state(), text(), text(), block()).prop_map(
        |((numbers, [receive_count, origin_queue_id]), state, reason, source, block)| {
            let [seq, until_ms, sent_ms, origin_seq] = numbers;
            PeekedMessage {
                seq,
                state,
                until_ms,
                receive_count,
                sent_ms,
                reason,
                source,
                origin_queue_id,
                origin_seq,
                block,
            }
        },
    )
}

fn redrive_info() -> impl Strategy<Value = RedriveInfo> {
    let state = prop_oneof![
        Just(RedriveState::Running),
        Just(RedriveState::Completed),
        Just(RedriveState::Cancelled),
        Just(RedriveState::Failed)
    ];
    (any::<[u64; 5]>(), any::<u32>(), state, text(), text(), text()).prop_map(
        |(numbers, rate, state, source, destination, reason)| {
            let [redrive, moved, to_move, started_ms, ended_ms] = numbers;
            RedriveInfo {
                redrive,
                state,
                source,
                destination,
                rate,
                moved,
                to_move,
                started_ms,
                ended_ms,
                reason,
            }
        },
    )
}

fn welcome() -> impl Strategy<Value = Welcome> {
    (any::<u16>(), any::<[u8; 16]>(), text(), any::<[u32; 6]>()).prop_map(
        |(version, store_id, server, limits)| {
            let [
                frame_bytes_max,
                message_bytes_max,
                batch_messages_max,
                in_flight_requests_max,
                in_flight_bytes_max,
                idle_timeout_ms,
            ] = limits;
            let limits = Limits {
                frame_bytes_max,
                message_bytes_max,
                batch_messages_max,
                in_flight_requests_max,
                in_flight_bytes_max,
                idle_timeout_ms,
            };
            Welcome { version, store_id: Uuid::from_bytes(store_id), server, limits }
        },
    )
}

/// Figures, in the order in which they stand on the wire.
pub(crate) fn stats_told(
    [queues, messages, held_messages, expired_messages]: [u64; 4],
    memory: [u64; 8],
    disk: [u64; 16],
    is_compacting: bool,
) -> StatsTold {
    let [
        held_bytes,
        timers_bytes,
        apart_bytes,
        queues_bytes,
        index_heap_bytes,
        index_runs_bytes,
        index_mapped_bytes,
        tail_cache_bytes,
    ] = memory;
    let [
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
        compacted_bytes_read,
        compacted_bytes_written,
        compacted_bytes_freed,
        log_rested_ms,
        compacted_bytes_skipped,
    ] = disk;
    let memory = MemoryStats {
        held_bytes,
        timers_bytes,
        apart_bytes,
        queues_bytes,
        index_heap_bytes,
        index_runs_bytes,
        index_mapped_bytes,
        tail_cache_bytes,
    };
    let disk = DiskStats {
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
    };
    StatsTold { queues, messages, held_messages, memory, disk, expired_messages }
}

fn stats() -> impl Strategy<Value = StatsTold> {
    (any::<[u64; 4]>(), any::<[u64; 8]>(), any::<[u64; 16]>(), any::<bool>())
        .prop_map(|(counts, memory, disk, bit)| stats_told(counts, memory, disk, bit))
}

/// Any reply.
pub(crate) fn any_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        welcome().prop_map(Reply::from),
        Just(Pong {}.into()),
        stats().prop_map(Reply::from),
        (any::<u32>(), any::<bool>()).prop_map(|(queue_id, created)| QueueCreated {
            queue_id,
            created
        }
        .into()),
        Just(QueueAltered {}.into()),
        queue_info().prop_map(|queue| QueueDescribed { queue: queue.into() }.into()),
        (vec(queue_info(), 0..3), any::<bool>()).prop_map(|(queues, more)| QueuesListed {
            queues,
            more
        }
        .into()),
        Just(QueueTagged {}.into()),
        Just(QueueUntagged {}.into()),
        any::<[u64; 2]>().prop_map(|[redrive, to_move]| RedriveStarted { redrive, to_move }.into()),
        vec(redrive_info(), 0..4).prop_map(|redrives| RedrivesListed { redrives }.into()),
        any::<u64>().prop_map(|moved| RedriveCancelled { moved }.into()),
        (vec(text(), 0..4), any::<bool>()).prop_map(|(names, more)| DeadLetterSourcesListed {
            names,
            more
        }
        .into()),
        (any::<u32>(), any::<u64>(), vec(fact(), 0..4))
            .prop_map(|(queue_id, now_ms, facts)| Explained { queue_id, now_ms, facts }.into()),
        any::<u64>().prop_map(|purged| QueuePurged { purged }.into()),
        Just(QueueDeleted {}.into()),
        (any::<u32>(), any::<u64>(), any::<u32>(), vec(any::<u64>(), 0..4)).prop_map(
            |(queue_id, first_seq, count, seqs)| {
                Sent { queue_id, first_seq, count, seqs }.into()
            }
        ),
        (vec(received(), 0..3), any::<u32>()).prop_map(|(messages, queue_id)| Received {
            messages,
            queue_id
        }
        .into()),
        vec(failure(), 0..3).prop_map(|failures| Acked { failures }.into()),
        vec(failure(), 0..3).prop_map(|failures| VisibilityChanged { failures }.into()),
        vec(failure(), 0..3).prop_map(|failures| Nacked { failures }.into()),
        vec(transact_sent(), 0..3).prop_map(|sent| Transacted { sent }.into()),
        (vec(peeked(), 0..3), any::<u64>()).prop_map(|(messages, next_seq)| Peeked {
            messages,
            next_seq
        }
        .into()),
        (vec(received(), 0..3), any::<u32>(), any::<bool>())
            .prop_map(|(messages, queue_id, last)| Delivered { messages, queue_id, last }.into()),
        Just(Unsubscribed {}.into()),
        Just(Credited {}.into()),
        (error_code(), retry(), text()).prop_map(|(code, retry, text)| ProtocolError {
            code,
            retry,
            text
        }
        .into()),
    ]
}
