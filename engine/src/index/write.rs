//! Writing an index file: beside the segment, under a temporary name first (FORMAT.md section 4).

use std::path::Path;
use std::sync::Arc;

use super::block::{BLOCK_BYTES, FillingBlock};
use super::header::{
    CHECKSUM_PLACE, Counts, HEADER_BYTES, Header, IndexIdentity, ROW_BYTES, header_checksum,
};
use super::heap::{HeapIndex, QueueSlots};
use super::slot::{ITEM_BYTES, Run};
use super::table::TableRow;
use crate::checksum::{Running, Salt};
use crate::disk::{Disk, DiskError, DiskFile, remove_if_there};
use crate::ids::QueueId;

/// The bytes of one write.
const WRITE_BYTES: usize = 64 << 10;

/// Writes the index of a sealed segment and returns its bytes. When this returns, `path` and what
/// it holds are durable; an index that was there is replaced. On an error the old one is there,
/// or none, or, if only the directory was not synced, the new one: each of them whole.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &Path,
    identity: &IndexIdentity,
    heap: &HeapIndex,
) -> Result<u64, DiskError> {
    let temporary = path.with_extension("idx.tmp");
    let dir = path.parent().expect("an index lies in a directory");
    let written = write_temporary(disk, &temporary, identity, heap).and_then(|bytes| {
        disk.rename(&temporary, path)?;
        disk.sync_dir(dir)?;
        Ok(bytes)
    });
    if written.is_err() {
        // As well as possible: what is left is removed before the next try, or at the next opening.
        drop(remove_if_there(disk, &temporary));
    }
    written
}

fn write_temporary(
    disk: &dyn Disk,
    temporary: &Path,
    identity: &IndexIdentity,
    heap: &HeapIndex,
) -> Result<u64, DiskError> {
    remove_if_there(disk, temporary)?;
    let queues = heap.queues_sorted();
    let header =
        Header { identity: *identity, counts: count(&queues), control_bytes: heap.control_bytes() };
    let page = header.encode();
    let mut out = Output::new(disk.create(temporary)?, HEADER_BYTES as u64);
    let checksum = write_table(&mut out, &queues, header_checksum(&page))?;
    let runs = queues.iter().scan(0, |slots_before, (_, queue)| {
        let first = *slots_before;
        *slots_before += queue.slots.len() as u32;
        Some(queue.runs.iter().map(move |run| Run { slot: first + run.slot, ..*run }.encode()))
    });
    write_blocks(&mut out, identity.salt, runs.flatten())?;
    let slots = queues.iter().flat_map(|(_, queue)| queue.slots.iter().map(|slot| slot.encode()));
    write_blocks(&mut out, identity.salt, slots)?;
    let bytes = out.finish()?;
    assert_eq!(bytes, header.counts.file_bytes(), "the counts say how large an index is");
    // The page is the last, for its checksum covers the table.
    let mut page = page;
    page[CHECKSUM_PLACE].copy_from_slice(&checksum.to_le_bytes());
    out.file.write_all_at(0, &page)?;
    // Synced before the rename: the good name must never point at bytes that are not there.
    out.file.sync()?;
    Ok(bytes)
}

fn count(queues: &[(QueueId, &QueueSlots)]) -> Counts {
    let sum = |of: fn(&QueueSlots) -> usize| {
        let sum: usize = queues.iter().map(|(_, queue)| of(queue)).sum();
        u32::try_from(sum).expect("a segment is at most 4 GiB")
    };
    Counts {
        queues: u32::try_from(queues.len()).expect("a segment is at most 4 GiB"),
        runs: sum(|queue| queue.runs.len()),
        slots: sum(|queue| queue.slots.len()),
    }
}

/// Writes the queue table and returns the checksum of header and table.
fn write_table(
    out: &mut Output,
    queues: &[(QueueId, &QueueSlots)],
    mut checksum: Running,
) -> Result<u32, DiskError> {
    let mut first_run = 0;
    for (id, queue) in queues {
        let runs = queue.runs.len() as u32;
        let row = TableRow { row: queue.row(*id), first_run, runs }.encode();
        first_run += runs;
        checksum.add(&row);
        out.push(&row)?;
    }
    let behind =
        (queues.len() * ROW_BYTES).next_multiple_of(BLOCK_BYTES) - queues.len() * ROW_BYTES;
    let zeros = &[0; BLOCK_BYTES][..behind];
    checksum.add(zeros);
    out.push(zeros)?;
    Ok(checksum.finish())
}

fn write_blocks(
    out: &mut Output,
    salt: Salt,
    items: impl Iterator<Item = [u8; ITEM_BYTES]>,
) -> Result<(), DiskError> {
    let mut block = FillingBlock::new();
    for item in items {
        block.push(item);
        if block.is_full() {
            let full = std::mem::replace(&mut block, FillingBlock::new());
            out.push_block(full, salt)?;
        }
    }
    match block.is_empty() {
        true => Ok(()),
        false => out.push_block(block, salt),
    }
}

/// A file that is written from front to back in large writes.
struct Output {
    file: Arc<dyn DiskFile>,
    /// Where the buffer goes.
    offset: u64,
    buffer: Vec<u8>,
}

impl Output {
    fn new(file: Arc<dyn DiskFile>, offset: u64) -> Self {
        Self { file, offset, buffer: Vec::with_capacity(WRITE_BYTES) }
    }

    /// Appends at most a block.
    fn push(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        if self.buffer.len() + bytes.len() > WRITE_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn push_block(&mut self, block: FillingBlock, salt: Salt) -> Result<(), DiskError> {
        let offset = self.offset + self.buffer.len() as u64;
        self.push(&block.finish(salt, offset / BLOCK_BYTES as u64))
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.file.write_all_at(self.offset, &self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest and returns where the file ends.
    fn finish(&mut self) -> Result<u64, DiskError> {
        self.flush()?;
        Ok(self.offset)
    }
}
