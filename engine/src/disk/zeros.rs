//! Space that is taken before it is used: a file filled with zeros.

use super::{DiskError, DiskFile};

/// Synced each time so much was written: one sync of all would hold up those of the log meanwhile.
const SYNC_BYTES: u64 = 4 << 20;

/// Zeros at an address from which a disk can take them as they are.
#[repr(align(4096))]
struct Zeros([u8; 1 << 20]);

static ZEROS: Zeros = Zeros([0; 1 << 20]);

/// As many zeros, or as many as there are.
fn zeros(bytes: u64) -> &'static [u8] {
    &ZEROS.0[..bytes.min(ZEROS.0.len() as u64) as usize]
}

/// Writes so many zeros, past the page cache where that can be done.
pub(super) fn write_zeros(
    file: &(impl DiskFile + ?Sized),
    mut offset: u64,
    bytes: u64,
) -> Result<(), DiskError> {
    let end = offset + bytes;
    while offset < end {
        let piece = zeros(end - offset);
        file.write_past_cache_at(offset, piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

/// Writes zeros from `filled` to `end` and syncs them; `filled` is how far that has come, also after
/// a failure, behind which a piece may be written and not synced.
pub(crate) fn fill_with_zeros(
    file: &(impl DiskFile + ?Sized),
    filled: &mut u64,
    end: u64,
) -> Result<(), DiskError> {
    while *filled < end {
        let step_end = end.min(*filled + SYNC_BYTES);
        write_zeros(file, *filled, step_end - *filled)?;
        file.sync()?;
        *filled = step_end;
    }
    Ok(())
}
