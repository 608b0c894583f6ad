//! Shows what is in a store's files: segment by segment, entry by entry, record by record.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::entry::{EntryHeader, records};
use crate::error::{Damage, OpenError};
use crate::ids::{Position, QueueId, Seq, StoreId};
use crate::index::{IndexError, IndexIdentity, MappedIndex, QueueRow};
use crate::location::Segment;
use crate::log::identity::Identity;
use crate::log::replay::{Replay, log_files, replay};
use crate::log::{self, ListedSegment, Manifest, Sealed, SegmentHeader, names};
use crate::record::{Moved, Record, RedriveEnded, RedriveStarted};
use crate::snapshot;
use crate::state::frozen::FrozenQueue;
use crate::unit::count_of;

/// One line of what a store holds.
#[derive(Debug)]
pub enum Inspected<'a> {
    /// The store itself.
    Store {
        /// Its identity; the receipt key is not shown.
        identity: &'a Identity,
        /// Its manifest.
        manifest: &'a Manifest,
    },
    /// A segment begins.
    Segment {
        /// Its file.
        path: PathBuf,
        /// Its header.
        header: SegmentHeader,
    },
    /// An entry.
    Entry {
        /// Where it begins in the segment.
        offset: u64,
        /// Its header.
        header: EntryHeader,
    },
    /// A record of that entry.
    Record {
        /// Where it begins in the entry's records.
        offset: usize,
        /// Its size.
        bytes: usize,
        /// What it says.
        record: Record<'a>,
    },
    /// A queue's messages in the index of the segment.
    Indexed {
        /// The index.
        path: &'a Path,
        /// The queue's row.
        row: QueueRow,
    },
    /// A queue in a snapshot.
    Snapshot {
        /// The snapshot.
        path: &'a Path,
        /// The queue as it was.
        queue: &'a SnapshotQueue,
    },
    /// An index or a snapshot that cannot be used: it is made anew.
    Derived {
        /// The file.
        path: &'a Path,
        /// What is wrong with it.
        detail: String,
    },
    /// Bytes that are not what was written.
    Damage(Damage),
    /// The end of the log.
    End {
        /// Bytes of a torn tail.
        torn_bytes: u64,
        /// Where it begins, and what is wrong there.
        torn: Option<String>,
    },
}

/// A queue as a snapshot shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotQueue {
    /// Its number.
    pub queue: QueueId,
    /// Its name.
    pub name: String,
    /// The entry up to which the snapshot contains it.
    pub position: Position,
    /// The next message's number.
    pub next: Seq,
    /// The first message of the backlog.
    pub cursor: Seq,
    /// Messages from the cursor on that are not in the backlog.
    pub apart: u64,
    /// Messages that were delayed or received, and are not gone.
    pub held: u64,
}

impl From<FrozenQueue> for SnapshotQueue {
    fn from(queue: FrozenQueue) -> Self {
        let FrozenQueue { id, name, position, messages, .. } = queue;
        Self {
            queue: id,
            name,
            position,
            next: messages.next,
            cursor: messages.cursor,
            apart: messages.apart.len(),
            held: messages.held.len() + messages.delays.len() + messages.due.len(),
        }
    }
}

/// Tells `out` what is in the store in `data`, in order, changing nothing. Takes the store's lock.
pub fn inspect(
    disk: &dyn Disk,
    data: &Path,
    out: &mut dyn FnMut(Inspected<'_>),
) -> Result<(), OpenError> {
    let (identity, _lock) = log::look_at(disk, data)?;
    let manifest = log::read_manifest(disk, data, &identity)?;
    out(Inspected::Store { identity: &identity, manifest: &manifest });
    let mut show = Show { disk, store: manifest.store, out };
    log_files(disk, data, &manifest, &mut show)?;
    let end = replay(disk, data, &manifest, Position(0), &mut show)?;
    show.snapshots(data)?;
    let out = show.out;
    out(Inspected::End { torn_bytes: end.torn_bytes, torn: end.torn });
    Ok(())
}

struct Show<'o> {
    disk: &'o dyn Disk,
    store: StoreId,
    out: &'o mut dyn FnMut(Inspected<'_>),
}

impl Show<'_> {
    fn index(&mut self, segment: &Segment, sealed: Sealed) {
        let path = names::index(&segment.path);
        let identity = IndexIdentity::new(self.store, segment, sealed.last, sealed.bytes);
        match MappedIndex::open(self.disk, &path, &identity) {
            Ok(index) => {
                for row in index.rows() {
                    (self.out)(Inspected::Indexed { path: &path, row });
                }
            }
            // The newest sealed segment may be without one for a moment.
            Err(IndexError::Disk(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => (self.out)(Inspected::Derived { path: &path, detail: error.to_string() }),
        }
    }

    fn snapshots(&mut self, data: &Path) -> Result<(), OpenError> {
        for position in snapshot::list(self.disk, data)? {
            let path = snapshot::path(data, position);
            let out = &mut self.out;
            let read = snapshot::read(self.disk, data, self.store, position, &mut |queue| {
                out(Inspected::Snapshot { path: &path, queue: &queue.into() });
            });
            if let Err(error) = read {
                (self.out)(Inspected::Derived { path: &path, detail: error.to_string() });
            }
        }
        Ok(())
    }
}

impl Replay for Show<'_> {
    fn segment(
        &mut self,
        listed: &ListedSegment,
        header: &SegmentHeader,
        file: &Arc<dyn DiskFile>,
    ) -> bool {
        let path = file.path().to_path_buf();
        (self.out)(Inspected::Segment { path: path.clone(), header: *header });
        if let Some(sealed) = listed.sealed {
            let segment = header.segment(file.clone(), path);
            self.index(&segment, sealed);
        }
        true
    }

    fn entry(&mut self, _: &SegmentHeader, offset: u64, header: &EntryHeader, body: &[u8]) {
        (self.out)(Inspected::Entry { offset, header: *header });
        for (record, offset, bytes) in records(body) {
            (self.out)(Inspected::Record { offset, bytes, record });
        }
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        (self.out)(Inspected::Damage(damage));
        Ok(())
    }
}

impl fmt::Display for Inspected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store { identity, manifest } => {
                let (store, created) = (identity.store, identity.created_ms);
                let (epoch, segments) = (manifest.epoch, manifest.segments.len());
                write!(f, "store {store} created_ms={created} epoch={epoch} segments={segments}")?;
                if manifest.compacted_through > Position(0) {
                    write!(f, " compacted_through={}", manifest.compacted_through)?;
                }
                for listed in &manifest.segments {
                    write!(f, "\n  listed first={} salt={:016x}", listed.first, listed.salt.0)?;
                    match listed.sealed {
                        Some(sealed) => write!(f, " sealed_bytes={}", sealed.bytes)?,
                        None => write!(f, " active")?,
                    }
                    if let (1.., Some(sealed)) = (listed.generation, listed.sealed) {
                        write!(f, " generation={} last={}", listed.generation, sealed.last)?;
                    }
                }
                Ok(())
            }
            Self::Segment { path, header } => write!(
                f,
                "segment {} first={} salt={:016x} epoch={} created_ms={} capacity={}",
                path.display(),
                header.first,
                header.salt.0,
                header.epoch,
                header.created.0,
                header.capacity
            ),
            Self::Entry { offset, header } => write!(
                f,
                "  entry {} offset={offset} term={} durable={} time_ms={} records={} bytes={}",
                header.position,
                header.term,
                header.durable,
                header.log_time.0,
                header.records,
                header.bytes()
            ),
            Self::Record { offset, bytes, record } => {
                write!(f, "    record offset={offset} bytes={bytes} {record}")
            }
            Self::Indexed { row, .. } => {
                let (queue, first, last) = (row.queue, row.first, row.last);
                write!(f, "  indexed queue={queue} first={first} last={last}")?;
                write!(f, " messages={} bytes={}", row.messages, row.bytes)
            }
            Self::Snapshot { path, queue } => {
                write!(f, "snapshot {} queue={}", path.display(), queue.queue)?;
                write!(f, " name={:?} position={}", queue.name, queue.position)?;
                write!(f, " next={} cursor={}", queue.next, queue.cursor)?;
                write!(f, " apart={} held={}", queue.apart, queue.held)
            }
            Self::Derived { path, detail } => {
                write!(f, "not usable, is made anew: {}: {detail}", path.display())
            }
            Self::Damage(damage) => write!(f, "DAMAGE {damage}"),
            Self::End { torn: Some(torn), torn_bytes } => {
                write!(f, "end: torn tail of {}: {torn}", count_of(*torn_bytes, "byte"))
            }
            Self::End { .. } => write!(f, "end"),
        }
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { epoch } => write!(f, "Opened epoch={epoch}"),
            Self::QueueCreated { queue, time, attributes, name } => {
                let time = time.0;
                write!(f, "QueueCreated queue={queue} name={name:?} time_ms={time} {attributes}")
            }
            Self::QueueChanged { queue, time, attributes } => {
                write!(f, "QueueChanged queue={queue} time_ms={} {attributes}", time.0)
            }
            Self::QueuePurged { queue, through, time } => {
                write!(f, "QueuePurged queue={queue} through={through}")?;
                time.map_or(Ok(()), |time| write!(f, " time_ms={}", time.0))
            }
            Self::QueueDeleted { queue } => write!(f, "QueueDeleted queue={queue}"),
            Self::Expired { queue, below, time, late_before } => {
                write!(f, "Expired queue={queue} below={below} time_ms={}", time.0)?;
                write!(f, " late_before_ms={}", late_before.0)
            }
            Self::Sent(sent) => {
                write!(f, "Sent queue={} seq={}", sent.queue, sent.seq)?;
                if let Some(time) = sent.visible_from {
                    write!(f, " visible_from_ms={}", time.0)?;
                }
                if let Some((key, time)) = sent.deduplication {
                    write!(f, " deduplication_key={key} deduplicated_ms={}", time.0)?;
                }
                if sent.attributes_bytes > 0 {
                    write!(f, " attributes_bytes={}", sent.attributes_bytes)?;
                }
                let (bytes, checksum) = (sent.payload.len(), sent.checksum);
                write!(f, " payload_bytes={bytes} checksum={checksum:08x}")
            }
            Self::Leased { queue, time, until, first_lease, messages } => {
                let (time, until) = (time.0, until.0);
                write!(f, "Leased queue={queue} time_ms={time} until_ms={until}")?;
                write!(f, " first_lease={:#x} messages=", first_lease.0)?;
                list(
                    f,
                    messages.iter().map(|lease| (lease.seq, format!("x{}", lease.receive_count))),
                )
            }
            Self::LeaseChanged { queue, changes } => {
                write!(f, "LeaseChanged queue={queue} changes=")?;
                list(f, changes.iter().map(|(seq, until)| (seq, format!("@{}", until.0))))
            }
            Self::Acked { queue, messages } => {
                write!(f, "Acked queue={queue} messages=")?;
                list(f, messages.iter().map(|seq| (seq, String::new())))
            }
            Self::Produced { queue, producer, batch, oldest, first, count, time } => {
                write!(f, "Produced queue={queue} producer={:032x} batch={batch}", producer.0)?;
                write!(f, " oldest={oldest}")?;
                write!(f, " first={first} count={count} time_ms={}", time.0)
            }
            Self::Deduplicated { queue, seq, key, time } => {
                write!(f, "Deduplicated queue={queue} seq={seq} deduplication_key={key}")?;
                write!(f, " deduplicated_ms={}", time.0)
            }
            Self::Returned { queue, until, is_counted, reason, messages } => {
                write!(f, "Returned queue={queue} until_ms={}", until.0)?;
                if !is_counted {
                    write!(f, " uncounted")?;
                }
                write!(f, " reason={reason:?} messages=")?;
                list(f, messages.iter().map(|seq| (seq, String::new())))
            }
            Self::Compacted { queue, next } => write!(f, "Compacted queue={queue} next={next}"),
            Self::Moved(moved) => {
                let Moved { message, from_queue, from_seq, source, .. } = moved;
                write!(f, "Moved queue={} seq={}", message.queue, message.seq)?;
                write!(f, " from_queue={from_queue} from_seq={from_seq}")?;
                match moved.redrive {
                    Some((redrive, count)) => write!(f, " redrive={redrive} moved={count}")?,
                    None => write!(f, " source={source:?}")?,
                }
                if !moved.reason.is_empty() {
                    write!(f, " reason={:?}", moved.reason)?;
                }
                write!(f, " origin_queue={} origin_seq={}", moved.origin_queue, moved.origin_seq)?;
                write!(f, " sent_ms={} receive_count={}", moved.sent.0, moved.receive_count)?;
                write!(
                    f,
                    " first_received_ms={} time_ms={}",
                    moved.first_received.0, moved.time.0
                )?;
                if let Some(time) = message.visible_from {
                    write!(f, " visible_from_ms={}", time.0)?;
                }
                if message.attributes_bytes > 0 {
                    write!(f, " attributes_bytes={}", message.attributes_bytes)?;
                }
                let (bytes, checksum) = (message.payload.len(), message.checksum);
                write!(f, " payload_bytes={bytes} checksum={checksum:08x}")
            }
            Self::RedriveStarted(started) => {
                let RedriveStarted { redrive, time, rate, through, to_move, moved, destination } =
                    started;
                write!(f, "RedriveStarted redrive={redrive} time_ms={} rate={rate}", time.0)?;
                write!(f, " through={through} to_move={to_move} moved={moved}")?;
                write!(f, " destination={destination:?}")
            }
            Self::RedriveEnded(ended) => {
                let RedriveEnded { redrive, time, outcome, moved, reason } = ended;
                write!(f, "RedriveEnded redrive={redrive} time_ms={} moved={moved}", time.0)?;
                write!(f, " outcome={outcome:?} reason={reason:?}")
            }
        }
    }
}

/// Items with their seqs; those that follow one another and say the same as `first..last`.
fn list(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = (Seq, String)>) -> fmt::Result {
    let mut items = items.peekable();
    let mut comma = "";
    while let Some((first, text)) = items.next() {
        let mut last = first;
        while items.next_if(|(seq, next)| *seq == last.next() && *next == text).is_some() {
            last = last.next();
        }
        match first == last {
            true => write!(f, "{comma}{first}{text}")?,
            false => write!(f, "{comma}{first}..{last}{text}")?,
        }
        comma = ",";
    }
    Ok(())
}
