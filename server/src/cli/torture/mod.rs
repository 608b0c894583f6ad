//! `forebay torture`: crash-recovery campaigns, each failure with what replays it.

mod kill;
mod rot;
mod sim;

use std::hash::{BuildHasher, Hasher, RandomState};

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
    Kill(kill::Kill),
    Rot(rot::Rot),
}

impl Torture {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.campaign {
            Campaign::Sim(sim) => sim.run(),
            Campaign::Kill(kill) => kill.run(),
            Campaign::Rot(rot) => rot.run(),
        }
    }
}

/// A seed that nobody chose. The keys of a hasher are random enough for that.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
