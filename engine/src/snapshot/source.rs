//! A snapshot's file as it is read, and the part of it that is one body.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crc32fast::Hasher;

use crate::disk::{Access, Disk, DiskError, DiskFile};

/// How much is read at once.
const READ_BYTES: u64 = 1 << 20;

/// A file read from its front to its back, in large reads.
#[derive(Debug)]
pub(super) struct Source {
    file: Arc<dyn DiskFile>,
    size: u64,
    /// How many bytes were taken.
    offset: u64,
    /// The bytes read last.
    buffer: Vec<u8>,
    /// How many of those were taken.
    taken: usize,
}

impl Source {
    /// Opens the file; its size is taken once.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, DiskError> {
        let file = disk.open(path, Access::Read)?;
        let size = file.size()?;
        Ok(Self { file, size, offset: 0, buffer: Vec::new(), taken: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// How many bytes were taken.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes not yet taken.
    pub(super) fn left(&self) -> u64 {
        self.size - self.offset
    }

    /// Takes the next bytes, which the file has by its size.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DiskError> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// Takes the next bytes, which the file has by its size.
    pub(super) fn read(&mut self, mut out: &mut [u8]) -> Result<(), DiskError> {
        while !out.is_empty() {
            if self.taken == self.buffer.len() {
                self.read_on()?;
            }
            let count = out.len().min(self.buffer.len() - self.taken);
            let (now, later) = out.split_at_mut(count);
            now.copy_from_slice(&self.buffer[self.taken..self.taken + count]);
            out = later;
            self.taken += count;
            self.offset += count as u64;
        }
        Ok(())
    }

    fn read_on(&mut self) -> Result<(), DiskError> {
        self.buffer.resize(self.left().min(READ_BYTES) as usize, 0);
        self.taken = 0;
        let read = self.file.read_at(self.offset, &mut self.buffer)?;
        self.buffer.truncate(read);
        match read {
            0 => Err(DiskError {
                operation: "read",
                path: self.file.path().to_path_buf(),
                source: io::ErrorKind::UnexpectedEof.into(),
            }),
            _ => Ok(()),
        }
    }
}

/// A part's body while it is read.
pub(super) struct Body<'s> {
    source: &'s mut Source,
    /// Bytes not yet read; no more than the file has.
    left: u64,
    /// Of those read.
    hasher: Hasher,
    /// What the checksum of all should be.
    crc: u32,
}

impl<'s> Body<'s> {
    /// The next `bytes` of the file, no more than it has left. `hasher` has what comes before the
    /// body, `crc` is what it is to arrive at.
    pub(super) fn new(source: &'s mut Source, bytes: u64, hasher: Hasher, crc: u32) -> Self {
        assert!(bytes <= source.left(), "the length was compared with the file's");
        Self { source, left: bytes, hasher, crc }
    }

    /// Bytes not yet read.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes.
    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, PartError> {
        self.check_left(count)?;
        let mut bytes = vec![0; count as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PartError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), PartError> {
        self.check_left(bytes.len() as u64)?;
        self.source.read(bytes)?;
        self.hasher.update(bytes);
        self.left -= bytes.len() as u64;
        Ok(())
    }

    fn check_left(&self, count: u64) -> Result<(), PartError> {
        let left = self.left;
        let wrong = || PartError::Wrong(format!("{count} bytes are expected, {left} are left"));
        if count <= left { Ok(()) } else { Err(wrong()) }
    }

    pub(super) fn u16(&mut self) -> Result<u16, PartError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, PartError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, PartError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Compares the checksum of all that was read.
    pub(super) fn check(&self) -> Result<(), PartError> {
        let (found, expected) = (self.crc, self.hasher.clone().finalize());
        match found == expected {
            true => Ok(()),
            false => {
                Err(PartError::Wrong(format!("checksum {found:08x}, expected {expected:08x}")))
            }
        }
    }

    /// Reads what is left, and compares the checksum.
    pub(super) fn check_rest(mut self) -> Result<(), PartError> {
        while self.left > 0 {
            self.bytes(self.left.min(READ_BYTES))?;
        }
        self.check()
    }
}

/// Why a part cannot be read.
#[derive(Debug)]
pub(super) enum PartError {
    /// The disk did not give the bytes.
    Disk(DiskError),
    /// The bytes are wrong: how, in a sentence.
    Wrong(String),
}

impl From<DiskError> for PartError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}
