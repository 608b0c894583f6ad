//! Runs a workload in turns: Forebay, the bare server, Forebay, the bare server ...
//!
//! Both live through all rounds, so that each finds the other idle and the disk in the same state
//! of wear; what changes over the minutes changes for both.

use std::path::PathBuf;
use std::time::Duration;

use forebay_protocol::DescribeQueue;

use crate::frames::{QUEUE, send_frames};
use crate::measure::Measure;
use crate::report::{Beside, Row};
use crate::server::Server;
use crate::syncs::Counting;
use crate::wire::ask_once;
use crate::workload::{Kind, Workload};
use crate::{BenchError, drain, probe, send, subscribe};

/// Between two runs: the engine's last watermark, and the disk's own queue.
const SETTLE: Duration = Duration::from_millis(300);

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `forebay` program.
    pub forebay: PathBuf,
    /// A running server to load instead of one that is started here.
    pub server: Option<String>,
    /// Where the servers' directories are made.
    pub data_dir: PathBuf,
    /// How long a run of sends counts.
    pub counted: Duration,
    /// How many runs each server gets.
    pub rounds: u32,
    /// Whether to count the server's syncs, in a run that counts for nothing else.
    pub count_syncs: bool,
}

/// Measures one workload; `progress` is told each step.
pub async fn measure(
    workload: &Workload,
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Row, BenchError> {
    progress("starting the servers");
    let own = match options.server {
        Some(_) => None,
        None => Some(Server::forebay(&options.forebay, &options.data_dir)?),
    };
    let forebay = own.as_ref().map(Server::address).or(options.server.as_deref());
    let forebay = forebay.expect("a server is given or started").to_owned();
    drain::create_queue(&forebay).await?;
    let lasting = Server::bare(&options.data_dir, workload)?;
    tokio::time::sleep(SETTLE).await;

    let mut row = Row::new(workload);
    for round in 1..=options.rounds {
        progress(&format!("round {round} of {}: forebay", options.rounds));
        row.forebay.push(run(workload, &forebay, options.counted, true).await?);
        tokio::time::sleep(SETTLE).await;
        if let Some(asked_for) = workload.asked_for() {
            progress(&format!("round {round} of {}: forebay, asked for", options.rounds));
            row.asked_for.push(run(&asked_for, &forebay, options.counted, true).await?);
            tokio::time::sleep(SETTLE).await;
        }

        progress(&format!("round {round} of {}: bare", options.rounds));
        // A bare server hands its messages out once.
        let fresh = match workload.kind {
            Kind::Send => None,
            Kind::Drain { .. } | Kind::Subscribe { .. } => {
                Some(Server::bare(&options.data_dir, workload)?)
            }
        };
        let bare = fresh.as_ref().unwrap_or(&lasting).address();
        row.bare.push(run(workload, bare, options.counted, false).await?);
        drop(fresh);
        tokio::time::sleep(SETTLE).await;
    }
    if workload.is_lone_sender() {
        progress("one sync, one ping");
        let frame_bytes = send_frames(workload)?[0].len();
        let sync = probe::sync(lasting.data(), frame_bytes)?;
        let ping = probe::ping(&forebay).await?;
        row.beside = Some(Beside { frame_bytes, sync, ping });
    }
    if options.count_syncs && workload.kind == Kind::Send {
        progress("counting syncs");
        let server = own.as_ref().ok_or_else(|| BenchError::new("only an own server is traced"))?;
        let counting = Counting::start(server.id(), lasting.data())?;
        let before = next_seq(&forebay).await?;
        send::send(&forebay, workload, options.counted).await?;
        let messages = next_seq(&forebay).await? - before;
        row.messages_per_sync = Some(messages as f64 / counting.end()?.max(1) as f64);
    }
    Ok(row)
}

/// Where the queue's numbers have come to: all messages ever sent, warm-up included.
async fn next_seq(address: &str) -> Result<u64, BenchError> {
    let described = ask_once(address, DescribeQueue { name: QUEUE.to_owned() }).await?;
    Ok(described.queue.next_seq)
}

async fn run(
    workload: &Workload,
    address: &str,
    counted: Duration,
    fill: bool,
) -> Result<Measure, BenchError> {
    match workload.kind {
        Kind::Send => send::send(address, workload, counted).await,
        Kind::Drain { messages } => {
            if fill {
                drain::fill(address, workload, messages).await?;
                tokio::time::sleep(SETTLE).await;
            }
            drain::drain(address, workload).await
        }
        Kind::Subscribe { messages } => {
            // The bare server hands out whole batches.
            let mut waiting = u64::from(messages - messages % workload.batch);
            if fill {
                waiting = drain::fill(address, workload, messages).await?;
                tokio::time::sleep(SETTLE).await;
            }
            subscribe::drain(address, workload, waiting).await
        }
    }
}
