//! A file written from its front to its back in large writes, with places filled in afterwards.

use std::io;
use std::sync::Arc;

use crc32fast::Hasher;

use crate::disk::{DiskError, DiskFile};

/// How much is gathered for a write.
const WRITE_BYTES: usize = 64 << 10;

/// The file and its end. Bytes are put by [`io::Write`]; what fails is a [`DiskError`] inside
/// ([`disk_error`]).
#[derive(Debug)]
pub(super) struct Appending {
    file: Arc<dyn DiskFile>,
    /// Bytes before the buffer's, which are in the file.
    written: u64,
    buffer: Vec<u8>,
    /// Of the bytes put since [`Appending::begin_checksum`], but for the buffer's last.
    hasher: Hasher,
    /// Where in the buffer those begin that the hasher has not had.
    hashed: usize,
}

impl Appending {
    /// Begins an empty file.
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Self {
        let (buffer, hasher) = (Vec::with_capacity(WRITE_BYTES), Hasher::new());
        Self { file, written: 0, buffer, hasher, hashed: 0 }
    }

    /// How many bytes were put.
    pub(super) fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Puts zeros, to be filled in.
    pub(super) fn leave(&mut self, bytes: usize) {
        self.buffer.resize(self.buffer.len() + bytes, 0);
    }

    /// Fills in what was left at `offset`.
    pub(super) fn fill_in(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        match offset.checked_sub(self.written) {
            Some(start) => {
                let start = start as usize;
                self.buffer[start..start + bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
            None => self.file.write_all_at(offset, bytes),
        }
    }

    /// Begins a checksum, seeded by `hasher`, of what is put from here on.
    pub(super) fn begin_checksum(&mut self, hasher: Hasher) {
        self.hasher = hasher;
        self.hashed = self.buffer.len();
    }

    /// The checksum of what was put since it was begun.
    pub(super) fn checksum(&mut self) -> u32 {
        self.hash();
        self.hasher.clone().finalize()
    }

    fn hash(&mut self) {
        self.hasher.update(&self.buffer[self.hashed..]);
        self.hashed = self.buffer.len();
    }

    /// Writes what is gathered, and makes the file durable.
    pub(super) fn sync(&mut self) -> Result<(), DiskError> {
        self.write_buffer()?;
        self.file.sync()
    }

    fn write_buffer(&mut self) -> Result<(), DiskError> {
        self.hash();
        self.file.write_all_at(self.written, &self.buffer)?;
        self.written = self.bytes();
        self.buffer.clear();
        self.hashed = 0;
        Ok(())
    }
}

impl io::Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.write_buffer().map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_buffer().map_err(io::Error::other)
    }
}

/// What failed in writing to an [`Appending`].
pub(super) fn disk_error(error: io::Error) -> DiskError {
    error.downcast().expect("only the disk fails here")
}
