//! The real binary, as a server or as a command.

use std::ffi::OsStr;
use std::fs::{File, read_to_string};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process};

/// A server in a process of its own. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    stderr: PathBuf,
}

impl Process {
    /// Starts a server on `data` and waits until it listens on `address`. Its log goes to a file
    /// beside `data`.
    pub(crate) fn serve(data: &Path, address: SocketAddr) -> Self {
        let stderr = data.with_extension("stderr");
        let log = File::create(&stderr).unwrap();
        Self::start(data, address, &["--sqs-listen", "off"], log.into(), stderr)
    }

    /// As [`Process::serve`], with other arguments beside.
    pub(crate) fn serve_with(data: &Path, address: SocketAddr, arguments: &[&str]) -> Self {
        let stderr = data.with_extension("stderr");
        let log = File::create(&stderr).unwrap();
        Self::start(data, address, arguments, log.into(), stderr)
    }

    /// As [`Process::serve`], but nobody reads its log: stderr is a pipe that is closed.
    pub(crate) fn serve_unheard(data: &Path, address: SocketAddr) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let arguments = ["--sqs-listen", "off"];
        Self::start(data, address, &arguments, writer.into(), PathBuf::from("/dev/null"))
    }

    fn start(
        data: &Path,
        address: SocketAddr,
        arguments: &[&str],
        log: Stdio,
        stderr: PathBuf,
    ) -> Self {
        let mut child = forebay(["serve", "--listen", &address.to_string(), "--data"])
            .arg(data)
            .args(["--segment-bytes", "1MiB", "--log-level", "debug"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.strip_prefix("forebay listening on ") else {
            panic!("the server did not start: {line}{}", read_to_string(&stderr).unwrap());
        };
        Self { address: address.trim().parse().unwrap(), child, stderr }
    }

    /// The server's address as an argument.
    pub(crate) fn server(&self) -> String {
        self.address.to_string()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read_to_string(&self.stderr).unwrap()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, without waiting.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// A signal, without waiting.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; there is nothing to do about an error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary with these arguments and none of the environment's settings.
pub(crate) fn forebay<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FOREBAY_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command against a server and returns what came of it.
pub(crate) fn output(server: &Process, arguments: &[&str]) -> Output {
    forebay(arguments).args(["--server", &server.server()]).output().unwrap()
}

/// An address that is free now, and that no client takes as its own end while a server is away:
/// its port lies below those that the system gives out by itself.
pub(crate) fn free_address() -> SocketAddr {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 5_000) as u16;
    loop {
        let port = first + TRIED.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
