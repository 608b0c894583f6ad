//! Workloads measured and reported, one after the other: what `table` and `tcp` have in common.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::BenchError;
use crate::html;
use crate::machine::Machine;
use crate::place::{Place, Program};
use crate::print;
use crate::progress::Progress;
use crate::report::{Reported, Row};
use crate::rounds::{self, Options};
use crate::workload::Workload;

/// How workloads are measured, and told.
#[derive(Debug, clap::Args)]
pub(crate) struct Measured {
    /// Load this server instead of one started here; queues whose names begin with "bench" are made, used
    /// and deleted there
    #[arg(long, value_name = "ADDR")]
    pub(crate) server: Option<String>,
    /// Seconds that a run counts, after half a second to warm up; runs that empty a queue take what they
    /// take [default: 2]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) seconds: Option<f64>,
    /// Runs of each server, in turns
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Print one JSON object a workload instead of the table
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a report with plots, for people, to this file
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
}

/// What [`Measured::seconds`] are if nobody says.
const SECONDS: f64 = 2.0;

/// A number of seconds in which something can be measured.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds, 0.1 to 86400".to_owned()),
    }
}

/// The file that a report goes to: made before anything is measured, so that no run is for nothing.
pub(crate) fn report_file(path: Option<&PathBuf>) -> Result<Option<File>, BenchError> {
    let create = |path: &PathBuf| {
        let text = format!("--report {}", path.display());
        // What is there stays until there is something better.
        let options = File::options().write(true).create(true).truncate(false).open(path);
        options.map_err(BenchError::doing(text))
    };
    path.map(create).transpose()
}

/// Writes a report to the file that was opened for it, and says where it is.
pub(crate) fn write_page(mut file: File, path: &Path, page: &str) -> Result<(), BenchError> {
    let wrote = file.set_len(0).and_then(|()| file.write_all(page.as_bytes()));
    wrote.map_err(BenchError::doing(format_args!("--report {}", path.display())))?;
    print::note(format_args!("the report is in {}", path.display()));
    Ok(())
}

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) program: Program,
    pub(crate) place: Place,
    pub(crate) measured: Measured,
    /// Whether to count the server's syncs, in a run that counts for nothing else.
    pub(crate) count_syncs: bool,
}

impl Running {
    /// Runs the workloads. Each is told as soon as it is known.
    pub(crate) async fn run(self, workloads: &[Workload]) -> Result<(), BenchError> {
        let Self { program, place, measured, count_syncs } = self;
        let machine = place.machine()?;
        let report = report_file(measured.report.as_ref())?;
        let options = Options {
            program: program.path()?,
            segment_bytes: program.segment_bytes.0,
            server: measured.server.clone(),
            data_dir: place.data_dir,
            counted: Duration::from_secs_f64(measured.seconds.unwrap_or(SECONDS)),
            rounds: measured.rounds,
            count_syncs,
        };
        let steps: u32 = workloads.iter().map(|workload| rounds::steps(workload, &options)).sum();
        let progress = Progress::of(steps.into());
        if !measured.json {
            progress.print(&format!("{machine}\n{}", Reported::heads()));
        }
        let mut rows = Vec::new();
        for workload in workloads {
            let row = rounds::measure(workload, &options, &progress).await?;
            let reported = row.report();
            progress.print(&match measured.json {
                true => reported.json(&machine)?,
                false => reported.line(),
            });
            rows.push(row);
        }
        drop(progress);
        write_report(report, &measured, &machine, &rows)
    }
}

fn write_report(
    file: Option<File>,
    measured: &Measured,
    machine: &Machine,
    rows: &[Row],
) -> Result<(), BenchError> {
    let (Some(file), Some(path)) = (file, &measured.report) else { return Ok(()) };
    let page = html::tcp::page(&html::Run::now(machine, measured.rounds), rows);
    write_page(file, path, &page)
}
