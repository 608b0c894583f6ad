//! `forebay verify`: checks every checksum of a store that no server has open.

use std::io::Write;
use std::path::{Path, PathBuf};

use forebay_engine::disk::RealDisk;
use forebay_engine::error::OpenError;
use forebay_engine::verify::{Outcome, VerifyReport, verify};
use serde::Serialize;

use super::failure::Failure;
use super::output::json_line;
use super::progress;
use super::repair::{InDoubtOption, Repair};
use super::say::say;

/// Check every checksum of a store, offline; make a whole one of what is left of a damaged one
///
/// Exit status 0: clean, or with a torn tail, which is what a killed server leaves of its last write; the next
/// start cuts it off. (It was not answered, unless the disk has spoiled it since: nobody can tell that of the
/// very last write.) 3: nothing is lost, but an index or a snapshot is not
/// what was written; the next start makes it anew or does without. 1: damaged, or not to be read.
///
/// With --repair a damaged store is read for what is left, and what is lost is said exactly: bytes, entries of
/// the log, messages of each queue by their numbers, and those in doubt, which a lost record may have
/// deleted. With --yes, or when asked on a terminal, what is left is written to a new directory as a whole
/// store; of the damaged one nothing is changed but its LOCK. Exit status 4: repaired. 0: there was nothing to repair. 1: damaged,
/// and nothing was written.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay verify ./forebay-data\n         \
                  forebay verify ./forebay-data --repair\n         \
                  forebay verify ./forebay-data --repair=./mended --in-doubt deliver --yes")]
pub(super) struct Verify {
    /// The store's directory
    dir: PathBuf,
    /// There is none: it is what stands behind --repair without an equals sign
    #[arg(hide = true)]
    other: Option<PathBuf>,
    /// A JSON object; with --repair of a damaged store another one, of what is lost
    #[arg(long)]
    json: bool,
    /// Say what is lost, and write what is left to NEW, which must be empty or missing [default: the
    /// directory's name with .repaired behind it]
    #[arg(long, value_name = "NEW", num_args = 0..=1, require_equals = true)]
    repair: Option<Option<PathBuf>>,
    /// What becomes of messages that a lost record may have deleted
    #[arg(long, value_name = "WHAT", requires = "repair")]
    in_doubt: Option<InDoubtOption>,
    /// Write it without being asked
    #[arg(long, requires = "repair")]
    yes: bool,
}

/// A report as `--json` shows it.
#[derive(Serialize)]
struct ReportJson<'a> {
    outcome: &'static str,
    torn_bytes: u64,
    damages: Vec<String>,
    spoiled: &'a [String],
    segments: u64,
    indexes: u64,
    snapshots: u64,
    entries: u64,
    records: u64,
    messages: u64,
    bytes: u64,
    notes: &'a [String],
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Some(other) = &self.other {
            let other = other.display();
            return Err(Failure::Usage(match &self.repair {
                Some(None) => {
                    format!("{other} is a second directory; to write there: --repair={other}")
                }
                _ => format!("{other} is a second directory, expected one"),
            }));
        }
        let bar = progress::bytes(0);
        let report = verify(&RealDisk, &self.dir, &mut |progress| {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes);
        });
        bar.finish_and_clear();
        let Some(new) = self.repair else {
            let is_repairable = is_damaged(&report) && is_of_a_store(&self.dir);
            let told = report.map_err(Failure::from).and_then(|report| told(&report, self.json));
            if is_repairable {
                say(format_args!(
                    "forebay verify {} --repair says what a repair would lose, and what it would keep",
                    self.dir.display()
                ));
            }
            return told;
        };
        if is_damaged(&report) {
            let Self { dir, in_doubt, yes, json, .. } = self;
            return Repair { dir, new, in_doubt, yes, json }.run();
        }
        match told(&report?, self.json) {
            Ok(()) | Err(Failure::Spoiled) => {
                say("there is nothing to repair: the next start does what is to be done");
                Ok(())
            }
            other => other,
        }
    }
}

/// Whether there is something to repair.
fn is_damaged(report: &Result<VerifyReport, OpenError>) -> bool {
    match report {
        Ok(report) => matches!(report.outcome, Outcome::Damaged(_)),
        Err(error) => is_damage(error),
    }
}

/// Whether a store that cannot be checked at all may be repaired.
fn is_damage(error: &OpenError) -> bool {
    match error {
        OpenError::Damaged(_) | OpenError::NotAStore { .. } | OpenError::FormatTooNew { .. } => {
            true
        }
        OpenError::Disk(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Whether there is anything of a store in the directory: in any other a repair finds nothing.
fn is_of_a_store(dir: &Path) -> bool {
    ["store.toml", "MANIFEST", "log"].iter().any(|name| dir.join(name).exists())
}

fn told(report: &VerifyReport, json: bool) -> Result<(), Failure> {
    let text = if json { to_json(report) } else { report.to_string() };
    // Whether anybody reads it or not, the status says what was found.
    let _ = writeln!(std::io::stdout(), "{text}");
    match report.outcome {
        Outcome::Clean | Outcome::TornTail { .. } if report.spoiled.is_empty() => Ok(()),
        Outcome::Clean | Outcome::TornTail { .. } => Err(Failure::Spoiled),
        Outcome::Damaged(_) => Err(Failure::Reported),
    }
}

fn to_json(report: &VerifyReport) -> String {
    let (outcome, torn_bytes, damages) = match &report.outcome {
        Outcome::Clean => ("clean", 0, Vec::new()),
        Outcome::TornTail { bytes, at: _ } => ("torn-tail", *bytes, Vec::new()),
        Outcome::Damaged(damages) => {
            ("damaged", 0, damages.iter().map(ToString::to_string).collect())
        }
    };
    let json = ReportJson {
        outcome,
        torn_bytes,
        damages,
        spoiled: &report.spoiled,
        segments: report.segments,
        indexes: report.indexes,
        snapshots: report.snapshots,
        entries: report.entries,
        records: report.records,
        messages: report.messages,
        bytes: report.bytes,
        notes: &report.notes,
    };
    json_line(&json)
}
