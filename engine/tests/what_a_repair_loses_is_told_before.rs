//! Without this: an operator whose store does not open any more would get less out of it than there is, or
//! would hear later what is missing; and a message that was deleted could come back with nobody warned.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/reference.rs"]
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Answers, DATA, Slot, ask, in_group, message, open, show, tiny};
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Delivery, Reply};
use forebay_engine::disk::{Disk, SimDisk};
use forebay_engine::ids::Seq;
use forebay_engine::inspect::{Inspected, inspect};
use forebay_engine::record::Record;
use forebay_engine::repair::{InDoubt, Losses, QueueLosses, RepairError, examine};
use forebay_engine::verify::{Outcome, verify};
use forebay_engine::{OpenError, SimClock, Store};
use reference::Reference;

const NEW: &str = "mended";
const QUEUE: &str = "jobs";

/// A store with one queue; each command is an entry of its own.
struct Run {
    disk: SimDisk,
    clock: SimClock,
    store: Option<Store<Slot>>,
    answers: Answers,
}

impl Run {
    fn new() -> Self {
        let (disk, clock) = (SimDisk::new(1), SimClock::new(1_800_000_000_000));
        let store = Some(open(&disk, &clock).unwrap());
        let mut run = Self { disk, clock, store, answers: Answers::default() };
        let attributes = AttributeChanges::default().into();
        run.ask(Command::CreateQueue { name: QUEUE.to_owned(), attributes });
        run
    }

    fn ask(&mut self, command: Command) -> Reply {
        ask(self.store.as_mut().unwrap(), &mut self.answers, command).unwrap()
    }

    fn send(&mut self, bodies: &[&str]) {
        let messages = bodies.iter().map(|body| message(body.as_bytes(), None)).collect();
        self.ask(Command::Send { queue: QUEUE.to_owned(), messages, batch: None });
    }

    fn receive(&mut self) -> Vec<Delivery> {
        let receive = Command::Receive {
            queue: QUEUE.to_owned(),
            max: 10,
            wait_ms: Some(0),
            visibility_ms: Some(30_000),
            bytes_max: 1 << 20,
            attempt: None,
        };
        let Reply::Received { deliveries, .. } = self.ask(receive) else { panic!("not received") };
        deliveries
    }

    fn ack(&mut self, delivery: &Delivery) {
        let receipts = vec![delivery.receipt];
        let acked = self.ask(Command::Ack { queue: QUEUE.to_owned(), receipts });
        assert_eq!(acked, Reply::Changed { failures: Vec::new() });
    }

    fn give_back(&mut self, delivery: &Delivery) {
        let (queue, receipts) = (QUEUE.to_owned(), vec![delivery.receipt]);
        let (delay_ms, is_counted, reason) = (0, true, "later".to_owned());
        let nack = Command::Nack { queue, receipts, delay_ms, is_counted, reason };
        assert_eq!(self.ask(nack), Reply::Changed { failures: Vec::new() });
    }

    /// Indexes, snapshots, compactions.
    fn keep(&mut self) {
        let store = self.store.as_mut().unwrap();
        while store.keep().unwrap() {
            store.commit().unwrap();
        }
    }

    /// A watermark is the newest entry: so all of it is known to have been durable.
    fn kill(&mut self) {
        self.clock.advance(50);
        self.store.take().unwrap().commit().unwrap();
        self.disk.kill();
    }

    /// Where the entry is that has such a record, and how long.
    fn entry_with(&self, is_wanted: impl Fn(&Record<'_>) -> bool) -> (PathBuf, u64, u64) {
        let (mut segment, mut entry, mut found) = (PathBuf::new(), (0, 0), Vec::new());
        inspect(&self.disk, Path::new(DATA), &mut |seen| match seen {
            Inspected::Segment { path, .. } => segment = path,
            Inspected::Entry { offset, header } => entry = (offset, header.bytes()),
            Inspected::Record { record, .. } if is_wanted(&record) => {
                found.push((segment.clone(), entry.0, entry.1));
            }
            _ => {}
        })
        .unwrap();
        found.pop().unwrap()
    }

    /// Nothing of the entry is what was written.
    fn destroy(&self, (path, offset, bytes): &(PathBuf, u64, u64)) {
        let mut image = self.disk.image(path).unwrap();
        image[*offset as usize..(offset + bytes) as usize].fill(0xAA);
        self.disk.put(path, &image).unwrap();
    }

    fn losses(&self) -> Losses {
        examine(&self.disk, Path::new(DATA), &mut |_| {}).unwrap().losses().clone()
    }

    /// The bodies that come from what is repaired, with their numbers; each is deleted.
    fn repaired(&self, in_doubt: Option<InDoubt>) -> BTreeMap<Seq, String> {
        let disk = self.disk.fork();
        let repair = examine(&disk, Path::new(DATA), &mut |_| {}).unwrap();
        repair.write(Path::new(NEW), in_doubt, 16 << 10, &mut |_| {}).unwrap();
        assert_eq!(verify(&disk, Path::new(NEW), &mut |_| {}).unwrap().outcome, Outcome::Clean);
        let mut store = open_new(&disk, &self.clock).unwrap();
        let mut answers = Answers::default();
        self.clock.advance(30_000);
        let shown = show(&mut store, &mut answers);
        let messages = &shown[QUEUE].messages;
        let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
        messages.iter().map(|(seq, shown)| (Seq(*seq), text(&shown.body))).collect()
    }
}

fn open_new(disk: &SimDisk, clock: &SimClock) -> Result<Store<Slot>, OpenError> {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
    Store::open(disk, clock, Path::new(NEW), tiny()).map(|(store, _)| store)
}

fn only(losses: &Losses) -> &QueueLosses {
    let [queue] = &losses.queues[..] else { panic!("{losses}") };
    queue
}

fn seqs(set: &forebay_engine::repair::SeqSet) -> Vec<u64> {
    set.ranges().flatten().collect()
}

fn bodies(came: &BTreeMap<Seq, String>) -> Vec<&str> {
    came.values().map(String::as_str).collect()
}

/// The ack of `b` is lost; behind it `c` is given back, and `d` is sent.
fn with_a_lost_ack(keep: bool) -> Run {
    let mut run = Run::new();
    run.send(&["a", "b", "c"]);
    let deliveries = run.receive();
    run.ack(&deliveries[1]);
    if keep {
        run.keep();
    }
    run.give_back(&deliveries[2]);
    run.send(&["d"]);
    run.kill();
    let entry = run.entry_with(|record| matches!(record, Record::Acked { .. }));
    run.destroy(&entry);
    run
}

#[test]
fn a_message_whose_ack_may_be_lost_is_in_doubt_and_whoever_repairs_decides() {
    let run = with_a_lost_ack(false);
    let losses = run.losses();
    assert_eq!(seqs(&only(&losses).in_doubt), [1, 2], "{losses}");
    assert!(only(&losses).lost.is_empty(), "{losses}");
    let undecided = examine(&run.disk, Path::new(DATA), &mut |_| {}).unwrap();
    let refused = undecided.write(Path::new(NEW), None, 16 << 10, &mut |_| {});
    assert!(matches!(refused, Err(RepairError::InDoubt { messages: 2 })), "{refused:?}");
    assert!(run.disk.files().iter().all(|path| path.starts_with(DATA)), "nothing was written");
    // `c` was given back behind what is lost, so it was still there; `d` came later.
    assert_eq!(bodies(&run.repaired(Some(InDoubt::Delete))), ["c", "d"]);
    assert_eq!(bodies(&run.repaired(Some(InDoubt::Deliver))), ["a", "b", "c", "d"]);
}

#[test]
fn a_snapshot_from_behind_what_is_lost_leaves_nothing_in_doubt() {
    let run = with_a_lost_ack(true);
    let losses = run.losses();
    assert_eq!((losses.in_doubt(), losses.lost()), (0, 0), "{losses}");
    assert_eq!(losses.extents.len(), 1, "{losses}");
    assert_eq!(bodies(&run.repaired(None)), ["a", "c", "d"]);
}

#[test]
fn of_a_damaged_entry_everything_is_kept_that_proves_itself() {
    let mut run = Run::new();
    run.send(&["first", "second", "third"]);
    run.send(&["fourth"]);
    run.kill();
    let (path, offset, bytes) =
        run.entry_with(|record| record.message().is_some_and(|sent| sent.payload == b"second"));
    let image = run.disk.image(&path).unwrap();
    let entry = &image[offset as usize..(offset + bytes) as usize];
    let at = entry.windows(6).position(|bytes| bytes == b"second").unwrap() as u64;
    run.disk.flip_bit(&path, offset + at, 0).unwrap();
    let losses = run.losses();
    assert_eq!((seqs(&only(&losses).lost), losses.in_doubt()), (vec![2], 0), "{losses}");
    assert_eq!(bodies(&run.repaired(None)), ["first", "third", "fourth"]);
    // With the header gone too, the records still say which entry is theirs.
    run.disk.flip_bit(&path, offset + 9, 0).unwrap();
    assert_eq!(seqs(&only(&run.losses()).lost), [2]);
    assert_eq!(bodies(&run.repaired(None)), ["first", "third", "fourth"]);
}

/// Found by `forebay torture rot --seed 1 --case 330992`: the log's first record was found without its entry's header,
/// counted as of 1970, and so what stood behind it in the new segment was expired.
#[test]
fn what_stands_behind_an_entry_without_its_header_keeps_its_time() {
    let mut run = Run::new();
    run.send(&["one"]);
    run.send(&["two"]);
    run.kill();
    let (path, offset, _) = run.entry_with(|record| matches!(record, Record::Opened { .. }));
    run.disk.flip_bit(&path, 20, 0).unwrap();
    run.disk.flip_bit(&path, offset + 9, 0).unwrap();
    let losses = run.losses();
    assert_eq!((losses.lost(), losses.in_doubt()), (0, 0), "{losses}");
    assert_eq!(bodies(&run.repaired(None)), ["one", "two"]);
}

#[test]
fn a_message_whose_entry_has_lost_its_header_does_not_expire_before_its_time() {
    let day_ms = 24 * 3_600_000;
    let mut run = Run::new();
    run.send(&["old"]);
    run.clock.advance(5 * day_ms);
    run.send(&["young"]);
    run.send(&["next"]);
    run.kill();
    let (path, offset, _) =
        run.entry_with(|record| record.message().is_some_and(|sent| sent.payload == b"young"));
    run.disk.flip_bit(&path, offset + 9, 0).unwrap();
    assert_eq!(bodies(&run.repaired(None)), ["young", "next"]);
}

/// An old receipt fits whatever gets the number of its message.
#[test]
fn a_number_that_may_have_been_given_is_not_given_again() {
    let mut run = Run::new();
    run.send(&["one"]);
    run.send(&["two", "three"]);
    run.kill();
    let entry = run.entry_with(|record| record.message().is_some_and(|sent| sent.seq == Seq(3)));
    run.destroy(&entry);
    let losses = run.losses();
    assert!(only(&losses).may_lack, "{losses}");
    let disk = run.disk.fork();
    let repair = examine(&disk, Path::new(DATA), &mut |_| {}).unwrap();
    repair.write(Path::new(NEW), Some(InDoubt::Deliver), 16 << 10, &mut |_| {}).unwrap();
    run.store = Some(open_new(&disk, &run.clock).unwrap());
    run.send(&["four"]);
    let numbers: Vec<_> = run.receive().iter().map(|delivery| delivery.seq.0).collect();
    assert_eq!(numbers[0], 1);
    assert!(numbers[1] > 3, "{numbers:?}");
}

/// Found by `forebay torture rot --seed 1 --case 380016`: a block that came from behind was believed to stand where it
/// belongs, and so nothing that deletes to be lost.
#[test]
fn whatever_blocks_are_exchanged_nothing_deleted_comes_unsaid() {
    let mut run = Run::new();
    for round in 0..40 {
        run.send(&[&format!("{round} {}", "x".repeat(round * 37 % 400))]);
        if round % 3 == 2 {
            let delivery = run.receive().remove(0);
            run.ack(&delivery);
        }
    }
    run.kill();
    let live: BTreeSet<Seq> = run.repaired(None).into_keys().collect();
    let mut damaged = 0;
    for path in segments(&run.disk) {
        let image = run.disk.image(&path).unwrap();
        let Some(written) = image.iter().rposition(|byte| *byte != 0) else { continue };
        let blocks = 4096 / 512..(written / 512 + 1).min(image.len() / 512);
        let others = |one: usize| (one + 1..blocks.end).map(move |other| (one, other));
        for (one, other) in blocks.clone().flat_map(others) {
            let told = exchange(&run, &path, &image, one, other, &live);
            damaged += u32::from(told);
        }
        run.disk.put(&path, &image).unwrap();
    }
    assert!(damaged > 100, "{damaged}");
}

/// Exchanges two blocks of a segment; whether that is damage. Whatever comes of it must have been told.
fn exchange(
    run: &Run,
    path: &Path,
    image: &[u8],
    one: usize,
    other: usize,
    live: &BTreeSet<Seq>,
) -> bool {
    let block = |number: usize| number * 512..(number + 1) * 512;
    let mut exchanged = image.to_vec();
    exchanged[block(one)].copy_from_slice(&image[block(other)]);
    exchanged[block(other)].copy_from_slice(&image[block(one)]);
    run.disk.put(path, &exchanged).unwrap();
    let losses = run.losses();
    if losses.damages.is_empty() || losses.queues.is_empty() {
        // What was in the newest block may be taken for torn; and where the queue is lost, everything is.
        return false;
    }
    let QueueLosses { lost, in_doubt, may_lack, .. } = only(&losses);
    for (choice, may_come) in [(InDoubt::Deliver, true), (InDoubt::Delete, false)] {
        let case =
            format!("{}, blocks {one} and {other}, {choice:?}; told\n{losses}", path.display());
        let came: BTreeSet<Seq> = run.repaired(Some(choice)).into_keys().collect();
        let comes = came.difference(live).find(|seq| !may_come || !in_doubt.contains(**seq));
        assert_eq!(comes, None, "comes: {case}");
        let is_told =
            |seq: &Seq| lost.contains(*seq) || !may_come && in_doubt.contains(*seq) || *may_lack;
        let is_lost = live.difference(&came).find(|seq| !is_told(seq));
        assert_eq!(is_lost, None, "is lost: {case}");
    }
    true
}

/// One entry with many messages, and where it is; its segment is the active one, or is sealed and has an index.
fn of_one_large_entry(is_sealed: bool) -> (Run, (PathBuf, u64, u64)) {
    let mut run = Run::new();
    // Those with a delay are delivered as said only if their records are applied.
    let delay_ms = |number: usize| number.is_multiple_of(3).then_some(20_000);
    let body = |number| format!("{number:02} {}", "x".repeat(100 + number * 7 % 50));
    let messages = (0..30).map(|number| message(body(number).as_bytes(), delay_ms(number)));
    let (queue, messages) = (QUEUE.to_owned(), messages.collect());
    run.ask(Command::Send { queue, messages, batch: None });
    run.send(&["next"]);
    while is_sealed && segments(&run.disk).len() < 2 {
        run.send(&[&"filling".repeat(200)]);
    }
    run.keep();
    run.kill();
    let entry = run.entry_with(|record| record.message().is_some_and(|sent| sent.seq == Seq(30)));
    assert_eq!(run.disk.image(entry.0.with_extension("idx")).is_ok(), is_sealed);
    (run, entry)
}

/// The messages of an entry, each with its record.
fn records_of(entry: &[u8]) -> Vec<(Seq, Vec<u8>)> {
    let mut at = 56;
    let next = |number| {
        let size = u32::from_le_bytes(entry[at..at + 4].try_into().unwrap()) as usize;
        at += size;
        (Seq(number), entry[at - size..at].to_vec())
    };
    (1..=30).map(next).collect()
}

/// A record proves itself wherever it stands. But messages were told in the order in which they were found: those
/// behind one with a greater number were dropped and not counted, or the repair ended as not what it told.
#[test]
fn whatever_blocks_of_one_entry_are_exchanged_or_copied_all_that_is_whole_is_kept() {
    for (is_sealed, has_header) in [(true, true), (true, false), (false, true), (false, false)] {
        let (run, (path, offset, bytes)) = of_one_large_entry(is_sealed);
        let all: BTreeSet<Seq> = run.repaired(None).into_keys().collect();
        let (offset, end) = (offset as usize, (offset + bytes) as usize);
        let image = run.disk.image(&path).unwrap();
        let records = records_of(&image[offset..end]);
        let block = |number: usize| number * 512..(number + 1) * 512;
        let inner = (offset + 56).div_ceil(512)..end / 512;
        let pairs = inner.clone().flat_map(|one| inner.clone().map(move |other| (one, other)));
        for (one, other) in pairs.filter(|(one, other)| one != other) {
            let mut changed = image.to_vec();
            changed[block(one)].copy_from_slice(&image[block(other)]);
            // Each pair comes twice: it is exchanged, and one way copied.
            if one < other {
                changed[block(other)].copy_from_slice(&image[block(one)]);
            }
            if !has_header {
                changed[offset + 9] ^= 1;
            }
            run.disk.put(&path, &changed).unwrap();
            let case =
                format!("blocks {one} and {other}, index: {is_sealed}, header: {has_header}");
            let is_whole =
                |record: &[u8]| changed.windows(record.len()).any(|found| found == record);
            let gone = records.iter().filter(|(_, record)| !is_whole(record)).map(|(seq, _)| *seq);
            let gone: BTreeSet<Seq> = gone.collect();
            let losses = run.losses();
            assert_eq!(losses.damages.len(), 1, "{case}: {losses}");
            let lost: BTreeSet<Seq> = seqs(&only(&losses).lost).into_iter().map(Seq).collect();
            assert_eq!(lost, gone, "{case}: {losses}");
            assert!(losses.notes.is_empty(), "{case}: {losses}");
            let came: BTreeSet<Seq> = run.repaired(Some(InDoubt::Deliver)).into_keys().collect();
            assert_eq!(came, &all - &gone, "{case}: {losses}");
        }
    }
}

/// Several segments, of which some are compacted, and some indexes.
fn of_many_segments() -> Run {
    let mut run = Run::new();
    for round in 0..90 {
        run.send(&[&format!("{round} {}", "x".repeat(900))]);
        if round % 3 == 0 {
            let delivery = run.receive().remove(0);
            run.ack(&delivery);
        }
        if round % 10 == 0 {
            run.keep();
        }
    }
    run
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| {
        path.starts_with("data/log") && path.extension().is_some_and(|end| end == "log")
    };
    disk.files().into_iter().filter(is_segment).collect()
}

#[test]
fn what_is_missing_at_the_end_of_a_damaged_entry_is_told() {
    let mut run = Run::new();
    run.send(&["one", "two", "three"]);
    run.send(&["four"]);
    run.kill();
    let (path, offset, bytes) =
        run.entry_with(|record| record.message().is_some_and(|sent| sent.seq == Seq(3)));
    let image = run.disk.image(&path).unwrap();
    let entry = &image[offset as usize..(offset + bytes) as usize];
    let at = entry.windows(5).position(|bytes| bytes == b"three").unwrap() as u64;
    // Not in the message: in what its seal covers.
    run.disk.flip_bit(&path, offset + at - 10, 0).unwrap();
    let losses = run.losses();
    assert_eq!(seqs(&only(&losses).lost), [3], "{losses}");
    assert_eq!(bodies(&run.repaired(Some(InDoubt::Deliver))), ["one", "two", "four"]);
}

#[test]
fn where_the_newest_segment_may_be_another_file_everything_is_in_doubt() {
    let mut run = of_many_segments();
    run.kill();
    let active = segments(&run.disk).pop().unwrap();
    let zeros = vec![0; run.disk.image(&active).unwrap().len()];
    run.disk.put(&active, &zeros).unwrap();
    let losses = run.losses();
    assert!(losses.messages() > 10, "{losses}");
    assert_eq!(losses.in_doubt(), losses.messages(), "{losses}");
}

/// It was told twice, where a snapshot is of an entry in it, and each time as 4 GiB of records.
#[test]
fn a_newest_segment_that_is_missing_is_told_once_and_as_no_more_than_it_had() {
    let mut run = of_many_segments();
    run.keep();
    run.kill();
    let active = segments(&run.disk).pop().unwrap();
    let bytes = run.disk.image(&active).unwrap().len() as u64;
    run.disk.remove(&active).unwrap();
    let Ok(report) = verify(&run.disk, Path::new(DATA), &mut |_| {}) else { panic!("no report") };
    let Outcome::Damaged(damages) = report.outcome else { panic!("{report}") };
    assert_eq!(damages.len(), 1, "{damages:?}");
    let losses = run.losses();
    let [extent] = &losses.extents[..] else { panic!("{losses}") };
    assert_eq!((&extent.path, extent.last), (&Some(active), None), "{losses}");
    assert_eq!(losses.damages.len(), 1, "{losses}");
    // But for the header page, and the header of an entry.
    assert_eq!(losses.control_bytes, Some(bytes - 4096 - 56), "{losses}");
}

/// Behind the last segment that is there others may have been, of whatever size.
#[test]
fn where_nobody_knows_how_much_is_lost_no_bound_is_told() {
    let mut run = of_many_segments();
    run.kill();
    let active = segments(&run.disk).pop().unwrap();
    run.disk.remove(&active).unwrap();
    run.disk.put("data/MANIFEST", b"no list").unwrap();
    let losses = run.losses();
    assert_eq!(losses.control_bytes, None, "{losses}");
    assert!(losses.to_string().contains("nobody knows how many"), "{losses}");
}

#[test]
fn without_a_list_every_segment_that_is_missing_is_missed() {
    let mut run = of_many_segments();
    run.kill();
    let segments = segments(&run.disk);
    let is_compacted = |path: &&PathBuf| path.to_string_lossy().contains('-');
    assert!(segments.len() > 3 && segments.iter().any(|path| is_compacted(&path)), "{segments:?}");
    run.disk.put("data/MANIFEST", b"no list").unwrap();
    for path in &segments {
        let disk = run.disk.fork();
        disk.flip_bit(path, 20, 0).unwrap();
        let repair = examine(&disk, Path::new(DATA), &mut |_| {}).unwrap();
        let losses = repair.losses();
        assert!(!losses.extents.is_empty(), "without {}: {losses}", path.display());
    }
}

#[test]
fn a_store_without_its_list_and_its_identity_is_made_of_its_segments() {
    let mut run = of_many_segments();
    let expected: BTreeSet<String> = {
        let store = run.store.as_mut().unwrap();
        let shown = show(store, &mut run.answers);
        let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
        shown[QUEUE].messages.values().map(|shown| text(&shown.body)).collect()
    };
    run.kill();
    run.disk.put("data/MANIFEST", b"no list").unwrap();
    let losses = run.losses();
    assert_eq!((losses.lost(), losses.in_doubt()), (0, 0), "{losses}");
    assert_eq!(run.repaired(None).into_values().collect::<BTreeSet<_>>(), expected);
    run.disk.put("data/store.toml", b"no identity").unwrap();
    let losses = run.losses();
    assert!(losses.notes.iter().any(|note| note.contains("receipts")), "{losses}");
    assert_eq!(run.repaired(None).into_values().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn what_is_not_lost_is_as_it_was_with_every_lease_and_count() {
    let reference = Reference::build();
    // A file that nobody listed keeps the store from being opened, and nothing is lost with it.
    let disk = reference.disk(|files| {
        files.insert("data/log/other.log".into(), b"a stranger".to_vec());
    });
    let before = reference.clock.fork();
    assert!(matches!(open(&disk, &before), Err(OpenError::Damaged(_))));
    let repair = examine(&disk, Path::new(DATA), &mut |_| {}).unwrap();
    let losses = repair.losses().clone();
    assert_eq!((losses.lost(), losses.in_doubt(), losses.damages.len()), (0, 0, 1), "{losses}");
    repair.write(Path::new(NEW), None, 16 << 10, &mut |_| {}).unwrap();
    let segments = disk.files().into_iter().filter(|path| {
        path.starts_with(NEW) && path.extension().is_some_and(|extension| extension == "log")
    });
    assert!(segments.count() > 1, "several segments");
    let mut store = open_new(&disk, &reference.clock.fork()).unwrap();
    let shown = show(&mut store, &mut Answers::default());
    assert_eq!(shown, reference.queues);
}

/// What was sent before the shorter window stays in memory until the next message is sent; the repair expected
/// it in the new log, and every one failed.
#[test]
fn a_store_whose_deduplication_window_was_made_shorter_is_repaired() {
    const ORDERS: &str = "orders.fifo";
    let send = |run: &mut Run, id: u64| {
        let messages = vec![in_group("a", Some(id), b"order")];
        let sent = run.ask(Command::Send { queue: ORDERS.to_owned(), messages, batch: None });
        let Reply::Sent(stored) = sent else { panic!("{sent:?}") };
        stored.seqs.first().map_or(stored.first.0, |seq| seq.0)
    };
    let window = |ms| AttributeChanges { deduplication_window_ms: Some(ms), ..Default::default() };
    let mut run = Run::new();
    let attributes = AttributeChanges { fifo: Some(true), ..window(3_600_000) };
    run.ask(Command::CreateQueue { name: ORDERS.to_owned(), attributes: attributes.into() });
    for id in 1..=4 {
        run.clock.advance(if id == 4 { 200_000 } else { 600_000 });
        assert_eq!(send(&mut run, id), id);
    }
    let attributes = window(300_000).into();
    run.ask(Command::AlterQueue { name: ORDERS.to_owned(), attributes });
    run.send(&["rotten", "whole"]);
    run.kill();
    let (path, offset, bytes) =
        run.entry_with(|record| record.message().is_some_and(|sent| sent.payload == b"rotten"));
    let image = run.disk.image(&path).unwrap();
    let entry = &image[offset as usize..(offset + bytes) as usize];
    let at = entry.windows(6).position(|bytes| bytes == b"rotten").unwrap() as u64;
    run.disk.flip_bit(&path, offset + at, 0).unwrap();
    assert_eq!(bodies(&run.repaired(None)), ["whole"]);
    let disk = run.disk.fork();
    let repair = examine(&disk, Path::new(DATA), &mut |_| {}).unwrap();
    repair.write(Path::new(NEW), None, 16 << 10, &mut |_| {}).unwrap();
    run.store = Some(open_new(&disk, &run.clock).unwrap());
    assert_eq!(
        [3, 4, 2].map(|id| send(&mut run, id)),
        [3, 4, 5],
        "copies within the window are found"
    );
}

#[test]
fn a_directory_that_is_in_use_is_left_alone() {
    let run = with_a_lost_ack(false);
    run.disk.put("mended/letter", b"dear").unwrap();
    let repair = examine(&run.disk, Path::new(DATA), &mut |_| {}).unwrap();
    let refused = repair.write(Path::new(NEW), Some(InDoubt::Deliver), 16 << 10, &mut |_| {});
    assert!(matches!(refused, Err(RepairError::NotEmpty { .. })), "{refused:?}");
    let repair = examine(&run.disk, Path::new(DATA), &mut |_| {}).unwrap();
    let inside = Path::new("data/mended");
    let refused = repair.write(inside, Some(InDoubt::Deliver), 16 << 10, &mut |_| {});
    assert!(matches!(refused, Err(RepairError::Inside { .. })), "{refused:?}");
}
