//! Decisions about messages: send, receive, ack, change visibility, peek.

use super::waiters::{Demand, Until, Waiter};
use super::{Core, Decided, Decision, LAST_BYTES, Room};
use crate::attributes::{DELAY_MS_MAX, RECEIVE_WAIT_MS_MAX, VISIBILITY_MS_MAX, check_range};
use crate::command::{
    BATCH_MESSAGES_MAX, Command, Delivery, MessageState, NewMessage, Peeked, Reply, ReplyTo,
};
use crate::error::RequestError;
use crate::ids::{LeaseId, QueueId, Seq, WaitId};
use crate::log::NextSegment;
use crate::receipt::{Receipt, SealedReceipt};
use crate::record::{SENT_OVERHEAD_BYTES, Sent};
use crate::time::LogTime;

/// What a lease takes in the log: an item of a `Leased` record.
const LEASED_ITEM_BYTES: u64 = 12;

/// What a changed lease takes at the most: a `Leased` record of its own.
const CHANGE_BYTES: u64 = 52;

/// What an ack takes: an item of an `Acked` record.
const ACKED_ITEM_BYTES: u64 = 8;

/// More than the headers and fixed fields of a command's records.
const HEADERS_BYTES: u64 = 64;

/// The most bytes that a command's records take, whatever is decided.
pub(super) fn record_bytes(command: &Command) -> u64 {
    match command {
        Command::Send { messages, .. } => sent_bytes(messages),
        Command::Receive { max, .. } => leased_bytes(*max),
        Command::Ack { receipts, .. } => items_bytes(receipts.len(), ACKED_ITEM_BYTES),
        Command::ChangeVisibility { changes, .. } => items_bytes(changes.len(), CHANGE_BYTES),
        Command::ReturnUndelivered { receipts, .. } => items_bytes(receipts.len(), CHANGE_BYTES),
        Command::CreateQueue { .. }
        | Command::AlterQueue { .. }
        | Command::PurgeQueue { .. }
        | Command::DeleteQueue { .. } => super::queues::QUEUE_RECORD_BYTES,
        // It waits for room, instead of being refused or holding others up.
        Command::Await { .. } => 0,
        Command::DescribeQueue { .. }
        | Command::ListQueues { .. }
        | Command::EndWait { .. }
        | Command::SetAside { .. }
        | Command::Peek { .. }
        | Command::Stats => 0,
    }
}

fn sent_bytes(messages: &[NewMessage]) -> u64 {
    // 8 bytes more for a delay.
    messages.iter().map(|message| (message.payload.len() + SENT_OVERHEAD_BYTES + 8) as u64).sum()
}

fn leased_bytes(messages_max: u32) -> u64 {
    items_bytes(messages_max as usize, LEASED_ITEM_BYTES)
}

fn items_bytes(items: usize, item_bytes: u64) -> u64 {
    HEADERS_BYTES + items as u64 * item_bytes
}

impl<R: ReplyTo> Core<R> {
    /// Nothing that takes space for good is stored while no further segment can be prepared: what
    /// is left of the active one is for receives and deletes.
    pub(super) fn check_sends_allowed(&self) -> Result<(), RequestError> {
        match &self.tail.next {
            NextSegment::Full(detail) => Err(RequestError::StorageFull { detail: detail.clone() }),
            NextSegment::Ready(_) | NextSegment::Preparing => Ok(()),
        }
    }

    /// Refuses a command whose records would not fit one entry behind a full group.
    fn check_fits(&self, bytes: u64) -> Result<(), RequestError> {
        let max = self.options.command_bytes_max();
        if bytes > max { Err(RequestError::BatchTooLarge { bytes, max }) } else { Ok(()) }
    }

    fn check_change(&self, items: usize, item_bytes: u64) -> Result<(), RequestError> {
        let bytes = items_bytes(items, item_bytes);
        self.check_fits(bytes)?;
        self.check_room(bytes, LAST_BYTES)
    }

    pub(super) fn send(&mut self, name: &str, messages: &[NewMessage], now: LogTime) -> Decision {
        let queue = self.queue(name)?;
        let (id, attributes) = (queue.id, queue.attributes);
        let first = queue.messages.next_seq();
        check_batch("message", messages.len())?;
        for (index, message) in messages.iter().enumerate() {
            let (bytes, max) = (message.payload.len() as u64, attributes.message_bytes_max);
            if bytes > max {
                let queue = name.to_owned();
                return Err(RequestError::MessageTooLarge { queue, index, bytes, max });
            }
            check_range("delay", message.delay_ms.unwrap_or(0), 0, DELAY_MS_MAX)?;
            check_range("attributes bytes", u64::from(message.attributes_bytes), 0, bytes)?;
        }
        self.check_fits(sent_bytes(messages))?;
        self.check_sends_allowed()?;
        let position = self.tail.position;
        let mut seq = first;
        self.record(|out| {
            for message in messages {
                let delay_ms = message.delay_ms.unwrap_or(attributes.delay_ms);
                out.sent(&Sent {
                    queue: id,
                    seq,
                    position,
                    visible_from: (delay_ms > 0).then(|| now.plus_ms(delay_ms)),
                    checksum: message.checksum,
                    attributes_bytes: message.attributes_bytes,
                    payload: &message.payload,
                });
                seq = seq.next();
            }
        });
        let count = u32::try_from(messages.len()).expect("a batch has at most 4096 messages");
        Ok(Decided::WhenDurable(Reply::Sent { queue: id, first, count }))
    }

    pub(super) fn receive(
        &mut self,
        name: &str,
        max: u32,
        wait_ms: Option<u64>,
        visibility_ms: Option<u64>,
        bytes_max: u64,
        now: LogTime,
    ) -> Decision {
        let queue = self.queue(name)?;
        let (id, attributes) = (queue.id, queue.attributes);
        check_range("max", u64::from(max), 1, BATCH_MESSAGES_MAX as u64)?;
        let wait_ms = wait_ms.unwrap_or(attributes.receive_wait_ms);
        check_range("wait", wait_ms, 0, RECEIVE_WAIT_MS_MAX)?;
        let visibility_ms = visibility_ms.unwrap_or(attributes.visibility_timeout_ms);
        check_range("visibility", visibility_ms, 0, VISIBILITY_MS_MAX)?;
        let messages_max = self.leases_max(max);
        let demand = Demand { messages_max, bytes_max, visibility_ms: Some(visibility_ms) };
        self.check_room(leased_bytes(messages_max), LAST_BYTES)?;
        // Who came first is served first.
        self.serve(id, now);
        let deliveries = self.lease(id, &demand, now);
        if deliveries.is_empty() && wait_ms > 0 {
            return Ok(Decided::Waits(id, demand, Until::Deadline(now.plus_ms(wait_ms))));
        }
        // Not held back until the lease is durable: a crash may end a lease early, and the lease's
        // number is never given again, so its receipt cannot be taken for a later one.
        Ok(Decided::Now(Reply::Received { queue: id, deliveries }))
    }

    /// Checks an endless wait. Whether there is something for it is seen when it stands in line.
    pub(super) fn await_messages(
        &mut self,
        queue: QueueId,
        wait: WaitId,
        demand: Demand,
    ) -> Decision {
        if !self.state.contains(queue) {
            return Err(RequestError::UnknownQueue { name: format!("number {queue}") });
        }
        check_range("max", u64::from(demand.messages_max), 1, BATCH_MESSAGES_MAX as u64)?;
        check_range("visibility", demand.visibility_ms.unwrap_or(0), 0, VISIBILITY_MS_MAX)?;
        let demand = Demand { messages_max: self.leases_max(demand.messages_max), ..demand };
        Ok(Decided::Waits(queue, demand, Until::Ended(wait)))
    }

    pub(super) fn end_wait(&mut self, wait: WaitId) -> Decision {
        if let Some((queue, waiter)) = self.waiters.take_endless(wait) {
            let reply = Reply::Received { queue, deliveries: Vec::new() };
            self.answers.push((waiter.reply_to, Ok(reply)));
        }
        Ok(Decided::Now(Reply::WaitEnded))
    }

    /// No more than one entry holds the leases of: of a segment of 1 MiB or more, all.
    fn leases_max(&self, max: u32) -> u32 {
        let leases_max = (self.options.command_bytes_max() - HEADERS_BYTES) / LEASED_ITEM_BYTES;
        u64::from(max).min(leases_max) as u32
    }

    /// Puts a receive, or an endless wait, at the end of the queue's line.
    pub(super) fn wait(&mut self, queue: QueueId, waiter: Waiter<R>, now: LogTime) {
        let is_endless = matches!(waiter.until, Until::Ended(_));
        self.waiters.add(queue, waiter);
        if is_endless {
            // A receive has looked for messages before it waits; this one has not.
            self.serve(queue, now);
        } else {
            self.set_alarm(queue);
        }
    }

    /// Gives the queue's visible messages to its waiters.
    pub(super) fn serve(&mut self, queue: QueueId, now: LogTime) {
        // Also when nothing can be leased: an alarm set for a moment that has come would go off
        // again and again.
        if let Some(queue) = self.state.by_id(queue) {
            queue.messages.settle(now);
        }
        while let Some(waiter) = self.waiters.first(queue) {
            if waiter.reply_to.is_gone() {
                self.waiters.take_first(queue);
                continue;
            }
            let demand = waiter.demand;
            let bytes = leased_bytes(demand.messages_max);
            if self.room(bytes, LAST_BYTES) == Room::Later
                || self.check_room(bytes, LAST_BYTES).is_err()
            {
                self.postponed.insert(queue);
                break;
            }
            let deliveries = self.lease(queue, &demand, now);
            if deliveries.is_empty() {
                break;
            }
            let waiter = self.waiters.take_first(queue).expect("there was a first");
            self.answers.push((waiter.reply_to, Ok(Reply::Received { queue, deliveries })));
        }
        self.set_alarm(queue);
    }

    pub(super) fn set_alarm(&mut self, queue: QueueId) {
        let event = self.state.by_id(queue).and_then(|queue| queue.messages.next_timer());
        self.waiters.set_alarm(queue, event);
    }

    fn lease(&mut self, id: QueueId, demand: &Demand, now: LogTime) -> Vec<Delivery> {
        let queue = self.state.by_id(id).expect("the caller found the queue");
        queue.messages.settle(now);
        let visibility_ms = demand.visibility_ms.unwrap_or(queue.attributes.visibility_timeout_ms);
        let mut bytes = 0u64;
        let mut found = Vec::new();
        for seq in queue.messages.waiting().take(demand.messages_max as usize) {
            // What a damaged index hides comes when that was made anew.
            let Ok(indexed) = self.index.find(id, seq) else {
                self.postponed.insert(id);
                break;
            };
            let (location, sent) = indexed.expect("every message in a queue is in the index");
            bytes += u64::from(location.bytes);
            if bytes > demand.bytes_max && !found.is_empty() {
                break;
            }
            let held = queue.messages.held(seq);
            let receive_count = held.map_or(0, |held| held.receive_count).saturating_add(1);
            let first_received = held.filter(|h| h.receive_count > 0).map(|h| h.first_received);
            found.push((seq, location, sent, receive_count, first_received.unwrap_or(now)));
        }
        if found.is_empty() {
            return Vec::new();
        }
        let first_lease = LeaseId::new(self.epoch, self.leases);
        self.leases += found.len() as u64;
        let until = now.plus_ms(visibility_ms);
        let leased: Vec<_> = found.iter().map(|(seq, _, _, count, _)| (*seq, *count)).collect();
        self.record(|out| out.leased(id, now, until, first_lease, &leased));
        let deliveries = (0..).zip(found).map(
            |(offset, (seq, location, sent, receive_count, first_received))| {
                let lease = first_lease.plus(offset);
                let receipt = self.receipts.seal(Receipt { queue: id, seq, lease });
                Delivery { seq, receipt, receive_count, sent, first_received, location }
            },
        );
        deliveries.collect()
    }

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

    pub(super) fn ack(&mut self, name: &str, receipts: &[SealedReceipt]) -> Decision {
        let queue = self.queue(name)?.id;
        check_batch("receipt", receipts.len())?;
        self.check_change(receipts.len(), ACKED_ITEM_BYTES)?;
        let (mut acked, mut failures) = (Vec::new(), Vec::new());
        for (index, receipt) in (0..).zip(receipts) {
            match self.check_receipt(queue, receipt) {
                Ok((receipt, true)) => acked.push(receipt.seq),
                // Deleting what is deleted succeeds.
                Ok((_, false)) => {}
                Err(error) => failures.push((index, error)),
            }
        }
        if !acked.is_empty() {
            self.record(|out| out.acked(queue, &acked));
        }
        Ok(Decided::WhenDurable(Reply::Changed { failures }))
    }

    pub(super) fn change_visibility(
        &mut self,
        name: &str,
        changes: &[(SealedReceipt, u64)],
        now: LogTime,
    ) -> Decision {
        let queue = self.queue(name)?.id;
        check_batch("change", changes.len())?;
        self.check_change(changes.len(), CHANGE_BYTES)?;
        let (mut changed, mut failures) = (Vec::new(), Vec::new());
        for (index, (receipt, ms)) in (0..).zip(changes) {
            match self.change_one(queue, receipt, *ms, now) {
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
        queue: QueueId,
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
        let until = now.plus_ms(ms);
        match held.filter(|held| held.receive_count > 0) {
            Some(held) => {
                let longest = VISIBILITY_MS_MAX.saturating_sub(now.ms_since(held.received));
                check_range("visibility", ms, 0, longest)?;
                Ok(Some((seq, until)))
            }
            None => {
                // Its lease was lost in a crash: it is given again.
                self.record(|out| out.leased(queue, now, until, receipt.lease, &[(seq, 1)]));
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

    pub(super) fn peek(
        &mut self,
        name: &str,
        from: Seq,
        max: u32,
        bytes_max: u64,
        now: LogTime,
    ) -> Decision {
        let id = self.queue(name)?.id;
        check_range("max", u64::from(max), 1, BATCH_MESSAGES_MAX as u64)?;
        let queue = self.state.by_id(id).expect("its name was found");
        queue.messages.settle(now);
        let (mut peeked, mut bytes, mut next) = (Vec::new(), 0u64, None);
        for (seq, held) in queue.messages.from(from) {
            let Ok(indexed) = self.index.find(id, seq) else {
                next = Some(seq);
                break;
            };
            let (location, sent) = indexed.expect("every message in a queue is in the index");
            bytes += u64::from(location.bytes);
            if peeked.len() == max as usize || (bytes > bytes_max && !peeked.is_empty()) {
                next = Some(seq);
                break;
            }
            let (state, receive_count) = (held.state, held.receive_count);
            peeked.push(Peeked { seq, state, receive_count, sent, location });
        }
        Ok(Decided::Now(Reply::Peeked { queue: id, messages: peeked, next }))
    }
}

fn check_batch(item: &'static str, count: usize) -> Result<(), RequestError> {
    match count {
        0 => Err(RequestError::EmptyBatch { item }),
        1..=BATCH_MESSAGES_MAX => Ok(()),
        _ => Err(RequestError::TooManyInBatch { item, count, max: BATCH_MESSAGES_MAX }),
    }
}
