//! `forebay torture kill --strace`: every system call of the server fails, one at a time.
//!
//! A store that was killed under load is the beginning of each run: so each opens and recovers, works,
//! compacts and stops. A trace of such a run, in which nothing fails, tells its *sites*: which call, in which thread, on
//! what. `strace` then lets one of them fail in each run, with each error that it may give, until every site has
//! failed. The call is not made: nothing was written, synced, renamed. The server may refuse to start,
//! refuse requests or end, with an exit status that it promises; it may not hang, and what it had answered must be
//! there when it is started again.
//!
//! The same trace shows whether the server syncs what it writes (`synced.rs`).
//!
//! `strace` counts the calls of each thread, and the main one, which opens the store, makes many of those that other
//! threads make later: what does not fail from the start is tried on its thread alone, once the server listens.
//! On a file whose name is always the same only those on it are counted, so that the same one fails; of other files
//! it is one of many, and another is tried as long as it was not that one. Runs go on beside each other, each with a store of its own.
//!
//! A write that wrote less than it was asked to cannot be made this way (the rest would have to be
//! written); `--full-disk` makes those. Here a write says that it wrote nothing.

mod alone;
mod coverage;
mod synced;
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::alone::Alone;
use self::coverage::{Coverage, Occurrences, Try, occurrences};
use self::trace::Traced;
use forebay_engine::unit::count_of;
use rustix::process::Signal;

use super::campaign::{Campaign, broken};
use super::checker::Violation;
use super::crew::{Crew, Habits, Work};
use super::history::Call;
use super::server::{Launch, NoServer, Server, is_promised};
use super::system::{Lacking, copy_dir, need, run as run_program};
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

/// How long at most until a call fails of a thread that is traced alone.
const ALONE_WORK: Duration = Duration::from_secs(5);

/// Nothing may take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The status of a program that could not be loaded, by the system's loader.
const NOT_LOADED: i32 = 127;

/// Runs beside each other: most of a run is waiting.
const RUNS_AT_ONCE: u32 = 4;

/// How often it is told how far all of them are.
const TELL: Duration = Duration::from_millis(200);

/// What a campaign of faults did.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    /// Runs.
    pub runs: u64,
    /// Runs in which nothing failed: the server had not come so far.
    pub missed: u64,
    /// By system call and error: sites that have failed, and sites that there are.
    pub sites: BTreeMap<String, (u64, u64)>,
    /// Sites that did not fail, in words.
    pub unfailed: Vec<String>,
    /// The server did not start.
    pub not_started: u64,
    /// The server ended by itself.
    pub ended: u64,
    /// The server went on.
    pub went_on: u64,
}

/// What all runs share.
struct Shared<'o> {
    options: &'o Options,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    coverage: Coverage,
    faults: Faults,
    running: u32,
    /// Where something was broken.
    broken: Option<Report>,
    error: Option<CampaignError>,
}

/// Where every run of a thread begins.
struct Beginning {
    store: PathBuf,
    calls: Vec<Call>,
    crew: Crew,
    occurrences: Occurrences,
}

/// Lets every site fail; `progress` is told how many have and how many there are.
pub fn run(
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Result<(Report, Faults), Lacking>, CampaignError> {
    if let Err(lacking) = need(&["strace"]).and_then(|()| need_tracing()) {
        return Ok(Err(lacking));
    }
    prepare(&options.dir)?;
    let state = Mutex::new(State { running: RUNS_AT_ONCE, ..State::default() });
    let shared = Shared { options, began: Instant::now(), state };
    std::thread::scope(|scope| {
        for number in 0..RUNS_AT_ONCE {
            let shared = &shared;
            scope.spawn(move || shared.sweep(number));
        }
        while shared.lock().running > 0 {
            let (failed, all) = shared.lock().coverage.count();
            progress(failed, all);
            std::thread::sleep(TELL);
        }
    });
    let took = shared.began.elapsed();
    let State { coverage, mut faults, broken, error, .. } =
        shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = error {
        return Err(error);
    }
    (faults.sites, faults.unfailed) = (coverage.by_fault(), coverage.missed());
    let mut report = broken.unwrap_or_default();
    report.summary.took = took;
    Ok(Ok((report, faults)))
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One run after the other, beside those of other threads.
    fn sweep(&self, number: u32) {
        // Counted also if this thread panics, so that nobody waits for it.
        struct Running<'s>(&'s Shared<'s>);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.lock().running -= 1;
            }
        }
        let _running = Running(self);
        let dir = self.options.dir.join(format!("run-{number}"));
        match self.runs(number, &dir) {
            Ok(None) => {}
            Ok(Some(report)) => drop(self.lock().broken.get_or_insert(report)),
            Err(error) => drop(self.lock().error.get_or_insert(error)),
        }
    }

    /// `None` when all is well.
    fn runs(&self, number: u32, dir: &Path) -> Result<Option<Report>, CampaignError> {
        let io = |source| io_error(dir, source);
        fs::create_dir_all(dir).map_err(io)?;
        // Names as strace sees them.
        let dir = &fs::canonicalize(dir).map_err(io)?;
        let habits = Habits { visibilities_ms: [50, 100, 150], delay_ms_max: 100 };
        let mut launch = Launch::new(&self.options.binary, dir);
        launch.patience = Duration::from_secs(20);
        let seed = self.options.seed.wrapping_add(number.into());
        let mut campaign = Campaign::new(launch, seed, habits).map_err(io)?;
        let beginning = match begin(&mut campaign, dir).map_err(io)? {
            Ok(beginning) => beginning,
            Err(violation) => return campaign.report(dir, vec![violation]).map(Some),
        };
        self.lock().coverage.see(&beginning.occurrences);
        while let Some(next) = self.next(&beginning.occurrences) {
            restore(&mut campaign, &beginning, dir).map_err(io)?;
            let violations = self.fault(&mut campaign, &next, dir).map_err(io)?;
            if !violations.is_empty() {
                let inject = inject(&next);
                let at = |violation: Violation| Violation {
                    text: format!("with {inject}: {}", violation.text),
                    ..violation
                };
                let violations = violations.into_iter().map(at).collect();
                return campaign.report(dir, violations).map(Some);
            }
        }
        Ok(None)
    }

    fn next(&self, occurrences: &Occurrences) -> Option<Try> {
        let is_late = self.options.time.is_some_and(|most| self.began.elapsed() >= most);
        let mut state = self.lock();
        let is_over = is_late
            || self.options.stop.is_set()
            || state.broken.is_some()
            || state.error.is_some();
        if is_over { None } else { state.coverage.next(occurrences) }
    }

    /// One run: under the fault, then without it.
    fn fault(
        &self,
        campaign: &mut Campaign,
        next: &Try,
        dir: &Path,
    ) -> std::io::Result<Vec<Violation>> {
        let trace = dir.join("trace");
        fs::write(&trace, "")?;
        let store = campaign.launch.data.clone();
        let mut arguments = tracing(&trace, &next.call);
        if let Some(file) = &next.file {
            arguments.extend(["-P".to_owned(), store.join(file).display().to_string()]);
        }
        arguments.extend(["-e".to_owned(), inject(next)]);
        campaign.launch.patience = PATIENCE;
        let mut alone = None;
        let lived = match &next.thread {
            None => {
                campaign.launch.wrapper = from_the_start(arguments);
                self.work(campaign, |_| Ok(()), || std::thread::sleep(WORK))
            }
            Some(thread) => {
                let attach = |server: &Server| {
                    alone = Alone::trace(server, thread, &arguments, PATIENCE)?;
                    Ok(())
                };
                self.work(campaign, attach, || alone::wait_for_failure(&trace, ALONE_WORK))
            }
        }?;
        campaign.launch.wrapper.clear();
        campaign.launch.patience = Duration::from_secs(20);
        let calls = match (&next.thread, alone) {
            // The thread was not there to be traced.
            (Some(_), None) => Vec::new(),
            (_, alone) => read_trace(&trace, &store, alone.as_ref())?,
        };
        {
            let mut state = self.lock();
            let failed = state.coverage.failed(&calls, next.fault);
            state.faults.runs += 1;
            state.faults.missed += u64::from(failed == 0);
        }
        let ended = lived.and_then(|status| check_end(status, &calls, &campaign.launch.log_end()));
        let broken = ended.and_then(|()| campaign.drain()).and_then(|()| campaign.verify());
        Ok(campaign.judge(broken.err().into_iter().collect()))
    }

    /// A life, and how it ended: `listens` is called with a server that does, and clients work until `wait` returns.
    fn work(
        &self,
        campaign: &mut Campaign,
        listens: impl FnOnce(&Server) -> std::io::Result<()>,
        wait: impl FnOnce(),
    ) -> std::io::Result<Result<ExitStatus, Violation>> {
        let server = match campaign.try_start() {
            Ok(server) => server,
            // It says what failed: the next start must find everything.
            Err(NoServer::Ended { status, .. }) => {
                self.lock().faults.not_started += 1;
                return Ok(Ok(status));
            }
            Err(why) => return Ok(Err(broken("hang", why.to_string()))),
        };
        listens(&server)?;
        Ok(self.work_on(campaign, server, wait))
    }

    fn work_on(
        &self,
        campaign: &mut Campaign,
        mut server: Server,
        wait: impl FnOnce(),
    ) -> Result<ExitStatus, Violation> {
        let hangs = || broken("hang", "the server did not end within 5 s of SIGTERM".to_owned());
        // What cannot connect, since the server is on its way out, is none of its faults.
        let Ok(shift) = campaign.begin(&server, Work::Everything) else {
            self.lock().faults.ended += 1;
            return server.terminate(PATIENCE).ok_or_else(hangs);
        };
        wait();
        let by_itself = server.wait(Duration::ZERO);
        match by_itself {
            Some(_) => self.lock().faults.ended += 1,
            None => self.lock().faults.went_on += 1,
        }
        let stopped = by_itself.or_else(|| server.terminate(PATIENCE));
        let noted = campaign.history.calls.len();
        campaign.rejoin(shift, PATIENCE)?;
        // What it refuses while a call fails is for it to say.
        campaign.history.calls[noted..].iter_mut().for_each(|call| call.code.clear());
        stopped.ok_or_else(hangs)
    }
}

/// Whether a server that ended when these calls had failed did so as it promises: a failed call is an error that
/// it reports, and no reason for a panic or a signal.
fn check_end(status: ExitStatus, calls: &[Traced], log: &str) -> Result<(), Violation> {
    let mut failed = calls.iter().filter(|traced| traced.failed && traced.file.is_none());
    // What loads the program and its libraries ends in its own way, and so does Rust without memory.
    let is_excused = failed.any(|traced| match status.code() {
        Some(code) => code == NOT_LOADED,
        None => status.signal() == Some(Signal::ABORT.as_raw()) && traced.site.call == "mmap",
    });
    if is_promised(status) || is_excused {
        return Ok(());
    }
    Err(broken("end", format!("the server ended with {status}; its log ends: {log}")))
}

/// Makes the store that each run begins with: killed under load, with garbage to be compacted; and a trace of a
/// run in which nothing fails.
fn begin(campaign: &mut Campaign, dir: &Path) -> std::io::Result<Result<Beginning, Violation>> {
    for _ in 0..6 {
        if let Err(violation) = campaign.live_for(Duration::from_millis(150)) {
            return Ok(Err(violation));
        }
    }
    let store = dir.join("beginning");
    copy_dir(&campaign.launch.data, &store)?;
    let crew = campaign.crew().expect("they were joined");
    let calls = campaign.history.calls.clone();
    let mut beginning = Beginning { store, calls, crew, occurrences: Occurrences::new() };
    restore(campaign, &beginning, dir)?;
    let trace = dir.join("trace");
    let names: Vec<_> = FAULTS.iter().map(|(call, _)| format!("?{call}")).collect();
    campaign.launch.wrapper = from_the_start(tracing(&trace, &names.join(",")));
    let lived = campaign.live_and_stop(WORK, PATIENCE);
    campaign.launch.wrapper.clear();
    if let Err(violation) = lived {
        return Ok(Err(violation));
    }
    let calls = read_trace(&trace, &campaign.launch.data, None)?;
    if let Some(text) = synced::unsynced(&calls).into_iter().next() {
        return Ok(Err(broken("sync", text)));
    }
    beginning.occurrences = occurrences(&calls);
    Ok(Ok(beginning))
}

fn restore(campaign: &mut Campaign, beginning: &Beginning, dir: &Path) -> std::io::Result<()> {
    fs::remove_dir_all(&campaign.launch.data)?;
    copy_dir(&beginning.store, &campaign.launch.data)?;
    // The log of each run by itself.
    fs::write(dir.join("server.log"), "")?;
    campaign.history.calls.clone_from(&beginning.calls);
    campaign.history.drained = false;
    campaign.history.reads_failed = true;
    campaign.set_crew(beginning.crew.clone());
    Ok(())
}

/// Whether `strace` may trace here, and knows all that is asked of it.
pub(super) fn need_tracing() -> Result<(), Lacking> {
    let inject = ["-e", "inject=fsync:error=EIO:when=1", "true"].map(str::to_owned);
    let mut wrapper = from_the_start(tracing(Path::new("/dev/null"), "fsync"));
    wrapper.retain(|argument| argument != "-D");
    wrapper.extend(inject);
    let traced = run_program(&wrapper[0], &wrapper[1..]);
    traced.map(drop).map_err(|error| Lacking(format!("strace does not trace here: {error}")))
}

/// What `strace` is to write down, with the names of threads and files: these calls.
fn tracing(trace: &Path, calls: &str) -> Vec<String> {
    let mut arguments: Vec<_> = ["-q", "-y", "-Y", "-o"].map(str::to_owned).into();
    arguments.extend([trace.display().to_string(), "-e".to_owned(), format!("trace={calls}")]);
    arguments
}

/// `strace` of a server with all its threads.
fn from_the_start(arguments: Vec<String>) -> Vec<String> {
    let mut wrapper: Vec<_> = ["strace", "-D", "-f", "--seccomp-bpf"].map(str::to_owned).into();
    wrapper.extend(arguments);
    wrapper
}

fn inject(next: &Try) -> String {
    format!("inject={}:{}:when={}", next.call, next.fault, next.number)
}

/// Reads what `strace`, which ends after the server, wrote of all threads or of one alone.
fn read_trace(path: &Path, store: &Path, alone: Option<&Alone>) -> std::io::Result<Vec<Traced>> {
    let (began, mut text) = (Instant::now(), String::new());
    while began.elapsed() < PATIENCE {
        let before = text.len();
        std::thread::sleep(Duration::from_millis(10));
        // Bodies are in it, too.
        text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
        let is_ended = text.trim_end().ends_with("+++");
        if is_ended && text.len() == before {
            break;
        }
    }
    if let Some(Alone { thread_id, thread, .. }) = alone {
        text = trace::of_thread(&text, *thread_id, thread);
    }
    Ok(trace::calls(&text, &store.display().to_string()))
}

/// What was done, and how the server took it, for people.
pub fn told(faults: &Faults, summary: &Summary) -> String {
    let (failed, all) = total(faults);
    let mut text = format!(
        "{failed} of {all} sites failed, each with each of its errors, {}, {:.0} s: the server did not \
         start {}, ended {}, went on {}; in {} nothing failed",
        count_of(faults.runs, "run"),
        summary.took.as_secs_f64(),
        count_of(faults.not_started, "time"),
        count_of(faults.ended, "time"),
        count_of(faults.went_on, "time"),
        count_of(faults.missed, "run"),
    );
    for (fault, (failed, all)) in &faults.sites {
        text.push_str(&format!("\n  {fault}: {failed} of {all}"));
    }
    for site in &faults.unfailed {
        text.push_str(&format!("\n  did not fail: {site}"));
    }
    text
}

/// How many sites have failed, and how many there are.
pub fn total(faults: &Faults) -> (u64, u64) {
    let sites = faults.sites.values();
    sites.fold((0, 0), |(failed, all), (more_failed, more)| (failed + more_failed, all + more))
}
