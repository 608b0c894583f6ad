//! Records, entries, segment headers and manifests: any bytes give a value or an error; what was
//! written reads back equal; and one changed byte is always noticed.
//!
//! Arbitrary bytes stop at the first checksum. So each decoder also gets bytes whose checksums
//! were made right, as a faulty writer or an ill-meaning one would.

#![no_main]

use forebay_engine::LogTime;
use forebay_engine::attributes_section::AttributesSection;
use forebay_engine::checksum::Salt;
use forebay_engine::entry::{
    ENTRY_HEADER_BYTES, EntryBuilder, EntryHeader, check_body, records, seal_entry,
};
use forebay_engine::ids::{Epoch, Position};
use forebay_engine::log::{Manifest, SEGMENT_HEADER_BYTES, SegmentHeader};
use forebay_engine::record::{List, Record};
use forebay_fuzz::{Choices, Fact};
use libfuzzer_sys::fuzz_target;

const RECORDS_MAX: usize = 6;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    match choices.byte() % 5 {
        0 => any_record(choices.rest()),
        1 => any_entry(choices),
        2 => any_page(choices),
        3 => any_manifest(choices),
        _ => written_entry(&mut choices),
    }
});

fn any_record(mut bytes: &[u8]) {
    while let Ok((record, rest)) = Record::decode(bytes) {
        assert!(rest.len() < bytes.len(), "a record has bytes");
        read_all(&record);
        bytes = rest;
    }
}

/// Touches everything a record refers to.
fn read_all(record: &Record<'_>) {
    fn count<T: forebay_engine::record::Item>(list: &List<'_, T>) {
        assert_eq!(list.iter().count(), list.len());
    }
    if let Some(sent) = record.message() {
        assert!(sent.attributes_bytes as usize <= sent.payload.len());
        let _ = sent.check_payload();
        let section = AttributesSection::read(sent.attributes());
        assert!(section.counted_bytes <= u64::from(sent.attributes_bytes));
    }
    match record {
        Record::Leased { messages, .. } => assert_eq!(messages.iter().count(), messages.len()),
        Record::LeaseChanged { changes, .. } => count(changes),
        Record::Acked { messages, .. } | Record::Returned { messages, .. } => count(messages),
        _ => {}
    }
}

fn any_entry(mut choices: Choices<'_>) {
    let (salt, left) = (Salt(choices.number()), choices.number());
    let make_right = choices.byte() % 2 == 1;
    let mut bytes = choices.rest().to_vec();
    if make_right && let Some((header, body)) = bytes.split_at_mut_checked(ENTRY_HEADER_BYTES) {
        header[..4].copy_from_slice(b"FBEN");
        let body_bytes = u32::from_le_bytes([header[40], header[41], header[42], header[43]]);
        let end = body.len().min(body_bytes as usize);
        let crc = crc(&[&salt.0.to_le_bytes(), &header[8..16], &body[..end]]);
        header[48..52].copy_from_slice(&crc.to_le_bytes());
        let crc = self::crc(&[&salt.0.to_le_bytes(), &header[8..]]);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
    }
    let Ok(header) = EntryHeader::decode(&bytes, salt, left) else { return };
    assert!(header.bytes() <= left, "an entry ends where its segment ends");
    let behind = &bytes[ENTRY_HEADER_BYTES..];
    if check_body(&header, salt, behind).is_ok() {
        let body = &behind[..header.body_bytes as usize];
        let found = records(body).inspect(|(record, _, _)| read_all(record)).count();
        assert_eq!(found, header.records as usize);
    }
}

fn any_page(mut choices: Choices<'_>) {
    let (make_right, version) = (choices.byte() % 2 == 1, version(&mut choices));
    let mut page = choices.rest().to_vec();
    let _ = SegmentHeader::decode(&page);
    page.resize(SEGMENT_HEADER_BYTES as usize, 0);
    if make_right {
        make_file_right(&mut page, b"FOREBAYL", version);
    }
    if let Ok(header) = SegmentHeader::decode(&page) {
        let is_compacted = page[8..12] == 2_u32.to_le_bytes();
        assert_eq!(header.generation > 0, is_compacted, "only a compacted segment has version 2");
        assert!(header.first <= Position::MAX && header.epoch <= Epoch::MAX);
    }
}

fn any_manifest(mut choices: Choices<'_>) {
    let (make_right, version) = (choices.byte() % 2 == 1, version(&mut choices));
    let mut bytes = choices.rest().to_vec();
    if make_right && bytes.len() >= 16 {
        make_file_right(&mut bytes, b"FOREBAYM", version);
    }
    if let Ok(manifest) = Manifest::decode(&bytes) {
        let row_bytes = if bytes[8..12] == 1_u32.to_le_bytes() { 24 } else { 40 };
        assert!(manifest.segments.is_sorted_by_key(|segment| segment.first));
        assert!(
            manifest.segments.len() * row_bytes < bytes.len(),
            "a count is believed after a check"
        );
        for segment in &manifest.segments {
            let last = segment.sealed.map_or(segment.first, |sealed| sealed.last);
            assert!(segment.first.max(last) <= Position::MAX, "another position can follow");
        }
        assert!(manifest.epoch <= Epoch::MAX);
    }
}

/// A version of manifests and segment headers: there are two of each, and a third is refused.
fn version(choices: &mut Choices<'_>) -> u32 {
    choices.below(3) as u32 + 1
}

/// FORMAT.md sections 2 and 3: magic, version, and the checksum of all but itself.
fn make_file_right(bytes: &mut [u8], magic: &[u8; 8], version: u32) {
    bytes[..8].copy_from_slice(magic);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc(&[&bytes[..12], &bytes[16..]]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}

fn crc(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

fn written_entry(choices: &mut Choices<'_>) {
    let salt = Salt(choices.number());
    let position = Position(choices.number().clamp(1, Position::MAX.0));
    let durable = Position(choices.number().min(position.0 - 1));
    let log_time = LogTime(choices.number());
    let facts: Vec<Fact> =
        (0..choices.below(RECORDS_MAX)).map(|_| Fact::choose(choices, position)).collect();

    let mut builder = EntryBuilder::new();
    for fact in &facts {
        builder.append(|out| fact.write(out));
    }
    let (mut entry, count) = builder.finish();
    seal_entry(&mut entry, salt, position, durable, log_time, count);

    let left = entry.len() as u64;
    let header = EntryHeader::decode(&entry, salt, left).expect("what was written reads back");
    let EntryHeader { term, body_bytes, records: listed, .. } = header;
    assert_eq!((header.position, header.durable, header.log_time), (position, durable, log_time));
    assert_eq!((term, listed, header.bytes()), (1, facts.len() as u32, left));
    let behind = &entry[ENTRY_HEADER_BYTES..];
    check_body(&header, salt, behind).expect("what was written reads back");
    let body = &behind[..body_bytes as usize];
    assert_eq!(records(body).count(), facts.len());
    for (fact, (record, _, _)) in facts.iter().zip(records(body)) {
        assert!(fact.is_said_by(&record), "wrote {fact:?}, read {record:?}");
    }

    let at = choices.below(entry.len());
    entry[at] ^= choices.byte().max(1);
    let accepted = EntryHeader::decode(&entry, salt, left)
        .and_then(|header| check_body(&header, salt, &entry[ENTRY_HEADER_BYTES..]));
    assert!(accepted.is_err(), "a changed byte at {at} was not noticed");
}
