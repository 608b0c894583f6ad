//! The server's memory budget: what all connections together may hold of requests being received
//! or worked on, and of the messages of answers being read or written. What else an answer has is not
//! charged; each connection bounds that.
//!
//! Invariants:
//! - Bytes are charged when they are held, not when they are announced: a length field costs
//!   nothing.
//! - An eighth of the budget is a *reserve*, which only whole requests take from: the server works
//!   them off without their clients. What may hold memory for as long as a peer likes (a request that
//!   is still arriving, bodies that wait for a socket, a receive that waits) takes from the rest alone.
//!   So no peer, however slow, keeps the small requests of others waiting.
//! - Who holds a part of what it needs can always get the rest: when the budget is spent, one
//!   arriving request at a time may go beyond it (an *overdraft*), and so may one batch of bodies.
//!   Without it, connections that each hold half a request could wait for one another for ever. So in
//!   all there are never more bytes than the budget, the largest request and the largest batch of
//!   bodies.
//! - A charge returns what it took when it is dropped.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The grain of the budget. One small request is charged this much, which covers its bookkeeping.
pub(crate) const GRAIN_BYTES: usize = 1024;

/// When nothing is left, each connection may still hold this much of what arrives, and as much of bodies
/// that it writes: small requests and answers do not wait.
pub(crate) const UNCHARGED_BYTES: usize = 16 << 10;

/// One part of the budget in so many is the reserve.
const RESERVE_SHARE: usize = 8;

/// What memory is for, which says where it may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A request that has not wholly arrived.
    Arriving,
    /// A whole request, which the server works off by itself.
    Whole,
    /// A receive that may wait for messages, or what can do without.
    Waiting,
    /// Bodies that a client is to take.
    Bodies,
}

/// The budget; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    grains: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    reserve_grains: u32,
    arriving_overdraft: Arc<Semaphore>,
    bodies_overdraft: Arc<Semaphore>,
}

impl Memory {
    /// A budget of `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let grains = usize::try_from(bytes).unwrap_or(usize::MAX) / GRAIN_BYTES;
        let reserve = (grains / RESERVE_SHARE).clamp(1, u32::MAX as usize);
        let grains = grains.saturating_sub(reserve).clamp(1, Semaphore::MAX_PERMITS);
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            grains: semaphore(grains),
            reserve: semaphore(reserve),
            reserve_grains: reserve as u32,
            arriving_overdraft: semaphore(1),
            bodies_overdraft: semaphore(1),
        }
    }

    /// How much of it nobody holds or waits for, the reserve included.
    pub(crate) fn free_bytes(&self) -> u64 {
        let free = self.grains.available_permits() + self.reserve.available_permits();
        (free * GRAIN_BYTES) as u64
    }

    /// Raises `charge` to cover `bytes`, if that is possible at once.
    pub(crate) fn try_raise(&self, charge: &mut Charge, need: Need, bytes: usize) -> bool {
        let Some(missing) = charge.missing(bytes) else { return true };
        if let Ok(permit) = Arc::clone(&self.grains).try_acquire_many_owned(missing) {
            merge(&mut charge.grains, Some(permit));
            return true;
        }
        let Some((source, wanted)) = self.beyond(need, missing) else { return false };
        let permit = source.try_acquire_many_owned(wanted).ok();
        let is_raised = permit.is_some();
        charge.merge(Charge::beyond(need, permit));
        is_raised
    }

    /// Gives what `charge` lacks to cover `bytes`, as soon as it can be had; to be merged.
    pub(crate) fn wait_for(
        &self,
        charge: &Charge,
        need: Need,
        bytes: usize,
    ) -> impl Future<Output = Charge> + Send + use<> {
        let missing = charge.missing(bytes).unwrap_or(0);
        let (grains, beyond) = (Arc::clone(&self.grains), self.beyond(need, missing));
        async move {
            let closed = "the budget's semaphores are never closed";
            let from_beyond = async {
                match beyond {
                    Some((source, wanted)) => source.acquire_many_owned(wanted).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                permit = grains.acquire_many_owned(missing) => {
                    Charge { grains: Some(permit.expect(closed)), ..Charge::default() }
                }
                permit = from_beyond => Charge::beyond(need, Some(permit.expect(closed))),
            }
        }
    }

    /// Where more may come from than from what all share, and how much is to be taken there.
    fn beyond(&self, need: Need, missing: u32) -> Option<(Arc<Semaphore>, u32)> {
        let (source, wanted) = match need {
            Need::Arriving => (&self.arriving_overdraft, 1),
            // More than all of it is all of it.
            Need::Whole => (&self.reserve, missing.min(self.reserve_grains)),
            Need::Waiting => return None,
            Need::Bodies => (&self.bodies_overdraft, 1),
        };
        Some((Arc::clone(source), wanted))
    }
}

/// A part of the budget that is held; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    grains: Option<OwnedSemaphorePermit>,
    /// Grains of the reserve.
    reserve: Option<OwnedSemaphorePermit>,
    /// The right to hold more than the grains say.
    overdraft: Option<OwnedSemaphorePermit>,
}

impl Charge {
    fn beyond(need: Need, permit: Option<OwnedSemaphorePermit>) -> Self {
        match need {
            Need::Whole => Self { reserve: permit, ..Self::default() },
            _ => Self { overdraft: permit, ..Self::default() },
        }
    }

    /// Adds another charge to this one.
    pub(crate) fn merge(&mut self, other: Charge) {
        merge(&mut self.grains, other.grains);
        merge(&mut self.reserve, other.reserve);
        self.overdraft = self.overdraft.take().or(other.overdraft);
    }

    /// Takes the part out that covers `bytes`, as far as this charge does.
    pub(crate) fn split(&mut self, bytes: usize) -> Charge {
        let mut wanted = grains(bytes) as usize;
        // First what others may want more: a buffer that goes on arriving keeps none of the reserve.
        let reserve = split(&mut self.reserve, &mut wanted);
        let grains = split(&mut self.grains, &mut wanted);
        // Whoever takes more than there is takes the right to it along.
        let overdraft = if wanted > 0 { self.overdraft.take() } else { None };
        Charge { grains, reserve, overdraft }
    }

    /// Gives back what is more than needed to cover `bytes`.
    pub(crate) fn lower(&mut self, bytes: usize) {
        *self = self.split(bytes);
    }

    /// What it covers waits from here on for something else than the server. It keeps neither an
    /// overdraft nor a part of the reserve.
    pub(crate) fn wait(&mut self) {
        (self.reserve, self.overdraft) = (None, None);
    }

    /// How many grains more it takes to cover `bytes`; `None`: it does already.
    fn missing(&self, bytes: usize) -> Option<u32> {
        let held = held(&self.grains) + held(&self.reserve);
        let missing = (grains(bytes) as usize).saturating_sub(held);
        (missing > 0 && self.overdraft.is_none())
            .then(|| u32::try_from(missing).unwrap_or(u32::MAX))
    }
}

fn held(permit: &Option<OwnedSemaphorePermit>) -> usize {
    permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
}

fn merge(held: &mut Option<OwnedSemaphorePermit>, more: Option<OwnedSemaphorePermit>) {
    match (held, more) {
        (Some(held), Some(more)) => held.merge(more),
        (held, Some(more)) => *held = Some(more),
        (_, None) => {}
    }
}

/// Takes as many of the `wanted` permits as there are.
fn split(
    from: &mut Option<OwnedSemaphorePermit>,
    wanted: &mut usize,
) -> Option<OwnedSemaphorePermit> {
    let count = held(from).min(*wanted);
    *wanted -= count;
    from.as_mut().filter(|_| count > 0).and_then(|permit| permit.split(count))
}

/// The grains that `bytes` take.
fn grains(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(GRAIN_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A budget of so many grains besides the reserve of one.
    fn budget(grains: usize) -> Memory {
        assert!(grains < 2 * RESERVE_SHARE - 1);
        Memory::new(((grains + 1) * GRAIN_BYTES) as u64)
    }

    #[test]
    fn a_charge_returns_all_that_it_took() {
        let memory = budget(8);
        let mut charge = Charge::default();
        assert!(memory.try_raise(&mut charge, Need::Arriving, 8 * GRAIN_BYTES));
        assert!(memory.try_raise(&mut charge, Need::Whole, 9 * GRAIN_BYTES));
        let part = charge.split(3 * GRAIN_BYTES);
        charge.lower(GRAIN_BYTES);
        assert_eq!(memory.grains.available_permits(), 5);
        drop((charge, part));
        assert_eq!(memory.grains.available_permits(), 8);
        assert_eq!(memory.reserve.available_permits(), 1);
    }

    #[test]
    fn when_the_budget_is_spent_one_holder_at_a_time_goes_on() {
        let memory = budget(2);
        let need = Need::Arriving;
        let (mut first, mut second) = (Charge::default(), Charge::default());
        assert!(memory.try_raise(&mut first, need, GRAIN_BYTES));
        assert!(memory.try_raise(&mut second, need, GRAIN_BYTES));
        assert!(memory.try_raise(&mut first, need, 4 * GRAIN_BYTES), "the overdraft is free");
        assert!(!memory.try_raise(&mut second, need, 4 * GRAIN_BYTES), "the overdraft is taken");
        // The request that was completed with it carries it away, and gives it back at its end.
        let request = first.split(4 * GRAIN_BYTES);
        assert!(!memory.try_raise(&mut second, need, 4 * GRAIN_BYTES));
        drop(request);
        assert!(memory.try_raise(&mut second, need, 4 * GRAIN_BYTES));
    }

    /// A slow peer keeps neither the reserve nor the other overdraft from anybody.
    #[test]
    fn what_may_wait_for_a_peer_leaves_the_reserve_to_whole_requests() {
        let memory = budget(1);
        let (mut arriving, mut bodies) = (Charge::default(), Charge::default());
        assert!(memory.try_raise(&mut arriving, Need::Arriving, 2 * GRAIN_BYTES));
        assert!(memory.try_raise(&mut bodies, Need::Bodies, 3 * GRAIN_BYTES));
        let mut charge = Charge::default();
        assert!(memory.try_raise(&mut charge, Need::Waiting, 1), "a grain is left");
        for need in [Need::Arriving, Need::Waiting, Need::Bodies] {
            assert!(!memory.try_raise(&mut Charge::default(), need, 1), "{need:?}");
        }
        assert!(memory.try_raise(&mut charge, Need::Whole, 2 * GRAIN_BYTES));
        assert!(!memory.try_raise(&mut Charge::default(), Need::Whole, 1), "it is spent");
        charge.wait();
        assert!(memory.try_raise(&mut Charge::default(), Need::Whole, 1));
        arriving.wait();
        assert!(memory.try_raise(&mut Charge::default(), Need::Arriving, 1));
    }

    #[tokio::test]
    async fn who_waits_for_memory_gets_it_when_it_is_given_back() {
        let memory = budget(1);
        for need in [Need::Arriving, Need::Whole, Need::Waiting, Need::Bodies] {
            let (mut holder, mut beyond) = (Charge::default(), Charge::default());
            assert!(memory.try_raise(&mut holder, need, GRAIN_BYTES));
            let has_more = memory.try_raise(&mut beyond, need, GRAIN_BYTES);
            assert_eq!(has_more, need != Need::Waiting);
            let mut waiting = Charge::default();
            let more = tokio::spawn(memory.wait_for(&waiting, need, GRAIN_BYTES));
            drop(holder);
            waiting.merge(more.await.expect("the waiter does not panic"));
            assert!(waiting.missing(GRAIN_BYTES).is_none());
        }
    }
}
