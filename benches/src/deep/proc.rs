//! What the kernel tells of a process: its memory, and what it had written.

use std::fs;

use crate::BenchError;

/// Memory of a process that is resident, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resident {
    /// `RssAnon`: its own memory, which no file backs.
    pub(super) anonymous: u64,
    /// `RssFile`: mapped files, which the kernel takes back when it needs the room.
    pub(super) file: u64,
}

/// The resident memory of a process.
pub(super) fn resident(process: u32) -> Result<Resident, BenchError> {
    let path = format!("/proc/{process}/status");
    let kib = |name: &str| field(&path, name).map(|kib| kib * 1024);
    Ok(Resident { anonymous: kib("RssAnon:")?, file: kib("RssFile:")? })
}

/// Bytes that a process caused to be written, or will when the page cache is written back: of a
/// large page in the cache all of it, however little was changed.
pub(super) fn written(process: u32) -> Result<u64, BenchError> {
    field(&format!("/proc/{process}/io"), "write_bytes:")
}

/// The number behind a name at the start of a line.
fn field(path: &str, name: &str) -> Result<u64, BenchError> {
    let text = fs::read_to_string(path).map_err(BenchError::doing(path))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| BenchError::new(format!("{path} has no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_of_its_own() {
        assert!(resident(std::process::id()).unwrap().anonymous > 0);
        written(std::process::id()).unwrap();
    }
}
