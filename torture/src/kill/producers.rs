//! Clients that send.

use std::collections::VecDeque;
use std::time::Duration;

use forebay_protocol::OutgoingMessage;
use forebay_protocol::client::{ClientError, ProducerBatch};
use uuid::Uuid;

use super::history::{Micros, SentMessage, What, queues};
use super::life::{Life, is_over};
use crate::random::Random;

/// Groups of a FIFO producer.
const GROUPS: u64 = 8;

/// A queue is purged so long after a life began, at the latest.
const PURGE_AFTER_MS_MAX: u64 = 150;

/// A batch that is sent until it is answered.
#[derive(Debug, Clone)]
struct Batch {
    /// Its number by its producer.
    batch: u64,
    messages: Vec<SentMessage>,
}

/// A producer that repeats what was not answered, over as many lives as it takes.
#[derive(Debug, Clone)]
pub(super) struct Persistent {
    queue: &'static str,
    producer: Uuid,
    /// Its groups begin here.
    group_first: u32,
    next: u64,
    unanswered: VecDeque<Batch>,
}

/// Sends to a queue until the life is over; what was not answered is not repeated.
pub(super) async fn send(life: Life, queue: &'static str, mut random: Random) {
    while !life.is_ending() {
        let messages: Vec<_> = (0..random.of(1..=8))
            .map(|_| SentMessage {
                number: life.number(),
                group: 0,
                delay_ms: if queue == queues::LATE {
                    random.below(life.habits.delay_ms_max)
                } else {
                    0
                },
                seq: 0,
            })
            .collect();
        let began = life.now();
        let result = life.client.send(queue, outgoing(&life, &messages)).await;
        let seqs = result.as_ref().map(|sent| sent.seqs().collect()).unwrap_or_default();
        if !noted(&life, began, queue, messages, result, seqs) {
            return;
        }
    }
}

/// Purges a queue once, some time after the life began, if the life is not over sooner.
pub(super) async fn purge(life: Life, queue: &'static str, mut random: Random) {
    let time = Duration::from_millis(random.below(PURGE_AFTER_MS_MAX));
    if tokio::time::timeout(time, life.ending.cancelled()).await.is_ok() {
        return;
    }
    let began = life.now();
    let result = life.client.purge_queue(queue).await;
    life.note(began, &result, What::Purge { queue });
}

impl Persistent {
    /// A producer whose batches have numbers.
    pub(super) fn numbered() -> Self {
        Self::new(queues::ONCE, 0)
    }

    /// A producer of these groups, whose messages have deduplication ids.
    pub(super) fn of_groups(number: u32) -> Self {
        Self::new(queues::ORDERS, 1 + number * GROUPS as u32)
    }

    fn new(queue: &'static str, group_first: u32) -> Self {
        let producer = Uuid::new_v4();
        Self { queue, producer, group_first, next: 1, unanswered: VecDeque::new() }
    }

    /// Whether every batch was answered.
    pub(super) fn is_done(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Repeats what was not answered, then sends more until the life is over, or nothing more if that is
    /// not wanted.
    pub(super) async fn run(mut self, life: Life, mut random: Random, more: bool) -> Self {
        let mut repeats = self.unanswered.len();
        while !life.is_ending() {
            let batch = match repeats.checked_sub(1) {
                Some(left) => {
                    repeats = left;
                    self.unanswered[0].clone()
                }
                None if more => self.begin(&life, &mut random),
                None => break,
            };
            let began = life.now();
            let result = self.send(&life, &batch).await;
            let is_answered = result.is_ok();
            let seqs = result.as_ref().map(|sent| sent.seqs().collect()).unwrap_or_default();
            if is_answered {
                self.unanswered.pop_front();
            }
            if !noted(&life, began, self.queue, batch.messages, result, seqs) || !is_answered {
                break;
            }
        }
        self
    }

    fn begin(&mut self, life: &Life, random: &mut Random) -> Batch {
        let is_fifo = self.queue == queues::ORDERS;
        let mut message = || SentMessage {
            number: life.number(),
            group: if is_fifo { self.group_first + random.below(GROUPS) as u32 } else { 0 },
            delay_ms: 0,
            seq: 0,
        };
        let first = message();
        let messages =
            std::iter::once(first).chain((0..self.next % 7).map(|_| message())).collect();
        let batch = Batch { batch: self.next, messages };
        self.next += 1;
        self.unanswered.push_back(batch.clone());
        batch
    }

    async fn send(
        &self,
        life: &Life,
        batch: &Batch,
    ) -> Result<forebay_protocol::Sent, ClientError> {
        let messages = outgoing(life, &batch.messages);
        if self.queue == queues::ORDERS {
            return life.client.send(self.queue, messages).await;
        }
        let oldest = self.unanswered.front().map_or(batch.batch, |oldest| oldest.batch);
        let batch = ProducerBatch { producer: self.producer, number: batch.batch, oldest };
        life.client.send_once(self.queue, batch, messages).await
    }
}

/// Messages as they are sent.
pub(super) fn outgoing(life: &Life, messages: &[SentMessage]) -> Vec<OutgoingMessage> {
    let one = |sent: &SentMessage| {
        let message = OutgoingMessage::new(life.body(sent.number));
        match (sent.group, sent.delay_ms) {
            (0, 0) => message,
            (0, delay_ms) => OutgoingMessage { delay_ms: Some(delay_ms), ..message },
            (group, _) => message
                .group(format!("group {group}").replace(' ', "-"))
                .deduplication(format!("{}-{}", life.round, sent.number)),
        }
    };
    messages.iter().map(one).collect()
}

/// Notes a send; whether the life goes on.
fn noted<T>(
    life: &Life,
    began: Micros,
    queue: &'static str,
    mut messages: Vec<SentMessage>,
    result: Result<T, ClientError>,
    seqs: Vec<u64>,
) -> bool {
    numbered(&mut messages, &seqs);
    life.note(began, &result, What::Send { queue, messages });
    !is_over(&result)
}

/// Writes down which numbers messages got.
pub(super) fn numbered(messages: &mut [SentMessage], seqs: &[u64]) {
    for (message, seq) in messages.iter_mut().zip(seqs) {
        message.seq = *seq;
    }
}
