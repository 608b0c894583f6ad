//! What a repair makes of a store that has rotted, and whether it may.
//!
//! What it says before it does anything is held against what comes of it: every message that was there and
//! does not come was said to be lost, every one that comes although it was deleted was said to be in doubt,
//! if those are to come; and if they are not, none that was deleted comes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_engine::OpenError;
use forebay_engine::disk::SimDisk;
use forebay_engine::ids::{QueueId, Seq};
use forebay_engine::repair::{InDoubt, Losses, Repair, examine};
use forebay_engine::verify::{Outcome, verify};

use super::case::{Case, Rotten, count};
use super::judge::{disk, disk_of, drain};
use super::reference::{Reference, idle};
use crate::store::{DATA, Opened};

/// Where the new store goes, by what becomes of the messages in doubt.
const NEW: [(InDoubt, &str); 2] = [(InDoubt::Deliver, "delivered"), (InDoubt::Delete, "deleted")];

/// From a case to the one that is done besides: a prime, so that all come.
const SECOND_STRIDE: u128 = 1_000_003;

/// Segments of the new store: several.
const SEGMENT_BYTES: u64 = 16 << 10;

/// Repairs what a case leaves, if it is damaged; whether it was. Then what another case does to another file
/// is done to it, too. `Err`: what a repair must not do.
pub(super) fn mend(reference: &Reference, case: &Case, rotten: &Rotten) -> Result<bool, String> {
    let was_damaged = mend_all(reference, disk(reference, case, rotten))?;
    let total = u128::from(count(reference));
    let number = (u128::from(case.number) * SECOND_STRIDE + 1) % total;
    let second = Case::of(reference, u64::try_from(number).expect("it is below the total"));
    if second.file != case.file {
        let rotten = [(case, rotten), (&second, &second.apply(reference))];
        mend_all(reference, disk_of(reference, &rotten))
            .map_err(|why| format!("and {}: {why}", second.describe(reference)))?;
    }
    Ok(was_damaged)
}

fn mend_all(reference: &Reference, disk: SimDisk) -> Result<bool, String> {
    let is_damaged = match verify(&disk, Path::new(DATA), &mut |_| {}) {
        Ok(report) => matches!(report.outcome, Outcome::Damaged(_)),
        Err(_) => true,
    };
    if !is_damaged {
        return Ok(false);
    }
    let before = files(&disk);
    undecided(&disk)?;
    for (in_doubt, new) in NEW {
        let repair = examine_on(&disk).map_err(|error| format!("a repair is refused: {error}"))?;
        let losses = repair.losses().clone();
        let written = repair.write(Path::new(new), Some(in_doubt), SEGMENT_BYTES, &mut |_| {});
        written.map_err(|error| format!("a repair fails: {error}; it would lose\n{losses}"))?;
        let came = came(reference, &disk, Path::new(new))?;
        let told = || format!("with {in_doubt:?} of what is in doubt, told was\n{losses}");
        compare(reference, &losses, in_doubt, &came).map_err(|why| format!("{why}; {}", told()))?;
    }
    match files(&disk) == before {
        true => Ok(true),
        false => Err("a repair has changed the store that it repairs".to_owned()),
    }
}

fn examine_on(disk: &SimDisk) -> Result<Repair<'_>, OpenError> {
    examine(disk, Path::new(DATA), &mut |_| {})
}

/// The files of the damaged store. Who looks at it takes its lock.
fn files(disk: &SimDisk) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let files = disk.files().into_iter().filter(|path| path.starts_with(DATA));
    let files = files.filter(|path| !path.ends_with("LOCK"));
    files.map(|path| (path.clone(), disk.image(&path).ok())).collect()
}

/// Where messages are in doubt and nobody says what becomes of them, nothing is written.
fn undecided(disk: &SimDisk) -> Result<(), String> {
    let disk = disk.fork();
    let repair = examine_on(&disk).map_err(|error| format!("a repair is refused: {error}"))?;
    if repair.losses().in_doubt() == 0 {
        return Ok(());
    }
    let names = disk.files();
    let written = repair.write(Path::new("undecided"), None, SEGMENT_BYTES, &mut |_| {});
    match written.is_err() && disk.files() == names {
        true => Ok(()),
        false => Err("a repair decides by itself what becomes of messages in doubt".to_owned()),
    }
}

/// The payloads of all that comes from the new store, which must be whole.
fn came(reference: &Reference, disk: &SimDisk, new: &Path) -> Result<BTreeSet<Vec<u8>>, String> {
    let report = verify(disk, new, &mut |_| {});
    let report = report.map_err(|error| format!("the new store cannot be checked: {error}"))?;
    if report.outcome != Outcome::Clean || !report.spoiled.is_empty() {
        return Err(format!("the new store is not whole: {report}"));
    }
    let disk = Arc::new(disk.fork());
    let opened = Opened::open(disk, new, reference.wall_ms, idle());
    let mut opened = opened.map_err(|error| format!("the new store does not open: {error}"))?;
    let drained = drain(&mut opened)?;
    if let Some(damage) = drained.damages.first() {
        return Err(format!("the new store is damaged: {damage}"));
    }
    let mut came = BTreeSet::new();
    for (payload, queue) in drained.messages {
        if !came.insert(payload) {
            return Err(format!("a message from {queue} comes twice from the new store"));
        }
    }
    Ok(came)
}

/// Holds what came against what was told.
fn compare(
    reference: &Reference,
    losses: &Losses,
    in_doubt: InDoubt,
    came: &BTreeSet<Vec<u8>>,
) -> Result<(), String> {
    let told = Told { reference, losses };
    let shown = |payload: &[u8]| payload[..payload.len().min(40)].escape_ascii().to_string();
    for payload in came {
        let names = reference.sent.get(payload);
        let Some(names) = names else {
            return Err(format!("a message comes that was never sent: {}", shown(payload)));
        };
        let was_there = reference.messages.contains_key(payload);
        let may_come = in_doubt == InDoubt::Deliver && names.iter().any(|name| told.doubts(name));
        if !was_there && !may_come {
            return Err(format!("a message comes that was deleted: {}", shown(payload)));
        }
    }
    for payload in reference.messages.keys().filter(|payload| !came.contains(*payload)) {
        let names = reference.sent.get(payload).ok_or("a message has no record")?;
        let may_go = |name: &(QueueId, Seq)| {
            told.loses(name) || in_doubt == InDoubt::Delete && told.doubts(name)
        };
        if !names.iter().any(may_go) {
            let (names, payload) = (format!("{names:?}"), shown(payload));
            return Err(format!("a message is lost, and nobody said so: {payload}, {names}"));
        }
    }
    let stay = match in_doubt {
        InDoubt::Deliver => losses.messages(),
        InDoubt::Delete => losses.messages() - losses.in_doubt(),
    };
    if came.len() as u64 != stay {
        return Err(format!("{} messages come, told was that {stay} do", came.len()));
    }
    told.is_no_more_than_true()
}

/// What was told, to be asked.
struct Told<'r> {
    reference: &'r Reference,
    losses: &'r Losses,
}

impl Told<'_> {
    fn doubts(&self, (queue, seq): &(QueueId, Seq)) -> bool {
        let of = self.losses.queues.iter().find(|losses| losses.queue == *queue);
        of.is_some_and(|losses| losses.in_doubt.contains(*seq))
    }

    fn loses(&self, (queue, seq): &(QueueId, Seq)) -> bool {
        let of = self.losses.queues.iter().find(|losses| losses.queue == *queue);
        let homeless = self.losses.homeless.iter().find(|(homeless, _)| homeless == queue);
        match (of, homeless) {
            (Some(losses), _) => losses.lost.contains(*seq) || losses.may_lack,
            (None, Some((_, messages))) => messages.contains(*seq),
            // The queue itself was in what is lost.
            (None, None) => self.losses.control_bytes != Some(0),
        }
    }

    /// What was told to be lost was there, but for what may have been deleted before.
    fn is_no_more_than_true(&self) -> Result<(), String> {
        let mut live: BTreeSet<(QueueId, Seq)> = BTreeSet::new();
        for payload in self.reference.messages.keys() {
            live.extend(self.reference.sent.get(payload).into_iter().flatten());
        }
        for losses in &self.losses.queues {
            let lost = losses.lost.ranges().flatten().map(Seq);
            let gone = lost.filter(|seq| !live.contains(&(losses.queue, *seq))).count() as u64;
            if gone > losses.lost_in_doubt {
                return Err(format!(
                    "{gone} messages of {} were said to be lost and had been deleted, expected at most \
                     {}",
                    losses.name, losses.lost_in_doubt
                ));
            }
        }
        Ok(())
    }
}
