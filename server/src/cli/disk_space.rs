//! Whether a new store has the space that it needs before it takes its first message.

use std::path::Path;

use forebay_engine::Options;

use crate::byte_size::ByteSize;

/// Warns where a new store in `data` would soon refuse every send. One that is there already has its reserves, and
/// says of itself when its disk is full.
pub(super) fn warn_if_short(data: &Path, options: &Options) {
    if data.join("store.toml").exists() {
        return;
    }
    // The directory is made later. What cannot be asked is no reason not to start.
    let existing = data.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let Ok(found) = rustix::fs::statvfs(existing) else { return };
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    if let Some(short) = short(free_bytes, options) {
        tracing::warn!("{short}");
    }
}

/// What is to be said where there is too little.
fn short(free_bytes: u64, options: &Options) -> Option<String> {
    let needed_bytes = options.new_store_bytes();
    (free_bytes < needed_bytes).then(|| {
        format!(
            "the disk has {} free, and a new store needs {}: two segments and its reserves; sends will be \
             refused until there is more, or start an empty store with smaller segments, --segment-bytes",
            ByteSize(free_bytes).rounded(),
            ByteSize(needed_bytes).rounded()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_is_told_with_what_is_needed() {
        let options = Options { segment_bytes: 256 << 20, ..Options::default() };
        let needed = (2 * 256 + 64 + 16) << 20;
        assert_eq!(short(needed, &options), None);
        let told = short(needed - 1, &options).expect("it is too small");
        assert!(
            told.starts_with("the disk has 592.0MiB free, and a new store needs 592.0MiB"),
            "{told}"
        );
        let told = short(100 << 20, &options).expect("it is too small");
        assert!(told.contains("100.0MiB free") && told.contains("--segment-bytes"), "{told}");
    }
}
