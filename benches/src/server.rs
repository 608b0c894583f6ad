//! The servers under load, as child processes on directories of their own.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::BenchError;
use crate::process::{Process, first_line, this_program};
use crate::workload::{Kind, Workload};

/// `forebay serve` for native clients alone, on a free port; where its data is goes behind.
pub(crate) fn serve(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]);
    command.args(["--sqs-listen", "off"]);
    command
}

/// A server that runs until this is dropped, and its data.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    /// Removed with the server; dropped after it.
    data: TempDir,
}

impl Server {
    /// Starts `forebay serve` on a fresh directory in `dir`.
    pub(crate) fn forebay(
        program: &Path,
        dir: &Path,
        segment_bytes: u64,
    ) -> Result<Self, BenchError> {
        let mut command = serve(program);
        command.args(["--segment-bytes", &segment_bytes.to_string(), "--data"]);
        Self::start(command, dir)
    }

    /// Starts the bare server: this program again, with a command of its own.
    pub(crate) fn bare(
        dir: &Path,
        workload: &Workload,
        file_bytes: u64,
    ) -> Result<Self, BenchError> {
        let mut command = Command::new(this_program()?);
        let Workload { kind, batch, bytes, durability, .. } = workload;
        command.args(["bench", "bare", "--messages", &kind.waiting().to_string()]);
        command.args(["--batch", &batch.to_string(), "--bytes", &bytes.to_string()]);
        command.args(["--durability", &durability.to_string()]);
        command.args(["--file-bytes", &file_bytes.to_string()]);
        if *kind == Kind::Both {
            command.arg("--circulate");
        }
        command.arg("--dir");
        Self::start(command, dir)
    }

    fn start(mut command: Command, dir: &Path) -> Result<Self, BenchError> {
        let data = scratch_directory(dir)?;
        command.arg(data.path());
        let mut process = Process::spawn(command)?;
        let line = first_line(process.stdout())?;
        process.heard(&line)?;
        Ok(Self { process, data })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.process.address()
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The directory of its data.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }
}

/// A fresh directory in `dir`, removed when it is dropped.
pub(crate) fn scratch_directory(dir: &Path) -> Result<TempDir, BenchError> {
    let made = tempfile::Builder::new().prefix("forebay-bench-").tempdir_in(dir);
    made.map_err(BenchError::doing(format_args!("cannot write in {}", dir.display())))
}
