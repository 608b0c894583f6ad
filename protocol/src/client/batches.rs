//! The numbers of a client's batches: with them a batch that is sent again lands once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// A client as a producer, and those of its batches that are not answered.
#[derive(Debug)]
pub(super) struct Batches {
    producer: Uuid,
    unanswered: Mutex<Unanswered>,
}

#[derive(Debug, Default)]
struct Unanswered {
    latest: u64,
    numbers: BTreeSet<u64>,
}

/// A batch that is not answered: so it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Batch {
    batches: Arc<Batches>,
    number: u64,
}

impl Batches {
    /// Those of a producer that nobody else is.
    pub(super) fn new() -> Arc<Batches> {
        Arc::new(Batches { producer: Uuid::new_v4(), unanswered: Mutex::default() })
    }

    pub(super) fn producer(&self) -> Uuid {
        self.producer
    }

    /// The next batch, and the oldest one that is not answered.
    pub(super) fn begin(self: &Arc<Self>) -> (Batch, u64) {
        let mut unanswered = self.unanswered();
        unanswered.latest += 1;
        let number = unanswered.latest;
        unanswered.numbers.insert(number);
        let oldest = unanswered.numbers.first().copied().unwrap_or(number);
        drop(unanswered);
        (Batch { batches: Arc::clone(self), number }, oldest)
    }

    fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        // Nothing is left half done under this lock, so a panic elsewhere spoils nothing.
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.batches.unanswered().numbers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it the server would forget a batch that may be sent again.
    #[test]
    fn the_oldest_is_the_first_that_is_not_answered() {
        let batches = Batches::new();
        let (first, oldest) = batches.begin();
        assert_eq!((first.number(), oldest), (1, 1));
        let (second, oldest) = batches.begin();
        assert_eq!((second.number(), oldest), (2, 1));
        drop(first);
        let (third, oldest) = batches.begin();
        assert_eq!((third.number(), oldest), (3, 2));
    }
}
