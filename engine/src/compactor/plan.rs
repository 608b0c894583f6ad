//! Which segments to compact next.
//!
//! What a segment would come to is estimated from its index and the queues' views: of each
//! queue's messages in it, how many are still there, times their mean size. That costs nothing per
//! message, neither when one is acked nor here.

use super::Views;
use crate::entry::{ENTRY_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::ids::Position;
use crate::log::SEGMENT_SPAN_MS_MAX;
use crate::options::Options;
use crate::time::LogTime;
use crate::upkeep::SealedSegment;

/// A segment is worth rewriting when this share of it can be given back, in percent.
const WORTH_PERCENT: u64 = 25;

/// A group reads at most so many segments' bytes, so that space comes back step by step.
const GROUP_SEGMENTS: u64 = 8;

/// So many neighbours that fit one segment together are merged, whatever is in them: otherwise each
/// restart would leave a file for ever.
const SMALL_NEIGHBOURS: usize = 8;

/// Of the records that a compaction may leave, the smallest: an ack of one message.
const CONTROL_BYTES_MIN: u64 = 24;

/// The next compaction.
#[derive(Debug)]
pub(crate) enum Plan {
    /// There is none that is worth its work.
    Nothing,
    /// There is one when the snapshots are newer.
    AfterSnapshot,
    /// These neighbours become one.
    Compact(Vec<SealedSegment>),
}

/// How much garbage is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GarbageAllowance {
    /// As much as the options say.
    Configured,
    /// None of what is worth a compaction.
    Zero,
}

/// How large a group may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupMax {
    /// What may be written: on a full disk the reserve.
    pub(crate) bytes: u64,
    pub(crate) segments: usize,
}

impl Default for GroupMax {
    fn default() -> Self {
        Self { bytes: u64::MAX, segments: usize::MAX }
    }
}

/// A plan, and what was estimated for it.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) next: Plan,
    /// What all sealed segments would come to without what is gone.
    pub(crate) live_bytes: u64,
    /// What is gone.
    pub(crate) garbage_bytes: u64,
}

/// A segment and what it would come to.
#[derive(Debug, Clone, Copy)]
struct Estimate<'s> {
    sealed: &'s SealedSegment,
    /// What rewriting it would leave.
    live_bytes: u64,
    /// Whether it may be rewritten now.
    is_free: bool,
}

/// Plans the next compaction of the sealed segments, in the order of their positions. Those behind
/// `reach` have to wait. No group is larger than `group_max`.
pub(crate) fn plan<'s>(
    segments: impl Iterator<Item = &'s SealedSegment>,
    views: &Views,
    unreadable: &[Position],
    reach: Position,
    options: &Options,
    allowance: GarbageAllowance,
    group_max: GroupMax,
) -> Planned {
    // Of what came behind the views nothing is known yet.
    let known = segments.filter(|sealed| sealed.last <= views.position);
    let mut estimates: Vec<_> = known
        .map(|sealed| Estimate {
            sealed,
            live_bytes: live_bytes(sealed, views),
            is_free: !unreadable.contains(&sealed.segment.first),
        })
        .collect();
    let live_bytes = estimates.iter().map(|estimate| estimate.live_bytes).sum();
    let garbage_bytes = estimates.iter().map(Estimate::garbage).sum();
    let garbage_bytes_max = match allowance {
        GarbageAllowance::Configured => options.garbage_bytes_max(live_bytes),
        GarbageAllowance::Zero => 0,
    };
    let (segment_bytes, ends) = (options.segment_bytes, views.log_time);
    let limits = Limits { segment_bytes, group_max, ends };
    let later = limits.choose(&estimates, garbage_bytes_max);
    for estimate in &mut estimates {
        estimate.is_free &= estimate.sealed.last <= reach;
    }
    let next = match limits.choose(&estimates, garbage_bytes_max) {
        Some(group) => Plan::Compact(estimates[group].iter().map(|e| e.sealed.clone()).collect()),
        None if later.is_some() => Plan::AfterSnapshot,
        None => Plan::Nothing,
    };
    Planned { next, live_bytes, garbage_bytes }
}

impl Estimate<'_> {
    fn garbage(&self) -> u64 {
        self.sealed.bytes.saturating_sub(self.live_bytes)
    }

    fn live_permille(&self) -> u64 {
        self.live_bytes * 1000 / self.sealed.bytes.max(1)
    }

    fn is_worth_it(&self) -> bool {
        self.is_free && self.garbage() * 100 >= self.sealed.bytes * WORTH_PERCENT
    }
}

struct Limits {
    segment_bytes: u64,
    group_max: GroupMax,
    /// When the last one's newest entry was written, at the latest.
    ends: LogTime,
}

impl Limits {
    /// The next group, if there is more garbage than is tolerated.
    fn choose(
        &self,
        estimates: &[Estimate<'_>],
        garbage_bytes_max: u64,
    ) -> Option<std::ops::Range<usize>> {
        let garbage: u64 = estimates.iter().map(Estimate::garbage).sum();
        let sparsest = || {
            let worth = |at: &usize| {
                let estimate = &estimates[*at];
                estimate.is_worth_it() && estimate.live_bytes <= self.group_max.bytes
            };
            // Of equally sparse ones the oldest: acks behind it can then go too.
            (0..estimates.len()).filter(worth).min_by_key(|at| estimates[*at].live_permille())
        };
        if garbage > garbage_bytes_max
            && let Some(at) = sparsest()
        {
            return Some(self.extend(estimates, at));
        }
        self.many_small(estimates)
    }

    /// Adds neighbours to a group as long as they are worth it, or small, and the result fits.
    fn extend(&self, estimates: &[Estimate<'_>], at: usize) -> std::ops::Range<usize> {
        let mut group = at..at + 1;
        let joins = |estimate: &Estimate<'_>| {
            estimate.is_worth_it()
                || estimate.is_free && estimate.sealed.bytes <= self.segment_bytes / 8
        };
        loop {
            let before = group.clone();
            if group.end < estimates.len() && joins(&estimates[group.end]) {
                let wider = group.start..group.end + 1;
                group = if self.fits(estimates, &wider) { wider } else { group };
            }
            if group.start > 0 && joins(&estimates[group.start - 1]) {
                let wider = group.start - 1..group.end;
                group = if self.fits(estimates, &wider) { wider } else { group };
            }
            if group == before {
                return group;
            }
        }
    }

    /// Neighbours that are many and fit one segment together.
    fn many_small(&self, estimates: &[Estimate<'_>]) -> Option<std::ops::Range<usize>> {
        (0..estimates.len()).find_map(|start| {
            let behind = (start + 1..=estimates.len())
                .take_while(|end| {
                    let are_free = estimates[start..*end].iter().all(|estimate| estimate.is_free);
                    are_free && self.fits(estimates, &(start..*end))
                })
                .last()?;
            (behind - start >= SMALL_NEIGHBOURS).then_some(start..behind)
        })
    }

    /// Whether a group makes one segment.
    fn fits(&self, estimates: &[Estimate<'_>], group: &std::ops::Range<usize>) -> bool {
        let segments = &estimates[group.clone()];
        let live: u64 = segments.iter().map(|estimate| estimate.live_bytes).sum();
        let read: u64 = segments.iter().map(|estimate| estimate.sealed.bytes).sum();
        let created = |estimate: &Estimate<'_>| estimate.sealed.segment.created;
        let Some(begins) = segments.first().map(created) else { return false };
        // Nothing of it is newer than the segment behind.
        let ends = estimates.get(group.end).map_or(self.ends, created);
        live <= self.segment_bytes.min(self.group_max.bytes)
            && read <= self.segment_bytes * GROUP_SEGMENTS
            && segments.len() <= self.group_max.segments
            && ends.ms_since(begins) <= SEGMENT_SPAN_MS_MAX
    }
}

/// What a segment would come to without what is gone.
fn live_bytes(sealed: &SealedSegment, views: &Views) -> u64 {
    let (mut live_bytes, mut live_messages, mut sent_bytes) = (0, 0, 0);
    for row in sealed.index.rows() {
        sent_bytes += row.bytes;
        let Some(queue) = views.queues.get(&row.queue) else { continue };
        let live = queue.messages.live_in(row.first..=row.last).min(u64::from(row.messages));
        live_messages += live;
        // Of as many as 2^32 messages and 2^32 bytes, which 64 bits hold.
        live_bytes += row.bytes * live / u64::from(row.messages).max(1);
    }
    let control_bytes = sealed.index.control_bytes();
    let headers = sealed.bytes.saturating_sub(SEGMENT_HEADER_BYTES + sent_bytes + control_bytes);
    // What the compactor has left of the rest stays for now; what the log wrote mostly goes.
    let control_bytes = if sealed.segment.generation > 0 { control_bytes } else { 0 };
    // Each message that stays keeps its entry's header, padding included, and so may each record.
    let entries = live_messages + control_bytes / CONTROL_BYTES_MIN;
    let headers = headers.min(entries * (ENTRY_HEADER_BYTES as u64 + 8));
    SEGMENT_HEADER_BYTES + live_bytes + headers + control_bytes
}
