//! A snapshot is read as it was written, or refused; and a crash leaves no bad one.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::header::SnapshotHeader;
use super::*;
use crate::attributes::{Attributes, Durability};
use crate::command::MessageState;
use crate::disk::{Access, Fault, SimDisk};
use crate::ids::{DeduplicationKey, Group, LeaseId, ProducerId, QueueId, RedriveId, Seq, StoreId};
use crate::record::RedriveOutcome;
use crate::state::deduplication::{Entry, Window};
use crate::state::delays::Delays;
use crate::state::frozen::{FrozenMessages, FrozenQueue};
use crate::state::held::{Held, HeldMap};
use crate::state::late::Late;
use crate::state::order::Discipline;
use crate::state::past::{Expiry, Past, Swept};
use crate::state::producers::{Batch, Producers};
use crate::state::redrives::{Redrive, RedriveEnd, Redrives};
use crate::state::returns::{Return, Returns};
use crate::time::LogTime;

const STORE: StoreId = StoreId(Uuid::from_u128(0x42));

fn data() -> &'static Path {
    Path::new("data")
}

/// Attributes of every shape.
fn attributes() -> Attributes {
    Attributes {
        delay_ms: 77,
        durability: Durability::Written,
        dead_letter_queue: "dead".to_owned(),
        redrive_sources: vec!["b".to_owned(), "a".to_owned()],
        tags: [("team".to_owned(), "\u{e9}".to_owned())].into(),
        ..Attributes::default()
    }
}

fn window(messages: u64) -> Window {
    let mut window = Window::default();
    for seq in 1..=messages {
        let key = DeduplicationKey(u128::from(seq).to_be_bytes());
        window.push(Entry { key, seq: Seq(seq), time: LogTime(2 * seq) });
    }
    window
}

fn producers(messages: u64) -> Producers {
    let mut producers = Producers::default();
    for number in 1..=messages.min(500) {
        let (id, first) = (ProducerId(u128::from(number % 3)), Seq(number));
        producers.landed(id, Batch { number, first, count: 1 }, 7, LogTime(number));
    }
    producers
}

/// A queue in which so many messages are held, in every state, and others are apart.
fn queue(id: u32, position: u64, held_messages: u64) -> FrozenQueue {
    let (mut held, mut delays) = (HeldMap::default(), Delays::at(LogTime(999)));
    let mut due = RoaringTreemap::new();
    for seq in 1..=held_messages {
        let until = LogTime(1000 + seq);
        let state = match seq % 3 {
            0 => MessageState::Waiting,
            1 => MessageState::InFlight { until },
            _ => {
                delays.insert(Seq(10 * seq), until);
                due.insert(10 * seq + 1);
                continue;
            }
        };
        let group = Group(seq as u32 % 7);
        let (lease, receive_count) = (LeaseId(seq << 40), seq as u32);
        let (first_received, received) = (LogTime(seq), LogTime(2 * seq));
        let one = Held { state, group, until, receive_count, lease, first_received, received };
        held.insert(Seq(10 * seq), one);
    }
    let mut returns = Returns::default();
    for (seq, _) in held.range(..) {
        let reason = (seq.0 % 40 == 0).then(|| "é".repeat(1 + seq.0 as usize % 127).into());
        returns.set(seq, Return { reason, is_uncounted: seq.0 % 30 == 0 });
    }
    let cursor = Seq(10 * held_messages + 2);
    let last_purge = (id == 2).then_some(Swept { through: Seq(3), at: LogTime(4) });
    let last_expiry =
        (id > 1).then_some(Expiry { below: Seq(2), at: LogTime(5), late_before: LogTime(1 << 16) });
    let past = Past { last_purge, last_expiry };
    let stretch = |at: u64| (at, (at..at * at).collect());
    let late = match id {
        3 => Late::restored(Seq(77), [stretch(5), stretch(7)]),
        _ => Late::default(),
    };
    let discipline = (id == 3).then_some(Discipline::Fair);
    let apart = [cursor.0 + 3, cursor.0 + 4].into_iter().collect();
    FrozenQueue {
        id: QueueId(id),
        name: format!("queue-{id}"),
        created: LogTime(3),
        modified: LogTime(4),
        attributes: Arc::new(attributes()),
        position: Position(position),
        messages: FrozenMessages {
            next: Seq(cursor.0 + 10),
            cursor,
            apart,
            held,
            delays,
            due,
            returns,
            past,
            late,
            discipline,
        },
        deduplication: window(held_messages),
        producers: producers(held_messages),
        redrives: if id == 4 { redrives(QueueId(id)) } else { Redrives::default() },
    }
}

/// One that failed, one that was cancelled, and one that runs.
fn redrives(queue: QueueId) -> Redrives {
    let end = |outcome, reason: &str| {
        Some(RedriveEnd { time: LogTime(9), outcome, reason: reason.to_owned() })
    };
    let ends = [
        end(RedriveOutcome::Failed, "queue \"x\" does not exist"),
        end(RedriveOutcome::Cancelled, ""),
        None,
    ];
    let mut redrives = Redrives::default();
    for (count, end) in (1..).zip(ends) {
        redrives.add(Redrive {
            id: RedriveId::new(queue, count),
            started: LogTime(5),
            rate: 100 * u64::from(count),
            through: Seq(77),
            to_move: 6,
            moved: 3,
            destination: "there".repeat(count as usize - 1),
            end,
        });
    }
    redrives
}

fn write(
    disk: &SimDisk,
    position: u64,
    through: u64,
    queues: &[FrozenQueue],
) -> Result<Kept, DiskError> {
    let position = Position(position);
    let mut writer = SnapshotWriter::begin(Arc::new(disk.clone()), data(), STORE, position)?;
    let mut bytes = 64;
    for queue in queues {
        bytes += writer.add(queue)?;
    }
    let kept = writer.finish(Position(through), LogTime(9), QueueId(20))?;
    assert_eq!(kept, Kept { position, bytes });
    Ok(kept)
}

type Read = Result<(SnapshotHeader, Vec<FrozenQueue>), SnapshotError>;

fn read_as(disk: &SimDisk, position: u64, store: StoreId) -> Read {
    let mut queues = Vec::new();
    let header = read(disk, data(), store, Position(position), &mut |queue| queues.push(queue))?;
    Ok((header, queues))
}

fn read_it(disk: &SimDisk, position: u64) -> Read {
    read_as(disk, position, STORE)
}

/// All that is in a queue, to be compared.
fn contents(queue: &FrozenQueue) -> impl PartialEq + std::fmt::Debug {
    let FrozenMessages { next, cursor, apart, held, delays, due, returns, past, late, discipline } =
        &queue.messages;
    let stretches = late.stretches().map(|(stretch, seqs)| (stretch, seqs.clone()));
    let late = (late.last(), stretches.collect::<Vec<_>>());
    let held: Vec<_> = held.range(..).map(|(seq, held)| (seq, *held)).collect();
    let apart: Vec<_> = apart.iter().collect();
    let times = (queue.created, queue.modified, queue.position);
    let delays: BTreeMap<_, _> = delays.iter().collect();
    let returns: Vec<_> = returns.iter().map(|(seq, known)| (seq, known.clone())).collect();
    let out_of_backlog = (apart, held, delays, due.clone(), returns, *past, late, *discipline);
    let attributes = Arc::clone(&queue.attributes);
    let sent_before: Vec<_> = queue.deduplication.iter().copied().collect();
    let landed: Vec<_> = queue.producers.iter().map(|(id, p)| (id, p.clone())).collect();
    let numbers = (*next, *cursor, sent_before, landed);
    let told = (queue.name.clone(), attributes, queue.redrives.clone());
    (queue.id, told, times, numbers, out_of_backlog)
}

fn assert_is(read: Read, header: &SnapshotHeader, queues: &[FrozenQueue]) {
    let (found, parts) = read.unwrap();
    assert_eq!(found, *header);
    assert!(parts.iter().map(contents).eq(queues.iter().map(contents)));
}

fn header(position: u64, through: u64, parts: u32) -> SnapshotHeader {
    let (position, through) = (Position(position), Position(through));
    let (log_time, last_queue) = (LogTime(9), QueueId(20));
    let version = super::header::VERSION;
    SnapshotHeader { version, store: STORE, position, through, log_time, last_queue, parts }
}

fn file(disk: &SimDisk, position: u64) -> PathBuf {
    let path = names::snapshot(data(), Position(position));
    assert!(disk.image(&path).is_ok(), "it is there");
    path
}

#[test]
fn what_was_written_is_read() {
    // The last one takes more than one write, so that its header is filled in afterwards.
    let large = vec![queue(2, 7, 1500), queue(3, 5, 0), queue(20, 9, 60_000)];
    for queues in [Vec::new(), vec![queue(1, 5, 1)], large] {
        let disk = SimDisk::new(1);
        let kept = write(&disk, 5, 9, &queues).unwrap();
        assert_eq!(disk.image(file(&disk, 5)).unwrap().len() as u64, kept.bytes);
        assert_is(read_it(&disk, 5), &header(5, 9, queues.len() as u32), &queues);
        assert_eq!(list(&disk, data()).unwrap(), [Position(5)]);
    }
}

#[test]
fn a_damaged_message_is_written_as_waiting() {
    let disk = SimDisk::new(1);
    let mut queue = queue(1, 5, 0);
    let damaged = Held { state: MessageState::Damaged, receive_count: 3, ..Held::new() };
    queue.messages.held.insert(Seq(0), damaged);
    write(&disk, 5, 5, &[queue]).unwrap();
    let (_, queues) = read_it(&disk, 5).unwrap();
    let waiting = Held { state: MessageState::Waiting, ..damaged };
    assert_eq!(queues[0].messages.held(Seq(0)), Some(&waiting));
}

#[test]
fn every_flipped_bit_is_refused() {
    let disk = SimDisk::new(1);
    let bytes = write(&disk, 5, 9, &[queue(1, 5, 4), queue(2, 7, 0)]).unwrap().bytes;
    let path = file(&disk, 5);
    for byte in 0..bytes {
        for bit in 0..8 {
            disk.flip_bit(&path, byte, bit).unwrap();
            let error = read_it(&disk, 5).unwrap_err();
            let is_version = matches!(error, SnapshotError::TooNew { .. });
            assert!(matches!(error, SnapshotError::Damaged(_)) || is_version, "{error}");
            assert!(!is_version || (8..12).contains(&byte));
            disk.flip_bit(&path, byte, bit).unwrap();
        }
    }
    assert!(read_it(&disk, 5).is_ok());
}

#[test]
fn every_other_length_is_refused() {
    let disk = SimDisk::new(1);
    let bytes = write(&disk, 5, 9, &[queue(1, 5, 4), queue(2, 7, 0)]).unwrap().bytes;
    let handle = disk.open(&file(&disk, 5), Access::Write).unwrap();
    for size in (0..bytes).rev().chain([bytes]) {
        // Cut from the end, then grown back with zeros.
        handle.set_size(size).unwrap();
        assert!(matches!(read_it(&disk, 5), Err(SnapshotError::Damaged(_))), "{size} bytes");
    }
    let disk = SimDisk::new(1);
    let bytes = write(&disk, 5, 9, &[queue(1, 5, 4)]).unwrap().bytes;
    let handle = disk.open(&file(&disk, 5), Access::Write).unwrap();
    handle.set_size(bytes + 1).unwrap();
    let error = read_it(&disk, 5).unwrap_err().to_string();
    assert!(error.contains("1 bytes behind the last part"), "{error}");
}

#[test]
fn another_stores_snapshot_or_one_under_another_name_is_refused() {
    let disk = SimDisk::new(1);
    write(&disk, 5, 9, &[queue(1, 5, 4)]).unwrap();
    let error = read_as(&disk, 5, StoreId(Uuid::from_u128(1))).unwrap_err().to_string();
    assert!(error.contains("belongs to store"), "{error}");
    disk.rename(&file(&disk, 5), &names::snapshot(data(), Position(6))).unwrap();
    let error = read_it(&disk, 6).unwrap_err().to_string();
    assert!(error.contains("is of position 5, expected 6"), "{error}");
    match read_it(&disk, 5).unwrap_err() {
        SnapshotError::Disk(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
        error => panic!("{error}"),
    }
}

#[test]
fn a_checksum_that_fits_wrong_messages_does_not_help_them() {
    let wrong: [fn(&mut FrozenMessages); 6] = [
        |messages| messages.cursor = Seq(0),
        |messages| messages.next = Seq(1),
        |messages| assert!(messages.apart.insert(messages.cursor.0)),
        |messages| assert!(messages.apart.insert(messages.next.0)),
        |messages| assert!(messages.held.insert(messages.cursor, Held::new()).is_none()),
        |messages| messages.returns.set(Seq(1), Return { reason: None, is_uncounted: true }),
    ];
    for change in wrong {
        let disk = SimDisk::new(1);
        let mut queue = queue(1, 5, 4);
        change(&mut queue.messages);
        write(&disk, 5, 9, &[queue]).unwrap();
        assert!(matches!(read_it(&disk, 5), Err(SnapshotError::Damaged(_))));
    }
}

fn kept<const N: usize>(positions: [u64; N]) -> [Kept; N] {
    positions.map(|position| Kept { position: Position(position), bytes: 0 })
}

#[test]
fn two_are_kept_and_other_names_are_nobodys() {
    let disk = SimDisk::new(1);
    assert_eq!(list(&disk, data()).unwrap(), [], "without the directory there is none");
    keep_only(&disk, data(), &kept([])).unwrap();
    for position in [3, 0x100, 7, 0x50] {
        write(&disk, position, position, &[]).unwrap();
    }
    for name in ["7.snap", "next.tmp", "notes"] {
        disk.create(&names::dir(data()).join(name)).unwrap();
    }
    assert_eq!(list(&disk, data()).unwrap(), [3, 7, 0x50, 0x100].map(Position));
    // The one in between is damaged, say.
    keep_only(&disk, data(), &kept([7, 0x100])).unwrap();
    disk.crash(1);
    assert_eq!(list(&disk, data()).unwrap(), [7, 0x100].map(Position));
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_and_a_leftover_is_removed() {
    let disk = SimDisk::new(1);
    write(&disk, 3, 3, &[]).unwrap();
    let used = disk.used();
    let path = names::unfinished(data());
    let mut writer =
        SnapshotWriter::begin(Arc::new(disk.clone()), data(), STORE, Position(5)).unwrap();
    disk.set_capacity(Some(used + 4096));
    assert!(writer.add(&queue(1, 5, 60_000)).unwrap_err().is_full());
    assert!(disk.used() > used);
    drop(writer);
    assert_eq!(disk.used(), used);
    disk.set_capacity(None);
    disk.create(&path).unwrap().write_all_at(0, &[1; 10_000]).unwrap();
    write(&disk, 5, 5, &[queue(1, 5, 1)]).unwrap();
    assert_is(read_it(&disk, 5), &header(5, 5, 1), &[queue(1, 5, 1)]);
}

/// Writes a first snapshot, then a third of three with the fault at the given operation of it, and
/// drops the oldest. Whether the fault struck.
fn with_fault(disk: &SimDisk, operation: u64, fault: Fault) -> bool {
    write(disk, 1, 1, &[]).unwrap();
    write(disk, 3, 4, &first()).unwrap();
    disk.fail_at(disk.operations() + operation, fault);
    let result = write(disk, 7, 9, second()).and_then(|_| keep_only(disk, data(), &kept([3, 7])));
    disk.clear_faults();
    result.is_err()
}

fn first() -> [FrozenQueue; 2] {
    [queue(1, 3, 2), queue(4, 4, 0)]
}

fn second() -> &'static [FrozenQueue] {
    static SECOND: LazyLock<[FrozenQueue; 2]> =
        // More than one write, so that a crash may leave some of them.
        LazyLock::new(|| [queue(1, 7, 25_000), queue(4, 9, 3)]);
    &*SECOND
}

/// Every snapshot with a good name is whole. Which there are.
fn check_all(disk: &SimDisk) -> Vec<u64> {
    let positions = list(disk, data()).unwrap();
    for position in &positions {
        match position.0 {
            1 => assert_is(read_it(disk, 1), &header(1, 1, 0), &[]),
            3 => assert_is(read_it(disk, 3), &header(3, 4, 2), &first()),
            7 => assert_is(read_it(disk, 7), &header(7, 9, 2), second()),
            other => panic!("position {other}"),
        }
    }
    positions.iter().map(|position| position.0).collect()
}

#[test]
fn a_crash_at_any_operation_leaves_no_bad_snapshot() {
    let mut outcomes = std::collections::BTreeSet::new();
    for operation in 0.. {
        let mut struck = false;
        for seed in 0..4 {
            let disk = SimDisk::new(seed);
            struck |= with_fault(&disk, operation, Fault::Crash);
            disk.crash(seed);
            let there = check_all(&disk);
            assert!(there.contains(&3), "the one before is there: {there:?}");
            outcomes.insert(there);
            // What is left is in nobody's way.
            write(&disk, 7, 9, second()).unwrap();
            keep_only(&disk, data(), &kept([3, 7])).unwrap();
            assert_eq!(check_all(&disk), [3, 7]);
        }
        if !struck {
            assert!(operation > 8, "every operation was struck");
            break;
        }
    }
    let expected: [&[u64]; 3] = [&[1, 3], &[1, 3, 7], &[3, 7]];
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_failure_at_any_operation_leaves_no_bad_snapshot() {
    for fault in [Fault::Io, Fault::Full, Fault::SyncDropsPages] {
        for operation in 0.. {
            let disk = SimDisk::new(operation);
            if !with_fault(&disk, operation, fault) {
                break;
            }
            for crash in [false, true] {
                if crash {
                    disk.crash(operation);
                }
                let there = check_all(&disk);
                assert!(there.contains(&3), "{fault:?} at {operation}: {there:?}");
            }
            write(&disk, 7, 9, second()).unwrap();
            assert!(check_all(&disk).contains(&7));
        }
    }
}

/// A change of how attributes stand in a snapshot would make all that there are unreadable, or
/// worse, readable as something else.
#[test]
fn its_bytes_are_pinned() {
    let disk = SimDisk::new(1);
    write(&disk, 5, 9, &[queue(1, 5, 2)]).unwrap();
    let bytes = disk.image(file(&disk, 5)).unwrap();
    assert_eq!(bytes.len(), 657);
    assert_eq!(crc32fast::hash(&bytes), 0xdf2cbb6b);
}

/// Without it dead letters would never expire, or at once, after a restart with another version.
#[test]
fn how_it_says_what_came_late_and_what_has_expired_is_pinned() {
    let disk = SimDisk::new(1);
    write(&disk, 5, 9, &[queue(3, 5, 2)]).unwrap();
    let bytes = disk.image(file(&disk, 5)).unwrap();
    let u64s = |values: &[u64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let section = |kind: u32, content: &[u8]| {
        [&kind.to_le_bytes(), &(content.len() as u64).to_le_bytes()[..], content].concat()
    };
    let stretch = |at: u64| {
        let mut set = Vec::new();
        (at..at * at).collect::<RoaringTreemap>().serialize_into(&mut set).unwrap();
        [&at.to_le_bytes()[..], &(set.len() as u32).to_le_bytes(), &set].concat()
    };
    let late = section(11, &[u64s(&[77]), stretch(5), stretch(7)].concat());
    // No purge; everything below 2 had expired at 5, and what was late before 65536.
    let past = section(16, &u64s(&[0, 0, 2, 5, 1 << 16]));
    assert!(bytes.ends_with(&[late, past].concat()), "{bytes:02x?}");
}
