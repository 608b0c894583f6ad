//! Runs a workload in turns: Forebay, the bare server, Forebay, the bare server ...
//!
//! Both live through all rounds, so that each finds the other idle and the disk in the same state
//! of wear; what changes over the minutes changes for both.

use std::path::PathBuf;
use std::time::Duration;

use crate::both::{self, Found};
use crate::frames::send_frames;
use crate::measure::Measure;
use crate::probe::Probe;
use crate::progress::Progress;
use crate::report::Row;
use crate::server::Server;
use crate::syncs::Counting;
use crate::workload::{Kind, Workload};
use crate::{BenchError, drain, producer, queues, send, subscribe};

/// Between two runs: the engine's last watermark, and the disk's own queue.
const SETTLE: Duration = Duration::from_millis(300);

/// How to run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The `forebay` program.
    pub(crate) program: PathBuf,
    /// The server's segments, and the bare server's file.
    pub(crate) segment_bytes: u64,
    /// A running server to load instead of one that is started here.
    pub(crate) server: Option<String>,
    /// Where the servers' directories are made.
    pub(crate) data_dir: PathBuf,
    /// How long a run of sends counts.
    pub(crate) counted: Duration,
    /// How many runs each server gets.
    pub(crate) rounds: u32,
    /// Whether to count the server's syncs, in a run that counts for nothing else.
    pub(crate) count_syncs: bool,
}

/// How many steps a workload takes.
pub(crate) fn steps(workload: &Workload, options: &Options) -> u32 {
    let each = if workload.asked_for().is_some() { 3 } else { 2 };
    options.rounds * each + u32::from(counts_syncs(workload, options))
}

fn counts_syncs(workload: &Workload, options: &Options) -> bool {
    options.count_syncs && workload.kind == Kind::Send
}

/// Measures one workload; `progress` is told each step.
pub(crate) async fn measure(
    workload: &Workload,
    options: &Options,
    progress: &Progress,
) -> Result<Row, BenchError> {
    progress.doing(format!("{workload}: starting the servers"));
    let own = match options.server {
        Some(_) => None,
        None => Some(Server::forebay(&options.program, &options.data_dir, options.segment_bytes)?),
    };
    let forebay = own.as_ref().map(Server::address).or(options.server.as_deref());
    let forebay = forebay.expect("a server is given or started").to_owned();
    match own {
        Some(_) => queues::create(&forebay, workload).await?,
        None => queues::create_elsewhere(&forebay, workload).await?,
    }
    let row = in_turns(workload, options, progress, own.as_ref(), &forebay).await?;
    queues::delete_elsewhere().await?;
    Ok(row)
}

async fn in_turns(
    workload: &Workload,
    options: &Options,
    progress: &Progress,
    own: Option<&Server>,
    forebay: &str,
) -> Result<Row, BenchError> {
    let lasting = Server::bare(&options.data_dir, workload, options.segment_bytes)?;
    tokio::time::sleep(SETTLE).await;
    let mut row = Row::new(workload);
    let mut probe = match workload.is_lone_sender() {
        true => Some(Probe::new(lasting.data(), send_frames(workload)?[0].len())?),
        false => None,
    };
    for round in 1..=options.rounds {
        let doing = |what: &str| {
            progress.doing(format!("{workload}: round {round} of {}: {what}", options.rounds));
        };
        doing("Forebay");
        row.forebay.push(run(workload, forebay, options.counted, false, &mut row.both).await?);
        progress.step();
        tokio::time::sleep(SETTLE).await;
        if let Some(asked_for) = workload.asked_for() {
            doing("Forebay, asked for");
            let found = run(&asked_for, forebay, options.counted, false, &mut row.both).await?;
            row.asked_for.push(found);
            progress.step();
            tokio::time::sleep(SETTLE).await;
        }

        doing("bare");
        // A bare server hands its messages out once.
        let fresh = match workload.kind {
            Kind::Send | Kind::Producer => None,
            Kind::Both | Kind::Drain { .. } | Kind::Subscribe { .. } => {
                Some(Server::bare(&options.data_dir, workload, options.segment_bytes)?)
            }
        };
        let bare = fresh.as_ref().unwrap_or(&lasting).address();
        let nowhere = &mut Vec::new();
        row.bare.push(run(workload, bare, options.counted, true, nowhere).await?);
        drop(fresh);
        if let Some(probe) = &mut probe {
            doing("one sync, one round trip");
            probe.round(forebay, lasting.address()).await?;
        }
        progress.step();
        tokio::time::sleep(SETTLE).await;
    }
    row.probe = probe;
    if counts_syncs(workload, options) {
        progress.doing(format!("{workload}: counting syncs"));
        let server = own.expect("the command line has refused this with a server that is not ours");
        let counting = Counting::start(server.id(), lasting.data())?;
        let before = sent(forebay, workload).await?;
        send::send(forebay, workload, options.counted).await?;
        let messages = sent(forebay, workload).await? - before;
        row.messages_per_sync = Some(messages as f64 / counting.end()?.max(1) as f64);
        progress.step();
    }
    Ok(row)
}

/// Where the queues' numbers have come to: all messages ever sent, warm-up included.
async fn sent(address: &str, workload: &Workload) -> Result<u64, BenchError> {
    Ok(queues::describe(address, workload).await?.iter().map(|queue| queue.next_seq).sum())
}

/// One run. What only [`Kind::Both`] finds goes into `others`.
async fn run(
    workload: &Workload,
    address: &str,
    counted: Duration,
    is_bare: bool,
    others: &mut Vec<Found>,
) -> Result<Measure, BenchError> {
    let fill = async |messages: u32| {
        if is_bare {
            // It hands out whole batches.
            return Ok(u64::from(messages - messages % workload.batch));
        }
        let filled = drain::fill(address, workload, messages).await?;
        tokio::time::sleep(SETTLE).await;
        Ok::<_, BenchError>(filled)
    };
    let measure = match workload.kind {
        Kind::Send => send::send(address, workload, counted).await?,
        Kind::Producer => producer::send(address, workload, counted).await?,
        Kind::Both => {
            let found = both::both(address, workload, counted, is_bare).await?;
            let measure = found.measure.clone();
            others.push(found);
            measure
        }
        Kind::Drain { messages } => {
            fill(messages).await?;
            drain::drain(address, workload).await?
        }
        Kind::Subscribe { messages } => {
            let waiting = fill(messages).await?;
            subscribe::drain(address, workload, waiting).await?
        }
    };
    check_measured(workload, &measure, counted)?;
    Ok(measure)
}

/// Of nothing there are no figures.
fn check_measured(
    workload: &Workload,
    measure: &Measure,
    counted: Duration,
) -> Result<(), BenchError> {
    if measure.messages > 0 {
        return Ok(());
    }
    Err(BenchError::new(format!(
        "{workload}: nothing was answered in the {} s that count; try longer --seconds",
        counted.as_secs_f64()
    )))
}
