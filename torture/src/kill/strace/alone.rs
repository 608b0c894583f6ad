//! `strace` on one thread of a server that listens already.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::process::Process;
use super::super::server::Server;

/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(5);

/// A thread that is traced alone. `strace` ends with it, or when this is dropped.
pub(super) struct Alone {
    pub(super) thread_id: u32,
    pub(super) thread: String,
    _strace: Process,
}

impl Alone {
    /// Has `strace` trace the thread of this name; `None`: the server has no such thread any more.
    pub(super) fn trace(
        server: &Server,
        thread: &str,
        arguments: &[String],
        patience: Duration,
    ) -> io::Result<Option<Self>> {
        let threads = format!("/proc/{}/task", server.id());
        let Some(thread_id) = find(Path::new(&threads), thread) else { return Ok(None) };
        let mut command = Command::new("strace");
        command.args(arguments).args(["-p", &thread_id.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _strace = Process::spawn(&mut command)?;
        let alone = Self { thread_id, thread: thread.to_owned(), _strace };
        // It is written there who traces; a thread that has ended has no such file.
        let status = format!("{threads}/{thread_id}/status");
        let is_traced = || {
            let status = fs::read_to_string(&status).unwrap_or_default();
            !status.lines().any(|line| line.split_whitespace().eq(["TracerPid:", "0"]))
        };
        wait_until(is_traced, patience);
        Ok(Some(alone))
    }
}

/// Waits until a call has failed, or that long.
pub(super) fn wait_for_failure(trace: &Path, most: Duration) {
    let has_failed = || {
        fs::read(trace).is_ok_and(|trace| String::from_utf8_lossy(&trace).contains("(INJECTED)"))
    };
    wait_until(has_failed, most);
}

fn wait_until(is_so: impl Fn() -> bool, most: Duration) {
    let began = Instant::now();
    while !is_so() && began.elapsed() < most {
        std::thread::sleep(LOOK);
    }
}

fn find(threads: &Path, name: &str) -> Option<u32> {
    let threads = fs::read_dir(threads).ok()?;
    let mut threads = threads.filter_map(|thread| thread.ok().map(|thread| thread.path()));
    let thread = threads.find(|thread| {
        fs::read_to_string(thread.join("comm")).is_ok_and(|found| found.trim_end() == name)
    })?;
    thread.file_name()?.to_str()?.parse().ok()
}
