//! Which message comes next in a queue whose messages have groups.
//!
//! The backlog is walked once, from its front: each message that the walk passes is *known*, under
//! its group, until it is gone. So a group that must wait costs no further look at its messages,
//! and what lies behind the walk costs nothing.
//!
//! ```text
//!            known                 walked           next
//!   ├──────────────────────────────────┼──────────────┤
//!     group a:  ■■□□      ■  invisible: in flight
//!     group b:    ■□   □  □  visible
//! ```
//! - **FIFO**: a group gives the longest prefix of its messages that is visible. One invisible
//!   message holds back all behind it. A receive takes what a group gives, then the next group: the
//!   one whose first message is the oldest, but those come *again* whose first message was received
//!   before, the one first that was received first. They come behind what was sent before that; where
//!   they are many, every second receive gives them first.
//! - **Fair**: everything visible may be given. Groups are tenants; those that are *noisy* come
//!   after the others, the one with the fewest messages in flight first.
//!
//! All of it follows from the messages and the walk; nothing of it is stored. It may know messages
//! that are gone already, whose removal was told by a floor: they are never given.

mod candidates;
mod noise;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::runs::SeqRuns;
use crate::ids::{Group, Seq};
use crate::time::LogTime;
use candidates::Candidates;
use noise::{Noise, TotalNoise};

/// How a queue with groups gives its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discipline {
    /// In order within each group, and nothing of a group behind what is in flight.
    Fifo,
    /// Quiet tenants first.
    Fair,
}

/// The known messages of a queue, by groups.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    discipline: Discipline,
    groups: HashMap<Group, GroupOrder>,
    /// The groups that have something to give: in the order in which they do, but for those of a FIFO queue that come
    /// again, which are the last here.
    ready: BTreeSet<Ready>,
    /// The walk comes to this message next.
    walked: Seq,
    /// Messages before the walk that became visible, and whose groups are not known.
    strays: BTreeSet<Seq>,
    /// Of a FIFO queue the visible messages that were received before, and when they last were.
    received: BTreeMap<Seq, LogTime>,
    /// Every second receive may give first what comes again.
    is_turn_of_again: bool,
    /// How many messages the groups of rank 0 have to give.
    deliverable: u64,
    /// Runs of visible messages, which take the memory.
    runs: usize,
    noise: TotalNoise,
    /// Every message up to this one is gone.
    floor: Seq,
    /// When the walk, which stopped before its end, goes on.
    rests_until: Option<LogTime>,
}

/// A group's rank (0, or more for a noisy one, and for one that comes again), its first message, and the group.
type Ready = (u64, Seq, Group);

/// The least of those that have another rank than 0.
const RANKED: Ready = (1, Seq(0), Group(0));

/// The known messages of one group.
#[derive(Debug, Clone, Default)]
struct GroupOrder {
    visible: SeqRuns,
    invisible: SeqRuns,
    /// Its place among those that are ready, and how many messages it gives.
    ready: Option<(Ready, u64)>,
    noise: Noise,
}

/// The walk goes on until so many messages can be given, ...
const WINDOW_MESSAGES: u64 = 1024;

/// ... or so many runs are known: then most of them wait for others of their groups.
const RUNS_MAX: usize = 1 << 20;

/// More messages that were received, and wait, are too many.
const AGAIN_MAX: usize = 1024;

impl Order {
    /// An order that knows nothing yet. The walk begins at `from`.
    pub(crate) fn new(discipline: Discipline, from: Seq) -> Self {
        Self {
            discipline,
            groups: HashMap::new(),
            ready: BTreeSet::new(),
            walked: from,
            strays: BTreeSet::new(),
            received: BTreeMap::new(),
            is_turn_of_again: false,
            deliverable: 0,
            runs: 0,
            noise: TotalNoise::default(),
            floor: Seq(0),
            rests_until: None,
        }
    }

    /// How it gives messages.
    pub(crate) fn discipline(&self) -> Discipline {
        self.discipline
    }

    /// Whether a message holds back those behind it in its group.
    pub(crate) fn is_fifo(&self) -> bool {
        self.discipline == Discipline::Fifo
    }

    /// The message that the walk comes to next; those before it are known.
    pub(crate) fn walked(&self) -> Seq {
        self.walked
    }

    /// Whether the walk should go on, so that `wanted` messages can be given.
    pub(crate) fn wants_more(&self, wanted: u64) -> bool {
        self.deliverable < wanted.max(WINDOW_MESSAGES) && self.runs < RUNS_MAX
    }

    /// How many groups are known, and how many of those have a message in flight.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let locked = self.groups.values().filter(|group| !group.invisible.is_empty());
        (self.groups.len() as u64, locked.count() as u64)
    }

    /// How many groups are noisy.
    pub(crate) fn noisy(&self) -> u64 {
        self.groups.values().filter(|group| group.noise.is_noisy).count() as u64
    }

    /// The first message of the group that is in flight, if any is.
    pub(crate) fn blocker(&self, group: Group) -> Option<Seq> {
        self.groups.get(&group)?.invisible.first()
    }

    /// The first message in flight of all groups. Looks at every group.
    pub(crate) fn first_blocker(&self) -> Option<Seq> {
        self.groups.values().filter_map(|group| group.invisible.first()).min()
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let of_groups = self.groups.capacity() * (size_of::<(Group, GroupOrder)>() + 1);
        let of_ready = self.ready.len() * size_of::<Ready>() + self.strays.len() * size_of::<Seq>();
        let of_received = self.received.len() * size_of::<(Seq, LogTime)>();
        let of_runs = (self.runs + self.noise.in_flight() as usize) * 2 * size_of::<Seq>();
        (of_groups + of_ready + of_received + of_runs) as u64
    }

    /// When a walk that stopped before its end goes on.
    pub(crate) fn rests_until(&self) -> Option<LogTime> {
        self.rests_until
    }

    /// The walk stops before its end, or goes on.
    pub(crate) fn rest_until(&mut self, until: Option<LogTime>) {
        self.rests_until = until;
    }

    /// The walk passes over messages that are known otherwise, or gone.
    pub(crate) fn walk_to(&mut self, next: Seq) {
        self.walked = self.walked.max(next);
    }

    /// The walk passes a message of the backlog.
    pub(crate) fn walk(&mut self, group: Group, seq: Seq, sent: LogTime) {
        self.walked = seq.next();
        let known = self.groups.entry(group).or_default();
        known.noise.sent = known.noise.sent.max(sent);
        self.show(group, seq, None);
    }

    /// A message became visible whose group is not known yet.
    pub(crate) fn stray(&mut self, seq: Seq) {
        if seq > self.floor {
            self.strays.insert(seq);
        }
    }

    /// Takes the first of those, if it is not behind `last`.
    pub(crate) fn take_stray(&mut self, last: Seq) -> Option<Seq> {
        let first = *self.strays.first().filter(|first| **first <= last)?;
        self.strays.remove(&first);
        Some(first)
    }

    /// A message is visible: on its own, or again, if it was `received` then.
    pub(crate) fn show(&mut self, group: Group, seq: Seq, received: Option<LogTime>) {
        if self.is_fifo()
            && let Some(received) = received
        {
            self.received.insert(seq, received);
        }
        self.change(group, |known| {
            known.invisible.remove(seq);
            known.visible.insert(seq);
        });
    }

    /// A message is in flight, from `now` on.
    pub(crate) fn hide(&mut self, group: Group, seq: Seq, now: LogTime) {
        self.strays.remove(&seq);
        self.received.remove(&seq);
        self.change(group, |known| {
            known.visible.remove(seq);
            known.invisible.insert(seq);
        });
        if self.discipline == Discipline::Fair {
            let total = self.noise;
            self.change(group, |known| known.noise.listen(known.invisible.len(), &total, now));
        }
    }

    /// A message is gone, or given to nobody any more.
    pub(crate) fn forget(&mut self, group: Group, seq: Seq) {
        self.strays.remove(&seq);
        self.received.remove(&seq);
        self.change(group, |known| {
            known.visible.remove(seq);
            known.invisible.remove(seq);
        });
    }

    /// The same of a message that became visible, and whose group is not known yet. Whether it is one.
    pub(crate) fn forget_stray(&mut self, seq: Seq) -> bool {
        self.strays.remove(&seq)
    }

    /// The same of a message whose group is not told: looks at all groups.
    pub(crate) fn forget_wherever(&mut self, seq: Seq) {
        self.strays.remove(&seq);
        let has = |known: &GroupOrder| known.visible.contains(seq) || known.invisible.contains(seq);
        let of = self.groups.iter().find(|(_, known)| has(known)).map(|(group, _)| *group);
        if let Some(group) = of {
            self.forget(group, seq);
        }
    }

    /// A message of the group was worked on for so long, and is done now.
    pub(crate) fn worked(&mut self, group: Group, ms: u64, now: LogTime) {
        if self.discipline == Discipline::Fair
            && group != Group::NONE
            && let Some(known) = self.groups.get_mut(&group)
        {
            known.noise.work.add(ms, now);
            self.noise.work.add(ms, now);
        }
    }

    /// Every message up to `through` is gone. If those that are in flight were told before, the
    /// groups that have others are found among the ready ones; otherwise all are looked at.
    pub(crate) fn purge(&mut self, through: Seq, knows_in_flight: bool) {
        self.floor = self.floor.max(through);
        self.walked = self.walked.max(through.next());
        self.strays = self.strays.split_off(&through.next());
        self.received = self.received.split_off(&through.next());
        let concerned: Vec<Group> = match knows_in_flight {
            true => {
                let quiet = self.ready.range(..=(0, through, Group(u32::MAX)));
                let ranked = self.ready.range(RANKED..);
                quiet.chain(ranked).map(|(_, _, group)| *group).collect()
            }
            false => {
                let has_any = |known: &GroupOrder| {
                    let firsts = [known.visible.first(), known.invisible.first()];
                    firsts.into_iter().flatten().min().is_some_and(|first| first <= through)
                };
                let groups = self.groups.iter().filter(|(_, known)| has_any(known));
                groups.map(|(group, _)| *group).collect()
            }
        };
        for group in concerned {
            self.change(group, |known| {
                known.visible.remove_through(through);
                known.invisible.remove_through(through);
            });
        }
    }

    /// The messages that a receive would get. Of a fair queue in the order in which it would get them; of a FIFO
    /// queue those that come again are the first ones.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = (Seq, Group)> + '_ {
        self.again().chain(self.fresh())
    }

    /// Those of a FIFO queue's groups that come again, the one first whose first message was received first.
    pub(crate) fn again(&self) -> impl Iterator<Item = (Seq, Group)> + '_ {
        let again = self.is_fifo().then(|| Candidates::new(self, self.ready.range(RANKED..)));
        again.into_iter().flatten()
    }

    /// Whether the groups which come again are first now. So many that were received wait that every second receive
    /// should give them: they take memory, and are best read while others that were sent with them are.
    pub(crate) fn is_again_first(&self) -> bool {
        self.received.len() > AGAIN_MAX && self.is_turn_of_again
    }

    /// A receive was given something.
    pub(crate) fn take_turn(&mut self) {
        self.is_turn_of_again = !self.is_turn_of_again;
    }

    /// The others.
    pub(crate) fn fresh(&self) -> impl Iterator<Item = (Seq, Group)> + '_ {
        let fresh = match self.discipline {
            Discipline::Fifo => self.ready.range(..RANKED),
            Discipline::Fair => self.ready.range(..),
        };
        Candidates::new(self, fresh)
    }

    fn change(&mut self, group: Group, change: impl FnOnce(&mut GroupOrder)) {
        let known = self.groups.entry(group).or_default();
        let (runs, in_flight) = (known.visible.runs(), known.invisible.len());
        change(known);
        self.runs = self.runs + known.visible.runs() - runs;
        self.noise.count(in_flight, known.invisible.len());
        if let Some((before, gives)) = known.ready.take() {
            self.ready.remove(&before);
            self.deliverable -= if before.0 == 0 { gives } else { 0 };
        }
        if known.visible.is_empty() && known.invisible.is_empty() {
            self.groups.remove(&group);
            return;
        }
        known.noise.settle(known.visible.is_empty(), known.invisible.len());
        known.ready = known.gives(self.discipline).map(|(first, gives)| {
            let rank = match self.discipline {
                Discipline::Fair => known.noise.rank(known.invisible.len()),
                Discipline::Fifo => self.received.get(&first).map_or(0, |time| time.0.max(1)),
            };
            ((rank, first, group), gives)
        });
        if let Some((now, gives)) = known.ready {
            self.ready.insert(now);
            self.deliverable += if now.0 == 0 { gives } else { 0 };
        }
    }
}

impl GroupOrder {
    /// The first message that it gives, and how many.
    fn gives(&self, discipline: Discipline) -> Option<(Seq, u64)> {
        let first = self.visible.first()?;
        let end = self.end(discipline);
        (first < end).then(|| (first, self.visible.count_before(end)))
    }

    /// Nothing from this message on is given.
    fn end(&self, discipline: Discipline) -> Seq {
        match (discipline, self.invisible.first()) {
            (Discipline::Fifo, Some(first)) => first,
            _ => Seq(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
