//! The operations of random runs as proptest draws and shrinks them.

use forebay_engine::attributes::RETENTION_MS_MAX;
use forebay_engine::disk::Fault;
use forebay_torture::sim::{Again, Kept, Op, QUEUES, Setting};
use proptest::prelude::*;

fn queue() -> impl Strategy<Value = usize> {
    // In few queues much happens.
    prop_oneof![4 => Just(0usize), 3 => Just(5usize), 1 => 0..QUEUES.len()]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::Crash),
        1 => Just(Fault::Io),
        1 => Just(Fault::ReadIo),
        2 => Just(Fault::Full),
        2 => Just(Fault::SyncDropsPages),
    ]
}

fn kept() -> impl Strategy<Value = Kept> {
    any::<u64>().prop_map(Kept::Drawn)
}

fn op() -> impl Strategy<Value = Op> {
    // The window of deduplication, and the longest lease, are among them.
    let seconds = || prop_oneof![4 => Just(0u64), 2 => Just(1), 4 => 2..60u64, 1 => Just(300), 1 => Just(301), 2 => Just(12 * 3600)];
    let delay = prop::option::weighted(0.3, prop_oneof![Just(0u64), 1..100u64]);
    let body = || {
        prop_oneof![
            3 => (any::<u8>(), prop_oneof![0..600u16, 0..1100u16]),
            // In a FIFO queue some of these are copies of others.
            1 => (0..3u8, 0..24u16),
        ]
    };
    let bodies = || prop::collection::vec(body(), 1..6);
    let setting = prop_oneof![
        2 => prop_oneof![Just(0u64), 1..60u64].prop_map(Setting::DelayS),
        2 => prop_oneof![1..6u64, Just(120_000)].prop_map(Setting::InFlightMax),
        4 => (0..4u64).prop_map(Setting::ReceiveCountMax),
        2 => prop_oneof![Just(60u64), 60..200_000u64, Just(RETENTION_MS_MAX / 1000)].prop_map(Setting::RetentionS),
        1 => any::<bool>().prop_map(Setting::ScopeIsGroup),
    ];
    // Where dead letters are.
    let dead = prop_oneof![3 => Just(3usize), 2 => Just(6usize), 1 => queue()];
    let again =
        (0..80u64, prop::option::of(kept())).prop_map(|(after, kept)| Again { after, kept });
    prop_oneof![
        6 => (queue(), prop::option::weighted(0.2, seconds())).prop_map(|(queue, visibility_s)| Op::Create { queue, visibility_s }),
        1 => (queue(), seconds()).prop_map(|(queue, visibility_s)| Op::Alter { queue, visibility_s }),
        3 => (queue(), setting).prop_map(|(queue, setting)| Op::Set { queue, setting }),
        1 => (0..QUEUES.len()).prop_map(|queue| Op::Delete { queue }),
        1 => queue().prop_map(|queue| Op::Purge { queue }),
        12 => (queue(), bodies(), delay).prop_map(|(queue, bodies, delay_s)| Op::Send { queue, bodies, delay_s }),
        10 => (queue(), 1..8u32, prop_oneof![Just(Some(0u64)), prop::option::of(seconds())]).prop_map(|(queue, max, visibility_s)| Op::Receive { queue, max, visibility_s }),
        2 => (queue(), bodies()).prop_map(|(queue, bodies)| Op::SendOnce { queue, bodies }),
        2 => any::<usize>().prop_map(|batch| Op::SendAgain { batch }),
        3 => (prop_oneof![4 => Just(5usize), 1 => queue()], 1..8u32, prop::option::of(seconds()), 0..2u8).prop_map(|(queue, max, visibility_s, attempt)| Op::ReceiveOnce { queue, max, visibility_s, attempt }),
        3 => (dead, prop::option::of(queue()), prop::bool::weighted(0.2)).prop_map(|(queue, to, is_cancelled)| Op::Redrive { queue, to, is_cancelled }),
        1 => Just(Op::Look),
        6 => (queue(), 1..30u32).prop_map(|(queue, max)| Op::Consume { queue, max }),
        6 => (queue(), prop::collection::vec(any::<usize>(), 1..6)).prop_map(|(queue, receipts)| Op::Ack { queue, receipts }),
        3 => (queue(), any::<usize>(), seconds()).prop_map(|(queue, receipt, seconds)| Op::ChangeVisibility { queue, receipt, seconds }),
        1 => (queue(), any::<usize>()).prop_map(|(queue, receipt)| Op::ReturnUndelivered { queue, receipt }),
        3 => (queue(), any::<usize>(), seconds(), any::<bool>(), 0..4u8).prop_map(|(queue, receipt, seconds, is_counted, reason)| Op::Nack { queue, receipt, seconds, is_counted, reason }),
        5 => (queue(), prop::collection::vec(any::<usize>(), 1..3), queue(), prop::collection::vec((any::<u8>(), 0..600u16), 1..4)).prop_map(|(queue, receipts, to, bodies)| Op::Transact { queue, receipts, to, bodies }),
        10 => Just(Op::Commit),
        4 => prop_oneof![5 => seconds(), 1 => Just(2 * 24 * 3600)].prop_map(|seconds| Op::Advance { seconds }),
        1 => (-800..800i64).prop_map(|days| Op::SetWall { days }),
        1 => Just(Op::Kill),
        1 => kept().prop_map(|kept| Op::Crash { power: Some(kept), again: Vec::new() }),
        1 => (kept(), prop::collection::vec(again, 1..3)).prop_map(|(kept, again)| Op::Crash { power: Some(kept), again }),
        2 => (0..40u64, fault(), prop::option::of(kept())).prop_map(|(after, fault, power)| Op::Fail { after, fault, power, again: Vec::new() }),
        1 => Just(Op::Reopen),
        2 => prop_oneof![Just(u64::MAX), any::<u64>()].prop_map(|which| Op::LoseDerived { which }),
        12 => prop_oneof![1..4u32, 4..60u32].prop_map(|steps| Op::Keep { steps }),
    ]
}

/// A run: operations, and which kinds of them are switched off in it.
pub(crate) fn run(length: usize) -> impl Strategy<Value = (u64, u32, Vec<Op>)> {
    let switched_off = prop_oneof![Just(0u32), any::<u32>()];
    (any::<u64>(), switched_off, prop::collection::vec(op(), 1..length))
}
