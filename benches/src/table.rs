//! `forebay bench table`: the workloads that have a name, one after the other.

use crate::measured::{Measured, Running};
use crate::place::{Place, Program};
use crate::workload::{self, Workload};
use crate::{BenchError, print, syncs};

/// Measure a table of sends, receives and subscriptions beside the bare limit of this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay bench table --rounds 5 'send/batch=10 bytes=1024'")]
pub(crate) struct Table {
    /// Run only workloads whose names contain one of these [default: all]
    filters: Vec<String>,
    /// List the workloads' names, and run nothing
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    measured: Measured,
    /// Count the server's syncs in one more run of each workload of sends; needs strace, and a server that
    /// is started here
    #[arg(long, conflicts_with = "server")]
    count_syncs: bool,
}

impl Table {
    /// Runs those that are chosen, and reports.
    pub(crate) async fn run(self) -> Result<(), BenchError> {
        let filters = &self.filters;
        let is_chosen = |workload: &Workload| {
            let name = workload.to_string();
            filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
        };
        let workloads: Vec<_> = workload::all().into_iter().filter(is_chosen).collect();
        if workloads.is_empty() {
            return Err(BenchError::usage("no workload's name contains that; --list shows them"));
        }
        if self.list {
            workloads.iter().for_each(print::line);
            return Ok(());
        }
        let mut count_syncs = self.count_syncs;
        if count_syncs && !syncs::can_count() {
            print::note("strace is missing: syncs are not counted");
            count_syncs = false;
        }
        let running = Running {
            program: self.program,
            place: self.place,
            measured: self.measured,
            count_syncs,
        };
        running.run(&workloads).await
    }
}
