//! The queues of a workload: how they are made, and what they hold.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use forebay_protocol::{
    CreateQueue, DeleteQueue, DescribeQueue, ListQueues, Operation, QueueAttributes, QueueInfo,
    QueuesListed,
};

use crate::BenchError;
use crate::wire::{Wire, ask_once};
use crate::workload::{Kind, QUEUE, Workload};

/// No lease may end during a run, or messages would come twice.
const VISIBILITY_MS: u64 = 3_600_000;

/// Queues that are listed at once.
const LISTED_MAX: u32 = 1000;

/// Makes the queue of most workloads.
pub(crate) async fn create_queue(address: &str) -> Result<(), BenchError> {
    create(address, &Workload::plain(Kind::Send, 1, 0, 1, 1)).await
}

/// The queues of a workload on a server that is not ours, which goes on: they go in the end, also if that is an
/// interrupt.
static ELSEWHERE: Mutex<Option<(String, Workload)>> = Mutex::new(None);

/// Makes a workload's queues on a server that is not ours and has none of these names.
pub(crate) async fn create_elsewhere(address: &str, workload: &Workload) -> Result<(), BenchError> {
    check_none(address).await?;
    *elsewhere() = Some((address.to_owned(), *workload));
    create(address, workload).await
}

/// Deletes what [`create_elsewhere`] has made, as far as it has come.
pub(crate) async fn delete_elsewhere() -> Result<(), BenchError> {
    let Some((address, workload)) = elsewhere().take() else { return Ok(()) };
    let made: HashSet<String> =
        (0..workload.queues).map(|number| workload.queue_name(number)).collect();
    let mut wire = Wire::connect(&address).await?;
    let mut after = String::new();
    loop {
        let list = ListQueues { prefix: QUEUE.to_owned(), after, max: LISTED_MAX };
        let QueuesListed { queues, more } = wire.ask(list).await?;
        let last = queues.last().map(|queue| queue.name.clone());
        for queue in queues.into_iter().filter(|queue| made.contains(&queue.name)) {
            wire.ask(DeleteQueue { name: queue.name }).await?;
        }
        match last {
            Some(last) if more => after = last,
            _ => return Ok(()),
        }
    }
}

fn elsewhere() -> MutexGuard<'static, Option<(String, Workload)>> {
    ELSEWHERE.lock().expect("nobody panics with it")
}

/// Whether a server that is not ours has no queue of these names: they are deleted in the end.
async fn check_none(address: &str) -> Result<(), BenchError> {
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
        return Ok(vec![ask_once(address, ask(workload.queue_name(0))).await?]);
    }
    let mut wire = Wire::connect(address).await?;
    let mut replies = Vec::new();
    for number in 0..workload.queues {
        replies.push(wire.ask(ask(workload.queue_name(number))).await?);
    }
    Ok(replies)
}
