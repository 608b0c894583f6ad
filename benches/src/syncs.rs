//! Counts the server's syncs while a load runs, with strace on the threads that make them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::BenchError;

/// The name of the engine's threads that write and sync.
const WRITER: &str = "forebay-core";
/// strace needs a moment to hold the threads.
const ATTACH: Duration = Duration::from_millis(200);

/// A count that runs.
#[derive(Debug)]
pub(crate) struct Counting {
    strace: Child,
    summary: PathBuf,
}

/// Whether there is an strace to count with.
pub(crate) fn can_count() -> bool {
    let version = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

impl Counting {
    /// Counts the fdatasync calls of the server with this process id from now on.
    pub(crate) fn start(server: u32, dir: &Path) -> Result<Self, BenchError> {
        let threads = writers_of(server)?;
        let summary = dir.join("strace-summary");
        let strace = Command::new("strace")
            .args(["-c", "-e", "trace=fdatasync", "-o"])
            .arg(&summary)
            .args(["-p", &threads])
            .stderr(Stdio::null())
            .spawn()
            .map_err(BenchError::doing("cannot start strace"))?;
        std::thread::sleep(ATTACH);
        Ok(Self { strace, summary })
    }

    /// Ends the count and returns it.
    pub(crate) fn end(mut self) -> Result<u64, BenchError> {
        let id = i32::try_from(self.strace.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| BenchError::new("strace has no process id"))?;
        kill_process(id, Signal::INT)?;
        self.strace.wait()?;
        let summary = fs::read_to_string(&self.summary)?;
        let line = summary.lines().find(|line| line.ends_with("fdatasync"));
        // % time, seconds, usecs/call, calls, [errors,] syscall
        let calls = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
        calls.ok_or_else(|| BenchError::new(format!("strace counted no fdatasync: {summary}")))
    }
}

/// Their thread ids, as strace takes them.
fn writers_of(process: u32) -> Result<String, BenchError> {
    let mut threads = Vec::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        if fs::read_to_string(task.path().join("comm"))?.trim() == WRITER {
            threads.push(task.file_name().to_string_lossy().into_owned());
        }
    }
    if !threads.is_empty() {
        return Ok(threads.join(","));
    }
    Err(BenchError::new(format!("process {process} has no thread {WRITER}")))
}
