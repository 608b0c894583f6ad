//! What a repair loses, in words and numbers, before it does anything.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use roaring::RoaringTreemap;

use crate::error::Damage;
use crate::ids::{Position, QueueId, Seq};
use crate::unit::count_of;

/// What a repair loses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Where bytes are not what was written.
    pub damages: Vec<Damage>,
    /// Which entries of the log are lost, as a whole or in part.
    pub extents: Vec<LostExtent>,
    /// Every queue that stays.
    pub queues: Vec<QueueLosses>,
    /// Messages of queues of which neither name nor attributes are left: they are lost.
    pub homeless: Vec<(QueueId, SeqSet)>,
    /// Bytes of records that are no messages and are lost, at the most: leases, deletes, changes of queues;
    /// `None`: nobody knows how many.
    pub control_bytes: Option<u64>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// Entries that are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostExtent {
    /// The segment's file; `None`: no file is known for them.
    pub path: Option<PathBuf>,
    /// Where they begin in it.
    pub offset: u64,
    /// How many bytes of it they were, or what is left of that.
    pub bytes: u64,
    /// The first.
    pub first: Position,
    /// The last; `None`: nobody knows.
    pub last: Option<Position>,
    /// How many of their records are whole and are kept.
    pub records_kept: u64,
}

/// What is lost of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLosses {
    /// Its number.
    pub queue: QueueId,
    /// Its name.
    pub name: String,
    /// Messages that stay, those in doubt included.
    pub messages: u64,
    /// Those of them that may have been deleted by what is lost.
    pub in_doubt: SeqSet,
    /// Messages that are lost.
    pub lost: SeqSet,
    /// Those of them that may have been deleted anyway.
    pub lost_in_doubt: u64,
    /// Whether messages that nobody knows of may be lost besides: with greater numbers than all others.
    pub may_lack: bool,
}

/// Messages of a queue by their numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeqSet(pub(super) RoaringTreemap);

impl Eq for SeqSet {}

/// So many ranges are shown.
const RANGES_SHOWN: usize = 20;

impl SeqSet {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the message is one of them.
    pub fn contains(&self, seq: Seq) -> bool {
        self.0.contains(seq.0)
    }

    /// Those that follow one another together.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        let mut seqs = self.0.iter().peekable();
        std::iter::from_fn(move || {
            let first = seqs.next()?;
            let mut last = first;
            while let Some(next) = seqs.next_if(|next| *next == last + 1) {
                last = next;
            }
            Some(first..=last)
        })
    }
}

impl fmt::Display for SeqSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.ranges().enumerate() {
            if at == RANGES_SHOWN {
                return write!(f, ", and others up to {}", self.0.max().unwrap_or_default());
            }
            let comma = if at == 0 { "" } else { ", " };
            match range.start() == range.end() {
                true => write!(f, "{comma}{}", range.start())?,
                false => write!(f, "{comma}{}-{}", range.start(), range.end())?,
            }
        }
        Ok(())
    }
}

impl Losses {
    /// Messages that stay, those in doubt included.
    pub fn messages(&self) -> u64 {
        self.queues.iter().map(|queue| queue.messages).sum()
    }

    /// Messages that are lost, as far as they are known.
    pub fn lost(&self) -> u64 {
        let homeless: u64 = self.homeless.iter().map(|(_, messages)| messages.len()).sum();
        self.queues.iter().map(|queue| queue.lost.len()).sum::<u64>() + homeless
    }

    /// Messages that stay and may have been deleted.
    pub fn in_doubt(&self) -> u64 {
        self.queues.iter().map(|queue| queue.in_doubt.len()).sum()
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "damaged places: {}", self.damages.len())?;
        self.damages.iter().try_for_each(|damage| writeln!(f, "  {damage}"))?;
        writeln!(f, "lost entries of the log, in places: {}", self.extents.len())?;
        self.extents.iter().try_for_each(|extent| writeln!(f, "  {extent}"))?;
        writeln!(f, "queues: {}", self.queues.len())?;
        self.queues.iter().try_for_each(|queue| writeln!(f, "  {queue}"))?;
        for (queue, messages) in &self.homeless {
            let count = messages.len();
            writeln!(f, "  queue number {queue}, whose name is lost: lost {count} ({messages})")?;
        }
        match self.control_bytes {
            Some(0) => {}
            Some(bytes) => writeln!(
                f,
                "lost besides: at most {} of other records: deletes, receives, changes of queues",
                count_of(bytes, "byte")
            )?,
            None => writeln!(
                f,
                "lost besides: other records, nobody knows how many: deletes, receives, changes of queues"
            )?,
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        write!(
            f,
            "in all: messages that stay {}, in doubt {}, lost {}",
            self.messages(),
            self.in_doubt(),
            self.lost()
        )
    }
}

impl fmt::Display for LostExtent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) if last == self.first => write!(f, "entry {last}")?,
            Some(last) => write!(f, "entries {} to {last}", self.first)?,
            None => write!(f, "entry {} and all behind it, if there were any", self.first)?,
        }
        match &self.path {
            Some(path) if (self.offset, self.bytes) == (0, 0) => {
                write!(f, ": all of {}", path.display())?;
            }
            Some(path) => {
                write!(
                    f,
                    ": {} at offset {}, {}",
                    path.display(),
                    self.offset,
                    count_of(self.bytes, "byte")
                )?;
            }
            None => write!(f, ": no file has them")?,
        }
        match self.records_kept {
            0 => Ok(()),
            records => write!(f, "; good records of them, which are kept: {records}"),
        }
    }
}

impl fmt::Display for QueueLosses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: messages that stay {}", self.name, self.messages)?;
        if !self.in_doubt.is_empty() {
            write!(f, ", of these in doubt {} ({})", self.in_doubt.len(), self.in_doubt)?;
        }
        if !self.lost.is_empty() {
            write!(f, ", lost {} ({})", self.lost.len(), self.lost)?;
            if self.lost_in_doubt > 0 {
                write!(f, ", of these perhaps deleted before {}", self.lost_in_doubt)?;
            }
        }
        if self.may_lack {
            write!(f, "; messages with greater numbers may be lost, of which nothing is known")?;
        }
        Ok(())
    }
}
