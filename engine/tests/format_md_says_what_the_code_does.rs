//! Without this: FORMAT.md would describe the files of an earlier version, and who writes a tool
//! or repairs a disk by it would be led astray.
//!
//! The document's tables and numbers are read and compared with what the code encodes.

mod common;

use std::path::Path;

use bytes::BytesMut;
use common::{DATA, open};
use forebay_engine::attributes::{
    ATTRIBUTES, AttributeChanges, AttributeRow, Attributes, RETENTION_MS_MAX, TEXT_ATTRIBUTES,
    TextRow, Value,
};
use forebay_engine::command::ProducerBatch;
use forebay_engine::disk::SimDisk;
use forebay_engine::entry::{ENTRY_ALIGN, ENTRY_HEADER_BYTES};
use forebay_engine::ids::{
    DeduplicationKey, Epoch, Group, LeaseId, Position, ProducerId, QueueId, RedriveId, Seq,
};
use forebay_engine::log::{FORMAT_VERSION, SEGMENT_HEADER_BYTES};
use forebay_engine::record::{
    Lease, MOVED_OVERHEAD_BYTES, Moved, RECORD_HEADER_BYTES, Record, RecordWriter, RedriveEnded,
    RedriveOutcome, RedriveStarted, SENT_OVERHEAD_BYTES, Sent,
};
use forebay_engine::{LogTime, SimClock};

const FORMAT: &str = include_str!("../FORMAT.md");

/// Each record kind, encoded, with how many items its list holds.
fn encoded() -> Vec<(Vec<u8>, usize)> {
    let (queue, time) = (QueueId(1), LogTime(2));
    // Without texts, whose sizes differ.
    let all = AttributeChanges {
        dead_letter_queue: None,
        redrive_sources: None,
        tags: None,
        notes: None,
        ..Attributes::default().as_changes()
    };
    let one = AttributeChanges { delay_ms: Some(3), ..AttributeChanges::default() };
    let lease = |seq| Lease { seq: Seq(seq), receive_count: 1, group: Group::NONE };
    let sent = |visible_from, deduplication: Option<[u8; 16]>| Sent {
        queue,
        seq: Seq(4),
        position: Position(5),
        visible_from,
        deduplication: deduplication.map(|key| (DeduplicationKey(key), time)),
        checksum: 6,
        attributes_bytes: 0,
        payload: b"payload",
    };
    type Write<'a> = &'a dyn Fn(&mut RecordWriter<'_>);
    let moved = |redrive, source| Moved {
        message: sent(None, None),
        from_queue: QueueId(2),
        from_seq: Seq(3),
        origin_queue: queue,
        origin_seq: Seq(4),
        sent: time,
        first_received: time,
        receive_count: 1,
        time,
        redrive,
        reason: "",
        source,
    };
    let redrive = RedriveId::new(QueueId(2), 1);
    let (rate, through, to_move) = (5, Seq(6), 7);
    let started =
        RedriveStarted { redrive, time, rate, through, to_move, moved: 0, destination: "name" };
    let outcome = RedriveOutcome::Failed;
    let ended = RedriveEnded { redrive, time, outcome, moved: 0, reason: "name" };
    let batch = ProducerBatch { producer: ProducerId(1), number: 2, oldest: 1 };
    let writes: [(Write<'_>, usize); 22] = [
        (&|out| out.opened(Epoch(1)), 0),
        (&|out| out.queue_created(queue, time, &all, "name"), ATTRIBUTES.len()),
        (&|out| out.queue_changed(queue, time, &one), 1),
        (&|out| out.queue_purged(queue, Seq(1), None), 0),
        (&|out| out.queue_purged(queue, Seq(1), Some(time)), 1),
        (&|out| out.queue_deleted(queue), 0),
        (&|out| out.sent(&sent(None, None)), 0),
        (&|out| out.sent(&sent(Some(time), None)), 1),
        (&|out| out.sent(&sent(None, Some([7; 16]))), 2),
        (&|out| out.sent(&sent(Some(time), Some([7; 16]))), 2),
        (&|out| out.leased(queue, time, time, LeaseId(1), &[lease(1), lease(2)]), 2),
        (&|out| out.lease_changed(queue, &[(Seq(1), time), (Seq(2), time)]), 2),
        (&|out| out.acked(queue, &[Seq(1), Seq(2), Seq(3)]), 3),
        (&|out| out.compacted(queue, Seq(4)), 0),
        (&|out| out.returned(queue, time, false, "", &[Seq(1), Seq(2)]), 2),
        (&|out| out.moved(&moved(None, "name")), 0),
        (&|out| out.moved(&moved(Some((redrive, 1)), "name")), 0),
        (&|out| out.produced(queue, batch, Seq(3), 4, time), 0),
        (&|out| out.deduplicated(queue, Seq(4), DeduplicationKey([7; 16]), time), 0),
        (&|out| out.redrive_started(&started), 0),
        (&|out| out.redrive_ended(&ended), 0),
        (&|out| out.expired(queue, Seq(1), time, time), 0),
    ];
    let encode = |(write, items): (Write<'_>, usize)| {
        let mut bytes = BytesMut::new();
        write(&mut RecordWriter::new(&mut bytes));
        (bytes.to_vec(), items)
    };
    writes.into_iter().map(encode).collect()
}

/// The bytes of the integers, and of the keys, that a text names.
fn widths(text: &str) -> usize {
    let keys_bytes = 16 * text.matches("16 bytes").count();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let integers = words.map(|word| match word {
        "u8" => 1,
        "u16" => 2,
        "u32" => 4,
        "u64" => 8,
        _ => 0,
    });
    keys_bytes + integers.sum::<usize>()
}

/// Rows of the table of record kinds: number, name, fields.
fn kinds() -> Vec<(u8, &'static str, &'static str)> {
    let rows = FORMAT.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some((cells.next()?.parse().ok()?, cells.next()?, cells.next()?))
    });
    rows.collect()
}

#[test]
fn the_table_of_record_kinds_is_the_codes() {
    let mut met = Vec::new();
    for (bytes, items) in encoded() {
        let (record, rest) = Record::decode(&bytes).unwrap();
        assert!(rest.is_empty());
        let shown = record.to_string();
        let row = kinds().into_iter().find(|(number, _, _)| *number == bytes[4]);
        let (number, name, fields) = row.unwrap_or_else(|| panic!("no row for {shown}"));
        assert_eq!(shown.split(' ').next(), Some(name));
        met.push(number);
        // Fixed fields, then those of the list as often as there are items; or optional ones, each
        // only behind those before it.
        let (fixed, behind) = fields.split_once(';').unwrap_or((fields, ""));
        let behind: usize = match name {
            "Sent" => behind.split(';').take(items).map(widths).sum(),
            _ => items * widths(behind),
        };
        let mut expected = widths(fixed) + behind;
        if fields.contains("attributes,") || fields.ends_with("attributes") {
            expected += 2 + items * (2 + 8);
        }
        if fields.contains("(the rest") {
            expected += "name".len();
        }
        let fields_bytes = u16::from_le_bytes([bytes[6], bytes[7]]);
        assert_eq!(usize::from(fields_bytes), expected, "{name}: {fields}");
        let payload = if ["Sent", "Moved"].contains(&name) { 7 } else { 0 };
        assert_eq!(bytes.len(), RECORD_HEADER_BYTES + expected + payload, "{name}");
    }
    met.dedup();
    let documented: Vec<u8> = kinds().iter().map(|(number, _, _)| *number).collect();
    assert_eq!(met, documented, "each kind has a row, and each row a kind");
}

#[test]
fn the_attributes_have_their_numbers() {
    let rows = FORMAT.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| 0x")?.split('|').map(str::trim);
        Some((u16::from_str_radix(cells.next()?, 16).ok()?, cells.next()?, cells.next()?))
    });
    let documented: Vec<_> = rows.collect();
    let numbers = ATTRIBUTES.iter().map(|AttributeRow { id, name, .. }| (*id, *name));
    let texts = TEXT_ATTRIBUTES.iter().map(|TextRow { id, name, .. }| (*id, *name));
    let names = documented.iter().map(|(id, name, _)| (*id, *name));
    assert!(names.eq(numbers.chain(texts)), "{documented:?}");
    for row in TEXT_ATTRIBUTES {
        let kind = match (row.empty)() {
            Value::Number(_) => "u64",
            Value::Text(_) => "text",
            Value::List(_) => "list",
            Value::Map(_) => "map",
        };
        let (_, _, value) = documented.iter().find(|(id, _, _)| *id == row.id).unwrap();
        assert!(value.starts_with(kind), "{}: {value}", row.name);
    }
    // Words, and no word more than is documented.
    for row in ATTRIBUTES {
        let (_, _, value) = documented.iter().find(|(id, _, _)| *id == row.id).unwrap();
        if !value.starts_with("0 ") {
            continue;
        }
        let shown = (row.min..=row.max).map(|number| {
            let mut attributes = AttributeChanges::default();
            attributes.set(row.id, number).unwrap();
            format!("{number} {}", attributes.shown().next().unwrap().1)
        });
        assert_eq!(*value, shown.collect::<Vec<_>>().join(", "), "{}", row.name);
    }
    let unwrapped = FORMAT.replace('\n', " ");
    assert!(unwrapped.contains(&format!("retention is then {RETENTION_MS_MAX}, since")));
}

#[test]
fn the_sizes_are_the_codes() {
    let says = |text: &str| assert!(FORMAT.contains(text), "FORMAT.md does not say {text:?}");
    says(&format!("Format version {FORMAT_VERSION}."));
    says(&format!("a header page of {SEGMENT_HEADER_BYTES} bytes"));
    says(&format!("each beginning at a multiple of {ENTRY_ALIGN}"));
    says(&format!("{ENTRY_HEADER_BYTES}: the records, then zeros to a multiple of {ENTRY_ALIGN}"));
    let sent = kinds().into_iter().find(|(_, name, _)| *name == "Sent").unwrap();
    let (fixed, _) = sent.2.split_once(';').unwrap();
    assert_eq!(SENT_OVERHEAD_BYTES, RECORD_HEADER_BYTES + widths(fixed));
    let moved = kinds().into_iter().find(|(_, name, _)| *name == "Moved").unwrap();
    assert_eq!(MOVED_OVERHEAD_BYTES, RECORD_HEADER_BYTES + widths(moved.2));
}

#[test]
fn a_new_stores_files_begin_as_written() {
    let disk = SimDisk::new(1);
    drop(open(&disk, &SimClock::new(0)).unwrap());
    let read = |name: &str| disk.image(Path::new(DATA).join(name)).unwrap();
    let magic = |name: &str| FORMAT.contains(&format!("magic: `{name}`"));
    let manifest = read("MANIFEST");
    assert!(manifest.starts_with(b"FOREBAYM") && magic("FOREBAYM"));
    assert_eq!(manifest.len(), 48 + 40, "one segment");
    assert!(FORMAT.contains("segment, 40 bytes:"));
    let segment = read("log/0000000000000001.log");
    assert!(segment.starts_with(b"FOREBAYL") && magic("FOREBAYL"));
    assert!(segment[SEGMENT_HEADER_BYTES as usize..].starts_with(b"FBEN") && magic("FBEN"));
    let identity = String::from_utf8(read("store.toml")).unwrap();
    let keys = |text: &str| {
        let keys = text.lines().filter_map(|line| line.split_once(" = "));
        keys.map(|(key, _)| key.trim().to_owned()).collect::<Vec<_>>()
    };
    let section = FORMAT.split("## 1 store.toml").nth(1).unwrap().split("## 2").next().unwrap();
    assert_eq!(keys(&identity), keys(section));
}
