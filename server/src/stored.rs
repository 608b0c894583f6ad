//! Stored messages: from memory, or from the disk off the async threads.

use std::sync::Arc;

use forebay_engine::StoredMessage;
use forebay_engine::error::ReadError;
use forebay_engine::location::Location;
use tokio::sync::Semaphore;

use crate::caller::EngineHandle;

/// Each message, if it is in memory. What whoever reads a backlog will want next is read meanwhile.
pub(crate) fn read_hot<'l>(
    engine: &EngineHandle,
    locations: impl Iterator<Item = &'l Location> + Clone,
) -> Vec<Option<Result<StoredMessage, ReadError>>> {
    let hot = engine.read_hot(locations);
    read_on(engine);
    hot
}

/// The messages; as many read the disk at once as `disk_reads` has permits.
pub(crate) async fn read_all(
    engine: &EngineHandle,
    disk_reads: &Arc<Semaphore>,
    locations: Vec<Location>,
) -> Vec<Result<StoredMessage, ReadError>> {
    let permit = Arc::clone(disk_reads).acquire_owned().await;
    let permit = permit.expect("this semaphore is never closed");
    let reader = engine.clone();
    let read = tokio::task::spawn_blocking(move || {
        let read = reader.read_all(&locations);
        drop(permit);
        read
    });
    match read.await {
        Ok(read) => {
            read_on(engine);
            read
        }
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Nobody waits for it, so it needs no permit; and only one is told to.
fn read_on(engine: &EngineHandle) {
    if engine.reads_on() {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || engine.read_on());
    }
}
