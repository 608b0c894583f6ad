//! `forebay torture kill --strace`: every system call of the server fails, one at a time.
//!
//! A store that was killed under load is the beginning of each run: so each opens and recovers, works,
//! compacts and stops. `strace` lets the N-th call of one kind fail, in each thread, for every N that the
//! server reaches. The call is not made: nothing was written, synced, renamed. The server may refuse to start,
//! refuse requests or end; it may not hang, and what it had answered must be there when it is started again.
//!
//! A write that wrote less than it was asked to cannot be made this way (the rest would have to be
//! written); `--full-disk` makes those. Here a write says that it wrote nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::campaign::{Campaign, broken};
use super::checker::Violation;
use super::crew::{Crew, Habits, Work};
use super::history::Call;
use super::server::{Launch, NoServer};
use super::system::{Lacking, copy_dir, need};
use super::{CampaignError, Options, Report, Summary, io_error, prepare};

/// What fails, and how.
const FAULTS: [(&str, &[&str]); 20] = [
    ("openat", &["error=EIO", "error=ENOSPC", "error=EMFILE", "error=EACCES", "error=EINTR"]),
    ("pwrite64", &["error=EIO", "error=ENOSPC", "error=EINTR", "retval=0"]),
    // A read that says that the file ends there is damage, and told as such.
    ("pread64", &["error=EIO", "error=EINTR"]),
    ("fdatasync", &["error=EIO", "error=ENOSPC", "error=EINTR"]),
    ("fsync", &["error=EIO", "error=ENOSPC", "error=EINTR"]),
    ("ftruncate", &["error=EIO", "error=EINTR"]),
    ("fallocate", &["error=ENOSPC", "error=EOPNOTSUPP", "error=EINTR"]),
    ("rename", &["error=EIO", "error=ENOSPC"]),
    ("renameat", &["error=EIO", "error=ENOSPC"]),
    ("unlink", &["error=EIO"]),
    ("unlinkat", &["error=EIO"]),
    ("mkdir", &["error=ENOSPC", "error=EACCES"]),
    ("mkdirat", &["error=ENOSPC", "error=EACCES"]),
    ("flock", &["error=EINTR", "error=ENOLCK"]),
    ("getdents64", &["error=EIO"]),
    ("fstat", &["error=EIO"]),
    ("statx", &["error=EIO", "error=EACCES"]),
    ("mmap", &["error=ENOMEM"]),
    ("madvise", &["error=EIO"]),
    ("accept4", &["error=EMFILE", "error=ECONNABORTED", "error=EINTR"]),
];

/// How long the server works in each run.
const WORK: Duration = Duration::from_millis(150);

/// Nothing may take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Up to here every call fails once; behind it one in eight, since they are the same ones again.
const EACH_UP_TO: u64 = 40;

/// What a run of all faults did, by system call: how often it failed, and how the server took it.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    /// By system call and error: runs.
    pub runs: BTreeMap<String, u64>,
    /// The server did not start.
    pub not_started: u64,
    /// The server ended by itself.
    pub ended: u64,
    /// The server went on.
    pub went_on: u64,
}

/// Where every run begins.
struct Beginning {
    store: PathBuf,
    calls: Vec<Call>,
    crew: Crew,
}

/// Runs every fault; `progress` is told how many runs are done and how many there are.
pub fn run(
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Result<(Report, Faults), Lacking>, CampaignError> {
    if let Err(lacking) = need(&["strace"]) {
        return Ok(Err(lacking));
    }
    prepare(&options.dir)?;
    let habits = Habits { visibilities_ms: [50, 100, 150], delay_ms_max: 100 };
    let mut launch = Launch::new(&options.binary, &options.dir);
    launch.patience = Duration::from_secs(20);
    let campaign = Campaign::new(launch, options.seed, habits);
    let mut campaign = campaign.map_err(|source| io_error(&options.dir, source))?;
    let mut faults = Faults::default();
    let violations = sweep(&mut campaign, options, &mut faults, progress)?;
    let report = campaign.report(&options.dir, violations)?;
    Ok(Ok((report, faults)))
}

fn sweep(
    campaign: &mut Campaign,
    options: &Options,
    faults: &mut Faults,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Violation>, CampaignError> {
    let io = |source| io_error(&options.dir, source);
    let beginning = match begin(campaign, &options.dir).map_err(io)? {
        Ok(beginning) => beginning,
        Err(violation) => return Ok(vec![violation]),
    };
    let counts = match count(campaign, &beginning, &options.dir).map_err(io)? {
        Ok(counts) => counts,
        Err(violation) => return Ok(vec![violation]),
    };
    let mut sites = Vec::new();
    for (call, errors) in FAULTS {
        let most = counts.get(call).copied().unwrap_or(0);
        for error in errors {
            let numbers = (1..=most).filter(|number| *number <= EACH_UP_TO || number % 8 == 0);
            sites.extend(numbers.map(|number| (call, *error, number)));
        }
    }
    let total = sites.len() as u64;
    let began = std::time::Instant::now();
    for (done, (call, error, number)) in sites.into_iter().enumerate() {
        if options.time.is_some_and(|most| began.elapsed() >= most) {
            break;
        }
        let inject = format!("inject={call}:{error}:when={number}");
        restore(campaign, &beginning, &options.dir).map_err(io)?;
        let violations = fault(campaign, &inject, call, faults);
        *faults.runs.entry(format!("{call} {error}")).or_default() += 1;
        if !violations.is_empty() {
            let at = |violation: Violation| Violation {
                text: format!("with {inject}: {}", violation.text),
                ..violation
            };
            return Ok(violations.into_iter().map(at).collect());
        }
        progress(done as u64 + 1, total);
    }
    Ok(Vec::new())
}

/// Makes the store that each run begins with: killed under load, with garbage to be compacted.
fn begin(campaign: &mut Campaign, dir: &Path) -> std::io::Result<Result<Beginning, Violation>> {
    for _ in 0..6 {
        if let Err(violation) = campaign.live_for(Duration::from_millis(150)) {
            return Ok(Err(violation));
        }
    }
    let store = dir.join("beginning");
    copy_dir(&campaign.launch.data, &store)?;
    let crew = campaign.crew().expect("they were joined");
    Ok(Ok(Beginning { store, calls: campaign.history.calls.clone(), crew }))
}

fn restore(campaign: &mut Campaign, beginning: &Beginning, dir: &Path) -> std::io::Result<()> {
    fs::remove_dir_all(&campaign.launch.data)?;
    copy_dir(&beginning.store, &campaign.launch.data)?;
    // The log of each run by itself.
    fs::write(dir.join("server.log"), "")?;
    campaign.history.calls.clone_from(&beginning.calls);
    campaign.history.drained = false;
    campaign.set_crew(beginning.crew.clone());
    Ok(())
}

/// How often a thread makes each call, at the most.
fn count(
    campaign: &mut Campaign,
    beginning: &Beginning,
    dir: &Path,
) -> std::io::Result<Result<BTreeMap<String, u64>, Violation>> {
    restore(campaign, beginning, dir)?;
    let trace = dir.join("trace");
    let names: Vec<_> = FAULTS.iter().map(|(call, _)| format!("?{call}")).collect();
    campaign.launch.wrapper = vec![
        "strace".to_owned(),
        "-D".to_owned(),
        "-f".to_owned(),
        "-qq".to_owned(),
        "--seccomp-bpf".to_owned(),
        "-o".to_owned(),
        trace.display().to_string(),
        "-e".to_owned(),
        format!("trace={}", names.join(",")),
    ];
    let lived = campaign.live_for(WORK);
    campaign.launch.wrapper.clear();
    if let Err(violation) = lived {
        return Ok(Err(violation));
    }
    let text = read_settled(&trace)?;
    fs::remove_file(&trace)?;
    Ok(Ok(most_of_a_thread(&text)))
}

/// Reads a file that somebody is about to finish.
fn read_settled(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let before = text.len();
        std::thread::sleep(Duration::from_millis(200));
        text = fs::read_to_string(path)?;
        if text.len() == before && before > 0 {
            return Ok(text);
        }
    }
}

/// From a trace, lines like `123 openat(...`: the most of one thread.
fn most_of_a_thread(trace: &str) -> BTreeMap<String, u64> {
    let mut by_thread: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            *by_thread.entry((thread, call)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), count) in by_thread {
        let before = most.entry(call.to_owned()).or_default();
        *before = count.max(*before);
    }
    most
}

/// One run: under the fault, then without it.
fn fault(campaign: &mut Campaign, inject: &str, call: &str, faults: &mut Faults) -> Vec<Violation> {
    campaign.launch.wrapper =
        ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"].map(str::to_owned).into();
    campaign.launch.wrapper.extend([
        "-e".to_owned(),
        format!("trace={call}"),
        "-e".to_owned(),
        inject.to_owned(),
    ]);
    campaign.launch.patience = PATIENCE;
    let ended = work(campaign, faults);
    campaign.launch.wrapper.clear();
    campaign.launch.patience = Duration::from_secs(20);
    let broken = ended.and_then(|()| campaign.drain()).and_then(|()| campaign.verify());
    campaign.judge(broken.err().into_iter().collect())
}

fn work(campaign: &mut Campaign, faults: &mut Faults) -> Result<(), Violation> {
    let mut server = match campaign.try_start() {
        Ok(server) => server,
        // It says what failed: the next start must find everything.
        Err(NoServer::Ended { .. }) => {
            faults.not_started += 1;
            return Ok(());
        }
        Err(why) => return Err(broken("hang", why.to_string())),
    };
    // What cannot connect, since the server is on its way out, is none of its faults.
    if let Ok(shift) = campaign.begin(&server, Work::Everything) {
        std::thread::sleep(WORK);
        let by_itself = server.wait(Duration::ZERO).is_some();
        let stopped = by_itself || server.terminate(PATIENCE).is_some();
        if by_itself {
            faults.ended += 1;
        } else {
            faults.went_on += 1;
        }
        let noted = campaign.history.calls.len();
        campaign.rejoin(shift, PATIENCE)?;
        // What it refuses while a call fails is for it to say.
        campaign.history.calls[noted..].iter_mut().for_each(|call| call.code.clear());
        if !stopped {
            return Err(broken("hang", "the server did not end within 5 s of SIGTERM".to_owned()));
        }
    } else {
        faults.ended += 1;
        if server.terminate(PATIENCE).is_none() {
            return Err(broken("hang", "the server did not end within 5 s of SIGTERM".to_owned()));
        }
    }
    Ok(())
}

/// How the server took its faults, for people.
pub fn told(faults: &Faults, summary: &Summary) -> String {
    let runs: u64 = faults.runs.values().sum();
    let mut text = format!(
        "{runs} runs, each with a system call that failed, {:.0} s: the server did not start {} times, \
         ended {} times, went on {} times",
        summary.took.as_secs_f64(),
        faults.not_started,
        faults.ended,
        faults.went_on,
    );
    for (fault, runs) in &faults.runs {
        text.push_str(&format!("\n  {fault}: {runs}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_tells_how_often_a_thread_makes_a_call() {
        let trace = "10 openat(AT_FDCWD, \"a\") = 3\n11 openat(AT_FDCWD, \"b\") = 4\n10 openat(\n\
                     10 <... openat resumed>) = 3\n11 fsync(3) = 0\n+++ exited with 0 +++";
        let most = most_of_a_thread(trace);
        assert_eq!(
            most.into_iter().collect::<Vec<_>>(),
            [("fsync".to_owned(), 1), ("openat".to_owned(), 2)]
        );
    }
}
