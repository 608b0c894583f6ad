//! A reference store whose files a test damages, and the judge of what opening then makes of it.
//!
//! The store has several sealed segments and an active one, three queues, delays, leases, acks and
//! a purge; a watermark is its newest entry, so that nothing in it is in doubt (FORMAT.md section 8).

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module that each test file includes and uses in part"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, MessageState, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::ids::Seq;
use forebay_engine::inspect::{Inspected, inspect};
use forebay_engine::verify::{Outcome, VerifyReport, verify};
use forebay_engine::{Damage, OpenError, SimClock, Store};

use crate::common::{Answers, DATA, ShownQueue, Slot, ask, message, open, show};

/// The files of a store that was closed, and what it held.
pub struct Reference {
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub queues: BTreeMap<String, ShownQueue>,
    /// Where each segment's entries begin and end, the newest last.
    pub entries: BTreeMap<PathBuf, Vec<(u64, u64)>>,
    pub clock: SimClock,
}

/// What opening made of a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judgement {
    /// It opened, with everything in it.
    Whole,
    /// It opened and said that it cut a torn tail; everything is in it.
    Torn,
    /// It was refused.
    Refused,
}

fn body(queue: usize, number: u64) -> Vec<u8> {
    let bytes = 40 + (number * 97 + queue as u64 * 31) % 700;
    (0..bytes).map(|at| (at * 7 + number * 13 + queue as u64) as u8).collect()
}

impl Reference {
    pub fn build() -> Self {
        let (disk, clock) = (SimDisk::new(1), SimClock::new(1_800_000_000_000));
        let mut answers = Answers::default();
        let mut store = open(&disk, &clock).unwrap();
        fill(&mut store, &mut answers, &clock, 0..22);
        drop(store);
        // A second epoch: the first one's active segment is sealed where its last entry ends.
        let mut store = open(&disk, &clock).unwrap();
        fill(&mut store, &mut answers, &clock, 22..37);
        clock.advance(50);
        store.commit().unwrap();
        let queues = show(&mut store, &mut answers);
        drop(store);
        let read = |path: PathBuf| (path.clone(), disk.image(&path).unwrap());
        let files: BTreeMap<_, _> = disk.files().into_iter().map(read).collect();
        let entries = entries_of(&disk);
        let reference = Self { files, queues, entries, clock };
        reference.assert_worth_damaging();
        reference
    }

    /// The scenarios that the sweeps are for are all in it.
    fn assert_worth_damaging(&self) {
        assert!(self.segments().len() >= 4, "several sealed segments and an active one");
        assert!(self.entries[self.active()].len() >= 5, "several entries in the active one");
        let states: Vec<_> =
            self.queues.values().flat_map(|q| q.messages.values().map(|m| m.state)).collect();
        assert!(states.iter().any(|s| matches!(s, MessageState::Waiting)));
        assert!(states.iter().any(|s| matches!(s, MessageState::InFlight { .. })));
        assert!(states.iter().any(|s| matches!(s, MessageState::Delayed)));
    }

    /// The segments' files, oldest first.
    pub fn segments(&self) -> Vec<&Path> {
        self.entries.keys().map(PathBuf::as_path).collect()
    }

    /// The active segment's file.
    pub fn active(&self) -> &Path {
        self.segments().pop().unwrap()
    }

    /// Where the newest entry, the watermark, begins, and where the log ends.
    pub fn newest(&self) -> (u64, u64) {
        *self.entries[self.active()].last().unwrap()
    }

    /// A disk with these files, some of them changed.
    pub fn disk(&self, change: impl FnOnce(&mut BTreeMap<PathBuf, Vec<u8>>)) -> SimDisk {
        let mut files = self.files.clone();
        change(&mut files);
        self.disk_of(&files)
    }

    pub fn disk_of(&self, files: &BTreeMap<PathBuf, Vec<u8>>) -> SimDisk {
        let disk = SimDisk::new(1);
        for (path, bytes) in files {
            disk.put(path, bytes).unwrap();
        }
        disk
    }

    /// Opens the store on the disk, compares what it holds, and asks `verify` for its opinion
    /// first: it must be the same. Also returned: the damage that was reported.
    pub fn judge(&self, disk: &SimDisk, what: &str) -> (Judgement, Vec<Damage>) {
        let report = verify(disk, Path::new(DATA), &mut |_| {});
        let opened = open(disk, &self.clock_now());
        match (opened, report) {
            (Ok(mut store), Ok(report)) => {
                let queues = show(&mut store, &mut Answers::default());
                assert_eq!(queues, self.queues, "{what}: the store opened with other contents");
                (agreed(&report, what), Vec::new())
            }
            (Err(error), Ok(VerifyReport { outcome: Outcome::Damaged(damages), .. })) => {
                assert!(matches!(error, OpenError::Damaged(_)), "{what}: {error}");
                let paths = damages.iter().map(|damage| &damage.path);
                paths.for_each(|path| assert!(path.starts_with(DATA), "{what}: {path:?}"));
                (Judgement::Refused, damages)
            }
            (Err(error), Err(second)) => {
                assert_eq!(error.to_string(), second.to_string(), "{what}");
                assert!(error.to_string().contains(DATA), "{what}: {error} names no file");
                let damages = match error {
                    OpenError::Damaged(damage) => vec![damage],
                    _ => Vec::new(),
                };
                (Judgement::Refused, damages)
            }
            (Ok(_), Err(error)) => panic!("{what}: opened, but verify says {error}"),
            (Err(error), Ok(report)) => panic!("{what}: refused with {error}, but {report}"),
        }
    }

    /// Another clock that shows the same time: opening must not depend on earlier openings.
    fn clock_now(&self) -> SimClock {
        use forebay_engine::Clock;
        SimClock::new(self.clock.wall_ms())
    }
}

fn agreed(report: &VerifyReport, what: &str) -> Judgement {
    match &report.outcome {
        Outcome::Clean => Judgement::Whole,
        Outcome::TornTail { .. } => Judgement::Torn,
        Outcome::Damaged(_) => panic!("{what}: opened, but verify says {report}"),
    }
}

/// Creates, sends, receives, acks: a bit of everything in each round.
fn fill(
    store: &mut Store<Slot>,
    answers: &mut Answers,
    clock: &SimClock,
    rounds: std::ops::Range<u64>,
) {
    let names = ["alpha", "beta", "gamma"];
    for name in names {
        let attributes = AttributeChanges::default();
        ask(
            store,
            answers,
            Command::CreateQueue { name: name.to_owned(), attributes: attributes.into() },
        )
        .unwrap();
    }
    for round in rounds {
        let queue = (round % 3) as usize;
        let name = names[queue].to_owned();
        let delay = |number| (number % 5 == 4).then_some(3_600_000 * (1 + round));
        let messages = (round * 4..round * 4 + 4).map(|n| message(&body(queue, n), delay(n)));
        let send = Command::Send { queue: name.clone(), messages: messages.collect(), batch: None };
        ask(store, answers, send).unwrap();
        let (wait_ms, visibility_ms) = (Some(0), Some(36_000_000));
        let receive = Command::Receive {
            queue: name.clone(),
            max: 3,
            wait_ms,
            visibility_ms,
            bytes_max: 1 << 20,
            attempt: None,
        };
        let Ok(Reply::Received { deliveries, .. }) = ask(store, answers, receive) else {
            panic!("a receive is answered");
        };
        if round % 2 == 0 {
            let receipts = deliveries.iter().take(2).map(|delivery| delivery.receipt).collect();
            ask(store, answers, Command::Ack { queue: name.clone(), receipts }).unwrap();
        }
        if round == 9 {
            ask(store, answers, Command::PurgeQueue { name }).unwrap();
        }
        clock.advance(10);
    }
}

fn entries_of(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<(u64, u64)>> {
    let mut entries: BTreeMap<PathBuf, Vec<(u64, u64)>> = BTreeMap::new();
    let mut segment = PathBuf::new();
    inspect(disk, Path::new(DATA), &mut |seen| match seen {
        Inspected::Segment { path, .. } => segment = path,
        Inspected::Entry { offset, header } => {
            entries.entry(segment.clone()).or_default().push((offset, offset + header.bytes()));
        }
        _ => {}
    })
    .unwrap();
    entries
}

/// Whether a store is whole without this file: its lock, and what is prepared or unfinished.
pub fn is_dispensable(path: &Path) -> bool {
    path.ends_with("LOCK") || path.extension().is_some_and(|extension| extension == "tmp")
}

/// Whether to look at every place instead of some.
pub fn full_sweep() -> bool {
    std::env::var_os("FOREBAY_FULL_SWEEP").is_some()
}

/// The first message of a queue that the reference store shows in this state.
pub fn first_seq(queue: &ShownQueue, wanted: fn(&MessageState) -> bool) -> Seq {
    let found = queue.messages.iter().find(|(_, shown)| wanted(&shown.state));
    Seq(*found.expect("the reference store has one").0)
}
