//! The checks by name, and how often each was made.

use std::collections::BTreeMap;
use std::fmt;

use forebay_engine::disk::Fault;
use forebay_engine::unit::count_of;
use serde::Serialize;

/// What is checked. C1 to C9 are what any queue must keep; the others are a store's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Every answered send is there until it is deleted, moved or expired, and comes in the end.
    NoLoss,
    /// What is delivered was sent, byte by byte.
    NoPhantom,
    /// What was deleted is never delivered again.
    DeleteIsFinal,
    /// While a lease runs nobody else gets the message.
    LeaseIsExclusive,
    /// Of a group nothing comes before what was sent before it.
    GroupOrder,
    /// A copy is stored once.
    Deduplication,
    /// Nothing is early, nothing outlives its retention, and receives are counted.
    Timing,
    /// Counts are what a scan finds.
    Conservation,
    /// What is recovered is what a prefix of the operations left, and holds all that was answered.
    Prefix,
    /// An answer is the one that the model gives.
    Answer,
    /// A store opens unless the disk fails just then.
    Opens,
    /// `verify` finds nothing that nobody did.
    Undamaged,
    /// No file stays that is nobody's.
    NoLeakedFile,
    /// Of a damaged file nothing becomes but: made anew, a torn tail, or a report; what is not concerned
    /// is delivered.
    DamageIsReported,
    /// The engine does not panic.
    NoPanic,
}

impl Check {
    /// All of them.
    pub const ALL: [Check; 15] = [
        Check::NoLoss,
        Check::NoPhantom,
        Check::DeleteIsFinal,
        Check::LeaseIsExclusive,
        Check::GroupOrder,
        Check::Deduplication,
        Check::Timing,
        Check::Conservation,
        Check::Prefix,
        Check::Answer,
        Check::Opens,
        Check::Undamaged,
        Check::NoLeakedFile,
        Check::DamageIsReported,
        Check::NoPanic,
    ];

    /// Its name, as failures and summaries say it.
    pub fn name(self) -> &'static str {
        match self {
            Check::NoLoss => "C1 no loss",
            Check::NoPhantom => "C2 no phantom",
            Check::DeleteIsFinal => "C3 a delete is final",
            Check::LeaseIsExclusive => "C4 a lease is exclusive",
            Check::GroupOrder => "C5 order in a group",
            Check::Deduplication => "C6 a copy is stored once",
            Check::Timing => "C7 timing",
            Check::Conservation => "C8 counts are what a scan finds",
            Check::Prefix => "C9 a prefix is recovered",
            Check::Answer => "answers are the model's",
            Check::Opens => "a store opens",
            Check::Undamaged => "verify finds it undamaged",
            Check::NoLeakedFile => "no leaked file",
            Check::DamageIsReported => "damage is reported",
            Check::NoPanic => "no panic",
        }
    }

    /// The check that a panic's text begins with; what begins with none is the engine's own panic.
    pub fn of_panic(text: &str) -> Check {
        let named = Check::ALL.into_iter().find(|check| text.starts_with(check.name()));
        named.unwrap_or(Check::NoPanic)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Panics in the name of a check unless something holds.
#[track_caller]
pub(crate) fn holds(check: Check, holds: bool, otherwise: impl FnOnce() -> String) {
    if !holds {
        panic!("{check}: {}", otherwise());
    }
}

/// What was done, and what was checked.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tally {
    /// Runs; of an exhaustive campaign, crashes.
    pub runs: u64,
    /// Cases of an exhaustive campaign.
    pub cases: u64,
    /// Operations, by kind.
    pub operations: BTreeMap<&'static str, u64>,
    /// Faults that have struck, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Checks made, by name.
    pub checks: BTreeMap<&'static str, u64>,
    /// Power cuts; those of recoveries too.
    pub power_cuts: u64,
    /// Killed processes, those that were recovering too.
    pub kills: u64,
    /// Stores closed in order.
    pub closings: u64,
    /// Stores opened again.
    pub recoveries: u64,
    /// Recoveries that a crash or a fault interrupted.
    pub recoveries_interrupted: u64,
    /// What became of damaged files, by outcome.
    pub damages: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts a check, and panics in its name unless it holds.
    #[track_caller]
    pub(crate) fn holds(
        &mut self,
        check: Check,
        is_held: bool,
        otherwise: impl FnOnce() -> String,
    ) {
        self.count(check, 1);
        holds(check, is_held, otherwise);
    }

    /// Counts checks that were made elsewhere.
    pub(crate) fn count(&mut self, check: Check, times: u64) {
        *self.checks.entry(check.name()).or_default() += times;
    }

    /// Counts faults that have struck.
    pub(crate) fn struck(&mut self, faults: &[Fault]) {
        for fault in faults {
            *self.faults.entry(fault_name(*fault)).or_default() += 1;
        }
    }

    /// Simulated crashes: power cuts and killed processes.
    pub fn crashes(&self) -> u64 {
        self.power_cuts + self.kills
    }

    /// Adds what somebody else has counted.
    pub fn add(&mut self, other: &Tally) {
        let sums = [
            (&mut self.operations, &other.operations),
            (&mut self.faults, &other.faults),
            (&mut self.checks, &other.checks),
            (&mut self.damages, &other.damages),
        ];
        for (sum, counts) in sums {
            counts.iter().for_each(|(name, count)| *sum.entry(name).or_default() += count);
        }
        self.runs += other.runs;
        self.cases += other.cases;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.closings += other.closings;
        self.recoveries += other.recoveries;
        self.recoveries_interrupted += other.recoveries_interrupted;
    }
}

/// A fault as summaries and scripts name it.
pub(crate) fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::Crash => "crash",
        Fault::Io => "io",
        Fault::ReadIo => "read-io",
        Fault::Full => "full",
        Fault::SyncDropsPages => "sync-drops-pages",
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("operations", &self.operations),
            ("faults", &self.faults),
            ("damaged files", &self.damages),
            ("checks", &self.checks),
        ];
        for (title, counts) in lists.into_iter().filter(|(_, counts)| !counts.is_empty()) {
            writeln!(f, "{title}")?;
            for (name, count) in counts {
                writeln!(f, "  {count:>12}  {name}")?;
            }
        }
        write!(
            f,
            "{}, {}: {} and {}; {} closed in order; {}, and {} more that were interrupted",
            count_of(self.runs, "run"),
            count_of(self.crashes(), "crash"),
            count_of(self.power_cuts, "power cut"),
            count_of(self.kills, "kill"),
            count_of(self.closings, "store"),
            count_of(self.recoveries, "recovery"),
            self.recoveries_interrupted
        )
    }
}
