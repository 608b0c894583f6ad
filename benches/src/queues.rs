//! The queues of a workload: what they are called, how they are made, and what they hold.

use forebay_protocol::{
    CreateQueue, DeleteQueue, DescribeQueue, ListQueues, Operation, QueueAttributes, QueueInfo,
};

use crate::BenchError;
use crate::frames::QUEUE;
use crate::wire::{Wire, ask_once};
use crate::workload::{Durability, Kind, Workload};

/// No lease may end during a run, or messages would come twice.
const VISIBILITY_MS: u64 = 3_600_000;

/// What a workload's queue with this number, from 0, is called.
pub(crate) fn name(workload: &Workload, number: usize) -> String {
    let durability = match workload.durability {
        Durability::Sync => "",
        Durability::Written => "-written",
    };
    match workload.queues {
        1 => format!("{QUEUE}{durability}"),
        _ => format!("{QUEUE}{durability}-{number}"),
    }
}

/// Makes the queue of most workloads.
pub(crate) async fn create_queue(address: &str) -> Result<(), BenchError> {
    create(address, &Workload::plain(Kind::Send, 1, 0, 1, 1)).await
}

/// Whether a server that is not ours has no queue of these names: they are deleted in the end.
pub(crate) async fn check_none(address: &str) -> Result<(), BenchError> {
    let list = ListQueues { prefix: QUEUE.to_owned(), after: String::new(), max: 1 };
    match ask_once(address, list).await?.queues.first() {
        None => Ok(()),
        Some(queue) => Err(BenchError::new(format!(
            "the server at {address} has a queue {:?}, and names that begin with {QUEUE:?} are made and deleted \
             here: delete it if it was left by a run that was interrupted, or measure another server",
            queue.name
        ))),
    }
}

/// Makes a workload's queues; those that are there already may have messages.
pub(crate) async fn create(address: &str, workload: &Workload) -> Result<(), BenchError> {
    let attributes = QueueAttributes {
        visibility_timeout_ms: Some(VISIBILITY_MS),
        durability: Some(workload.durability.number()),
        ..QueueAttributes::default()
    };
    let create = |name| CreateQueue { name, attributes: attributes.clone() };
    each(address, workload, create).await.map(|_| ())
}

/// Deletes a workload's queues.
pub(crate) async fn delete(address: &str, workload: &Workload) -> Result<(), BenchError> {
    each(address, workload, |name| DeleteQueue { name }).await.map(|_| ())
}

/// What is known of each of a workload's queues.
pub(crate) async fn describe(
    address: &str,
    workload: &Workload,
) -> Result<Vec<QueueInfo>, BenchError> {
    let described = each(address, workload, |name| DescribeQueue { name }).await?;
    Ok(described.into_iter().map(|described| *described.queue).collect())
}

/// Messages that were sent and not acked, in all of a workload's queues.
pub(crate) async fn depth(address: &str, workload: &Workload) -> Result<u64, BenchError> {
    let queues = describe(address, workload).await?;
    Ok(queues.iter().map(|queue| queue.waiting + queue.in_flight).sum())
}

/// Asks something of each queue, one after the other.
async fn each<O: Operation>(
    address: &str,
    workload: &Workload,
    ask: impl Fn(String) -> O,
) -> Result<Vec<O::Reply>, BenchError> {
    if workload.queues == 1 {
        return Ok(vec![ask_once(address, ask(name(workload, 0))).await?]);
    }
    let mut wire = Wire::connect(address).await?;
    let mut replies = Vec::new();
    for number in 0..workload.queues {
        replies.push(wire.ask(ask(name(workload, number))).await?);
    }
    Ok(replies)
}
