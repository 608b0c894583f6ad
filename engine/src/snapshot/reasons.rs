//! The section of a snapshot's part that says why messages were given back (FORMAT.md section 5).

use std::io::{self, Write};
use std::sync::Arc;

use bytes::BufMut;

use super::part::{put_items, put_section, section};
use super::source::{Body, PartError};
use crate::ids::Seq;
use crate::state::returns::{Return, Returns};

/// A message's bytes, without its reason.
const ITEM_BYTES: u64 = 8 + 1 + 2;

/// The newest lease does not count.
const UNCOUNTED: u8 = 1;

/// Writes the section, unless it would say nothing.
pub(super) fn put(returns: &Returns, out: &mut impl Write) -> io::Result<()> {
    if returns.len() == 0 {
        return Ok(());
    }
    let reason = |known: &Return| known.reason.clone().unwrap_or_default();
    let reasons_bytes: u64 = returns.iter().map(|(_, known)| reason(known).len() as u64).sum();
    put_section(out, section::REASONS, returns.len() * ITEM_BYTES + reasons_bytes)?;
    put_items(out, returns.iter(), |(seq, known), out| {
        let reason = reason(known);
        out.put_u64_le(seq.0);
        out.put_u8(if known.is_uncounted { UNCOUNTED } else { 0 });
        out.put_u16_le(u16::try_from(reason.len()).expect("a reason came in a record"));
        out.put_slice(reason.as_bytes());
    })
}

/// Reads a section of so many bytes.
pub(super) fn read(body: &mut Body<'_>, bytes: u64) -> Result<Returns, PartError> {
    let wrong = |detail: String| PartError::Wrong(format!("reasons: {detail}"));
    let end = body.left().checked_sub(bytes);
    let end = end.ok_or_else(|| wrong(format!("{bytes} bytes, {} are left", body.left())))?;
    let (mut returns, mut before) = (Returns::default(), None);
    while body.left() > end {
        let (seq, flags, reason_bytes) = (Seq(body.u64()?), body.bytes(1)?[0], body.u16()?);
        let reason = String::from_utf8(body.bytes(reason_bytes.into())?);
        let reason = reason.map_err(|error| wrong(error.to_string()))?;
        if before >= Some(seq) || flags & !UNCOUNTED != 0 || body.left() < end {
            return Err(wrong(format!("message {seq}, flags {flags}, {reason_bytes} bytes")));
        }
        before = Some(seq);
        let reason = (!reason.is_empty()).then(|| Arc::from(reason));
        returns.set(seq, Return { reason, is_uncounted: flags == UNCOUNTED });
    }
    Ok(returns)
}
