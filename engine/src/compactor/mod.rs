//! The compactor: gives back the space of what is gone.
//!
//! A *group* of neighbouring sealed segments is rewritten into one, without what nobody needs any
//! more, and the new one takes their place in the manifest in one step. Identity and order stay:
//! entries keep their positions, messages their numbers; nothing is appended to the log.
//!
//! Invariants (FORMAT.md section 6 says why).
//! - Only segments that both kept snapshots contain whole are compacted, unless the disk is so full
//!   that no snapshot can be written.
//! - What is left out was judged by a view of the queues that was durable before the swap.
//! - An ack, a purge or a deletion goes only when no older segment outside of the group can bring
//!   back what it ended.
//! - What is copied was checked first, and keeps its producer's checksum.

mod compaction;
mod judge;
mod output;
mod plan;
mod reserve;
mod retired;
mod salvage;
mod skips;
mod source;

use std::collections::BTreeMap;

pub(crate) use compaction::{Compaction, EarlyFailure, Failure, Stepped};
pub(crate) use output::{Identity, Output};
pub(crate) use plan::{GarbageAllowance, GroupMax, Plan, Planned, plan};
pub(crate) use reserve::Reserve;
pub(crate) use retired::Retired;
pub(crate) use salvage::{Salvage, salvage};

use crate::ids::{Position, QueueId};
use crate::state::frozen::FrozenQueue;
use crate::time::LogTime;

/// The queues as they were when they were frozen for a snapshot: what is not in here is gone.
#[derive(Debug, Default)]
pub(crate) struct Views {
    /// Whether that snapshot is on the disk; if not, there was no space for it.
    pub(crate) is_kept: bool,
    /// Every view contains the entries up to here.
    pub(crate) position: Position,
    /// No entry up to there was written later.
    pub(crate) log_time: LogTime,
    pub(crate) queues: BTreeMap<QueueId, FrozenQueue>,
}
