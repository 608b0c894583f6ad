//! Reading a sealed segment, entry by entry, in steps.

use crate::core::sent_slots;
use crate::disk::DiskError;
use crate::entry::{EntryError, EntryHeader};
use crate::ids::Position;
use crate::index::HeapIndex;
use crate::log::SEGMENT_HEADER_BYTES;
use crate::log::scan::{Scan, Step};
use crate::upkeep::SealedSegment;

/// How far a sealed segment was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) sealed: SealedSegment,
    offset: u64,
    expected: Position,
}

/// Why a sealed segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The disk did not give it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is not what was written.
    #[error("{path} at offset {offset}: {cause}")]
    Damaged {
        /// The segment.
        path: String,
        /// Where it is damaged.
        offset: u64,
        /// How.
        cause: EntryError,
    },
}

impl Source {
    pub(super) fn new(sealed: SealedSegment) -> Self {
        let expected = sealed.segment.first;
        Self { sealed, offset: SEGMENT_HEADER_BYTES, expected }
    }

    /// Reads at least `bytes`, or to the end, and tells `each` the entries; says how many bytes
    /// were read, and none when there are no more.
    pub(super) fn read<E: From<SourceError>>(
        &mut self,
        bytes: u64,
        mut each: impl FnMut(u64, &EntryHeader, &[u8]) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        if self.offset >= self.sealed.bytes {
            return Ok(None);
        }
        let segment = self.sealed.segment.clone();
        let mut scan = Scan::of_sealed(&segment, self.sealed.bytes);
        scan.resume(self.offset, self.expected);
        let begun = self.offset;
        while scan.offset() < self.sealed.bytes && scan.offset() - begun < bytes {
            match scan.step().map_err(SourceError::from)? {
                Step::Entry { offset, header, body } => each(offset, &header, body)?,
                Step::Stop { offset, cause, .. } => {
                    let path = segment.path.display().to_string();
                    return Err(SourceError::Damaged { path, offset, cause }.into());
                }
            }
        }
        (self.offset, self.expected) = (scan.offset(), scan.expected());
        Ok(Some(self.offset - begun))
    }
}

/// Makes a segment's index anew.
pub(crate) fn read_index(sealed: &SealedSegment) -> Result<HeapIndex, SourceError> {
    let mut index = HeapIndex::default();
    let created = sealed.segment.created;
    Source::new(sealed.clone()).read(u64::MAX, |offset, header, body| {
        let mut control_bytes = body.len();
        for (queue, seq, slot) in sent_slots(offset, (header.log_time, created), body) {
            control_bytes -= slot.bytes as usize;
            index.add(queue, seq, slot);
        }
        index.add_control(control_bytes as u64);
        Ok::<_, SourceError>(())
    })?;
    Ok(index)
}
