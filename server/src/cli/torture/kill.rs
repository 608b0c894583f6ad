//! `forebay torture kill`: the server itself on the real disk, killed under load.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_engine::unit::count_of;
use forebay_torture::kill::{self, CampaignError, Lacking, Options, Report, Summary};
use forebay_torture::kill::{block, eio, full_disk, strace};
use serde::Serialize;
use serde_json::json;

use super::minutes::minutes;
use super::stopping::{check_done, stop_on_signals};
use crate::cli::failure::Failure;
use crate::cli::progress;
use crate::cli::say::say;

const DIR: &str = "./forebay-torture";
const RESTARTS: u32 = 200;
/// One mistake of a server may break many promises.
const VIOLATIONS_SHOWN: usize = 10;

/// Kill the server under load, again and again, and check what its clients were told
///
/// This binary is started on a store of its own, on a free port of this machine, with small segments.
/// Clients send, receive, delete and purge, plain and FIFO, with delays, transactions and dead letters, until the
/// server gets SIGKILL, under load or while it opens its store, or now and then SIGTERM. After every hundred
/// lives all queues are drained and everything is checked: nothing that was answered is lost, nothing
/// deleted comes back, nothing comes that was not sent, byte for byte, one consumer at a time, FIFO groups
/// in order, receives counted. Exit status 1 and a directory with the history after a violation. Ctrl-C and SIGTERM end the server
/// and the campaign, and what was seen until then is told and checked.
///
/// Four other campaigns go below the server: what this machine lacks for them is said, and they are skipped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay torture kill --restarts 2000\n         \
                  forebay torture kill --minutes 30 --data /mnt/disk/torture --json\n         \
                  forebay torture kill --block --images 10000 --data /dev/shm/torture")]
pub(super) struct Kill {
    /// So many restarts, 1 to 4294967295 [default: 200]
    #[arg(long, value_name = "N", conflicts_with = "way", value_parser = clap::value_parser!(u32).range(1..))]
    restarts: Option<u32>,
    /// For so many minutes, also parts of one
    #[arg(long, value_name = "M", conflicts_with = "full_disk", value_parser = minutes)]
    minutes: Option<Duration>,
    /// An empty or missing directory for the store, on the disk that is to be tested
    #[arg(long, value_name = "DIR", default_value = DIR)]
    data: PathBuf,
    /// What chance decides: the same seed plans the same lives, though not to the microsecond
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Instead: see that the server syncs what it writes, and let each of its system calls fail, one at a time (needs
    /// strace)
    #[arg(long, group = "way")]
    strace: bool,
    /// Instead: fill small file systems, and drain them (needs root; tmpfs, ext4, xfs)
    #[arg(long, group = "way")]
    full_disk: bool,
    /// Instead: check images of an ext4 after power cuts (needs root, FUSE and qemu-storage-daemon)
    #[arg(long, group = "way")]
    block: bool,
    /// Images to check, from 1 on
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "block", conflicts_with_all = ["strace", "full_disk", "eio"], value_parser = clap::value_parser!(u64).range(1..))]
    images: u64,
    /// Instead: let the device fail below an ext4 (needs root, FUSE, qemu-storage-daemon and nbdkit)
    #[arg(long, group = "way")]
    eio: bool,
    /// How often it fails, from 1 on
    #[arg(long, value_name = "N", default_value_t = 50, requires = "eio", conflicts_with_all = ["strace", "full_disk", "block"], value_parser = clap::value_parser!(u64).range(1..))]
    faults: u64,
    /// A JSON object
    #[arg(long)]
    json: bool,
}

/// A summary as `--json` shows it.
#[derive(Serialize)]
struct SummaryJson {
    restarts: u32,
    kills: u32,
    kills_in_opening: u32,
    stops: u32,
    rounds: u32,
    messages_sent: u64,
    messages_of_unknown_sends: u64,
    messages_delivered: u64,
    messages_deleted: u64,
    messages_of_unknown_deletes: u64,
    calls: u64,
    slowest_start_ms: u64,
    took_ms: u64,
}

/// What a campaign came to: a text and an object, and what was broken.
struct Told {
    text: String,
    object: serde_json::Value,
    violations: Vec<String>,
    history: Option<PathBuf>,
}

impl Kill {
    pub(super) fn run(self) -> Result<(), Failure> {
        let binary =
            std::env::current_exe().map_err(|error| Failure::io("where this binary is", &error))?;
        let is_endless = self.restarts.is_none() && self.minutes.is_none();
        let restarts = self.restarts.or(is_endless.then_some(RESTARTS));
        let existed = self.data.exists();
        let seed = self.seed.unwrap_or_else(super::any_seed);
        let stop = stop_on_signals()?;
        let (dir, time) = (self.data.clone(), self.minutes);
        let options = Options { binary, dir, seed, restarts, time, stop };
        let told = self.campaign(&options).map_err(|error| Failure::because(error.to_string()))?;
        let told = match told {
            Ok(told) => told,
            Err(lacking) => {
                say(lacking);
                return Ok(());
            }
        };
        for violation in told.violations.iter().take(VIOLATIONS_SHOWN) {
            say(format_args!("VIOLATION {violation}"));
        }
        if let Some(more @ 1..) = told.violations.len().checked_sub(VIOLATIONS_SHOWN) {
            say(format_args!("and {more} more, in violations.txt beside the history"));
        }
        if let Some(history) = &told.history {
            say(format_args!(
                "the history: {}; the store and the server's log are beside it",
                history.display()
            ));
        }
        let mut object = told.object;
        object["seed"] = json!(seed);
        object["violations"] = json!(told.violations);
        object["history"] = json!(told.history);
        let text =
            if self.json { object.to_string() } else { format!("{}\nseed {seed}", told.text) };
        writeln!(std::io::stdout(), "{text}")?;
        if !told.violations.is_empty() {
            return Err(Failure::Reported);
        }
        clean_up(&self.data, existed)
            .map_err(|error| Failure::io(&self.data.display().to_string(), &error))?;
        check_done(&options.stop)
    }

    fn campaign(&self, options: &Options) -> Result<Result<Told, Lacking>, CampaignError> {
        if self.strace {
            return straced(options);
        }
        if self.full_disk {
            return full_disks(options);
        }
        if self.block {
            return blocks(options, self.images);
        }
        if self.eio {
            return errors(options, self.faults);
        }
        killed(options).map(Ok)
    }
}

fn killed(options: &Options) -> Result<Told, CampaignError> {
    let bar = progress::campaign(options.restarts.map(u64::from), "restarts");
    let report = kill::run(options, &mut |summary| {
        bar.set_position(summary.restarts.into());
        let Summary { tally, .. } = summary;
        bar.set_message(format!(
            "{} sent, {} deleted",
            count_of(tally.sent, "message"),
            tally.deleted
        ));
    });
    bar.finish_and_clear();
    let report = report?;
    let violations = count_of(report.violations.len() as u64, "violation");
    let text = format!("{violations} in {}", summary_text(&report.summary));
    let object = summary_json(&report.summary);
    Ok(told(text, object, report))
}

fn straced(options: &Options) -> Result<Result<Told, Lacking>, CampaignError> {
    let bar = progress::campaign(Some(0), "system calls that failed");
    let ran = strace::run(options, &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok(ran?.map(|(report, faults)| {
        let object = json!({
            "runs": faults.runs,
            "runs_without_a_failure": faults.missed,
            "sites": strace::total(&faults).1,
            "sites_failed": strace::total(&faults).0,
            "sites_unfailed": faults.unfailed,
            "not_started": faults.not_started,
            "ended": faults.ended,
            "went_on": faults.went_on,
        });
        let violations = count_of(report.violations.len() as u64, "violation");
        let text = format!("{violations} in {}", strace::told(&faults, &report.summary));
        told(text, object, report)
    }))
}

fn full_disks(options: &Options) -> Result<Result<Told, Lacking>, CampaignError> {
    let bar = progress::campaign(None, "file systems");
    let ran = full_disk::run(options, &mut |name| {
        bar.inc(1);
        bar.set_message(name.to_owned());
    });
    bar.finish_and_clear();
    Ok(ran?.map(|all| {
        let texts: Vec<_> = all.iter().map(full_disk::told).collect();
        let objects: Vec<_> = all.iter().map(filled_json).collect();
        let broken = || all.iter().filter(|filled| !filled.violations.is_empty());
        let violations = broken().flat_map(|filled| &filled.violations);
        Told {
            text: texts.join("\n"),
            object: json!({ "file_systems": objects }),
            violations: violations.map(ToString::to_string).collect(),
            history: broken().next().map(|filled| full_disk::dir_of(&options.dir, filled)),
        }
    }))
}

fn filled_json(filled: &full_disk::Filled) -> serde_json::Value {
    json!({
        "file_system": filled.file_system,
        "skipped": filled.skipped.as_ref().map(|lacking| &lacking.0),
        "rounds": filled.rounds,
        "messages_sent": filled.sent,
        "messages_deleted": filled.deleted,
        "receives_and_deletes_deferred": filled.deferred,
        "slowest_call_ms": filled.slowest_call.as_millis() as u64,
        "slowest_resume_ms": filled.slowest_resume.as_millis() as u64,
    })
}

fn blocks(options: &Options, images: u64) -> Result<Result<Told, Lacking>, CampaignError> {
    let bar = progress::campaign(Some(images), "images");
    let ran = block::run(options, images, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    Ok(ran?.map(|(report, images)| {
        let object = json!({
            "images": images.images,
            "reordered": images.reordered,
            "unmountable": images.unmountable,
            "file_systems": images.rounds,
            "entries": images.entries,
            "control_found_out_after": images.control,
        });
        told(block::told(&report, &images), object, report)
    }))
}

fn errors(options: &Options, faults: u64) -> Result<Result<Told, Lacking>, CampaignError> {
    let bar = progress::campaign(Some(faults), "failures of the device");
    let ran = eio::run(options, faults, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    Ok(ran?.map(|(report, errors)| {
        let object = json!({
            "faults": errors.faults,
            "ended": errors.ended,
            "unaware": errors.unaware,
        });
        told(eio::told(&report, &errors), object, report)
    }))
}

fn told(text: String, object: serde_json::Value, report: Report) -> Told {
    let violations = report.violations.iter().map(ToString::to_string).collect();
    Told { text, object, violations, history: report.history }
}

/// Leaves the directory as it was found.
fn clean_up(dir: &Path, existed: bool) -> std::io::Result<()> {
    if !existed {
        return std::fs::remove_dir_all(dir);
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

fn summary_text(summary: &Summary) -> String {
    let Summary { restarts, kills, kills_in_opening, stops, rounds, tally, .. } = summary;
    format!(
        "{}, {:.0} s\n  \
           ends of the server: {} under load, {kills_in_opening} while it opened its store, \
           {}\n  \
           messages: {} sent, {} of unknown sends, {} delivered, {} deleted, {} of unknown deletes\n  \
           everything drained and checked {}; the slowest start took {} ms",
        count_of(u64::from(*restarts), "restart"),
        summary.took.as_secs_f64(),
        count_of(u64::from(*kills), "kill"),
        count_of(u64::from(*stops), "orderly stop"),
        tally.sent,
        tally.sends_unknown,
        tally.delivered,
        tally.deleted,
        tally.deletes_unknown,
        count_of(u64::from(*rounds), "time"),
        summary.slowest_start.as_millis(),
    )
}

fn summary_json(summary: &Summary) -> serde_json::Value {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    json!(SummaryJson {
        restarts: summary.restarts,
        kills: summary.kills,
        kills_in_opening: summary.kills_in_opening,
        stops: summary.stops,
        rounds: summary.rounds,
        messages_sent: summary.tally.sent,
        messages_of_unknown_sends: summary.tally.sends_unknown,
        messages_delivered: summary.tally.delivered,
        messages_deleted: summary.tally.deleted,
        messages_of_unknown_deletes: summary.tally.deletes_unknown,
        calls: summary.tally.calls,
        slowest_start_ms: ms(summary.slowest_start),
        took_ms: ms(summary.took),
    })
}
