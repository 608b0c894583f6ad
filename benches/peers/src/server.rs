//! A peer's processes: started here, on loopback and a directory of their own, and ended here.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Error;

/// A server that does not listen after so long does not start.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a server printed, in its directory.
const OUTPUT: &str = "output";

/// A server, and what it needs beside it; they run until this is dropped.
#[derive(Debug)]
pub struct Process {
    /// The server last, and so ended first.
    children: Vec<Child>,
    ending: Signal,
    /// Removed with it; dropped after it.
    data: TempDir,
    pub port: u16,
}

/// A directory for a server, which another user may be given.
pub fn directory(data_dir: &Path) -> Result<TempDir, Error> {
    Ok(tempfile::Builder::new().prefix("forebay-peers-").tempdir_in(data_dir)?)
}

/// A port that nobody listens on now.
pub fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Where a program is, as a shell finds it.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.exists())
}

/// A command that ends with this program, however this program ends.
pub fn command(program: impl AsRef<Path>, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program.as_ref());
    command
}

impl Process {
    pub fn new(data: TempDir, port: u16) -> Self {
        Self { children: Vec::new(), ending: Signal::KILL, data, port }
    }

    /// Its data goes too, so there is nothing to close in good order, but what is to be cleared
    /// away outside of its directory.
    pub fn ended_by(mut self, signal: Signal) -> Self {
        self.ending = signal;
        self
    }

    /// Starts a program, and waits until it listens on `port`.
    pub fn with(mut self, mut command: Command, port: u16) -> Result<Self, Error> {
        let program = command.get_args().map(|word| word.to_string_lossy());
        let program = program.skip_while(|word| word != "--").nth(1).unwrap_or_default();
        let program = program.into_owned();
        let output = File::options().create(true).append(true).open(self.output())?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
        self.children.push(child);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let child = self.children.last_mut().expect("it was pushed above");
            if let Some(status) = child.try_wait()? {
                return Err(format!("{program} ended: {status}: {}", self.said()).into());
            }
            if began.elapsed() > PATIENCE {
                let said = self.said();
                return Err(format!("{program} does not listen on port {port}: {said}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(self)
    }

    fn output(&self) -> PathBuf {
        self.data.path().join(OUTPUT)
    }

    /// The end of what it printed.
    fn said(&self) -> String {
        let said = std::fs::read(self.output()).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..]).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut signal = self.ending;
        for child in self.children.iter_mut().rev() {
            if child.try_wait().is_ok_and(|status| status.is_none()) {
                let _ = kill_process(Pid::from_child(child), signal);
            }
            let _ = child.wait();
            signal = Signal::KILL;
        }
    }
}

/// Writes out whatever the disk still owes, so that no run pays for the one before.
pub fn settle(data_dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(data_dir)?)?)
}
