//! The operations that random runs are made of.

use forebay_engine::attributes::RETENTION_MS_MAX;
use forebay_engine::disk::Fault;
use proptest::prelude::*;

pub const QUEUES: [&str; 3] = ["a", "b", "c"];

/// One operation. Indexes are taken modulo what there is.
#[derive(Debug, Clone)]
pub enum Op {
    Create {
        queue: usize,
        visibility_s: Option<u64>,
    },
    Alter {
        queue: usize,
        visibility_s: u64,
    },
    /// From now on messages are kept for so long.
    Retain {
        queue: usize,
        seconds: u64,
    },
    Delete {
        queue: usize,
    },
    Purge {
        queue: usize,
    },
    Send {
        queue: usize,
        bodies: Vec<(u8, u16)>,
        delay_s: Option<u64>,
    },
    Receive {
        queue: usize,
        max: u32,
        visibility_s: Option<u64>,
    },
    Ack {
        queue: usize,
        receipts: Vec<usize>,
    },
    ChangeVisibility {
        queue: usize,
        receipt: usize,
        seconds: u64,
    },
    ReturnUndelivered {
        queue: usize,
        receipt: usize,
    },
    Nack {
        queue: usize,
        receipt: usize,
        seconds: u64,
        is_counted: bool,
        /// 0 stands for none.
        reason: u8,
    },
    /// Acks in one queue and sends in another, or the same.
    Transact {
        queue: usize,
        receipts: Vec<usize>,
        to: usize,
        bodies: Vec<(u8, u16)>,
    },
    Commit,
    Advance {
        seconds: u64,
    },
    SetWall {
        days: i64,
    },
    /// The process is killed; what it wrote stays in the page cache.
    Kill,
    /// The power fails.
    Crash {
        seed: u64,
    },
    /// A disk operation from now fails.
    Fail {
        after: u64,
        fault: Fault,
    },
    /// Received and acked.
    Consume {
        queue: usize,
        max: u32,
    },
    /// Closed in order, opened again.
    Reopen,
    /// The process is killed, and files that can be made anew are lost: the bits of `which` say
    /// which of them.
    LoseDerived {
        which: u64,
    },
    /// So many steps of what is done beside the log: indexes, snapshots, compaction.
    Keep {
        steps: u32,
    },
}

impl Op {
    /// The bit by which a run switches the operation off; `None` for those always on.
    pub fn switch(&self) -> Option<u32> {
        Some(match self {
            Op::Create { .. } | Op::Commit | Op::Send { .. } => return None,
            Op::Keep { .. } => 13,
            Op::LoseDerived { .. } => 14,
            Op::Alter { .. } => 0,
            Op::Delete { .. } => 1,
            Op::Purge { .. } => 2,
            Op::Receive { .. } | Op::Consume { .. } => 3,
            Op::Ack { .. } => 4,
            Op::ChangeVisibility { .. } => 5,
            Op::Advance { .. } => 6,
            Op::SetWall { .. } => 7,
            Op::Kill => 8,
            Op::Crash { .. } => 9,
            Op::Fail { .. } => 10,
            Op::Reopen => 11,
            Op::ReturnUndelivered { .. } => 12,
            Op::Nack { .. } => 15,
            Op::Transact { .. } => 16,
            Op::Retain { .. } => 17,
        })
    }
}

fn queue() -> impl Strategy<Value = usize> {
    0..QUEUES.len()
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

pub fn op() -> impl Strategy<Value = Op> {
    let seconds = || prop_oneof![Just(0u64), Just(1), 2..60u64, Just(12 * 3600)];
    let delay = prop::option::weighted(0.3, prop_oneof![Just(0u64), 1..100u64]);
    let bodies = prop::collection::vec((any::<u8>(), prop_oneof![0..600u16, 0..1100u16]), 1..6);
    prop_oneof![
        2 => (queue(), prop::option::of(seconds())).prop_map(|(queue, visibility_s)| Op::Create { queue, visibility_s }),
        1 => (queue(), seconds()).prop_map(|(queue, visibility_s)| Op::Alter { queue, visibility_s }),
        2 => (queue(), prop_oneof![Just(60u64), 60..200_000u64, Just(RETENTION_MS_MAX / 1000)]).prop_map(|(queue, seconds)| Op::Retain { queue, seconds }),
        1 => queue().prop_map(|queue| Op::Delete { queue }),
        1 => queue().prop_map(|queue| Op::Purge { queue }),
        12 => (queue(), bodies, delay).prop_map(|(queue, bodies, delay_s)| Op::Send { queue, bodies, delay_s }),
        8 => (queue(), 1..8u32, prop::option::of(seconds())).prop_map(|(queue, max, visibility_s)| Op::Receive { queue, max, visibility_s }),
        8 => (queue(), 1..30u32).prop_map(|(queue, max)| Op::Consume { queue, max }),
        6 => (queue(), prop::collection::vec(any::<usize>(), 1..6)).prop_map(|(queue, receipts)| Op::Ack { queue, receipts }),
        3 => (queue(), any::<usize>(), seconds()).prop_map(|(queue, receipt, seconds)| Op::ChangeVisibility { queue, receipt, seconds }),
        1 => (queue(), any::<usize>()).prop_map(|(queue, receipt)| Op::ReturnUndelivered { queue, receipt }),
        3 => (queue(), any::<usize>(), seconds(), any::<bool>(), 0..4u8).prop_map(|(queue, receipt, seconds, is_counted, reason)| Op::Nack { queue, receipt, seconds, is_counted, reason }),
        4 => (queue(), prop::collection::vec(any::<usize>(), 1..4), queue(), prop::collection::vec((any::<u8>(), 0..600u16), 1..4)).prop_map(|(queue, receipts, to, bodies)| Op::Transact { queue, receipts, to, bodies }),
        10 => Just(Op::Commit),
        4 => prop_oneof![5 => seconds(), 1 => Just(2 * 24 * 3600)].prop_map(|seconds| Op::Advance { seconds }),
        1 => (-800..800i64).prop_map(|days| Op::SetWall { days }),
        1 => Just(Op::Kill),
        1 => any::<u64>().prop_map(|seed| Op::Crash { seed }),
        2 => (0..40u64, fault()).prop_map(|(after, fault)| Op::Fail { after, fault }),
        1 => Just(Op::Reopen),
        2 => prop_oneof![Just(u64::MAX), any::<u64>()].prop_map(|which| Op::LoseDerived { which }),
        12 => prop_oneof![1..4u32, 4..60u32].prop_map(|steps| Op::Keep { steps }),
    ]
}

/// A run: operations, and which kinds of them are switched off in it.
pub fn run(length: usize) -> impl Strategy<Value = (u64, u32, Vec<Op>)> {
    let switched_off = prop_oneof![Just(0u32), any::<u32>()];
    (any::<u64>(), switched_off, prop::collection::vec(op(), 1..length))
}
