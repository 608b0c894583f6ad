//! What all deep workloads are told: which program, on which disk, with what segments.

use std::path::PathBuf;

use crate::BenchError;
use crate::print;
use crate::process::this_program;
use crate::size::Size;

/// A tmpfs in what statfs says of a file system.
const TMPFS: u64 = 0x0102_1994;

/// The settings of every deep workload.
#[derive(Debug, clap::Args)]
pub(super) struct Setup {
    /// The forebay program to measure [default: this one]
    #[arg(long, value_name = "PATH", global = true)]
    pub(super) forebay: Option<PathBuf>,
    /// Where a scratch directory is made, and removed at the end; must be on the disk to be
    /// measured [default: $TMPDIR, else the present directory]
    #[arg(long, value_name = "DIR", global = true)]
    pub(super) data: Option<PathBuf>,
    /// The server's segment-bytes
    #[arg(long, value_name = "SIZE", global = true, default_value = "256MiB")]
    pub(super) segment_bytes: Size,
}

impl Setup {
    /// The program to start.
    pub(super) fn program(&self) -> Result<PathBuf, BenchError> {
        match &self.forebay {
            Some(path) => Ok(path.clone()),
            None => this_program(),
        }
    }

    /// The directory in which scratch directories are made.
    pub(super) fn directory(&self) -> Result<PathBuf, BenchError> {
        let given = self.data.clone().or_else(|| std::env::var_os("TMPDIR").map(PathBuf::from));
        let directory = given.unwrap_or_else(|| PathBuf::from("."));
        let found = rustix::fs::statfs(&directory)
            .map_err(|error| BenchError::new(format!("{}: {error}", directory.display())))?;
        if found.f_type as u64 == TMPFS {
            print::note(format_args!("{} is in memory: that is no disk", directory.display()));
        }
        Ok(directory)
    }

    /// Three segments: what the disk may hold besides the log's live part.
    pub(super) fn three_segments(&self) -> u64 {
        3 * self.segment_bytes.0
    }
}
