//! The server's memory budget: what all connections together may hold of requests being received
//! or worked on, and of the messages of answers being read or written. What else an answer has is not
//! charged; each connection bounds that.
//!
//! Invariants:
//! - Bytes are charged when they are held, not when they are announced: a length field costs
//!   nothing.
//! - Who holds a part of what it needs can always get the rest: when the budget is spent, one
//!   holder at a time may go beyond it (the *overdraft*). Without it, connections that each hold
//!   half a request could wait for one another for ever. So in all there are never more bytes
//!   than the budget and the largest single need.
//! - A charge returns what it took when it is dropped.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The grain of the budget. One small request is charged this much, which covers its bookkeeping.
const GRAIN_BYTES: usize = 1024;

/// The budget; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    grains: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
}

impl Memory {
    /// A budget of `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let grains = usize::try_from(bytes).unwrap_or(usize::MAX) / GRAIN_BYTES;
        Self {
            grains: Arc::new(Semaphore::new(grains.clamp(1, Semaphore::MAX_PERMITS))),
            overdraft: Arc::new(Semaphore::new(1)),
        }
    }

    /// Raises `charge` to cover `bytes`, if that is possible at once.
    pub(crate) fn try_raise(&self, charge: &mut Charge, bytes: usize) -> bool {
        let Some(missing) = charge.missing(bytes) else { return true };
        if let Ok(permit) = Arc::clone(&self.grains).try_acquire_many_owned(missing) {
            charge.add(permit);
            return true;
        }
        match Arc::clone(&self.overdraft).try_acquire_owned() {
            Ok(permit) => charge.overdraft = Some(permit),
            Err(_) => return false,
        }
        true
    }

    /// Gives what `charge` lacks to cover `bytes`, as soon as it can be had; to be merged.
    pub(crate) fn wait_for(
        &self,
        charge: &Charge,
        bytes: usize,
    ) -> impl Future<Output = Charge> + Send + use<> {
        let missing = charge.missing(bytes).unwrap_or(0);
        let (grains, overdraft) = (Arc::clone(&self.grains), Arc::clone(&self.overdraft));
        async move {
            let closed = "the budget's semaphores are never closed";
            tokio::select! {
                biased;
                permit = grains.acquire_many_owned(missing) => {
                    Charge { grains: Some(permit.expect(closed)), overdraft: None }
                }
                permit = overdraft.acquire_owned() => {
                    Charge { grains: None, overdraft: Some(permit.expect(closed)) }
                }
            }
        }
    }
}

/// A part of the budget that is held; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    grains: Option<OwnedSemaphorePermit>,
    /// The right to hold more than `grains` says.
    overdraft: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// Adds another charge to this one.
    pub(crate) fn merge(&mut self, other: Charge) {
        if let Some(grains) = other.grains {
            self.add(grains);
        }
        self.overdraft = self.overdraft.take().or(other.overdraft);
    }

    /// Takes the part out that covers `bytes`. This charge must cover them.
    pub(crate) fn split(&mut self, bytes: usize) -> Charge {
        let wanted = grains(bytes) as usize;
        let held = self.grains.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let part = self.grains.as_mut().and_then(|permit| permit.split(wanted.min(held)));
        // Whoever takes more than there is takes the right to it along.
        let overdraft = if held < wanted { self.overdraft.take() } else { None };
        assert!(held >= wanted || overdraft.is_some(), "{held} grains held, {wanted} split off");
        Charge { grains: part, overdraft }
    }

    /// Gives back what is more than needed to cover `bytes`.
    pub(crate) fn lower(&mut self, bytes: usize) {
        let keep = grains(bytes) as usize;
        let held = self.grains.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if held > keep {
            self.grains.as_mut().and_then(|permit| permit.split(held - keep));
        }
        if held >= keep {
            self.overdraft = None;
        }
    }

    /// How many grains more it takes to cover `bytes`; `None`: it does already.
    fn missing(&self, bytes: usize) -> Option<u32> {
        let held = self.grains.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = (grains(bytes) as usize).saturating_sub(held);
        (missing > 0 && self.overdraft.is_none())
            .then(|| u32::try_from(missing).unwrap_or(u32::MAX))
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.grains {
            Some(held) => held.merge(permit),
            None => self.grains = Some(permit),
        }
    }
}

/// The grains that `bytes` take.
fn grains(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(GRAIN_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_returns_all_that_it_took() {
        let memory = Memory::new(10 * GRAIN_BYTES as u64);
        let mut charge = Charge::default();
        assert!(memory.try_raise(&mut charge, 8 * GRAIN_BYTES));
        let part = charge.split(3 * GRAIN_BYTES);
        charge.lower(GRAIN_BYTES);
        assert_eq!(memory.grains.available_permits(), 6);
        drop((charge, part));
        assert_eq!(memory.grains.available_permits(), 10);
    }

    #[test]
    fn when_the_budget_is_spent_one_holder_at_a_time_goes_on() {
        let memory = Memory::new(2 * GRAIN_BYTES as u64);
        let (mut first, mut second) = (Charge::default(), Charge::default());
        assert!(memory.try_raise(&mut first, GRAIN_BYTES));
        assert!(memory.try_raise(&mut second, GRAIN_BYTES));
        assert!(memory.try_raise(&mut first, 4 * GRAIN_BYTES), "the overdraft is free");
        assert!(!memory.try_raise(&mut second, 4 * GRAIN_BYTES), "the overdraft is taken");
        // The request that was completed with it carries it away, and gives it back at its end.
        let request = first.split(4 * GRAIN_BYTES);
        assert!(!memory.try_raise(&mut second, 4 * GRAIN_BYTES));
        drop(request);
        assert!(memory.try_raise(&mut second, 4 * GRAIN_BYTES));
    }

    #[tokio::test]
    async fn who_waits_for_memory_gets_it_when_it_is_given_back() {
        let memory = Memory::new(GRAIN_BYTES as u64);
        let (mut holder, mut overdrawn) = (Charge::default(), Charge::default());
        assert!(memory.try_raise(&mut holder, GRAIN_BYTES));
        assert!(memory.try_raise(&mut overdrawn, GRAIN_BYTES));
        let mut waiting = Charge::default();
        let more = tokio::spawn(memory.wait_for(&waiting, GRAIN_BYTES));
        drop(holder);
        waiting.merge(more.await.expect("the waiter does not panic"));
        assert!(waiting.missing(GRAIN_BYTES).is_none());
    }
}
