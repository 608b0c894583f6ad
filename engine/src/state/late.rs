//! Messages that came late: dead letters, which keep the times at which they were sent elsewhere.
//!
//! Sent times ascend with a queue's numbers but for these. So they are kept by the stretch of time
//! in which they were sent, about a minute each: retention takes a stretch at once, and a dead letter
//! costs a bit or two bytes. Which of them are there is known elsewhere ([`Messages::contains`]); some
//! that are named here may be gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::queue::Messages;
use crate::ids::Seq;
use crate::time::LogTime;

/// The late messages of a queue. A clone shares the sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Late {
    /// The last message that came late; 0 if none ever has.
    last: Seq,
    stretches: BTreeMap<u64, Arc<RoaringTreemap>>,
    /// How many messages the stretches name.
    named: u64,
}

/// A stretch is `2^STRETCH` ms (FORMAT.md, "Expired").
const STRETCH: u32 = 16;

/// Those that are gone are thrown out when there are more of them than this, and than of others.
const STALE_MIN: u64 = 4096;

impl Late {
    /// The last message that came late; 0 if none ever has.
    pub(crate) fn last(&self) -> Seq {
        self.last
    }

    /// Whether none ever has.
    pub(crate) fn is_empty(&self) -> bool {
        self.last == Seq(0)
    }

    /// Each stretch with its messages, ascending.
    pub(crate) fn stretches(&self) -> impl ExactSizeIterator<Item = (u64, &RoaringTreemap)> {
        self.stretches.iter().map(|(stretch, seqs)| (*stretch, &**seqs))
    }

    /// As it was written in a snapshot.
    pub(crate) fn restored(
        last: Seq,
        stretches: impl IntoIterator<Item = (u64, RoaringTreemap)>,
    ) -> Self {
        let stretches: BTreeMap<_, _> =
            stretches.into_iter().map(|(stretch, seqs)| (stretch, Arc::new(seqs))).collect();
        let named = stretches.values().map(|seqs| seqs.len()).sum();
        Self { last, stretches, named }
    }

    fn insert(&mut self, seq: Seq, sent: LogTime) {
        self.last = self.last.max(seq);
        let stretch = self.stretches.entry(Self::stretch_of(sent)).or_default();
        self.named += u64::from(Arc::make_mut(stretch).insert(seq.0));
    }

    /// Every message up to `through` is gone. Where others are left, what is said of them stays, for it
    /// would take a look at each stretch.
    pub(super) fn remove_through(&mut self, through: Seq) {
        if through >= self.last {
            self.stretches.clear();
            self.named = 0;
        }
    }

    /// Takes out those sent before a time that begins a stretch.
    fn take_before(&mut self, time: LogTime) -> Vec<Arc<RoaringTreemap>> {
        let kept = self.stretches.split_off(&Self::stretch_of(time));
        let taken: Vec<_> = std::mem::replace(&mut self.stretches, kept).into_values().collect();
        self.named -= taken.iter().map(|seqs| seqs.len()).sum::<u64>();
        taken
    }

    /// The end of the last stretch of which all was sent at `time` or before.
    pub(crate) fn end_by(time: LogTime) -> LogTime {
        LogTime(Self::stretch_of(time.plus_ms(1)) << STRETCH)
    }

    /// The stretch of a time.
    pub(crate) fn stretch_of(time: LogTime) -> u64 {
        time.0 >> STRETCH
    }

    /// The messages that were sent in a stretch.
    pub(crate) fn sent_in(&self, stretch: u64) -> Option<&Arc<RoaringTreemap>> {
        self.stretches.get(&stretch)
    }

    /// The first stretch of which a message may be there, with its first time and its last.
    pub(crate) fn first(&self) -> Option<(u64, LogTime, LogTime)> {
        let (first, _) = self.stretches.first_key_value()?;
        let start = first << STRETCH;
        Some((*first, LogTime(start), LogTime(start | ((1 << STRETCH) - 1))))
    }

    /// Bytes on the heap, about; what is shared counts for each.
    pub(super) fn heap_bytes(&self) -> u64 {
        self.stretches.values().map(|seqs| 64 + seqs.serialized_size() as u64).sum()
    }
}

impl Messages {
    /// The messages that came late.
    pub(crate) fn late(&self) -> &Late {
        &self.late
    }

    /// Whether there may be a message from `from` on that came late.
    pub(crate) fn may_be_late(&self, from: Seq) -> bool {
        from <= self.late.last
    }

    /// A message that was just added was sent at that time, elsewhere.
    pub(crate) fn came_late(&mut self, seq: Seq, sent: LogTime) {
        self.late.insert(seq, sent);
        if self.late.named > STALE_MIN + 2 * self.len() {
            let late = std::mem::take(&mut self.late);
            let is_there = |seq: &u64| self.contains(Seq(*seq));
            let kept = late.stretches().map(|(stretch, seqs)| {
                (stretch, seqs.iter().filter(is_there).collect::<RoaringTreemap>())
            });
            let kept = kept.filter(|(_, seqs)| !seqs.is_empty());
            self.late = Late::restored(late.last, kept);
        }
    }

    /// Whether a late message is there that was sent before a time that begins a stretch.
    pub(crate) fn has_late_before(&self, time: LogTime) -> bool {
        let before = self.late.stretches.range(..Late::stretch_of(time));
        before.flat_map(|(_, seqs)| seqs.iter()).any(|seq| self.contains(Seq(seq)))
    }

    /// Forgets the late messages sent before that time, which are gone.
    pub(crate) fn forget_late_before(&mut self, time: LogTime) {
        self.late.take_before(time);
    }

    /// The late messages that were sent before that time are gone.
    pub(super) fn late_expired(&mut self, before: LogTime) {
        let taken = self.late.take_before(before);
        let gone = taken.iter().flat_map(|seqs| seqs.iter()).map(Seq);
        let gone: Vec<Seq> = gone.filter(|seq| self.contains(*seq)).collect();
        self.all_gone(&gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::held::HeldMap;

    fn queue_of(messages: u64) -> Messages {
        let mut queue = Messages::default();
        (1..=messages).for_each(|seq| queue.sent(Seq(seq), None));
        queue
    }

    fn there(queue: &Messages) -> Vec<u64> {
        (1..queue.next_seq().0).filter(|seq| queue.contains(Seq(*seq))).collect()
    }

    /// Without it a record of a wrong clock would end the server.
    #[test]
    fn the_last_minute_of_all_has_an_end() {
        let mut queue = queue_of(1);
        queue.came_late(Seq(1), LogTime(u64::MAX - 1));
        assert_eq!(queue.late.first().unwrap().2, LogTime::NEVER);
    }

    /// Without it a dead letter would expire with those around it, and not when its time has come.
    #[test]
    fn each_late_message_goes_with_its_own_minute() {
        let mut queue = queue_of(6);
        for (seq, minute) in [(2, 5), (3, 1), (5, 3), (6, 1)] {
            queue.came_late(Seq(seq), LogTime((minute << STRETCH) + 7));
        }
        assert_eq!(queue.late.first().unwrap().2, LogTime((2 << STRETCH) - 1));
        assert_eq!(Late::end_by(LogTime((2 << STRETCH) - 1)), LogTime(2 << STRETCH));
        assert_eq!(Late::end_by(LogTime((2 << STRETCH) - 2)), LogTime(1 << STRETCH));
        assert!(!queue.has_late_before(LogTime(1 << STRETCH)));
        assert!(queue.has_late_before(LogTime(2 << STRETCH)));
        queue.late_expired(LogTime(2 << STRETCH));
        assert_eq!(there(&queue), [1, 2, 4, 5]);
        queue.late_expired(LogTime(6 << STRETCH));
        assert_eq!(there(&queue), [1, 4]);
        assert_eq!((queue.late.named, queue.late.first()), (0, None));
        assert!(queue.may_be_late(Seq(6)) && !queue.may_be_late(Seq(7)));
    }

    /// Without it a dead-letter queue that is drained again and again would take more and more memory.
    #[test]
    fn late_messages_that_are_gone_are_forgotten() {
        let mut queue = Messages { held: HeldMap::default(), ..Messages::default() };
        for seq in 1..=20_000 {
            queue.sent(Seq(seq), None);
            queue.came_late(Seq(seq), LogTime(seq << STRETCH));
            queue.acked(Seq(seq), || None);
        }
        assert!(queue.late.named <= STALE_MIN + 2, "{}", queue.late.named);
        assert_eq!(queue.late.last(), Seq(20_000));
        queue.sent(Seq(20_001), None);
        queue.came_late(Seq(20_001), LogTime(0));
        queue.purged(Seq(20_001));
        assert_eq!((queue.late.named, queue.late.stretches().len()), (0, 0));
    }
}
