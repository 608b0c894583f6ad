//! A store on a simulated disk beside a plain model of what it must hold.
//!
//! [`run::Run::step`] does one operation on both and compares what they answer. The model keeps every
//! state since the last one known durable: after a crash the store must equal one of them, to the
//! byte. That is the promise in one sentence: *what is recovered is what a prefix of the
//! operations left, and the prefix holds everything that was answered.*

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module that each test file includes and uses in part"
)]

pub mod engine;
pub mod gate;
pub mod model;
pub mod ops;
pub mod run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use forebay_engine::attributes::Attributes;
use forebay_engine::command::{Command, MessageState, PeekFilter, Reply, ReplyTo};
use forebay_engine::disk::{Disk, SimDisk};
use forebay_engine::ids::{DeduplicationKey, Seq};
use forebay_engine::verify::{Outcome, verify};
use forebay_engine::{DeadLetter, LogFailure, LogTime, Options, RequestError, SimClock, Store};

pub type Answer = Result<Reply, RequestError>;

/// Collects the answers to numbered commands.
#[derive(Debug, Clone)]
pub struct Slot {
    number: usize,
    answers: Arc<Mutex<BTreeMap<usize, Answer>>>,
    gone: bool,
}

impl ReplyTo for Slot {
    fn reply(self, result: Answer) {
        let before = self.answers.lock().unwrap().insert(self.number, result);
        assert!(before.is_none(), "command {} was answered twice", self.number);
    }

    fn is_gone(&self) -> bool {
        self.gone
    }
}

/// Hands out slots and gives back what came into them.
#[derive(Debug, Default)]
pub struct Answers {
    next: usize,
    answers: Arc<Mutex<BTreeMap<usize, Answer>>>,
}

impl Answers {
    pub fn slot(&mut self) -> (usize, Slot) {
        let number = self.next;
        self.next += 1;
        (number, Slot { number, answers: self.answers.clone(), gone: false })
    }

    /// A slot of a caller who is gone.
    pub fn slot_of_the_gone(&mut self) -> (usize, Slot) {
        let (number, slot) = self.slot();
        (number, Slot { gone: true, ..slot })
    }

    pub fn take(&self, number: usize) -> Option<Answer> {
        self.answers.lock().unwrap().remove(&number)
    }

    /// The answer, if it came, which is left there.
    pub fn peek(&self, number: usize) -> Option<Answer> {
        self.answers.lock().unwrap().get(&number).cloned()
    }

    pub fn take_all(&self) -> BTreeMap<usize, Answer> {
        std::mem::take(&mut self.answers.lock().unwrap())
    }
}

pub const DATA: &str = "data";

/// Small segments, so that the log rolls every few operations.
pub fn tiny() -> Options {
    Options {
        segment_bytes: 16 << 10,
        tail_cache_bytes: 4 << 10,
        // So that snapshots and compactions happen every few operations.
        snapshot_bytes: 1,
        snapshot_ms: 0,
        garbage_percent: 0,
        garbage_segment_percent: 0,
        ..Options::default()
    }
}

pub fn open(disk: &SimDisk, clock: &SimClock) -> Result<Store<Slot>, forebay_engine::OpenError> {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
    Store::open(disk, clock, Path::new(DATA), tiny()).map(|(store, _)| store)
}

/// A message that is to be stored, with the checksum that its producer makes.
pub fn message(body: &[u8], delay_ms: Option<u64>) -> forebay_engine::command::NewMessage {
    forebay_engine::command::NewMessage {
        delay_ms,
        checksum: forebay_engine::checksum::message(0, body),
        attributes_bytes: 0,
        payload: Bytes::copy_from_slice(body),
        deduplication: forebay_engine::command::Deduplication::None,
    }
}

/// A message of a group, with a deduplication id.
pub fn in_group(
    group: &str,
    deduplication: Option<u64>,
    body: &[u8],
) -> forebay_engine::command::NewMessage {
    use forebay_engine::command::{Deduplication, NewMessage};

    let mut payload = vec![1];
    payload.extend_from_slice(&(group.len() as u32).to_le_bytes());
    payload.extend_from_slice(group.as_bytes());
    let attributes_bytes = payload.len() as u32;
    payload.extend_from_slice(body);
    let key = deduplication.map(|id| DeduplicationKey(u128::from(id).to_be_bytes()));
    NewMessage {
        delay_ms: None,
        checksum: forebay_engine::checksum::message(attributes_bytes, &payload),
        attributes_bytes,
        payload: payload.into(),
        deduplication: key.map_or(Deduplication::None, Deduplication::Id),
    }
}

/// One message as a store shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub state: MessageState,
    /// Until when a delayed message is.
    pub delayed_until: Option<LogTime>,
    pub receive_count: u32,
    /// Why it was given back.
    pub reason: Option<String>,
    /// What is told of a dead letter.
    pub letter: Option<DeadLetter>,
    pub body: Bytes,
}

/// What a queue holds as a store shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownQueue {
    pub id: u32,
    pub attributes: Attributes,
    pub next_seq: u64,
    pub messages: BTreeMap<u64, Shown>,
}

/// Does one command on an idle store and returns its answer.
pub fn ask(store: &mut Store<Slot>, answers: &mut Answers, command: Command) -> Answer {
    let (number, slot) = answers.slot();
    store.handle(command, slot).expect("no fault is planned");
    if let Some(answer) = answers.take(number) {
        return answer;
    }
    store.commit().expect("no fault is planned");
    answers.take(number).expect("a committed command is answered")
}

/// Asks for so many messages of a queue, from that one on.
pub fn peek(queue: &str, from: Seq, max: u32) -> Command {
    let (queue, filter) = (queue.to_owned(), PeekFilter::default());
    Command::Peek { queue, from, max, bytes_max: u64::MAX, filter }
}

/// Everything that a store holds, bodies read and checked.
pub fn show(store: &mut Store<Slot>, answers: &mut Answers) -> BTreeMap<String, ShownQueue> {
    let list = Command::ListQueues { prefix: String::new(), after: String::new(), max: 1000 };
    let Ok(Reply::Listed { queues, more: false }) = ask(store, answers, list) else {
        panic!("queues are listed");
    };
    let mut shown = BTreeMap::new();
    for info in queues {
        let mut messages = BTreeMap::new();
        let mut from = Some(Seq(1));
        while let Some(seq) = from {
            let page = ask(store, answers, peek(&info.name, seq, 7));
            let Ok(Reply::Peeked { messages: peeked, next, .. }) = page else {
                panic!("messages are peeked");
            };
            for message in peeked {
                let stored = store.read(&message.location).expect("a peeked message is read");
                let (state, receive_count) = (message.state, message.receive_count);
                let is_delayed = state == MessageState::Delayed;
                let delayed_until = stored.visible_from.filter(|_| is_delayed);
                let (body, reason) = (stored.payload, message.reason.map(|r| r.to_string()));
                let letter = stored.dead_letter;
                let shown = Shown { state, delayed_until, receive_count, reason, letter, body };
                messages.insert(message.seq.0, shown);
            }
            from = next;
        }
        let counts = info.counts;
        let of = |wanted: fn(&MessageState) -> bool| {
            messages.values().filter(|message: &&Shown| wanted(&message.state)).count() as u64
        };
        assert_eq!(counts.waiting, of(|s| matches!(s, MessageState::Waiting)), "{}", info.name);
        assert_eq!(counts.in_flight, of(|s| matches!(s, MessageState::InFlight { .. })));
        assert_eq!(counts.delayed, of(|s| matches!(s, MessageState::Delayed)));
        shown.insert(
            info.name.clone(),
            ShownQueue {
                id: info.id.0,
                attributes: (*info.attributes).clone(),
                next_seq: info.next_seq.0,
                messages,
            },
        );
    }
    shown
}

/// The store must be found clean from outside too, or torn where a crash tore it.
pub fn assert_undamaged(disk: &SimDisk) {
    let report = verify(disk, Path::new(DATA), &mut |_| {}).expect("the store is readable");
    assert!(!matches!(report.outcome, Outcome::Damaged(_)), "{report}");
}

/// No file but those that a closed store consists of.
pub fn assert_no_leaked_files(disk: &SimDisk) {
    for path in disk.files() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let reserves = ["MANIFEST.tmp", "MANIFEST.swap.tmp", "next.tmp", "compact.tmp"];
        let known = ["LOCK", "store.toml", "MANIFEST"].contains(&&*name)
            || reserves.contains(&&*name)
            || [".log", ".idx", ".snap"].iter().any(|end| name.ends_with(end));
        assert!(known, "leaked file {}", path.display());
    }
}

/// Removes some of the indexes and snapshots: each bit of `which` stands for one file.
pub fn lose_derived(disk: &SimDisk, which: u64) {
    let derived = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "idx" || extension == "snap")
    };
    for (number, path) in disk.files().into_iter().filter(derived).enumerate() {
        if which >> (number % 64) & 1 == 1 {
            disk.remove(&path).expect("no fault is planned");
            disk.sync_dir(path.parent().unwrap()).expect("no fault is planned");
        }
    }
}

pub type StepResult = Result<(), LogFailure>;
