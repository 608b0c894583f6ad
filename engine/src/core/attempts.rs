//! Receives that may be asked again: the same attempt gives the same messages and receipts, for
//! five minutes (SQS). Once one of the messages was deleted or had its visibility changed, it is refused; where
//! a lease ran out, or was given back because nobody got the message, it is a new receive.
//!
//! So several answers may have the same lease, and what becomes of one of them says nothing of the others: the lease
//! is given back when none of them has reached anybody.
//!
//! Kept in memory only: after a restart an attempt is a new one, and the messages of the first wait
//! for their leases to end, as they do for everybody.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::Core;
use super::room::leased_bytes;
use crate::attributes::VISIBILITY_MS_MAX;
use crate::command::{Delivery, MessageState, ReplyTo};
use crate::error::RequestError;
use crate::ids::{LeaseId, QueueId, Seq};
use crate::receipt::Receipt;
use crate::time::LogTime;

/// How long an attempt is remembered (SQS).
const REMEMBERED_MS: u64 = 5 * 60 * 1000;

/// The most messages of attempts that are remembered, 24 bytes each; beyond it the oldest attempts go.
const MESSAGES_MAX: usize = 1 << 20;

/// Leases of several answers are looked through when there are so many, or twice as many as last time.
const SHARED_MIN: usize = 1024;

/// What becomes of an attempt.
pub(super) enum Again {
    /// It is a new receive.
    New,
    /// It gets what it got before.
    Same(Vec<Delivery>),
    /// There is no room in the log now for its leases, which take so many bytes.
    NoRoom(u64),
}

/// The attempts of late.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    made: HashMap<Key, Made>,
    /// By the first lease of each.
    by_lease: BTreeMap<LeaseId, Key>,
    /// In the order of their times. One that was made again stands here more than once.
    by_time: VecDeque<(LogTime, Key)>,
    /// In all of them.
    messages: usize,
    /// Leases of several answers, until they end: also of attempts that are forgotten.
    shared: HashMap<LeaseId, Shared>,
    /// How many of those were left when they were last looked through.
    shared_kept: usize,
}

/// A lease of several answers.
#[derive(Debug)]
struct Shared {
    queue: QueueId,
    seq: Seq,
    /// Those that reached somebody, or still may.
    answers: u32,
}

type Key = (QueueId, Arc<str>);

/// What an attempt got.
#[derive(Debug, Clone)]
struct Made {
    when: LogTime,
    /// Their numbers follow each other.
    leases: Vec<Leased>,
    /// A message was deleted or changed by who got it.
    is_spent: bool,
}

/// A message that an attempt got.
#[derive(Debug, Clone, Copy)]
struct Leased {
    seq: Seq,
    lease: LeaseId,
    until: LogTime,
}

impl Attempts {
    fn remember(&mut self, key: Key, leases: Vec<Leased>, now: LogTime) {
        self.forget_one(&key);
        self.messages += leases.len();
        self.by_time.push_back((now, key.clone()));
        if let Some(first) = leases.first() {
            self.by_lease.insert(first.lease, key.clone());
        }
        self.made.insert(key, Made { when: now, leases, is_spent: false });
        self.forget(now);
    }

    fn forget_one(&mut self, key: &Key) {
        let Some(made) = self.made.remove(key) else { return };
        self.messages -= made.leases.len();
        if let Some(first) = made.leases.first() {
            self.by_lease.remove(&first.lease);
        }
    }

    /// The attempt that got this lease, if there is one, cannot be made again.
    fn spend(&mut self, lease: LeaseId) {
        let Some((_, key)) = self.by_lease.range(..=lease).next_back() else { return };
        let made = self.made.get_mut(key).expect("both have the same attempts");
        made.is_spent |= made.leases.last().is_some_and(|last| lease <= last.lease);
    }

    /// Another answer has these leases.
    fn share(&mut self, queue: QueueId, leases: &[Leased]) {
        for Leased { seq, lease, .. } in leases {
            let shared = Shared { queue, seq: *seq, answers: 1 };
            self.shared.entry(*lease).or_insert(shared).answers += 1;
        }
    }

    /// An answer that had this lease reached nobody. Whether it was the last one.
    pub(super) fn was_last_answer(&mut self, lease: LeaseId) -> bool {
        let Some(shared) = self.shared.get_mut(&lease) else { return true };
        shared.answers -= 1;
        if shared.answers == 1 {
            self.shared.remove(&lease);
        }
        false
    }

    /// Whether the attempt was made, as far as is remembered.
    pub(super) fn is_made(&self, queue: QueueId, attempt: &Arc<str>) -> bool {
        self.made.contains_key(&(queue, Arc::clone(attempt)))
    }

    /// Forgets those that are too old, or too many.
    fn forget(&mut self, now: LogTime) {
        let is_full = |by_time: usize, messages: usize| by_time.max(messages) > MESSAGES_MAX;
        while let Some((time, key)) = self.by_time.front()
            && (now.ms_since(*time) > REMEMBERED_MS || is_full(self.by_time.len(), self.messages))
        {
            // If it was made again, its newer time counts.
            if self.made.get(key).is_some_and(|made| made.when == *time) {
                let key = key.clone();
                self.forget_one(&key);
            }
            self.by_time.pop_front();
        }
    }
}

impl<R: ReplyTo> Core<R> {
    /// An attempt got these messages. Whoever waits and makes the same attempt gets them next; whether somebody does.
    pub(super) fn remember_attempt(
        &mut self,
        queue: QueueId,
        attempt: &Arc<str>,
        deliveries: &[Delivery],
        now: LogTime,
    ) -> bool {
        let messages = &self.state.by_id(queue).expect("its messages were given").messages;
        let leased = deliveries.iter().filter_map(|delivery| {
            let held = messages.held(delivery.seq)?;
            Some(Leased { seq: delivery.seq, lease: held.lease, until: held.until })
        });
        let leased = leased.collect();
        self.attempts.remember((queue, Arc::clone(attempt)), leased, now);
        self.waiters.bring_forward(queue, attempt)
    }

    /// Who got these messages is about to delete or change them.
    pub(super) fn spend_attempts(&mut self, queue: QueueId, seqs: impl Iterator<Item = Seq>) {
        if self.attempts.made.is_empty() {
            return;
        }
        let messages = &self.state.by_id(queue).expect("the caller found the queue").messages;
        for seq in seqs {
            if let Some(held) = messages.held(seq) {
                self.attempts.spend(held.lease);
            }
        }
    }

    /// What an attempt got when it was made before, with its visibility timeout begun again; `others_bytes` of the
    /// log are not for it.
    pub(super) fn receive_again(
        &mut self,
        queue: QueueId,
        attempt: &Arc<str>,
        visibility_ms: u64,
        others_bytes: u64,
        now: LogTime,
    ) -> Result<Again, RequestError> {
        let key = (queue, Arc::clone(attempt));
        self.attempts.forget(now);
        let Some(Made { leases, is_spent, .. }) = self.attempts.made.get(&key).cloned() else {
            return Ok(Again::New);
        };
        if is_spent {
            return Err(RequestError::AttemptSpent { attempt: attempt.to_string() });
        }
        let messages = &self.state.get(queue).expect("the caller found the queue").messages;
        let is_untouched = |leased: &Leased| {
            messages.held(leased.seq).is_some_and(|held| {
                held.lease == leased.lease
                    && held.state == MessageState::InFlight { until: leased.until }
            })
        };
        if !leases.iter().all(is_untouched) {
            self.attempts.forget_one(&key);
            return Ok(Again::New);
        }
        // They may be more than this receive asks for.
        let bytes = leased_bytes(leases.len() as u32);
        if !self.has_room_now(others_bytes + bytes, self.deletes_bytes()) {
            return Ok(Again::NoRoom(bytes));
        }
        let held = leases.iter().filter_map(|leased| messages.held(leased.seq).copied());
        let held = held.collect::<Vec<_>>();
        let mut deliveries = Vec::with_capacity(leases.len());
        for (Leased { seq, lease, .. }, held) in leases.iter().zip(&held) {
            // What a damaged index hides comes when that was made anew.
            let Ok(Some((location, sent))) = self.index.find(queue, *seq) else {
                return Ok(Again::New);
            };
            let receipt = self.receipts.seal(Receipt { queue, seq: *seq, lease: *lease });
            let (receive_count, first_received) = (held.receive_count, held.first_received);
            let (seq, reason) = (*seq, messages.reason(*seq).cloned());
            deliveries.push(Delivery {
                seq,
                receipt,
                receive_count,
                sent,
                first_received,
                reason,
                location,
            });
        }
        let until =
            |received: LogTime| now.plus_ms(visibility_ms).min(received.plus_ms(VISIBILITY_MS_MAX));
        let changes =
            leases.iter().zip(&held).map(|(leased, held)| (leased.seq, until(held.received)));
        let changes = changes.collect::<Vec<_>>();
        self.record(|out| out.lease_changed(queue, &changes));
        self.attempts.share(queue, &leases);
        self.forget_ended_leases();
        let leases =
            leases.iter().zip(changes).map(|(leased, (_, until))| Leased { until, ..*leased });
        let leases = leases.collect();
        self.attempts.remember(key, leases, now);
        Ok(Again::Same(deliveries))
    }

    /// Of the leases of several answers only those are kept that have not ended.
    fn forget_ended_leases(&mut self) {
        let Attempts { shared, shared_kept, .. } = &mut self.attempts;
        if shared.len() < SHARED_MIN.max(2 * *shared_kept) {
            return;
        }
        shared.retain(|lease, Shared { queue, seq, .. }| {
            let held = self.state.get(*queue).and_then(|queue| queue.messages.held(*seq));
            held.is_some_and(|held| {
                held.lease == *lease && matches!(held.state, MessageState::InFlight { .. })
            })
        });
        *shared_kept = shared.len();
    }
}
