//! What a repair makes of a store that is not opened, and whether it may.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use forebay_engine::disk::SimDisk;
use forebay_engine::repair::plan;
use forebay_engine::verify::{Outcome, verify};

use super::case::Rotten;
use super::judge::{Drained, drain};
use super::reference::{Reference, ReferenceFile, idle};
use super::store::{DATA, Opened};
use crate::kill::body;
use crate::kill::history::Content;

/// The smallest record of a message of the reference.
const RECORD_BYTES_MIN: u64 = 64;

/// Repairs the store and drains it; false if it says that nothing can be done.
pub(super) fn repair(
    reference: &Reference,
    file: &ReferenceFile,
    rotten: &Rotten,
    disk: &SimDisk,
) -> Result<bool, String> {
    let planned = match plan(Arc::new(disk.clone()), Path::new(DATA)) {
        Ok(Some(planned)) => planned,
        Ok(None) => return Err("refused, and nothing to repair is found".to_owned()),
        // Without its identity nobody knows whose the segments are; and a newer format is for others.
        Err(_) if file.path.ends_with("store.toml") => return Ok(false),
        Err(forebay_engine::OpenError::FormatTooNew { .. }) => return Ok(false),
        Err(error) => return Err(format!("no repair is found: {error}")),
    };
    let told = planned.losses().join("; ");
    planned.carry_out().map_err(|error| format!("the repair fails: {error}"))?;
    let report = verify(disk, Path::new(DATA), &mut |_| {});
    let report = report.map_err(|error| format!("repaired, and not to be verified: {error}"))?;
    if matches!(report.outcome, Outcome::Damaged(_)) {
        return Err(format!("repaired, and verify says {report}"));
    }
    let mut opened = Opened::open_on(disk, reference.wall_ms, idle())
        .map_err(|error| format!("repaired, and not opened: {error}"))?;
    let drained = drain(&mut opened).map_err(|why| format!("repaired, {why}"))?;
    check(reference, rotten, &drained, &told)?;
    Ok(true)
}

fn check(
    reference: &Reference,
    rotten: &Rotten,
    drained: &Drained,
    told: &str,
) -> Result<(), String> {
    if let Some(damage) = drained.damages.first() {
        return Err(format!("repaired, and still damaged: {damage}"));
    }
    let mut missing: BTreeMap<&[u8], &str> =
        reference.messages.iter().map(|(payload, queue)| (&payload[..], &queue[..])).collect();
    for (payload, queue) in &drained.messages {
        if missing.remove(&payload[..]).is_some() {
            continue;
        }
        let first = payload[..payload.len().min(40)].escape_ascii();
        // What was acked in a lost entry comes again, once it was told.
        if !told.contains("comes again") || !is_a_body(payload) {
            return Err(format!(
                "repaired, and a message from {queue} is new: {first}; told: {told}"
            ));
        }
    }
    let lost = |range: &std::ops::Range<u64>| (range.end - range.start) / RECORD_BYTES_MIN + 2;
    let most: u64 = rotten.changed.iter().map(lost).sum();
    let gone = missing.len() as u64;
    if gone > most {
        return Err(format!("repaired, {gone} messages are gone, expected at most {most}: {told}"));
    }
    match gone > 0 && told.is_empty() {
        true => Err(format!("repaired, {gone} messages are gone, and nothing is told")),
        false => Ok(()),
    }
}

/// Whether some message was sent with it.
fn is_a_body(payload: &[u8]) -> bool {
    (0..payload.len()).any(|at| matches!(body::content(0, &payload[at..]), Content::Message(_)))
}
