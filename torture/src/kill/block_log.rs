//! The log of every write and flush of a block device, as `blklogwrites` of QEMU writes it (the format of
//! dm-log-writes), and the images that a power cut may have left.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the header begins with.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const SECTOR_BYTES: u64 = 512;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// An image is kept in pieces of this size; what was never written is none.
const PIECE_BYTES: usize = 4096;

/// One entry of the log.
#[derive(Debug)]
pub(super) struct Entry {
    offset: u64,
    flags: u64,
    bytes: Vec<u8>,
}

/// The bytes of a device.
#[derive(Debug, Default, Clone)]
pub(super) struct Image(BTreeMap<u64, Box<[u8; PIECE_BYTES]>>);

impl Entry {
    /// Everything before it is durable.
    pub(super) fn is_flush(&self) -> bool {
        self.flags & FLUSH != 0
    }

    /// It is durable when it is done.
    pub(super) fn is_durable(&self) -> bool {
        self.flags & FUA != 0
    }

    pub(super) fn is_write(&self) -> bool {
        !self.bytes.is_empty()
    }
}

/// How many entries the log has so far.
pub(super) fn entries(log: &File) -> io::Result<u64> {
    let mut header = [0; 8];
    log.read_exact_at(&mut header, 16)?;
    Ok(u64::from_le_bytes(header))
}

/// Reads all of a log.
pub(super) fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let log = File::open(path)?;
    let mut header = [0; 28];
    log.read_exact_at(&mut header, 0)?;
    let word = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("eight bytes"))
    };
    if word(&header, 0) != MAGIC {
        let found = word(&header, 0);
        return Err(io::Error::other(format!("the block log begins with {found:x}")));
    }
    let count = word(&header, 2);
    let mut offset = SECTOR_BYTES;
    let mut entries = Vec::new();
    for _ in 0..count {
        let mut fields = [0; 32];
        log.read_exact_at(&mut fields, offset)?;
        offset += SECTOR_BYTES;
        let (sector, sectors, flags) = (word(&fields, 0), word(&fields, 1), word(&fields, 2));
        let mut bytes = Vec::new();
        let length = sectors * SECTOR_BYTES;
        if flags & DISCARD != 0 {
            // What was discarded may read as anything; as nothing, for example.
            bytes.resize(length as usize, 0);
        } else {
            bytes.resize(length as usize, 0);
            log.read_exact_at(&mut bytes, offset)?;
            offset += length;
        }
        entries.push(Entry { offset: sector * SECTOR_BYTES, flags, bytes });
    }
    Ok(entries)
}

impl Image {
    /// What is in a file.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        let mut image = Self::default();
        for (number, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
            if piece.iter().any(|byte| *byte != 0) {
                image.write((number * PIECE_BYTES) as u64, piece);
            }
        }
        Ok(image)
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        self.write(entry.offset, &entry.bytes);
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = (at % PIECE_BYTES as u64) as usize;
            let (here, later) = rest.split_at(rest.len().min(PIECE_BYTES - start));
            let piece =
                self.0.entry(at / PIECE_BYTES as u64).or_insert_with(|| Box::new([0; PIECE_BYTES]));
            piece[start..start + here.len()].copy_from_slice(here);
            at += here.len() as u64;
            rest = later;
        }
    }

    /// Writes the image into a new file of that size.
    pub(super) fn save(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(bytes)?;
        for (number, piece) in &self.0 {
            file.write_all_at(&piece[..], number * PIECE_BYTES as u64)?;
        }
        Ok(())
    }
}
