//! What the disk holds beside what is live, looked at over and over while a load runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::BenchError;
use crate::deep::disk_use::{DiskUse, disk_use};
use crate::deep::ledger::Ledger;
use crate::deep::stats::{self, Compactor};
use crate::deep::store::Store;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// One look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// When.
    pub(super) at: Instant,
    /// What the files take.
    pub(super) disk: DiskUse,
    /// What the client knows to be live, in bytes of bodies.
    pub(super) live: u64,
    /// What the server says of its compactor.
    compactor: Compactor,
}

/// Looks until it is dropped.
#[derive(Debug)]
pub(super) struct Sampler {
    task: JoinHandle<()>,
    found: Arc<Mutex<Found>>,
}

#[derive(Debug, Default)]
struct Found {
    samples: Vec<Sample>,
    error: Option<BenchError>,
}

impl Sampler {
    /// Looks at a store from now on.
    pub(super) fn start(store: &Store, ledger: &Arc<Ledger>) -> Self {
        let found = Arc::<Mutex<Found>>::default();
        let (directory, process) = (store.directory().to_owned(), store.id());
        let (address, ledger) = (store.address(), Arc::clone(ledger));
        let notes = Arc::clone(&found);
        let task = tokio::spawn(async move {
            let mut every = tokio::time::interval(EVERY);
            loop {
                every.tick().await;
                let live = ledger.live();
                let directory = directory.clone();
                // Not on the thread that makes the load.
                let looked =
                    tokio::task::spawn_blocking(move || disk_use(&directory, process)).await;
                let looked = looked.map_err(|error| BenchError::new(error.to_string()));
                let compactor = stats::compacting(&address).await;
                let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                match (looked.and_then(|looked| looked), compactor) {
                    (Ok(disk), Ok(compactor)) => {
                        notes.samples.push(Sample { at: Instant::now(), disk, live, compactor });
                    }
                    (Err(error), _) | (_, Err(error)) => return notes.error = Some(error),
                }
            }
        });
        Self { task, found }
    }

    /// All looks so far, in order.
    pub(super) fn samples(&self) -> Result<Vec<Sample>, BenchError> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match found.error.take() {
            Some(error) => Err(error),
            None => Ok(found.samples.clone()),
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sample {
    /// How many snapshots the server has taken.
    pub(super) fn snapshots(&self) -> u64 {
        self.compactor.snapshots
    }

    #[cfg(test)]
    pub(super) fn for_tests(at: Instant, finished: u64, at_work: bool, snapshots: u64) -> Self {
        let compactor = Compactor { finished, at_work, snapshots };
        Self { at, disk: DiskUse::default(), live: 0, compactor }
    }
}

/// Whether the compactor was at work between the look before `index` and that one: it is, or was, or
/// has finished something since.
pub(super) fn compacted(samples: &[Sample], index: usize) -> bool {
    let Compactor { finished, at_work, .. } = samples[index].compactor;
    let before = index.checked_sub(1).map(|index| samples[index].compactor);
    at_work || before.is_some_and(|before| before.at_work || finished > before.finished)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compactor_that_has_finished_was_at_work_between_the_looks() {
        let began = Instant::now();
        let sample = |ms, finished, at_work| {
            Sample::for_tests(began + Duration::from_millis(ms), finished, at_work, 0)
        };
        let samples = [
            sample(0, 5, false),
            sample(100, 5, true),
            sample(200, 5, false),
            sample(300, 5, false),
            sample(400, 6, false),
            sample(500, 6, false),
        ];
        let found = [0, 1, 2, 3, 4, 5].map(|index| compacted(&samples, index));
        assert_eq!(found, [false, true, true, false, true, false]);
    }
}
