//! Reading a sealed segment, entry by entry, in steps.

use crate::disk::DiskError;
use crate::entry::{EntryError, EntryHeader};
use crate::ids::Position;
use crate::log::SEGMENT_HEADER_BYTES;
use crate::log::scan::{Chunk, Scan, Skip, Step};
use crate::pace::Pace;
use crate::upkeep::SealedSegment;

/// To pass over so many bytes counts as one that is read: around each of them there is something to read.
const SKIPPED_PER_BYTE: u64 = 8;

/// How far a sealed segment was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) sealed: SealedSegment,
    offset: u64,
    expected: Position,
    /// What of it need not be read.
    skips: Vec<Skip>,
    chunk: Chunk,
}

/// Bytes of a segment that were done with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    pub(super) read: u64,
    pub(super) skipped: u64,
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
    pub(super) fn new(sealed: SealedSegment, skips: Vec<Skip>) -> Self {
        let (offset, expected) = (SEGMENT_HEADER_BYTES, sealed.segment.first);
        Self { sealed, offset, expected, skips, chunk: Chunk::default() }
    }

    /// Reads `bytes`, passes over eight times as many, or comes to the end, at this pace, and tells `each` the
    /// entries, without what need not be read of them. Says how many bytes were read and how many passed over, and
    /// nothing when there are no more.
    pub(super) fn read<E: From<SourceError>>(
        &mut self,
        bytes: u64,
        pace: &Pace,
        mut each: impl FnMut(u64, &EntryHeader, &[u8]) -> Result<(), E>,
    ) -> Result<Option<Passed>, E> {
        if self.offset >= self.sealed.bytes {
            return Ok(None);
        }
        let segment = self.sealed.segment.clone();
        let chunk = std::mem::take(&mut self.chunk);
        let scan = Scan::of_sealed(&segment, self.sealed.bytes);
        let mut scan = scan.past_cache(pace).with_chunk(chunk).with_skips(&self.skips);
        scan.resume(self.offset, self.expected);
        let begun = self.offset;
        let done = |scan: &Scan<'_>| {
            let skipped = scan.skipped();
            scan.offset() - begun - skipped + skipped / SKIPPED_PER_BYTE
        };
        while scan.offset() < self.sealed.bytes && done(&scan) < bytes {
            match scan.step().map_err(SourceError::from)? {
                Step::Entry { offset, header, body } => each(offset, &header, body)?,
                Step::Stop { offset, cause, .. } => {
                    let path = segment.path.display().to_string();
                    return Err(SourceError::Damaged { path, offset, cause }.into());
                }
            }
        }
        (self.offset, self.expected) = (scan.offset(), scan.expected());
        let skipped = scan.skipped();
        let read = self.offset - begun - skipped;
        self.chunk = scan.into_chunk();
        Ok(Some(Passed { read, skipped }))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::checksum::{self, Salt};
    use crate::disk::DiskFile;
    use crate::entry::{ENTRY_HEADER_BYTES, EntryBuilder, records, seal_entry};
    use crate::ids::{QueueId, Seq};
    use crate::index::{HeapIndex, SegmentIndex};
    use crate::location::Segment;
    use crate::record::Sent;
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

    const SALT: Salt = Salt(7);
    const BODY: [u8; 1000] = [5; 1000];

    /// A segment of so many entries, in each an ack, so many messages, and an ack; and where the messages of each
    /// are.
    fn segment(entries: u64, messages: u32) -> (Vec<u8>, Vec<Skip>) {
        let (queue, acked): (_, Vec<Seq>) = (QueueId(1), (1..=100).map(Seq).collect());
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
        let mut skips = Vec::new();
        for position in (1..=entries).map(Position) {
            let mut entry = EntryBuilder::new();
            let body = bytes.len() + ENTRY_HEADER_BYTES;
            let start = body + entry.append(|out| out.acked(queue, &acked)).end;
            for seq in 0..messages.into() {
                let sent = Sent {
                    queue,
                    seq: Seq(seq),
                    position,
                    visible_from: None,
                    deduplication: None,
                    checksum: checksum::message(0, &BODY),
                    attributes_bytes: 0,
                    payload: &BODY,
                };
                entry.append(|out| out.sent(&sent));
            }
            let end = body + entry.append(|out| out.acked(queue, &acked)).start;
            skips.push(Skip { bytes: start as u64..end as u64, records: messages });
            let (mut entry, records) = entry.finish();
            seal_entry(&mut entry, SALT, position, position.previous(), LogTime(1), records);
            bytes.extend_from_slice(&entry);
        }
        (bytes, skips)
    }

    /// What came of reading a segment.
    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        /// The records of each entry.
        records: Vec<usize>,
        read: u64,
        skipped: u64,
        steps: u64,
    }

    /// Reads it in steps, and says besides what was read of the file.
    fn read(bytes: &[u8], skips: Vec<Skip>) -> Result<(Seen, u64), SourceError> {
        let (size, counted) = (bytes.len() as u64, Arc::new(AtomicU64::new(0)));
        let segment = Arc::new(Segment {
            first: Position(1),
            generation: 0,
            salt: SALT,
            created: LogTime(0),
            path: "segment".into(),
            file: Arc::new(Counting { bytes: bytes.to_vec(), read: counted.clone() }),
        });
        let index = SegmentIndex::Heap(Arc::new(HeapIndex::default()));
        let sealed = SealedSegment { segment, last: Position(u64::MAX), bytes: size, index };
        let (mut source, mut seen) = (Source::new(sealed, skips), Seen::default());
        let pace = Pace::new(Arc::default());
        let mut each = |_, _: &EntryHeader, body: &[u8]| {
            seen.records.push(records(body).count());
            Ok::<_, SourceError>(())
        };
        let (mut read, mut skipped, mut steps) = (0, 0, 0);
        while let Some(passed) = source.read(size / 16, &pace, &mut each)? {
            (read, skipped, steps) = (read + passed.read, skipped + passed.skipped, steps + 1);
        }
        Ok((Seen { read, skipped, steps, ..seen }, counted.load(Ordering::Relaxed)))
    }

    #[test]
    fn a_segment_that_is_read_in_steps_is_read_about_once() {
        let (bytes, _) = segment(64, 100);
        let size = bytes.len() as u64;
        let (seen, read) = read(&bytes, Vec::new()).unwrap();
        assert_eq!((seen.records, seen.skipped), (vec![102; 64], 0));
        assert_eq!(seen.read, size - SEGMENT_HEADER_BYTES);
        assert!(seen.steps > 10);
        assert!(read < size + size / 4, "{read} bytes were read of {size}");
    }

    #[test]
    fn what_is_passed_over_is_not_read() {
        let (bytes, skips) = segment(64, 100);
        let size = bytes.len() as u64;
        let skipped = skips.iter().map(Skip::len).sum::<u64>();
        let (seen, read) = read(&bytes, skips).unwrap();
        assert_eq!((seen.records, seen.skipped), (vec![2; 64], skipped));
        assert_eq!(seen.read + skipped, size - SEGMENT_HEADER_BYTES);
        assert!(read < size / 10, "{read} bytes were read of {size}");
        assert!(seen.steps > 1, "what is passed over ends a step too");
    }

    #[test]
    fn two_in_a_row_and_some_in_between_add_up_too() {
        let (bytes, skips) = segment(1, 10);
        let [Skip { bytes: all, .. }] = &skips[..] else { panic!("{skips:?}") };
        let one = (all.end - all.start) / 10;
        let skip = |from: u64, to: u64| Skip {
            bytes: all.start + from * one..all.start + to * one,
            records: (to - from) as u32,
        };
        let (seen, _) = read(&bytes, vec![skip(0, 2), skip(2, 5), skip(7, 10)]).unwrap();
        assert_eq!((seen.records, seen.skipped), (vec![4], 8 * one));
    }

    #[test]
    fn an_entry_that_does_not_add_up_is_read_whole() {
        let (bytes, skips) = segment(3, 10);
        let alter = |change: &dyn Fn(&mut Skip)| {
            let mut skips = skips.clone();
            change(&mut skips[1]);
            let (seen, _) = read(&bytes, skips).unwrap();
            assert_eq!(seen.records, [2, 12, 2]);
        };
        // As an index would say it that is another segment's, or wrong.
        alter(&|skip| skip.records += 1);
        alter(&|skip| skip.records -= 1);
        alter(&|skip| skip.bytes.start += 8);
        alter(&|skip| skip.bytes.end -= 8);
        alter(&|skip| skip.bytes.start -= 8);
        alter(&|skip| skip.bytes.end += 8);
        alter(&|skip| skip.bytes.end += 100_000);
    }

    #[test]
    fn rot_is_found_where_something_is_read() {
        let (bytes, skips) = segment(3, 10);
        let Skip { bytes: gone, .. } = skips[1].clone();
        let with = |at: u64, skips: &[Skip]| {
            let mut bytes = bytes.clone();
            bytes[at as usize] ^= 4;
            read(&bytes, skips.to_vec())
        };
        for at in [gone.start, gone.start + 500, gone.end - 1] {
            assert_eq!(with(at, &skips).unwrap().0.records, [2; 3]);
            assert!(matches!(with(at, &[]), Err(SourceError::Damaged { .. })));
        }
        for at in [gone.start - 1, gone.end, gone.end + 20] {
            assert!(matches!(with(at, &skips), Err(SourceError::Damaged { .. })));
        }
        // Of a message that stays the payload too.
        let one = (gone.end - gone.start) / 10;
        let others = Skip { bytes: gone.start + one..gone.end, records: skips[1].records - 1 };
        let skips = [skips[0].clone(), others, skips[2].clone()];
        assert_eq!(with(gone.end - 1, &skips).unwrap().0.records, [2, 3, 2]);
        assert!(matches!(with(gone.start + 500, &skips), Err(SourceError::Damaged { .. })));
    }
}
