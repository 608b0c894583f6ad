//! Short scripts, each crashed at every disk operation in it, with every kind of fault and several fates
//! each.
//!
//! Where the fault has struck the run is copied, once for each fate, and each copy is opened and
//! compared; the run itself goes on with a fate of its own to the end of the script.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use forebay_engine::disk::{Fault, Random};

use super::check::{Tally, fault_name};
use super::generate::short_script;
use super::op::Op;
use super::random::{Failure, Progress, spread};
use super::run::{CrashStates, Fate, Fates, Run};
use super::script::{Profile, Script};
use super::scripts::scripts;
use super::violation::{Violation, attempt};

const FAULTS: [Fault; 5] =
    [Fault::Crash, Fault::SyncDropsPages, Fault::Io, Fault::Full, Fault::ReadIo];

/// An exhaustive campaign.
#[derive(Debug, Clone, Default)]
pub struct Exhaustive {
    /// When to stop. Without it, when every case was done; with it, their order is scattered, and behind them
    /// come other scripts, drawn at random, as long as there is time.
    pub limit: Option<Duration>,
    /// So many threads.
    pub jobs: usize,
    /// Of the cases one of so many, 0 and 1 are all of them.
    pub sample: u64,
}

/// What an exhaustive campaign came to.
#[derive(Debug)]
pub struct Explored {
    /// What was done and checked.
    pub tally: Tally,
    /// Scripts.
    pub scripts: u64,
    /// Cases: a script with a fault at one of its operations.
    pub cases: u64,
    /// How many of them were done, those of random scripts besides.
    pub cases_done: u64,
    /// Scripts drawn at random.
    pub drawn: u64,
    /// Crash states that differ in a byte of a file, or in a name.
    pub states: u64,
    /// The first check that failed.
    pub failure: Option<Failure>,
}

/// One script with a fault at one of its disk operations.
#[derive(Debug, Clone, Copy)]
struct Case {
    script: usize,
    fault: Fault,
    at: u64,
}

/// Explores what crashes leave, until the first check fails.
pub fn explore(settings: &Exhaustive, progress: impl FnMut(&Progress)) -> Explored {
    let scripts = scripts();
    let cases = match cases(&scripts) {
        Ok(cases) => cases,
        Err(failure) => {
            return Explored {
                tally: Tally::default(),
                scripts: scripts.len() as u64,
                cases: 0,
                cases_done: 0,
                drawn: 0,
                states: 0,
                failure: Some(failure),
            };
        }
    };
    let states = CrashStates::default();
    let until = settings.limit.map(|limit| Instant::now() + limit);
    // They are scattered: the first ones are a sample.
    let count = (cases.len() as u64).div_ceil(settings.sample.max(1));
    let is_over = || until.is_some_and(|until| Instant::now() > until);
    let work = |number: u64| {
        if is_over() {
            return None;
        }
        match number.checked_sub(count) {
            None => {
                let Case { script, fault, at } = cases[number as usize];
                let (name, ops) = &scripts[script];
                let script = (*name, script as u64, &**ops);
                Some(run_case(script, fault, at, &states))
            }
            Some(_) if until.is_none() => None,
            Some(drawn) => Some(run_drawn(drawn, is_over, &states)),
        }
    };
    let total = settings.limit.is_none().then_some(count);
    let spread = spread(settings.jobs, total, work, || states.count(), progress);
    Explored {
        cases_done: spread.tally.cases,
        tally: spread.tally,
        scripts: scripts.len() as u64,
        cases: cases.len() as u64,
        drawn: spread.done.saturating_sub(count),
        states: states.count(),
        failure: spread.failure,
    }
}

/// All cases, scattered, so that a part of them is a sample of all.
fn cases(scripts: &[(&'static str, Vec<Op>)]) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for (script, (name, ops)) in scripts.iter().enumerate() {
        let operations = operations_of(ops).map_err(|violation| Failure {
            origin: format!("script \"{name}\", without a fault"),
            seed: None,
            script: Box::new(Script { seed: 0, profile: Profile::BUSY, ops: ops.clone() }),
            violation,
        })?;
        for fault in FAULTS {
            cases.extend((0..operations).map(|at| Case { script, fault, at }));
        }
    }
    let mut random = Random::new(1);
    for last in (1..cases.len()).rev() {
        cases.swap(last, random.below(last + 1));
    }
    Ok(cases)
}

/// How many disk operations a script has.
fn operations_of(ops: &[Op]) -> Result<u64, Violation> {
    attempt(|| {
        let mut run = Run::new(0, Profile::BUSY);
        ops.iter().for_each(|op| run.step(op));
        run.disk().operations()
    })
}

/// A script drawn at random, crashed at each of its operations.
fn run_drawn(
    number: u64,
    is_over: impl Fn() -> bool,
    states: &CrashStates,
) -> Result<Tally, Failure> {
    let (name, ops) = (format!("drawn {number}"), short_script(number));
    let operations = operations_of(&ops).map_err(|violation| {
        let script = Script { seed: 0, profile: Profile::BUSY, ops: ops.clone() };
        Failure {
            origin: format!("script \"{name}\", without a fault"),
            seed: None,
            script: Box::new(script),
            violation,
        }
    })?;
    let mut tally = Tally::default();
    for at in 0..operations {
        for fault in FAULTS {
            if is_over() {
                return Ok(tally);
            }
            tally.add(&run_case((&name, !number, &ops), fault, at, states)?);
        }
    }
    Ok(tally)
}

fn run_case(
    (name, number, ops): (&str, u64, &[Op]),
    fault: Fault,
    at: u64,
    states: &CrashStates,
) -> Result<Tally, Failure> {
    let tried = Rc::new(Cell::new(None));
    let script = |fate: Fate| {
        let Fate { power, again } = fate;
        let end = match power {
            Some(seed) => Op::Crash { seed, again: again.clone() },
            None => Op::Kill,
        };
        let fail = Op::Fail { after: at, fault, power, again };
        let ops = [fail].into_iter().chain(ops.iter().cloned()).chain([end]).collect();
        Script { seed: 0, profile: Profile::BUSY, ops }
    };
    let done = attempt(|| {
        let ops = script(Fate::draw(at, 0)).ops;
        let mut run = Run::unopened(0, Profile::BUSY);
        let (tried, states) = (tried.clone(), states.clone());
        run.set_fates(Fates { script: number, seed: at, tried, states });
        let rest = run.open_with(&ops);
        let (end, rest) = rest.split_last().expect("its last operation was added above");
        rest.iter().for_each(|op| run.step(op));
        run.end_with(end);
        run.finish()
    });
    let done = done.map(|tally| Tally { cases: 1, ..tally });
    done.map_err(|violation| {
        let fate = Fate::draw(at, tried.get().unwrap_or(0));
        let fault = fault_name(fault);
        let origin = format!("script \"{name}\", {fault} at disk operation {at}, {fate:?}");
        Failure { origin, seed: None, script: Box::new(script(fate)), violation }
    })
}
