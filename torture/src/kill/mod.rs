//! `forebay torture kill`: the real binary on the real disk, killed again and again while clients send,
//! receive and delete, and a checker that knows what they were told.
//!
//! ```text
//!   start ──▶ clients work ──▶ SIGKILL ──▶ start ──▶ ...          a round: some hundred lives
//!     │                          │                       │
//!     └ killed while it opens    └ or SIGTERM            └ at the end everything is drained and checked
//! ```
//!
//! A SIGKILL takes nothing out of the page cache, so what is found here are mistakes of the program: what it
//! answered too early, forgot in a roll, a snapshot, a compaction, or brought back. What a power cut
//! takes is for the simulated disk, and for images of a real one.

pub mod block;
mod block_log;
pub(crate) mod body;
mod campaign;
pub mod checker;
mod consumers;
mod crew;
pub mod eio;
mod export;
pub mod full_disk;
pub mod history;
mod life;
mod process;
mod producers;
mod recorder;
mod server;
pub mod strace;
mod system;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::process::end_all;
pub use self::recorder::Tally;
pub use self::system::Lacking;

use self::campaign::Campaign;
use self::checker::Violation;
use self::crew::Habits;
use self::history::History;
use self::server::Launch;
use crate::stop::Stop;

/// After so many lives everything is drained and checked.
const ROUND_LIVES: u32 = 100;

/// What a campaign is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `forebay` binary.
    pub binary: PathBuf,
    /// Where the store, the server's log and, after a violation, the history lie. Made if it is missing;
    /// otherwise it must be empty.
    pub dir: PathBuf,
    /// What chance decides.
    pub seed: u64,
    /// The server is started again so often ...
    pub restarts: Option<u32>,
    /// ... or for so long, ...
    pub time: Option<Duration>,
    /// ... or until this is set.
    pub stop: Stop,
}

/// How far a campaign has come, and in the end what it was.
#[derive(Debug, Default, Clone)]
pub struct Summary {
    /// Starts after the first, those that were killed while they opened the store included.
    pub restarts: u32,
    /// Kills under load.
    pub kills: u32,
    /// Kills while the store was being opened.
    pub kills_in_opening: u32,
    /// Orderly stops under load.
    pub stops: u32,
    /// Rounds that were drained and checked.
    pub rounds: u32,
    /// What clients did.
    pub tally: Tally,
    /// The longest time from a start until the server listened.
    pub slowest_start: Duration,
    /// How long all of it took.
    pub took: Duration,
}

/// What a campaign found.
#[derive(Debug, Default)]
pub struct Report {
    /// What was done.
    pub summary: Summary,
    /// What was broken: nothing, if all is well.
    pub violations: Vec<Violation>,
    /// Where the history of the round lies, after a violation.
    pub history: Option<PathBuf>,
}

/// Why a campaign could not be run. It says nothing about the server.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// The directory cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory holds something.
    #[error("{} is not empty, expected an empty or a missing directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
}

/// Runs a campaign; `progress` is told after each life.
pub fn run(options: &Options, progress: &mut dyn FnMut(&Summary)) -> Result<Report, CampaignError> {
    prepare(&options.dir)?;
    let launch = Launch::new(&options.binary, &options.dir);
    let campaign = Campaign::new(launch, options.seed, Habits::default());
    let mut campaign = campaign.map_err(|source| io_error(&options.dir, source))?;
    let mut violations = Vec::new();
    while violations.is_empty() && goes_on(options, campaign.told()) {
        violations = round(&mut campaign, options, progress);
    }
    campaign.report(&options.dir, violations)
}

fn goes_on(options: &Options, summary: &Summary) -> bool {
    let more_restarts = options.restarts.is_none_or(|most| summary.restarts < most);
    let more_time = options.time.is_none_or(|most| summary.took < most);
    more_restarts && more_time && !options.stop.is_set()
}

/// Some lives, then all is drained and judged.
fn round(
    campaign: &mut Campaign,
    options: &Options,
    progress: &mut dyn FnMut(&Summary),
) -> Vec<Violation> {
    campaign.history = History::default();
    for _ in 0..ROUND_LIVES {
        // One start is the drain's.
        let starts =
            options.restarts.map_or(u32::MAX, |most| most.saturating_sub(campaign.starts()));
        if starts == 0 || !goes_on(options, campaign.told()) {
            break;
        }
        if let Err(violation) = campaign.live(starts) {
            return campaign.judge(vec![violation]);
        }
        progress(campaign.told());
    }
    let broken = campaign.drain().and_then(|()| campaign.verify());
    let violations = campaign.judge(broken.err().into_iter().collect());
    if violations.is_empty() {
        campaign.summary.rounds += 1;
    }
    progress(campaign.told());
    violations
}

/// Makes the directory, or finds it empty.
pub(crate) fn prepare(dir: &Path) -> Result<(), CampaignError> {
    fs::create_dir_all(dir).map_err(|source| io_error(dir, source))?;
    let mut entries = fs::read_dir(dir).map_err(|source| io_error(dir, source))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(CampaignError::NotEmpty { path: dir.to_owned() }),
    }
}

/// Writes what was done, a call a line, and what is wrong with it.
pub(super) fn write_history(
    dir: &Path,
    history: &History,
    violations: &[Violation],
) -> Result<PathBuf, CampaignError> {
    let path = dir.join("history.jsonl");
    let write = || {
        let mut file = BufWriter::new(fs::File::create(&path)?);
        for call in &history.calls {
            serde_json::to_writer(&mut file, call)?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        let texts: Vec<_> = violations.iter().map(ToString::to_string).collect();
        fs::write(dir.join("violations.txt"), texts.join("\n") + "\n")
    };
    write().map_err(|source| io_error(&path, source))?;
    Ok(path)
}

fn io_error(path: &Path, source: io::Error) -> CampaignError {
    CampaignError::Io { path: path.to_owned(), source }
}
