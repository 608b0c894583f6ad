//! One file's bytes: what the page cache shows, what the disk holds, and the changes between.
//!
//! - Each change keeps the sectors as they were right after it, so a sector that a crash leaves
//!   behind is always one that existed at some moment: old and new bytes never mix inside it.
//! - `durable` plus all of `pending` equals `cache`, until a failed sync drops changes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io;

use rustix::io::Errno;

use super::BLOCK_BYTES;
use super::fate::{Choices, Fate};
use super::image::{Image, Sector, is_same, split};
use super::random::Random;

/// A file's cached and durable images.
#[derive(Clone)]
pub(super) struct Contents {
    cache: Image,
    durable: Image,
    pending: Vec<Change>,
    /// Blocks that the device cannot read.
    unreadable: BTreeSet<u64>,
}

/// A write or a change of size that was not synced.
#[derive(Clone)]
struct Change {
    size_after: u64,
    /// Whether the size was set lower: the sectors beyond it are gone as soon as the size is.
    cuts: bool,
    first_sector: usize,
    /// The touched sectors as they were after this change.
    sectors: Vec<Sector>,
}

impl Contents {
    pub(super) fn new() -> Self {
        let (cache, durable) = (Image::new(), Image::new());
        Self { cache, durable, pending: Vec::new(), unreadable: BTreeSet::new() }
    }

    /// A file that was always there.
    pub(super) fn planted(bytes: &[u8]) -> Self {
        let mut image = Image::new();
        image.write(0, bytes);
        let (cache, durable) = (image.clone(), image);
        Self { cache, durable, pending: Vec::new(), unreadable: BTreeSet::new() }
    }

    pub(super) fn cache(&self) -> &Image {
        &self.cache
    }

    pub(super) fn durable(&self) -> &Image {
        &self.durable
    }

    /// Tells a hasher all that the next process can read, and all that a power cut can leave.
    pub(super) fn hash_into(&self, hasher: &mut impl Hasher) {
        self.cache.hash_into(hasher);
        self.durable.hash_into(hasher);
        hasher.write_usize(self.pending.len());
        for Change { size_after, cuts, first_sector, sectors } in &self.pending {
            (size_after, cuts, first_sector, sectors).hash(hasher);
        }
        self.unreadable.hash(hasher);
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.readable(offset, buffer.len())?;
        self.cache.read(offset, &mut buffer[..count]);
        Ok(count)
    }

    /// Reads the disk's sectors. The size is the cached one, as for a direct read on a real
    /// machine: data that never reached the disk reads as zeros.
    pub(super) fn read_durable(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.readable(offset, buffer.len())?;
        self.durable.read(offset, &mut buffer[..count]);
        Ok(count)
    }

    /// Makes the device unable to read a block.
    pub(super) fn make_unreadable(&mut self, block: u64) {
        self.unreadable.insert(block);
    }

    fn readable(&self, offset: u64, wanted: usize) -> io::Result<usize> {
        let count = self.cache.size().saturating_sub(offset).min(wanted as u64);
        let blocks = offset / BLOCK_BYTES..(offset + count).div_ceil(BLOCK_BYTES);
        match self.unreadable.range(blocks).next() {
            Some(_) if count > 0 => Err(Errno::IO.into()),
            _ => Ok(count as usize),
        }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.cache.write(offset, bytes);
        let (first_sector, _) = split(offset);
        let (last_sector, _) = split(offset + bytes.len() as u64 - 1);
        self.record(first_sector, last_sector + 1, false);
    }

    pub(super) fn set_size(&mut self, size: u64) {
        let (size_before, sectors_before) = (self.cache.size(), self.cache.sectors_len());
        self.cache.resize(size);
        let (first_sector, _) = split(size);
        if size < size_before {
            self.record(first_sector, sectors_before, true);
        } else {
            self.record(first_sector, first_sector, false);
        }
    }

    fn record(&mut self, first_sector: usize, end_sector: usize, cuts: bool) {
        let sectors = (first_sector..end_sector).map(|index| self.cache.sector(index)).collect();
        self.pending.push(Change { size_after: self.cache.size(), cuts, first_sector, sectors });
    }

    /// Makes everything durable but what a failed sync dropped before.
    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
        self.durable.resize(self.cache.size());
    }

    /// A sync that failed: the changed pages count as written from here on, and are not.
    pub(super) fn drop_pages(&mut self) {
        for change in self.pending.drain(..) {
            // A cut has no pages to lose; it is the journal's affair.
            if change.cuts {
                change.apply(&mut self.durable);
            }
        }
    }

    /// A fate of what is unsynced.
    pub(super) fn draw_fate(&self, random: &mut Random) -> Fate {
        let sectors_of: Vec<usize> =
            self.pending.iter().map(|change| change.sectors.len()).collect();
        Fate::draw(random, &sectors_of)
    }

    /// What of the unsynced makes a difference: a sector that is written with what it has does not.
    pub(super) fn choices(&self) -> Choices {
        if self.pending.is_empty() {
            return Choices::default();
        }
        let (mut sizes, mut size) = (vec![0], self.durable.size());
        let mut sectors: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
        // As each sector would be with all changes so far; `None` where a cut was.
        let mut newest: BTreeMap<usize, Option<&Sector>> = BTreeMap::new();
        for (number, change) in self.pending.iter().enumerate() {
            if change.cuts || change.size_after != size {
                sizes.push(number + 1);
            }
            size = change.size_after;
            for (place, sector) in change.sectors.iter().enumerate() {
                let index = change.first_sector + place;
                if change.cuts {
                    newest.insert(index, None);
                    continue;
                }
                let durable = || Some(self.durable.sector_ref(index));
                let before = newest.insert(index, Some(sector)).unwrap_or_else(durable);
                if before.is_none_or(|before| !is_same(before, sector)) {
                    sectors.entry(index).or_default().push((number, place));
                }
            }
        }
        Choices { sizes, sectors: sectors.into_values().collect() }
    }

    /// A power cut: some of what was not synced reaches the disk, and the cache is gone.
    pub(super) fn crash(&mut self, fate: &Fate) {
        let mut size = self.durable.size();
        let mut cut_lost_from = usize::MAX;
        for (number, change) in self.pending.drain(..).enumerate() {
            let size_kept = number < fate.sizes_kept;
            if size_kept {
                size = change.size_after;
            }
            if change.cuts && size_kept {
                change.apply(&mut self.durable);
            } else if change.cuts {
                // Behind a cut that was lost lie the old blocks; what was written there later
                // went into new blocks, which no size kept reaches.
                cut_lost_from = cut_lost_from.min(change.first_sector);
            } else {
                for (place, sector) in change.sectors.into_iter().enumerate() {
                    let index = change.first_sector + place;
                    if index < cut_lost_from && fate.keeps(number, place) {
                        self.durable.set_sector(index, sector);
                    }
                }
            }
        }
        self.durable.resize(size);
        self.cache = self.durable.clone();
    }

    /// Changes what the disk holds and what the cache shows behind everybody's back.
    pub(super) fn rot(&mut self, damage: impl Fn(&mut Image)) {
        damage(&mut self.durable);
        damage(&mut self.cache);
    }
}

impl Change {
    fn apply(self, image: &mut Image) {
        for (place, sector) in self.sectors.into_iter().enumerate() {
            image.set_sector(self.first_sector + place, sector);
        }
    }
}
