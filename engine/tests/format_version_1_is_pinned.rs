//! Without this: a change of a field's width, order or checksum would go unnoticed until somebody's
//! data no longer opened.
//!
//! `golden/v1` is a store written by format version 1: every file kind, every record kind, several
//! segments. It is read, compared with what it is known to hold, and written again record by
//! record to the same bytes. It is never made anew: a new format version gets a folder of its own.

mod common;

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use common::{Answers, DATA, ask, open, show};
use forebay_engine::attributes::{Attributes, RETENTION_MS_MAX};
use forebay_engine::checksum::Salt;
use forebay_engine::command::{Command, MessageState, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::entry::{EntryBuilder, EntryHeader, seal_entry};
use forebay_engine::ids::{DeduplicationKey, Position, QueueId, Seq};
use forebay_engine::inspect::{Inspected, inspect};
use forebay_engine::record::{Record, RecordWriter, Sent};
use forebay_engine::verify::{Outcome, verify};
use forebay_engine::{LogTime, SimClock};

const FILES: [&str; 6] = [
    "store.toml",
    "MANIFEST",
    "log/0000000000000001.log",
    "log/000000000000000c.log",
    "log/0000000000000013.log",
    "inspected.txt",
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn golden_disk() -> SimDisk {
    let disk = SimDisk::new(1);
    for file in &FILES[..5] {
        let bytes = std::fs::read(golden().join(file)).expect("the golden file is there");
        disk.put(Path::new(DATA).join(file), &bytes).expect("it is planted");
    }
    disk
}

fn inspected(disk: &SimDisk) -> String {
    let mut text = String::new();
    inspect(disk, Path::new(DATA), &mut |line| {
        text.push_str(&line.to_string());
        text.push('\n');
    })
    .expect("the golden store is readable");
    text
}

#[test]
fn every_byte_reads_as_it_did() {
    let disk = golden_disk();
    let expected = std::fs::read_to_string(golden().join("inspected.txt")).unwrap();
    assert_eq!(inspected(&disk), expected);
    let report = verify(&disk, Path::new(DATA), &mut |_| {}).unwrap();
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
}

#[test]
fn it_opens_and_holds_what_it_held() {
    let (disk, clock) = (golden_disk(), SimClock::new(0));
    let mut store = open(&disk, &clock).expect("a store of version 1 opens");
    let shown = show(&mut store, &mut Answers::default());
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["jobs", "later"]);
    let jobs = &shown["jobs"];
    assert_eq!((jobs.id, jobs.attributes.visibility_timeout_ms, jobs.next_seq), (1, 45_000, 61));
    let seqs: Vec<u64> = jobs.messages.keys().copied().collect();
    assert_eq!(seqs, (3..=60).collect::<Vec<_>>(), "1 and 2 were acked");
    for (seq, message) in &jobs.messages {
        assert_eq!(message.body, vec![*seq as u8; 300 + *seq as usize]);
    }
    assert!(matches!(jobs.messages[&3].state, MessageState::InFlight { .. }));
    assert_eq!(jobs.messages[&3].receive_count, 1);
    let later = &shown["later"];
    let until = LogTime(1_800_000_000_000 + 3_600_000);
    assert_eq!(later.messages[&3].state, MessageState::Delayed);
    assert_eq!(later.messages[&3].delayed_until, Some(until));
    assert_eq!(later.messages[&3].body, "at last");
    assert_eq!(later.messages.len(), 1, "1 and 2 were purged");
    // What it says nothing of is as it was: nothing expired.
    for name in ["jobs", "later"] {
        let describe = Command::DescribeQueue { name: name.to_owned() };
        let Ok(Reply::Described(info)) = ask(&mut store, &mut Answers::default(), describe) else {
            panic!("{name} is there");
        };
        let visibility_timeout_ms = info.attributes.visibility_timeout_ms;
        let expected = Attributes { visibility_timeout_ms, ..Attributes::as_before() };
        assert_eq!(*info.attributes, expected);
        assert_eq!(info.attributes.retention_ms, RETENTION_MS_MAX);
    }
}

/// An entry as `inspect` shows it, written again.
struct Again {
    salt: Salt,
    file: Vec<u8>,
    entry: Option<(u64, EntryHeader, EntryBuilder)>,
    compared: usize,
}

impl Again {
    fn finish_entry(&mut self) {
        let Some((offset, header, builder)) = self.entry.take() else { return };
        let (mut bytes, records): (BytesMut, u32) = builder.finish();
        seal_entry(
            &mut bytes,
            self.salt,
            header.position,
            header.durable,
            header.log_time,
            records,
        );
        let offset = offset as usize;
        assert_eq!(bytes, self.file[offset..offset + bytes.len()], "entry {}", header.position);
        self.compared += 1;
    }
}

fn write_again(out: &mut RecordWriter<'_>, record: &Record<'_>) {
    match *record {
        Record::Opened { epoch } => out.opened(epoch),
        Record::QueueCreated { queue, time, attributes, name } => {
            out.queue_created(queue, time, &attributes.changes(), name);
        }
        Record::QueueChanged { queue, time, attributes } => {
            out.queue_changed(queue, time, &attributes.changes());
        }
        Record::QueuePurged { queue, through, time } => out.queue_purged(queue, through, time),
        Record::QueueDeleted { queue } => out.queue_deleted(queue),
        Record::Sent(sent) => out.sent(&sent),
        Record::Leased { queue, time, until, first_lease, messages } => {
            out.leased(queue, time, until, first_lease, &messages.iter().collect::<Vec<_>>());
        }
        Record::LeaseChanged { queue, changes } => {
            out.lease_changed(queue, &changes.iter().collect::<Vec<_>>());
        }
        Record::Acked { queue, messages } => {
            out.acked(queue, &messages.iter().collect::<Vec<_>>());
        }
        Record::Compacted { .. } | Record::Produced { .. } | Record::Deduplicated { .. } => {
            panic!("there were none of these in the first version")
        }
        Record::Expired { .. } => panic!("nothing expired"),
        Record::Returned { .. } => panic!("nothing was given back with a reason"),
        Record::Moved(_) | Record::RedriveStarted(_) | Record::RedriveEnded(_) => {
            panic!("nothing was moved when the store was made")
        }
    }
}

#[test]
fn every_entry_is_written_as_it_was() {
    let disk = golden_disk();
    let mut again = Again { salt: Salt(0), file: Vec::new(), entry: None, compared: 0 };
    let mut kinds = std::collections::BTreeSet::new();
    inspect(&disk, Path::new(DATA), &mut |line| match line {
        Inspected::Segment { path, header } => {
            again.finish_entry();
            again.salt = header.salt;
            again.file = disk.image(path).unwrap();
        }
        Inspected::Entry { offset, header } => {
            again.finish_entry();
            again.entry = Some((offset, header, EntryBuilder::new()));
        }
        Inspected::Record { record, .. } => {
            kinds.insert(record.to_string().split(' ').next().unwrap().to_owned());
            let (_, _, builder) = again.entry.as_mut().expect("a record belongs to an entry");
            builder.append(|out| write_again(out, &record));
        }
        Inspected::End { .. } => again.finish_entry(),
        _ => {}
    })
    .unwrap();
    assert_eq!(kinds.len(), 9, "every record kind is in the golden store: {kinds:?}");
    assert_eq!(again.compared, 20, "every entry was written again");
}

/// The golden store has none of these: they came later, as optional fields of version 1.
#[test]
fn a_sent_record_with_a_deduplication_key_is_written_as_it_was() {
    // Queue, seq, position, checksum, attributes bytes.
    const FIXED: &str = "01000000 0200000000000000 0300000000000000 f2521eed 06000000";
    const KEY: &str = "000102030405060708090a0b0c0d0e0f";
    const PAYLOAD: &str = "0101000000676869";
    let bytes = |hex: &str| -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(|c| *c != ' ').collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    };
    let time = LogTime(0x1122);
    for (visible_from, key, fields_bytes, optional) in [
        (None, None, 28, String::new()),
        (Some(time), None, 36, "2211000000000000".to_owned()),
        (None, Some(KEY), 60, format!("0000000000000000 {KEY} 3322000000000000")),
        (Some(time), Some(KEY), 60, format!("2211000000000000 {KEY} 3322000000000000")),
    ] {
        let payload = bytes(PAYLOAD);
        let sent = Sent {
            queue: QueueId(1),
            seq: Seq(2),
            position: Position(3),
            visible_from,
            deduplication: key
                .map(|key| (DeduplicationKey(bytes(key).try_into().unwrap()), LogTime(0x2233))),
            checksum: forebay_engine::checksum::message(6, &payload),
            attributes_bytes: 6,
            payload: &payload,
        };
        let mut written = BytesMut::new();
        RecordWriter::new(&mut written).sent(&sent);
        let record_bytes = 12 + fields_bytes + 8;
        // Kind 16, no flags; the seal is left to whoever knows the segment.
        let expected = format!(
            "{record_bytes:02x}000000 1000 {fields_bytes:02x}00 00000000 {FIXED} {optional} {PAYLOAD}"
        );
        assert_eq!(written, bytes(&expected), "{expected}");
        assert_eq!(Record::decode(&written), Ok((Record::Sent(sent), &[][..])));
        assert_eq!(sent.attributes(), &payload[..6]);
    }
}

/// How the golden store was made. Run by hand, once for a format version:
/// `cargo test -p forebay-engine --test format_version_1_is_pinned -- --ignored`
#[test]
#[ignore = "makes the golden store, which is never made anew"]
fn make_the_golden_store() {
    use common::message;

    assert!(!golden().exists(), "a golden store is never made anew");
    let (disk, clock) = (SimDisk::new(1), SimClock::new(1_800_000_000_000));
    let mut answers = Answers::default();
    let mut store = open(&disk, &clock).unwrap();
    let mut ask = |store: &mut _, command| ask(store, &mut answers, command).expect("it succeeds");
    let create =
        |name: &str| Command::CreateQueue { name: name.into(), attributes: Default::default() };
    ask(&mut store, create("jobs"));
    ask(&mut store, create("later"));
    ask(&mut store, create("gone"));
    ask(&mut store, Command::DeleteQueue { name: "gone".into() });
    let mut seq = 0u8;
    let mut send = |count: usize| {
        let messages = (0..count).map(|_| {
            seq += 1;
            message(&vec![seq; 300 + usize::from(seq)], None)
        });
        Command::Send { queue: "jobs".into(), messages: messages.collect(), batch: None }
    };
    for _ in 0..2 {
        ask(&mut store, send(10));
    }
    let attributes = forebay_engine::attributes::AttributeChanges {
        visibility_timeout_ms: Some(45_000),
        ..Default::default()
    };
    ask(&mut store, Command::AlterQueue { name: "jobs".into(), attributes: attributes.into() });
    let later = |body: &str, delay_ms| Command::Send {
        queue: "later".into(),
        messages: vec![message(body.as_bytes(), delay_ms)],
        batch: None,
    };
    ask(&mut store, later("purged", None));
    ask(&mut store, later("purged too", Some(1000)));
    ask(&mut store, Command::PurgeQueue { name: "later".into() });
    drop(store);
    disk.kill();
    let mut store = open(&disk, &clock).unwrap();
    ask(&mut store, later("at last", Some(3_600_000)));
    let receive = Command::Receive {
        queue: "jobs".into(),
        max: 4,
        wait_ms: None,
        visibility_ms: None,
        bytes_max: u64::MAX,
        attempt: None,
    };
    let Reply::Received { deliveries, .. } = ask(&mut store, receive) else { panic!() };
    let receipt = |index: usize| deliveries[index].receipt;
    ask(
        &mut store,
        Command::ChangeVisibility { queue: "jobs".into(), changes: vec![(receipt(3), 0)] },
    );
    ask(&mut store, Command::Ack { queue: "jobs".into(), receipts: vec![receipt(0), receipt(1)] });
    for _ in 0..4 {
        ask(&mut store, send(10));
    }
    clock.advance(1000);
    store.commit().unwrap();
    drop(store);
    disk.kill();
    for path in disk.files() {
        let name = path.strip_prefix(DATA).unwrap();
        if FILES.iter().any(|file| Path::new(file) == name)
            || name.extension().is_some_and(|e| e == "log")
        {
            let to = golden().join(name);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, disk.image(&path).unwrap()).unwrap();
        }
    }
    std::fs::write(golden().join("inspected.txt"), inspected(&disk)).unwrap();
}
