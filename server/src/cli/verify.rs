//! `forebay verify`: checks every checksum of a store that no server has open, and repairs it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use forebay_engine::disk::RealDisk;
use forebay_engine::repair::{Repair, plan};
use forebay_engine::verify::{Outcome, VerifyReport, verify};
use serde::Serialize;

use super::failure::Failure;
use super::progress;

/// Check every checksum of a store, offline
///
/// Exit status 0: clean, or with a torn tail, which is what a killed server leaves of a write that
/// it never answered; the next start cuts it off. 3: nothing is lost, but an index or a snapshot is not
/// what was written; the next start makes it anew or does without. 1: damaged, or not to be read. 4: it was damaged
/// and is repaired.
///
/// With --repair it tells how a damaged store can be repaired, and exactly what is lost; with --yes besides, it does
/// that. Every entry and every record that can be read is kept. What is acked, as far as the log or the newest snapshot
/// know, stays acked. The files as they were are kept in a directory of their own within the store's.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay verify ./forebay-data\n         \
                  forebay verify ./forebay-data --repair          what would be done, and what is lost\n         \
                  forebay verify ./forebay-data --repair --yes    does it")]
pub(super) struct Verify {
    /// The store's directory
    dir: PathBuf,
    /// Tell how a damaged store can be repaired, and what is lost
    #[arg(long)]
    repair: bool,
    /// Repair it
    #[arg(long, requires = "repair")]
    yes: bool,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<RepairJson>,
}

/// A repair as `--json` shows it.
#[derive(Serialize)]
struct RepairJson {
    steps: Vec<String>,
    losses: Vec<String>,
    /// Where the files as they were are, once it is done.
    kept_in: Option<String>,
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
        let is_damaged = matches!(report.outcome, Outcome::Damaged(_));
        let repair = match self.repair && is_damaged {
            true => plan(Arc::new(RealDisk), &self.dir)?,
            false => None,
        };
        if !self.json {
            // Before anything is done.
            writeln!(std::io::stdout(), "{report}")?;
            if let Some(repair) = &repair {
                tell(repair)?;
            }
        }
        let mut told = repair.as_ref().map(to_be_told);
        let mut is_repaired = false;
        if let Some(repair) = repair.filter(|_| self.yes) {
            let kept = repair.carry_out()?.display().to_string();
            if !self.json {
                writeln!(std::io::stdout(), "repaired; the files as they were: {kept}")?;
            }
            told = told.map(|told| RepairJson { kept_in: Some(kept), ..told });
            is_repaired = true;
        }
        if self.json {
            writeln!(std::io::stdout(), "{}", to_json(&report, told))?;
        }
        match report.outcome {
            Outcome::Damaged(_) if is_repaired => Err(Failure::Repaired),
            Outcome::Damaged(_) => Err(Failure::Reported),
            Outcome::Clean | Outcome::TornTail { .. } if report.spoiled.is_empty() => Ok(()),
            Outcome::Clean | Outcome::TornTail { .. } => Err(Failure::Spoiled),
        }
    }
}

fn tell(repair: &Repair) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let lines = |out: &mut std::io::Stdout, heading: &str, lines: &[String]| {
        writeln!(out, "{heading}")?;
        lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
    };
    match repair.losses().is_empty() {
        true => writeln!(out, "no message and no other record is lost")?,
        false => lines(&mut out, "what is lost:", repair.losses())?,
    }
    lines(&mut out, "to be done with --yes:", repair.steps())
}

fn to_be_told(repair: &Repair) -> RepairJson {
    let (steps, losses) = (repair.steps().to_vec(), repair.losses().to_vec());
    RepairJson { steps, losses, kept_in: None }
}

fn to_json(report: &VerifyReport, repair: Option<RepairJson>) -> String {
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
        repair,
    };
    serde_json::to_string(&json).expect("numbers and texts always have a JSON form")
}
