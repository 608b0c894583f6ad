//! Shows what is in a store's files: segment by segment, entry by entry, record by record.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile};
use crate::entry::{EntryHeader, records};
use crate::error::{Damage, OpenError};
use crate::ids::Seq;
use crate::log::identity::Identity;
use crate::log::replay::{Replay, log_files, replay};
use crate::log::{self, Manifest, SegmentHeader};
use crate::record::Record;

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

/// Tells `out` what is in the store in `data`, in order, changing nothing. Takes the store's lock.
pub fn inspect(
    disk: &dyn Disk,
    data: &Path,
    out: &mut dyn FnMut(Inspected<'_>),
) -> Result<(), OpenError> {
    let (identity, _lock) = log::look_at(disk, data)?;
    let manifest = log::read_manifest(disk, data, &identity)?;
    out(Inspected::Store { identity: &identity, manifest: &manifest });
    let mut show = Show { out };
    log_files(disk, data, &manifest, &mut show)?;
    let end = replay(disk, data, &manifest, &mut show)?;
    out(Inspected::End { torn_bytes: end.torn_bytes, torn: end.torn });
    Ok(())
}

struct Show<'o> {
    out: &'o mut dyn FnMut(Inspected<'_>),
}

impl Replay for Show<'_> {
    fn segment(&mut self, header: &SegmentHeader, file: &dyn DiskFile) {
        (self.out)(Inspected::Segment { path: file.path().to_path_buf(), header: *header });
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
                for listed in &manifest.segments {
                    write!(f, "\n  listed first={} salt={:016x}", listed.first, listed.salt.0)?;
                    match listed.sealed_bytes {
                        Some(bytes) => write!(f, " sealed_bytes={bytes}")?,
                        None => write!(f, " active")?,
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
            Self::Damage(damage) => write!(f, "DAMAGE {damage}"),
            Self::End { torn: Some(torn), torn_bytes } => {
                write!(f, "end: torn tail of {torn_bytes} bytes: {torn}")
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
            Self::QueuePurged { queue, through } => {
                write!(f, "QueuePurged queue={queue} through={through}")
            }
            Self::QueueDeleted { queue } => write!(f, "QueueDeleted queue={queue}"),
            Self::Sent(sent) => {
                write!(f, "Sent queue={} seq={}", sent.queue, sent.seq)?;
                if let Some(time) = sent.visible_from {
                    write!(f, " visible_from_ms={}", time.0)?;
                }
                let (bytes, checksum) = (sent.payload.len(), sent.checksum);
                write!(f, " payload_bytes={bytes} checksum={checksum:08x}")
            }
            Self::Leased { queue, time, until, first_lease, messages } => {
                let (time, until) = (time.0, until.0);
                write!(f, "Leased queue={queue} time_ms={time} until_ms={until}")?;
                write!(f, " first_lease={:#x} messages=", first_lease.0)?;
                list(f, messages.iter().map(|(seq, count)| (seq, format!("x{count}"))))
            }
            Self::LeaseChanged { queue, changes } => {
                write!(f, "LeaseChanged queue={queue} changes=")?;
                list(f, changes.iter().map(|(seq, until)| (seq, format!("@{}", until.0))))
            }
            Self::Acked { queue, messages } => {
                write!(f, "Acked queue={queue} messages=")?;
                list(f, messages.iter().map(|seq| (seq, String::new())))
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
