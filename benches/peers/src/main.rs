//! Forebay beside other queues: the same workload on each, in turns, on the same disk.
//!
//! `README.md` says what each is set to, and what is compared. Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `error`, `found` | what went wrong, and what a run found |
//! | `wire` | a connection whose replies are lines |
//! | `server` | a peer's processes |
//! | `redis`, `beanstalkd`, `postgres`, `nats`, `rabbitmq` | the peers: how each is started, and how it is asked |
//! | `peer` | all of them |
//! | `load` | the workloads |
//! | `forebay` | Forebay, measured by its own `forebay bench` |
//! | `queue` | Forebay and the peers |

mod beanstalkd;
mod error;
mod forebay;
mod found;
mod load;
mod nats;
mod peer;
mod postgres;
mod queue;
mod rabbitmq;
mod redis;
mod server;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;
use crate::found::Figures;
use crate::load::Workload;
use crate::queue::Queue;

/// Measure Forebay and other queues in turns, on one disk
#[derive(Debug, Parser)]
#[command(after_help = "Example: forebay-peers --forebay ../../target/release/forebay --rounds 3")]
struct Arguments {
    /// The forebay program
    #[arg(long, value_name = "PATH", default_value = "../../target/release/forebay")]
    forebay: PathBuf,
    /// Where the servers' directories are made, and removed; it decides what disk is measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    data_dir: PathBuf,
    /// Only these, by the beginning of their names, in small letters [default: all]
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Only those whose answers follow the sync that covers them
    #[arg(long)]
    synced: bool,
    /// Only workloads whose names begin so [default: all]
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Bytes of a body
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    payload: usize,
    /// Messages that are drained, or what a peer took in 3 seconds
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    messages: u64,
    /// Seconds that a run counts, after half a second at least to warm up; up to six times as many
    /// where answers are few
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done =
        runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(until_told(&arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forebay-peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures until it is done, or told to end: then, too, the servers end and their directories go.
async fn until_told(arguments: &Arguments) -> Result<(), Error> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = interrupt.recv() => Err("interrupted".into()),
        _ = terminate.recv() => Err("terminated".into()),
        done = run(arguments) => done,
    }
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    let begins = |name: &str, chosen: &[String]| {
        let name = name.to_lowercase();
        chosen.is_empty() || chosen.iter().any(|start| name.starts_with(start.as_str()))
    };
    let data_dir = arguments.data_dir.canonicalize()?;
    let mut queues = Queue::all();
    queues.retain(|queue| begins(&queue.name(), &arguments.peers));
    queues.retain(|queue| queue.is_synced || !arguments.synced);
    let (mut lines, mut failures) = (Vec::new(), 0);
    queues.retain(|queue| match queue.lacks() {
        None => true,
        Some(why) => {
            lines.push(format!("Skipped: {}: {why}.", queue.name()));
            false
        }
    });
    let mut workloads = Workload::all(arguments.payload, arguments.messages);
    workloads.retain(|workload| begins(&workload.name, &arguments.workloads));
    println!("{}", found::HEAD);
    for workload in workloads {
        let mut rounds: Vec<Vec<Figures>> = queues.iter().map(|_| Vec::new()).collect();
        for round in 1..=arguments.rounds {
            eprintln!("{}, round {round} of {}", workload.name, arguments.rounds);
            for (queue, rounds) in queues.iter().zip(&mut rounds) {
                // A signal is seen here, and wherever the load waits.
                tokio::task::yield_now().await;
                let found =
                    queue.measure(&workload, arguments.seconds, &arguments.forebay, &data_dir);
                match found.await {
                    Ok(found) => rounds.push(found),
                    Err(error) => {
                        let failed =
                            format!("Failed: {}, {}: {error}", queue.name(), workload.name);
                        eprintln!("{failed}");
                        lines.push(failed);
                        failures += 1;
                    }
                }
            }
        }
        for (queue, rounds) in queues.iter().zip(&rounds) {
            if !rounds.is_empty() {
                println!("{}", found::row(&workload.name, &queue.name(), queue.is_synced, rounds));
            }
        }
    }
    for line in lines {
        println!("\n{line}");
    }
    match failures {
        0 => Ok(()),
        _ => Err(format!("{failures} runs failed").into()),
    }
}
