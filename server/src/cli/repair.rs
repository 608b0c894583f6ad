//! `forebay verify --repair`: what is left of a damaged store becomes a new one.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use forebay_engine::Options;
use forebay_engine::disk::RealDisk;
use forebay_engine::repair::{
    InDoubt, Losses, QueueLosses, RepairError, SeqSet, check_new, examine,
};
use forebay_engine::unit::count_of;
use serde::Serialize;

use super::failure::Failure;
use super::output::json_line;
use super::progress;
use super::say::say;

/// What becomes of the messages in doubt.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum InDoubtOption {
    /// They may come although they were deleted
    Deliver,
    /// They may be lost although they were not deleted
    Delete,
}

impl From<InDoubtOption> for InDoubt {
    fn from(option: InDoubtOption) -> Self {
        match option {
            InDoubtOption::Deliver => InDoubt::Deliver,
            InDoubtOption::Delete => InDoubt::Delete,
        }
    }
}

/// A repair as it was asked for.
#[derive(Debug)]
pub(super) struct Repair {
    pub(super) dir: PathBuf,
    /// Where the new store goes; next to the old one if nobody says.
    pub(super) new: Option<PathBuf>,
    pub(super) in_doubt: Option<InDoubtOption>,
    pub(super) yes: bool,
    pub(super) json: bool,
}

/// What a repair loses, as `--json` shows it.
#[derive(Serialize)]
struct LossesJson<'a> {
    damages: Vec<String>,
    extents: Vec<ExtentJson>,
    queues: Vec<QueueJson<'a>>,
    homeless: Vec<HomelessJson>,
    control_bytes: Option<u64>,
    notes: &'a [String],
    messages: u64,
    lost: u64,
    in_doubt: u64,
    new: String,
}

#[derive(Serialize)]
struct ExtentJson {
    file: Option<String>,
    offset: u64,
    bytes: u64,
    first: u64,
    last: Option<u64>,
    records_kept: u64,
}

#[derive(Serialize)]
struct QueueJson<'a> {
    queue: u32,
    name: &'a str,
    messages: u64,
    in_doubt: Vec<(u64, u64)>,
    lost: Vec<(u64, u64)>,
    lost_in_doubt: u64,
    may_lack: bool,
}

#[derive(Serialize)]
struct HomelessJson {
    queue: u32,
    lost: Vec<(u64, u64)>,
}

impl Repair {
    /// Says what is lost, and writes what is left if that is wanted.
    pub(super) fn run(self) -> Result<(), Failure> {
        let new = self.new.clone().unwrap_or_else(|| beside(&self.dir));
        if self.yes {
            // All of the store is read before it is written.
            check_new(&RealDisk, &real(&self.dir), &real(&new)).map_err(failure)?;
        }
        let bar = progress::bytes_read();
        let examined = examine(&RealDisk, &self.dir, &mut |bytes| bar.set_position(bytes));
        bar.finish_and_clear();
        let repair = examined?;
        let losses = repair.losses();
        let text = if self.json { to_json(losses, &new) } else { losses.to_string() };
        // Whether anybody reads it or not, what was asked for is done.
        let _ = writeln!(std::io::stdout(), "{text}");
        let (messages, queues) = (losses.messages(), losses.queues.len());
        let in_doubt = self.in_doubt.map(InDoubt::from);
        if losses.in_doubt() > 0 && in_doubt.is_none() {
            return Err(Failure::because(format!(
                "nothing was written: what becomes of the {} in doubt, which a lost record may have \
                 deleted? Add --in-doubt deliver, and they stay: some may come although they were \
                 deleted; or --in-doubt delete: some may be lost although they were not",
                losses.in_doubt()
            )));
        }
        let messages = match in_doubt {
            Some(InDoubt::Delete) => messages - losses.in_doubt(),
            _ => messages,
        };
        if !self.yes && !self.asked(&new, messages)? {
            return Err(Failure::because(
                "nothing was written; add --yes to write what is left to the new directory",
            ));
        }
        let (bar, segment_bytes) = (progress::bytes_read(), Options::default().segment_bytes);
        let written =
            repair.write(&new, in_doubt, segment_bytes, &mut |bytes| bar.set_position(bytes));
        bar.finish_and_clear();
        written.map_err(failure)?;
        say(format_args!(
            "{} is a whole store, with {} in {}; {} is as it was",
            new.display(),
            count_of(messages, "message"),
            count_of(queues as u64, "queue"),
            self.dir.display()
        ));
        Err(Failure::Repaired)
    }

    /// Asks on a terminal; elsewhere nobody is there to say yes.
    fn asked(&self, new: &Path, messages: u64) -> Result<bool, Failure> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
            return Ok(false);
        }
        check_new(&RealDisk, &real(&self.dir), &real(new)).map_err(failure)?;
        let mut stderr = std::io::stderr();
        let question =
            format!("Write {} to {}? [y/N] ", count_of(messages, "message"), new.display());
        stderr.write_all(question.as_bytes()).map_err(|error| Failure::io("stderr", &error))?;
        let mut answer = String::new();
        stdin.lock().read_line(&mut answer).map_err(|error| Failure::io("stdin", &error))?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

/// `data.repaired` for `data`.
fn beside(dir: &Path) -> PathBuf {
    // The last component, also of `.` or of what ends in a slash.
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".repaired");
    dir.with_file_name(name)
}

/// A directory by its one name, also if it, or what it is to lie in, is not there yet.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let real = path.ancestors().find_map(|there| {
        let (real, rest) = (there.canonicalize().ok()?, path.strip_prefix(there).ok()?);
        Some(real.components().chain(rest.components()).collect())
    });
    real.unwrap_or(path)
}

fn failure(error: RepairError) -> Failure {
    match error {
        RepairError::NotEmpty { .. } | RepairError::Inside { .. } => Failure::because(format!(
            "{error}; name another directory with --repair=NEW, or remove that"
        )),
        _ => Failure::plain(&error),
    }
}

fn to_json(losses: &Losses, new: &Path) -> String {
    let pairs = |set: &SeqSet| set.ranges().map(|range| range.into_inner()).collect::<Vec<_>>();
    let extents = losses.extents.iter().map(|extent| ExtentJson {
        file: extent.path.as_ref().map(|path| path.display().to_string()),
        offset: extent.offset,
        bytes: extent.bytes,
        first: extent.first.0,
        last: extent.last.map(|last| last.0),
        records_kept: extent.records_kept,
    });
    let queues = losses.queues.iter().map(|losses| {
        let QueueLosses { queue, name, messages, in_doubt, lost, lost_in_doubt, may_lack } = losses;
        QueueJson {
            queue: queue.0,
            name,
            messages: *messages,
            in_doubt: pairs(in_doubt),
            lost: pairs(lost),
            lost_in_doubt: *lost_in_doubt,
            may_lack: *may_lack,
        }
    });
    let homeless = losses.homeless.iter();
    let homeless =
        homeless.map(|(queue, messages)| HomelessJson { queue: queue.0, lost: pairs(messages) });
    let json = LossesJson {
        damages: losses.damages.iter().map(ToString::to_string).collect(),
        extents: extents.collect(),
        queues: queues.collect(),
        homeless: homeless.collect(),
        control_bytes: losses.control_bytes,
        notes: &losses.notes,
        messages: losses.messages(),
        lost: losses.lost(),
        in_doubt: losses.in_doubt(),
        new: new.display().to_string(),
    };
    json_line(&json)
}
