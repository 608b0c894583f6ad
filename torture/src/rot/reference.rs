//! A store with every kind of file, and what is in it.
//!
//! Segments as the log wrote them, compacted ones and the active one, indexes, two snapshots, queues with
//! delays, leases, groups, dead letters and reasons. The newest entry is a watermark, so that nothing
//! that matters is in doubt (FORMAT.md, section 8).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::Command;
use forebay_engine::disk::SimDisk;
use forebay_engine::ids::{QueueId, Seq};
use forebay_engine::inspect::{Inspected, inspect};
use forebay_engine::{Clock, Options};

use super::judge::drain;
use crate::kill::body;
use crate::random::Random;
use crate::store::{DATA, Opened, message, quiet};

/// The queues of the store.
pub(super) const QUEUES: [&str; 5] = ["dead", "late", "orders.fifo", "plain", "retry"];

/// Payloads, and what is known of each: queues that it was in, and its numbers there.
pub(super) type Sent = BTreeMap<Vec<u8>, BTreeSet<(QueueId, Seq)>>;

/// A file of the store.
#[derive(Debug)]
pub(super) struct ReferenceFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) kind: Kind,
    /// Behind this nothing is data; the file's size where all of it is.
    pub(super) data_end: u64,
}

/// What a file is to its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The lock, and what is prepared: a store is whole without it.
    Dispensable,
    /// An index or a snapshot: made anew.
    Derived,
    /// The segment in which the log ends.
    Active,
    /// Every other segment.
    Sealed,
    /// The manifest and the store's identity.
    Root,
}

/// A store that was killed, and what it holds.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) files: Vec<ReferenceFile>,
    /// The payload of every message, and the queue that it is in.
    pub(super) messages: BTreeMap<Vec<u8>, String>,
    /// The payload of every message of which a record is there, and what its queues and numbers were.
    pub(super) sent: Sent,
    /// Where the newest entry begins.
    pub(super) newest: u64,
    pub(super) wall_ms: u64,
}

/// So small that the store has many files and few bytes.
fn busy() -> Options {
    Options {
        segment_bytes: 16 << 10,
        tail_cache_bytes: 4 << 10,
        snapshot_bytes: 24 << 10,
        snapshot_ms: 0,
        garbage_percent: 0,
        garbage_segment_percent: 0,
        ..Options::default()
    }
}

/// With the same segments, and nothing done beside the log but what has to be.
pub(super) fn idle() -> Options {
    quiet(busy().segment_bytes)
}

/// With the same segments, compacted as soon as there is anything to be left out.
pub(super) fn compacting() -> Options {
    busy()
}

impl Reference {
    /// Makes one. The seed chooses the messages; the salts of files come from the system.
    pub(super) fn build(seed: u64) -> Result<Self, String> {
        let disk = SimDisk::new(seed);
        let mut random = Random::new(seed);
        let mut opened =
            Opened::open_on(&disk, 1_800_000_000_000, busy()).map_err(|error| error.to_string())?;
        create_queues(&mut opened)?;
        let mut number = 0;
        for round in 0..14 {
            fill(&mut opened, &mut number, &mut random)?;
            if round < 11 {
                opened.keep()?;
            }
        }
        let wall_ms = opened.clock.wall_ms();
        drop(opened);
        // A second epoch, without any upkeep: segments that nobody has compacted yet.
        let mut opened =
            Opened::open_on(&disk, wall_ms, idle()).map_err(|error| error.to_string())?;
        for _ in 0..4 {
            fill(&mut opened, &mut number, &mut random)?;
        }
        // One that was never received: it is there when the store is drained.
        number += 1;
        opened.send("retry", vec![message(number, &body::body(0, number), None, None)])?;
        opened.keep()?;
        opened.clock.advance(50);
        opened.store.commit().map_err(|failure| failure.to_string())?;
        let wall_ms = opened.clock.wall_ms();
        drop(opened);
        disk.kill();
        Self::read(&disk, wall_ms)
    }

    fn read(disk: &SimDisk, wall_ms: u64) -> Result<Self, String> {
        let (ends, listed) = ends_of(disk)?;
        let active = listed.last().ok_or("the store has no segment")?;
        let mut files = Vec::new();
        for path in disk.files() {
            let bytes = disk.image(&path).map_err(|error| error.to_string())?;
            let extension = path.extension().and_then(|extension| extension.to_str());
            let kind = match extension {
                Some("tmp") => Kind::Dispensable,
                Some("idx" | "snap") => Kind::Derived,
                Some("log") if path == *active => Kind::Active,
                Some("log") => Kind::Sealed,
                _ if path.ends_with("LOCK") => Kind::Dispensable,
                _ => Kind::Root,
            };
            let size = bytes.len() as u64;
            let data_end = ends.get(&path).map_or(size, |(_, end)| *end);
            files.push(ReferenceFile { path, bytes, kind, data_end });
        }
        let newest = ends.get(active).map_or(0, |(newest, _)| *newest);
        let (messages, sent) = (BTreeMap::new(), sent_of(disk)?);
        let mut reference = Self { files, messages, sent, newest, wall_ms };
        let mut opened = Opened::open_on(&reference.disk(), wall_ms, idle())
            .map_err(|error| error.to_string())?;
        let drained = drain(&mut opened)?;
        if !drained.damages.is_empty() {
            return Err(format!("the reference is damaged: {:?}", drained.damages));
        }
        reference.messages = drained.messages.into_iter().collect();
        reference.check()?;
        Ok(reference)
    }

    /// Everything that the sweep is for is there.
    fn check(&self) -> Result<(), String> {
        let count = |wanted: &dyn Fn(&str) -> bool| {
            let name = |file: &&ReferenceFile| {
                file.path.file_name().and_then(|name| name.to_str()).is_some_and(wanted)
            };
            self.files.iter().filter(name).count()
        };
        let compacted = count(&|name| name.ends_with(".log") && name.contains('-'));
        let written = count(&|name| name.ends_with(".log") && !name.contains('-'));
        let indexes = count(&|name| name.ends_with(".idx"));
        let snapshots = count(&|name| name.ends_with(".snap"));
        if compacted < 1 || written < 2 || indexes < 2 || snapshots < 2 {
            return Err(format!(
                "the reference has {compacted} compacted and {written} other segments, {indexes} \
                 indexes and {snapshots} snapshots: too few"
            ));
        }
        let queues: BTreeSet<_> = self.messages.values().map(String::as_str).collect();
        match QUEUES.iter().find(|queue| !queues.contains(*queue)) {
            Some(queue) => Err(format!("the reference has no message in {queue}")),
            None => Ok(()),
        }
    }

    /// A disk with these files.
    pub(super) fn disk(&self) -> SimDisk {
        self.disk_but(&[])
    }

    /// A disk with these files but those of these numbers.
    pub(super) fn disk_but(&self, left_out: &[usize]) -> SimDisk {
        let disk = SimDisk::new(1);
        for (number, file) in self.files.iter().enumerate() {
            if !left_out.contains(&number) {
                disk.put(&file.path, &file.bytes).expect("a simulated disk takes files");
            }
        }
        disk
    }
}

fn create_queues(opened: &mut Opened) -> Result<(), String> {
    for queue in QUEUES {
        let mut attributes = AttributeChanges::default();
        match queue {
            "orders.fifo" => attributes.fifo = Some(true),
            "retry" => {
                attributes.dead_letter_queue = Some("dead".to_owned());
                attributes.receive_count_max = Some(1);
            }
            _ => {}
        }
        opened.create(queue, attributes)?;
    }
    Ok(())
}

/// Something in every queue, of which some is deleted, leased, given back, dead.
fn fill(opened: &mut Opened, number: &mut u64, random: &mut Random) -> Result<(), String> {
    let mut messages = |count: u64, fifo: bool, delays: bool, random: &mut Random| {
        let one = |_| {
            *number += 1;
            let group = fifo.then(|| random.below(3));
            let delay = delays.then(|| random.of(1_000..=3_600_000));
            message(*number, &body::body(0, *number), group, delay)
        };
        (0..count).map(one).collect::<Vec<_>>()
    };
    opened.send("plain", messages(3, false, false, random))?;
    opened.send("late", messages(1, false, true, random))?;
    opened.send("orders.fifo", messages(2, true, false, random))?;
    opened.send("retry", messages(1, false, false, random))?;
    // Most of what was sent is deleted again, so that the compactor has work.
    let received = opened.receive("plain", 3, 36_000_000)?;
    let deleted = random.of(1..=3) as usize;
    opened.ack("plain", &received[..deleted.min(received.len())])?;
    let received = opened.receive("orders.fifo", 2, 36_000_000)?;
    if random.percent(60) {
        opened.ack("orders.fifo", &received)?;
    }
    // Received once and given back, it dies when it would be received again.
    let received = opened.receive("retry", 2, 36_000_000)?;
    if !received.is_empty() {
        let receipts = received.iter().map(|delivery| delivery.receipt).collect();
        opened.done(Command::Nack {
            queue: "retry".to_owned(),
            receipts,
            delay_ms: 0,
            is_counted: true,
            reason: "not today".to_owned(),
        })?;
        opened.receive("retry", 2, 0)?;
        opened.keep()?;
    }
    let received = opened.receive("dead", 1, 0)?;
    if random.percent(60) {
        opened.ack("dead", &received)?;
    }
    opened.clock.advance(10);
    Ok(())
}

/// Every message of which there is a record.
fn sent_of(disk: &SimDisk) -> Result<Sent, String> {
    let mut sent = Sent::new();
    inspect(disk, Path::new(DATA), &mut |seen| {
        if let Inspected::Record { record, .. } = seen
            && let Some(message) = record.message()
        {
            let name = (message.queue, message.seq);
            sent.entry(message.payload.to_vec()).or_default().insert(name);
        }
    })
    .map_err(|error| error.to_string())?;
    Ok(sent)
}

/// Where the newest entry of each segment begins, and where it ends; and the segments in order.
#[expect(clippy::type_complexity, reason = "two maps that are made in one pass")]
fn ends_of(disk: &SimDisk) -> Result<(BTreeMap<PathBuf, (u64, u64)>, Vec<PathBuf>), String> {
    let (mut ends, mut listed) = (BTreeMap::new(), Vec::new());
    inspect(disk, Path::new(DATA), &mut |seen| match seen {
        Inspected::Segment { path, .. } => listed.push(path),
        Inspected::Entry { offset, header } => {
            if let Some(path) = listed.last() {
                ends.insert(path.clone(), (offset, offset + header.bytes()));
            }
        }
        _ => {}
    })
    .map_err(|error| error.to_string())?;
    Ok((ends, listed))
}
