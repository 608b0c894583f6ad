//! `forebay inspect`: shows what is in a store's files.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use forebay_engine::disk::RealDisk;
use forebay_engine::inspect::{Inspected, inspect};

use super::failure::Failure;

/// Show what is in the files of a store, record by record, offline
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay inspect ./forebay-data | head")]
pub(super) struct Inspect {
    /// The store's directory
    dir: PathBuf,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut stdout = BufWriter::new(std::io::stdout().lock());
        let mut written = Ok(());
        let mut damages = 0;
        inspect(&RealDisk, &self.dir, &mut |inspected| {
            damages += usize::from(matches!(inspected, Inspected::Damage(_)));
            if written.is_ok() {
                written = writeln!(stdout, "{inspected}");
            }
        })?;
        written?;
        stdout.flush()?;
        if damages == 0 { Ok(()) } else { Err(Failure::Reported) }
    }
}
