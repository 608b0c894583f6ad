//! `forebay torture kill --full-disk`: file systems that really fill up.
//!
//! On each of tmpfs, ext4 and xfs, small ones that are made for it, a queue is filled until sends are refused.
//! Then receives and deletes must go on until the queue is empty, and sends be taken again, without a
//! restart; in one of the rounds the server is killed when the disk is full, and must open on it. These file
//! systems write less than they were asked to before they say that they are full: short writes are met
//! here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forebay_engine::unit::count_of;
use forebay_protocol::client::{Client, ClientError};
use forebay_protocol::{ErrorCode, MessageAttribute, OutgoingMessage};
use tokio::runtime::Runtime;

use super::campaign::{broken, hang};
use super::checker::{Violation, check};
use super::consumers::Consumer;
use super::crew::{Habits, connect, create_queues};
use super::history::{Call, History, Outcome, SentMessage, What, queues};
use super::life::Life;
use super::producers::{numbered, outgoing};
use super::recorder::Recorder;
use super::server::{Launch, Server};
use super::system::{Lacking, Mount, need, need_root, run as run_program, sparse};
use super::{CampaignError, Options, io_error, prepare, write_history};
use crate::stop::Stop;

/// How often each file system is filled and drained.
const ROUNDS: u32 = 4;

/// Messages of a send.
const BATCH: u64 = 64;

/// What large messages have besides their bodies.
const PADDING_BYTES: usize = 4_000;

/// No call may take longer on a full disk.
const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// It must be possible to drain the queue in so long.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);

/// Sends must be taken again so long after the queue was emptied.
const RESUME_PATIENCE: Duration = Duration::from_secs(30);

/// A small file system.
#[derive(Debug, Clone, Copy)]
struct Small {
    name: &'static str,
    bytes: u64,
    /// What is reserved for receives and deletes follows the size of segments: a larger disk holds more
    /// messages.
    segment_bytes: &'static str,
    /// What makes it, with arguments; empty for one that needs no making.
    maker: &'static [&'static str],
}

const SMALL: [Small; 3] = [
    Small { name: "tmpfs", bytes: 24 << 20, segment_bytes: "1MiB", maker: &[] },
    Small {
        name: "ext4",
        bytes: 32 << 20,
        segment_bytes: "1MiB",
        maker: &["mkfs.ext4", "-q", "-F"],
    },
    // There is none smaller.
    Small {
        name: "xfs",
        bytes: 320 << 20,
        segment_bytes: "8MiB",
        maker: &["mkfs.xfs", "-q", "-f"],
    },
];

/// What was done on one file system.
#[derive(Debug, Clone)]
pub struct Filled {
    /// Its name.
    pub file_system: &'static str,
    /// Why it was not done; else what follows counts.
    pub skipped: Option<Lacking>,
    /// How often it was filled and drained.
    pub rounds: u32,
    /// Messages that were answered.
    pub sent: u64,
    /// Messages that were deleted.
    pub deleted: u64,
    /// The longest call on the full disk.
    pub slowest_call: Duration,
    /// The longest time from the last delete until a send was taken again.
    pub slowest_resume: Duration,
    /// Receives and deletes that were refused for want of reserve, and taken when they were tried again.
    pub deferred: u64,
    /// What was broken.
    pub violations: Vec<Violation>,
}

/// Fills each file system.
pub fn run(
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Result<Vec<Filled>, Lacking>, CampaignError> {
    if let Err(lacking) = need_root().and_then(|()| need(&["mount", "umount", "losetup"])) {
        return Ok(Err(lacking));
    }
    prepare(&options.dir)?;
    let mut all = Vec::new();
    for small in SMALL {
        if options.stop.is_set() {
            break;
        }
        progress(small.name);
        let dir = options.dir.join(small.name);
        fs::create_dir_all(&dir).map_err(|source| io_error(&dir, source))?;
        let mut filled = Filled {
            file_system: small.name,
            skipped: None,
            rounds: 0,
            sent: 0,
            deleted: 0,
            slowest_call: Duration::ZERO,
            slowest_resume: Duration::ZERO,
            deferred: 0,
            violations: Vec::new(),
        };
        match mount(small, &dir) {
            Ok(mount) => {
                fill_and_drain(options, small, &mount, &mut filled)?;
                mount.unmount().map_err(|source| io_error(&dir, source))?;
            }
            Err(lacking) => filled.skipped = Some(lacking),
        }
        let is_broken = !filled.violations.is_empty();
        all.push(filled);
        if is_broken {
            break;
        }
    }
    Ok(Ok(all))
}

fn mount(small: Small, dir: &Path) -> Result<Mount, Lacking> {
    let at = dir.join("disk");
    let lacking =
        |error: std::io::Error| Lacking(format!("{} on this machine: {error}", small.name));
    let Some((maker, arguments)) = small.maker.split_first() else {
        return Mount::tmpfs(&at, small.bytes).map_err(lacking);
    };
    need(&[maker])?;
    let image = dir.join("image");
    sparse(&image, small.bytes).map_err(lacking)?;
    let mut arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
    arguments.push(image.display().to_string());
    run_program(maker, &arguments).map_err(lacking)?;
    Mount::image(&image, &at).map_err(lacking)
}

fn fill_and_drain(
    options: &Options,
    small: Small,
    mount: &Mount,
    filled: &mut Filled,
) -> Result<(), CampaignError> {
    let dir = &options.dir.join(small.name);
    let io = |source| io_error(dir, source);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(io)?;
    let mut launch = Launch::new(&options.binary, dir);
    launch.data = mount.at.join("store");
    let settings = ["--segment-bytes", small.segment_bytes, "--snapshot-bytes", "256KiB"];
    launch.settings = settings.map(str::to_owned).into();
    let mut disk = FullDisk {
        stop: options.stop.clone(),
        recorder: std::sync::Arc::new(Recorder::new()),
        runtime,
        launch,
        life: 0,
        history: History::default(),
    };
    let result = disk.rounds(filled);
    disk.history.calls.extend(disk.recorder.take());
    disk.history.drained = result.is_ok();
    filled.violations = check(&disk.history);
    filled.violations.extend(result.err());
    let tally = disk.recorder.tally();
    (filled.sent, filled.deleted) = (tally.sent, tally.deleted);
    if !filled.violations.is_empty() {
        write_history(dir, &disk.history, &filled.violations)?;
    }
    Ok(())
}

/// How large messages are beside what receives and deletes of them take in the log. What is reserved for
/// these is finite: with large ones it is enough for all of them; with small ones it may be used up, and then
/// they wait for the compactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Large,
    Small,
}

impl Size {
    fn of(self, messages: Vec<OutgoingMessage>) -> Vec<OutgoingMessage> {
        let padded = |message: OutgoingMessage| match self {
            Size::Small => message,
            Size::Large => {
                message.attribute(MessageAttribute::binary("padding", vec![0x2e; PADDING_BYTES]))
            }
        };
        messages.into_iter().map(padded).collect()
    }
}

struct FullDisk {
    stop: Stop,
    recorder: std::sync::Arc<Recorder>,
    runtime: Runtime,
    launch: Launch,
    life: u32,
    history: History,
}

impl FullDisk {
    fn rounds(&mut self, filled: &mut Filled) -> Result<(), Violation> {
        let (mut server, mut life) = self.start()?;
        for round in 0..ROUNDS {
            if self.stop.is_set() {
                break;
            }
            let size = if round < ROUNDS / 2 { Size::Large } else { Size::Small };
            let refused = self.fill(&life, size, filled)?;
            // What was refused once is refused until something is deleted, and nothing else is.
            self.expect_full(&refused)?;
            if round % 2 == 1 {
                server.kill();
                (server, life) = self.start()?;
            }
            let noted = self.noted();
            self.drain(&life, filled)?;
            self.check_refusals(noted, size, filled)?;
            self.resume(&life, size, filled)?;
            self.drain(&life, filled)?;
            filled.rounds += 1;
        }
        match server.terminate(Duration::from_secs(20)) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(broken("alive", format!("SIGTERM ended it with {status}"))),
            None => Err(hang("the server", "end after SIGTERM", Duration::from_secs(20))),
        }
    }

    fn start(&mut self) -> Result<(Server, Life), Violation> {
        self.life += 1;
        let server = self.launch.start().map_err(|why| broken("start", why.to_string()))?;
        let (address, number) = (server.address.to_string(), self.life);
        let client: Result<Client, ClientError> = self.runtime.block_on(async {
            let client = connect(address).await?;
            // Later the disk is full: a new queue is refused then.
            if number == 1 {
                create_queues(&client, &[queues::PLAIN]).await?;
            }
            Ok(client)
        });
        let client = client.map_err(|error| broken("start", error.to_string()))?;
        let life = Life {
            client,
            round: 0,
            number: self.life,
            recorder: std::sync::Arc::clone(&self.recorder),
            habits: Habits::default(),
            ending: Default::default(),
        };
        Ok((server, life))
    }

    /// Sends until that is refused; what it was refused with.
    fn fill(&self, life: &Life, size: Size, filled: &mut Filled) -> Result<ClientError, Violation> {
        for _ in 0..1_000_000 {
            match self.send(life, size, filled)? {
                Ok(()) => {}
                Err(error) => return Ok(error),
            }
        }
        Err(broken("full", "the disk is never full".to_owned()))
    }

    fn send(
        &self,
        life: &Life,
        size: Size,
        filled: &mut Filled,
    ) -> Result<Result<(), ClientError>, Violation> {
        let one = |_| SentMessage { number: life.number(), group: 0, delay_ms: 0, seq: 0 };
        let mut messages: Vec<_> = (0..BATCH).map(one).collect();
        let began = life.now();
        let queue = queues::PLAIN;
        let sending = life.client.send(queue, size.of(outgoing(life, &messages)));
        let result = self.timed("a send", sending, filled)?;
        if let Ok(sent) = &result {
            numbered(&mut messages, &sent.seqs().collect::<Vec<_>>());
        }
        life.note(began, &result, What::Send { queue, messages });
        Ok(result.map(drop))
    }

    /// A call that may not take longer than [`CALL_PATIENCE`].
    fn timed<T>(
        &self,
        what: &str,
        call: impl Future<Output = T>,
        filled: &mut Filled,
    ) -> Result<T, Violation> {
        let began = Instant::now();
        let done = self.runtime.block_on(async { tokio::time::timeout(CALL_PATIENCE, call).await });
        filled.slowest_call = filled.slowest_call.max(began.elapsed());
        done.map_err(|_| hang(what, "end on a full disk", CALL_PATIENCE))
    }

    fn expect_full(&self, refused: &ClientError) -> Result<(), Violation> {
        match refused {
            ClientError::Refused(error) if error.code == ErrorCode::StorageFull => Ok(()),
            other => {
                let log = self.launch.log_end();
                Err(broken(
                    "full",
                    format!("a full disk refuses sends with {other}; its log: {log}"),
                ))
            }
        }
    }

    /// Receives and deletes everything, in one life of the server.
    fn drain(&self, life: &Life, filled: &mut Filled) -> Result<(), Violation> {
        let mut consumer = Consumer::new(queues::PLAIN);
        let begun = Instant::now();
        while begun.elapsed() < DRAIN_PATIENCE {
            let step = consumer.delete_some(life);
            if let Err(error) = self.timed("a receive or a delete", step, filled)? {
                return Err(broken("full", format!("a receive or a delete is refused: {error}")));
            }
            let began = life.now();
            let described = life.client.describe_queue(queues::PLAIN);
            let result = self.timed("a count", described, filled)?;
            let info = result.map_err(|error| broken("full", format!("a count: {error}")))?;
            let messages = [info.waiting, info.in_flight, info.delayed, info.damaged];
            if messages == [0; 4] {
                let queue = queues::PLAIN;
                life.note(began, &Ok(()), What::Count { queue, messages });
                return Ok(());
            }
        }
        Err(hang("the queue", "become empty on a full disk", DRAIN_PATIENCE))
    }

    /// How many calls were noted.
    fn noted(&mut self) -> usize {
        self.history.calls.extend(self.recorder.take());
        self.history.calls.len()
    }

    /// Receives and deletes of large messages go on however full the disk is.
    fn check_refusals(
        &mut self,
        from: usize,
        size: Size,
        filled: &mut Filled,
    ) -> Result<(), Violation> {
        self.noted();
        let is_refused = |call: &&Call| {
            let goes_on = matches!(call.what, What::Receive { .. } | What::Ack { .. });
            goes_on && call.outcome == Outcome::Failed
        };
        let mut refused = self.history.calls[from..].iter().filter(is_refused);
        match (size, refused.next()) {
            (Size::Large, Some(call)) => {
                Err(broken("full", format!("a receive or a delete is refused: {}", call.error)))
            }
            (_, first) => {
                filled.deferred += u64::from(first.is_some()) + refused.count() as u64;
                Ok(())
            }
        }
    }

    /// Sends are taken again, without a restart.
    fn resume(&self, life: &Life, size: Size, filled: &mut Filled) -> Result<(), Violation> {
        let began = Instant::now();
        while began.elapsed() < RESUME_PATIENCE {
            match self.send(life, size, filled)? {
                Ok(()) => {
                    filled.slowest_resume = filled.slowest_resume.max(began.elapsed());
                    return Ok(());
                }
                Err(refused) => self.expect_full(&refused)?,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let seconds = RESUME_PATIENCE.as_secs();
        Err(broken("full", format!("the queue is empty and sends are refused for {seconds} s")))
    }
}

/// Where the files of a file system lie, below the directory of the campaign.
pub fn dir_of(dir: &Path, filled: &Filled) -> PathBuf {
    dir.join(filled.file_system)
}

/// What was done, for people.
pub fn told(filled: &Filled) -> String {
    match &filled.skipped {
        Some(lacking) => format!("{}: {lacking}", filled.file_system),
        None => format!(
            "{}: {}; filled and drained {}, {} sent, {} deleted; {} receives and \
             deletes of small messages had to wait for space; the slowest call took {} ms, and sends were \
             taken again within {} ms",
            filled.file_system,
            count_of(filled.violations.len() as u64, "violation"),
            count_of(u64::from(filled.rounds), "time"),
            count_of(filled.sent, "message"),
            filled.deleted,
            filled.deferred,
            filled.slowest_call.as_millis(),
            filled.slowest_resume.as_millis(),
        ),
    }
}
