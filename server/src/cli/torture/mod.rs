//! `forebay torture`: crash-recovery campaigns, each failure with what replays it.

mod sim;

use clap::Subcommand;

use super::failure::Failure;

/// Test the promise: crash-recovery campaigns
#[derive(Debug, clap::Args)]
pub(super) struct Torture {
    #[command(subcommand)]
    campaign: Campaign,
}

#[derive(Debug, Subcommand)]
enum Campaign {
    Sim(sim::Sim),
}

impl Torture {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.campaign {
            Campaign::Sim(sim) => sim.run(),
        }
    }
}
