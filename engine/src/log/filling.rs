//! Filling a prepared segment with zeros: an append into blocks that were written before costs half of
//! one into blocks that are only reserved.
//!
//! Nothing waits for it. It goes on while the segment waits to be rolled to, a piece at a time, and ends
//! there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{DiskError, DiskFile, Reserved};

/// Written at once where there is time: the log's sync waits behind no more.
pub(crate) const PIECE_BYTES: u64 = 256 << 10;

/// Synced each time so much was written.
const SYNC_BYTES: u64 = 4 << 20;

/// The filling of one segment. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Filling {
    file: Arc<dyn DiskFile>,
    progress: Arc<Mutex<Progress>>,
}

#[derive(Debug)]
struct Progress {
    filled: u64,
    /// How far it is to go; where it is, once it has ended.
    end: u64,
    failure: Option<DiskError>,
}

impl Filling {
    /// Of a file that was reserved up to `end`.
    pub(super) fn new(file: Arc<dyn DiskFile>, reserved: Reserved, end: u64) -> Self {
        let filled = match reserved {
            Reserved::Unwritten => 0,
            Reserved::Written => end,
        };
        Self { file, progress: Arc::new(Mutex::new(Progress { filled, end, failure: None })) }
    }

    /// How far it is.
    pub(crate) fn filled(&self) -> u64 {
        self.progress().filled
    }

    /// Writes the next piece, of so many bytes; whether there is more to do.
    pub(crate) fn step(&self, piece_bytes: u64) -> bool {
        // Held while the piece is written: whoever ends it waits until nothing of it is under way.
        let mut progress = self.progress();
        let bytes = piece_bytes.min(progress.end - progress.filled);
        if bytes == 0 {
            return false;
        }
        let (offset, filled) = (progress.filled, progress.filled + bytes);
        let written = self.file.write_zeros(offset, bytes).and_then(|()| {
            match filled == progress.end || filled / SYNC_BYTES > offset / SYNC_BYTES {
                true => self.file.sync(),
                false => Ok(()),
            }
        });
        match written {
            Ok(()) => progress.filled = filled,
            Err(failure) => {
                progress.end = progress.filled;
                // Some file systems need space to write what was reserved; the log has it anyway.
                progress.failure = Some(failure).filter(|failure| !failure.is_full());
            }
        }
        progress.filled < progress.end
    }

    /// Writes all of it now.
    pub(super) fn finish(&self) -> Result<(), DiskError> {
        while self.step(SYNC_BYTES) {}
        self.end()
    }

    /// Ends it: from here on the file is the log's. Tells what failed.
    pub(super) fn end(&self) -> Result<(), DiskError> {
        let mut progress = self.progress();
        progress.end = progress.filled;
        progress.failure.take().map_or(Ok(()), Err)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Access, Disk, RealDisk};

    #[test]
    fn nothing_is_filled_after_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("next.tmp");
        let file = RealDisk.create(&path).unwrap();
        let end = 3 * PIECE_BYTES + 100;
        file.reserve(end).unwrap();
        assert_eq!(file.size().unwrap(), end);
        let filling = Filling::new(file.clone(), Reserved::Unwritten, end);
        file.write_all_at(0, &vec![7; end as usize]).unwrap();
        assert!(filling.step(PIECE_BYTES));
        filling.end().unwrap();
        assert!(!filling.step(PIECE_BYTES));
        let mut bytes = vec![1; end as usize];
        let other = RealDisk.open(&path, Access::Read).unwrap();
        assert_eq!(other.read_at(0, &mut bytes).unwrap() as u64, end);
        let (filled, rest) = bytes.split_at(PIECE_BYTES as usize);
        assert!(filled.iter().all(|byte| *byte == 0));
        assert!(rest.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn all_is_filled_to_the_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&dir.path().join("next.tmp")).unwrap();
        let end = SYNC_BYTES + 2 * PIECE_BYTES + 100;
        file.write_all_at(0, &vec![7; end as usize]).unwrap();
        Filling::new(file.clone(), Reserved::Unwritten, end).finish().unwrap();
        let mut bytes = vec![1; end as usize + 1];
        assert_eq!(file.read_at(0, &mut bytes).unwrap() as u64, end);
        assert!(bytes[..end as usize].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_was_written_as_zeros_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&dir.path().join("next.tmp")).unwrap();
        file.write_all_at(0, &[7; 4096]).unwrap();
        let filling = Filling::new(file.clone(), Reserved::Written, 4096);
        assert!(!filling.step(PIECE_BYTES));
        let mut bytes = [0; 4096];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(bytes, [7; 4096]);
    }
}
