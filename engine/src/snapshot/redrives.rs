//! A part's section of redrives.

use bytes::{BufMut, BytesMut};

use super::source::PartError;
use crate::codec::Fields;
use crate::record::{RedriveOutcome, take_moved, take_redrive, take_seq};
use crate::state::redrives::{Redrive, RedriveEnd, Redrives};
use crate::time::LogTime;

/// The state of one that runs; the others have their outcomes.
const RUNNING: u8 = 0;

pub(super) fn put(out: &mut BytesMut, redrive: &Redrive) {
    let end = redrive.end.as_ref();
    out.put_u64_le(redrive.id.0);
    out.put_u8(end.map_or(RUNNING, |end| end.outcome.number()));
    out.put_u64_le(redrive.started.0);
    out.put_u64_le(end.map_or(0, |end| end.time.0));
    out.put_u64_le(redrive.rate);
    out.put_u64_le(redrive.through.0);
    out.put_u64_le(redrive.to_move);
    out.put_u64_le(redrive.moved);
    put_text(out, &redrive.destination);
    put_text(out, end.map_or("", |end| &end.reason));
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u16_le(u16::try_from(text.len()).expect("a record holds it among its fields"));
    out.put_slice(text.as_bytes());
}

/// Reads the section's bytes.
pub(super) fn read(bytes: &[u8]) -> Result<Redrives, PartError> {
    let (mut fields, mut redrives) = (Fields::new(bytes), Redrives::default());
    while !fields.rest().is_empty() {
        let is_next = |redrive: &Redrive| {
            let last = redrives.iter().next_back();
            last.is_none_or(|last| last.id < redrive.id && last.end.is_some())
        };
        let redrive = take(&mut fields).filter(is_next);
        redrives.add(redrive.ok_or_else(|| PartError::Wrong("its redrives".to_owned()))?);
    }
    Ok(redrives)
}

fn take(fields: &mut Fields<'_>) -> Option<Redrive> {
    let (id, state, started) = (take_redrive(fields)?, fields.u8()?, LogTime(fields.u64()?));
    let time = LogTime(fields.u64()?);
    let (rate, through) = (fields.u64()?, take_seq(fields)?);
    let (to_move, moved) = (fields.u64()?, take_moved(fields)?);
    let (destination, reason) = (take_text(fields)?, take_text(fields)?);
    let end = match state {
        RUNNING => None,
        outcome => {
            let outcome = RedriveOutcome::from_number(outcome)?;
            Some(RedriveEnd { time, outcome, reason })
        }
    };
    Some(Redrive { id, started, rate, through, to_move, moved, destination, end })
}

fn take_text(fields: &mut Fields<'_>) -> Option<String> {
    let count = fields.u16()?;
    String::from_utf8(fields.bytes(count.into())?.to_vec()).ok()
}
