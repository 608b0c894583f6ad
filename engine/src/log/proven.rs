//! Records that prove themselves, where there is no valid entry around them, or not all of it is read (FORMAT.md section
//! 3.2).

use std::ops::RangeInclusive;

use crate::checksum::Salt;
use crate::ids::Position;
use crate::record::{RECORD_HEADER_BYTES, Record, RecordFrame};

/// So many entries are tried for a record that does not say which is its own.
const TRIED_MAX: usize = 64;

/// Which entry a record may be of.
#[derive(Debug, Clone)]
pub(crate) enum Whose {
    /// This one.
    Entry(Position),
    /// One of these. A message says which; every other record is tried with each, of many with the first.
    Among(RangeInclusive<Position>),
    /// Any: only messages say which.
    Any,
}

/// A record whose seal is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proven<'b> {
    pub(crate) record: Record<'b>,
    /// Its entry.
    pub(crate) position: Position,
    /// Its size.
    pub(crate) bytes: usize,
    /// Its seal: two records of an entry that have the same one are the same.
    pub(crate) seal: u32,
}

/// The record at the start of `bytes`, if its seal is right. Of a message's payload that says nothing.
pub(crate) fn proven<'b>(bytes: &'b [u8], salt: Salt, whose: &Whose) -> Option<Proven<'b>> {
    // Most of what is tried is none, and shows it here.
    let size = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    if !(RECORD_HEADER_BYTES..=bytes.len()).contains(&size) {
        return None;
    }
    let (frame, _) = RecordFrame::split(bytes).ok()?;
    let record = frame.decode().ok()?;
    let is_of = |position: &Position| frame.check_seal(salt, *position).is_ok();
    let position = match (whose, record.message().map(|sent| sent.position)) {
        (Whose::Entry(position), _) => Some(*position).filter(is_of),
        (Whose::Among(range), Some(said)) => {
            Some(said).filter(|said| range.contains(said)).filter(is_of)
        }
        (Whose::Among(range), None) => {
            let mut tried = (range.start().0..=range.end().0).take(TRIED_MAX).map(Position);
            tried.find(is_of)
        }
        (Whose::Any, said) => said.filter(is_of),
    }?;
    let seal = frame.stated_seal();
    Some(Proven { record, position, bytes: size, seal })
}
