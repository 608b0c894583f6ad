//! `forebay torture sim`: the engine on a simulated disk, beside a plain model.

use crate::cli::failure::Failure;

/// The engine on a simulated disk and clock, from one seed
#[derive(Debug, clap::Args)]
pub(super) struct Sim {}

impl Sim {
    pub(super) fn run(self) -> Result<(), Failure> {
        Ok(())
    }
}
