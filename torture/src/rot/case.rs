//! The ways in which one file of a store can rot, each with a number.
//!
//! First come those that concern a whole file, of all files; then the numbers run over the files, and in a file
//! over its bits, sizes and blocks. So a number and the seed of the store say what was done, and any part of the
//! sweep can be done alone.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::reference::{Reference, ReferenceFile};

/// What a disk writes at once.
const BLOCK_BYTES: u64 = 512;

/// How far away a block is that is copied or swapped.
const DISTANCES: [u64; 2] = [1, 8];

/// What a file is renamed to.
const NAMES: [&str; 4] = ["other", "other.tmp", "other.log", "00000000000000ff.log"];

/// What happens to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rot {
    /// A bit of a byte is flipped.
    Flip {
        byte: u64,
        bit: u8,
    },
    /// The file ends there.
    Cut {
        bytes: u64,
    },
    /// A block reads as zeros.
    Zero {
        block: u64,
    },
    /// A block has the bytes of one that lies so far behind it.
    Copy {
        block: u64,
        distance: u64,
    },
    /// A block and one that lies so far behind it have each other's bytes.
    Swap {
        block: u64,
        distance: u64,
    },
    /// A block has the bytes of the same block of the next file.
    Foreign {
        block: u64,
        from: usize,
    },
    /// All of it is that of the next file.
    Replace {
        from: usize,
    },
    Delete,
    Rename {
        to: &'static str,
    },
}

/// One case: a file, by its number in the reference, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) number: u64,
    pub(super) file: usize,
    pub(super) rot: Rot,
}

/// What a case leaves.
pub(super) struct Rotten {
    /// Of the file under its name; `None`: it is not there.
    pub(super) bytes: Option<Vec<u8>>,
    /// Where it lies now, if it was renamed.
    pub(super) renamed: Option<PathBuf>,
    /// The bytes that are not what they were, as ranges of the file as it was. Empty: nothing changed.
    pub(super) changed: Vec<Range<u64>>,
}

/// Cases that concern a file as a whole.
const WHOLE: u64 = 2 + NAMES.len() as u64;

/// Cases of a block.
const PER_BLOCK: u64 = 1 + 2 * DISTANCES.len() as u64 + 1;

/// How many cases concern parts of a file.
fn parts_of(file: &ReferenceFile) -> u64 {
    let bytes = file.bytes.len() as u64;
    bytes * 8 + bytes + bytes.div_ceil(BLOCK_BYTES) * PER_BLOCK
}

/// How many cases concern whole files: they have the first numbers.
pub(super) fn count_whole(reference: &Reference) -> u64 {
    reference.files.len() as u64 * WHOLE
}

/// How many cases there are.
pub(super) fn count(reference: &Reference) -> u64 {
    count_whole(reference) + reference.files.iter().map(parts_of).sum::<u64>()
}

impl Case {
    /// The case of a number, which is below [`count`].
    pub(super) fn of(reference: &Reference, number: u64) -> Self {
        let next = |file: usize| (file + 1) % reference.files.len();
        let Some(mut left) = number.checked_sub(count_whole(reference)) else {
            let file = (number / WHOLE) as usize;
            return Self { number, file, rot: Rot::of_whole(next(file), number % WHOLE) };
        };
        let mut file = 0;
        while left >= parts_of(&reference.files[file]) {
            left -= parts_of(&reference.files[file]);
            file += 1;
        }
        let rot = Rot::of_part(&reference.files[file], next(file), left);
        Self { number, file, rot }
    }

    /// Does it.
    pub(super) fn apply(&self, reference: &Reference) -> Rotten {
        let file = &reference.files[self.file];
        let size = file.bytes.len() as u64;
        let whole = || vec![Range { start: 0, end: size.max(1) }];
        let gone = |renamed| Rotten { bytes: None, renamed, changed: whole() };
        let mut bytes = file.bytes.clone();
        match self.rot {
            Rot::Delete => return gone(None),
            Rot::Rename { to } => return gone(Some(file.path.with_file_name(to))),
            Rot::Cut { bytes: size } => bytes.truncate(size as usize),
            Rot::Flip { byte, bit } => bytes[byte as usize] ^= 1 << bit,
            Rot::Zero { block } => bytes[range(size, block)].fill(0),
            Rot::Copy { block, distance } | Rot::Swap { block, distance } => {
                let (here, there) = (range(size, block), range(size, block + distance));
                let length = here.len().min(there.len());
                let (here, there) = (here.start, there.start.min(file.bytes.len()));
                bytes[here..here + length].copy_from_slice(&file.bytes[there..there + length]);
                if matches!(self.rot, Rot::Swap { .. }) {
                    bytes[there..there + length].copy_from_slice(&file.bytes[here..here + length]);
                }
            }
            Rot::Foreign { block, from } => {
                let other = &reference.files[from].bytes;
                let here = range(size, block);
                let length = here.len().min(range(other.len() as u64, block).len());
                let start = here.start;
                if length > 0 {
                    bytes[start..start + length].copy_from_slice(&other[start..start + length]);
                }
            }
            Rot::Replace { from } => bytes.clone_from(&reference.files[from].bytes),
        }
        let changed = differences(&file.bytes, &bytes);
        Rotten { bytes: Some(bytes), renamed: None, changed }
    }

    /// In words.
    pub(super) fn describe(&self, reference: &Reference) -> String {
        let name = |file: usize| reference.files[file].path.display().to_string();
        let file = name(self.file);
        match &self.rot {
            Rot::Foreign { block, from } => {
                format!("block {block} of {file} has the bytes of that of {}", name(*from))
            }
            Rot::Replace { from } => format!("{file} has the bytes of {}", name(*from)),
            rot => format!("{file} {rot}"),
        }
    }
}

impl Rot {
    fn of_whole(next: usize, number: u64) -> Self {
        match number {
            0 => Rot::Delete,
            1 => Rot::Replace { from: next },
            name => Rot::Rename { to: NAMES[name as usize - 2] },
        }
    }

    fn of_part(file: &ReferenceFile, next: usize, number: u64) -> Self {
        let bytes = file.bytes.len() as u64;
        let mut left = number;
        if left < bytes * 8 {
            return Rot::Flip { byte: left / 8, bit: (left % 8) as u8 };
        }
        left -= bytes * 8;
        if left < bytes {
            return Rot::Cut { bytes: left };
        }
        left -= bytes;
        let block = left / PER_BLOCK;
        let distance = |way: u64| DISTANCES[way as usize % DISTANCES.len()];
        match left % PER_BLOCK {
            0 => Rot::Zero { block },
            way @ 1..=2 => Rot::Copy { block, distance: distance(way - 1) },
            way @ 3..=4 => Rot::Swap { block, distance: distance(way - 3) },
            _ => Rot::Foreign { block, from: next },
        }
    }
}

const _: () = assert!(DISTANCES.len() == 2, "the ways of a block are counted in Rot::of_part");

/// A block of a file of that size, or what the file has of it.
fn range(size: u64, block: u64) -> Range<usize> {
    let start = (block * BLOCK_BYTES).min(size);
    start as usize..(start + BLOCK_BYTES).min(size) as usize
}

/// Where bytes differ; what is missing at the end is a difference, and so is what is there besides.
fn differences(before: &[u8], after: &[u8]) -> Vec<Range<u64>> {
    let mut changed: Vec<Range<u64>> = Vec::new();
    let common = before.len().min(after.len());
    let different = (0..common).filter(|at| before[*at] != after[*at]);
    for at in different.map(|at| at as u64) {
        match changed.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => changed.push(at..at + 1),
        }
    }
    let longer = before.len().max(after.len());
    if common < longer {
        changed.push(common as u64..longer as u64);
    }
    changed
}

impl fmt::Display for Rot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rot::Flip { byte, bit } => write!(f, "has bit {bit} of byte {byte} flipped"),
            Rot::Cut { bytes } => write!(f, "is cut to {bytes} bytes"),
            Rot::Zero { block } => write!(f, "has zeros in block {block}"),
            Rot::Copy { block, distance } => {
                write!(f, "has block {} in the place of block {block}", block + distance)
            }
            Rot::Swap { block, distance } => {
                write!(f, "has blocks {block} and {} swapped", block + distance)
            }
            Rot::Foreign { block, .. } => write!(f, "has another file's block {block}"),
            Rot::Replace { .. } => write!(f, "has another file's bytes"),
            Rot::Delete => write!(f, "is deleted"),
            Rot::Rename { to } => write!(f, "is renamed to {to}"),
        }
    }
}
