//! What a lot of data costs: the deep workloads, each on a server and a data directory of its own.
//!
//! Each module uses only those above it:
//!
//! | module | what |
//! | --- | --- |
//! | `size` | numbers of bytes |
//! | `setup` | what all workloads are told |
//! | `proc`, `device`, `disk_use`, `stats` | what kernel, disk, file system and server tell |
//! | `report` | the lines |
//! | `store`, `restart` | a server and its data; kills and restarts |
//! | `filling` | the load of sends |
//! | `ledger`, `shelf`, `turnover` | the load of messages that come and go |
//! | `paced`, `samples` | what is looked at beside a load |
//! | `backlog`, `queues`, `churn`, `survivors` | the workloads |

use tokio::signal::unix::{SignalKind, signal};

use crate::BenchError;

mod backlog;
mod churn;
mod device;
mod disk_use;
mod filling;
mod ledger;
mod paced;
mod proc;
mod queues;
mod report;
mod restart;
mod samples;
mod setup;
mod shelf;
mod size;
mod stats;
mod store;
mod survivors;
mod turnover;

/// A deep workload and its settings.
#[derive(Debug, clap::Args)]
pub struct Deep {
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

impl Deep {
    /// Runs it and prints its figures. What was started and written goes in the end, also after
    /// SIGINT and SIGTERM.
    pub async fn run(&self) -> Result<(), BenchError> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let setup = &self.setup;
        let work = async {
            match &self.workload {
                Workload::Backlog(backlog) => backlog.run(setup).await,
                Workload::Queues(queues) => queues.run(setup).await,
                Workload::Churn(churn) => churn.run(setup).await,
                Workload::Survivors(survivors) => survivors.run(setup).await,
            }
        };
        tokio::select! {
            done = work => done,
            _ = interrupt.recv() => Err(BenchError::new("interrupted")),
            _ = terminate.recv() => Err(BenchError::new("terminated")),
        }
    }
}
