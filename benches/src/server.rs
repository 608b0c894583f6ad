//! The servers under load, as child processes on directories of their own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::BenchError;
use crate::workload::{Kind, Workload};

/// A server that runs until this is dropped, and its data.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
    /// Removed with the server; dropped after it.
    data: TempDir,
}

impl Server {
    /// Starts `forebay serve` on a fresh directory in `dir`.
    pub(crate) fn forebay(program: &Path, dir: &Path) -> Result<Self, BenchError> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data"]);
        Self::start(command, dir)
    }

    /// Starts the bare server: this program again, with a command of its own.
    pub(crate) fn bare(dir: &Path, workload: &Workload) -> Result<Self, BenchError> {
        let mut command = Command::new(std::env::current_exe()?);
        let messages = match workload.kind {
            Kind::Send => 0,
            Kind::Drain { messages } => messages,
        };
        let Workload { batch, bytes, .. } = workload;
        let (batch, bytes) = (batch.to_string(), bytes.to_string());
        command.args(["bare", "--messages", &messages.to_string()]);
        command.args(["--batch", &batch, "--bytes", &bytes, "--dir"]);
        Self::start(command, dir)
    }

    fn start(mut command: Command, dir: &Path) -> Result<Self, BenchError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let data = tempfile::Builder::new().prefix("forebay-bench-").tempdir_in(dir);
        let data =
            data.map_err(BenchError::doing(format_args!("cannot write in {}", dir.display())))?;
        let mut child = command
            .arg(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::doing(format_args!("cannot start {program}")))?;
        let stdout = child.stdout.take().expect("it was asked for");
        let mut server = Self { child, address: String::new(), data };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().split_once("listening on ").map(|(_, address)| address);
        let address = address.ok_or_else(|| {
            BenchError::new(format!("{program} did not say where it listens: {line:?}"))
        })?;
        server.address = address.to_owned();
        Ok(server)
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The directory of its data.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data goes too: there is nothing to close in good order. One that ended by itself
        // has been reported by whoever talked to it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
