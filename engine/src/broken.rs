//! Deliberate mistakes, of which one at a time can be switched on: the simulator must find each of them
//! (`TESTING.md`, "Mutation checks"). Without the feature `broken` there is nothing here but an answer that
//! is always no, and the compiler leaves out what depends on it.

#[cfg(feature = "broken")]
use std::sync::Mutex;
#[cfg(feature = "broken")]
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "broken")]
use crate::ids::{QueueId, Seq};

/// Declares the mistakes: the place in the code, the class of mistake, and what is done wrong.
macro_rules! mistakes {
    ($($name:ident $class:literal $what:literal;)*) => {
        /// A mistake, named by what is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mistake {
            $(#[doc = $what] $name,)*
        }

        #[cfg(feature = "broken")]
        impl Mistake {
            /// All of them.
            pub const ALL: &[Mistake] = &[$(Mistake::$name),*];

            /// The class of mistake: D durability, F format and recovery, X indexes, K compaction, Q queue
            /// semantics, P files.
            pub fn class(self) -> &'static str {
                match self { $(Mistake::$name => $class),* }
            }

            /// What is done wrong.
            pub fn what(self) -> &'static str {
                match self { $(Mistake::$name => $what),* }
            }
        }
    };
}

mistakes! {
    EntryNotSynced "D1" "an entry is answered without its fdatasync";
    AnsweredBeforeWritten "D1" "a change is answered before it is written";
    SeenBeforeDurable "D1" "a message is received before it is durable";
    FailedSyncRetried "D2" "a failed fdatasync is tried again";
    PageCacheBelieved "D2" "recovery reads the page cache, not the device";
    ActiveNotSyncedAtOpening "D3" "what a killed process wrote is served without a sync";
    SegmentNameNotSynced "D4" "a new segment's directory is not synced";
    ManifestNameNotSynced "D4" "the directory of a replaced manifest is not synced";
    SegmentHeaderNotSynced "D5" "at a roll the new segment is not synced";
    ManifestNotSynced "D5" "the manifest gets its name before it is synced";
    CutBeforeListed "D6" "a sealed segment is cut before the manifest says where it ends";
    TornTailRefused "D7" "a torn entry whose header is whole is taken for damage";
    DamageTakenForTornTail "F1" "damage in the newest segment is cut as a torn tail";
    DamageSkipped "F2" "recovery goes on behind damage without a word";
    HeaderUnchecked "F3" "an entry's header is believed before its checksum";
    BodyUnchecked "F4" "an entry's records are believed without a checksum";
    MessageUnchecked "F4" "a message is delivered without a look at its checksums";
    SaltReused "F6" "all segments have one salt";
    RecoveredNotSealed "F7" "the manifest keeps a recovered segment as one that is appended to";
    EpochNotCounted "F9" "an opening does not count up the epoch, so lease numbers come twice";
    MissingSegmentSkipped "F11" "a listed segment that is missing is passed over";
    IndexHeaderUnchecked "X4" "an index is believed to be of its segment";
    IndexBlockUnchecked "X4" "a block of an index is believed without a checksum";
    AckForgotten "K1" "the compactor leaves out an ack whose message an older segment has";
    MovesPassedOver "K1" "the compactor passes over moves of messages that are gone";
    RemovedBeforeListed "K2" "compacted segments are removed before the manifest lists the new one";
    CompactedNotSynced "K2" "a compacted segment is listed before it is synced";
    NumberForgotten "K2" "the compactor forgets the numbers of messages that are gone";
    SnapshotNotSynced "K2" "a snapshot gets its name before it is synced";
    CutUnderReaders "K3" "a compacted segment is cut while somebody reads it";
    CopiesForgotten "K4" "the compactor forgets the window of copies";
    LeaseForgotten "K4" "the compactor leaves out leases";
    ReplayedTwice "F10" "replay does again what a snapshot has";
    LeasesLostAtRestart "Q1" "a snapshot's leases have ended when it is read";
    WallClockBelieved "Q2" "log time goes back with the wall clock";
    WindowLostAtRestart "Q3" "the window of copies is lost at a restart";
    BatchesLostAtRestart "Q4" "a producer's batches are lost at a restart";
    StaleReceiptTaken "Q5" "a receipt is good when a later lease was given";
    CountLost "Q6" "a message's receive count starts again at each lease";
    MovedInTwo "Q7" "a dead letter is sent in one entry and acked in a later one";
    GroupLockLost "Q8" "a FIFO group is unlocked by a restart";
    DelayLost "Q9" "a delay ends at a restart";
    PurgeHalfDone "Q10" "a purge leaves what is delayed";
    LeftoversKept "P7" "unfinished files stay at an opening";
}

/// The one that is on, counted from 1.
#[cfg(feature = "broken")]
static ON: AtomicUsize = AtomicUsize::new(0);

/// Switches a mistake on, for the whole process, or all of them off.
#[cfg(feature = "broken")]
pub fn switch(mistake: Option<Mistake>) {
    ON.store(mistake.map_or(0, |mistake| mistake as usize + 1), Ordering::SeqCst);
}

/// Whether this mistake is made.
#[cfg(feature = "broken")]
pub(crate) fn makes(mistake: Mistake) -> bool {
    ON.load(Ordering::Relaxed) == mistake as usize + 1
}

/// Whether this mistake is made: never.
#[cfg(not(feature = "broken"))]
#[inline(always)]
pub(crate) const fn makes(_: Mistake) -> bool {
    false
}

/// Dead letters that were sent, and are to be acked later.
#[cfg(feature = "broken")]
static OWED: Mutex<Vec<(QueueId, Seq)>> = Mutex::new(Vec::new());

/// A dead letter was sent to its new queue, and stays in the old one for now.
#[cfg(feature = "broken")]
pub(crate) fn owe(queue: QueueId, seq: Seq) {
    OWED.lock().expect("nobody panics with it").push((queue, seq));
}

/// The dead letters that are to be acked.
#[cfg(feature = "broken")]
pub(crate) fn take_owed() -> Vec<(QueueId, Seq)> {
    std::mem::take(&mut OWED.lock().expect("nobody panics with it"))
}
