//! Stored messages: from memory, or from the disk off the async threads.

use std::sync::Arc;

use forebay_engine::StoredMessage;
use forebay_engine::command::Command;
use forebay_engine::error::ReadError;
use forebay_engine::location::Location;
use forebay_protocol::MessageAttributes;
use tokio::sync::Semaphore;

use crate::caller::{Caller, EngineHandle, Leases};

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

/// A message that the disk did not give is tried again after so long: otherwise a subscription and a
/// broken disk would keep each other busy.
const READ_AGAIN_MS: u64 = 1_000;

/// The bodies that can be delivered of leased messages, in order. Those without are taken out of the leases:
/// what is damaged is set aside, the others go back, for a disk may read later what it could not read now. Nobody
/// got them, so these receives do not count: otherwise a bad disk would make dead letters of them.
pub(crate) fn deliverable(
    engine: &EngineHandle,
    leases: &mut Leases,
    bodies: Vec<Result<StoredMessage, ReadError>>,
) -> Vec<StoredMessage> {
    let held_back = held_back(leases, &bodies);
    let left_out = leases.take_unless(|index| bodies[index].is_ok() && !held_back[index]);
    let (mut found, mut lost) = (Vec::with_capacity(bodies.len()), Vec::new());
    for (body, is_held_back) in bodies.into_iter().zip(held_back) {
        match body {
            Ok(body) if !is_held_back => found.push(body),
            body => lost.push(body.err()),
        }
    }
    let (mut unread, mut read) = (Vec::new(), Vec::new());
    for (delivery, error) in left_out.iter().zip(lost) {
        if let Some(error) = &error {
            report_unreadable(engine, &delivery.location, error);
        }
        match error {
            None => read.push(delivery.receipt),
            Some(ReadError::Disk(_)) => unread.push(delivery.receipt),
            Some(ReadError::Damaged(_)) => {}
        }
    }
    // First those that hold up the others.
    leases.give_back_uncounted(unread, READ_AGAIN_MS);
    leases.give_back_uncounted(read, 0);
    found
}

/// Logs why a message has no bytes, and has a damaged one set aside.
pub(crate) fn report_unreadable(engine: &EngineHandle, location: &Location, error: &ReadError) {
    let (queue, seq) = (location.queue, location.seq);
    tracing::error!(queue_id = %queue, %seq, %error, "a stored message cannot be read");
    if let ReadError::Damaged(_) = error {
        engine.submit(Command::SetAside { queue, seq }, Caller::nobody());
    }
}

/// Which messages go back although they were read: in a FIFO queue those that come behind one of their group
/// that the disk did not give, and that will come again. Which group that is of, its bytes would tell; but the
/// messages of a group come together, so it can hold up no other than that of the one behind it.
fn held_back(leases: &Leases, bodies: &[Result<StoredMessage, ReadError>]) -> Vec<bool> {
    let mut held_back = vec![false; bodies.len()];
    let (mut is_behind_lost, mut blocked) = (false, None);
    for (held_back, body) in held_back.iter_mut().zip(bodies).filter(|_| leases.is_fifo()) {
        match body {
            Ok(stored) => {
                let section = stored.payload.slice(..stored.attributes_bytes as usize);
                let group = MessageAttributes::decode(section).ok().and_then(|found| found.group);
                if std::mem::take(&mut is_behind_lost) {
                    blocked.clone_from(&group);
                }
                *held_back = blocked.is_some() && blocked == group;
            }
            Err(ReadError::Disk(_)) => is_behind_lost = true,
            // It is set aside, and holds up nobody.
            Err(ReadError::Damaged(_)) => {}
        }
    }
    held_back
}
