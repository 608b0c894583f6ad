//! A snapshot's part: one queue.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use crc32fast::Hasher;
use roaring::RoaringTreemap;

use super::source::{Body, PartError};
use crate::attributes::{Attributes, TEXT_BIT};
use crate::codec::Fields;
use crate::command::MessageState;
use crate::ids::{LeaseId, Position, QueueId, Seq};
use crate::record::{EncodedAttributes, put_attributes};
use crate::state::frozen::{FrozenMessages, FrozenQueue};
use crate::state::held::{Held, HeldMap};
use crate::time::LogTime;

/// What comes before a part's body.
pub(super) const PART_HEADER_BYTES: usize = 16;

/// A held message's bytes.
const HELD_BYTES: usize = 48;

/// How many held messages are encoded and decoded together.
const HELD_AT_ONCE: usize = 1024;

/// The states of held messages. A damaged one is written as waiting: whether it is damaged is found
/// when it is read again.
mod state {
    pub(super) const WAITING: u8 = 0;
    pub(super) const IN_FLIGHT: u8 = 1;
    pub(super) const DELAYED: u8 = 2;
}

/// Begins the checksum of the part of that number, to be continued with its body.
pub(super) fn hasher(snapshot: Position, number: u32) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(&snapshot.0.to_le_bytes());
    hasher.update(&u64::from(number).to_le_bytes());
    hasher
}

/// What comes before a body of so many bytes with that checksum.
pub(super) fn encode_header(body_bytes: u64, crc: u32) -> [u8; PART_HEADER_BYTES] {
    let mut header = [0; PART_HEADER_BYTES];
    header[..8].copy_from_slice(&body_bytes.to_le_bytes());
    header[8..12].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The body's bytes and checksum; `None` if the rest is not zero.
pub(super) fn decode_header(header: &[u8; PART_HEADER_BYTES]) -> Option<(u64, u32)> {
    let mut fields = Fields::new(header);
    let (body_bytes, crc, zero) = (fields.u64()?, fields.u32()?, fields.u32()?);
    (zero == 0).then_some((body_bytes, crc))
}

/// Writes a part's body, a piece at a time. Fails only if `out` does.
pub(super) fn encode(part: &FrozenQueue, out: &mut impl Write) -> io::Result<()> {
    let messages = &part.messages;
    let mut piece = BytesMut::new();
    piece.put_u32_le(part.id.0);
    piece.put_u64_le(part.position.0);
    piece.put_u64_le(part.created.0);
    piece.put_u64_le(part.modified.0);
    piece.put_u64_le(messages.next.0);
    piece.put_u64_le(messages.cursor.0);
    put_attributes(&mut piece, &part.attributes.as_changes());
    let name_bytes = u16::try_from(part.name.len()).expect("a name has at most 80 characters");
    piece.put_u16_le(name_bytes);
    piece.put_slice(part.name.as_bytes());
    piece.put_u64_le(messages.apart.serialized_size() as u64);
    out.write_all(&piece)?;
    messages.apart.serialize_into(&mut *out)?;
    out.write_all(&messages.held.len().to_le_bytes())?;
    piece.clear();
    for (seq, held) in messages.held.range(..) {
        put_held(&mut piece, seq, held);
        if piece.len() >= HELD_AT_ONCE * HELD_BYTES {
            out.write_all(&piece)?;
            piece.clear();
        }
    }
    out.write_all(&piece)
}

fn put_held(out: &mut BytesMut, seq: Seq, held: &Held) {
    out.put_u64_le(seq.0);
    out.put_u8(match held.state {
        MessageState::Waiting | MessageState::Damaged => state::WAITING,
        MessageState::InFlight { .. } => state::IN_FLIGHT,
        MessageState::Delayed { .. } => state::DELAYED,
    });
    out.put_bytes(0, 3);
    out.put_u32_le(held.receive_count);
    out.put_u64_le(held.until.0);
    out.put_u64_le(held.lease.0);
    out.put_u64_le(held.first_received.0);
    out.put_u64_le(held.received.0);
}

/// Reads a part's body, a piece at a time. What it says is worth nothing before the body's checksum
/// was compared.
pub(super) fn decode(body: &mut Body<'_>) -> Result<FrozenQueue, PartError> {
    let id = QueueId(body.u32()?);
    let position = Position(body.u64()?);
    let (created, modified) = (LogTime(body.u64()?), LogTime(body.u64()?));
    let (next, cursor) = (Seq(body.u64()?), Seq(body.u64()?));
    let attributes = Arc::new(read_attributes(body)?);
    let name_bytes = body.u16()?;
    let name = String::from_utf8(body.bytes(name_bytes.into())?);
    let name = name.map_err(|error| PartError::Wrong(format!("its queue's name: {error}")))?;
    let apart_bytes = body.u64()?;
    let apart = body.bytes(apart_bytes)?;
    let held = read_held(body)?;
    if body.left() > 0 {
        return Err(PartError::Wrong(format!("{} bytes behind the queue", body.left())));
    }
    // The set's decoder takes lengths as they come, and gets to see none that was not checked.
    body.check()?;
    let apart = read_apart(&apart)?;
    let messages = FrozenMessages { next, cursor, apart, held };
    check_messages(&messages).map_err(PartError::Wrong)?;
    Ok(FrozenQueue { id, name, created, modified, attributes, position, messages })
}

fn read_attributes(body: &mut Body<'_>) -> Result<Attributes, PartError> {
    let count = body.u16()?;
    let mut bytes = count.to_le_bytes().to_vec();
    for _ in 0..count {
        let id = body.u16()?;
        bytes.extend(id.to_le_bytes());
        let mut value_bytes = 8;
        if id & TEXT_BIT != 0 {
            let text_bytes = body.u16()?;
            bytes.extend(text_bytes.to_le_bytes());
            value_bytes = u64::from(text_bytes);
        }
        bytes.extend(body.bytes(value_bytes)?);
    }
    let decoded = EncodedAttributes::decode(&mut Fields::new(&bytes));
    let decoded = decoded.ok_or_else(|| PartError::Wrong("an unknown attribute".to_owned()))?;
    Ok(Attributes::as_before().with(&decoded.changes()))
}

fn read_apart(mut bytes: &[u8]) -> Result<RoaringTreemap, PartError> {
    let wrong = |detail: String| PartError::Wrong(format!("its set of messages apart: {detail}"));
    let apart = RoaringTreemap::deserialize_from(&mut bytes).map_err(|e| wrong(e.to_string()))?;
    match bytes.len() {
        0 => Ok(apart),
        left => Err(wrong(format!("{left} bytes are left"))),
    }
}

fn read_held(body: &mut Body<'_>) -> Result<HeldMap, PartError> {
    let (count, left) = (body.u64()?, body.left());
    if count.checked_mul(HELD_BYTES as u64) != Some(left) {
        return Err(PartError::Wrong(format!("{count} held messages in {left} bytes")));
    }
    let (mut map, mut before) = (HeldMap::default(), None);
    while body.left() > 0 {
        let bytes = body.bytes(body.left().min((HELD_AT_ONCE * HELD_BYTES) as u64))?;
        for item in bytes.chunks_exact(HELD_BYTES) {
            let (seq, held) = decode_held(Fields::new(item))
                .ok_or_else(|| PartError::Wrong(format!("a held message: {item:02x?}")))?;
            if before >= Some(seq) {
                return Err(PartError::Wrong(format!("held message {seq} is out of order")));
            }
            before = Some(seq);
            map.insert(seq, held);
        }
    }
    Ok(map)
}

fn decode_held(mut fields: Fields<'_>) -> Option<(Seq, Held)> {
    let (seq, state, zero) = (Seq(fields.u64()?), fields.u8()?, fields.array::<3>()?);
    let (receive_count, until) = (fields.u32()?, LogTime(fields.u64()?));
    let state = match state {
        state::WAITING => MessageState::Waiting,
        state::IN_FLIGHT => MessageState::InFlight { until },
        state::DELAYED => MessageState::Delayed { until },
        _ => return None,
    };
    let lease = LeaseId(fields.u64()?);
    let (first_received, received) = (LogTime(fields.u64()?), LogTime(fields.u64()?));
    let held = Held { state, until, receive_count, lease, first_received, received };
    (zero == [0; 3]).then_some((seq, held))
}

/// Whether the messages are as a queue's can be: what counts and subtracts relies on it.
fn check_messages(messages: &FrozenMessages) -> Result<(), String> {
    let FrozenMessages { next, cursor, apart, held } = messages;
    if *cursor < Seq(1) || cursor > next {
        return Err(format!("cursor {cursor} and next message {next}"));
    }
    if apart.min().is_some_and(|first| first <= cursor.0)
        || apart.max().is_some_and(|last| last >= next.0)
    {
        return Err(format!("messages apart that are not between {cursor} and {next}"));
    }
    let is_wrong = |seq: &Seq| seq >= next || seq >= cursor && !apart.contains(seq.0);
    match held.range(..).map(|(seq, _)| seq).find(is_wrong) {
        Some(seq) => Err(format!("held message {seq} is in the backlog too, or was never sent")),
        None => Ok(()),
    }
}
