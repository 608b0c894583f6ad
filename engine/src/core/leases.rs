//! Decisions about messages that were received: ack, change of visibility, return. (Nack is in
//! `nack`.)

use super::room::{CHANGE_BYTES, check_batch, items_bytes};
use super::{Core, Decided, Decision};
use crate::attributes::{VISIBILITY_MS_MAX, check_range_ms};
use crate::broken::{Mistake, makes};
use crate::command::{MessageState, Reply, ReplyTo};
use crate::error::RequestError;
use crate::ids::{LeaseId, QueueId, Seq};
use crate::receipt::{Receipt, SealedReceipt};
use crate::record::Lease;
use crate::state::held::Held;
use crate::state::order::Discipline;
use crate::time::LogTime;

/// A lease that may be changed.
pub(super) struct Change {
    pub(super) seq: Seq,
    /// When it ends.
    pub(super) until: LogTime,
    /// It was lost in a crash, and this is its number.
    pub(super) lost: Option<LeaseId>,
    /// It is in the receive count, or will be when it was recorded once more.
    pub(super) is_in_count: bool,
}

impl<R: ReplyTo> Core<R> {
    /// The message that a receipt names, if the receipt is of this store and queue and no later
    /// lease of the message was given. `None`: the message is gone.
    pub(super) fn check_receipt(
        &mut self,
        queue: QueueId,
        receipt: &SealedReceipt,
        now: LogTime,
    ) -> Result<(Receipt, bool), RequestError> {
        let receipt = self.receipts.open(receipt)?;
        if receipt.queue != queue {
            return Err(RequestError::ReceiptOfOtherQueue { of: receipt.queue, queue });
        }
        let messages = &self.state.by_id(queue).expect("the caller found the queue").messages;
        // A later lease has a greater number. A lesser one on record means that this receipt's
        // own lease was lost in a crash: it is still the newest.
        let is_stale = messages.held(receipt.seq).is_some_and(|held| held.lease > receipt.lease);
        if is_stale && !makes(Mistake::StaleReceiptTaken) {
            return Err(RequestError::ReceiptStale { seq: receipt.seq });
        }
        let is_there = messages.contains(receipt.seq);
        Ok((receipt, is_there && !self.has_expired(queue, receipt.seq, now)))
    }

    pub(super) fn ack(&mut self, name: &str, receipts: &[SealedReceipt], now: LogTime) -> Decision {
        let queue = self.queue(name)?.id;
        check_batch("receipt", receipts.len())?;
        self.check_acks(receipts.len())?;
        self.expire(queue, now);
        let (mut acked, mut failures) = (Vec::new(), Vec::new());
        for (index, receipt) in (0..).zip(receipts) {
            match self.check_ack(queue, receipt, now) {
                // Also what has expired and could not be removed yet: retention may become longer.
                Ok((receipt, _)) if self.is_stored(queue, receipt.seq) => acked.push(receipt.seq),
                // Deleting what is deleted succeeds.
                Ok(_) => {}
                Err(error) => failures.push((index, error)),
            }
        }
        self.record_acks(queue, &acked, now);
        Ok(Decided::WhenDurable(Reply::Changed { failures }))
    }

    fn is_stored(&self, queue: QueueId, seq: Seq) -> bool {
        self.state.get(queue).is_some_and(|queue| queue.messages.contains(seq))
    }

    /// Deletes messages for good.
    pub(super) fn record_acks(&mut self, queue: QueueId, acked: &[Seq], now: LogTime) {
        if acked.is_empty() {
            return;
        }
        self.note_work(queue, acked, now);
        self.spend_attempts(queue, acked.iter().copied());
        self.record(|out| out.acked(queue, acked));
        // Of a group that waited for one of these, or where too many were in flight.
        if self.waiters.first(queue).is_some() {
            self.serve(queue, now);
        }
    }

    /// As [`Core::check_receipt`], for an ack: in a FIFO queue only as long as its lease lasts,
    /// because others of the group may have been delivered since, or be about to be.
    pub(super) fn check_ack(
        &mut self,
        queue: QueueId,
        receipt: &SealedReceipt,
        now: LogTime,
    ) -> Result<(Receipt, bool), RequestError> {
        let (receipt, is_there) = self.check_receipt(queue, receipt, now)?;
        let found = self.state.by_id(queue).expect("the caller found the queue");
        if is_there && found.attributes.fifo && !self.is_leased(&receipt, now) {
            return Err(RequestError::ReceiptExpired { seq: receipt.seq });
        }
        Ok((receipt, is_there))
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

    /// Makes a receipt that of its message's newest lease, unless the queue is FIFO.
    pub(super) fn renew_receipt(&mut self, sealed: &mut SealedReceipt) {
        let Ok(receipt) = self.receipts.open(sealed) else { return };
        let Some(queue) = self.state.by_id(receipt.queue).filter(|queue| !queue.attributes.fifo)
        else {
            return;
        };
        if let Some(held) = queue.messages.held(receipt.seq)
            && held.lease > receipt.lease
        {
            *sealed = self.receipts.seal(Receipt { lease: held.lease, ..receipt });
        }
    }

    pub(super) fn change_visibility(
        &mut self,
        name: &str,
        changes: &[(SealedReceipt, u64)],
        now: LogTime,
    ) -> Decision {
        let queue = self.queue(name)?;
        let queue = queue.id;
        check_batch("change", changes.len())?;
        self.check_changes(items_bytes(changes.len(), CHANGE_BYTES))?;
        self.expire(queue, now);
        let (mut changed, mut failures) = (Vec::new(), Vec::new());
        for (index, (receipt, ms)) in (0..).zip(changes) {
            match self.plan_change(queue, receipt, *ms, now) {
                Ok(Change { seq, until, lost: None, .. }) => changed.push((seq, until)),
                Ok(change) => self.lease_again(queue, &change, now),
                Err(error) => failures.push((index, error)),
            }
        }
        if !changed.is_empty() {
            self.spend_attempts(queue, changed.iter().map(|(seq, _)| *seq));
            self.record(|out| out.lease_changed(queue, &changed));
        }
        self.serve(queue, now);
        Ok(Decided::WhenDurable(Reply::Changed { failures }))
    }

    /// The change after which a message's lease ends so many ms from now, if it may. Records
    /// nothing.
    pub(super) fn plan_change(
        &mut self,
        queue: QueueId,
        receipt: &SealedReceipt,
        ms: u64,
        now: LogTime,
    ) -> Result<Change, RequestError> {
        check_range_ms("visibility", ms, 0, VISIBILITY_MS_MAX)?;
        let (receipt, is_there) = self.check_receipt(queue, receipt, now)?;
        let seq = receipt.seq;
        let found = self.state.by_id(queue).expect("the caller found the queue");
        let is_fifo = found.attributes.fifo;
        let held = found.messages.held(seq).copied();
        if !is_there || held.is_some_and(|held| held.state == MessageState::Damaged) {
            return Err(RequestError::MessageGone { seq });
        }
        // To lease it again would let it come before those of its group that were not received yet.
        if is_fifo && !self.is_leased(&receipt, now) {
            return Err(RequestError::ReceiptExpired { seq });
        }
        let until = now.plus_ms(ms);
        let Some(held) = held.filter(Held::was_received) else {
            return Ok(Change { seq, until, lost: Some(receipt.lease), is_in_count: true });
        };
        let longest = VISIBILITY_MS_MAX.saturating_sub(now.ms_since(held.received));
        check_range_ms("visibility", ms, 0, longest)?;
        Ok(Change { seq, until, lost: None, is_in_count: held.lease == receipt.lease })
    }

    /// Records a lease that was lost in a crash once more.
    pub(super) fn lease_again(&mut self, queue: QueueId, change: &Change, now: LogTime) {
        let (seq, Some(first)) = (change.seq, change.lost) else { return };
        let lease = Lease { seq, receive_count: 1, group: self.group(queue, seq) };
        self.record(|out| out.leased(queue, now, change.until, first, &[lease]));
    }

    pub(super) fn return_undelivered(
        &mut self,
        name: &str,
        receipts: &[SealedReceipt],
        delay_ms: u64,
        now: LogTime,
    ) -> Decision {
        let queue = self.queue(name)?.id;
        check_range_ms("delay", delay_ms, 0, VISIBILITY_MS_MAX)?;
        self.check_changes(items_bytes(receipts.len(), CHANGE_BYTES))?;
        self.expire(queue, now);
        let (mut returned, until) = (Vec::new(), now.plus_ms(delay_ms));
        for receipt in receipts {
            let Ok((receipt, true)) = self.check_receipt(queue, receipt, now) else { continue };
            let messages = &self.state.by_id(queue).expect("the queue was found").messages;
            let in_flight = messages.held(receipt.seq).is_some_and(|held| {
                held.lease == receipt.lease && matches!(held.state, MessageState::InFlight { .. })
            });
            if in_flight && self.attempts.was_last_answer(receipt.lease) {
                returned.push((receipt.seq, until));
            }
        }
        if !returned.is_empty() {
            self.record(|out| out.lease_changed(queue, &returned));
        }
        self.serve(queue, now);
        Ok(Decided::WhenDurable(Reply::Changed { failures: Vec::new() }))
    }

    pub(super) fn set_aside(&mut self, queue: QueueId, seq: Seq, now: LogTime) -> Decision {
        // No record: whether the bytes are damaged is found again when they are read again.
        if let Some(found) = self.state.by_id(queue) {
            found.messages.damaged(seq);
            // Of its group, or where too many were in flight.
            self.serve(queue, now);
        }
        Ok(Decided::Now(Reply::SetAside))
    }
}
