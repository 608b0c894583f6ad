//! Space that is taken before it is used: a file filled with zeros.

use super::{DiskError, DiskFile};

/// Synced each time so much was written: one sync of all would hold up those of the log meanwhile.
const SYNC_BYTES: u64 = 4 << 20;

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// Writes zeros from `filled` to `end` and syncs them; `filled` is how far that has come, also after
/// a failure, behind which a piece may be written and not synced.
pub(crate) fn fill_with_zeros(
    file: &dyn DiskFile,
    filled: &mut u64,
    end: u64,
) -> Result<(), DiskError> {
    while *filled < end {
        let step_end = end.min(*filled + SYNC_BYTES);
        let mut offset = *filled;
        while offset < step_end {
            let bytes = (step_end - offset).min(ZEROS.len() as u64);
            file.write_all_at(offset, &ZEROS[..bytes as usize])?;
            offset += bytes;
        }
        file.sync()?;
        *filled = step_end;
    }
    Ok(())
}
