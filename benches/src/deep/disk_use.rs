//! What a server's files take of the disk.
//!
//! A file that was deleted while the server still has it open, or mapped, takes its space all the
//! same: it is counted.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::BenchError;

const BLOCK_BYTES: u64 = 512;
/// How the kernel marks the path of a file that has no name any more.
const DELETED: &str = " (deleted)";

/// Bytes of all files of a directory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DiskUse {
    /// What the disk has given for them, deleted ones included.
    pub(super) allocated: u64,
    /// Their lengths.
    pub(super) apparent: u64,
    /// The part of `allocated` whose files have no name any more.
    pub(super) deleted: u64,
}

/// What the files below `directory` take, and those below it that `process` holds though they
/// were deleted.
pub(super) fn disk_use(directory: &Path, process: u32) -> Result<DiskUse, BenchError> {
    let mut found = DiskUse::default();
    for (_, file) in files(directory)? {
        found.allocated += file.blocks() * BLOCK_BYTES;
        found.apparent += file.len();
    }
    found.deleted = deleted(directory, process)?.values().sum();
    found.allocated += found.deleted;
    Ok(found)
}

/// The most that the log can hold which no snapshot covers: the files of the log that changed
/// after the newest snapshot was made. All, if there is none.
pub(super) fn log_bytes_since_snapshot(directory: &Path) -> Result<u64, BenchError> {
    let changed = |file: &Metadata| file.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let (mut log, mut newest) = (Vec::new(), None);
    for (path, file) in files(directory)? {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") => log.push((changed(&file), file.blocks() * BLOCK_BYTES)),
            Some("snap") => newest = newest.max(Some(changed(&file))),
            _ => {}
        }
    }
    Ok(log.iter().filter(|(changed, _)| Some(*changed) > newest).map(|(_, bytes)| bytes).sum())
}

/// All files below a directory. One that goes meanwhile is none.
fn files(directory: &Path) -> Result<Vec<(PathBuf, Metadata)>, BenchError> {
    let (mut found, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in present(fs::read_dir(&directory))?.into_iter().flatten() {
            let path = entry?.path();
            match present(fs::symlink_metadata(&path))? {
                Some(file) if file.is_dir() => directories.push(path),
                Some(file) => found.push((path, file)),
                None => {}
            }
        }
    }
    Ok(found)
}

/// Bytes of deleted files that a process holds, by inode.
fn deleted(directory: &Path, process: u32) -> Result<BTreeMap<u64, u64>, BenchError> {
    let mut found = BTreeMap::new();
    let directory = fs::canonicalize(directory)?;
    let is_ours = |path: &Path| {
        path.starts_with(&directory) && path.to_str().is_some_and(|path| path.ends_with(DELETED))
    };
    // Of a mapped file only the mapped length is told.
    let maps = present(fs::read_to_string(format!("/proc/{process}/maps")))?.unwrap_or_default();
    for line in maps.lines().filter(|line| line.ends_with(DELETED)) {
        if let Some((inode, bytes, path)) = mapping(line)
            && is_ours(Path::new(path))
        {
            *found.entry(inode).or_default() += bytes;
        }
    }
    let open = format!("/proc/{process}/fd");
    for entry in present(fs::read_dir(&open))?.into_iter().flatten().flatten() {
        let target = present(fs::read_link(entry.path()))?;
        if target.is_some_and(|target| is_ours(&target))
            && let Some(file) = present(fs::metadata(entry.path()))?
        {
            found.insert(file.ino(), file.blocks() * BLOCK_BYTES);
        }
    }
    Ok(found)
}

/// Inode, length and path of a line of `/proc/PID/maps`.
fn mapping(line: &str) -> Option<(u64, u64, &str)> {
    // from-until, rights, offset, device, inode, path
    let mut words = line.split_whitespace();
    let (from, until) = words.next()?.split_once('-')?;
    let bytes = |text| u64::from_str_radix(text, 16).ok();
    let inode = words.nth(3)?.parse().ok()?;
    Some((inode, bytes(until)?.checked_sub(bytes(from)?)?, &line[line.find('/')?..]))
}

fn present<T>(result: io::Result<T>) -> Result<Option<T>, BenchError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_file_counts_as_long_as_it_is_open() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("log")).unwrap();
        let path = directory.path().join("log/1.log");
        fs::write(&path, vec![1; 100_000]).unwrap();
        let open = fs::File::open(&path).unwrap();
        open.sync_all().unwrap();
        let found = || disk_use(directory.path(), std::process::id()).unwrap();
        assert_eq!((found().apparent, found().deleted), (100_000, 0));
        assert!(found().allocated >= 100_000);
        assert_eq!(log_bytes_since_snapshot(directory.path()).unwrap(), found().allocated);

        fs::remove_file(&path).unwrap();
        assert!(found().deleted >= 100_000);
        assert_eq!((found().apparent, found().allocated), (0, found().deleted));
        drop(open);
        assert_eq!(found().allocated, 0);
    }

    #[test]
    fn a_mapping_is_read_from_its_line() {
        let line = "7f0-8f0 r--s 00000000 fe:00 1234       /tmp/a b/1.idx (deleted)";
        assert_eq!(mapping(line), Some((1234, 0x100, "/tmp/a b/1.idx (deleted)")));
    }
}
