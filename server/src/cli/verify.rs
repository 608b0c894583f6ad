//! `forebay verify`: checks every checksum of a store that no server has open.

use std::io::Write;
use std::path::PathBuf;

use forebay_engine::disk::RealDisk;
use forebay_engine::verify::{Outcome, VerifyReport, verify};
use serde::Serialize;

use super::failure::Failure;
use super::progress;

/// Check every checksum of a store, offline
///
/// Exit status 0: clean, or with a torn tail, which is what a killed server leaves of a write that
/// it never answered; the next start cuts it off. 3: nothing is lost, but an index or a snapshot is not
/// what was written; the next start makes it anew or does without. 1: damaged, or not to be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay verify ./forebay-data")]
pub(super) struct Verify {
    /// The store's directory
    dir: PathBuf,
    /// A JSON object
    #[arg(long)]
    json: bool,
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
        let bar = progress::bytes(0);
        let report = verify(&RealDisk, &self.dir, &mut |progress| {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes);
        });
        bar.finish_and_clear();
        let report = report?;
        let text = if self.json { to_json(&report) } else { report.to_string() };
        writeln!(std::io::stdout(), "{text}")?;
        match report.outcome {
            Outcome::Clean | Outcome::TornTail { .. } if report.spoiled.is_empty() => Ok(()),
            Outcome::Clean | Outcome::TornTail { .. } => Err(Failure::Spoiled),
            Outcome::Damaged(_) => Err(Failure::Reported),
        }
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
    serde_json::to_string(&json).expect("numbers and texts always have a JSON form")
}
