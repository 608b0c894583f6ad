//! The index of a sealed segment: a file that is mapped, not read (FORMAT.md section 4).
//!
//! Opening checks header and queue table, and takes time for those alone. A block of runs or slots
//! is checked when it is first used, so a lookup in a segment of any size reads three pages.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::block::{self, BLOCK_BYTES, BLOCK_ITEMS, BadBlock, Block};
use super::header::{
    Counts, HEADER_BYTES, Header, HeaderError, INDEX_VERSION, IndexIdentity, ROW_BYTES,
};
use super::slot::{ITEM_BYTES, QueueRow, Run, Slot};
use super::table::{self, TableRow};
use crate::broken::{Mistake, makes};
use crate::checksum::Salt;
use crate::disk::{Disk, DiskError, DiskMap};
use crate::ids::{QueueId, Seq};

/// How many blocks behind one of slots are read ahead, when it is first used.
const BLOCKS_AHEAD: u64 = 16;

/// A mapped index. What it says never changes; shared between threads.
#[derive(Debug)]
pub(crate) struct MappedIndex {
    path: PathBuf,
    map: Arc<dyn DiskMap>,
    salt: Salt,
    counts: Counts,
    control_bytes: u64,
    /// A bit for each block that was found right.
    checked: Box<[AtomicU64]>,
}

/// Why an index cannot be used. It may be deleted and made anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// It could not be mapped; of kind `NotFound` if there is none.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It was written in a format that this version does not know.
    #[error("{} has version {found}, this Forebay knows up to {supported}", path.display())]
    TooNew {
        /// The index.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        supported: u32,
    },
    /// It is damaged, or another segment's.
    #[error("{}: {detail}", path.display())]
    Wrong {
        /// The index.
        path: PathBuf,
        /// What was expected, and what was found.
        detail: String,
    },
}

impl MappedIndex {
    /// Maps the index of the segment that is `expected`.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        expected: &IndexIdentity,
    ) -> Result<Self, IndexError> {
        let wrong = |detail| IndexError::Wrong { path: path.to_path_buf(), detail };
        let map = disk.map(path)?;
        let header = Header::decode(map.bytes()).map_err(|error| match error {
            HeaderError::TooNew(found) => {
                let supported = INDEX_VERSION;
                IndexError::TooNew { path: path.to_path_buf(), found, supported }
            }
            HeaderError::Wrong(detail) => wrong(detail),
        })?;
        let Header { identity, counts, control_bytes } = header;
        if !makes(Mistake::IndexHeaderUnchecked) {
            identity.check(expected).map_err(wrong)?;
        }
        let words = (counts.end_block() - counts.first_block()).div_ceil(u64::BITS.into());
        let index = Self {
            path: path.to_path_buf(),
            map,
            salt: identity.salt,
            counts,
            control_bytes,
            checked: (0..words).map(|_| AtomicU64::new(0)).collect(),
        };
        table::check(index.table(), counts).map_err(wrong)?;
        Ok(index)
    }

    /// The segment that an index file says it belongs to, whatever it is.
    pub(crate) fn identity_of(disk: &dyn Disk, path: &Path) -> Option<IndexIdentity> {
        Header::decode(disk.map(path).ok()?.bytes()).ok().map(|header| header.identity)
    }

    /// The bytes of all records that are no messages.
    pub(crate) fn control_bytes(&self) -> u64 {
        self.control_bytes
    }

    /// How many messages there are.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> u64 {
        self.counts.slots.into()
    }

    /// The file's size.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.map.bytes().len() as u64
    }

    /// A row for each queue, ascending.
    pub(crate) fn rows(&self) -> impl Iterator<Item = QueueRow> + '_ {
        self.table().iter().map(|row| TableRow::decode(row).row)
    }

    /// A queue's row.
    pub(crate) fn row(&self, queue: QueueId) -> Option<QueueRow> {
        Some(self.table_row(queue)?.row)
    }

    /// A message's place.
    pub(crate) fn find(&self, queue: QueueId, seq: Seq) -> Result<Option<Slot>, BadBlock> {
        let slot = self.slot_number(queue, seq)?;
        slot.map(|slot| self.slot(slot)).transpose()
    }

    /// Whether the message is in the segment. Needs no slot.
    pub(crate) fn contains(&self, queue: QueueId, seq: Seq) -> Result<bool, BadBlock> {
        Ok(self.slot_number(queue, seq)?.is_some())
    }

    /// The first of a queue's messages that is behind others; those that are come last.
    pub(super) fn first_after(
        &self,
        queue: QueueId,
        is_behind: impl Fn(&Slot) -> bool,
    ) -> Result<Option<Seq>, BadBlock> {
        let Some(row) = self.table_row(queue) else { return Ok(None) };
        let first_slot = self.run(row.runs().start)?.slot;
        let (mut low, mut high) = (first_slot, first_slot.saturating_add(row.row.messages));
        while low < high {
            let middle = low + (high - low) / 2;
            match is_behind(&self.slot(middle)?) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        let Range { start: mut run, end } = row.runs();
        let mut end = end;
        while end - run > 1 {
            let middle = run + (end - run) / 2;
            match self.run(middle)?.slot <= low {
                true => run = middle,
                false => end = middle,
            }
        }
        Ok(self.run(run)?.seq_of(low))
    }

    /// A queue's messages, ascending. A bad block is an error in the place of each item in it.
    pub(crate) fn slots(
        &self,
        queue: QueueId,
    ) -> impl Iterator<Item = Result<(Seq, Slot), BadBlock>> + '_ {
        let runs = self.table_row(queue).map_or(0..0, |row| row.runs());
        runs.flat_map(move |run| {
            let (run, bad) = match self.run(run) {
                Ok(run) => (run, None),
                Err(bad) => (Run { first: Seq(0), slot: 0, count: 0 }, Some(Err(bad))),
            };
            let slots = (0..run.count).map(move |at| {
                let seq = Seq(run.first.0 + u64::from(at));
                Ok((seq, self.slot(run.slot + at)?))
            });
            slots.chain(bad)
        })
    }

    /// Checks every block, whether it was checked before or not, and that the runs are those that
    /// the table tells of.
    pub(crate) fn check_all(&self) -> Result<(), BadBlock> {
        for number in self.counts.first_block()..self.counts.end_block() {
            self.check_block(number)?;
        }
        self.table().iter().try_for_each(|row| self.check_runs(&TableRow::decode(row)))
    }

    /// Whether a queue's runs are those of its row.
    fn check_runs(&self, row: &TableRow) -> Result<(), BadBlock> {
        let (mut before, mut messages) = (None, 0_u64);
        for number in row.runs() {
            let run = self.run(number)?;
            let follows = match before {
                None => run.first == row.row.first,
                Some(end) => end < run.first,
            };
            let is_last = number + 1 == row.runs().end;
            let ends = run.end().0.checked_sub(1).map(Seq) == Some(row.row.last);
            messages += u64::from(run.count);
            let is_right = follows && is_last == ends;
            if !is_right || (is_last && messages != u64::from(row.row.messages)) {
                let (block, _) = place(self.counts.first_block(), number);
                return Err(self.bad(block, format!("{run:?} is none of {row:?}")));
            }
            before = Some(run.end());
        }
        Ok(())
    }

    fn table(&self) -> &[[u8; ROW_BYTES]] {
        let (rows, _) = self.map.bytes()[HEADER_BYTES..].as_chunks();
        &rows[..self.counts.queues as usize]
    }

    fn table_row(&self, queue: QueueId) -> Option<TableRow> {
        let table = self.table();
        let at = table.binary_search_by_key(&queue, TableRow::queue_of).ok()?;
        Some(TableRow::decode(&table[at]))
    }

    /// The number of a message's slot.
    fn slot_number(&self, queue: QueueId, seq: Seq) -> Result<Option<u32>, BadBlock> {
        let row = self.table_row(queue);
        let Some(row) = row.filter(|row| (row.row.first..=row.row.last).contains(&seq)) else {
            return Ok(None);
        };
        // The last run that begins at `seq` or before it; the first one does.
        let Range { start: mut low, end: mut high } = row.runs();
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.run(middle)?.first <= seq {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(self.run(low)?.slot_of(seq))
    }

    fn run(&self, number: u32) -> Result<Run, BadBlock> {
        let (block, at) = place(self.counts.first_block(), number);
        let run = Run::decode(self.item(block, at)?);
        // Its checksum was right, so only a wrong writer could have it so; but then it would lead
        // out of the file.
        let fits = run.slot.checked_add(run.count).is_some_and(|end| end <= self.counts.slots)
            && run.first.0.checked_add(run.count.into()).is_some();
        match fits {
            true => Ok(run),
            false => Err(self.bad(block, format!("{run:?} of {} slots", self.counts.slots))),
        }
    }

    fn slot(&self, number: u32) -> Result<Slot, BadBlock> {
        let (block, at) = place(self.counts.first_slot_block(), number);
        Ok(Slot::decode(self.item(block, at)?))
    }

    /// An item of a block, which is checked first if it never was.
    fn item(&self, number: u64, at: usize) -> Result<&[u8; ITEM_BYTES], BadBlock> {
        let bit = number - self.counts.first_block();
        let word = &self.checked[(bit / u64::from(u64::BITS)) as usize];
        let mask = 1 << (bit % u64::from(u64::BITS));
        // Relaxed: the bit guards nothing but the work of checking again.
        if word.load(Ordering::Relaxed) & mask == 0 {
            if number >= self.counts.first_slot_block() {
                let ahead = number + 1..(number + 1 + BLOCKS_AHEAD).min(self.counts.end_block());
                self.map.will_need(offset(ahead.start)..offset(ahead.end));
            }
            self.check_block(number)?;
            word.fetch_or(mask, Ordering::Relaxed);
        }
        Ok(block::item(self.block(number), at))
    }

    fn check_block(&self, number: u64) -> Result<(), BadBlock> {
        if makes(Mistake::IndexBlockUnchecked) {
            return Ok(());
        }
        block::check(self.salt, number, self.block(number))
            .map_err(|detail| self.bad(number, detail))
    }

    fn block(&self, number: u64) -> &Block {
        let bytes = &self.map.bytes()[offset(number)..];
        bytes.first_chunk().expect("the file's size is that of its blocks")
    }

    fn bad(&self, block: u64, detail: String) -> BadBlock {
        BadBlock { path: self.path.clone(), block, detail }
    }
}

/// The block of an item, and its place in it: items are counted from the first of their blocks.
fn place(first_block: u64, number: u32) -> (u64, usize) {
    let (number, items) = (u64::from(number), BLOCK_ITEMS as u64);
    (first_block + number / items, (number % items) as usize)
}

/// Where a block begins in its file.
fn offset(block: u64) -> usize {
    block as usize * BLOCK_BYTES
}
