//! What one crash may leave, tried beside each other: all of it, where that is not too much.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_engine::OpenError;
use forebay_engine::disk::{Fault, Random};

use super::Run;
use super::recovery::Moment;
use crate::sim::check::{Check, Tally};
use crate::sim::op::{Again, Kept, Op};

/// How deep: the crash of a run, that of its recovery, and that of the recovery from that.
pub(in crate::sim) const DEPTHS: usize = 3;

/// One way in which a crash may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) struct Fate {
    /// What becomes of what is unsynced; `None`: the process dies alone.
    pub(in crate::sim) power: Option<Kept>,
    /// How the recovery crashes too, and the one from that.
    pub(in crate::sim) again: Vec<Again>,
}

/// How much is tried of one crash.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Effort {
    /// So many ends at most, at each depth. Where there are more they are drawn.
    ends: [u64; DEPTHS],
    /// At so many operations of its recovery each state crashes again.
    recoveries: [usize; DEPTHS - 1],
}

impl Effort {
    /// A little of everything.
    pub(in crate::sim) const FIRST: Effort = Effort { ends: [12, 3, 2], recoveries: [2, 1] };
    /// As much as is worth it.
    pub(in crate::sim) const WHOLE: Effort = Effort { ends: [128, 12, 4], recoveries: [5, 1] };
}

/// One state of so many is drained to its end, and closed.
const DRAINED: u64 = 24;

/// The disk images that crashes have left so far, by their hashes. Shared between threads.
#[derive(Debug, Clone, Default)]
pub(in crate::sim) struct CrashStates(Arc<Mutex<Judged>>);

#[derive(Debug, Default)]
struct Judged {
    /// All different.
    states: HashSet<u64>,
    /// How many of them each depth was the first to leave.
    by_depth: [u64; DEPTHS],
    /// Each with the script, how far it had come, and whether only the process died.
    cases: HashSet<u64>,
}

impl CrashStates {
    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, all different.
    pub(in crate::sim) fn count(&self) -> u64 {
        self.judged().states.len() as u64
    }

    /// How many of them each depth was the first to leave.
    pub(in crate::sim) fn by_depth(&self) -> [u64; DEPTHS] {
        self.judged().by_depth
    }

    /// Whether a state has not been judged yet at this point of this script, where what may be recovered
    /// is the same, whatever fault has struck. If so, it is now, and counts. `whole` tells states apart
    /// that are not the same to a later power cut.
    fn is_due(&self, case: u64, depth: usize, whole: u64, fingerprint: u64) -> bool {
        let mut judged = self.judged();
        let is_due = judged.cases.insert(case ^ whole);
        if is_due && judged.states.insert(fingerprint) {
            judged.by_depth[depth] += 1;
        }
        is_due
    }
}

/// The fates of one crash.
#[derive(Debug)]
pub(in crate::sim) struct Fates {
    /// The script's number.
    pub(in crate::sim) script: u64,
    pub(in crate::sim) effort: Effort,
    /// The one that is tried: where a check fails, it tells which one was.
    pub(in crate::sim) tried: Rc<RefCell<Option<Fate>>>,
    pub(in crate::sim) states: CrashStates,
}

impl Fate {
    /// Of a run that goes on.
    pub(in crate::sim) fn drawn(seed: u64) -> Self {
        Self { power: Some(Kept::Drawn(seed)), again: Vec::new() }
    }

    /// How deep it is.
    fn depth(&self) -> usize {
        self.again.len()
    }

    /// With another end of the last process.
    fn ending(&self, power: Option<Kept>) -> Self {
        let mut fate = self.clone();
        match fate.again.last_mut() {
            Some(last) => last.kept = power,
            None => fate.power = power,
        }
        fate
    }

    /// With one more crash, in the recovery.
    fn and_again(&self, after: u64) -> Self {
        let mut fate = self.clone();
        fate.again.push(Again { after, kept: None });
        fate
    }
}

impl Run {
    /// The fates are tried on copies, whatever becomes of the run itself.
    pub(super) fn try_fates(&mut self, attempt: u64) {
        let Some(fates) = self.fates.take() else { return };
        // What was not done because a fault was planned may have been where it should have struck.
        if self.disk.has_faults() {
            return;
        }
        let mut tally = Tally::default();
        let fate = Fate { power: None, again: Vec::new() };
        self.try_ends(&fates, attempt, &fate, &mut tally);
        fates.tried.replace(None);
        self.tally.add(&tally);
    }

    /// The process of this run has died; its ends are tried, behind what the fate says up to here.
    fn try_ends(&self, fates: &Fates, attempt: u64, fate: &Fate, tally: &mut Tally) {
        let depth = fate.depth();
        for power in self.ends(fates.effort.ends[depth], depth) {
            let fate = fate.ending(power);
            fates.tried.replace(Some(fate.clone()));
            let mut copy = self.fork();
            copy.faulty = false;
            copy.end = power.into();
            copy.fall_once(attempt);
            let state = copy.disk.fingerprint() as u64;
            // A killed process leaves what a power cut may still lose; of a power cut all is durable.
            let whole = match power {
                None => copy.disk.fingerprint_unsynced() as u64,
                Some(_) => state,
            };
            let case = fates.script ^ self.changes << 40 ^ u64::from(power.is_none()) << 32;
            if !fates.states.is_due(Random::new(case).draw(), depth, whole, state) {
                continue;
            }
            copy.check_files(Moment::Dead);
            let dead = copy.fork();
            let changing = copy.judge(power.is_none(), whole, tally);
            let Some(recoveries) = fates.effort.recoveries.get(depth) else { continue };
            let mut random = Random::new(whole);
            for _ in 0..*recoveries.min(&changing.len()) {
                let after = changing[random.below(changing.len())];
                let mut copy = dead.fork();
                copy.crash_in_recovery(after, None);
                copy.crash_opening();
                copy.try_ends(fates, attempt + 1, &fate.and_again(after), tally);
                tally.add(&copy.tally);
            }
        }
    }

    /// How the process may end: it dies alone, or the power fails, in all ways if they are no more than so many.
    fn ends(&self, count: u64, depth: usize) -> Vec<Option<Kept>> {
        let ways = self.disk.ways();
        let mut random = Random::new(self.disk.operations() << 8 | depth as u64);
        let kept = (0..ways.min(count)).map(|number| match ways <= count {
            true => Kept::Counted { way: number },
            false if number == 0 => Kept::Counted { way: 0 },
            // The ways alone would nearly always keep about the half.
            false if number % 2 == 0 => Kept::Counted { way: random.draw() % ways },
            false => Kept::Drawn(random.draw()),
        });
        std::iter::once(None).chain(kept.map(Some)).collect()
    }

    /// Opens what a crash has left, and compares all. Returns the operations of the opening that change
    /// something.
    fn judge(mut self, is_killed: bool, state: u64, tally: &mut Tally) -> Vec<u64> {
        self.tally.runs = 1;
        self.disk.record_operations();
        let opened = self.open_store();
        let changing = self.disk.strikes(Fault::Crash);
        self.recover_from(opened);
        // What was shown must be there to stay, also what a killed process had left in the page cache.
        if is_killed {
            let power = Some(Kept::Counted { way: 0 });
            self.step(&Op::Crash { power, again: Vec::new() });
        }
        match state.is_multiple_of(DRAINED) {
            true => tally.add(&self.finish()),
            false => tally.add(&self.tally),
        }
        changing
    }

    /// Opens the store, through the crash that is planned for it.
    fn crash_opening(&mut self) {
        let opened = self.open_store().map(drop);
        let struck = self.disk.take_struck();
        self.tally.struck(&struck);
        self.tally.recoveries_interrupted += 1;
        let is_crash = matches!(opened, Err(OpenError::Disk(_))) && struck == [Fault::Crash];
        self.tally.holds(Check::Opens, is_crash, || format!("{opened:?}, struck by {struck:?}"));
        self.end_of_recovery = None;
    }
}
