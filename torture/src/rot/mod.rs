//! `forebay torture rot`: everything that can happen to the bytes of a store at rest, and what the store
//! makes of it.
//!
//! A reference store has every kind of file. Each bit of each is flipped, the file cut at each byte, each
//! 512-byte block zeroed, copied from elsewhere and swapped, each file deleted, renamed, and
//! exchanged for another. Then the store is opened and drained. What has rotted may be made anew, be
//! told as a torn tail, or be reported, with file and offset; every message that it does not concern comes, with
//! the bytes that it was sent with, and `verify` names the same place. Of every few cases what is damaged is
//! repaired, too, and what comes of it held against what was told. All of it happens in memory, on the
//! simulated disk.

mod case;
mod judge;
mod mend;
mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use self::case::{Case, count, count_whole};
pub use self::judge::Judgement;
use self::judge::{disk, judge};
use self::mend::mend;
use self::reference::Reference;
use crate::stop::Stop;

/// Progress is told after so many cases of a thread.
const TELL_EVERY: u64 = 256;

/// A store is repaired in every so many cases of a part of a file.
const REPAIRED_EVERY: u64 = 4;

/// The most memory that the process may take beyond what it took before the first case.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// What a sweep is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is in the store, and where a sweep of fewer cases than there are begins.
    pub seed: u64,
    /// The most cases.
    pub cases: Option<u64>,
    /// The most time.
    pub time: Option<Duration>,
    /// One case alone.
    pub only: Option<u64>,
    /// Threads.
    pub jobs: usize,
    /// Set, no further case is begun.
    pub stop: Stop,
}

/// What a sweep has done.
#[derive(Debug, Default, Clone)]
pub struct Summary {
    /// Cases that were done.
    pub cases: u64,
    /// Cases that there are.
    pub cases_total: u64,
    /// Files of the store, and their bytes.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Messages in the store.
    pub messages: usize,
    /// Cases by what became of the store.
    pub judgements: BTreeMap<Judgement, u64>,
    /// Cases in which the store was damaged, and repaired.
    pub repaired: u64,
    /// The most memory that the process took beyond what it took before, in bytes.
    pub memory_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// A case after which the store did what it must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The case.
    pub case: u64,
    /// What was done to the store, and what was wrong.
    pub text: String,
}

/// What a sweep found.
#[derive(Debug)]
pub struct Report {
    /// What was done.
    pub summary: Summary,
    /// What was broken, in the order of the cases.
    pub violations: Vec<Violation>,
    /// Of one case alone: what it does, to which file.
    pub case: Option<String>,
}

/// Why nothing was swept.
#[derive(Debug, thiserror::Error)]
pub enum RotError {
    /// There is no reference store.
    #[error("the reference store of seed {seed} cannot be made: {why}")]
    NoReference {
        /// The seed.
        seed: u64,
        /// What went wrong.
        why: String,
    },
    /// There is no case with that number.
    #[error("case {case} of the store of seed {seed}, expected 0 to {}", total - 1)]
    NoSuchCase {
        /// The number.
        case: u64,
        /// The seed.
        seed: u64,
        /// How many cases there are.
        total: u64,
    },
    /// The files of a case cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Sweeps. A violation ends it; `progress` is told how many cases are done.
pub fn run(options: &Options, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, RotError> {
    let reference = reference(options.seed)?;
    let began = Instant::now();
    let total = count(&reference);
    let only = options.only.map(|number| case(&reference, options.seed, number)).transpose()?;
    let cases = match options.only {
        Some(_) => 1,
        None => options.cases.unwrap_or(total).min(total),
    };
    let memory_before = memory_peak();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (told, heard) = mpsc::channel();
    let sweep = Sweep { reference: &reference, options, cases, total, next, stop, began };
    let mut summary = Summary { cases_total: total, ..Summary::default() };
    let mut violations = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            let (sweep, told) = (&sweep, told.clone());
            scope.spawn(move || sweep.work(&told));
        }
        drop(told);
        for done in heard {
            for (judgement, cases) in done.judgements {
                summary.cases += cases;
                *summary.judgements.entry(judgement).or_default() += cases;
            }
            summary.cases += done.violations.len() as u64;
            summary.repaired += done.repaired;
            violations.extend(done.violations);
            progress(summary.cases, cases);
        }
    });
    summary.files = reference.files.len();
    summary.bytes = reference.files.iter().map(|file| file.bytes.len() as u64).sum();
    summary.messages = reference.messages.len();
    summary.took = began.elapsed();
    summary.memory_bytes = memory_peak().saturating_sub(memory_before);
    if summary.memory_bytes > MEMORY_BYTES_MAX {
        let text = format!(
            "{} bytes of memory were taken, expected less than 1 GiB",
            summary.memory_bytes
        );
        violations.push(Violation { case: 0, text });
    }
    violations.sort_by_key(|violation| violation.case);
    let case = only.map(|case| case.describe(&reference));
    Ok(Report { summary, violations, case })
}

/// Writes the files of the store as a case leaves them, to be looked at.
pub fn exhibit(seed: u64, number: u64, dir: &Path) -> Result<(), RotError> {
    let reference = reference(seed)?;
    let case = case(&reference, seed, number)?;
    let disk = disk(&reference, &case, &case.apply(&reference));
    for path in disk.files() {
        let to: PathBuf = dir.join(&path);
        let write = || {
            fs::create_dir_all(to.parent().expect("it lies in the directory"))?;
            fs::write(&to, disk.image(&path).map_err(io::Error::other)?)
        };
        write().map_err(|source| RotError::Io { path: to.clone(), source })?;
    }
    Ok(())
}

fn reference(seed: u64) -> Result<Reference, RotError> {
    Reference::build(seed).map_err(|why| RotError::NoReference { seed, why })
}

/// The case of a number that somebody gave.
fn case(reference: &Reference, seed: u64, number: u64) -> Result<Case, RotError> {
    let total = count(reference);
    match number < total {
        true => Ok(Case::of(reference, number)),
        false => Err(RotError::NoSuchCase { case: number, seed, total }),
    }
}

/// What the threads of a sweep share.
struct Sweep<'r> {
    reference: &'r Reference,
    options: &'r Options,
    cases: u64,
    total: u64,
    next: AtomicU64,
    stop: AtomicBool,
    began: Instant,
}

/// What a thread has done since it told last.
#[derive(Default)]
struct Done {
    judgements: BTreeMap<Judgement, u64>,
    repaired: u64,
    violations: Vec<Violation>,
}

impl Sweep<'_> {
    fn work(&self, told: &mpsc::Sender<Done>) {
        let mut done = Done::default();
        while let Some(number) = self.next() {
            match self.case(number) {
                Ok((judgement, is_repaired)) => {
                    *done.judgements.entry(judgement).or_default() += 1;
                    done.repaired += u64::from(is_repaired);
                }
                Err(violation) => {
                    done.violations.push(violation);
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
            if done.judgements.values().sum::<u64>() >= TELL_EVERY {
                // Whoever listens does so until every thread has ended.
                let _ = told.send(std::mem::take(&mut done));
            }
        }
        let _ = told.send(done);
    }

    /// The next case. A part of the sweep begins with the whole files; behind them its cases are spread.
    fn next(&self) -> Option<u64> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        let is_late = self.options.time.is_some_and(|most| self.began.elapsed() >= most);
        let is_stopped = self.stop.load(Ordering::Relaxed) || self.options.stop.is_set();
        if at >= self.cases || is_late || is_stopped {
            return None;
        }
        if let Some(only) = self.options.only {
            return Some(only);
        }
        if self.cases == self.total && self.options.time.is_none() {
            return Some(at);
        }
        let whole = count_whole(self.reference);
        let Some(at) = at.checked_sub(whole) else {
            return Some(at);
        };
        let parts = self.total - whole;
        let spread = u128::from(at) * u128::from(stride(parts));
        let place = (spread + u128::from(self.options.seed)) % u128::from(parts);
        Some(whole + u64::try_from(place).expect("it is below the number of parts"))
    }

    /// What became of the store, and whether it was repaired.
    fn case(&self, number: u64) -> Result<(Judgement, bool), Violation> {
        let case = Case::of(self.reference, number);
        let is_mended = number < count_whole(self.reference)
            || number.is_multiple_of(REPAIRED_EVERY)
            || self.options.only.is_some();
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let rotten = case.apply(self.reference);
            let judgement = judge(self.reference, &case, &rotten)?;
            let is_repaired = is_mended && mend(self.reference, &case, &rotten)?;
            Ok::<_, String>((judgement, is_repaired))
        }));
        let wrong = match judged {
            Ok(Ok(judged)) => return Ok(judged),
            Ok(Err(wrong)) => wrong,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
                format!("a panic: {text}")
            }
        };
        let text = format!("{}: {wrong}", case.describe(self.reference));
        Err(Violation { case: number, text })
    }
}

/// A step that shares no factor with the total, and visits all of it in an order in which neighbours are far
/// apart.
fn stride(total: u64) -> u64 {
    let mut stride = (total as f64 * 0.618_033_988) as u64 | 1;
    while gcd(stride, total) != 1 {
        stride += 2;
    }
    stride
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The most memory that the process has taken so far, where the system tells.
fn memory_peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
