//! Without this: a server that is killed on a full disk would open with less than it had kept for receives and
//! deletes, or not at all: the rest would have gone to indexes, to snapshots, or to another program. Its queues
//! could not be emptied any more.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::{Client, DAY_MS, deliveries, receive};
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::{Access, Disk, DiskError, DiskFile, DiskLock, DiskMap, Fault, SimDisk};
use forebay_engine::receipt::SealedReceipt;
use forebay_engine::verify::Outcome;
use forebay_engine::{Options, RequestError, Store};

const SEGMENT_BYTES: u64 = 64 << 10;

/// What the standby segment has.
const STANDBY_BYTES: u64 = SEGMENT_BYTES / 4;

const DISK_BYTES: u64 = 400 << 10;

const BATCH: usize = 100;

fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, snapshot_ms: 1_000, ..Options::default() }
}

fn body(number: usize) -> Vec<u8> {
    format!("{number:>6} small").into_bytes()
}

fn standby() -> PathBuf {
    Path::new(common::DATA).join("log/standby.tmp")
}

/// A disk full of small messages, to the last byte.
struct Full {
    client: Client,
    /// The numbers of the messages that are there.
    queue: BTreeSet<u64>,
}

impl Full {
    fn new() -> Self {
        let mut client = Client::with(options());
        client.create_for_ever("jobs");
        client.disk.set_capacity(Some(DISK_BYTES));
        let (mut sent, mut batches) = (0, 0);
        let refused = loop {
            let messages = (sent..sent + BATCH).map(|number| common::message(&body(number), None));
            let send = Command::Send {
                queue: "jobs".to_owned(),
                messages: messages.collect(),
                batch: None,
            };
            match client.ask(send) {
                Ok(_) => (sent, batches) = (sent + BATCH, batches + 1),
                Err(error) => break error,
            }
            if batches % 4 == 0 {
                client.keep_all();
            }
            assert!(sent < 10_000, "400 KiB are full at last");
        };
        assert!(matches!(refused, RequestError::StorageFull { .. }), "{refused}");
        // Others take what is left.
        client.disk.set_capacity(Some(client.disk.used()));
        Self { client, queue: (1..=sent as u64).collect() }
    }

    /// The same, killed.
    fn forked(&self) -> Self {
        Self { client: self.client.forked(), queue: self.queue.clone() }
    }

    /// Receives and acks everything; some of it may have to wait until what was acked has given space back.
    fn drain(&mut self) {
        self.client.advance(DAY_MS);
        while !self.queue.is_empty() {
            let received = self.ask_at_last(receive("jobs", BATCH as u32, 0, DAY_MS / 2));
            let received = deliveries(received);
            assert!(!received.is_empty(), "{} are left", self.queue.len());
            for delivery in &received {
                let expected = body(delivery.seq.0 as usize - 1);
                assert_eq!(self.client.body(delivery).into_bytes(), expected);
            }
            let receipts = received.iter().map(|delivery| delivery.receipt).collect();
            self.ack(receipts);
            for delivery in &received {
                self.queue.remove(&delivery.seq.0);
            }
        }
    }

    fn ack(&mut self, receipts: Vec<SealedReceipt>) {
        let ack = Command::Ack { queue: "jobs".to_owned(), receipts };
        assert_eq!(self.ask_at_last(ack), Ok(Reply::Changed { failures: vec![] }));
    }

    fn ask_at_last(&mut self, command: Command) -> common::Answer {
        for _ in 0..3 {
            match self.client.ask(command.clone()) {
                Err(RequestError::StorageFull { .. }) => self.client.keep_all(),
                answer => return answer,
            }
        }
        panic!("no space comes back, {} messages are left", self.queue.len());
    }

    /// It drains to empty, and takes sends again, in the space that it has.
    fn check(mut self) {
        self.drain();
        self.client.keep_all();
        self.client.send("jobs", "there is space");
        self.client.disk.set_capacity(None);
        self.client.stop();
        assert_eq!(self.client.verify().outcome, Outcome::Clean);
        common::lose_derived(&self.client.disk, u64::MAX);
        self.client.open().unwrap();
        assert_eq!(self.client.show()["jobs"].messages.len(), 1);
    }
}

#[test]
fn a_disk_full_of_small_messages_drains_after_a_kill() {
    let mut full = Full::new();
    full.client.kill();
    full.check();
}

#[test]
fn also_after_it_was_closed_in_order() {
    let mut full = Full::new();
    full.client.close();
    // What was prepared for the log is others' now.
    full.client.disk.set_capacity(Some(full.client.disk.used()));
    full.client.open().unwrap();
    full.check();
}

#[test]
fn also_after_many_kills() {
    let mut full = Full::new();
    for _ in 0..30 {
        full.client.kill();
        full.client.keep_all();
    }
    full.check();
}

#[test]
fn a_crash_at_any_disk_operation_of_an_opening_costs_nothing_of_it() {
    let full = Full::new();
    let mut at = 0;
    while opens_after_a_crash(full.forked(), at) {
        at += step();
    }
    assert!(at > 20, "{at} operations were struck");
}

/// Every operation, or some of them: each is followed by a whole drain.
fn step() -> u64 {
    if std::env::var("FOREBAY_FULL_SWEEP").is_ok() { 1 } else { 5 }
}

/// Whether the opening has so many disk operations.
fn opens_after_a_crash(mut full: Full, at: u64) -> bool {
    let disk = full.client.disk.clone();
    disk.fail_at(disk.operations() + at, Fault::Crash);
    if full.client.open().is_ok() {
        return false;
    }
    disk.clear_faults();
    disk.crash(at);
    full.client.open().unwrap_or_else(|error| panic!("operation {at}: {error}"));
    full.check();
    true
}

#[test]
fn a_crash_at_any_disk_operation_of_a_roll_to_it_costs_nothing_of_it() {
    let full = Full::new();
    let mut at = 0;
    while drains_after_a_crash(full.forked(), at) {
        at += 3 * step();
    }
    assert!(at > 100, "{at} operations were struck");
}

/// Whether there are so many disk operations until the log has rolled to the standby segment.
fn drains_after_a_crash(mut full: Full, at: u64) -> bool {
    full.client.open().unwrap();
    let disk = full.client.disk.clone();
    let has_rolled = || !disk.files().contains(&standby());
    assert!(!has_rolled());
    disk.fail_at(disk.operations() + at, Fault::Crash);
    while !has_rolled() {
        let ask = receive("jobs", BATCH as u32, 0, 0);
        let (number, slot) = full.client.answers.slot();
        let handled = full.client.store().handle(ask, slot);
        if handled.and_then(|()| full.client.store().commit()).is_err() {
            break;
        }
        let answer = full.client.answer(number);
        assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
        full.client.clock.advance(1);
    }
    let has_struck = disk.is_stopped();
    full.client.stop();
    disk.clear_faults();
    disk.crash(at);
    full.client.open().unwrap_or_else(|error| panic!("operation {at}: {error}"));
    full.check();
    has_struck
}

#[test]
fn indexes_and_snapshots_leave_what_is_reserved_alone() {
    let mut full = Full::new();
    full.client.kill();
    let derived = |full: &Full| {
        let (indexes, snapshots) = (full.client.files_of("idx"), full.client.files_of("snap"));
        (indexes.len(), snapshots)
    };
    // Its space is somebody else's.
    full.client.stop();
    let disk = full.client.disk.clone();
    disk.remove(&standby()).unwrap();
    full.client.open().unwrap();
    disk.set_capacity(Some(disk.used() + STANDBY_BYTES / 2));
    let before = derived(&full);
    full.client.keep_all();
    assert_eq!(derived(&full), before);
    // There is space for a part of it, which is taken.
    let kept = disk.image(standby()).unwrap().len() as u64;
    assert!((1..STANDBY_BYTES).contains(&kept), "{kept}");
    disk.set_capacity(None);
    full.client.keep_all();
    assert_ne!(derived(&full), before);
    assert_eq!(disk.image(standby()).unwrap().len() as u64, STANDBY_BYTES);
}

/// It was made once, for twice as many segments as there were then.
#[test]
fn the_space_for_the_manifest_of_a_swap_grows_with_the_manifest() {
    let mut full = Full::new();
    full.client.disk.set_capacity(None);
    full.client.keep_all();
    let bytes = |name: &str| {
        let path = Path::new(common::DATA).join(name);
        full.client.disk.image(path).unwrap().len()
    };
    // A row of a segment is 40 bytes.
    assert!(bytes("MANIFEST.swap.tmp") >= bytes("MANIFEST") + 40);
}

#[test]
fn receives_leave_what_deletes_need() {
    let mut full = Full::new();
    full.client.kill();
    let mut receipts = Vec::new();
    // Consumers that come again and again, and delete nothing.
    loop {
        full.client.advance(1);
        match full.client.ask(receive("jobs", 10, 0, 0)) {
            Ok(Reply::Received { deliveries, .. }) => {
                receipts = deliveries.iter().map(|delivery| delivery.receipt).collect();
            }
            Err(RequestError::StorageFull { .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    for receipt in receipts {
        full.client.ack("jobs", receipt).unwrap();
    }
}

#[test]
fn a_disk_whose_every_free_byte_others_take_at_once_can_be_opened() {
    let mut full = Full::new();
    let received = full.client.receive_max("jobs", BATCH as u32, DAY_MS / 2);
    full.client.stop();
    let greedy = Greedy { disk: full.client.disk.clone() };
    let clock = Arc::new(full.client.clock.clone());
    let opened = Store::open(Arc::new(greedy), clock, Path::new(common::DATA), options());
    let (mut store, _) = opened.unwrap();
    let mut answers = common::Answers::default();
    let receipts = received.iter().map(|delivery| delivery.receipt).collect();
    let ack = Command::Ack { queue: "jobs".to_owned(), receipts };
    let acked = common::ask(&mut store, &mut answers, ack);
    assert_eq!(acked, Ok(Reply::Changed { failures: vec![] }));
}

/// A disk that somebody else fills: what becomes free is gone.
#[derive(Debug)]
struct Greedy {
    disk: SimDisk,
}

impl Greedy {
    fn after<T>(&self, result: T) -> T {
        self.disk.set_capacity(Some(self.disk.used()));
        result
    }

    fn file(
        &self,
        file: Result<Arc<dyn DiskFile>, DiskError>,
    ) -> Result<Arc<dyn DiskFile>, DiskError> {
        let greedy = Greedy { disk: self.disk.clone() };
        file.map(|file| Arc::new(GreedyFile { file, greedy }) as Arc<dyn DiskFile>)
    }
}

impl Disk for Greedy {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.create_dir(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        self.disk.list(dir)
    }
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.file(self.disk.create(path))
    }
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.file(self.disk.open(path, access))
    }
    fn map(&self, path: &Path) -> Result<Arc<dyn DiskMap>, DiskError> {
        self.disk.map(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.after(self.disk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.after(self.disk.remove(path))
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.after(self.disk.sync_dir(dir))
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        self.disk.lock(path)
    }
    fn fill_random(&self, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.fill_random(buffer)
    }
}

#[derive(Debug)]
struct GreedyFile {
    file: Arc<dyn DiskFile>,
    greedy: Greedy,
}

impl DiskFile for GreedyFile {
    fn path(&self) -> &Path {
        self.file.path()
    }
    fn size(&self) -> Result<u64, DiskError> {
        self.file.size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(offset, buffer)
    }
    fn read_durable_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_durable_at(offset, buffer)
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all_at(offset, bytes)
    }
    fn set_size(&self, bytes: u64) -> Result<(), DiskError> {
        self.greedy.after(self.file.set_size(bytes))
    }
    fn sync(&self) -> Result<(), DiskError> {
        self.greedy.after(self.file.sync())
    }
}
