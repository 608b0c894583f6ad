//! Decisions about messages that were received: ack, change of visibility, return.

use super::room::{ACKED_ITEM_BYTES, CHANGE_BYTES, check_batch};
use super::{Core, Decided, Decision};
use crate::attributes::{VISIBILITY_MS_MAX, check_range};
use crate::command::{MessageState, Reply, ReplyTo};
use crate::error::RequestError;
use crate::ids::{QueueId, Seq};
use crate::receipt::{Receipt, SealedReceipt};
use crate::record::Lease;
use crate::state::order::Discipline;
use crate::time::LogTime;

impl<R: ReplyTo> Core<R> {
    /// The message that a receipt names, if the receipt is of this store and queue and no later
    /// lease of the message was given. `None`: the message is gone.
    fn check_receipt(
        &mut self,
        queue: QueueId,
        receipt: &SealedReceipt,
    ) -> Result<(Receipt, bool), RequestError> {
        let receipt = self.receipts.open(receipt)?;
        if receipt.queue != queue {
            let reason = format!("it is of queue {}, not of queue {queue}", receipt.queue);
            return Err(RequestError::ReceiptInvalid { reason });
        }
        let messages = &self.state.by_id(queue).expect("the caller found the queue").messages;
        // A later lease has a greater number. A lesser one on record means that this receipt's
        // own lease was lost in a crash: it is still the newest.
        if messages.held(receipt.seq).is_some_and(|held| held.lease > receipt.lease) {
            return Err(RequestError::ReceiptStale { seq: receipt.seq });
        }
        Ok((receipt, messages.contains(receipt.seq)))
    }

    pub(super) fn ack(&mut self, name: &str, receipts: &[SealedReceipt], now: LogTime) -> Decision {
        let queue = self.queue(name)?;
        let (queue, is_fifo) = (queue.id, queue.attributes.fifo);
        check_batch("receipt", receipts.len())?;
        self.check_change(receipts.len(), ACKED_ITEM_BYTES)?;
        let (mut acked, mut failures) = (Vec::new(), Vec::new());
        for (index, receipt) in (0..).zip(receipts) {
            match self.check_receipt(queue, receipt) {
                // Others of the group may have been delivered since, or be about to be.
                Ok((receipt, true)) if is_fifo && !self.is_leased(&receipt, now) => {
                    failures.push((index, RequestError::ReceiptExpired { seq: receipt.seq }));
                }
                Ok((receipt, true)) => acked.push(receipt.seq),
                // Deleting what is deleted succeeds.
                Ok((_, false)) => {}
                Err(error) => failures.push((index, error)),
            }
        }
        if !acked.is_empty() {
            self.note_work(queue, &acked, now);
            self.record(|out| out.acked(queue, &acked));
            // Of a group that waited for one of these, or where too many were in flight.
            if self.waiters.first(queue).is_some() {
                self.serve(queue, now);
            }
        }
        Ok(Decided::WhenDurable(Reply::Changed { failures }))
    }

    /// Whether the receipt's own lease has not ended.
    fn is_leased(&mut self, receipt: &Receipt, now: LogTime) -> bool {
        let queue = self.state.by_id(receipt.queue).expect("the caller found the queue");
        queue.messages.held(receipt.seq).is_some_and(|held| {
            held.lease == receipt.lease
                && matches!(held.state, MessageState::InFlight { until } if until > now)
        })
    }

    /// Tells a fair queue how long consumers worked on messages that are done.
    fn note_work(&mut self, queue: QueueId, acked: &[Seq], now: LogTime) {
        let messages = &mut self.state.by_id(queue).expect("the caller found the queue").messages;
        if messages.order().is_none_or(|order| order.discipline() != Discipline::Fair) {
            return;
        }
        for seq in acked {
            if let Some(held) = messages.held(*seq).copied()
                && let Some(order) = messages.order_mut()
            {
                order.worked(held.group, now.ms_since(held.received), now);
            }
        }
    }

    pub(super) fn change_visibility(
        &mut self,
        name: &str,
        changes: &[(SealedReceipt, u64)],
        now: LogTime,
    ) -> Decision {
        let queue = self.queue(name)?;
        let (queue, is_fifo) = (queue.id, queue.attributes.fifo);
        check_batch("change", changes.len())?;
        self.check_change(changes.len(), CHANGE_BYTES)?;
        let (mut changed, mut failures) = (Vec::new(), Vec::new());
        for (index, (receipt, ms)) in (0..).zip(changes) {
            match self.change_one((queue, is_fifo), receipt, *ms, now) {
                Ok(Some(change)) => changed.push(change),
                Ok(None) => {}
                Err(error) => failures.push((index, error)),
            }
        }
        if !changed.is_empty() {
            self.record(|out| out.lease_changed(queue, &changed));
        }
        self.serve(queue, now);
        Ok(Decided::WhenDurable(Reply::Changed { failures }))
    }

    fn change_one(
        &mut self,
        (queue, is_fifo): (QueueId, bool),
        receipt: &SealedReceipt,
        ms: u64,
        now: LogTime,
    ) -> Result<Option<(Seq, LogTime)>, RequestError> {
        check_range("visibility", ms, 0, VISIBILITY_MS_MAX)?;
        let (receipt, is_there) = self.check_receipt(queue, receipt)?;
        let seq = receipt.seq;
        let messages = &self.state.by_id(queue).expect("the caller found the queue").messages;
        let held = messages.held(seq).copied();
        if !is_there || held.is_some_and(|held| held.state == MessageState::Damaged) {
            return Err(RequestError::MessageGone { seq });
        }
        // To lease it again would let it come before those of its group that were not received yet.
        if is_fifo && !self.is_leased(&receipt, now) {
            return Err(RequestError::ReceiptExpired { seq });
        }
        let until = now.plus_ms(ms);
        match held.filter(|held| held.receive_count > 0) {
            Some(held) => {
                let longest = VISIBILITY_MS_MAX.saturating_sub(now.ms_since(held.received));
                check_range("visibility", ms, 0, longest)?;
                Ok(Some((seq, until)))
            }
            None => {
                // Its lease was lost in a crash: it is given again.
                let lease = Lease { seq, receive_count: 1, group: self.group(queue, seq) };
                self.record(|out| out.leased(queue, now, until, receipt.lease, &[lease]));
                Ok(None)
            }
        }
    }

    pub(super) fn return_undelivered(
        &mut self,
        name: &str,
        receipts: &[SealedReceipt],
        now: LogTime,
    ) -> Decision {
        let queue = self.queue(name)?.id;
        self.check_change(receipts.len(), CHANGE_BYTES)?;
        let mut returned = Vec::new();
        for receipt in receipts {
            let Ok((receipt, true)) = self.check_receipt(queue, receipt) else { continue };
            let messages = &self.state.by_id(queue).expect("the queue was found").messages;
            let in_flight = messages.held(receipt.seq).is_some_and(|held| {
                held.lease == receipt.lease && matches!(held.state, MessageState::InFlight { .. })
            });
            if in_flight {
                returned.push((receipt.seq, now));
            }
        }
        if !returned.is_empty() {
            self.record(|out| out.lease_changed(queue, &returned));
        }
        self.serve(queue, now);
        Ok(Decided::WhenDurable(Reply::Changed { failures: Vec::new() }))
    }

    pub(super) fn set_aside(&mut self, queue: QueueId, seq: Seq) -> Decision {
        // No record: whether the bytes are damaged is found again when they are read again.
        if let Some(queue) = self.state.by_id(queue) {
            queue.messages.damaged(seq);
        }
        Ok(Decided::Now(Reply::SetAside))
    }
}
