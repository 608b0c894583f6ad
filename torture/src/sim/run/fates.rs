//! What one crash may leave, tried beside each other.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use forebay_engine::disk::Random;

use super::Run;
use super::recovery::Moment;

/// One way in which a crash may end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) struct Fate {
    /// What becomes of what is unsynced; `None`: the process dies alone.
    pub(in crate::sim) power: Option<u64>,
    /// After how many operations the recovery crashes too, and the one from that.
    pub(in crate::sim) again: Vec<u64>,
}

/// The disk images that crashes have left so far, by their hashes. Shared between threads.
#[derive(Debug, Clone, Default)]
pub(in crate::sim) struct CrashStates {
    all: Arc<Mutex<HashSet<u64>>>,
    /// Those that were opened and compared, each with the script and how far it had come.
    judged: Arc<Mutex<HashSet<u64>>>,
}

impl CrashStates {
    /// How many there are, all different.
    pub(in crate::sim) fn count(&self) -> u64 {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn insert(&self, fingerprint: u128) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint as u64);
    }

    /// Whether a state has not been judged yet at this point of this script, where what may be recovered
    /// is the same, whatever fault has struck.
    fn is_due(&self, script: u64, changes: u64, fingerprint: u128) -> bool {
        let key = Random::new(script ^ changes << 40).draw() ^ fingerprint as u64;
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).insert(key)
    }
}

/// The fates of one crash.
#[derive(Debug)]
pub(in crate::sim) struct Fates {
    /// The script's number.
    pub(in crate::sim) script: u64,
    /// What they are drawn from.
    pub(in crate::sim) seed: u64,
    /// The one that is tried: where a check fails, it tells which one was.
    pub(in crate::sim) tried: Rc<Cell<Option<u64>>>,
    pub(in crate::sim) states: CrashStates,
}

/// So many fates are tried at least, ...
const FATES_MIN: u64 = 8;

/// ... so many at most, ...
const FATES_MAX: u64 = 64;

/// ... as long as no more than so many have left what others left.
const IN_VAIN_MAX: u64 = 8;

/// How far into a recovery the next crash strikes at the latest: most recoveries are shorter.
const RECOVERY_OPERATIONS: usize = 90;

impl Fate {
    /// One of the fates that are drawn from a seed.
    pub(in crate::sim) fn draw(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed ^ number << 48);
        let power = (number != 1).then(|| random.draw());
        let depth = [0, 0, 0, 0, 0, 0, 1, 2][(number % 8) as usize];
        let again = (0..depth).map(|_| random.below(RECOVERY_OPERATIONS) as u64).collect();
        Self { power, again }
    }
}

impl Run {
    /// The fates are tried on copies, but for the first, which is the run's own.
    pub(super) fn try_fates(&mut self, attempt: u64) {
        let Some(Fates { script, seed, tried, states }) = self.fates.take() else { return };
        let (mut seen, mut in_vain, mut is_any_due) = (BTreeSet::new(), 0, false);
        for number in 1..FATES_MAX {
            let fate = Fate::draw(seed, number);
            tried.set(Some(number));
            let mut copy = self.fork();
            copy.power = fate.power;
            copy.crashes_in_recovery = fate.again.iter().copied().collect();
            copy.states_seen = Some(states.clone());
            let state = copy.fall_once(attempt);
            let is_new = seen.insert(state);
            in_vain += u64::from(!is_new);
            // Another fate that leaves the same bytes is the same state, and so is another fault that does;
            // unless the recovery from it is to crash.
            let is_due = is_new && states.is_due(script, self.changes, state);
            is_any_due |= is_due;
            if is_due || is_any_due && number < FATES_MIN && !fate.again.is_empty() {
                copy.check_files(Moment::Dead);
                let opened = copy.open_store();
                copy.recover_from(opened);
                self.tally.add(&copy.tally);
            }
            if number >= FATES_MIN && in_vain > IN_VAIN_MAX {
                break;
            }
        }
        tried.set(None);
        self.states_seen = Some(states);
    }

    /// Counts what a crash has left.
    pub(super) fn count_state(&self) -> u128 {
        let fingerprint = self.disk.fingerprint();
        if let Some(states) = &self.states_seen {
            states.insert(fingerprint);
        }
        fingerprint
    }
}
