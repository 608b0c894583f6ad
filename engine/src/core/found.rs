//! What a receive finds: the messages that come first, of those that wait.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::Core;
use super::moves::Chosen;
use crate::broken::{Mistake, makes};
use crate::command::ReplyTo;
use crate::ids::{Group, QueueId, Seq};
use crate::location::Location;
use crate::record::Lease;
use crate::state::order::Order;
use crate::state::queue::Messages;
use crate::time::LogTime;

/// A receive passes over so many dead letters and expired messages at the most, which takes some milliseconds.
const PASSED_MAX: usize = 1 << 16;

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
        (messages_max, bytes_max): (usize, u64),
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
        for next in all.take(messages_max) {
            bytes += u64::from(next.location.bytes);
            if bytes > bytes_max && !found.is_empty() {
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
        messages_max: u32,
        bytes_max: u64,
        now: LogTime,
    ) -> Vec<Candidate> {
        let queue = self.state.get(id).expect("the caller found the queue");
        let mut dead = self.dead_letters(queue);
        let (has_dead_letters, messages_max) = (dead.is_some(), messages_max as usize);
        // What could not be removed yet.
        let expired = queue.attributes.expired_by(now);
        let has_expired = |sent: LogTime| expired.is_some_and(|expired| sent <= expired);
        let is_fifo = queue.messages.order().is_some_and(Order::is_fifo);
        let (mut passed, mut spared, mut locked) = (0, 0, HashSet::new());
        let goes_round = self.goes_round(&queue.messages);
        let mut look = |(seq, group), found: &mut Found, gives: bool| {
            let held = queue.messages.held(seq);
            if found.candidates.len() + spared == messages_max {
                return ControlFlow::Break(());
            }
            if passed == PASSED_MAX {
                return found.cut();
            }
            if is_fifo && locked.contains(&group) {
                return ControlFlow::Continue(());
            }
            if let Some(dead) = &mut dead
                && held.is_some_and(|held| dead.is_one(held.receive_count))
            {
                passed += 1;
                if is_fifo {
                    locked.insert(group);
                }
                if dead.wants(&self.moves) {
                    let Ok(indexed) = self.index.find(id, seq) else {
                        self.postponed.insert(id);
                        return found.cut();
                    };
                    let (location, sent) =
                        indexed.expect("every message in a queue is in the index");
                    if !has_expired(sent) {
                        dead.add(Chosen { group, location, sent });
                    }
                }
                return ControlFlow::Continue(());
            }
            if !gives {
                spared += 1;
                return ControlFlow::Continue(());
            }
            // What a damaged index hides comes when that was made anew.
            let Ok(indexed) = self.index.find(id, seq) else {
                self.postponed.insert(id);
                return found.cut();
            };
            let (location, sent) = indexed.expect("every message in a queue is in the index");
            if has_expired(sent) {
                passed += 1;
                return ControlFlow::Continue(());
            }
            found.bytes += u64::from(location.bytes);
            if found.bytes > bytes_max && !found.candidates.is_empty() {
                return found.cut();
            }
            let mut receive_count = held.map_or(0, |held| held.receive_count).saturating_add(1);
            if makes(Mistake::CountLost) {
                receive_count = 1;
            }
            let first_received = held.filter(|h| h.was_received()).map(|h| h.first_received);
            let (lease, first_received) =
                (Lease { seq, receive_count, group }, first_received.unwrap_or(now));
            found.candidates.push(Candidate { lease, location, sent, first_received });
            ControlFlow::Continue(())
        };
        let received = |seq| queue.messages.last_received(seq);
        let (mut found, mut again) = (Found::default(), Found::default());
        if goes_round {
            let _ = queue.messages.fresh().try_for_each(|next| look(next, &mut found, true));
            // Where enough comes before them all, nothing but dead letters is looked for.
            let gives = found.candidates.len() < messages_max
                || queue.messages.again().next().is_some_and(|(first, _)| {
                    let received = received(first);
                    found.candidates.iter().any(|fresh| comes_before(received, fresh.sent))
                });
            if gives || has_dead_letters {
                let _ = queue.messages.again().try_for_each(|next| look(next, &mut again, gives));
            }
        } else {
            let _ = queue.messages.waiting().try_for_each(|next| look(next, &mut found, true));
        }
        let found = found.merged(again, received, is_fifo, (messages_max, bytes_max));
        if let Some(dead) = dead {
            self.take_dead_letters(id, dead, now);
        }
        found
    }
}
