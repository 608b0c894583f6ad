//! Clients that receive, and do with what they got what consumers do: delete it, give it back, forget
//! it, or delete it and send something else in one transaction.

use forebay_protocol::client::{ClientError, NackOptions, ReceiveOptions};
use forebay_protocol::{ErrorCode, Receipt, VisibilityChange};

use super::history::{Content, Delivery, Number, SentMessage, What, queues};
use super::life::{Life, is_over};
use super::producers::{numbered, outgoing};
use crate::random::Random;

/// What a consumer has in its hands.
type Held = Vec<(Number, Receipt)>;

/// A consumer of a queue.
#[derive(Debug, Clone)]
pub(super) struct Consumer {
    queue: &'static str,
    /// Receipts that are used in a later life of the server.
    kept: Held,
}

impl Consumer {
    pub(super) fn new(queue: &'static str) -> Self {
        Self { queue, kept: Vec::new() }
    }

    /// Consumes until the life is over. While a round is drained everything is deleted.
    pub(super) async fn run(mut self, life: Life, mut random: Random, draining: bool) -> Self {
        let kept = std::mem::take(&mut self.kept);
        let mut goes_on = kept.is_empty() || self.ack(&life, kept).await;
        while goes_on && !life.is_ending() {
            goes_on = match self.receive(&life, &mut random, draining).await {
                Some(held) if held.is_empty() => true,
                Some(held) if draining => self.ack(&life, held).await,
                Some(held) => self.treat(&life, held, &mut random).await,
                None => false,
            };
        }
        self
    }

    /// Receives what there is, once, and deletes it.
    pub(super) async fn delete_some(&mut self, life: &Life) -> Result<(), String> {
        let mut random = Random::new(0);
        match self.receive(life, &mut random, true).await {
            Some(held) if held.is_empty() => Ok(()),
            Some(held) => match self.ack(life, held).await {
                true => Ok(()),
                false => Err("the server is gone".to_owned()),
            },
            None => Err("the server is gone".to_owned()),
        }
    }

    /// Receives some; `None`: the life is over.
    async fn receive(&self, life: &Life, random: &mut Random, draining: bool) -> Option<Held> {
        let visibility_ms =
            if draining { 5_000 } else { *random.pick(&life.habits.visibilities_ms) };
        let max = if draining { 256 } else { random.of(1..=24) as u32 };
        let options = ReceiveOptions {
            max,
            wait_ms: Some(random.of(0..=60)),
            visibility_ms: Some(visibility_ms),
            bytes_max: 0,
        };
        let began = life.now();
        let result = life.client.receive(self.queue, options).await;
        let (mut deliveries, mut held) = (Vec::new(), Held::new());
        if let Ok(delivery) = &result {
            for message in &delivery.messages {
                let content = life.content(message.block.body());
                if let Content::Message(number) = content {
                    held.push((number, message.receipt.clone()));
                }
                deliveries.push(Delivery {
                    content,
                    seq: message.seq,
                    origin_seq: message.origin_seq,
                    receive_count: message.receive_count,
                });
            }
            deliveries.extend(delivery.damaged.iter().map(|damaged| Delivery {
                content: Content::Damaged,
                seq: damaged.seq,
                origin_seq: 0,
                receive_count: 0,
            }));
        }
        let is_empty = result.is_ok() && deliveries.is_empty();
        if !is_empty {
            let queue = self.queue;
            life.note(began, &result, What::Receive { queue, visibility_ms, deliveries });
        }
        (!is_over(&result)).then_some(held)
    }

    /// Does with messages what chance says; whether the life goes on.
    async fn treat(&mut self, life: &Life, mut held: Held, random: &mut Random) -> bool {
        let is_fifo = self.queue == queues::ORDERS;
        match self.queue {
            queues::PLAIN if random.percent(40) => {
                held.truncate(4);
                return self.transact(life, held, random).await;
            }
            queues::RETRY if random.percent(70) => return self.give_back(life, held, random).await,
            _ => {}
        }
        match random.below(100) {
            0..=69 => self.ack(life, held).await,
            70..=79 => {
                // The first ones: in a FIFO group the others wait for them.
                held.truncate(held.len().div_ceil(2));
                self.ack(life, held).await
            }
            80..=87 => self.give_back(life, held, random).await,
            88..=93 => self.prolong(life, held).await,
            // A receipt of a FIFO queue is no good any more when its lease was lost.
            94..=96 if !is_fifo && self.kept.len() < 100 => {
                self.kept.extend(held);
                true
            }
            // Forgotten: the lease ends.
            _ => true,
        }
    }

    async fn ack(&self, life: &Life, held: Held) -> bool {
        let queue = self.queue;
        let (mut messages, receipts): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        let began = life.now();
        let result = life.client.ack(queue, &receipts).await;
        let mut invalid = Vec::new();
        for failure in result.iter().flatten().rev() {
            let Some(number) = messages.get(failure.index as usize).copied() else { continue };
            messages.remove(failure.index as usize);
            if !matches!(failure.code, ErrorCode::ReceiptStale | ErrorCode::ReceiptExpired) {
                invalid.push(number);
            }
        }
        life.note(began, &result, What::Ack { queue, messages, invalid });
        !is_over(&result)
    }

    /// Deletes messages and sends as many to another queue, all or nothing.
    async fn transact(&self, life: &Life, held: Held, random: &mut Random) -> bool {
        let (acked, receipts): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        let mut messages: Vec<_> = (0..random.of(1..=3))
            .map(|_| SentMessage { number: life.number(), group: 0, delay_ms: 0, seq: 0 })
            .collect();
        let began = life.now();
        let transaction = life.client.transaction().ack(self.queue, receipts);
        let result = transaction.send(queues::DONE, outgoing(life, &messages)).commit().await;
        if let Ok(transacted) = &result
            && let Some(sent) = transacted.sent.first()
        {
            let seqs: Vec<_> = match sent.seqs.is_empty() {
                true => (sent.first_seq..).take(sent.count as usize).collect(),
                false => sent.seqs.clone(),
            };
            numbered(&mut messages, &seqs);
        }
        let what = What::Transact { from: self.queue, acked, to: queues::DONE, messages };
        life.note(began, &result, what);
        !is_over(&result)
    }

    async fn give_back(&self, life: &Life, held: Held, random: &mut Random) -> bool {
        let queue = self.queue;
        let (messages, receipts): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        let delay_ms = if random.percent(70) { 0 } else { random.below(300) };
        let reason = "not now".to_owned();
        let began = life.now();
        let result: Result<_, ClientError> = life
            .client
            .nack(queue, &receipts, NackOptions { delay_ms, uncounted: false, reason })
            .await;
        life.note(began, &result, What::Release { queue, messages });
        !is_over(&result)
    }

    async fn prolong(&self, life: &Life, held: Held) -> bool {
        let queue = self.queue;
        let (messages, receipts): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        let changes = receipts
            .into_iter()
            .map(|receipt| VisibilityChange { receipt, visibility_ms: 400 })
            .collect();
        let began = life.now();
        let result = life.client.change_visibility(queue, changes).await;
        life.note(began, &result, What::Release { queue, messages });
        !is_over(&result)
    }
}
