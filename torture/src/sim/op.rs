//! The operations that runs are made of.

use forebay_engine::disk::Fault;
use serde::{Deserialize, Serialize};

use super::check::fault_name;

/// Plain queues, of which "a" and "b" have "dead" for their dead letters, and "c" has "a"; one
/// whose messages have groups, and may come in any order; and two FIFO queues.
pub const QUEUES: [&str; 7] = ["a", "b", "c", "dead", "fair", "line.fifo", "dead.fifo"];

pub(crate) fn is_fifo(queue: &str) -> bool {
    queue.ends_with(".fifo")
}

/// Whether messages without delay and group do not come by their numbers.
pub(crate) fn is_fair(queue: &str) -> bool {
    queue == "fair"
}

/// The queue that gets this one's dead letters, when it has a policy.
pub(crate) fn dead_letter_queue(queue: &str) -> Option<&'static str> {
    match queue {
        "a" | "b" => Some("dead"),
        "c" => Some("a"),
        "line.fifo" => Some("dead.fifo"),
        _ => None,
    }
}

/// A change of a queue's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// The delay of messages that are sent without one, in seconds.
    DelayS(u64),
    /// How many messages may be in flight.
    InFlightMax(u64),
    /// A message is a dead letter after so many receives; 0: it never is.
    ReceiveCountMax(u64),
    /// How long messages are kept, in seconds.
    RetentionS(u64),
    /// Whether a FIFO queue looks for copies in the group alone.
    ScopeIsGroup(bool),
}

/// What a power cut keeps of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Kept {
    /// What this seed draws: see `SimDisk::crash`.
    Drawn(u64),
    /// One of all the ways that there are: see `SimDisk::crash_way`.
    Counted {
        /// Its number.
        way: u64,
    },
}

/// A recovery that crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// After so many disk operations.
    pub after: u64,
    /// What the power cut keeps; `None`: the process dies alone.
    pub kept: Option<Kept>,
}

/// One operation. Indexes are taken modulo what there is: queues of [`QUEUES`], receipts of those that
/// the consumers hold. A body is a byte, and how many of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[expect(missing_docs, reason = "the fields are what the command of that name takes")]
pub enum Op {
    /// Creates a queue.
    Create { queue: usize, visibility_s: Option<u64> },
    /// Sets the visibility timeout.
    Alter { queue: usize, visibility_s: u64 },
    /// Sets another attribute.
    Set { queue: usize, setting: Setting },
    /// Deletes a queue.
    Delete { queue: usize },
    /// Removes all messages of a queue.
    Purge { queue: usize },
    /// Sends a batch.
    Send { queue: usize, bodies: Vec<(u8, u16)>, delay_s: Option<u64> },
    /// A new batch of an idempotent producer.
    SendOnce { queue: usize, bodies: Vec<(u8, u16)> },
    /// One of the last batches again.
    SendAgain { batch: usize },
    /// Receives without waiting.
    Receive { queue: usize, max: u32, visibility_s: Option<u64> },
    /// A receive that may be asked again.
    ReceiveOnce { queue: usize, max: u32, visibility_s: Option<u64>, attempt: u8 },
    /// Deletes messages that were received.
    Ack { queue: usize, receipts: Vec<usize> },
    /// Sets when a lease ends.
    ChangeVisibility { queue: usize, receipt: usize, seconds: u64 },
    /// Gives a message back that nobody got to see.
    ReturnUndelivered { queue: usize, receipt: usize },
    /// Gives a message back, with a reason.
    Nack {
        queue: usize,
        receipt: usize,
        seconds: u64,
        is_counted: bool,
        /// 0 stands for none.
        reason: u8,
    },
    /// Acks in one queue and sends in another, or the same.
    Transact { queue: usize, receipts: Vec<usize>, to: usize, bodies: Vec<(u8, u16)> },
    /// A dead-letter queue's messages go back to where they came from, or to another queue.
    Redrive { queue: usize, to: Option<usize>, is_cancelled: bool },
    /// Everything is compared.
    Look,
    /// What is pending is written and synced.
    Commit,
    /// Time passes.
    Advance { seconds: u64 },
    /// The wall clock jumps to so many days from where it began.
    SetWall { days: i64 },
    /// The process is killed; what it wrote stays in the page cache.
    Kill,
    /// The power fails; without it the process dies alone. The recovery crashes too, and the one from
    /// that, ...
    Crash {
        power: Option<Kept>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        again: Vec<Again>,
    },
    /// The disk operation `after` from now fails. At the beginning of a script the store is not there yet.
    Fail {
        after: u64,
        #[serde(with = "fault_by_name")]
        fault: Fault,
        /// Whether the power fails with the process, and what then becomes of what is unsynced.
        power: Option<Kept>,
        /// As of a crash.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        again: Vec<Again>,
    },
    /// The store is closed, and copies of its files are damaged, each in one place: what may become of
    /// that is checked on the copies.
    Rot { seed: u64 },
    /// Received and acked.
    Consume { queue: usize, max: u32 },
    /// Closed in order, opened again.
    Reopen,
    /// The process is killed, and files that can be made anew are lost: the bits of `which` say
    /// which of them.
    LoseDerived { which: u64 },
    /// So many steps of what is done beside the log: indexes, snapshots, compaction.
    Keep { steps: u32 },
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
            Op::Rot { .. } => 24,
        })
    }

    /// All names that an operation has in a summary.
    pub const NAMES: [&str; 32] = [
        "create a queue",
        "set a visibility timeout",
        "set a delay",
        "set an in-flight limit",
        "set a dead-letter policy",
        "set a retention",
        "set a deduplication scope",
        "delete a queue",
        "purge",
        "send",
        "send once",
        "send again",
        "receive",
        "receive once",
        "ack",
        "change visibility",
        "return undelivered",
        "give back",
        "transact",
        "redrive",
        "compare everything",
        "commit",
        "let time pass",
        "set the wall clock",
        "kill",
        "cut the power",
        "plan a fault",
        "damage copies",
        "receive and ack",
        "close and open",
        "lose derived files",
        "index, snapshot, compact, move",
    ];

    /// Its name in a summary.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Create { .. } => "create a queue",
            Op::Alter { .. } => "set a visibility timeout",
            Op::Set { setting: Setting::DelayS(_), .. } => "set a delay",
            Op::Set { setting: Setting::InFlightMax(_), .. } => "set an in-flight limit",
            Op::Set { setting: Setting::ReceiveCountMax(_), .. } => "set a dead-letter policy",
            Op::Set { setting: Setting::RetentionS(_), .. } => "set a retention",
            Op::Set { setting: Setting::ScopeIsGroup(_), .. } => "set a deduplication scope",
            Op::Delete { .. } => "delete a queue",
            Op::Purge { .. } => "purge",
            Op::Send { .. } => "send",
            Op::SendOnce { .. } => "send once",
            Op::SendAgain { .. } => "send again",
            Op::Receive { .. } => "receive",
            Op::ReceiveOnce { .. } => "receive once",
            Op::Ack { .. } => "ack",
            Op::ChangeVisibility { .. } => "change visibility",
            Op::ReturnUndelivered { .. } => "return undelivered",
            Op::Nack { .. } => "give back",
            Op::Transact { .. } => "transact",
            Op::Redrive { .. } => "redrive",
            Op::Look => "compare everything",
            Op::Commit => "commit",
            Op::Advance { .. } => "let time pass",
            Op::SetWall { .. } => "set the wall clock",
            Op::Kill => "kill",
            Op::Crash { .. } => "cut the power",
            Op::Fail { .. } => "plan a fault",
            Op::Rot { .. } => "damage copies",
            Op::Consume { .. } => "receive and ack",
            Op::Reopen => "close and open",
            Op::LoseDerived { .. } => "lose derived files",
            Op::Keep { .. } => "index, snapshot, compact, move",
        }
    }
}

/// A fault in a script: its name.
mod fault_by_name {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, Fault, fault_name};

    const FAULTS: [Fault; 5] =
        [Fault::Crash, Fault::Io, Fault::ReadIo, Fault::Full, Fault::SyncDropsPages];

    pub(super) fn serialize<S: Serializer>(fault: &Fault, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(fault_name(*fault))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Fault, D::Error> {
        let name = String::deserialize(from)?;
        let found = FAULTS.into_iter().find(|fault| fault_name(*fault) == name);
        found.ok_or_else(|| {
            let names = FAULTS.map(fault_name).join(", ");
            D::Error::custom(format!("fault {name:?}, expected one of {names}"))
        })
    }
}
