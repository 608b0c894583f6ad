//! Without this: any operation, in any order with any other, with crashes, kills, full disks and
//! failed syncs between, could lose a message, double an ack, or change a count, unseen.
//!
//! The default run is short. The long ones:
//! `PROPTEST_CASES=10000 cargo test --release -p forebay-torture --test a_store_agrees_with_a_plain_model`,
//! and `forebay torture sim`, which draws its runs itself.

#[path = "common/strategy.rs"]
mod strategy;

use forebay_torture::sim::{Op, Profile, QUEUES, Run, Setting};
use proptest::prelude::*;

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_operations_with_crashes_leave_what_a_prefix_of_them_leaves(
        (seed, switched_off, ops) in strategy::run(200)
    ) {
        let mut run = Run::new(seed, Profile::BUSY);
        for queue in 0..QUEUES.len() {
            run.step(&Op::Create { queue, visibility_s: None });
        }
        for queue in [0, 5] {
            run.step(&Op::Set { queue, setting: Setting::ReceiveCountMax(2) });
        }
        for op in &ops {
            if op.switch().is_none_or(|bit| switched_off & (1 << bit) == 0) {
                run.step(op);
            }
        }
        run.finish();
    }
}
