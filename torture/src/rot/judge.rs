//! What a store makes of a file that has rotted, and whether it may.

use std::collections::BTreeMap;
use std::path::Path;

use forebay_engine::command::{Command, Delivery, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::verify::{Outcome, VerifyReport, verify};
use forebay_engine::{Damage, OpenError, ReadError};

use super::case::{Case, Rotten};
use super::reference::{Kind, QUEUES, Reference, ReferenceFile, compacting, idle};
use crate::store::{DATA, Opened};

/// Longer than any lease and any delay of the reference.
const ALL_ENDED_MS: u64 = 13 * 3_600_000;

/// Every so many cases the compactor works on the store too.
const COMPACTING_EVERY: u64 = 8;

/// What became of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judgement {
    /// The case changed no byte.
    Same,
    /// What changed is no data.
    NoData,
    /// Everything is there: what has rotted is made anew, or an older one was used.
    Rebuilt,
    /// Everything is there, and a torn tail was told.
    Torn,
    /// It opens and everything is there; `verify` reports what has rotted.
    Verified,
    /// It opens, and each message that is not there is reported, with file and offset.
    SetAside,
    /// It is not opened, and the reason names the file.
    Refused,
}

/// What a drain of a store brought.
#[derive(Debug, Default)]
pub(super) struct Drained {
    /// Payload and queue.
    pub(super) messages: Vec<(Vec<u8>, String)>,
    /// What could not be read.
    pub(super) damages: Vec<Damage>,
}

/// Does a case and judges what the store makes of it. `Err`: what it must not.
pub(super) fn judge(
    reference: &Reference,
    case: &Case,
    rotten: &Rotten,
) -> Result<Judgement, String> {
    if rotten.changed.is_empty() {
        return Ok(Judgement::Same);
    }
    let disk = disk(reference, case, rotten);
    let report = verify(&disk, Path::new(DATA), &mut |_| {});
    let options = if case.number.is_multiple_of(COMPACTING_EVERY) { compacting() } else { idle() };
    let file = &reference.files[case.file];
    let opened = Opened::open_on(&disk, reference.wall_ms, options);
    let judgement = match opened {
        Ok(opened) => judge_opened(reference, file, rotten, opened)?,
        Err(error) => {
            refused(file, rotten, &error)?;
            if let Some(to) = &rotten.renamed {
                kept(&disk, to, file)?;
            }
            Judgement::Refused
        }
    };
    compare(file, rotten, judgement, report)
}

/// A disk on which the case has happened.
pub(super) fn disk(reference: &Reference, case: &Case, rotten: &Rotten) -> SimDisk {
    disk_of(reference, &[(case, rotten)])
}

/// A disk on which cases have happened, each to another file.
pub(super) fn disk_of(reference: &Reference, cases: &[(&Case, &Rotten)]) -> SimDisk {
    let numbers: Vec<usize> = cases.iter().map(|(case, _)| case.file).collect();
    let disk = reference.disk_but(&numbers);
    let put = |path: &Path, bytes: &[u8]| {
        disk.put(path, bytes).expect("a simulated disk takes files");
    };
    for (case, rotten) in cases {
        let file = &reference.files[case.file];
        match (&rotten.bytes, &rotten.renamed) {
            (Some(bytes), _) => put(&file.path, bytes),
            (None, Some(to)) => put(to, &file.bytes),
            (None, None) => {}
        }
    }
    disk
}

/// Receives and deletes everything.
pub(super) fn drain(opened: &mut Opened) -> Result<Drained, String> {
    let mut drained = Drained::default();
    opened.clock.advance(ALL_ENDED_MS);
    let mut passes_empty = 0;
    // Twice, because what an index hides comes when it was made anew, and a dead letter when it was moved.
    while passes_empty < 2 {
        let mut any = false;
        for queue in QUEUES {
            any |= drain_queue(opened, queue, &mut drained)?;
        }
        opened.keep()?;
        passes_empty = if any { 0 } else { passes_empty + 1 };
    }
    let mut left = [0; 4];
    for queue in QUEUES {
        let Reply::Described(info) =
            opened.done(Command::DescribeQueue { name: queue.to_owned() })?
        else {
            return Err("a description is something else".to_owned());
        };
        let counts = info.counts;
        let of = [counts.waiting, counts.in_flight, counts.delayed, counts.damaged];
        left.iter_mut().zip(of).for_each(|(sum, count)| *sum += count);
    }
    let damaged = drained.damages.len() as u64;
    if left != [0, 0, 0, damaged] {
        return Err(format!(
            "drained, the queues have {left:?} messages waiting, in flight, delayed and damaged; \
             {damaged} were reported"
        ));
    }
    Ok(drained)
}

/// Receives from a queue until nothing comes; whether anything came.
fn drain_queue(opened: &mut Opened, queue: &str, drained: &mut Drained) -> Result<bool, String> {
    let mut any = false;
    loop {
        let deliveries = opened.receive(queue, 100, 3_600_000)?;
        if deliveries.is_empty() {
            return Ok(any);
        }
        any = true;
        let mut read: Vec<Delivery> = Vec::new();
        for delivery in deliveries {
            match opened.store.read(&delivery.location) {
                Ok(stored) => {
                    drained.messages.push((stored.payload.to_vec(), queue.to_owned()));
                    read.push(delivery);
                }
                Err(ReadError::Damaged(damage)) => {
                    drained.damages.push(damage);
                    let (queue, seq) = (delivery.location.queue, delivery.seq);
                    opened.done(Command::SetAside { queue, seq })?;
                }
                Err(ReadError::Disk(error)) => return Err(format!("a read failed: {error}")),
            }
        }
        opened.ack(queue, &read)?;
    }
}

fn judge_opened(
    reference: &Reference,
    file: &ReferenceFile,
    rotten: &Rotten,
    mut opened: Opened,
) -> Result<Judgement, String> {
    let torn = opened.opening.torn.clone();
    let drained = drain(&mut opened)?;
    let mut missing: BTreeMap<&[u8], &str> =
        reference.messages.iter().map(|(payload, queue)| (&payload[..], &queue[..])).collect();
    for (payload, queue) in &drained.messages {
        if missing.remove(&payload[..]).is_none() {
            let first = payload[..payload.len().min(40)].escape_ascii();
            let what = match reference.messages.contains_key(payload) {
                true => "came twice",
                false => "was not there before, or has other bytes",
            };
            return Err(format!("a message from {queue} {what}: {first}"));
        }
    }
    for damage in &drained.damages {
        if damage.path != file.path || !touches(file, rotten, damage) {
            return Err(format!("damage is reported where there is none: {damage}"));
        }
    }
    let excused = drained.damages.len();
    // The one sector in which the log ends may hold the newest messages together with the watermark that
    // proves them: whoever takes both leaves nothing that tells (FORMAT.md, section 8).
    let last_sector = reference.newest / 512 * 512;
    let in_last_sector =
        file.kind == Kind::Active && rotten.changed.iter().all(|range| range.start >= last_sector);
    if missing.len() != excused && !(in_last_sector && torn.is_some()) {
        let queues: Vec<_> = missing.values().collect();
        return Err(format!(
            "{} messages are gone ({queues:?}), {excused} were reported as damaged",
            missing.len()
        ));
    }
    Ok(match (torn, excused) {
        (Some(torn), _) => {
            if file.kind != Kind::Active {
                return Err(format!("a torn tail is told where there is none: {torn}"));
            }
            Judgement::Torn
        }
        (None, 0) => Judgement::Rebuilt,
        (None, _) => Judgement::SetAside,
    })
}

/// Whether damage is reported where bytes have changed. Of unknown extent, it is the whole file; and of a
/// file that was cut, it may be what is left of it.
fn touches(file: &ReferenceFile, rotten: &Rotten, damage: &Damage) -> bool {
    let end = if damage.bytes == 0 { u64::MAX } else { damage.offset + damage.bytes };
    let size = file.bytes.len() as u64;
    rotten.changed.iter().any(|range| {
        let is_cut = range.end == size && range.start == end;
        is_cut || (range.start < end && damage.offset < range.end)
    })
}

/// A store that is not opened says why, and where.
fn refused(file: &ReferenceFile, rotten: &Rotten, error: &OpenError) -> Result<(), String> {
    // Under the name of a segment it is no longer what it was.
    let is_misnamed = matches!((error, &rotten.renamed), (OpenError::Damaged(damage), Some(to)) if damage.path == *to);
    if matches!(file.kind, Kind::Dispensable | Kind::Derived) && !is_misnamed {
        return Err(format!("refused, though nothing is lost: {error}"));
    }
    let is_named = match error {
        OpenError::Damaged(damage) => {
            let is_there =
                damage.path == file.path || Some(&damage.path) == rotten.renamed.as_ref();
            is_there && (damage.bytes == 0 || touches(file, rotten, damage))
        }
        // Without its identity a directory is left alone.
        OpenError::NotAStore { .. } => file.path.ends_with("store.toml"),
        OpenError::FormatTooNew { path, .. } => *path == file.path,
        other => other.to_string().contains(&file.path.display().to_string()),
    };
    match is_named {
        true => Ok(()),
        false => Err(format!("refused for another reason than what has rotted: {error}")),
    }
}

/// Whoever renamed a file can rename it back.
fn kept(disk: &SimDisk, to: &Path, file: &ReferenceFile) -> Result<(), String> {
    match disk.image(to) {
        Ok(bytes) if bytes == file.bytes => Ok(()),
        Ok(_) => Err(format!("refused, and {} was changed", to.display())),
        Err(error) => Err(format!("refused, and {} is gone: {error}", to.display())),
    }
}

/// Holds what became of the store against what `verify` had said of it before.
fn compare(
    file: &ReferenceFile,
    rotten: &Rotten,
    judgement: Judgement,
    report: Result<VerifyReport, OpenError>,
) -> Result<Judgement, String> {
    let is_data = rotten.changed.iter().any(|range| range.start < file.data_end);
    let report = match report {
        Ok(report) => report,
        Err(error) if judgement == Judgement::Refused => {
            refused(file, rotten, &error)?;
            return Ok(judgement);
        }
        Err(error) => return Err(format!("opened, but verify says {error}")),
    };
    let is_named = |damage: &&Damage| {
        let is_there = damage.path == file.path || Some(&damage.path) == rotten.renamed.as_ref();
        is_there && (damage.bytes == 0 || touches(file, rotten, damage))
    };
    match (&report.outcome, judgement) {
        (
            Outcome::Damaged(damages),
            Judgement::Rebuilt | Judgement::SetAside | Judgement::Refused,
        ) => {
            if damages.iter().find(is_named).is_none() {
                return Err(format!("verify names other places than what has rotted: {report}"));
            }
            let found_alone = judgement == Judgement::Rebuilt;
            Ok(if found_alone { Judgement::Verified } else { judgement })
        }
        (Outcome::TornTail { .. }, Judgement::Torn) => Ok(judgement),
        (Outcome::Clean, Judgement::Rebuilt) => match file.kind {
            Kind::Derived => {
                let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let stem = name.split('.').next().unwrap_or_default();
                let told = report.spoiled.iter().chain(&report.notes);
                let is_snapshot = name.ends_with(".snap");
                // A snapshot that is not there was never there.
                let is_gone = is_snapshot && rotten.bytes.is_none();
                match told.into_iter().any(|text| text.contains(stem)) || is_gone {
                    true => Ok(judgement),
                    false => Err(format!("verify does not tell of it: {report}")),
                }
            }
            Kind::Dispensable => Ok(Judgement::NoData),
            _ if !is_data => Ok(Judgement::NoData),
            _ => Err(format!("verify says clean: {report}")),
        },
        (_, judgement) => Err(format!("judged {judgement:?}, but verify says {report}")),
    }
}
