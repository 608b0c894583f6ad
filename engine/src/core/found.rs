//! What a receive finds: the messages that come first, of those that wait.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use super::Core;
use super::dead_letters::DeadLetters;
use super::moves::{Chosen, Moves};
use crate::broken::{Mistake, makes};
use crate::command::ReplyTo;
use crate::ids::{Group, QueueId, Seq};
use crate::index::Index;
use crate::location::Location;
use crate::record::Lease;
use crate::state::held::Held;
use crate::state::order::Order;
use crate::state::queue::Messages;
use crate::time::LogTime;

/// A receive passes over so many dead letters and expired messages at the most, which takes some milliseconds.
const PASSED_MAX: usize = 1 << 16;

/// How much a receive may find.
#[derive(Clone, Copy)]
pub(super) struct Quota {
    pub(super) messages_max: usize,
    /// The most bytes, unless one message alone is larger.
    pub(super) bytes_max: u64,
}

/// A message that may be leased.
pub(super) struct Candidate {
    pub(super) lease: Lease,
    pub(super) location: Location,
    pub(super) sent: LogTime,
    pub(super) first_received: LogTime,
}

/// Those that were found of the messages that come again, or of the others.
#[derive(Default)]
struct Found {
    candidates: Vec<Candidate>,
    bytes: u64,
    /// There may be more behind them, but they are not to be passed over.
    is_cut: bool,
}

/// Whether a message that was received then comes before one that was sent then.
pub(super) fn comes_before(received: LogTime, sent: LogTime) -> bool {
    received < sent
}

impl Found {
    fn cut(&mut self) -> ControlFlow<()> {
        self.is_cut = true;
        ControlFlow::Break(())
    }

    /// The first ones of both, where one that comes `again` is behind those that were sent before it was last `received`,
    /// and a FIFO queue's groups stay in one piece.
    fn merged(
        self,
        again: Self,
        received: impl Fn(Seq) -> LogTime,
        is_fifo: bool,
        quota: Quota,
    ) -> Vec<Candidate> {
        let (is_fresh_cut, is_again_cut) = (self.is_cut, again.is_cut);
        // Also where it was cut short: nobody waits for that.
        if again.candidates.is_empty() {
            return self.candidates;
        }
        let mut fresh = self.candidates.into_iter().peekable();
        let mut again = again.candidates.into_iter().peekable();
        let is_of =
            |group: Option<Group>, next: &Candidate| is_fifo && Some(next.lease.group) == group;
        let mut group = None;
        let all = std::iter::from_fn(move || {
            let is_again = match (fresh.peek(), again.peek()) {
                (_, Some(next)) if is_of(group, next) => true,
                (Some(next), _) if is_of(group, next) => false,
                (Some(fresh), Some(again)) => comes_before(received(again.lease.seq), fresh.sent),
                // What stands behind those that were found may come before these.
                (None, _) if is_fresh_cut => return None,
                (_, None) if is_again_cut => return None,
                (fresh, _) => fresh.is_none(),
            };
            let next = if is_again { again.next() } else { fresh.next() };
            group = next.as_ref().map(|next| next.lease.group);
            next
        });
        let (mut found, mut bytes) = (Vec::new(), 0);
        for next in all.take(quota.messages_max) {
            bytes += u64::from(next.location.bytes);
            if bytes > quota.bytes_max && !found.is_empty() {
                break;
            }
            found.push(next);
        }
        found
    }
}

impl<R: ReplyTo> Core<R> {
    /// Whether what was received before goes to the back. Not on a full disk: what is held of a message takes space until
    /// it is deleted, and consumers that give everything back would go around the whole queue.
    pub(super) fn goes_round(&self, messages: &Messages) -> bool {
        let is_again_first = messages.order().is_some_and(Order::is_again_first);
        !is_again_first && self.check_sends_allowed().is_ok()
    }

    /// The first messages that may be leased. Dead letters that are come upon begin to move.
    pub(super) fn find_waiting(
        &mut self,
        id: QueueId,
        quota: Quota,
        now: LogTime,
    ) -> Vec<Candidate> {
        let queue = self.state.get(id).expect("the caller found the queue");
        let messages = &queue.messages;
        let dead = self.dead_letters(queue);
        let has_dead_letters = dead.is_some();
        let goes_round = self.goes_round(messages);
        let is_fifo = messages.order().is_some_and(Order::is_fifo);
        let mut look = Look {
            id,
            messages,
            index: &mut self.index,
            moves: &self.moves,
            postponed: &mut self.postponed,
            dead,
            expired: queue.attributes.expired_by(now),
            is_fifo,
            quota,
            now,
            passed: 0,
            spared: 0,
            locked: HashSet::new(),
        };
        let received = |seq| messages.last_received(seq);
        let (mut found, mut again) = (Found::default(), Found::default());
        if goes_round {
            let _ = messages.fresh().try_for_each(|next| look.visit(next, &mut found, true));
            // Where enough comes before them all, nothing but dead letters is looked for.
            let gives = found.candidates.len() < quota.messages_max
                || messages.again().next().is_some_and(|(first, _)| {
                    let received = received(first);
                    found.candidates.iter().any(|fresh| comes_before(received, fresh.sent))
                });
            if gives || has_dead_letters {
                let _ = messages.again().try_for_each(|next| look.visit(next, &mut again, gives));
            }
        } else {
            let _ = messages.waiting().try_for_each(|next| look.visit(next, &mut found, true));
        }
        let dead = look.dead;
        let found = found.merged(again, received, is_fifo, quota);
        if let Some(dead) = dead {
            self.take_dead_letters(id, dead, now);
        }
        found
    }
}

/// A receive's look along the messages that wait, the first to the last.
struct Look<'a> {
    id: QueueId,
    messages: &'a Messages,
    index: &'a mut Index,
    moves: &'a Moves,
    postponed: &'a mut BTreeSet<QueueId>,
    /// Those that it comes upon, in a queue that has dead letters.
    dead: Option<DeadLetters>,
    /// What was sent until then has expired, and could not be removed yet.
    expired: Option<LogTime>,
    is_fifo: bool,
    quota: Quota,
    now: LogTime,
    /// Dead letters and expired messages that it has passed over.
    passed: usize,
    /// Messages that would have been given, had it not looked for dead letters alone.
    spared: usize,
    /// Groups of a FIFO queue that wait for a dead letter of theirs.
    locked: HashSet<Group>,
}

impl Look<'_> {
    /// Looks at the next message. Unless it `gives`, nothing but dead letters is looked for.
    #[inline]
    fn visit(
        &mut self,
        (seq, group): (Seq, Group),
        found: &mut Found,
        gives: bool,
    ) -> ControlFlow<()> {
        if found.candidates.len() + self.spared == self.quota.messages_max {
            return ControlFlow::Break(());
        }
        if self.passed == PASSED_MAX {
            return found.cut();
        }
        if self.is_fifo && self.locked.contains(&group) {
            return ControlFlow::Continue(());
        }
        let held = self.messages.held(seq);
        let is_dead =
            |held: &Held| self.dead.as_ref().is_some_and(|dead| dead.is_one(held.receive_count));
        if held.is_some_and(is_dead)
            && let Some(flow) = self.visit_dead((seq, group), found)
        {
            return flow;
        }
        if !gives {
            self.spared += 1;
            return ControlFlow::Continue(());
        }
        let Some((location, sent)) = self.locate(seq) else { return found.cut() };
        if self.has_expired(sent) {
            self.passed += 1;
            return ControlFlow::Continue(());
        }
        found.bytes += u64::from(location.bytes);
        if found.bytes > self.quota.bytes_max && !found.candidates.is_empty() {
            return found.cut();
        }
        let mut receive_count = held.map_or(0, |held| held.receive_count).saturating_add(1);
        if makes(Mistake::CountLost) {
            receive_count = 1;
        }
        let first_received =
            held.filter(|held| held.was_received()).map(|held| held.first_received);
        let (lease, first_received) =
            (Lease { seq, receive_count, group }, first_received.unwrap_or(self.now));
        found.candidates.push(Candidate { lease, location, sent, first_received });
        ControlFlow::Continue(())
    }

    /// Passes over a dead letter, and marks it if there is room. In a FIFO queue its group waits for it.
    /// `None`: it cannot be moved, and is delivered as any other message.
    fn visit_dead(
        &mut self,
        (seq, group): (Seq, Group),
        found: &mut Found,
    ) -> Option<ControlFlow<()>> {
        let wants = self.dead.as_mut().is_some_and(|dead| dead.wants(self.moves));
        let located = wants.then(|| self.locate(seq));
        if let (Some(dead), Some(Some((location, _)))) = (&self.dead, &located)
            && dead.is_too_large(location)
        {
            return None;
        }
        self.passed += 1;
        if self.is_fifo {
            self.locked.insert(group);
        }
        match located {
            None => {}
            Some(None) => return Some(found.cut()),
            Some(Some((location, sent))) => {
                if !self.has_expired(sent)
                    && let Some(dead) = &mut self.dead
                {
                    dead.add(Chosen { group, location, sent });
                }
            }
        }
        Some(ControlFlow::Continue(()))
    }

    /// Where a message is, and when it was sent. What a damaged index hides comes when that was rebuilt.
    fn locate(&mut self, seq: Seq) -> Option<(Location, LogTime)> {
        match self.index.find(self.id, seq) {
            Ok(indexed) => Some(indexed.expect("every message in a queue is in the index")),
            Err(_) => {
                self.postponed.insert(self.id);
                None
            }
        }
    }

    fn has_expired(&self, sent: LogTime) -> bool {
        self.expired.is_some_and(|expired| sent <= expired)
    }
}
