//! `forebay torture kill --block`: what a power cut leaves of a real file system.
//!
//! ```text
//!   server ─▶ ext4 ─▶ loop device ─▶ FUSE ─▶ qemu-storage-daemon ─▶ image
//!                                                    └──▶ a log of every write and flush
//! ```
//!
//! Clients work, and it is noted how long the log was when each was answered. Then the images are made
//! again that a power cut may have left: every write up to some moment; or, since a disk may write in any
//! order what was not flushed, only some of those since the last flush. Each is mounted, `verify` looks at the
//! store, it is opened, and what is in it is held against what had been answered by then. Then all leases and delays
//! end, by the store's clock, and everything that was there must be received.
//!
//! A *negative control* shows that this finds something: the same with a server whose syncs are not done,
//! which `strace` sees to.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forebay_engine::command::{Command, PeekFilter, Peeked, Reply};
use forebay_engine::disk::RealDisk;
use forebay_engine::ids::Seq;
use forebay_engine::unit::count_of;
use forebay_engine::verify::{Outcome as Verified, verify};
use forebay_engine::{RequestError, Store};

use super::block_log::{Entry, Image, entries, read};
use super::body::content;
use super::campaign::{Campaign, broken};
use super::checker::{Violation, check};
use super::crew::Habits;
use super::export::{Exported, make_ext4, need_exports};
use super::history::{Call, Content, Delivery, History, Micros, Number, Outcome, What, queues};
use super::server::Launch;
use super::strace::need_tracing;
use super::system::{Lacking, Mount, need};
use super::{CampaignError, Options, Report, io_error, prepare};
use crate::random::Random;
use crate::stop::Stop;
use crate::store::{Opened, Slot, quiet};

/// The size of the device.
const DEVICE_BYTES: u64 = 96 << 20;

/// Space for the log of a round; what is not used takes none.
const LOG_BYTES: u64 = 4 << 30;

/// How long the server works in a round, in each of its lives.
const WORK: Duration = Duration::from_millis(700);

/// Lives of the server in a round.
const LIVES: u32 = 3;

/// The most images of a round: then there are others to look at.
const IMAGES_OF_A_ROUND: u64 = 500;

/// By then every lease and every delay has ended, in ms.
const PATIENCE_MS: u64 = 2 * VISIBILITY_MS_MAX;

/// The longest lease, in ms: longer than a round.
const VISIBILITY_MS_MAX: u64 = 60_000;

/// Messages of a receive that empties a queue.
const RECEIVE_MAX: u32 = 1_000;

/// The life in which a state is looked at.
const INVENTORY: u32 = u32::MAX;

/// What was done.
#[derive(Debug, Default, Clone)]
pub struct Images {
    /// Images that were mounted and checked.
    pub images: u64,
    /// Among them those with writes missing since the last flush.
    pub reordered: u64,
    /// Images whose file system could not be mounted: not counted above.
    pub unmountable: u64,
    /// Writes and flushes that were logged.
    pub entries: u64,
    /// File systems that were made.
    pub rounds: u32,
    /// After how many images the server without syncs was found out.
    pub control: Option<u64>,
    /// Why there was no negative control.
    pub control_skipped: Option<Lacking>,
}

/// A round: its block log, and how long that was at which time.
struct Round {
    base: Image,
    log: Vec<Entry>,
    /// The log had so many entries at that time, ascending.
    samples: Vec<(Micros, u64)>,
    calls: Vec<Call>,
    number: u32,
}

/// A state of the device after a power cut.
struct State<'r> {
    image: &'r Image,
    /// Everything up to this entry is in it.
    holds: u64,
    /// It holds nothing behind this one.
    reaches: u64,
}

/// Checks images until there were as many as asked for, or the time is over.
pub fn run(
    options: &Options,
    images: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Result<(Report, Images), Lacking>, CampaignError> {
    let tools = ["qemu-storage-daemon", "losetup", "mount", "umount", "mkfs.ext4"];
    if let Err(lacking) = need_exports(&tools) {
        return Ok(Err(lacking));
    }
    prepare(&options.dir)?;
    let io = |source| io_error(&options.dir, source);
    let began = Instant::now();
    let mut done = Images::default();
    let mut random = Random::new(options.seed);
    if let Err(lacking) = need(&["strace"]).and_then(|()| need_tracing()) {
        done.control_skipped = Some(lacking);
    }
    let is_late =
        || options.stop.is_set() || options.time.is_some_and(|most| began.elapsed() >= most);
    loop {
        let is_control = done.control.is_none() && done.control_skipped.is_none();
        let dir = options.dir.join(format!("round-{}", done.rounds));
        fs::create_dir_all(&dir).map_err(io)?;
        let (mut campaign, round) =
            match record(options, &dir, done.rounds, is_control, &mut random)? {
                Ok(recorded) => recorded,
                Err(report) => return Ok(Ok((report, done))),
            };
        let before = done.images;
        let most = (images - before.min(images)).min(IMAGES_OF_A_ROUND);
        let stop = options.stop.clone();
        let mut look = Look { dir: &dir, done: &mut done, random: &mut random, stop };
        let found = look.at(&round, most, is_control, progress).map_err(io)?;
        if is_control {
            done.control = (!found.is_empty()).then_some(done.images - before);
            (done.images, done.reordered) = (0, 0);
            if done.control.is_none() && options.stop.is_set() {
                return Ok(Ok((campaign.report(&options.dir, Vec::new())?, done)));
            }
            if done.control.is_none() {
                let text = "a server whose syncs are not done was not found out".to_owned();
                let report = campaign.report(&options.dir, vec![broken("control", text)])?;
                return Ok(Ok((report, done)));
            }
        } else {
            done.rounds += 1;
            done.entries += round.log.len() as u64;
            if !found.is_empty() || done.images >= images || is_late() {
                campaign.history = History { calls: round.calls, ..History::default() };
                return Ok(Ok((campaign.report(&options.dir, found)?, done)));
            }
        }
        fs::remove_dir_all(&dir).map_err(io)?;
    }
}

/// Lets clients work on a new file system, and reads what was written to its device.
fn record(
    options: &Options,
    dir: &Path,
    number: u32,
    is_control: bool,
    random: &mut Random,
) -> Result<Result<(Campaign, Round), Report>, CampaignError> {
    let io = |source| io_error(dir, source);
    let (device, log) = (dir.join("device"), dir.join("log"));
    make_ext4(&device, DEVICE_BYTES).map_err(io)?;
    let base = Image::read(&device).map_err(io)?;
    super::system::sparse(&log, LOG_BYTES).map_err(io)?;
    let blockdevs = [
        format!("driver=file,node-name=f0,filename={}", device.display()),
        "driver=raw,node-name=r0,file=f0".to_owned(),
        format!("driver=file,node-name=l0,filename={}", log.display()),
        "driver=blklogwrites,node-name=w0,file=r0,log=l0,log-sector-size=512,\
         log-super-update-interval=1"
            .to_owned(),
    ];
    let exported = Exported::mount(dir, &blockdevs, "w0", DEVICE_BYTES).map_err(io)?;
    let mut launch = Launch::new(&options.binary, dir);
    launch.data = exported.mount.at.join("store");
    if is_control {
        let inject = "inject=fdatasync,fsync:retval=0";
        let strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e"];
        launch.wrapper = strace.map(str::to_owned).into();
        launch.wrapper.extend([
            "trace=fdatasync,fsync".to_owned(),
            "-e".to_owned(),
            inject.to_owned(),
        ]);
    }
    let habits = Habits { visibilities_ms: [100, 300, VISIBILITY_MS_MAX], delay_ms_max: 500 };
    let mut campaign = Campaign::new(launch, random.next(), habits).map_err(io)?;
    campaign.summary.rounds = number;
    let sampler = Sampler::start(&log, &campaign).map_err(io)?;
    let mut lived = Ok(());
    for _ in 0..LIVES {
        lived = lived.and_then(|()| campaign.live_for(WORK));
    }
    // One sample more, behind everything that was answered.
    std::thread::sleep(Duration::from_millis(5));
    let samples = sampler.stop();
    exported.unmount().map_err(io)?;
    if let Err(violation) = lived {
        return Ok(Err(campaign.report(&options.dir, vec![violation])?));
    }
    let log = read(&log).map_err(io)?;
    let calls = campaign.history.calls.clone();
    Ok(Ok((campaign, Round { base, log, samples, calls, number })))
}

/// Notes how long the log is, all the time.
struct Sampler {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<(Micros, u64)>>,
}

impl Sampler {
    fn start(log: &Path, campaign: &Campaign) -> io::Result<Self> {
        let (log, recorder) = (File::open(log)?, Arc::clone(&campaign.recorder));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut samples: Vec<(Micros, u64)> = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                // The time first: at that time the log was no longer than this.
                let now = recorder.now();
                if let Ok(length) = entries(&log) {
                    samples.push((now, length));
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            samples
        });
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Vec<(Micros, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

impl Round {
    /// At that time the log was no longer than this.
    fn length_at_most(&self, time: Micros) -> u64 {
        let at = self.samples.partition_point(|(sampled, _)| *sampled < time);
        self.samples.get(at).map_or(u64::MAX, |(_, length)| *length)
    }

    /// At that time the log was no shorter than this.
    fn length_at_least(&self, time: Micros) -> u64 {
        let at = self.samples.partition_point(|(sampled, _)| *sampled < time);
        // It was read after its time: only the sample before that one was complete by then.
        at.checked_sub(2).map_or(0, |before| self.samples[before].1)
    }

    /// What is known of a state: what was answered before it, and what may have been done.
    fn known(&self, state: &State<'_>) -> Vec<Call> {
        let known = |call: &Call| {
            if self.length_at_least(call.began) > state.reaches {
                return None;
            }
            let is_held = self.length_at_most(call.ended) <= state.holds;
            let mut call = call.clone();
            match &call.what {
                // What was delivered later is not known to anybody who comes back to this state, but counts in it.
                What::Receive { queue, visibility_ms, .. } if !is_held => {
                    let (queue, visibility_ms, deliveries) = (*queue, *visibility_ms, Vec::new());
                    call.what = What::Receive { queue, visibility_ms, deliveries };
                    call.outcome = Outcome::Unknown;
                }
                What::Receive { .. } => {}
                _ if !is_held && call.outcome == Outcome::Ok => call.outcome = Outcome::Unknown,
                _ => {}
            }
            Some(call)
        };
        self.calls.iter().filter_map(known).collect()
    }
}

/// Looks at the images of a round.
struct Look<'l> {
    dir: &'l Path,
    done: &'l mut Images,
    random: &'l mut Random,
    stop: Stop,
}

impl Look<'_> {
    /// Looks at so many; what is wrong with the first in which something is.
    fn at(
        &mut self,
        round: &Round,
        most: u64,
        is_control: bool,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<Vec<Violation>> {
        let total = round.log.len() as u64;
        // Half of them whole, half with writes missing where several were not flushed.
        let (mut run, mut unflushed) = (0, 0);
        for entry in &round.log {
            run = if entry.is_flush() { 0 } else { run + u64::from(entry.is_write()) };
            unflushed += u64::from(run > 1);
        }
        let (whole, missing) = (most.div_ceil(2), most / 2);
        let (mut image, mut flushed, mut since) =
            (round.base.clone(), round.base.clone(), Vec::new());
        let (mut last_flush, end) = (0, self.done.images + most);
        for (number, entry) in round.log.iter().enumerate() {
            if self.stop.is_set() {
                break;
            }
            let number = number as u64 + 1;
            image.apply(entry);
            if entry.is_flush() {
                since.drain(..).for_each(|entry| flushed.apply(entry));
                flushed.apply(entry);
                last_flush = number;
            } else if entry.is_write() {
                since.push(entry);
            }
            let mut wrong = Vec::new();
            if self.done.images < end && self.random.below(total) < whole {
                wrong =
                    self.state(round, &State { image: &image, holds: number, reaches: number })?;
            }
            let is_reordered = since.len() > 1 && self.random.below(unflushed) < missing;
            if wrong.is_empty() && self.done.images < end && is_reordered {
                let image = self.some_of(&flushed, &since);
                let state = State { image: &image, holds: last_flush, reaches: number };
                wrong = self.state(round, &state)?;
                self.done.reordered += 1;
            }
            if !wrong.is_empty() {
                let at = |violation: Violation| Violation {
                    text: format!("power cut at write {number} of {total}: {}", violation.text),
                    ..violation
                };
                return Ok(wrong.into_iter().map(at).collect());
            }
            if !is_control {
                progress(self.done.images);
            }
        }
        Ok(Vec::new())
    }

    /// What a disk with a cache may have of what was not flushed: some writes, in any order.
    fn some_of(&mut self, flushed: &Image, since: &[&Entry]) -> Image {
        let mut image = flushed.clone();
        let left_out = self.random.below(since.len() as u64) as usize;
        let one_alone = self.random.percent(50);
        for (at, entry) in since.iter().enumerate() {
            let is_kept = if one_alone { at != left_out } else { self.random.percent(50) };
            if is_kept || entry.is_durable() {
                image.apply(entry);
            }
        }
        image
    }

    fn state(&mut self, round: &Round, state: &State<'_>) -> io::Result<Vec<Violation>> {
        let file = self.dir.join("state");
        state.image.save(&file, DEVICE_BYTES)?;
        let mount = match Mount::image(&file, &self.dir.join("mounted")) {
            Ok(mount) => mount,
            Err(_) => {
                self.done.unmountable += 1;
                return Ok(Vec::new());
            }
        };
        self.done.images += 1;
        let found = found(&mount.at.join("store"), round.number);
        mount.unmount()?;
        let mut calls = round.known(state);
        let wrong = match found {
            Ok(found) => {
                calls.extend(found);
                let (inventory, power_was_cut) = (Some(INVENTORY), true);
                check(&History { calls, inventory, power_was_cut, ..History::default() })
            }
            Err(violation) => vec![violation],
        };
        Ok(wrong)
    }
}

/// What a store holds, as if it had been received.
fn found(data: &Path, round: u32) -> Result<Vec<Call>, Violation> {
    if !data.join("store.toml").exists() {
        return Ok(Vec::new());
    }
    match verify(&RealDisk, data, &mut |_| {}) {
        Ok(report) if matches!(report.outcome, Verified::Damaged(_)) => {
            return Err(broken("verify", report.to_string()));
        }
        Ok(_) => {}
        Err(error) => return Err(broken("verify", error.to_string())),
    }
    let options = quiet(1 << 20);
    let mut opened = Opened::open(Arc::new(RealDisk), data, now_ms(), options)
        .map_err(|error| broken("start", error.to_string()))?;
    let (mut calls, mut there) = (Vec::new(), Vec::new());
    for queue in queues::ALL {
        let mut from = Some(Seq(1));
        let mut deliveries = Vec::new();
        there.push(queue);
        while let Some(seq) = from {
            let (queue, filter) = (queue.to_owned(), PeekFilter::default());
            let peek = Command::Peek { queue, from: seq, max: 1000, bytes_max: u64::MAX, filter };
            match opened.ask(peek).map_err(|why| broken("start", why))? {
                Ok(Reply::Peeked { messages, next, .. }) => {
                    for message in messages {
                        deliveries.push(read_one(&opened.store, &message, round)?);
                    }
                    from = next;
                }
                // It was not created yet.
                Err(RequestError::UnknownQueue { .. }) => {
                    there.pop();
                    from = None;
                }
                other => return Err(broken("refusal", format!("a peek: {other:?}"))),
            }
        }
        // Looked at behind all that was done, each queue behind all others.
        let (life, began, ended) = (INVENTORY, Micros::MAX / 2 + 1, Micros::MAX / 2);
        let (outcome, error, code) = (Outcome::Ok, String::new(), String::new());
        let what = What::Receive { queue, visibility_ms: 0, deliveries };
        calls.push(Call { life, began, ended, outcome, error, code, what });
    }
    let messages = calls.iter().flat_map(|call| match &call.what {
        What::Receive { deliveries, .. } => deliveries.as_slice(),
        _ => &[],
    });
    let numbers = messages.filter_map(|delivery| match delivery.content {
        Content::Message(number) => Some(number),
        _ => None,
    });
    receive_all(&mut opened, &there, numbers.collect(), round)?;
    Ok(calls)
}

/// Receives and deletes everything, once no lease and no delay runs any more: all of these messages must come.
fn receive_all(
    opened: &mut Opened,
    queues: &[&'static str],
    mut expected: BTreeSet<Number>,
    round: u32,
) -> Result<(), Violation> {
    let failed = |why| broken("stuck", why);
    opened.clock.advance(PATIENCE_MS);
    let mut is_empty = false;
    // Once more after there was something: dead letters come from another queue.
    while !is_empty {
        is_empty = true;
        for queue in queues {
            loop {
                let received =
                    opened.receive(queue, RECEIVE_MAX, VISIBILITY_MS_MAX).map_err(failed)?;
                if received.is_empty() {
                    break;
                }
                is_empty = false;
                for delivery in &received {
                    let stored = opened.store.read(&delivery.location);
                    let stored = stored.map_err(|error| broken("phantom", error.to_string()))?;
                    let body = &stored.payload[stored.attributes_bytes as usize..];
                    if let Content::Message(number) = content(round, body) {
                        expected.remove(&number);
                    }
                }
                opened.ack(queue, &received).map_err(failed)?;
            }
        }
    }
    let Some(number) = expected.first().copied() else { return Ok(()) };
    let text = format!(
        "message {number} and {} more can be peeked, and are never received, {} s after the last lease was given",
        expected.len() - 1,
        PATIENCE_MS / 1000
    );
    Err(Violation { rule: "stuck", number, text })
}

fn read_one(store: &Store<Slot>, peeked: &Peeked, round: u32) -> Result<Delivery, Violation> {
    let location = &peeked.location;
    let stored = store.read(location).map_err(|error| broken("phantom", error.to_string()))?;
    let body = &stored.payload[stored.attributes_bytes as usize..];
    let seq = location.seq.0;
    let letter = stored.dead_letter.as_ref();
    let origin_seq = letter.map_or(seq, |letter| letter.origin_seq.0);
    // As if it were received now, once more.
    let before = letter.map_or(0, |letter| letter.receive_count);
    let receive_count = before.saturating_add(peeked.receive_count).saturating_add(1);
    Ok(Delivery { content: content(round, body), seq, origin_seq, receive_count })
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as u64)
}

/// What was done, for people.
pub fn told(report: &Report, images: &Images) -> String {
    let control = match (&images.control, &images.control_skipped) {
        (Some(after), _) => format!("a server without syncs was found out after {after} images"),
        (None, Some(lacking)) => format!("the negative control was {lacking}"),
        (None, None) => "the negative control was not found out, or not done".to_owned(),
    };
    format!(
        "{} in {} images after power cuts, {} of them with writes missing, {} file systems, {} \
         writes and flushes logged; {} images could not be mounted; {control}",
        count_of(report.violations.len() as u64, "violation"),
        images.images,
        images.reordered,
        images.rounds,
        images.entries,
        images.unmountable,
    )
}

/// Where a round lies.
pub fn dir_of(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("round-{number}"))
}
