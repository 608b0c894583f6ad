//! `forebay torture rot`: a store whose files rot, a bit, a byte, a block, a file at a time.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use forebay_engine::unit::count_of;
use forebay_torture::rot::{self, Judgement, Options, Report};
use serde::Serialize;

use super::minutes::minutes;
use super::stopping::{check_done, stop_on_signals};
use crate::cli::failure::Failure;
use crate::cli::output::json_line;
use crate::cli::progress;
use crate::cli::say::say;

/// More threads than any machine has processors for.
const JOBS_MAX: usize = 1024;

/// Damage every bit, byte, block and file of a store, and check what becomes of it
///
/// A reference store, in memory, has every kind of file: segments, compacted ones, indexes, snapshots, the
/// manifest, queues with delays, leases, groups and dead letters. Each bit is flipped, each file cut at each
/// byte, each block of 512 bytes zeroed, copied, swapped, each file deleted, renamed and exchanged; then the
/// store is opened and drained. Allowed is that the file is made anew, that a torn tail is told, or that the
/// damage is reported, with file and offset; all other messages come as they were sent. Every fourth store
/// that is damaged is also repaired, and what is lost must be what was told. Exit status 1 after a violation,
/// with the line that replays it. Ctrl-C and SIGTERM end the sweep with the summary of what was done; a
/// second one ends it at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay torture rot\n         \
                  forebay torture rot --cases 50000 --jobs 2\n         \
                  forebay torture rot --seed 7 --case 123456 --keep ./rotten")]
pub(super) struct Rot {
    /// What is in the store
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// At most so many cases, from 1 on, spread over all of them [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    cases: Option<u64>,
    /// For so many minutes at most, also parts of one
    #[arg(long, value_name = "M", value_parser = minutes)]
    minutes: Option<Duration>,
    /// This case alone, and say what it does; from 0 on, the summary says how many there are
    #[arg(long, value_name = "N", conflicts_with_all = ["cases", "minutes"])]
    case: Option<u64>,
    /// Write the files of that case, which --case names, to a directory
    #[arg(long, value_name = "DIR", requires = "case")]
    keep: Option<PathBuf>,
    /// Threads, 1 to 1024 [default: one for each processor]
    #[arg(long, value_name = "J", value_parser = jobs)]
    jobs: Option<usize>,
    /// A JSON object
    #[arg(long)]
    json: bool,
}

/// A summary as `--json` shows it.
#[derive(Serialize)]
struct SummaryJson {
    seed: u64,
    cases: u64,
    cases_total: u64,
    files: usize,
    bytes: u64,
    messages: usize,
    judgements: BTreeMap<&'static str, u64>,
    repaired: u64,
    memory_bytes: u64,
    took_ms: u64,
    violations: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<String>,
}

impl Rot {
    pub(super) fn run(self) -> Result<(), Failure> {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let options = Options {
            seed: self.seed,
            cases: self.cases,
            time: self.minutes,
            only: self.case,
            jobs: self.jobs.unwrap_or_else(processors),
            stop: stop_on_signals()?,
        };
        let bar = progress::campaign(Some(0), "cases");
        let report = rot::run(&options, &mut |done, of| {
            bar.set_length(of);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let report = report.map_err(|error| Failure::because(error.to_string()))?;
        if let (Some(case), Some(dir)) = (self.case, &self.keep) {
            rot::exhibit(self.seed, case, dir)
                .map_err(|error| Failure::because(error.to_string()))?;
        }
        for violation in &report.violations {
            say(format_args!("VIOLATION {}", violation.text));
            say(format_args!(
                "replay it with: forebay torture rot --seed {} --case {}",
                self.seed, violation.case
            ));
        }
        let text = if self.json { self.to_json(&report) } else { self.to_text(&report) };
        writeln!(std::io::stdout(), "{text}")?;
        match report.violations.is_empty() {
            true => check_done(&options.stop),
            false => Err(Failure::Reported),
        }
    }

    fn to_text(&self, report: &Report) -> String {
        let summary = &report.summary;
        let mut text = format!(
            "{} in {} of {}, {:.0} s, seed {}\n  \
               the store: {} files, {} bytes, {} messages",
            count_of(report.violations.len() as u64, "violation"),
            summary.cases,
            count_of(summary.cases_total, "case"),
            summary.took.as_secs_f64(),
            self.seed,
            summary.files,
            summary.bytes,
            summary.messages,
        );
        if let (Some(number), Some(case)) = (self.case, &report.case) {
            text.push_str(&format!("\n  case {number}: {case}"));
        }
        for (judgement, cases) in &summary.judgements {
            text.push_str(&format!("\n  {cases}: {}", words(*judgement).1));
        }
        let repaired = summary.repaired;
        text.push_str(&format!("\n  {repaired}: repaired, and lost was what was told"));
        text.push_str(&format!("\n  memory: {} KiB more at the most", summary.memory_bytes / 1024));
        text
    }

    fn to_json(&self, report: &Report) -> String {
        let summary = &report.summary;
        let judgements = summary.judgements.iter();
        let json = SummaryJson {
            seed: self.seed,
            cases: summary.cases,
            cases_total: summary.cases_total,
            files: summary.files,
            bytes: summary.bytes,
            messages: summary.messages,
            judgements: judgements.map(|(one, cases)| (words(*one).0, *cases)).collect(),
            repaired: summary.repaired,
            memory_bytes: summary.memory_bytes,
            took_ms: u64::try_from(summary.took.as_millis()).unwrap_or(u64::MAX),
            violations: report.violations.iter().map(|violation| violation.text.clone()).collect(),
            case: report.case.clone(),
        };
        json_line(&json)
    }
}

/// A number of threads.
fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=JOBS_MAX) => Ok(jobs),
        _ => Err(format!("expected 1 to {JOBS_MAX}")),
    }
}

/// A judgement's name, and what it says.
fn words(judgement: Judgement) -> (&'static str, &'static str) {
    match judgement {
        Judgement::Same => ("same", "no byte changed"),
        Judgement::NoData => ("no-data", "what changed is no data"),
        Judgement::Rebuilt => ("rebuilt", "made anew, or done without"),
        Judgement::Torn => ("torn", "told as a torn tail, nothing lost"),
        Judgement::Verified => ("verified", "everything comes, and verify reports the place"),
        Judgement::SetAside => ("set-aside", "the messages concerned reported, all others come"),
        Judgement::Refused => ("refused", "not opened, and the place reported"),
    }
}
