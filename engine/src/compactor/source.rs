//! Reading a sealed segment, entry by entry, in steps.

use crate::disk::DiskError;
use crate::entry::{EntryError, EntryHeader};
use crate::ids::Position;
use crate::log::SEGMENT_HEADER_BYTES;
use crate::log::scan::{Chunk, Scan, Step};
use crate::pace::Pace;
use crate::upkeep::SealedSegment;

/// How far a sealed segment was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) sealed: SealedSegment,
    offset: u64,
    expected: Position,
    chunk: Chunk,
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
        Self { sealed, offset: SEGMENT_HEADER_BYTES, expected, chunk: Chunk::default() }
    }

    /// Reads at least `bytes`, or to the end, at this pace, and tells `each` the entries; says how many
    /// bytes were read, and none when there are no more.
    pub(super) fn read<E: From<SourceError>>(
        &mut self,
        bytes: u64,
        pace: &Pace,
        mut each: impl FnMut(u64, &EntryHeader, &[u8]) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        if self.offset >= self.sealed.bytes {
            return Ok(None);
        }
        let segment = self.sealed.segment.clone();
        let chunk = std::mem::take(&mut self.chunk);
        let scan = Scan::of_sealed(&segment, self.sealed.bytes);
        let mut scan = scan.past_cache(pace).with_chunk(chunk);
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
        self.chunk = scan.into_chunk();
        Ok(Some(self.offset - begun))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::checksum::Salt;
    use crate::disk::DiskFile;
    use crate::entry::{EntryBuilder, seal_entry};
    use crate::ids::{QueueId, Seq};
    use crate::index::{HeapIndex, SegmentIndex};
    use crate::location::Segment;
    use crate::time::LogTime;

    /// A file in memory that counts what is read of it.
    #[derive(Debug)]
    struct Counting {
        bytes: Vec<u8>,
        read: Arc<AtomicU64>,
    }

    impl DiskFile for Counting {
        fn path(&self) -> &Path {
            Path::new("segment")
        }

        fn size(&self) -> Result<u64, DiskError> {
            Ok(self.bytes.len() as u64)
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
            let behind = &self.bytes[offset as usize..];
            let count = behind.len().min(buffer.len());
            buffer[..count].copy_from_slice(&behind[..count]);
            self.read.fetch_add(count as u64, Ordering::Relaxed);
            Ok(count)
        }

        fn read_durable_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
            self.read_at(offset, buffer)
        }

        fn write_all_at(&self, _: u64, _: &[u8]) -> Result<(), DiskError> {
            unreachable!("a source is only read")
        }

        fn set_size(&self, _: u64) -> Result<(), DiskError> {
            unreachable!("a source is only read")
        }

        fn sync(&self) -> Result<(), DiskError> {
            unreachable!("a source is only read")
        }
    }

    #[test]
    fn a_segment_that_is_read_in_steps_is_read_about_once() {
        const ENTRIES: u64 = 64;
        let salt = Salt(7);
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
        let acked: Vec<Seq> = (1..=100).map(Seq).collect();
        for position in 1..=ENTRIES {
            let mut entry = EntryBuilder::new();
            for _ in 0..100 {
                entry.append(|out| out.acked(QueueId(1), &acked));
            }
            let (mut entry, records) = entry.finish();
            let (position, durable) = (Position(position), Position(position - 1));
            seal_entry(&mut entry, salt, position, durable, LogTime(1), records);
            bytes.extend_from_slice(&entry);
        }
        let (size, read) = (bytes.len() as u64, Arc::new(AtomicU64::new(0)));
        let segment = Segment {
            first: Position(1),
            generation: 0,
            salt,
            created: LogTime(0),
            path: "segment".into(),
            file: Arc::new(Counting { bytes, read: read.clone() }),
        };
        let index = SegmentIndex::Heap(Arc::new(HeapIndex::default()));
        let (segment, last) = (Arc::new(segment), Position(ENTRIES));
        let mut source = Source::new(SealedSegment { segment, last, bytes: size, index });

        let pace = Pace::new(Arc::default());
        let step = size / 16;
        let (mut entries, mut steps) = (0, 0);
        let mut count = |_, _: &EntryHeader, _: &[u8]| {
            entries += 1;
            Ok::<_, SourceError>(())
        };
        while source.read(step, &pace, &mut count).unwrap().is_some() {
            steps += 1;
        }
        assert_eq!(entries, ENTRIES);
        assert!(steps > 10);
        let read = read.load(Ordering::Relaxed);
        assert!(read < size + size / 4, "{read} bytes were read of {size}");
    }
}
