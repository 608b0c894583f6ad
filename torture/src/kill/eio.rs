//! `forebay torture kill --eio`: a device that fails under a real file system.
//!
//! `nbdkit` lets writes or reads of the device fail while a file is there. The kernel tells of a failed
//! writeback once; asked again it says that all is well, and shows what the device does not have. So the
//! server must end at the first error, and answer no change that it was asked for since the device fails: no byte
//! of that can be on the device. Then the device works again, the file system is mounted anew, so that
//! nothing of the page cache is left, and everything that was answered must be there.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use forebay_engine::unit::count_of;

use super::campaign::{Campaign, broken, hang};
use super::checker::Violation;
use super::crew::{Habits, Work};
use super::export::{Daemon, Exported, make_ext4, need_exports};
use super::history::{Call, History, Micros, Outcome, What, queues};
use super::server::{Launch, is_promised};
use super::system::{Lacking, Mount};
use super::{CampaignError, Options, Report, io_error, prepare};

/// The size of the device.
const DEVICE_BYTES: u64 = 96 << 20;

/// How long the server works before the device fails.
const WORK: Duration = Duration::from_millis(200);

/// The device fails for so long, or until the server has ended.
const FAILING: Duration = Duration::from_secs(5);

/// A change that was not answered for so long waits for a write, in µs.
const UNANSWERED: Micros = 1_000_000;

/// So long clients may take to find out that the server has ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was done.
#[derive(Debug, Default, Clone)]
pub struct Errors {
    /// How often the device failed.
    pub faults: u64,
    /// After which the server ended by itself.
    pub ended: u64,
    /// After which it was killed: it had not been asked for a change, and so had met no error.
    pub unaware: u64,
}

/// Lets the device fail so often.
pub fn run(
    options: &Options,
    faults: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Result<(Report, Errors), Lacking>, CampaignError> {
    let tools = ["nbdkit", "qemu-storage-daemon", "losetup", "mount", "umount", "mkfs.ext4"];
    if let Err(lacking) = need_exports(&tools) {
        return Ok(Err(lacking));
    }
    prepare(&options.dir)?;
    let io = |source| io_error(&options.dir, source);
    make_ext4(&options.dir.join("device"), DEVICE_BYTES).map_err(io)?;
    let mut launch = Launch::new(&options.binary, &options.dir);
    launch.data = options.dir.join("disk/store");
    let habits = Habits { visibilities_ms: [50, 100, 150], delay_ms_max: 100 };
    let mut campaign = Campaign::new(launch, options.seed, habits).map_err(io)?;
    let (mut done, mut violations) = (Errors::default(), Vec::new());
    let began = Instant::now();
    let is_late =
        || options.stop.is_set() || options.time.is_some_and(|most| began.elapsed() >= most);
    while violations.is_empty() && done.faults < faults && !is_late() {
        campaign.history = History { power_was_cut: true, ..History::default() };
        let broken = fail(&mut campaign, &options.dir, &mut done).map_err(io)?;
        violations = campaign.judge(broken.err().into_iter().collect());
        campaign.summary.rounds += 1;
        progress(done.faults);
    }
    Ok(Ok((campaign.report(&options.dir, violations)?, done)))
}

/// One fault, and the drain after it.
fn fail(
    campaign: &mut Campaign,
    dir: &Path,
    done: &mut Errors,
) -> io::Result<Result<(), Violation>> {
    let failing = dir.join("failing");
    let mut device = Device::start(dir)?;
    let lived = live(campaign, &failing, done);
    let _ = fs::remove_file(&failing);
    // The file system may have given up; the device works again, so it can be mounted.
    if let Some(exported) = device.exported.take() {
        let _ = exported.unmount();
    }
    drop(device);
    if let Err(violation) = lived {
        return Ok(Err(violation));
    }
    // Mounted anew, without anything between: what is read now is what the device has.
    let mount = Mount::image(&dir.join("device"), &dir.join("disk"))?;
    let drained = campaign.drain().and_then(|()| campaign.verify());
    mount.unmount()?;
    Ok(drained)
}

fn live(campaign: &mut Campaign, failing: &Path, done: &mut Errors) -> Result<(), Violation> {
    let mut server = campaign.start()?;
    let shift = campaign.begin(&server, Work::Everything)?;
    std::thread::sleep(WORK + Duration::from_millis(campaign.random.below(200)));
    fs::write(failing, "").map_err(|error| broken("start", error.to_string()))?;
    let failed_at = campaign.recorder.now();
    done.faults += 1;
    let ended = server.wait(FAILING);
    let log = campaign.launch.log_end();
    if ended.is_none() {
        server.kill();
    }
    let noted = campaign.history.calls.len();
    let joined = campaign.rejoin(shift, PATIENCE);
    let calls = &mut campaign.history.calls[noted..];
    let impossible = answered(calls, failed_at);
    let has_met = calls.iter().any(|call| must_have_met(call, failed_at));
    calls.iter_mut().for_each(|call| call.code.clear());
    joined.map_err(|_| hang("a client", "find out that the server is gone", PATIENCE))?;
    if let Some(violation) = impossible {
        return Err(violation);
    }
    match ended {
        Some(status) if is_promised(status) => done.ended += 1,
        Some(status) => {
            return Err(broken(
                "end",
                format!("the server ended with {status}; its log ends: {log}"),
            ));
        }
        None if has_met => return Err(hang("the server", "end, whose device fails,", FAILING)),
        None => done.unaware += 1,
    }
    Ok(())
}

/// A send that was made when the device failed already, and answered: it is nowhere on the device. (A send that
/// repeats an older one may be answered with that.)
fn answered(calls: &[Call], failed_at: Micros) -> Option<Violation> {
    let made = |call: &&Call| call.began > failed_at && call.outcome == Outcome::Ok;
    calls.iter().filter(made).find_map(|call| match &call.what {
        What::Send { queue, messages } if queues::is_sent_once(queue) => {
            let number = messages.first()?.number;
            let text = format!(
                "a send of message {number} to {queue} was answered, which was made {} us after the \
                 device had begun to fail",
                call.began - failed_at
            );
            Some(Violation { rule: "eio", number, text })
        }
        _ => None,
    })
}

/// Whether a server had to meet the error because of this call: a change that it neither did nor refused in all
/// that time, or a send that it refused, though not for want of space.
fn must_have_met(call: &Call, failed_at: Micros) -> bool {
    let is_change = !matches!(call.what, What::Receive { .. } | What::Count { .. });
    match call.outcome {
        Outcome::Ok => false,
        Outcome::Unknown => {
            is_change && call.ended.saturating_sub(call.began.max(failed_at)) > UNANSWERED
        }
        Outcome::Failed => {
            let is_refused = !call.code.is_empty() && call.code != "StorageFull";
            matches!(call.what, What::Send { .. }) && is_refused && call.began > failed_at
        }
    }
}

/// The device, and the file system on it.
struct Device {
    exported: Option<Exported>,
    _nbdkit: Daemon,
}

impl Device {
    fn start(dir: &Path) -> io::Result<Self> {
        let (device, socket) = (dir.join("device"), dir.join("socket"));
        let failing = dir.join("failing");
        let _ = fs::remove_file(&socket);
        let arguments = [
            "--foreground".to_owned(),
            "--unix".to_owned(),
            socket.display().to_string(),
            "--filter=error".to_owned(),
            "file".to_owned(),
            device.display().to_string(),
            "error=EIO".to_owned(),
            "error-pwrite-rate=100%".to_owned(),
            format!("error-pwrite-file={}", failing.display()),
        ];
        let log = dir.join("nbdkit.log");
        let mut nbdkit = Daemon::start("nbdkit", &arguments, &log)?;
        nbdkit.until(|| socket.exists(), &log)?;
        let blockdev = format!(
            r#"{{"driver":"nbd","node-name":"n0","server":{{"type":"unix","path":"{}"}}}}"#,
            socket.display()
        );
        let exported = Exported::mount(dir, &[blockdev], "n0", DEVICE_BYTES)?;
        Ok(Self { exported: Some(exported), _nbdkit: nbdkit })
    }
}

/// What was done, for people.
pub fn told(report: &Report, errors: &Errors) -> String {
    format!(
        "{} after {} of the device; the server ended by itself after {} of them, and was asked \
         for no change in {}",
        count_of(report.violations.len() as u64, "violation"),
        count_of(errors.faults, "failure"),
        errors.ended,
        errors.unaware,
    )
}
