//! What a lot of data costs: the deep workloads, each on a server and a data directory of its own.
//!
//! Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `setup` | what all workloads are told |
//! | `proc`, `device`, `disk_use`, `stats` | what kernel, disk, file system and server tell |
//! | `report` | the lines |
//! | `store`, `restart` | a server and its data; kills and restarts |
//! | `filling` | the load of sends |
//! | `ledger`, `shelf`, `turnover` | the load of messages that come and go |
//! | `marked`, `ledger_of_groups`, `consumers` | messages that are known again, and who judges their order |
//! | `paced`, `samples`, `lone` | what is looked at beside a load |
//! | `backlog`, `queues`, `churn`, `survivors` | the workloads |
//! | `fifo`, `fair`, `delayed` | those that are about what a queue promises |

use crate::BenchError;

mod backlog;
mod churn;
mod consumers;
mod delayed;
mod device;
mod disk_use;
mod fair;
mod fifo;
mod filling;
mod ledger;
mod ledger_of_groups;
mod lone;
mod marked;
mod paced;
mod proc;
mod queues;
mod report;
mod restart;
mod samples;
mod setup;
mod shelf;
mod stats;
mod store;
mod survivors;
mod turnover;

/// Measure what a lot of data costs: memory, restart and disk
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay bench deep backlog --messages 200000")]
pub(crate) struct Deep {
    #[command(subcommand)]
    workload: Workload,
    #[command(flatten)]
    setup: setup::Setup,
}

#[derive(Debug, clap::Subcommand)]
enum Workload {
    /// One queue with 100 million messages: memory, speed and restart
    Backlog(backlog::Backlog),
    /// 10,000 queues with 1,000 messages each: memory, restart and sends over all
    Queues(queues::Queues),
    /// Deletes in no order at a constant live size: disk, writes and latency
    Churn(churn::Churn),
    /// One message in 1,000 is never deleted: disk
    Survivors(survivors::Survivors),
}

/// What a queue's own promises cost: groups, tenants, delays.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Promise {
    /// A FIFO queue with a million groups: order under failures, and speed beside a standard queue
    Fifo(fifo::Fifo),
    /// A tenant with a million messages: how long those of 99 others wait
    Fair(fair::Fair),
    /// Ten million delayed messages: speed, memory, and how exactly they come
    Delayed(delayed::Delayed),
}

impl Promise {
    /// Runs it and prints its figures, as [`Deep::run`] does.
    pub(crate) async fn run(&self) -> Result<(), BenchError> {
        match self {
            Promise::Fifo(fifo) => fifo.run().await,
            Promise::Fair(fair) => fair.run().await,
            Promise::Delayed(delayed) => delayed.run().await,
        }
    }
}

impl Deep {
    /// Runs it and prints its figures.
    pub(crate) async fn run(&self) -> Result<(), BenchError> {
        let setup = &self.setup;
        match &self.workload {
            Workload::Backlog(backlog) => backlog.run(setup).await,
            Workload::Queues(queues) => queues.run(setup).await,
            Workload::Churn(churn) => churn.run(setup).await,
            Workload::Survivors(survivors) => survivors.run(setup).await,
        }
    }
}
