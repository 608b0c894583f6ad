//! A snapshot's part: one queue.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use crc32fast::Hasher;
use roaring::RoaringTreemap;

use super::reasons;
use super::redrives;
use super::source::{Body, PartError};
use crate::attributes::{Attributes, TEXT_BIT};
use crate::codec::Fields;
use crate::command::MessageState;
use crate::ids::{DeduplicationKey, Group, LeaseId, Position, ProducerId, QueueId, Seq};
use crate::record::{EncodedAttributes, put_attributes, take_seq};
use crate::state::deduplication::{Entry, Window};
use crate::state::delays::Delays;
use crate::state::frozen::{FrozenMessages, FrozenQueue};
use crate::state::held::{Held, HeldMap};
use crate::state::late::Late;
use crate::state::order::Discipline;
use crate::state::past::{Expiry, Past, Swept};
use crate::state::producers::{Batch, Producer, Producers};
use crate::state::redrives::Redrives;
use crate::state::returns::Returns;
use crate::time::LogTime;

/// What comes before a part's body.
pub(super) const PART_HEADER_BYTES: usize = 16;

/// A held message's bytes.
const HELD_BYTES: usize = 52;

/// A held message's bytes in version 1, where it had no group.
const HELD_BYTES_V1: usize = 48;

/// A remembered message's bytes.
const DEDUPLICATED_BYTES: usize = 32;

/// A producer's bytes without its batches.
const PRODUCER_BYTES: usize = 36;

/// A batch's bytes.
const BATCH_BYTES: usize = 20;

/// A delayed message's bytes.
const DELAYED_BYTES: usize = 16;

/// What comes before the set of the late messages of one stretch.
const STRETCH_BYTES: usize = 12;

/// How many messages are encoded and decoded together.
const MESSAGES_AT_ONCE: usize = 1024;

/// The states of held messages. A damaged one is written as waiting: whether it is damaged is found
/// when it is read again.
mod state {
    pub(super) const WAITING: u8 = 0;
    pub(super) const IN_FLIGHT: u8 = 1;
    /// In version 1 only: delayed messages have a section of their own now.
    pub(super) const DELAYED: u8 = 2;
}

/// The sections of a part, in their order. One that would say nothing is not there.
pub(super) mod section {
    pub(super) const APART: u32 = 1;
    pub(super) const HELD: u32 = 2;
    pub(super) const DELAYED: u32 = 3;
    pub(super) const DUE: u32 = 4;
    pub(super) const GROUPED: u32 = 5;
    pub(in super::super) const REASONS: u32 = 7;
    pub(super) const DEDUPLICATED: u32 = 8;
    pub(super) const PRODUCERS: u32 = 9;
    pub(super) const REDRIVES: u32 = 10;
    pub(super) const LATE: u32 = 11;
    pub(super) const PAST: u32 = 16;
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
    out.write_all(&piece)?;
    put_set(out, section::APART, &messages.apart)?;
    if messages.held.len() > 0 {
        put_section(out, section::HELD, messages.held.len() * HELD_BYTES as u64)?;
        put_items(out, messages.held.range(..), |(seq, held), out| put_held(out, seq, held))?;
    }
    if !messages.delays.is_empty() {
        let bytes = 8 + messages.delays.len() * DELAYED_BYTES as u64;
        put_section(out, section::DELAYED, bytes)?;
        out.write_all(&messages.delays.now().0.to_le_bytes())?;
        put_items(out, messages.delays.iter(), |(seq, until), out| {
            out.put_u64_le(seq.0);
            out.put_u64_le(until.0);
        })?;
    }
    put_set(out, section::DUE, &messages.due)?;
    // That a queue is FIFO is one of its attributes.
    if messages.discipline == Some(Discipline::Fair) {
        put_section(out, section::GROUPED, 0)?;
    }
    reasons::put(&messages.returns, out)?;
    let window = &part.deduplication;
    if !window.is_empty() {
        let bytes = (window.iter().len() * DEDUPLICATED_BYTES) as u64;
        put_section(out, section::DEDUPLICATED, bytes)?;
        put_items(out, window.iter(), |entry, out| {
            out.put_slice(&entry.key.0);
            out.put_u64_le(entry.seq.0);
            out.put_u64_le(entry.time.0);
        })?;
    }
    put_producers(out, &part.producers)?;
    if !part.redrives.is_empty() {
        let mut piece = BytesMut::new();
        part.redrives.iter().for_each(|redrive| redrives::put(&mut piece, redrive));
        put_section(out, section::REDRIVES, piece.len() as u64)?;
        out.write_all(&piece)?;
    }
    put_late(out, &messages.late)?;
    let Past { last_purge, last_expiry } = messages.past;
    if last_purge.is_some() || last_expiry.is_some() {
        let (through, at) = last_purge.map(|purge| (purge.through, purge.at)).unwrap_or_default();
        let mut piece = BytesMut::new();
        piece.put_u64_le(through.0);
        piece.put_u64_le(at.0);
        if let Some(Expiry { below, at, late_before }) = last_expiry {
            piece.put_u64_le(below.0);
            piece.put_u64_le(at.0);
            piece.put_u64_le(late_before.0);
        }
        put_section(out, section::PAST, piece.len() as u64)?;
        out.write_all(&piece)?;
    }
    Ok(())
}

fn put_late(out: &mut impl Write, late: &Late) -> io::Result<()> {
    if late.is_empty() {
        return Ok(());
    }
    let sizes = late.stretches().map(|(_, seqs)| (STRETCH_BYTES + seqs.serialized_size()) as u64);
    put_section(out, section::LATE, 8 + sizes.sum::<u64>())?;
    out.write_all(&late.last().0.to_le_bytes())?;
    for (stretch, seqs) in late.stretches() {
        let bytes = u32::try_from(seqs.serialized_size())
            .expect("a minute's dead letters are far from filling 4 GiB of bits");
        out.write_all(&stretch.to_le_bytes())?;
        out.write_all(&bytes.to_le_bytes())?;
        seqs.serialize_into(&mut *out)?;
    }
    Ok(())
}

fn put_producers(out: &mut impl Write, producers: &Producers) -> io::Result<()> {
    if producers.is_empty() {
        return Ok(());
    }
    let bytes = |producer: &Producer| PRODUCER_BYTES + producer.batches.len() * BATCH_BYTES;
    let all: usize = producers.iter().map(|(_, producer)| bytes(producer)).sum();
    put_section(out, section::PRODUCERS, all as u64)?;
    put_items(out, producers.iter(), |(id, producer), out| {
        out.put_u128_le(id.0);
        out.put_u64_le(producer.time.0);
        out.put_u64_le(producer.oldest);
        out.put_u32_le(producer.batches.len() as u32);
        for batch in &producer.batches {
            out.put_u64_le(batch.number);
            out.put_u64_le(batch.first.0);
            out.put_u32_le(batch.count);
        }
    })
}

pub(super) fn put_section(out: &mut impl Write, kind: u32, bytes: u64) -> io::Result<()> {
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&bytes.to_le_bytes())
}

fn put_set(out: &mut impl Write, kind: u32, set: &RoaringTreemap) -> io::Result<()> {
    if set.is_empty() {
        return Ok(());
    }
    put_section(out, kind, set.serialized_size() as u64)?;
    set.serialize_into(out)
}

/// Writes many small items, gathered to pieces.
pub(super) fn put_items<T>(
    out: &mut impl Write,
    items: impl Iterator<Item = T>,
    put: impl Fn(T, &mut BytesMut),
) -> io::Result<()> {
    let mut piece = BytesMut::new();
    for item in items {
        put(item, &mut piece);
        if piece.len() >= MESSAGES_AT_ONCE * DELAYED_BYTES {
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
        MessageState::Delayed => unreachable!("a delayed message was never received"),
    });
    out.put_bytes(0, 3);
    out.put_u32_le(held.receive_count);
    out.put_u64_le(held.until.0);
    out.put_u64_le(held.lease.0);
    out.put_u64_le(held.first_received.0);
    out.put_u64_le(held.received.0);
    out.put_u32_le(held.group.0);
}

/// Reads a part's body, a piece at a time. What it says is worth nothing before the body's checksum
/// was compared. `version` is the snapshot's.
pub(super) fn decode(body: &mut Body<'_>, version: u32) -> Result<FrozenQueue, PartError> {
    let id = QueueId(body.u32()?);
    let position = Position(body.u64()?);
    let (created, modified) = (LogTime(body.u64()?), LogTime(body.u64()?));
    let (next, cursor) = (Seq(body.u64()?), Seq(body.u64()?));
    let attributes = Arc::new(read_attributes(body)?);
    let name_bytes = body.u16()?;
    let name = String::from_utf8(body.bytes(name_bytes.into())?);
    let name = name.map_err(|error| PartError::Wrong(format!("its queue's name: {error}")))?;
    let sections = match version {
        1 => read_version_1(body)?,
        _ => read_sections(body)?,
    };
    // The sets' decoder takes lengths as they come, and gets to see none that was not checked.
    body.check()?;
    let (apart, due) = (read_set(&sections.apart)?, read_set(&sections.due)?);
    let late = read_late(&sections.late)?;
    let Sections {
        held,
        delays,
        returns,
        past,
        discipline,
        deduplication,
        producers,
        redrives,
        ..
    } = sections;
    let messages =
        FrozenMessages { next, cursor, apart, held, delays, due, returns, past, late, discipline };
    check_messages(&messages).map_err(PartError::Wrong)?;
    Ok(FrozenQueue {
        id,
        name,
        created,
        modified,
        attributes,
        position,
        messages,
        deduplication,
        producers,
        redrives,
    })
}

/// What the sections say; sets are still as they were written.
#[derive(Default)]
struct Sections {
    apart: Vec<u8>,
    held: HeldMap,
    delays: Delays,
    due: Vec<u8>,
    returns: Returns,
    past: Past,
    late: Vec<u8>,
    discipline: Option<Discipline>,
    deduplication: Window,
    producers: Producers,
    redrives: Redrives,
}

fn read_sections(body: &mut Body<'_>) -> Result<Sections, PartError> {
    let (mut sections, mut before) = (Sections::default(), 0);
    while body.left() > 0 {
        let (kind, bytes) = (body.u32()?, body.u64()?);
        if kind <= before {
            return Err(PartError::Wrong(format!("section {kind} behind section {before}")));
        }
        before = kind;
        match kind {
            section::APART => sections.apart = body.bytes(bytes)?,
            section::HELD => sections.held = read_held(body, bytes, HELD_BYTES)?,
            section::DELAYED => sections.delays = read_delays(body, bytes)?,
            section::DUE => sections.due = body.bytes(bytes)?,
            section::GROUPED => sections.discipline = Some(Discipline::Fair),
            section::DEDUPLICATED => sections.deduplication = read_window(body, bytes)?,
            section::PRODUCERS => sections.producers = read_producers(body, bytes)?,
            section::REASONS => sections.returns = reasons::read(body, bytes)?,
            section::REDRIVES => sections.redrives = redrives::read(&body.bytes(bytes)?)?,
            section::LATE => sections.late = body.bytes(bytes)?,
            section::PAST => sections.past = read_past(body, bytes)?,
            _ => return Err(PartError::Wrong(format!("an unknown section {kind}"))),
        }
    }
    Ok(sections)
}

/// Version 1 had no sections, and delayed messages among the held ones.
fn read_version_1(body: &mut Body<'_>) -> Result<Sections, PartError> {
    let bytes = body.u64()?;
    let apart = body.bytes(bytes)?;
    let (count, left) = (body.u64()?, body.left());
    if count.checked_mul(HELD_BYTES_V1 as u64) != Some(left) {
        return Err(PartError::Wrong(format!("{count} held messages in {left} bytes")));
    }
    let mut held = read_held(body, left, HELD_BYTES_V1)?;
    let (mut delays, mut due) = (Delays::default(), RoaringTreemap::new());
    let is_never_received = |(seq, held): (Seq, &Held)| {
        (held.receive_count == 0).then_some((seq, held.state, held.until))
    };
    let never_received: Vec<_> = held.range(..).filter_map(is_never_received).collect();
    for (seq, state, until) in never_received {
        match state {
            MessageState::Delayed => {
                held.remove(seq);
                delays.insert(seq, until);
            }
            MessageState::Waiting => {
                held.remove(seq);
                due.insert(seq.0);
            }
            MessageState::InFlight { .. } | MessageState::Damaged => {}
        }
    }
    let mut due_bytes = Vec::new();
    due.serialize_into(&mut due_bytes).expect("memory takes all that is written");
    Ok(Sections { apart, held, delays, due: due_bytes, ..Sections::default() })
}

fn read_window(body: &mut Body<'_>, bytes: u64) -> Result<Window, PartError> {
    let mut window = Window::default();
    read_items(body, bytes, DEDUPLICATED_BYTES, |mut item| {
        let key = DeduplicationKey(item.array()?);
        window.push(Entry { key, seq: take_seq(&mut item)?, time: LogTime(item.u64()?) });
        Some(())
    })?;
    Ok(window)
}

fn read_producers(body: &mut Body<'_>, mut bytes: u64) -> Result<Producers, PartError> {
    let wrong = || PartError::Wrong("a producer that ends before it should".to_owned());
    let mut producers = Producers::default();
    while bytes > 0 {
        bytes = bytes.checked_sub(PRODUCER_BYTES as u64).ok_or_else(wrong)?;
        let fixed = body.bytes(PRODUCER_BYTES as u64)?;
        let mut fixed = Fields::new(&fixed);
        let id = ProducerId(u128::from_le_bytes(fixed.array().ok_or_else(wrong)?));
        let time = LogTime(fixed.u64().ok_or_else(wrong)?);
        let oldest = fixed.u64().ok_or_else(wrong)?;
        let batches_bytes = u64::from(fixed.u32().ok_or_else(wrong)?) * BATCH_BYTES as u64;
        bytes = bytes.checked_sub(batches_bytes).ok_or_else(wrong)?;
        let mut batches = VecDeque::new();
        read_items(body, batches_bytes, BATCH_BYTES, |mut item| {
            let (number, first) = (item.u64()?, take_seq(&mut item)?);
            batches.push_back(Batch { number, first, count: item.u32()? });
            Some(())
        })?;
        producers.restore(id, Producer { time, oldest, batches });
    }
    Ok(producers)
}

/// What a later version may append is passed over.
fn read_past(body: &mut Body<'_>, bytes: u64) -> Result<Past, PartError> {
    let purge = Swept { through: Seq(body.u64()?), at: LogTime(body.u64()?) };
    let last_purge = (purge.through > Seq(0)).then_some(purge);
    let (mut last_expiry, mut read) = (None, 16);
    if bytes >= 40 {
        let (below, at) = (Seq(body.u64()?), LogTime(body.u64()?));
        last_expiry = Some(Expiry { below, at, late_before: LogTime(body.u64()?) });
        read = 40;
    }
    body.bytes(bytes.saturating_sub(read))?;
    let greatest = last_expiry.map_or(purge.through, |expiry| purge.through.max(expiry.below));
    if greatest > Seq::MAX {
        let max = Seq::MAX;
        return Err(PartError::Wrong(format!("message {greatest} was swept, the last is {max}")));
    }
    Ok(Past { last_purge, last_expiry })
}

fn read_late(bytes: &[u8]) -> Result<Late, PartError> {
    if bytes.is_empty() {
        return Ok(Late::default());
    }
    let wrong = || PartError::Wrong("late messages that end before they should".to_owned());
    let mut fields = Fields::new(bytes);
    let last = Seq(fields.u64().ok_or_else(wrong)?);
    let mut rest = fields.rest();
    let mut stretches = Vec::new();
    while !rest.is_empty() {
        let mut fields = Fields::new(rest);
        let stretch = fields.u64().ok_or_else(wrong)?;
        let set_bytes = fields.u32().ok_or_else(wrong)? as usize;
        let (set, behind) = fields.rest().split_at_checked(set_bytes).ok_or_else(wrong)?;
        stretches.push((stretch, read_set(set)?));
        rest = behind;
    }
    Ok(Late::restored(last, stretches))
}

fn read_delays(body: &mut Body<'_>, bytes: u64) -> Result<Delays, PartError> {
    let mut delays = Delays::at(LogTime(body.u64()?));
    read_items(body, bytes.saturating_sub(8), DELAYED_BYTES, |mut item| {
        let (seq, until) = (Seq(item.u64()?), LogTime(item.u64()?));
        (!delays.contains(seq)).then(|| delays.insert(seq, until))
    })?;
    Ok(delays)
}

/// Reads items of one size, some at once.
fn read_items(
    body: &mut Body<'_>,
    bytes: u64,
    item_bytes: usize,
    mut take: impl FnMut(Fields<'_>) -> Option<()>,
) -> Result<(), PartError> {
    if !bytes.is_multiple_of(item_bytes as u64) {
        return Err(PartError::Wrong(format!("messages of {item_bytes} bytes in {bytes}")));
    }
    let mut left = bytes;
    while left > 0 {
        let piece = body.bytes(left.min((MESSAGES_AT_ONCE * item_bytes) as u64))?;
        left -= piece.len() as u64;
        for item in piece.chunks_exact(item_bytes) {
            take(Fields::new(item))
                .ok_or_else(|| PartError::Wrong(format!("a message: {item:02x?}")))?;
        }
    }
    Ok(())
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

fn read_set(mut bytes: &[u8]) -> Result<RoaringTreemap, PartError> {
    if bytes.is_empty() {
        return Ok(RoaringTreemap::new());
    }
    let wrong = |detail: String| PartError::Wrong(format!("a set of its messages: {detail}"));
    let set = RoaringTreemap::deserialize_from(&mut bytes).map_err(|e| wrong(e.to_string()))?;
    match bytes.len() {
        0 => Ok(set),
        left => Err(wrong(format!("{left} bytes are left"))),
    }
}

fn read_held(body: &mut Body<'_>, bytes: u64, item_bytes: usize) -> Result<HeldMap, PartError> {
    let (mut map, mut before) = (HeldMap::default(), None);
    read_items(body, bytes, item_bytes, |item| {
        let (seq, held) = decode_held(item, item_bytes == HELD_BYTES)?;
        if before >= Some(seq) {
            return None;
        }
        before = Some(seq);
        map.insert(seq, held);
        Some(())
    })?;
    Ok(map)
}

fn decode_held(mut fields: Fields<'_>, has_group: bool) -> Option<(Seq, Held)> {
    let (seq, state, zero) = (Seq(fields.u64()?), fields.u8()?, fields.array::<3>()?);
    let (receive_count, until) = (fields.u32()?, LogTime(fields.u64()?));
    let state = match state {
        state::WAITING => MessageState::Waiting,
        state::IN_FLIGHT => MessageState::InFlight { until },
        state::DELAYED if !has_group => MessageState::Delayed,
        _ => return None,
    };
    let lease = LeaseId(fields.u64()?);
    let (first_received, received) = (LogTime(fields.u64()?), LogTime(fields.u64()?));
    let group = if has_group { Group(fields.u32()?) } else { Group::NONE };
    let held = Held { state, group, until, receive_count, lease, first_received, received };
    (zero == [0; 3]).then_some((seq, held))
}

/// Whether the messages are as a queue's can be: what counts and subtracts relies on it.
fn check_messages(messages: &FrozenMessages) -> Result<(), String> {
    let FrozenMessages { next, cursor, apart, held, delays, due, .. } = messages;
    if *cursor < Seq(1) || cursor > next || *next > Seq::MAX {
        return Err(format!("cursor {cursor} and next message {next}"));
    }
    if apart.min().is_some_and(|first| first <= cursor.0)
        || apart.max().is_some_and(|last| last >= next.0)
    {
        return Err(format!("messages apart that are not between {cursor} and {next}"));
    }
    let is_wrong = |seq: &Seq| seq >= next || seq >= cursor && !apart.contains(seq.0);
    let never_received = delays.seqs().iter().chain(due.iter()).map(Seq);
    let out_of_backlog = held.range(..).map(|(seq, _)| seq).chain(never_received);
    if let Some(seq) = out_of_backlog.into_iter().find(is_wrong) {
        return Err(format!("message {seq} is in the backlog too, or was never sent"));
    }
    let is_twice = |seq: &Seq| held.get(*seq).is_some() || delays.contains(*seq);
    let twice = due.iter().map(Seq).find(is_twice);
    let twice = twice.or(delays.seqs().iter().map(Seq).find(|seq| held.get(*seq).is_some()));
    if let Some(seq) = twice {
        return Err(format!("message {seq} is in two states"));
    }
    match messages.returns.iter().find(|(seq, _)| !messages.is_live(*seq)) {
        Some((seq, _)) => Err(format!("message {seq} was given back and is gone")),
        None => Ok(()),
    }
}
