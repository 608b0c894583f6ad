//! `forebay torture`: crash-recovery campaigns, each failure with what replays it.

mod kill;
mod minutes;
mod rot;
mod sim;
mod stopping;

use std::hash::{BuildHasher, Hasher, RandomState};

use clap::Subcommand;

use super::failure::Failure;

/// Test the promise: crash-recovery campaigns
///
/// `sim` needs nothing but time, `kill` a directory on the disk that is to be tested, and its campaigns
/// `--full-disk`, `--block` and `--eio` root; `rot` works in memory. Each tells what it found, and ends with exit
/// status 1 after a violation, with the line that replays it or the directory with its history.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay torture sim --minutes 10\n         \
                  forebay torture kill --restarts 2000 --data /mnt/disk/torture\n         \
                  forebay torture rot --minutes 5")]
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
