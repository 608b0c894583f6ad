//! `forebay-bench`: runs the workloads and reports. `README.md` says what is measured and how.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use forebay_bench::bare::{self, BareOptions};
use forebay_bench::deep::{Deep, Promise};
use forebay_bench::rounds::{self, Options};
use forebay_bench::sqs::{self, Sqs};
use forebay_bench::{BenchError, Report, syncs, workload};
use tokio::runtime::Runtime;

/// Measure Forebay beside the bare limit of this machine
#[derive(Debug, Parser)]
#[command(version, after_help = "Example: forebay-bench --rounds 5 'send/batch=10 bytes=1024'")]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Run only workloads whose names contain one of these [default: all]
    filters: Vec<String>,
    /// List the workloads' names, and run nothing
    #[arg(long)]
    list: bool,
    /// The forebay program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    forebay: Option<PathBuf>,
    /// Load this server instead of one started here; it must have no queue named "bench" in use
    #[arg(long, value_name = "ADDR")]
    server: Option<String>,
    /// Where the servers keep their data while they run; must be on the disk to be measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    data_dir: PathBuf,
    /// Seconds that a run of sends counts, after half a second to warm up
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Runs of each server
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print one JSON object a workload instead of the table
    #[arg(long)]
    json: bool,
    /// Count the server's syncs in one more run of each workload; needs strace
    #[arg(long)]
    count_syncs: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Measure what a lot of data costs: memory, restart and disk
    Deep(Deep),
    #[command(flatten)]
    Promise(Promise),
    Sqs(Sqs),
    /// Run the bare HTTP server: started by the benchmark itself
    #[command(hide = true)]
    SqsBare,
    /// Run the bare server: started by the benchmark itself
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        messages: u32,
        #[arg(long)]
        batch: u32,
        #[arg(long)]
        bytes: usize,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Bare { dir, messages, batch, bytes }) => {
            bare::serve(&dir, BareOptions { messages, batch, bytes })
        }
        Some(Command::Deep(deep)) => one_thread().and_then(|runtime| runtime.block_on(deep.run())),
        Some(Command::Promise(promise)) => {
            one_thread().and_then(|runtime| runtime.block_on(promise.run()))
        }
        Some(Command::Sqs(sqs)) => one_thread().and_then(|runtime| runtime.block_on(sqs.run())),
        Some(Command::SqsBare) => sqs::bare::serve(),
        None => run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forebay-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), BenchError> {
    let chosen = |name: &str| {
        let filters = &arguments.filters;
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    let workloads: Vec<_> =
        workload::all().into_iter().filter(|workload| chosen(&workload.to_string())).collect();
    if workloads.is_empty() {
        return Err(BenchError::new("no workload's name contains that; --list shows them"));
    }
    if arguments.list {
        workloads.iter().for_each(|workload| println!("{workload}"));
        return Ok(());
    }
    let counted = Duration::try_from_secs_f64(arguments.seconds)
        .map_err(|error| BenchError::new(format!("--seconds {}: {error}", arguments.seconds)))?;
    let mut options = Options {
        forebay: match arguments.forebay {
            Some(path) => path,
            None => std::env::current_exe()?.with_file_name("forebay"),
        },
        server: arguments.server,
        data_dir: arguments.data_dir,
        counted,
        rounds: arguments.rounds,
        count_syncs: arguments.count_syncs,
    };
    if options.count_syncs && !syncs::can_count() {
        eprintln!("forebay-bench: strace is missing: syncs are not counted");
        options.count_syncs = false;
    }
    let runtime = one_thread()?;
    if !arguments.json {
        println!("{}", Report::heads());
    }
    for (index, workload) in workloads.iter().enumerate() {
        let mut progress = |step: &str| {
            if std::io::stderr().is_terminal() {
                eprint!("\r\x1b[K[{}/{}] {workload}: {step}", index + 1, workloads.len());
            }
        };
        let row = runtime.block_on(rounds::measure(workload, &options, &mut progress))?;
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        let report = row.report();
        match arguments.json {
            true => println!("{}", serde_json::to_string(&report).map_err(std::io::Error::from)?),
            false => println!("{}", report.line()),
        }
    }
    Ok(())
}

/// One thread makes all the load: the rest of the machine is the server's.
fn one_thread() -> Result<Runtime, BenchError> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
