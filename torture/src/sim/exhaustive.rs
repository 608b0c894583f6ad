//! Short scripts, each crashed at every disk operation in it, with every kind of fault, and every state
//! that a crash there may leave.
//!
//! Where the process has ended the run is copied, once for each end that it may have; each copy is opened
//! and compared, and crashes again in copies of its recovery (`run/fates.rs`). Most cases are over then; one
//! of some goes on to the end of its script.
//!
//! All cases are done twice: first with a little effort, so that each fault has soon struck everywhere, then
//! with all of it. What was judged the first time is passed over.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use forebay_engine::disk::{Fault, Random};

use super::check::{Tally, fault_name};
use super::generate::short_script;
use super::op::{Kept, Op};
use super::profile::Profile;
use super::random::{Failure, Progress, spread};
use super::run::{CrashStates, DEPTHS, Effort, Fate, Fates, Run};
use super::script::Script;
use super::scripts::scripts;
use super::violation::attempt;
use crate::stop::Stop;

const FAULTS: [Fault; 5] =
    [Fault::Crash, Fault::SyncDropsPages, Fault::Io, Fault::Full, Fault::ReadIo];

/// One case of so many goes on to the end of its script.
const GOES_ON: u64 = 8;

/// An exhaustive campaign.
#[derive(Debug, Clone, Default)]
pub struct Exhaustive {
    /// When to stop. Without it, when every case was done; with it, other scripts come behind them, drawn at
    /// random, as long as there is time.
    pub limit: Option<Duration>,
    /// So many threads.
    pub jobs: usize,
    /// One case of so many, with little effort. 0: all, with all of it.
    pub sample: u64,
    /// Ends it.
    pub stop: Stop,
}

/// What an exhaustive campaign came to.
#[derive(Debug, Default)]
pub struct Explored {
    /// What was done and checked.
    pub tally: Tally,
    /// Scripts.
    pub scripts: u64,
    /// Cases: a script with a fault at one of its operations, or none.
    pub cases: u64,
    /// How many of them were done, with little effort or all of it.
    pub cases_done: u64,
    /// How many of them were done with all of it.
    pub cases_whole: u64,
    /// Scripts drawn at random.
    pub drawn: u64,
    /// Crash states that differ in a byte of a file, or in a name. Each was opened, and all checked.
    pub states: u64,
    /// How many of them were first left by a crash of a run, of its recovery, and of the recovery from that.
    pub states_by_depth: [u64; DEPTHS],
    /// The first check that failed.
    pub failure: Option<Failure>,
}

/// One script with a fault at one of its disk operations, or with none: then its end is where the process
/// ends.
#[derive(Debug, Clone, Copy)]
struct Case {
    script: usize,
    fault: Option<(Fault, u64)>,
}

/// Explores what crashes leave, until the first check fails.
pub fn explore(settings: &Exhaustive, progress: impl FnMut(&Progress)) -> Explored {
    let scripts = scripts();
    let cases = match cases(&scripts) {
        Ok(cases) => cases,
        Err(failure) => {
            let scripts = scripts.len() as u64;
            return Explored { scripts, failure: Some(failure), ..Explored::default() };
        }
    };
    let states = CrashStates::default();
    let until = settings.limit.map(|limit| Instant::now() + limit);
    // They are scattered: the first ones are a sample.
    let count = (cases.len() as u64).div_ceil(settings.sample.max(1));
    let rounds = if settings.sample == 0 { 2 } else { 1 };
    let is_over = || settings.stop.is_set() || until.is_some_and(|until| Instant::now() > until);
    let work = |number: u64| {
        if is_over() {
            return None;
        }
        match number.checked_sub(rounds * count) {
            None => {
                let Case { script, fault } = cases[(number % count) as usize];
                let (name, ops) = &scripts[script];
                let effort = if number < count { Effort::FIRST } else { Effort::WHOLE };
                let goes_on = number < count && number.is_multiple_of(GOES_ON);
                let script = Tried { name, number: script as u64, ops, effort, goes_on };
                Some(run_case(&script, fault, &states))
            }
            Some(_) if until.is_none() => None,
            Some(drawn) => Some(run_drawn(drawn, is_over, &states)),
        }
    };
    let total = settings.limit.is_none().then_some(rounds * count);
    let spread = spread(settings.jobs, total, work, || states.count(), progress);
    Explored {
        tally: spread.tally,
        scripts: scripts.len() as u64,
        cases: cases.len() as u64,
        cases_done: spread.done.min(count),
        cases_whole: spread.done.saturating_sub(count).min((rounds - 1) * count),
        drawn: spread.done.saturating_sub(rounds * count),
        states: states.count(),
        states_by_depth: states.by_depth(),
        failure: spread.failure,
    }
}

/// All cases, scattered, so that a part of them is a sample of all.
fn cases(scripts: &[(&'static str, Vec<Op>)]) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for (script, (name, ops)) in scripts.iter().enumerate() {
        let faults = faults_of(name, ops, script == 0)?;
        cases.extend(faults.into_iter().map(|fault| Case { script, fault }));
    }
    let mut random = Random::new(1);
    for last in (1..cases.len()).rev() {
        cases.swap(last, random.below(last + 1));
    }
    Ok(cases)
}

/// Each fault at each disk operation of a script at which it strikes, and none. The first opening is the
/// same in all scripts: one of them is enough for it.
fn faults_of(
    name: &str,
    ops: &[Op],
    with_opening: bool,
) -> Result<Vec<Option<(Fault, u64)>>, Failure> {
    let recorded = attempt(|| {
        let mut run = Run::unopened(0, Profile::BUSY);
        run.disk().record_operations();
        run.open();
        let first = if with_opening { 0 } else { run.disk().operations() };
        ops.iter().for_each(|op| run.step(op));
        (run.disk().clone(), first)
    });
    let (disk, first) = recorded.map_err(|violation| {
        let origin = format!("script \"{name}\", without a fault");
        let script = Script { seed: 0, profile: Profile::BUSY, ops: ops.to_vec() };
        Failure { origin, seed: None, script, violation }
    })?;
    let faults = FAULTS.into_iter().flat_map(|fault| {
        let strikes = disk.strikes(fault).into_iter().filter(|at| *at >= first);
        strikes.map(move |at| Some((fault, at)))
    });
    Ok(faults.chain([None]).collect())
}

/// A script drawn at random, with each fault at each of its operations.
fn run_drawn(
    number: u64,
    is_over: impl Fn() -> bool,
    states: &CrashStates,
) -> Result<Tally, Failure> {
    let (name, ops) = (format!("drawn {number}"), short_script(number));
    let mut tally = Tally::default();
    for (at, fault) in (0..).zip(faults_of(&name, &ops, false)?) {
        if is_over() {
            break;
        }
        let goes_on = u64::is_multiple_of(at, GOES_ON);
        let (name, ops, effort) = (&*name, &*ops, Effort::WHOLE);
        let script = Tried { name, number: !number, ops, effort, goes_on };
        tally.add(&run_case(&script, fault, states)?);
    }
    Ok(tally)
}

/// A script, and how it is tried.
struct Tried<'s> {
    name: &'s str,
    number: u64,
    ops: &'s [Op],
    effort: Effort,
    /// Whether the run goes on when its fates were tried.
    goes_on: bool,
}

fn run_case(
    script: &Tried<'_>,
    fault: Option<(Fault, u64)>,
    states: &CrashStates,
) -> Result<Tally, Failure> {
    let Tried { name, number, ops, effort, goes_on } = *script;
    let at = fault.map_or(0, |(_, at)| at);
    // A crash strikes before the operation, or in the middle of a write: what it might have done shows at the
    // next one.
    let seed = (at..).find(|seed| !Random::new(*seed).coin()).expect("every other one is");
    let planned = |fate: &Fate| {
        let Fate { power, again } = fate.clone();
        fault.map(|(fault, after)| Op::Fail { after, fault, power, again })
    };
    let (tried, done) = (Rc::new(RefCell::new(None)), Cell::new(0));
    let own = Fate::drawn(at);
    let result = attempt(|| {
        let mut run = Run::unopened(seed, Profile::BUSY);
        let (tried, states) = (tried.clone(), states.clone());
        run.set_fates(Fates { script: number, effort, tried, states });
        run.open_with(planned(&own).as_slice());
        for op in ops {
            if run.has_tried_fates() && !goes_on {
                return run.tally().clone();
            }
            done.set(done.get() + 1);
            run.step(op);
        }
        done.set(usize::MAX);
        run.end_with(&Op::Crash { power: own.power, again: Vec::new() });
        match goes_on {
            true => run.finish(),
            false => run.tally().clone(),
        }
    });
    result.map(|tally| Tally { cases: 1, ..tally }).map_err(|violation| {
        let tried = tried.take();
        let fate = tried.as_ref().unwrap_or(&own);
        let struck = match fault {
            Some((fault, at)) => format!("{} at disk operation {at}", fault_name(fault)),
            None => "at the end".to_owned(),
        };
        let origin = format!("script \"{name}\", {struck}, {fate:?}");
        // What is behind the fates that were tried is not needed; nor is it what was done there.
        let end = Op::Crash { power: fate.power, again: fate.again.clone() };
        let lost = Op::Crash { power: Some(Kept::Counted { way: 0 }), again: Vec::new() };
        let done = ops.iter().take(done.get()).cloned();
        let is_at_end = tried.is_none() || done.len() == ops.len();
        let end = is_at_end.then_some(end).into_iter().chain([lost]);
        let ops = planned(fate).into_iter().chain(done).chain(end).collect();
        Failure {
            origin,
            seed: None,
            script: Script { seed, profile: Profile::BUSY, ops },
            violation,
        }
    })
}
