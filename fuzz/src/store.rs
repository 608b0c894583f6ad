//! A small store on a simulated disk, the same for every input, and what can be read of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use forebay_engine::command::{Command, Deduplication, NewMessage, PeekFilter, Reply, ReplyTo};
use forebay_engine::disk::SimDisk;
use forebay_engine::ids::Seq;
use forebay_engine::log::Manifest;
use forebay_engine::{OpenError, Options, RequestError, SimClock, Store, checksum};

const DATA: &str = "data";
/// The smallest segment there is: inputs stay small, and a scan is quick.
const SEGMENT_BYTES: u64 = 16 << 10;
const WALL_MS: u64 = 1_700_000_000_000;

/// The bodies in a store, by queue and number.
pub type Contents = BTreeMap<(String, u64), Bytes>;

/// The files of a store that a killed process left: a sealed segment and an active one, each with
/// queues, messages, leases and acks.
#[derive(Debug)]
pub struct BaseStore {
    files: Vec<(PathBuf, Vec<u8>)>,
    /// The active segment's name.
    pub active: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many of them are written; the rest is zeros.
    pub written_bytes: usize,
    /// Every message that was ever in it, deleted ones too: a cut log may bring them back.
    pub sent: Contents,
}

impl BaseStore {
    /// Makes the store.
    pub fn new() -> Self {
        let (disk, mut sent) = (SimDisk::new(1), Contents::new());
        for round in 0..2 {
            fill(&disk, round, &mut sent);
            disk.kill();
        }
        let read = |path: &Path| disk.image(path).expect("the disk lists it");
        let manifest = Path::new(DATA).join("MANIFEST");
        let manifest = Manifest::decode(&read(&manifest)).expect("the store wrote it");
        let first = manifest.segments.last().expect("the store has segments").first;
        let active = Path::new(DATA).join("log").join(format!("{:016x}.log", first.0));
        let bytes = read(&active);
        let written_bytes = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let files = disk.files().into_iter().map(|path| (path.clone(), read(&path))).collect();
        Self { files, active, bytes, written_bytes, sent }
    }

    /// A disk with the store on it, and other bytes in its active segment.
    pub fn with_active(&self, bytes: &[u8]) -> SimDisk {
        let disk = SimDisk::new(1);
        for (path, whole) in &self.files {
            let bytes = if *path == self.active { bytes } else { whole };
            disk.put(path, bytes).expect("a simulated disk without faults takes a file");
        }
        disk
    }

    /// The data directory.
    pub fn data() -> &'static Path {
        Path::new(DATA)
    }
}

impl Default for BaseStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Opens the store and reads every message in it.
pub fn open_and_read(disk: &SimDisk) -> Result<Contents, OpenError> {
    let mut store = open(disk)?;
    let mut contents = Contents::new();
    for name in queues(&mut store) {
        let mut from = Some(Seq(1));
        while let Some(seq) = from {
            let (queue, bytes_max) = (name.clone(), u64::MAX);
            let peek = Command::Peek {
                queue,
                from: seq,
                max: 7,
                bytes_max,
                filter: PeekFilter::default(),
            };
            let Ok(Reply::Peeked { messages, next, .. }) = ask(&mut store, peek) else {
                panic!("queue {name:?} is listed and cannot be peeked into");
            };
            for message in messages {
                let stored = store.read(&message.location).expect("what opened is readable");
                contents.insert((name.clone(), message.seq.0), stored.payload);
            }
            from = next;
        }
    }
    Ok(contents)
}

fn open(disk: &SimDisk) -> Result<Store<Answer>, OpenError> {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::new(SimClock::new(WALL_MS)));
    let options =
        Options { segment_bytes: SEGMENT_BYTES, tail_cache_bytes: 4 << 10, ..Options::default() };
    Store::open(disk, clock, DATA.as_ref(), options).map(|(store, _)| store)
}

fn queues(store: &mut Store<Answer>) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let list = Command::ListQueues { prefix: String::new(), after, max: 1000 };
        let Ok(Reply::Listed { queues, more }) = ask(store, list) else {
            panic!("queues cannot be listed");
        };
        names.extend(queues.into_iter().map(|info| info.name));
        match names.last() {
            Some(last) if more => after = last.clone(),
            _ => return names,
        }
    }
}

/// One of everything: an entry a command, so that there are many small entries to break.
fn fill(disk: &SimDisk, round: u8, sent: &mut Contents) {
    let mut store = open(disk).expect("a simulated disk without faults opens");
    let queue = || "jobs".to_owned();
    let gone = format!("gone-{round}");
    for name in [queue(), gone.clone()] {
        let create = Command::CreateQueue { name, attributes: Default::default() };
        ask(&mut store, create).expect("the store takes this");
    }
    for (bytes, delay_ms) in [(3, None), (0, None), (90, Some(60_000)), (700, None)] {
        let payload = Bytes::from(vec![b'a' + round; bytes]);
        let checksum = checksum::message(0, &payload);
        let body = payload.clone();
        let deduplication = Deduplication::None;
        let message =
            NewMessage { delay_ms, checksum, attributes_bytes: 0, payload, deduplication };
        let send =
            Command::Send { queue: queue(), messages: vec![message.clone(), message], batch: None };
        let Ok(Reply::Sent(stored)) = ask(&mut store, send) else {
            panic!("the store takes this");
        };
        let seqs = (stored.first.0..).take(stored.count as usize);
        sent.extend(seqs.map(|seq| ((queue(), seq), body.clone())));
    }
    ask(&mut store, Command::DeleteQueue { name: gone }).expect("the store takes this");
    let receive = Command::Receive {
        queue: queue(),
        max: 2,
        wait_ms: Some(0),
        visibility_ms: None,
        bytes_max: u64::MAX,
        attempt: None,
    };
    let Ok(Reply::Received { deliveries, .. }) = ask(&mut store, receive) else {
        panic!("there are messages");
    };
    let receipts = vec![deliveries[0].receipt];
    ask(&mut store, Command::Ack { queue: queue(), receipts }).expect("the lease runs");
    let changes = vec![(deliveries[1].receipt, 5_000)];
    ask(&mut store, Command::ChangeVisibility { queue: queue(), changes }).expect("it runs");
}

/// Does one command on an idle store and returns its answer.
fn ask(store: &mut Store<Answer>, command: Command) -> Result<Reply, RequestError> {
    let answer = Answer::default();
    store.handle(command, answer.clone()).expect("no fault is planned");
    let mut reply = answer.take();
    if reply.is_none() {
        store.commit().expect("no fault is planned");
        reply = answer.take();
    }
    reply.expect("a committed command is answered")
}

/// Keeps an answer until it is taken.
#[derive(Debug, Clone, Default)]
struct Answer(Arc<Mutex<Option<Result<Reply, RequestError>>>>);

impl Answer {
    fn take(&self) -> Option<Result<Reply, RequestError>> {
        self.0.lock().expect("nobody panics with the lock held").take()
    }
}

impl ReplyTo for Answer {
    fn reply(self, result: Result<Reply, RequestError>) {
        *self.0.lock().expect("nobody panics with the lock held") = Some(result);
    }

    fn is_gone(&self) -> bool {
        false
    }
}
