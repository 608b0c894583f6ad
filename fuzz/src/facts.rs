//! Facts: records that the fuzzer makes up, written with the engine's writer and compared with
//! what its reader gives back.

use forebay_engine::LogTime;
use forebay_engine::attributes::{ATTRIBUTES, AttributeChanges};
use forebay_engine::checksum;
use forebay_engine::ids::{
    DeduplicationKey, Epoch, Group, LeaseId, Position, QueueId, RedriveId, Seq,
};
use forebay_engine::record::{
    Lease, Moved, Record, RecordWriter, RedriveEnded, RedriveOutcome, RedriveStarted, Sent,
};

use crate::Choices;

const NAME_BYTES_MAX: usize = 12;
const PAYLOAD_BYTES_MAX: usize = 80;
const ITEMS_MAX: usize = 5;

/// The content of a record, owned.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of the engine's records")]
pub enum Fact {
    QueueCreated {
        queue: QueueId,
        time: LogTime,
        attributes: AttributeChanges,
        name: String,
    },
    QueueChanged {
        queue: QueueId,
        time: LogTime,
        attributes: AttributeChanges,
    },
    QueuePurged {
        queue: QueueId,
        through: Seq,
        time: Option<LogTime>,
    },
    QueueDeleted {
        queue: QueueId,
    },
    Expired {
        queue: QueueId,
        below: Seq,
        time: LogTime,
        late_before: LogTime,
    },
    Opened {
        epoch: Epoch,
    },
    Sent {
        queue: QueueId,
        seq: Seq,
        position: Position,
        at: Option<LogTime>,
        deduplication: Option<(DeduplicationKey, LogTime)>,
        attributes_bytes: u32,
        payload: Vec<u8>,
    },
    Leased {
        queue: QueueId,
        time: LogTime,
        until: LogTime,
        first: LeaseId,
        items: Vec<Lease>,
    },
    LeaseChanged {
        queue: QueueId,
        items: Vec<(Seq, LogTime)>,
    },
    Acked {
        queue: QueueId,
        items: Vec<Seq>,
    },
    Returned {
        queue: QueueId,
        until: LogTime,
        is_counted: bool,
        reason: String,
        items: Vec<Seq>,
    },
    Moved {
        queue: QueueId,
        position: Position,
        numbers: [u64; 7],
        receive_count: u32,
        redrive: Option<(RedriveId, u64)>,
        reason: String,
        source: String,
        attributes_bytes: u32,
        payload: Vec<u8>,
    },
    RedriveStarted {
        redrive: RedriveId,
        numbers: [u64; 5],
        destination: String,
    },
    RedriveEnded {
        redrive: RedriveId,
        time: LogTime,
        outcome: RedriveOutcome,
        moved: u64,
        reason: String,
    },
}

impl Fact {
    /// A fact as the fuzzer chooses, in the entry of that position.
    pub fn choose(choices: &mut Choices<'_>, position: Position) -> Self {
        let kind = choices.below(14);
        let queue = QueueId(choices.number_u32());
        match kind {
            0 => Fact::QueueCreated {
                queue,
                time: LogTime(choices.number()),
                attributes: attributes(choices),
                name: String::from_utf8_lossy(choices.bytes(NAME_BYTES_MAX)).into_owned(),
            },
            1 => Fact::QueueChanged {
                queue,
                time: LogTime(choices.number()),
                attributes: attributes(choices),
            },
            2 => Fact::QueuePurged {
                queue,
                through: seq(choices),
                time: (choices.byte() % 2 == 1).then(|| LogTime(choices.number())),
            },
            3 => Fact::QueueDeleted { queue },
            4 => Fact::Opened { epoch: Epoch(choices.number_u32()) },
            5 => {
                let payload = choices.bytes(PAYLOAD_BYTES_MAX).to_vec();
                Fact::Sent {
                    queue,
                    seq: seq(choices),
                    position,
                    // 0 stands for no value.
                    at: Some(choices.number()).filter(|time| time % 2 == 1).map(LogTime),
                    deduplication: (choices.byte() % 2 == 1).then(|| {
                        (DeduplicationKey([choices.byte(); 16]), LogTime(choices.number()))
                    }),
                    attributes_bytes: choices.below(payload.len() + 1) as u32,
                    payload,
                }
            }
            6 => Fact::Leased {
                queue,
                time: LogTime(choices.number()),
                until: LogTime(choices.number()),
                // Of an opening, which counts its leases in the lower bits.
                first: LeaseId(choices.number() >> 1),
                // At least one: the writer makes no record of no leases.
                items: std::iter::once(lease(choices)).chain(items(choices, lease)).collect(),
            },
            7 => Fact::LeaseChanged {
                queue,
                // At least one: the writer makes no record of no changes.
                items: std::iter::once((seq(choices), LogTime(choices.number())))
                    .chain(items(choices, |choices| (seq(choices), LogTime(choices.number()))))
                    .collect(),
            },
            8 => Fact::Returned {
                queue,
                until: LogTime(choices.number()),
                is_counted: choices.byte() % 2 == 1,
                reason: String::from_utf8_lossy(choices.bytes(NAME_BYTES_MAX)).into_owned(),
                items: items(choices, seq),
            },
            9 => Fact::Acked { queue, items: items(choices, seq) },
            10 => {
                let payload = choices.bytes(PAYLOAD_BYTES_MAX).to_vec();
                Fact::Moved {
                    queue,
                    position,
                    numbers: std::array::from_fn(|_| seq(choices).0),
                    receive_count: choices.number_u32(),
                    // One that names no queue is none.
                    redrive: Some((redrive(choices), seq(choices).0))
                        .filter(|(redrive, _)| redrive.0 > 0),
                    reason: text(choices),
                    source: text(choices),
                    attributes_bytes: choices.below(payload.len() + 1) as u32,
                    payload,
                }
            }
            11 => Fact::RedriveStarted {
                redrive: redrive(choices),
                numbers: std::array::from_fn(|_| seq(choices).0),
                destination: text(choices),
            },
            12 => Fact::Expired {
                queue,
                below: seq(choices),
                time: LogTime(choices.number()),
                late_before: LogTime(choices.number()),
            },
            _ => Fact::RedriveEnded {
                redrive: redrive(choices),
                time: LogTime(choices.number()),
                outcome: [
                    RedriveOutcome::Completed,
                    RedriveOutcome::Cancelled,
                    RedriveOutcome::Failed,
                ][choices.below(3)],
                moved: seq(choices).0,
                reason: text(choices),
            },
        }
    }

    /// Writes the fact as the engine does.
    pub fn write(&self, out: &mut RecordWriter<'_>) {
        match self {
            Fact::QueueCreated { queue, time, attributes, name } => {
                out.queue_created(*queue, *time, attributes, name);
            }
            Fact::QueueChanged { queue, time, attributes } => {
                out.queue_changed(*queue, *time, attributes);
            }
            Fact::QueuePurged { queue, through, time } => {
                out.queue_purged(*queue, *through, *time);
            }
            Fact::QueueDeleted { queue } => out.queue_deleted(*queue),
            Fact::Expired { queue, below, time, late_before } => {
                out.expired(*queue, *below, *time, *late_before);
            }
            Fact::Opened { epoch } => out.opened(*epoch),
            Fact::Sent { .. } => out.sent(&self.as_sent().expect("this is one")),
            Fact::Leased { queue, time, until, first, items } => {
                out.leased(*queue, *time, *until, *first, items);
            }
            Fact::LeaseChanged { queue, items } => out.lease_changed(*queue, items),
            Fact::Acked { queue, items } => out.acked(*queue, items),
            Fact::Returned { queue, until, is_counted, reason, items } => {
                out.returned(*queue, *until, *is_counted, reason, items);
            }
            Fact::Moved { .. } => out.moved(&self.as_moved().expect("this is one")),
            Fact::RedriveStarted { .. } => {
                out.redrive_started(&self.as_started().expect("this is one"));
            }
            Fact::RedriveEnded { .. } => out.redrive_ended(&self.as_ended().expect("this is one")),
        }
    }

    /// Whether a record that was read says this.
    pub fn is_said_by(&self, record: &Record<'_>) -> bool {
        match (self, *record) {
            (
                Fact::QueueCreated { queue, time, attributes, name },
                Record::QueueCreated { queue: q, time: t, attributes: a, name: n },
            ) => (*queue, *time, attributes, &**name) == (q, t, &a.changes(), n),
            (
                Fact::QueueChanged { queue, time, attributes },
                Record::QueueChanged { queue: q, time: t, attributes: a },
            ) => (*queue, *time, attributes) == (q, t, &a.changes()),
            (
                Fact::QueuePurged { queue, through, time },
                Record::QueuePurged { queue: q, through: t, time: at },
            ) => (*queue, *through, *time) == (q, t, at),
            (Fact::QueueDeleted { queue }, Record::QueueDeleted { queue: q }) => *queue == q,
            (
                Fact::Expired { queue, below, time, late_before },
                Record::Expired { queue: q, below: b, time: t, late_before: l },
            ) => (*queue, *below, *time, *late_before) == (q, b, t, l),
            (Fact::Opened { epoch }, Record::Opened { epoch: e }) => *epoch == e,
            (Fact::Sent { .. }, Record::Sent(sent)) => {
                self.as_sent() == Some(sent) && sent.check_payload().is_ok()
            }
            (
                Fact::Leased { queue, time, until, first, items },
                Record::Leased { queue: q, time: t, until: u, first_lease: f, messages },
            ) => {
                (*queue, *time, *until, *first) == (q, t, u, f)
                    && messages.iter().eq(items.iter().copied())
            }
            (Fact::LeaseChanged { queue, items }, Record::LeaseChanged { queue: q, changes }) => {
                *queue == q && changes.iter().eq(items.iter().copied())
            }
            (Fact::Acked { queue, items }, Record::Acked { queue: q, messages }) => {
                *queue == q && messages.iter().eq(items.iter().copied())
            }
            (
                Fact::Returned { queue, until, is_counted, reason, items },
                Record::Returned { queue: q, until: u, is_counted: c, reason: r, messages },
            ) => {
                (*queue, *until, *is_counted, &**reason) == (q, u, c, r)
                    && messages.iter().eq(items.iter().copied())
            }
            (Fact::Moved { .. }, Record::Moved(moved)) => {
                self.as_moved() == Some(moved) && moved.message.check_payload().is_ok()
            }
            (Fact::RedriveStarted { .. }, Record::RedriveStarted(started)) => {
                self.as_started() == Some(started)
            }
            (Fact::RedriveEnded { .. }, Record::RedriveEnded(ended)) => {
                self.as_ended() == Some(ended)
            }
            _ => false,
        }
    }

    fn as_moved(&self) -> Option<Moved<'_>> {
        let Fact::Moved {
            queue,
            position,
            numbers,
            receive_count,
            redrive,
            reason,
            source,
            attributes_bytes,
            payload,
        } = self
        else {
            return None;
        };
        let [seq, visible_from, from_seq, origin_seq, sent, first_received, time] = *numbers;
        let message = Sent {
            queue: *queue,
            seq: Seq(seq),
            position: *position,
            visible_from: Some(LogTime(visible_from)).filter(|time| time.0 > 0),
            deduplication: None,
            checksum: checksum::message(*attributes_bytes, payload),
            attributes_bytes: *attributes_bytes,
            payload,
        };
        Some(Moved {
            message,
            from_queue: redrive.map_or(*queue, |(redrive, _)| redrive.queue()),
            from_seq: Seq(from_seq),
            origin_queue: *queue,
            origin_seq: Seq(origin_seq),
            sent: LogTime(sent),
            first_received: LogTime(first_received),
            receive_count: *receive_count,
            time: LogTime(time),
            redrive: *redrive,
            reason,
            source,
        })
    }

    fn as_started(&self) -> Option<RedriveStarted<'_>> {
        let Fact::RedriveStarted { redrive, numbers, destination } = self else { return None };
        let [time, rate, through, to_move, moved] = *numbers;
        let (redrive, time, through) = (*redrive, LogTime(time), Seq(through));
        Some(RedriveStarted { redrive, time, rate, through, to_move, moved, destination })
    }

    fn as_ended(&self) -> Option<RedriveEnded<'_>> {
        let Fact::RedriveEnded { redrive, time, outcome, moved, reason } = self else {
            return None;
        };
        let (redrive, time, outcome, moved) = (*redrive, *time, *outcome, *moved);
        Some(RedriveEnded { redrive, time, outcome, moved, reason })
    }

    fn as_sent(&self) -> Option<Sent<'_>> {
        let Fact::Sent { queue, seq, position, at, deduplication, attributes_bytes, payload } =
            self
        else {
            return None;
        };
        Some(Sent {
            queue: *queue,
            seq: *seq,
            position: *position,
            visible_from: *at,
            deduplication: *deduplication,
            checksum: checksum::message(*attributes_bytes, payload),
            attributes_bytes: *attributes_bytes,
            payload,
        })
    }
}

fn text(choices: &mut Choices<'_>) -> String {
    String::from_utf8_lossy(choices.bytes(NAME_BYTES_MAX)).into_owned()
}

fn attributes(choices: &mut Choices<'_>) -> AttributeChanges {
    let mut given = AttributeChanges::default();
    for _ in 0..choices.below(ITEMS_MAX) {
        // A number that stands for nothing is no attribute, and not given.
        let row = &ATTRIBUTES[choices.below(ATTRIBUTES.len())];
        let _ = given.set(row.id, choices.number());
    }
    let bits = choices.byte();
    given.dead_letter_queue = (bits & 1 != 0).then(|| text(choices));
    given.redrive_sources = (bits & 2 != 0).then(|| items(choices, text));
    let pair = |choices: &mut Choices<'_>| (text(choices), text(choices));
    given.tags = (bits & 4 != 0).then(|| items(choices, pair).into_iter().collect());
    given.notes = (bits & 8 != 0).then(|| items(choices, pair).into_iter().collect());
    given
}

fn items<T>(choices: &mut Choices<'_>, item: impl Fn(&mut Choices<'_>) -> T) -> Vec<T> {
    (0..choices.below(ITEMS_MAX)).map(|_| item(choices)).collect()
}

/// A message's number, in its range.
fn seq(choices: &mut Choices<'_>) -> Seq {
    Seq(choices.number().min(Seq::MAX.0))
}

/// A redrive's number, in its range: another one can come after it.
fn redrive(choices: &mut Choices<'_>) -> RedriveId {
    let number = choices.number();
    RedriveId(if number as u32 == u32::MAX { number - 1 } else { number })
}

fn lease(choices: &mut Choices<'_>) -> Lease {
    Lease {
        seq: seq(choices),
        receive_count: choices.number_u32(),
        group: Group(choices.number_u32()),
    }
}
