//! Without this: a sector that reads as zeros, or as another one's bytes after a misdirected write,
//! could be taken for the end of the log or for other messages.
//!
//! The default run moves blocks by some distances; `FOREBAY_FULL_SWEEP=1` by more.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/reference.rs"]
mod reference;

use std::path::Path;

use common::DATA;
use reference::{Judgement, Reference, full_sweep, is_dispensable};

const BLOCK: usize = 512;

/// Opens with `bytes` in the place of a file and says whether that may be: only if the same
/// bytes are there, or if every byte that changed lies behind the last one that holds data.
fn judge(reference: &Reference, path: &Path, bytes: Vec<u8>, what: &str) {
    let before = &reference.files[path];
    let Some(first) = (0..before.len()).find(|at| before[*at] != bytes[*at]) else { return };
    let (newest, _) = reference.newest();
    let harmless = is_dispensable(path) || path == reference.active() && first as u64 >= newest;
    // The one sector in which the log ends may hold the newest messages together with the
    // watermark that proves them: whoever takes both leaves nothing that tells.
    let last_sector = newest as usize / BLOCK * BLOCK;
    if path == reference.active() && first >= last_sector {
        return;
    }
    let disk = reference.disk(|files| drop(files.insert(path.to_path_buf(), bytes)));
    let (judgement, damages) = reference.judge(&disk, what);
    assert_eq!(judgement != Judgement::Refused, harmless, "{what}: {judgement:?}");
    assert!(damages.iter().all(|damage| damage.path == path), "{what}: {damages:?}");
}

/// Every block of every file, with the file's bytes.
fn blocks(reference: &Reference) -> impl Iterator<Item = (&Path, &Vec<u8>, usize)> {
    // What was prepared for the next segment is removed unread.
    let files = reference.files.iter().filter(|(path, _)| !path.ends_with("log/next.tmp"));
    files.flat_map(|(path, bytes)| {
        (0..bytes.len().div_ceil(BLOCK)).map(move |b| (&**path, bytes, b))
    })
}

fn range(bytes: &[u8], block: usize) -> std::ops::Range<usize> {
    block * BLOCK..bytes.len().min((block + 1) * BLOCK)
}

#[test]
fn a_block_of_zeros_is_reported() {
    let reference = Reference::build();
    for (path, bytes, block) in blocks(&reference) {
        let mut bytes = bytes.clone();
        let range = range(&bytes, block);
        bytes[range].fill(0);
        judge(&reference, path, bytes, &format!("block {block} of {} zeroed", path.display()));
    }
}

#[test]
fn a_block_written_over_another_is_reported() {
    let reference = Reference::build();
    let distances: &[usize] = if full_sweep() { &[1, 2, 3, 5, 8, 13, 21] } else { &[1, 8] };
    for (path, bytes, block) in blocks(&reference) {
        for distance in distances {
            let (from, to) = (range(bytes, block), range(bytes, block + distance));
            if to.start >= to.end || from.len() != to.len() {
                continue;
            }
            let what = format!("block {block} of {} and {distance} on", path.display());
            let mut copied = bytes.clone();
            copied.copy_within(from.clone(), to.start);
            judge(&reference, path, copied, &format!("{what} copied"));
            let mut swapped = bytes.clone();
            swapped[from.clone()].copy_from_slice(&bytes[to.clone()]);
            swapped[to].copy_from_slice(&bytes[from]);
            judge(&reference, path, swapped, &format!("{what} swapped"));
        }
    }
}

#[test]
fn a_block_of_another_segment_at_the_same_place_is_reported() {
    let reference = Reference::build();
    let segments = reference.segments();
    assert!(segments[0].starts_with(DATA));
    for pair in segments.windows(2) {
        for (from, to) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let (other, bytes) = (&reference.files[from], &reference.files[to]);
            for block in 0..bytes.len().min(other.len()) / BLOCK {
                let mut changed = bytes.clone();
                let range = range(bytes, block);
                changed[range.clone()].copy_from_slice(&other[range]);
                let what = format!("block {block} of {} in {}", from.display(), to.display());
                judge(&reference, to, changed, &what);
            }
        }
    }
}
