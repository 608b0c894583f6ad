//! Forebay beside other queues: the same workload on each, in turns, on the same disk.
//!
//! `README.md` says what each is set to, and what is compared. Each module uses only those above it:
//!
//! | module | what |
//! | --- | --- |
//! | `found` | what a run found |
//! | `wire` | a connection whose replies are lines |
//! | `server` | a peer's process |
//! | `redis`, `beanstalkd`, `postgres` | the peers: how each is started, and how it is asked |
//! | `peer` | all of them |
//! | `load` | the workloads |
//! | `forebay` | Forebay, measured by its own `forebay bench` |

mod beanstalkd;
mod forebay;
mod found;
mod load;
mod peer;
mod postgres;
mod redis;
mod server;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::found::Found;
use crate::load::Workload;
use crate::peer::Peer;

/// Whatever went wrong: there is no going on.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

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
    /// Only these, by the beginning of their names [default: all]
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Only workloads whose names begin so [default: all]
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Bytes of a body
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    payload: usize,
    /// Messages that are drained
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    messages: u64,
    /// Seconds that a run counts, after half a second to warm up
    #[arg(long, value_name = "S", default_value_t = 3.0)]
    seconds: f64,
    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run(&arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forebay-peers: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    let begins = |name: &str, chosen: &[String]| {
        chosen.is_empty() || chosen.iter().any(|start| name.starts_with(start.as_str()))
    };
    let counted = Duration::from_secs_f64(arguments.seconds);
    let data_dir = arguments.data_dir.canonicalize()?;
    println!("| workload | queue | messages/s | slowest to fastest | p50 / p99 ms |");
    println!("| --- | --- | ---: | ---: | ---: |");
    for workload in Workload::all(arguments.payload, arguments.messages) {
        if !begins(&workload.name, &arguments.workloads) {
            continue;
        }
        let peers: Vec<Peer> =
            Peer::all().into_iter().filter(|peer| begins(&peer.name(), &arguments.peers)).collect();
        let mut of_forebay = Vec::new();
        let mut of_peers: Vec<Vec<Found>> = peers.iter().map(|_| Vec::new()).collect();
        for round in 1..=arguments.rounds {
            eprintln!("{}, round {round} of {}", workload.name, arguments.rounds);
            if begins("forebay", &arguments.peers) {
                let found =
                    forebay::measure(&arguments.forebay, &workload, arguments.seconds, &data_dir)?;
                of_forebay.push(found);
            }
            for (peer, found) in peers.iter().zip(&mut of_peers) {
                let what = |error: Error| -> Error {
                    format!("{}, {}: {error}", peer.name(), workload.name).into()
                };
                // Each run has a server and a directory of its own: nothing is left of the one before.
                let server = peer.start(&data_dir).map_err(what)?;
                found.push(load::run(&server, &workload, counted).await.map_err(what)?);
            }
        }
        if !of_forebay.is_empty() {
            found::tell(&workload.name, "Forebay, sync", &of_forebay);
        }
        for (peer, found) in peers.iter().zip(&of_peers) {
            found::tell(&workload.name, &peer.name(), found);
        }
    }
    Ok(())
}
