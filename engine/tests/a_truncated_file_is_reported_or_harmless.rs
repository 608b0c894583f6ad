//! Without this: a copy of the store that broke off, or a file system that lost a size, would be
//! taken for a log that ends there, and answered messages would be gone without a word.
//!
//! The default run cuts at some places; `FOREBAY_FULL_SWEEP=1` cuts at every byte.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/reference.rs"]
mod reference;

use std::path::Path;

use reference::{Judgement, Reference, full_sweep, is_dispensable};

/// The sizes to cut a file to: around every border, and some between.
fn sizes(reference: &Reference, path: &Path) -> Vec<u64> {
    let size = reference.files[path].len() as u64;
    let stride = match full_sweep() {
        true => 1,
        false => 1.max(size / 60),
    };
    let borders = reference.entries.get(path).into_iter().flatten();
    let borders = borders.flat_map(|(start, end)| [*start, start + 8, start + 56, end - 1, *end]);
    let mut sizes: Vec<u64> = (0..size).step_by(stride as usize).chain(borders).collect();
    sizes.retain(|cut| *cut < size);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Cuts a file everywhere, which must be refused, or harmless.
fn cut(reference: &Reference, path: &Path, harmless: bool) {
    for size in sizes(reference, path) {
        let what = format!("{} cut to {size} bytes", path.display());
        let disk = reference.disk(|files| {
            files.get_mut(path).unwrap().truncate(size as usize);
        });
        let (judgement, damages) = reference.judge(&disk, &what);
        assert_eq!(judgement != Judgement::Refused, harmless, "{what}: {judgement:?}");
        assert!(damages.iter().all(|damage| damage.path == *path), "{what}: {damages:?}");
    }
}

#[test]
fn a_file_cut_anywhere_is_reported_unless_it_holds_nothing() {
    let reference = Reference::build();
    for path in reference.files.keys() {
        // The active segment too, though only zeros are cut off: it keeps its size.
        cut(&reference, path, is_dispensable(path));
    }
}
