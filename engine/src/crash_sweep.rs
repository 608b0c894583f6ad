//! For recovery code of your own: cuts the power at every disk operation of a program, lets the disk fail there in other
//! ways, opens what is left, and holds it against what the program had answered.
//!
//! The program does its disk operations through [`Disk`], here on a [`SimDisk`]. The rule that is
//! checked is the one of a log: what is recovered is what the first so many steps have made, no fewer than
//! were answered and no more than were begun; it is there after another power cut, since it was shown; and a disk that
//! works again is opened.
//!
//! A list that keeps every number it was given, one file each:
//!
//! ```
//! use std::path::{Path, PathBuf};
//! use std::sync::Arc;
//! use forebay_engine::crash_sweep::{CrashSweep, Recovers};
//! use forebay_engine::disk::{Disk, DiskError};
//!
//! struct Numbers {
//!     disk: Arc<dyn Disk>,
//! }
//!
//! fn dir() -> &'static Path {
//!     Path::new("numbers")
//! }
//!
//! impl Recovers for Numbers {
//!     type Contents = Vec<String>;
//!     type Error = DiskError;
//!
//!     fn open(disk: Arc<dyn Disk>) -> Result<Self, DiskError> {
//!         disk.create_dir(dir())?;
//!         for name in disk.list(dir())?.iter().filter(|name| name.ends_with(".tmp")) {
//!             disk.remove(&dir().join(name))?;
//!         }
//!         // What a killed process has named may not be durable yet, and is about to be shown.
//!         disk.sync_dir(dir())?;
//!         Ok(Self { disk })
//!     }
//!
//!     fn step(&mut self, number: usize) -> Result<(), DiskError> {
//!         let (unfinished, path) = (dir().join("next.tmp"), dir().join(format!("{number:03}")));
//!         let file = self.disk.create(&unfinished)?;
//!         file.write_all_at(0, format!("{number}").as_bytes())?;
//!         file.sync()?;
//!         self.disk.rename(&unfinished, &path)?;
//!         // Without this line the sweep fails: a name that is not synced may be lost.
//!         self.disk.sync_dir(dir())
//!     }
//!
//!     fn contents(&self) -> Result<Vec<String>, DiskError> {
//!         self.disk.list(dir())
//!     }
//!
//!     fn expected(steps: usize) -> Vec<String> {
//!         (0..steps).map(|number| format!("{number:03}")).collect()
//!     }
//! }
//!
//! let swept = CrashSweep::of_steps(5).run::<Numbers>().expect("nothing is lost");
//! assert!(swept.crashes > 100);
//! ```
//!
//! A violation says which fault struck at which operation and what then became of the disk, so that it can be done
//! again; operations are counted from 0, as [`SimDisk::operations`] does.

use std::collections::HashSet;
use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use crate::disk::{Disk, Fault, SimDisk};

/// The seed of every simulated disk of a sweep.
const SEED: u64 = 1;

/// A program whose recovery is to be tested. Its runs must be the same each time, to the last disk operation.
pub trait Recovers: Sized {
    /// What it holds.
    type Contents: PartialEq + Debug;
    /// Why something did not happen.
    type Error: Display;

    /// Opens what earlier runs have left, or begins anew where nothing is.
    fn open(disk: Arc<dyn Disk>) -> Result<Self, Self::Error>;

    /// Does the step of this number, counted from 0. `Ok` is an answer: it must never be lost from then on. After an
    /// error nothing more is asked of it.
    fn step(&mut self, number: usize) -> Result<(), Self::Error>;

    /// All that it holds now.
    fn contents(&self) -> Result<Self::Contents, Self::Error>;

    /// What it is to hold after so many steps.
    fn expected(steps: usize) -> Self::Contents;
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct CrashSweep {
    /// So many steps.
    pub steps: usize,
    /// The faults, each at every operation that it can strike.
    pub faults: Vec<Fault>,
    /// Of the ways in which a power cut may end at most so many are tried, after each fault.
    pub ways_max: u64,
    /// The same after a crash in the recovery; 0: recoveries do not crash.
    pub recovery_ways_max: u64,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runs, each with another fault or another moment of it.
    pub runs: u64,
    /// Crashes after which the program was opened and compared.
    pub crashes: u64,
    /// States that they have left, which differ in a name or a byte.
    pub states: u64,
}

/// What must not happen, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What struck.
    pub fault: Fault,
    /// At this operation of the run.
    pub operation: u64,
    /// What became of the disk then.
    pub end: End,
    /// The recovery was cut short at this of its operations, and the disk ended so.
    pub recovery: Option<(u64, End)>,
    /// Steps that were answered before.
    pub answered: usize,
    /// What is wrong.
    pub wrong: String,
}

/// What becomes of the disk when a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process dies, and the machine goes on.
    Kill,
    /// The power fails, in this one of the ways that [`SimDisk::crash_way`] counts.
    Way(u64),
    /// The power fails, and this seed decides: see [`SimDisk::crash`].
    Drawn(u64),
}

impl CrashSweep {
    /// A sweep with every kind of fault.
    pub fn of_steps(steps: usize) -> Self {
        use Fault::{Crash, Full, Io, ReadIo, SyncDropsPages};
        let faults = vec![Crash, Io, ReadIo, Full, SyncDropsPages];
        Self { steps, faults, ways_max: 64, recovery_ways_max: 4 }
    }

    /// Does it, up to the first violation.
    pub fn run<P: Recovers>(&self) -> Result<Swept, Violation> {
        let whole = SimDisk::new(SEED);
        whole.seed_salts(SEED);
        whole.record_operations();
        self.live::<P>(&whole);
        let mut sweep = Sweeping { settings: self, swept: Swept::default(), seen: HashSet::new() };
        for fault in &self.faults {
            for operation in whole.strikes(*fault) {
                sweep.case::<P>(*fault, operation)?;
            }
        }
        Ok(Swept { states: sweep.seen.len() as u64, ..sweep.swept })
    }

    /// Opens and does all steps, up to the first that fails: how many were answered, and begun.
    fn live<P: Recovers>(&self, disk: &SimDisk) -> (usize, usize) {
        let Ok(mut program) = P::open(Arc::new(disk.clone())) else { return (0, 0) };
        match (0..self.steps).find(|number| program.step(*number).is_err()) {
            Some(failed) => (failed, failed + 1),
            None => (self.steps, self.steps),
        }
    }
}

struct Sweeping<'s> {
    settings: &'s CrashSweep,
    swept: Swept,
    seen: HashSet<u128>,
}

impl Sweeping<'_> {
    /// One fault at one operation, and all ends that it may have.
    fn case<P: Recovers>(&mut self, fault: Fault, operation: u64) -> Result<(), Violation> {
        let disk = SimDisk::new(SEED);
        disk.seed_salts(SEED);
        disk.fail_at(operation, fault);
        let steps = self.settings.live::<P>(&disk);
        disk.clear_faults();
        self.swept.runs += 1;
        for end in ends(&disk, self.settings.ways_max) {
            let violation = |recovery, wrong| {
                let answered = steps.0;
                Violation { fault, operation, end, recovery, answered, wrong }
            };
            let left = ended(&disk, end);
            let opening = self.check::<P>(&left, steps).map_err(|wrong| violation(None, wrong))?;
            if self.settings.recovery_ways_max == 0 {
                continue;
            }
            for operation in opening.strikes(Fault::Crash) {
                let disk = left.fork();
                disk.fail_at(disk.operations() + operation, Fault::Crash);
                // It cannot succeed, and has nothing to answer.
                drop(P::open(Arc::new(disk.clone())));
                disk.clear_faults();
                for end in ends(&disk, self.settings.recovery_ways_max) {
                    let checked = self.check::<P>(&ended(&disk, end), steps);
                    checked.map_err(|wrong| violation(Some((operation, end)), wrong))?;
                }
            }
        }
        Ok(())
    }

    /// Opens a copy of what a crash has left, and compares; the copy knows what the opening did.
    fn check<P: Recovers>(
        &mut self,
        left: &SimDisk,
        (answered, begun): (usize, usize),
    ) -> Result<SimDisk, String> {
        self.swept.crashes += 1;
        self.seen.insert(left.fingerprint());
        let disk = left.fork();
        disk.record_operations();
        let found = open_and_read::<P>(&disk)?;
        if !(answered..=begun).any(|steps| P::expected(steps) == found) {
            let least = P::expected(answered);
            let more = if begun > answered { ", or one more" } else { "" };
            return Err(format!("it holds {found:?}, expected {least:?}{more}"));
        }
        let later = disk.fork();
        later.crash_way(0);
        let kept = open_and_read::<P>(&later)?;
        match kept == found {
            true => Ok(disk),
            false => Err(format!("it showed {found:?}, and holds {kept:?} after a power cut")),
        }
    }
}

fn open_and_read<P: Recovers>(disk: &SimDisk) -> Result<P::Contents, String> {
    let program = P::open(Arc::new(disk.clone()));
    let program = program.map_err(|error| format!("it does not open: {error}"))?;
    program.contents().map_err(|error| format!("it cannot be read: {error}"))
}

/// The ends that are tried: all that there are, or so many of them.
fn ends(disk: &SimDisk, ways_max: u64) -> impl Iterator<Item = End> {
    let ways = disk.ways();
    let power_cuts = move |way| if ways <= ways_max { End::Way(way) } else { End::Drawn(way) };
    [End::Kill].into_iter().chain((0..ways.min(ways_max)).map(power_cuts))
}

/// A copy of the disk, after its end.
fn ended(disk: &SimDisk, end: End) -> SimDisk {
    let left = disk.fork();
    match end {
        End::Kill => left.kill(),
        End::Way(way) => left.crash_way(way),
        End::Drawn(seed) => left.crash(seed),
    }
    left
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, operation, end, recovery, answered, wrong } = self;
        write!(f, "{fault:?} at operation {operation}, {answered} steps answered, then {end}")?;
        if let Some((operation, end)) = recovery {
            write!(f, ", the recovery cut short at its operation {operation}, then {end}")?;
        }
        write!(f, ": {wrong}")
    }
}

impl std::error::Error for Violation {}

impl Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Kill => write!(f, "a kill"),
            End::Way(way) => write!(f, "a power cut of way {way}"),
            End::Drawn(seed) => write!(f, "a power cut of seed {seed}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::{Access, DiskError, DiskFile};

    const NONE: u8 = 0;
    const NO_SYNC: u8 = 1;
    const NO_DIR_SYNC: u8 = 2;
    const SYNC_RETRIED: u8 = 3;
    const CACHE_SHOWN: u8 = 4;

    /// A file of bytes, one a step, with a mistake.
    struct Bytes<const MISTAKE: u8> {
        file: Arc<dyn DiskFile>,
    }

    impl<const MISTAKE: u8> Recovers for Bytes<MISTAKE> {
        type Contents = Vec<u8>;
        type Error = DiskError;

        fn open(disk: Arc<dyn Disk>) -> Result<Self, DiskError> {
            let (dir, path) = (Path::new("data"), Path::new("data/bytes"));
            disk.create_dir(dir)?;
            let file = match disk.open(path, Access::Write) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => disk.create(path),
                opened => opened,
            }?;
            if MISTAKE != CACHE_SHOWN {
                file.sync()?;
            }
            if MISTAKE != NO_DIR_SYNC {
                disk.sync_dir(dir)?;
            }
            Ok(Self { file })
        }

        fn step(&mut self, number: usize) -> Result<(), DiskError> {
            self.file.write_all_at(number as u64, &[number as u8 + 1])?;
            if MISTAKE == NO_SYNC {
                return Ok(());
            }
            match self.file.sync() {
                Err(_) if MISTAKE == SYNC_RETRIED => self.file.sync(),
                synced => synced,
            }
        }

        fn contents(&self) -> Result<Vec<u8>, DiskError> {
            let mut bytes = vec![0; 100];
            // After a sync that failed the page cache shows what is not there.
            let read = match MISTAKE {
                CACHE_SHOWN => self.file.read_at(0, &mut bytes)?,
                _ => self.file.read_durable_at(0, &mut bytes)?,
            };
            let end = bytes[..read].iter().position(|byte| *byte == 0).unwrap_or(read);
            bytes.truncate(end);
            Ok(bytes)
        }

        fn expected(steps: usize) -> Vec<u8> {
            (1..=steps as u8).collect()
        }
    }

    fn sweep<P: Recovers>() -> Result<Swept, Violation> {
        CrashSweep::of_steps(6).run::<P>()
    }

    #[test]
    fn a_program_that_keeps_its_word_is_found_to() {
        let swept = sweep::<Bytes<NONE>>().unwrap_or_else(|violation| panic!("{violation}"));
        assert!(swept.runs > 30 && swept.crashes > 4 * swept.runs && swept.states > 6, "{swept:?}");
    }

    #[test]
    fn one_that_does_not_is_found_out_and_the_violation_says_where() {
        let lost = sweep::<Bytes<NO_SYNC>>().unwrap_err();
        assert_eq!(lost.fault, Fault::Crash);
        assert!(lost.wrong.contains("expected"), "{lost}");
        let lost = sweep::<Bytes<NO_DIR_SYNC>>().unwrap_err();
        assert!(lost.wrong.contains("holds []"), "{lost}");
        let lost = sweep::<Bytes<SYNC_RETRIED>>().unwrap_err();
        assert_eq!(lost.fault, Fault::SyncDropsPages, "{lost}");
    }

    /// A killed process may have written more than it had synced: who shows that has to sync it first.
    #[test]
    fn what_is_shown_and_then_lost_is_found_out() {
        let lost = sweep::<Bytes<CACHE_SHOWN>>().unwrap_err();
        assert!(lost.wrong.contains("it showed"), "{lost}");
    }
}
