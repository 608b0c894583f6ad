//! Random runs, each from a seed, on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::check::Tally;
use super::generate::script;
use super::script::Script;
use super::violation::{Violation, attempt};
use crate::stop::Stop;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// A campaign of random runs.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The first run's seed; each later run has the next one.
    pub seed: u64,
    /// So many runs; `None`: until the time is over.
    pub seeds: Option<u64>,
    /// When to stop.
    pub limit: Option<Duration>,
    /// So many threads.
    pub jobs: usize,
    /// Ends it.
    pub stop: Stop,
}

/// A check that failed, and what showed it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Where it comes from, in words.
    pub origin: String,
    /// The seed that it comes from, if it is a random run.
    pub seed: Option<u64>,
    /// The run.
    pub script: Script,
    /// The check that failed.
    pub violation: Box<Violation>,
}

/// What a campaign came to.
#[derive(Debug)]
pub struct Found {
    /// What was done and checked.
    pub tally: Tally,
    /// The first check that failed.
    pub failure: Option<Failure>,
}

/// How far a campaign has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Runs or cases that are done.
    pub done: u64,
    /// How many there are; `None` if time ends them.
    pub total: Option<u64>,
    /// Crash states that were counted.
    pub states: u64,
}

/// Does random runs, until the first check fails.
pub fn campaign(settings: &Campaign, progress: impl FnMut(&Progress)) -> Found {
    let until = settings.limit.map(|limit| Instant::now() + limit);
    let run = |number: u64| {
        let is_over = settings.seeds.is_some_and(|seeds| number >= seeds)
            || until.is_some_and(|until| Instant::now() > until)
            || settings.stop.is_set();
        if is_over {
            return None;
        }
        let seed = settings.seed.wrapping_add(number);
        let script = script(seed);
        Some(attempt(|| script.run()).map_err(|violation| Failure {
            origin: format!("seed {seed}"),
            seed: Some(seed),
            script,
            violation,
        }))
    };
    let Spread { tally, failure, .. } = spread(settings.jobs, settings.seeds, run, || 0, progress);
    Found { tally, failure }
}

/// What several threads came to.
pub(super) struct Spread {
    pub(super) tally: Tally,
    pub(super) done: u64,
    pub(super) failure: Option<Failure>,
}

/// Does numbered pieces of work on so many threads until there are no more, or one of them fails.
pub(super) fn spread(
    jobs: usize,
    total: Option<u64>,
    work: impl Fn(u64) -> Option<Result<Tally, Failure>> + Sync,
    states: impl Fn() -> u64,
    mut progress: impl FnMut(&Progress),
) -> Spread {
    let (next, done, is_ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let failure: Mutex<Option<Failure>> = Mutex::new(None);
    let (tell, ended) = channel();
    let worker = |tell: Sender<Tally>| {
        let mut tally = Tally::default();
        while !is_ended.load(Ordering::Relaxed) {
            match work(next.fetch_add(1, Ordering::Relaxed)) {
                None => break,
                Some(Ok(one)) => {
                    tally.add(&one);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Some(Err(found)) => {
                    is_ended.store(true, Ordering::Relaxed);
                    let mut failure = failure.lock().expect("nobody panics with it");
                    failure.get_or_insert(found);
                }
            }
        }
        tell.send(tally).expect("the campaign waits for it");
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let tell = tell.clone();
            let worker = &worker;
            scope.spawn(move || worker(tell));
        }
        drop(tell);
        loop {
            match ended.recv_timeout(PROGRESS_EVERY) {
                Ok(one) => tally.add(&one),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let done = done.load(Ordering::Relaxed);
            progress(&Progress { done, total, states: states() });
        }
    });
    let failure = failure.into_inner().expect("nobody panics with it");
    Spread { tally, done: done.into_inner(), failure }
}
