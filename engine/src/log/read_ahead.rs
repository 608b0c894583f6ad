//! Stretches of segments, read whole and ahead for those who read a backlog from front to back.
//!
//! - They are read past the page cache, into memory that is used again: a page that the cache gets anew may cost
//!   more than all else that is done with what is in it.
//! - A stretch is read once something of it or of the one before it was read. One thread reads it, others that
//!   want something of it wait for that, and later ones find it here.
//! - Twice as much is read as was wanted, at most, and a little to begin with: where more places are read at once
//!   than stretches are kept, most of what is wanted is left to be read by itself.
//! - What is here is what the file had when it was read; since then more may have come. So what is taken from
//!   here is checked, and the file has the last word.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::{Bytes, BytesMut};

use crate::checksum::Salt;
use crate::disk::Pages;
use crate::location::{Location, Segment};

/// A file is cut into stretches of so many bytes.
const STRETCH_BYTES: u64 = 512 << 10;

/// So many are kept: those who read a backlog together are not all at the same place.
const STRETCHES_MAX: usize = 16;

/// So many places where something was read are remembered.
const PLACES_MAX: usize = 64;

/// So many are read before they are wanted, at most.
const NEXT_MAX: usize = 4;

/// A segment, by what is drawn for its file alone, and the number of a stretch in it.
type Place = (Salt, u64);

/// The stretches that were used last.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    stretches: Mutex<Stretches>,
    /// Whether there is a stretch to read before it is wanted.
    goes_on: AtomicBool,
}

#[derive(Debug)]
struct Stretches {
    /// The one that was used last comes first.
    kept: VecDeque<Arc<Stretch>>,
    /// Where something was read of stretches that were not, the newest first.
    touched: VecDeque<Place>,
    /// The memory of one that is not kept any more.
    spare: Option<Pages>,
    /// What is to be read before it is wanted. A segment that was compacted is not held for it.
    next: VecDeque<(Weak<Segment>, u64)>,
    /// How many bytes more may be read.
    credit: u64,
}

#[derive(Debug)]
pub(super) struct Stretch {
    place: Place,
    /// Once it was read, and how many bytes; `None` if that failed.
    read: OnceLock<Option<(Pages, usize)>>,
    /// Whether the one behind it was thought of.
    is_followed: AtomicBool,
}

impl ReadAhead {
    /// The bytes at each location, if they were read. Copies: for one message nobody keeps a stretch.
    pub(super) fn find(&self, locations: &[&Location]) -> Vec<Option<Bytes>> {
        if locations.is_empty() {
            return Vec::new();
        }
        let kept: Vec<_> = self.lock().kept.iter().cloned().collect();
        match kept.is_empty() {
            true => vec![None; locations.len()],
            false => self.copy(&kept, locations),
        }
    }

    /// The stretches in which a range of a segment is, if they are worth reading. Waits for the disk.
    pub(super) fn read(&self, segment: &Segment, range: Range<u64>) -> Option<Vec<Arc<Stretch>>> {
        let wanted = self.lock().want(segment.salt, range)?;
        let is_read = wanted.iter().all(|stretch| self.fill(stretch, segment));
        is_read.then_some(wanted)
    }

    /// The bytes at each location, as far as they are in these stretches.
    pub(super) fn copy<'l>(
        &self,
        stretches: &[Arc<Stretch>],
        locations: &[&'l Location],
    ) -> Vec<Option<Bytes>> {
        let bytes = locations.iter().map(|location| location.bytes as usize).sum();
        let mut memory = BytesMut::with_capacity(bytes);
        let mut last = None;
        let mut copy = |location: &'l Location| {
            let start = memory.len();
            for number in numbers(location.range()) {
                let place = (location.segment.salt, number);
                let stretch = stretches.iter().find(|stretch| stretch.place == place);
                let Some(part) = stretch.and_then(|stretch| stretch.part(location.range())) else {
                    memory.truncate(start);
                    return None;
                };
                memory.extend_from_slice(part);
                last = stretch.map(|stretch| (stretch, &location.segment));
            }
            Some(start..memory.len())
        };
        let copied: Vec<_> = locations.iter().copied().map(&mut copy).collect();
        if let Some((stretch, segment)) = last {
            self.used(stretch, segment, memory.len() as u64);
        }
        let memory = memory.freeze();
        copied.into_iter().map(|range| Some(memory.slice(range?))).collect()
    }

    /// So many bytes were taken, the last ones of this stretch.
    fn used(&self, stretch: &Arc<Stretch>, segment: &Arc<Segment>, bytes: u64) {
        let mut stretches = self.lock();
        stretches.earn(bytes);
        stretches.move_to_front(stretch);
        if !stretch.is_followed.swap(true, Ordering::Relaxed) && stretches.next.len() < NEXT_MAX {
            stretches.next.push_back((Arc::downgrade(segment), stretch.place.1 + 1));
            self.goes_on.store(true, Ordering::Relaxed);
        }
    }

    /// Whether there is something for [`ReadAhead::go_on`]: who is told so is the one to call it.
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on.load(Ordering::Relaxed) && self.goes_on.swap(false, Ordering::Relaxed)
    }

    /// Reads what will be wanted next. Waits for the disk.
    pub(super) fn go_on(&self) {
        let next = std::mem::take(&mut self.lock().next);
        for (segment, number) in next {
            // What nobody else has any more is not wanted.
            let Some(segment) = segment.upgrade() else { continue };
            let Some(stretch) = self.lock().get_or_begin((segment.salt, number)) else { continue };
            self.fill(&stretch, &segment);
        }
    }

    /// Nothing of a location is found any more.
    pub(super) fn forget(&self, location: &Location) {
        let (salt, numbers) = (location.segment.salt, numbers(location.range()));
        let is_of = |(of, number): Place| of == salt && numbers.contains(&number);
        self.lock().kept.retain(|kept| !is_of(kept.place));
    }

    /// Reads a stretch, unless that was done.
    fn fill(&self, stretch: &Stretch, segment: &Segment) -> bool {
        let read = || {
            let pages = self.lock().spare.take();
            let mut pages = pages.unwrap_or_else(|| Pages::new(STRETCH_BYTES as usize));
            let start = stretch.place.1 * STRETCH_BYTES;
            let memory = pages.slice(STRETCH_BYTES as usize);
            let read = segment.file.read_past_cache_at(start, memory).ok()?;
            Some((pages, read))
        };
        stretch.read.get_or_init(read).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Stretches> {
        self.stretches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Stretches {
    fn default() -> Self {
        let (kept, touched, spare, next) = Default::default();
        Self { kept, touched, spare, next, credit: Self::CREDIT_MAX }
    }
}

impl Stretches {
    const CREDIT_MAX: u64 = STRETCHES_MAX as u64 * STRETCH_BYTES;

    fn get(&self, place: Place) -> Option<Arc<Stretch>> {
        self.kept.iter().find(|kept| kept.place == place).cloned()
    }

    fn earn(&mut self, bytes: u64) {
        self.credit = Self::CREDIT_MAX.min(self.credit + 2 * bytes);
    }

    fn move_to_front(&mut self, stretch: &Arc<Stretch>) {
        let at = self.kept.iter().position(|kept| Arc::ptr_eq(kept, stretch));
        if let Some(stretch) = at.filter(|at| *at > 0).and_then(|at| self.kept.remove(at)) {
            self.kept.push_front(stretch);
        }
    }

    /// The stretches of a range, if they are worth it.
    fn want(&mut self, salt: Salt, range: Range<u64>) -> Option<Vec<Arc<Stretch>>> {
        let (first, wanted_bytes) = (range.start / STRETCH_BYTES, range.end - range.start);
        let is_known = |number| {
            let place = (salt, number);
            self.get(place).is_some() || self.touched.contains(&place)
        };
        if is_known(first) || first.checked_sub(1).is_some_and(is_known) {
            let wanted = numbers(range.clone()).map(|number| self.get_or_begin((salt, number)));
            if let Some(wanted) = wanted.collect() {
                return Some(wanted);
            }
        }
        // It is read by itself.
        self.earn(wanted_bytes);
        for number in numbers(range) {
            let place = (salt, number);
            self.touched.retain(|touched| *touched != place);
            self.touched.truncate(PLACES_MAX - 1);
            self.touched.push_front(place);
        }
        None
    }

    /// The stretch; `None` if it would have to be read, and too much was read that nobody wanted.
    fn get_or_begin(&mut self, place: Place) -> Option<Arc<Stretch>> {
        if let Some(stretch) = self.get(place) {
            return Some(stretch);
        }
        self.credit = self.credit.checked_sub(STRETCH_BYTES)?;
        let (read, is_followed) = (OnceLock::new(), AtomicBool::new(false));
        let stretch = Arc::new(Stretch { place, read, is_followed });
        self.kept.push_front(stretch.clone());
        if self.kept.len() > STRETCHES_MAX {
            let oldest = self.kept.pop_back().and_then(Arc::into_inner);
            let memory = oldest.and_then(|oldest| oldest.read.into_inner().flatten());
            self.spare = memory.map(|(pages, _)| pages).or(self.spare.take());
        }
        Some(stretch)
    }
}

impl Stretch {
    /// Its part of a range of the file, if it has all of that.
    fn part(&self, range: Range<u64>) -> Option<&[u8]> {
        let (pages, read) = self.read.get()?.as_ref()?;
        let start = self.place.1 * STRETCH_BYTES;
        let from = range.start.saturating_sub(start);
        let to = range.end.min(start + STRETCH_BYTES).checked_sub(start)?;
        pages.bytes()[..*read].get(from as usize..to as usize)
    }
}

/// The stretches in which a range is.
fn numbers(range: Range<u64>) -> Range<u64> {
    range.start / STRETCH_BYTES..range.end.div_ceil(STRETCH_BYTES)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::disk::{DiskError, DiskFile};
    use crate::ids::{Position, QueueId, Seq};
    use crate::time::LogTime;

    /// Byte `n` of it is `n` modulo 251; counts what is read.
    #[derive(Debug)]
    struct Pattern {
        bytes: u64,
        read: Arc<AtomicU64>,
    }

    impl DiskFile for Pattern {
        fn path(&self) -> &Path {
            Path::new("pattern")
        }

        fn size(&self) -> Result<u64, DiskError> {
            Ok(self.bytes)
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
            let count = (self.bytes.saturating_sub(offset) as usize).min(buffer.len());
            buffer[..count]
                .iter_mut()
                .zip(offset..)
                .for_each(|(byte, at)| *byte = (at % 251) as u8);
            self.read.fetch_add(count as u64, Ordering::Relaxed);
            Ok(count)
        }

        fn read_durable_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
            self.read_at(offset, buffer)
        }

        fn write_all_at(&self, _: u64, _: &[u8]) -> Result<(), DiskError> {
            unreachable!("it is only read")
        }

        fn set_size(&self, _: u64) -> Result<(), DiskError> {
            unreachable!("it is only read")
        }

        fn sync(&self) -> Result<(), DiskError> {
            unreachable!("it is only read")
        }
    }

    fn segment(salt: u64, bytes: u64) -> (Arc<Segment>, Arc<AtomicU64>) {
        let read = Arc::new(AtomicU64::new(0));
        let segment = Segment {
            first: Position(1),
            generation: 0,
            salt: Salt(salt),
            created: LogTime(0),
            path: Path::new("pattern").to_path_buf(),
            file: Arc::new(Pattern { bytes, read: read.clone() }),
        };
        (Arc::new(segment), read)
    }

    fn at(segment: &Arc<Segment>, range: Range<u64>) -> Location {
        let (queue, seq, segment) = (QueueId(1), Seq(1), segment.clone());
        let (offset, bytes) = (range.start as u32, (range.end - range.start) as u32);
        Location { queue, seq, segment, offset, bytes }
    }

    fn is_found(ahead: &ReadAhead, segment: &Arc<Segment>, range: Range<u64>) -> bool {
        let found = ahead.find(&[&at(segment, range.clone())]);
        let right =
            |bytes: &Bytes| bytes.iter().copied().eq(range.clone().map(|at| (at % 251) as u8));
        assert!(found.iter().flatten().all(right));
        found[0].is_some()
    }

    #[test]
    fn each_byte_is_read_once_however_many_read() {
        let (segment, read) = segment(1, 7 * STRETCH_BYTES + 100);
        let ahead = ReadAhead::default();
        // A length that fits neither a page nor a stretch, so many are in two of them.
        let ranges = (0..segment.file.size().unwrap() / 3000).map(|n| n * 3000..(n + 1) * 3000);
        let (mut waited, mut refused) = (0, 0);
        for range in ranges.clone().flat_map(|range| [range.clone(), range]) {
            if !is_found(&ahead, &segment, range.clone()) {
                waited += 1;
                match ahead.read(&segment, range.clone()).is_some() {
                    true => assert!(is_found(&ahead, &segment, range)),
                    false => refused += 1,
                }
            }
            if ahead.goes_on() {
                ahead.go_on();
            }
        }
        assert_eq!(read.load(Ordering::Relaxed), segment.file.size().unwrap());
        assert_eq!((waited, refused), (2, 1), "the first tells that somebody reads");
    }

    #[test]
    fn what_is_read_here_and_there_is_not_read_ahead() {
        let (segment, read) = segment(1, 400 * STRETCH_BYTES);
        let ahead = ReadAhead::default();
        for number in (0..400).step_by(2).chain((1..400).step_by(2).skip(100)) {
            let start = number * STRETCH_BYTES + 5000;
            let is_read = ahead.read(&segment, start..start + 3000);
            // Of those in the second round the neighbours are forgotten.
            assert!(is_read.is_none(), "stretch {number}");
        }
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_file_is_not_taken_for_another_and_what_is_forgotten_is_not_found() {
        let ((one, _), (other, _)) = (segment(1, 2 * STRETCH_BYTES), segment(2, 2 * STRETCH_BYTES));
        let ahead = ReadAhead::default();
        assert!(ahead.read(&one, 0..3000).is_none() && ahead.read(&one, 0..3000).is_some());
        assert!(is_found(&ahead, &one, 9000..12_000));
        assert!(!is_found(&ahead, &other, 9000..12_000));
        assert!(ahead.read(&other, 0..3000).is_none());
        ahead.forget(&at(&other, 0..100));
        assert!(is_found(&ahead, &one, 9000..12_000));
        ahead.forget(&at(&one, 0..100));
        assert!(!is_found(&ahead, &one, 9000..12_000));
        // What the file does not have is not found either.
        assert!(ahead.read(&one, 0..3000).is_some());
        ahead.go_on();
        let end = 2 * STRETCH_BYTES;
        assert!(ahead.read(&one, end - 10..end).is_some() && is_found(&ahead, &one, end - 10..end));
        assert!(!is_found(&ahead, &one, end - 10..end + 10));
    }

    /// Each of many readers at a place of its own, in turns, as a server with so many queues is asked.
    fn read_at_many_places(readers: u64) -> (u64, u64) {
        const EACH_BYTES: u64 = 8 * STRETCH_BYTES;
        const BATCH_BYTES: u64 = 60_000;
        let (segment, read) = segment(1, readers * EACH_BYTES);
        let ahead = ReadAhead::default();
        let mut alone = 0;
        for batch in 0..EACH_BYTES / BATCH_BYTES {
            for reader in 0..readers {
                let start = reader * EACH_BYTES + batch * BATCH_BYTES;
                let range = start..start + BATCH_BYTES;
                if !is_found(&ahead, &segment, range.clone()) {
                    match ahead.read(&segment, range.clone()) {
                        Some(stretches) => {
                            let copied = ahead.copy(&stretches, &[&at(&segment, range)]);
                            assert!(copied[0].is_some());
                        }
                        None => alone += BATCH_BYTES,
                    }
                }
                if ahead.goes_on() {
                    ahead.go_on();
                }
            }
        }
        let wanted = readers * (EACH_BYTES / BATCH_BYTES) * BATCH_BYTES;
        (100 * read.load(Ordering::Relaxed) / wanted, 100 * alone / wanted)
    }

    #[test]
    fn many_who_read_at_many_places_do_not_read_everything_many_times() {
        for readers in [1, 4, 8, 12, 32, 64] {
            let (read, alone) = read_at_many_places(readers);
            let by_itself = alone > 50;
            assert_eq!(by_itself, readers > 16, "{readers} readers: {alone} % are read alone");
            assert!(read <= 230, "{readers} readers: {read} % of what is wanted are read ahead");
        }
    }

    #[test]
    fn a_segment_that_nobody_reads_any_more_is_not_kept_open() {
        let (segment, _) = segment(1, 4 * STRETCH_BYTES);
        let ahead = ReadAhead::default();
        assert!(ahead.read(&segment, 0..3000).is_none() && ahead.read(&segment, 0..3000).is_some());
        assert!(is_found(&ahead, &segment, 0..3000));
        assert!(ahead.goes_on() && !ahead.goes_on(), "once");
        let nobody_else = Arc::into_inner(segment);
        assert!(nobody_else.is_some());
        drop(nobody_else);
        ahead.go_on();
    }
}
