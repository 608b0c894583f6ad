//! `forebay torture sim`: the engine on a simulated disk, beside a plain model.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forebay_engine::unit::count_of;
use forebay_torture::Stop;
use forebay_torture::sim::{
    Campaign, Exhaustive, Failure as Broken, Progress, Script, Tally, attempt, campaign, explore,
    shrink,
};
use serde::Serialize;

use super::any_seed;
use super::minutes::minutes;
use super::stopping::{check_done, stop_on_signals};
use crate::cli::failure::Failure;
use crate::cli::output::json_line;
use crate::cli::progress;
use crate::cli::say::say;

/// Runs when nothing says how many.
const SEEDS_DEFAULT: u64 = 1000;

/// How long a failing run is made shorter.
const SHRINK_LIMIT: Duration = Duration::from_secs(60);

/// What of a failure's text is shown: the contents of whole stores may be in it.
const TEXT_CHARACTERS_MAX: usize = 2000;

/// The engine on a simulated disk and clock, from one seed
///
/// Random operations, with power cuts, kills, failed syncs, full disks, read and write errors, damaged files
/// and clocks that jump, beside a plain model of what the store must hold. After each crash it is opened,
/// compared, and verified. Exit status 1 at the first check that fails, with the line that replays the
/// run and a script of the fewest operations that show it. Ctrl-C and SIGTERM end a campaign with the
/// summary of what was done; a second one ends it at once. An exhaustive campaign whose time is over before
/// each case was done, at least with little effort, ends with exit status 1 too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay torture sim --minutes 10\n         \
                  forebay torture sim --seed 42                       one run, again\n         \
                  forebay torture sim --exhaustive --minutes 2\n         \
                  forebay torture sim --script forebay-sim-42.script")]
pub(super) struct Sim {
    /// The first run's seed; alone, exactly that run is done. Otherwise a new one is drawn
    #[arg(long, value_name = "S", conflicts_with_all = ["exhaustive", "script"])]
    seed: Option<u64>,
    /// So many runs, each with the next seed
    #[arg(long, value_name = "N", conflicts_with_all = ["exhaustive", "script"], value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Stop after so many minutes
    #[arg(long, value_name = "M", value_parser = minutes, conflicts_with = "script")]
    minutes: Option<Duration>,
    /// So many threads; as many as there are processors, if none is given
    #[arg(long, value_name = "J")]
    jobs: Option<usize>,
    /// Short scripts instead, crashed at each of their disk operations, with each kind of fault
    #[arg(long, conflicts_with = "script")]
    exhaustive: bool,
    /// Replay the script in this file
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// A JSON object
    #[arg(long)]
    json: bool,
}

/// What a campaign came to, as `--json` shows it.
#[derive(Serialize)]
struct Summary {
    campaign: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    seconds: f64,
    /// Ended by a signal, before its time.
    interrupted: bool,
    /// Power cuts and kills.
    crashes: u64,
    /// Of the exhaustive campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    exhaustive: Option<Counts>,
    #[serde(flatten)]
    tally: Tally,
    violation: Option<Violated>,
}

#[derive(Serialize)]
struct Counts {
    scripts: u64,
    cases: u64,
    cases_done: u64,
    cases_done_whole: u64,
    scripts_drawn: u64,
    distinct_crash_states: u64,
    /// First left by a crash of a run, of its recovery, and of the recovery from that.
    distinct_crash_states_by_depth: [u64; 3],
}

#[derive(Serialize)]
struct Violated {
    check: &'static str,
    text: String,
    at: String,
    origin: String,
    replay: String,
    operations: usize,
}

impl Sim {
    pub(super) fn run(self) -> Result<(), Failure> {
        let began = Instant::now();
        // A script is short: a signal ends the process.
        let stop = match &self.script {
            Some(_) => Stop::default(),
            None => stop_on_signals()?,
        };
        let (mut summary, broken) = match &self.script {
            Some(path) => replay(path)?,
            None if self.exhaustive => self.explore(&stop),
            None => self.campaign(&stop),
        };
        summary.interrupted = stop.is_set();
        summary.seconds = began.elapsed().as_secs_f64();
        summary.violation = match broken {
            Some(broken) => Some(self.explain(&broken)?),
            None => None,
        };
        let text = match self.json {
            true => json_line(&summary),
            false => to_text(&summary),
        };
        writeln!(std::io::stdout(), "{text}")?;
        match summary.violation {
            None => check_done(&stop).and_then(|()| check_cases(&summary)),
            Some(_) => Err(Failure::Reported),
        }
    }

    fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn campaign(&self, stop: &Stop) -> (Summary, Option<Broken>) {
        let seed = self.seed.unwrap_or_else(|| any_seed() >> 32);
        let seeds = match (self.seeds, self.seed, self.minutes) {
            (Some(seeds), _, _) => Some(seeds),
            (None, _, Some(_)) => None,
            (None, Some(_), None) => Some(1),
            (None, None, None) => Some(SEEDS_DEFAULT),
        };
        say(format_args!("forebay: runs from seed {seed}"));
        let (limit, jobs, stop) = (self.minutes, self.jobs(), stop.clone());
        let settings = Campaign { seed, seeds, limit, jobs, stop };
        let bar = progress::counter("runs");
        let found = campaign(&settings, |progress: &Progress| {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.done);
        });
        bar.finish_and_clear();
        (summary("random", Some(seed), found.tally), found.failure)
    }

    fn explore(&self, stop: &Stop) -> (Summary, Option<Broken>) {
        let (limit, jobs, stop) = (self.minutes, self.jobs(), stop.clone());
        let settings = Exhaustive { limit, jobs, sample: 0, stop };
        let bar = progress::counter("crash states");
        let explored = explore(&settings, |progress| bar.set_position(progress.states));
        bar.finish_and_clear();
        let counts = Counts {
            scripts: explored.scripts,
            cases: explored.cases,
            cases_done: explored.cases_done,
            cases_done_whole: explored.cases_whole,
            scripts_drawn: explored.drawn,
            distinct_crash_states: explored.states,
            distinct_crash_states_by_depth: explored.states_by_depth,
        };
        let summary = summary("exhaustive", None, explored.tally);
        (Summary { exhaustive: Some(counts), ..summary }, explored.failure)
    }

    /// Makes the run shorter, and writes it down.
    fn explain(&self, broken: &Broken) -> Result<Violated, Failure> {
        say(format_args!("forebay: {}: {}", broken.origin, broken.violation.check));
        let (script, violation, replay) = match &self.script {
            Some(path) => {
                let replay = format!("forebay torture sim --script {}", path.display());
                (broken.script.clone(), (*broken.violation).clone(), replay)
            }
            None => {
                say(format_args!("forebay: looking for fewer operations that show it"));
                let (script, violation) = shrink(&broken.script, &broken.violation, SHRINK_LIMIT);
                let name = match broken.seed {
                    Some(seed) => format!("forebay-sim-{seed}.script"),
                    None => "forebay-sim-exhaustive.script".to_owned(),
                };
                let text = format!("# {}: {}\n{script}", broken.origin, violation.check);
                std::fs::write(&name, text).map_err(|error| Failure::io(&name, &error))?;
                let shrunk = format!("forebay torture sim --script {name}");
                let replay = match broken.seed {
                    Some(seed) => {
                        format!("forebay torture sim --seed {seed}, or shorter: {shrunk}")
                    }
                    None => shrunk,
                };
                (script, violation, replay)
            }
        };
        Ok(Violated {
            check: violation.check.name(),
            text: violation.text.chars().take(TEXT_CHARACTERS_MAX).collect(),
            at: violation.at,
            origin: broken.origin.clone(),
            replay,
            operations: script.ops.len(),
        })
    }
}

/// An exhaustive campaign that had no time for some of its cases has not passed.
fn check_cases(summary: &Summary) -> Result<(), Failure> {
    match &summary.exhaustive {
        Some(Counts { cases, cases_done, .. }) if cases_done < cases => {
            let detail = format!("{cases_done} of {cases} cases were done");
            Err(Failure::because(format!("its time was over before all was done: {detail}")))
        }
        _ => Ok(()),
    }
}

fn summary(campaign: &'static str, seed: Option<u64>, tally: Tally) -> Summary {
    Summary {
        campaign,
        seed,
        seconds: 0.0,
        interrupted: false,
        crashes: tally.crashes(),
        exhaustive: None,
        tally,
        violation: None,
    }
}

fn replay(path: &Path) -> Result<(Summary, Option<Broken>), Failure> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io(&shown, &error))?;
    let script: Script =
        text.parse().map_err(|error| Failure::because(format!("{shown}: {error}")))?;
    let (tally, broken) = match attempt(|| script.run()) {
        Ok(tally) => (tally, None),
        Err(violation) => {
            let broken = Broken { origin: shown, seed: None, script, violation };
            (Tally::default(), Some(broken))
        }
    };
    Ok((summary("script", None, tally), broken))
}

fn to_text(summary: &Summary) -> String {
    let mut text = format!("{}\n", summary.tally);
    if let Some(counts) = &summary.exhaustive {
        let [run, recovery, again] = counts.distinct_crash_states_by_depth;
        text += &format!(
            "{} distinct crash states: {run} first left by a crash of a run, {recovery} of a recovery, \
             {again} of the recovery from that\n\
             {} scripts have {} cases: {} were done, {} of them whole; {} scripts were drawn besides\n",
            counts.distinct_crash_states,
            counts.scripts,
            counts.cases,
            counts.cases_done,
            counts.cases_done_whole,
            counts.scripts_drawn
        );
    }
    if summary.interrupted {
        text += "interrupted after ";
    }
    text += &format!("{:.1} s, ", summary.seconds);
    match &summary.violation {
        None => text + "0 violations",
        Some(violated) => {
            let Violated { check: _, text: what, at, origin, replay, operations } = violated;
            text + &format!(
                "VIOLATION\n{what}\nat {at}, in {origin}; shown by {}\n\
                 replay: {replay}",
                count_of(*operations as u64, "operation")
            )
        }
    }
}
