//! The operations that random runs are made of.

use forebay_engine::attributes::RETENTION_MS_MAX;
use forebay_engine::disk::Fault;
use proptest::prelude::*;

/// Plain queues, of which "a" and "b" have "dead" for their dead letters, and "c" has "a"; one
/// whose messages have groups, and may come in any order; and two FIFO queues.
pub const QUEUES: [&str; 7] = ["a", "b", "c", "dead", "fair", "line.fifo", "dead.fifo"];

pub fn is_fifo(queue: &str) -> bool {
    queue.ends_with(".fifo")
}

/// Whether messages without delay and group do not come by their numbers.
pub fn is_fair(queue: &str) -> bool {
    queue == "fair"
}

/// The queue that gets this one's dead letters, when it has a policy.
pub fn dead_letter_queue(queue: &str) -> Option<&'static str> {
    match queue {
        "a" | "b" => Some("dead"),
        "c" => Some("a"),
        "line.fifo" => Some("dead.fifo"),
        _ => None,
    }
}

/// A change of a queue's attributes.
#[derive(Debug, Clone, Copy)]
pub enum Setting {
    DelayS(u64),
    InFlightMax(u64),
    /// A message is a dead letter after so many receives; 0: it never is.
    ReceiveCountMax(u64),
    /// How long messages are kept.
    RetentionS(u64),
    /// Whether a FIFO queue looks for copies in the group alone.
    ScopeIsGroup(bool),
}

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
    Set {
        queue: usize,
        setting: Setting,
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
    /// A new batch of an idempotent producer.
    SendOnce {
        queue: usize,
        bodies: Vec<(u8, u16)>,
    },
    /// One of the last batches again.
    SendAgain {
        batch: usize,
    },
    Receive {
        queue: usize,
        max: u32,
        visibility_s: Option<u64>,
    },
    /// A receive that may be asked again.
    ReceiveOnce {
        queue: usize,
        max: u32,
        visibility_s: Option<u64>,
        attempt: u8,
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
    /// A dead-letter queue's messages go back to where they came from, or to another queue.
    Redrive {
        queue: usize,
        to: Option<usize>,
        is_cancelled: bool,
    },
    /// Everything is compared.
    Look,
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
            Op::Create { .. } | Op::Commit | Op::Send { .. } | Op::Look => return None,
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
            Op::Set { setting: Setting::ReceiveCountMax(_), .. } => 17,
            Op::Set { setting: Setting::RetentionS(_), .. } => 23,
            Op::Set { .. } => 18,
            Op::SendOnce { .. } => 19,
            Op::SendAgain { .. } => 20,
            Op::ReceiveOnce { .. } => 21,
            Op::Redrive { .. } => 22,
        })
    }
}

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

pub fn op() -> impl Strategy<Value = Op> {
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
