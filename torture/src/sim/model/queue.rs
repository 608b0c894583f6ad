//! One queue of the model: plain lists, and the rules of a message's life.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use forebay_engine::attributes::{Attributes, DeduplicationScope, RETENTION_MS_MAX};
use forebay_engine::command::{MessageState, NewMessage};
use forebay_engine::ids::{QueueId, Seq};
use forebay_engine::unit::Unit;
use forebay_engine::{DeadLetter, LogTime, RequestError};

use crate::sim::model::Held;
use crate::sim::op::{is_fair, is_fifo};
use crate::sim::{Shown, ShownQueue, in_group, message};

const DAY_HALF_MS: u64 = 12 * 3600 * 1000;

/// A message that was received so often lets others go first.
const WORN_RECEIVES: u32 = 3;

/// A body is its first byte, so many times.
pub(crate) type NewBody = (u8, u16);

#[derive(Debug, Clone)]
pub(crate) struct ModelQueue {
    pub(crate) id: u32,
    pub(crate) attributes: Attributes,
    pub(crate) next_seq: u64,
    pub(crate) messages: BTreeMap<u64, ModelMessage>,
    /// Of each deduplication id (and group, if that is the scope) the newest message.
    pub(crate) sent: BTreeMap<(u64, Option<u8>), (u64, LogTime)>,
    /// The batches that have landed: first message and count. Those before the oldest are forgotten.
    pub(crate) batches: BTreeMap<u64, (u64, u32)>,
    pub(crate) oldest_batch: u64,
    /// Leases whose messages were deleted or changed by who had them.
    pub(crate) spent: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct ModelMessage {
    pub(crate) group: Option<u8>,
    pub(crate) payload: Bytes,
    pub(crate) sent: LogTime,
    pub(crate) hidden: Option<Hidden>,
    pub(crate) receive_count: u32,
    /// The newest lease: a number that only grows; 0 if it was never received.
    pub(crate) lease: u64,
    /// How many answers have that lease and were not given back.
    pub(crate) answers: u32,
    pub(crate) received: LogTime,
    pub(crate) first_received: LogTime,
    pub(crate) reason: Option<String>,
    /// The newest lease was taken off the receive count.
    pub(crate) is_uncounted: bool,
    pub(crate) letter: Option<DeadLetter>,
    /// It is about to go to another queue: nobody gets it meanwhile.
    pub(crate) is_moving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    Delayed(LogTime),
    InFlight(LogTime),
}

/// What a receive comes upon.
#[derive(Debug, Default)]
pub(crate) struct Receivable {
    pub(crate) given: Vec<u64>,
    /// Dead letters, which begin to move.
    pub(crate) dead: Vec<u64>,
}

/// Of what comes again, or does not: in a FIFO queue what each group gives, elsewhere each message.
#[derive(Debug, Default)]
struct LookedAt {
    given: Vec<Vec<u64>>,
    dead: Vec<u64>,
}

/// What is sent for a body: each kind of queue gets what it takes.
pub(crate) fn new_message(queue: &str, body: NewBody, delay_s: Option<u64>) -> NewMessage {
    let (byte, bytes) = body;
    let (group, id) = (group_of(queue, body), deduplication_id(body));
    let body = vec![byte; usize::from(bytes)];
    let name = |group: u8| format!("group {group}");
    let delay_ms = delay_s.map(|s| s * 1000);
    match group {
        Some(group) if is_fifo(queue) => in_group(&name(group), Some(id), &body),
        Some(group) => NewMessage { delay_ms, ..in_group(&name(group), None, &body) },
        None => message(&body, delay_ms),
    }
}

fn group_of(queue: &str, (_, bytes): NewBody) -> Option<u8> {
    let group = (bytes % 4) as u8;
    (is_fifo(queue) || is_fair(queue) && group > 0).then_some(group)
}

fn deduplication_id((byte, bytes): NewBody) -> u64 {
    u64::from(byte) << 16 | u64::from(bytes >> 3)
}

impl ModelMessage {
    pub(crate) fn new(payload: Bytes, group: Option<u8>, sent: LogTime) -> Self {
        Self {
            group,
            payload,
            sent,
            hidden: None,
            receive_count: 0,
            lease: 0,
            answers: 1,
            received: LogTime::default(),
            first_received: LogTime::default(),
            reason: None,
            is_uncounted: false,
            letter: None,
            is_moving: false,
        }
    }

    pub(crate) fn is_hidden(&self, now: LogTime) -> bool {
        match self.hidden {
            None => false,
            Some(Hidden::Delayed(until) | Hidden::InFlight(until)) => until > now,
        }
    }

    /// Whether it lets others go first.
    fn is_worn(&self) -> bool {
        self.receive_count >= WORN_RECEIVES
    }

    pub(crate) fn is_in_flight(&self, now: LogTime) -> bool {
        matches!(self.hidden, Some(Hidden::InFlight(until)) if until > now)
    }

    /// `delay_ms` is that of a FIFO queue, which holds back what was not received.
    fn show(&self, delay_ms: u64, now: LogTime) -> Shown {
        let (state, delayed_until) = match self.hidden {
            Some(Hidden::Delayed(until)) if until > now => (MessageState::Delayed, Some(until)),
            Some(Hidden::InFlight(until)) if until > now => {
                (MessageState::InFlight { until }, None)
            }
            _ if self.lease == 0 && self.sent.plus_ms(delay_ms) > now => {
                (MessageState::Delayed, None)
            }
            _ => (MessageState::Waiting, None),
        };
        Shown {
            state,
            delayed_until,
            receive_count: self.receive_count,
            reason: self.reason.clone(),
            letter: self.letter.clone(),
            body: self.payload.clone(),
        }
    }
}

impl ModelQueue {
    pub(crate) fn new(id: u32, attributes: Attributes) -> Self {
        Self {
            id,
            attributes,
            next_seq: 1,
            messages: BTreeMap::new(),
            sent: BTreeMap::new(),
            batches: BTreeMap::new(),
            oldest_batch: 0,
            spent: BTreeSet::new(),
        }
    }

    pub(crate) fn show(&self, now: LogTime) -> ShownQueue {
        let delay_ms = if self.attributes.fifo { self.attributes.delay_ms } else { 0 };
        ShownQueue {
            id: self.id,
            attributes: self.attributes.clone(),
            next_seq: self.next_seq,
            messages: self.messages.iter().map(|(seq, m)| (*seq, m.show(delay_ms, now))).collect(),
        }
    }

    /// What is older than the queue keeps it is gone.
    pub(crate) fn expire(&mut self, now: LogTime) {
        let retention_ms = self.attributes.retention_ms;
        if retention_ms < RETENTION_MS_MAX {
            self.messages.retain(|_, message| message.sent.plus_ms(retention_ms) > now);
        }
    }

    /// Adds a message as the next one.
    pub(crate) fn push(&mut self, message: ModelMessage) -> u64 {
        let seq = self.next_seq;
        self.messages.insert(seq, message);
        self.next_seq += 1;
        seq
    }

    /// The delay that a message gets that was sent without one: a FIFO queue has one of its own,
    /// which is not the message's.
    pub(crate) fn delay_of_new(&self) -> u64 {
        if self.attributes.fifo { 0 } else { self.attributes.delay_ms }
    }

    /// Stores messages; their numbers. That of a copy is the number of the message sent before.
    pub(crate) fn send(
        &mut self,
        name: &str,
        bodies: &[NewBody],
        delay_s: Option<u64>,
        now: LogTime,
    ) -> Vec<u64> {
        let delay_ms = delay_s.map_or(self.delay_of_new(), |s| s * 1000);
        let is_delayed = delay_ms > 0 && !self.attributes.fifo;
        let hidden = is_delayed.then(|| Hidden::Delayed(now.plus_ms(delay_ms)));
        bodies.iter().map(|body| self.send_one(name, *body, hidden, now)).collect()
    }

    fn send_one(&mut self, name: &str, body: NewBody, hidden: Option<Hidden>, now: LogTime) -> u64 {
        let group = group_of(name, body);
        let in_group = self.attributes.deduplication_scope == DeduplicationScope::Group;
        let key = (deduplication_id(body), group.filter(|_| in_group));
        if self.attributes.fifo {
            let window_ms = self.attributes.deduplication_window_ms;
            let before = self.sent.get(&key).filter(|(_, time)| time.plus_ms(window_ms) >= now);
            if let Some((seq, _)) = before {
                return *seq;
            }
            self.sent.insert(key, (self.next_seq, now));
        }
        let payload = new_message(name, body, None).payload;
        self.push(ModelMessage { hidden, ..ModelMessage::new(payload, group, now) })
    }

    fn in_flight(&self, now: LogTime) -> u64 {
        self.messages.values().filter(|message| message.is_in_flight(now)).count() as u64
    }

    /// How many more messages may be in flight.
    pub(crate) fn in_flight_room(&self, now: LogTime) -> u64 {
        self.attributes.in_flight_max.saturating_sub(self.in_flight(now))
    }

    /// The messages before `end` that nobody has and nothing holds back, in the order in which they
    /// are given. In a FIFO queue of each group the longest prefix that is visible: first the groups whose first
    /// message was received, the one first whose was received first, and then the others, by their first messages.
    pub(crate) fn waiting(&self, end: u64, now: LogTime) -> Vec<u64> {
        if !self.attributes.fifo {
            let is_waiting = |m: &ModelMessage| !m.is_moving && !m.is_hidden(now);
            return self
                .messages
                .range(..end)
                .filter(|(_, m)| is_waiting(m))
                .map(|(s, _)| *s)
                .collect();
        }
        let mut groups: BTreeMap<Option<u8>, (bool, Vec<u64>)> = BTreeMap::new();
        for (seq, message) in self.messages.range(..end) {
            let (is_blocked, prefix) = groups.entry(message.group).or_default();
            let due = message.sent.plus_ms(self.attributes.delay_ms);
            let is_delayed = message.lease == 0 && due > now;
            *is_blocked |= message.is_hidden(now) || message.is_moving || is_delayed;
            if !*is_blocked {
                prefix.push(*seq);
            }
        }
        let mut prefixes: Vec<Vec<u64>> = groups.into_values().map(|(_, prefix)| prefix).collect();
        prefixes.retain(|prefix| !prefix.is_empty());
        prefixes.sort_by_key(|prefix| {
            let first = &self.messages[&prefix[0]];
            let received = (first.lease > 0).then_some(first.received);
            (received.is_none(), received, prefix[0])
        });
        prefixes.concat()
    }

    /// What a receive of `max` comes upon before `end`; whoever was received `dead_at` times is a dead
    /// letter. Some come again, behind what was sent before they were last received: in a plain queue those that were
    /// received again and again, in a FIFO queue the groups whose first message was received.
    pub(crate) fn receivable(
        &self,
        (max, end): (u32, u64),
        dead_at: Option<u32>,
        is_plain: bool,
        now: LogTime,
    ) -> Receivable {
        let max = self.in_flight_room(now).min(u64::from(max)) as usize;
        let mut pieces: Vec<Vec<u64>> = Vec::new();
        for seq in self.waiting(end, now) {
            let group = self.messages[&seq].group;
            match pieces.last_mut() {
                Some(piece) if self.attributes.fifo && self.messages[&piece[0]].group == group => {
                    piece.push(seq);
                }
                _ => pieces.push(vec![seq]),
            }
        }
        let comes_again = |piece: &Vec<u64>| {
            let first = &self.messages[&piece[0]];
            is_plain && first.is_worn() || self.attributes.fifo && first.lease > 0
        };
        let received = |piece: &Vec<u64>| self.messages[&piece[0]].received;
        let (mut again, fresh): (Vec<_>, Vec<_>) = pieces.into_iter().partition(comes_again);
        again.sort_by_key(|piece| (received(piece), piece[0]));
        let mut found = self.look_through(fresh, max, dead_at);
        let again = self.look_through(again, max, dead_at);
        found.dead.extend(again.dead);
        for piece in again.given {
            let comes_before = |other: &&Vec<u64>| {
                let sent = self.messages[&other[0]].sent;
                comes_again(other) || sent <= received(&piece)
            };
            let at = found.given.iter().take_while(comes_before).count();
            found.given.insert(at, piece);
        }
        let given = found.given.into_iter().flatten().take(max).collect();
        Receivable { given, dead: found.dead }
    }

    /// Whether in a FIFO queue no message comes before one of its group that was sent earlier.
    pub(crate) fn keeps_order(&self, given: &[u64]) -> bool {
        let mut last = BTreeMap::new();
        !self.attributes.fifo
            || given.iter().all(|seq| {
                let group = self.messages.get(seq).and_then(|message| message.group);
                last.insert(group, *seq).is_none_or(|before| before < *seq)
            })
    }

    /// Whether the order may depend on what was received.
    pub(crate) fn any_comes_again(&self) -> bool {
        let fifo = self.attributes.fifo;
        self.messages.values().any(|message| message.is_worn() || fifo && message.lease > 0)
    }

    fn look_through(&self, pieces: Vec<Vec<u64>>, max: usize, dead_at: Option<u32>) -> LookedAt {
        let (mut looked_at, mut count) = (LookedAt::default(), 0);
        for piece in pieces {
            let mut given = Vec::new();
            for seq in piece {
                if count == max {
                    break;
                }
                if dead_at.is_some_and(|dead_at| self.messages[&seq].receive_count >= dead_at) {
                    looked_at.dead.push(seq);
                    // Those behind it in its group wait until it has moved.
                    break;
                }
                given.push(seq);
                count += 1;
            }
            if !given.is_empty() {
                looked_at.given.push(given);
            }
        }
        looked_at
    }

    /// A receipt is good if no later lease was given.
    pub(crate) fn check(&self, held: &Held) -> Result<(), RequestError> {
        if held.queue != self.id {
            let (of, queue) = (QueueId(held.queue), self.queue_id());
            return Err(RequestError::ReceiptOfOtherQueue { of, queue });
        }
        match self.messages.get(&held.seq) {
            Some(message) if message.lease > held.lease => {
                Err(RequestError::ReceiptStale { seq: Seq(held.seq) })
            }
            _ => Ok(()),
        }
    }

    /// Whether the receipt's own lease has not ended.
    pub(crate) fn has_leased(&self, held: &Held, now: LogTime) -> bool {
        let message = self.messages.get(&held.seq);
        message.is_some_and(|message| message.lease == held.lease && message.is_in_flight(now))
    }

    /// In a FIFO queue a receipt is good only as long as its lease lasts.
    pub(crate) fn check_ack(&self, held: &Held, now: LogTime) -> Result<(), RequestError> {
        self.check(held)?;
        let is_there = self.messages.contains_key(&held.seq);
        if self.attributes.fifo && is_there && !self.has_leased(held, now) {
            return Err(RequestError::ReceiptExpired { seq: Seq(held.seq) });
        }
        Ok(())
    }

    /// The messages, if each receipt holds one that is there, and each another.
    pub(crate) fn check_all(&self, receipts: &[Held], now: LogTime) -> Option<BTreeSet<u64>> {
        let is_good = |held: &&Held| {
            self.check_ack(held, now).is_ok() && self.messages.contains_key(&held.seq)
        };
        let seqs: BTreeSet<u64> = receipts.iter().filter(is_good).map(|held| held.seq).collect();
        (seqs.len() == receipts.len()).then_some(seqs)
    }

    pub(crate) fn change(
        &mut self,
        held: &Held,
        ms: u64,
        now: LogTime,
    ) -> Result<(), RequestError> {
        self.check(held)?;
        let seq = Seq(held.seq);
        let has_leased = self.has_leased(held, now);
        let message = self.messages.get_mut(&held.seq).ok_or(RequestError::MessageGone { seq })?;
        if self.attributes.fifo && !has_leased {
            return Err(RequestError::ReceiptExpired { seq });
        }
        if message.lease == 0 {
            // The lease was lost in a crash: it is given again.
            message.receive_count = 1;
            message.lease = held.lease;
            message.received = now;
            message.first_received = now;
        } else {
            let max = DAY_HALF_MS.saturating_sub(now.ms_since(message.received));
            if ms > max {
                let (parameter, unit, value, min) = ("visibility", Unit::Milliseconds, ms, 0);
                return Err(RequestError::OutOfRange { parameter, unit, value, min, max });
            }
        }
        message.hidden = Some(Hidden::InFlight(now.plus_ms(ms)));
        self.spent.insert(message.lease);
        Ok(())
    }

    /// Who has a message deletes it, if it is there.
    pub(crate) fn delete(&mut self, seq: u64) {
        if let Some(message) = self.messages.remove(&seq) {
            self.spent.insert(message.lease);
        }
    }

    /// Says why, and takes the lease off the count: once, and only if it was counted.
    pub(crate) fn give_back(&mut self, held: &Held, is_counted: bool, reason: Option<String>) {
        let message = self.messages.get_mut(&held.seq).expect("its lease was changed");
        message.reason = reason.or(message.reason.take());
        if !is_counted && !message.is_uncounted && message.lease == held.lease {
            message.receive_count -= 1;
            message.is_uncounted = true;
        }
    }

    /// A message was received.
    pub(crate) fn lease(
        &mut self,
        seq: u64,
        lease: u64,
        until: LogTime,
        now: LogTime,
    ) -> &ModelMessage {
        let message = self.messages.get_mut(&seq).expect("the receive gave it");
        if message.lease == 0 {
            message.first_received = now;
        }
        message.receive_count += 1;
        (message.lease, message.answers, message.received) = (lease, 1, now);
        message.is_uncounted = false;
        message.hidden = Some(Hidden::InFlight(until));
        message
    }

    /// As the queue is named where numbers are typed.
    pub(crate) fn queue_id(&self) -> QueueId {
        QueueId(self.id)
    }
}
