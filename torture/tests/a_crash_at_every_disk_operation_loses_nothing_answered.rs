//! Without this: one missing sync, in one of the many orders of small steps that opening, appending
//! and rolling consist of, would lose answered messages on the one power cut that strikes there.
//!
//! Each script is run with a fault at each of its disk operations, of every kind; where it strikes the
//! store is opened again from what several fates leave, some with further crashes in the recovery, and
//! must hold what a prefix of the script left. The default run takes a sample of all cases; all of
//! them: `forebay torture sim --exhaustive`.

use std::collections::BTreeSet;

use forebay_torture::sim::{Exhaustive, Op, explore, scripts};

/// One case of so many.
const SAMPLE: u64 = 200;

#[test]
fn a_fault_at_any_operation_leaves_what_a_prefix_left() {
    let settings = Exhaustive { jobs: 2, sample: SAMPLE, ..Exhaustive::default() };
    let explored = explore(&settings, |_| {});
    assert!(explored.failure.is_none(), "{:#?}", explored.failure);
    assert!(explored.cases_done * SAMPLE >= explored.cases);
    assert!(explored.states > explored.cases_done, "crashes leave different things");
    assert!(explored.states_by_depth.iter().all(|states| *states > 0), "recoveries crash too");
}

#[test]
fn the_scripts_touch_every_operation() {
    let scripts = scripts();
    assert!(scripts.len() >= 40, "there are {}", scripts.len());
    let done: BTreeSet<_> = scripts.iter().flat_map(|(_, ops)| ops.iter().map(Op::name)).collect();
    // The campaign itself plans faults, and cuts the power; damage at rest is the random runs'.
    let left_out = ["plan a fault", "damage copies"];
    let missing: Vec<_> = Op::NAMES
        .into_iter()
        .filter(|name| !done.contains(name) && !left_out.contains(name))
        .collect();
    assert!(missing.is_empty(), "no script does {missing:?}");
}
