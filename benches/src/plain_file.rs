//! A file to append to as the log does: reserved, filled with zeros, written in whole pages past the page cache.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use forebay_engine::disk::{Disk, DiskError, DiskFile, PageWriter, RealDisk};

use crate::BenchError;

/// Appends to it change no metadata. It is written over from its beginning when its end is reached.
#[derive(Debug)]
pub(crate) struct PlainFile {
    file: Arc<dyn DiskFile>,
    bytes: u64,
    /// Where the last append ended.
    end: u64,
    writer: PageWriter,
}

impl PlainFile {
    /// Prepares it.
    pub(crate) fn create(path: &Path, bytes: u64) -> Result<Self, BenchError> {
        let create = || {
            let file = RealDisk.create(path)?;
            file.reserve(bytes)?;
            file.write_zeros(0, bytes)?;
            file.sync()?;
            Ok::<_, DiskError>(file)
        };
        let file = create().map_err(|error| BenchError::new(error.to_string()))?;
        Ok(Self { file, bytes, end: 0, writer: PageWriter::default() })
    }

    /// Where in this memory, which is empty, the next append begins so that it is written as it is.
    pub(crate) fn start_in(&self, memory: &BytesMut) -> usize {
        PageWriter::start_in(memory, self.end)
    }

    /// Writes what the memory has from `start` on.
    pub(crate) fn append(&mut self, memory: &mut BytesMut, start: usize) -> Result<(), BenchError> {
        let bytes = (memory.len() - start) as u64;
        self.end = self.end_after(bytes);
        let offset = self.end - bytes;
        let written = self.writer.append(&*self.file, offset, memory, start, self.bytes);
        written.map_err(|error| BenchError::new(error.to_string()))
    }

    /// Where an append of so many bytes would end.
    pub(crate) fn end_after(&self, bytes: u64) -> u64 {
        if self.end + bytes > self.bytes { bytes } else { self.end + bytes }
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&self) -> Result<(), BenchError> {
        self.file.sync().map_err(|error| BenchError::new(error.to_string()))
    }
}
