//! Lets the simulator look for each deliberate mistake of the engine, and writes the table of `TESTING.md`:
//!
//!     cargo run --release -p forebay-torture --features broken --example broken
//!
//! Exit status 1 if one is not found. Names of mistakes as arguments: only those.

use std::process::ExitCode;
use std::time::Duration;

use forebay_engine::broken::{Mistake, switch};
use forebay_torture::Stop;
use forebay_torture::sim::{Campaign, Exhaustive, campaign, explore};

/// Exhaustive cases that a mistake gets, in their scattered order, and random runs behind them.
const LIMIT: Duration = Duration::from_secs(60);
const SEEDS: u64 = 20_000;

fn main() -> ExitCode {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |mistake: &&Mistake| {
        only.is_empty() || only.iter().any(|name| *name == format!("{mistake:?}"))
    };
    println!("| mistake | class | found by | after |");
    println!("| --- | --- | --- | --- |");
    let mut is_all = true;
    for mistake in Mistake::ALL.iter().filter(is_asked) {
        switch(Some(*mistake));
        let found = look();
        switch(None);
        is_all &= found.is_some();
        let (check, after) = found.unwrap_or(("**nothing**", "".to_owned()));
        println!("| {} | {} | {check} | {after} |", mistake.what(), mistake.class());
    }
    match is_all {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The check that fails, and after how much.
fn look() -> Option<(&'static str, String)> {
    let settings = Exhaustive { limit: Some(LIMIT), jobs: 1, ..Exhaustive::default() };
    let explored = explore(&settings, |_| {});
    let states = explored.states;
    if let Some(failure) = explored.failure {
        return Some((failure.violation.check.name(), format!("{states} crash states")));
    }
    let (seeds, limit, stop) = (Some(SEEDS), Some(LIMIT), Stop::default());
    let settings = Campaign { seed: 1, seeds, limit, jobs: 1, stop };
    let found = campaign(&settings, |_| {});
    let failure = found.failure?;
    let runs = format!("{states} crash states, {} random runs", found.tally.runs + 1);
    Some((failure.violation.check.name(), runs))
}
