//! Work that blocks, beside a runtime that has signals to hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::BenchError;

/// Whether work is to end early.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// An error if it is.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(BenchError::new("interrupted")),
            false => Ok(()),
        }
    }
}

/// Tells it when nobody waits for the work any more.
struct TellOnDrop(Stop);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Does work on a thread of its own. If nobody waits for it any more, it is told to stop; the end of the
/// runtime waits until it has put its files away.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Stop) -> Result<T, BenchError> + Send + 'static,
) -> Result<T, BenchError> {
    let stop = Stop::default();
    let _tell = TellOnDrop(stop.clone());
    let done = tokio::task::spawn_blocking(move || work(&stop)).await;
    done.map_err(|error| BenchError::new(error.to_string()))?
}
