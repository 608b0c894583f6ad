//! What is measured, and where its data is.

use std::path::PathBuf;

use crate::BenchError;
use crate::machine::Machine;
use crate::print;
use crate::process::this_program;
use crate::size::Size;

/// The settings of every measurement that keeps data.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// Where a scratch directory is made, and removed at the end; it decides what disk is measured
    #[arg(long = "data", alias = "data-dir", value_name = "DIR", default_value = ".")]
    pub(crate) data_dir: PathBuf,
}

/// The settings of every measurement that starts a server.
#[derive(Debug, clap::Args)]
pub(crate) struct Program {
    /// The forebay program to measure [default: this one]
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    forebay: Option<PathBuf>,
    /// The server's segment-bytes, and what the bare server's file has
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub(crate) segment_bytes: Size,
}

impl Place {
    /// The machine, with the disk that this place is on. Warns if that is none.
    pub(crate) fn machine(&self) -> Result<Machine, BenchError> {
        if !self.data_dir.is_dir() {
            let text = format!("--data {}: there is no such directory", self.data_dir.display());
            return Err(BenchError::usage(text));
        }
        let machine = Machine::of(&self.data_dir);
        if machine.file_system.is_in_memory() {
            print::note(format_args!(
                "{} is in memory ({}): that is no disk",
                self.data_dir.display(),
                machine.file_system.kind
            ));
        }
        Ok(machine)
    }
}

impl Program {
    /// The program to start.
    pub(crate) fn path(&self) -> Result<PathBuf, BenchError> {
        self.forebay.clone().map_or_else(this_program, Ok)
    }
}
