//! Without this: one missing sync, in one of the many orders of small steps that opening, appending
//! and rolling consist of, would lose answered messages on the one power cut that strikes there.
//!
//! Each script is run once for every disk operation in it and every kind of fault, with the fault
//! striking at that operation; then the store is opened again, with a further crash at each of the
//! first operations of the recovery, and must hold what a prefix of the script left.

mod common;

use common::ops::{Op, Setting};
use common::run::Run;
use forebay_engine::disk::Fault;

fn send(queue: usize, bytes: u16, count: u8) -> Op {
    let bodies = (0..count).map(|index| (index, bytes)).collect();
    Op::Send { queue, bodies, delay_s: None }
}

fn receive(max: u32) -> Op {
    Op::Receive { queue: 0, max, visibility_s: Some(30) }
}

fn transact(receipts: Vec<usize>, to: usize) -> Op {
    let bodies = receipts.iter().map(|index| (*index as u8, 700)).collect();
    Op::Transact { queue: 0, receipts, to, bodies }
}

/// Name and operations: between them they touch every record kind, the roll, and opening.
fn retain(seconds: u64) -> Op {
    Op::Set { queue: 0, setting: Setting::RetentionS(seconds) }
}

fn scripts() -> Vec<(&'static str, Vec<Op>)> {
    let create = |queue| Op::Create { queue, visibility_s: None };
    vec![
        ("create a store and close it", vec![Op::Reopen]),
        (
            "create and alter a queue",
            vec![create(0), Op::Commit, Op::Alter { queue: 0, visibility_s: 5 }, Op::Commit],
        ),
        (
            "send and be killed",
            vec![
                create(0),
                send(0, 100, 3),
                Op::Commit,
                send(0, 100, 3),
                Op::Kill,
                send(0, 9, 1),
                Op::Commit,
            ],
        ),
        (
            "send, receive and ack",
            vec![
                create(0),
                send(0, 50, 4),
                Op::Commit,
                receive(3),
                Op::Ack { queue: 0, receipts: vec![0, 2] },
                Op::Commit,
            ],
        ),
        (
            "acks without a commit of their leases",
            vec![
                create(0),
                send(0, 50, 4),
                Op::Commit,
                receive(4),
                Op::Kill,
                Op::Ack { queue: 0, receipts: vec![0, 1, 2] },
                Op::Commit,
            ],
        ),
        (
            "release and change visibility",
            vec![
                create(0),
                send(0, 10, 3),
                Op::Commit,
                receive(3),
                Op::ChangeVisibility { queue: 0, receipt: 0, seconds: 0 },
                Op::ChangeVisibility { queue: 0, receipt: 1, seconds: 600 },
                Op::ReturnUndelivered { queue: 0, receipt: 2 },
                Op::Commit,
            ],
        ),
        (
            "give back with a reason, not counted, and compact",
            vec![
                create(0),
                send(0, 900, 3),
                Op::Commit,
                receive(3),
                Op::Nack { queue: 0, receipt: 0, seconds: 0, is_counted: false, reason: 1 },
                Op::Nack { queue: 0, receipt: 1, seconds: 600, is_counted: true, reason: 2 },
                Op::Commit,
                receive(1),
                Op::Nack { queue: 0, receipt: 3, seconds: 0, is_counted: true, reason: 0 },
                send(0, 1000, 5),
                send(0, 1000, 5),
                Op::Consume { queue: 0, max: 9 },
                Op::Commit,
                Op::Keep { steps: 20 },
                send(0, 10, 1),
                Op::Commit,
                Op::Keep { steps: 30 },
                Op::LoseDerived { which: u64::MAX },
            ],
        ),
        (
            "forward in transactions, twice the same, over a roll",
            vec![
                create(0),
                create(1),
                send(0, 700, 4),
                Op::Commit,
                receive(4),
                transact(vec![0, 1], 1),
                transact(vec![0, 1], 1),
                Op::Commit,
                transact(vec![1, 2], 1),
                send(1, 900, 5),
                send(1, 900, 5),
                Op::Commit,
                transact(vec![2, 3], 1),
                Op::Commit,
            ],
        ),
        (
            "delays that pass over a restart",
            vec![
                create(0),
                Op::Send { queue: 0, bodies: vec![(1, 9), (2, 9)], delay_s: Some(10) },
                Op::Commit,
                Op::Advance { seconds: 5 },
                Op::Reopen,
                Op::Advance { seconds: 6 },
                receive(5),
                Op::Commit,
            ],
        ),
        (
            "purge",
            vec![
                create(0),
                send(0, 20, 5),
                Op::Commit,
                receive(2),
                Op::Purge { queue: 0 },
                send(0, 20, 1),
                Op::Commit,
            ],
        ),
        (
            "delete and create again",
            vec![
                create(0),
                send(0, 20, 5),
                Op::Commit,
                Op::Delete { queue: 0 },
                Op::Commit,
                create(0),
                send(0, 20, 1),
                Op::Commit,
            ],
        ),
        (
            "roll",
            vec![
                create(0),
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
            ],
        ),
        (
            "roll twice and ack across segments",
            vec![
                create(0),
                send(0, 500, 10),
                Op::Commit,
                send(0, 500, 10),
                Op::Commit,
                receive(15),
                Op::Ack { queue: 0, receipts: (0..12).collect() },
                Op::Commit,
                send(0, 500, 10),
                send(0, 500, 10),
                Op::Commit,
            ],
        ),
        (
            "open again and again",
            vec![
                create(0),
                send(0, 5, 1),
                Op::Reopen,
                Op::Kill,
                Op::Crash { seed: 1 },
                Op::Reopen,
                send(0, 5, 1),
                Op::Commit,
            ],
        ),
        (
            "seal, index and snapshot",
            vec![
                create(0),
                send(0, 1000, 5),
                send(0, 1000, 5),
                send(0, 1000, 5),
                Op::Commit,
                Op::Keep { steps: 20 },
                receive(3),
                Op::Commit,
                Op::Keep { steps: 20 },
                Op::Reopen,
            ],
        ),
        (
            "compact what is all gone",
            vec![
                create(0),
                send(0, 1000, 5),
                send(0, 1000, 5),
                send(0, 1000, 5),
                Op::Consume { queue: 0, max: 15 },
                Op::Commit,
                Op::Keep { steps: 20 },
                send(0, 10, 1),
                Op::Commit,
                Op::Keep { steps: 20 },
                Op::LoseDerived { which: u64::MAX },
            ],
        ),
        (
            "compact sparse segments and merge them",
            vec![
                create(0),
                create(1),
                send(0, 900, 5),
                send(1, 90, 5),
                send(0, 900, 5),
                receive(2),
                Op::Consume { queue: 0, max: 6 },
                send(0, 900, 5),
                send(0, 900, 5),
                Op::Consume { queue: 0, max: 8 },
                Op::Commit,
                Op::Keep { steps: 20 },
                send(0, 10, 1),
                Op::Commit,
                Op::Keep { steps: 30 },
                Op::Consume { queue: 1, max: 3 },
                send(1, 10, 1),
                Op::Commit,
                Op::Keep { steps: 30 },
                Op::LoseDerived { which: u64::MAX },
            ],
        ),
        (
            "compact after a purge and a deletion",
            vec![
                create(0),
                create(1),
                create(2),
                send(0, 1000, 5),
                send(1, 1000, 5),
                send(2, 100, 2),
                send(0, 1000, 5),
                Op::Purge { queue: 0 },
                Op::Delete { queue: 1 },
                send(0, 10, 1),
                Op::Commit,
                Op::Keep { steps: 20 },
                send(0, 10, 1),
                Op::Commit,
                Op::Keep { steps: 30 },
                Op::LoseDerived { which: u64::MAX },
            ],
        ),
        (
            "expire in every state, and compact",
            vec![
                create(0),
                retain(3600),
                send(0, 900, 5),
                Op::Send { queue: 0, bodies: vec![(1, 9)], delay_s: Some(9000) },
                Op::Commit,
                receive(2),
                Op::Advance { seconds: 1800 },
                send(0, 1000, 5),
                receive(7),
                Op::Commit,
                Op::Advance { seconds: 1800 },
                receive(1),
                Op::Commit,
                Op::Keep { steps: 20 },
                send(0, 10, 1),
                Op::Ack { queue: 0, receipts: vec![0, 5] },
                Op::Commit,
                Op::Advance { seconds: 1860 },
                Op::Commit,
                Op::Keep { steps: 30 },
                send(0, 10, 1),
                Op::Commit,
                Op::Keep { steps: 30 },
                Op::LoseDerived { which: u64::MAX },
            ],
        ),
        (
            "a shorter retention, then a longer one",
            vec![
                create(0),
                send(0, 100, 3),
                Op::Commit,
                Op::Advance { seconds: 100 },
                send(0, 100, 2),
                retain(60),
                Op::Commit,
                retain(600),
                Op::Commit,
                Op::Reopen,
                Op::Advance { seconds: 600 },
                retain(6000),
                Op::Commit,
            ],
        ),
        (
            "a watermark",
            vec![
                create(0),
                send(0, 5, 1),
                Op::Commit,
                Op::Advance { seconds: 1 },
                Op::Commit,
                send(0, 5, 1),
                Op::Commit,
            ],
        ),
    ]
}

const FAULTS: [Fault; 5] =
    [Fault::Crash, Fault::SyncDropsPages, Fault::Io, Fault::Full, Fault::ReadIo];

/// Runs a script from the creation of its store with a fault at one operation; false when the
/// script has no such operation.
fn run(script: &[Op], fault: Fault, at: u64, seed: u64, then: Option<u64>) -> bool {
    let mut run = Run::unopened(seed);
    run.plan(at, fault);
    // In half of the cases the process alone dies, in the other the power fails with it.
    run.set_power(seed.is_multiple_of(2).then_some(seed));
    if let Some(again) = then {
        run.plan_in_recovery(again);
    }
    run.open();
    for op in script {
        run.step(op);
    }
    let struck = run.disk.operations() > at;
    run.finish();
    struck
}

/// How far into a recovery the second crash strikes, and how many seeds each case is run with.
fn effort() -> (u64, u64) {
    match std::env::var("FOREBAY_FULL_SWEEP") {
        Ok(_) => (60, 16),
        Err(_) => (12, 1),
    }
}

#[test]
fn a_fault_at_any_operation_leaves_what_a_prefix_left() {
    let (_, seeds) = effort();
    for (name, script) in scripts() {
        for fault in FAULTS {
            let mut at = 0;
            // Another seed at each operation, so that the default run meets many fates too.
            while (0..seeds).all(|seed| run(&script, fault, at, at + seed, None)) {
                at += 1;
            }
            assert!(at > 10, "\"{name}\" does something with the disk");
        }
    }
}

#[test]
fn a_crash_in_the_recovery_from_a_crash_changes_nothing() {
    let (depth, seeds) = effort();
    let all = seeds > 1;
    for (_, script) in scripts() {
        let mut at = 0;
        // The default run meets each depth at every few operations.
        let depths =
            |at: u64| (0..depth).filter(move |again| all || (at + again).is_multiple_of(6));
        while depths(at).all(|again| {
            (0..seeds).all(|seed| run(&script, Fault::Crash, at, at + seed, Some(again)))
        }) {
            at += 1;
        }
    }
}
