//! Decisions about transactions: acks and sends in any queues, all of it in one entry, or nothing.
//!
//! First everything is planned, by the rules of the single commands; what is refused then has
//! changed nothing. Then all is recorded, and the entry is written whole or not at all.

use std::collections::BTreeSet;

use super::room::{check_batch, transact_bytes};
use super::sends::PlannedBefore;
use super::{Core, Decided, Decision, LAST_BYTES};
use crate::command::{Reply, ReplyTo, TransactAcks, TransactSends};
use crate::error::RequestError;
use crate::ids::{QueueId, Seq};
use crate::time::LogTime;

/// Why a part of a command is refused, and at which of its items, if it is one's fault.
pub(super) struct Refused {
    pub(super) item: Option<usize>,
    pub(super) cause: RequestError,
}

impl From<RequestError> for Refused {
    fn from(cause: RequestError) -> Self {
        Self { item: None, cause }
    }
}

impl Refused {
    /// The refusal of a transaction whose part `part` has items called `items`.
    fn of(self, part: &str, items: &str) -> RequestError {
        let item = match self.item {
            Some(index) => format!("{part}.{items}[{index}]"),
            None => part.to_owned(),
        };
        RequestError::TransactionRefused { item, cause: Box::new(self.cause) }
    }
}

impl<R: ReplyTo> Core<R> {
    pub(super) fn transact(
        &mut self,
        acks: &[TransactAcks],
        sends: &[TransactSends],
        now: LogTime,
    ) -> Decision {
        let receipts: usize = acks.iter().map(|acks| acks.receipts.len()).sum();
        let messages: usize = sends.iter().map(|sends| sends.messages.len()).sum();
        check_batch("item", receipts + messages)?;
        let planned_acks = match self.plan_acks(acks, now) {
            Ok(planned) => planned,
            // As a rule its own first copy has acked them, whose answer was lost: it must not be
            // told that it is done before it is.
            Err(error) => return Ok(Decided::RefusedWhenDurable(error)),
        };
        let mut planned_sends = Vec::with_capacity(sends.len());
        let mut before = PlannedBefore::default();
        for (at, TransactSends { queue, messages }) in sends.iter().enumerate() {
            let planned = self.plan_send(queue, messages, &mut before, now);
            let part = || format!("sends[{at}]");
            planned_sends.push(planned.map_err(|refused| refused.of(&part(), "messages"))?);
        }
        let bytes = transact_bytes(acks, sends);
        self.check_fits(bytes)?;
        match sends.is_empty() {
            true => self.check_room(bytes, LAST_BYTES)?,
            false => self.check_sends_allowed()?,
        }
        for (queue, seqs) in planned_acks {
            self.record_acks(queue, &seqs, now);
        }
        let sent = planned_sends.iter().map(|planned| self.record_send(planned, now)).collect();
        Ok(Decided::WhenDurable(Reply::Transacted { sent }))
    }

    /// The messages that are to be acked, each once, all of them there. Records nothing.
    fn plan_acks(
        &mut self,
        acks: &[TransactAcks],
        now: LogTime,
    ) -> Result<Vec<(QueueId, Vec<Seq>)>, RequestError> {
        let (mut planned, mut met) = (Vec::with_capacity(acks.len()), BTreeSet::new());
        for (at, acks) in acks.iter().enumerate() {
            let acked = self.plan_acks_of(acks, &mut met, now);
            planned.push(acked.map_err(|refused| refused.of(&format!("acks[{at}]"), "receipts"))?);
        }
        Ok(planned)
    }

    fn plan_acks_of(
        &mut self,
        TransactAcks { queue, receipts }: &TransactAcks,
        met: &mut BTreeSet<(QueueId, Seq)>,
        now: LogTime,
    ) -> Result<(QueueId, Vec<Seq>), Refused> {
        let queue = self.queue(queue)?.id;
        check_batch("receipt", receipts.len())?;
        self.expire(queue, now);
        let mut seqs = Vec::with_capacity(receipts.len());
        for (index, receipt) in receipts.iter().enumerate() {
            let refused = |cause| Refused { item: Some(index), cause };
            let (receipt, is_there) = self.check_ack(queue, receipt, now).map_err(refused)?;
            let seq = receipt.seq;
            if !is_there || !met.insert((queue, seq)) {
                return Err(refused(RequestError::MessageGone { seq }));
            }
            seqs.push(seq);
        }
        Ok((queue, seqs))
    }
}
