//! Idempotent producers: the batches of each that it may send again, so that they land once.
//!
//! A producer numbers its batches, and says with each which is the oldest that it has no answer to:
//! those before it are forgotten. A number that is known lands no more, and the answer is the first
//! one again; any other from the oldest on is new.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::command::PRODUCER_BATCHES_MAX as BATCHES_KEPT;
use crate::ids::{ProducerId, Seq};
use crate::time::LogTime;

/// The producers of a queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Producers {
    producers: BTreeMap<ProducerId, Arc<Producer>>,
}

/// One producer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Producer {
    /// When its newest batch came.
    pub(crate) time: LogTime,
    /// Those before it are not sent again.
    pub(crate) oldest: u64,
    /// Ascending by number.
    pub(crate) batches: VecDeque<Batch>,
}

/// A batch that has landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) first: Seq,
    pub(crate) count: u32,
}

/// What is known of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has not landed.
    New,
    /// It has landed.
    Landed(Batch),
    /// It is older than this one, the oldest that may be sent again.
    Forgotten(u64),
}

/// A producer that sent nothing for so long is forgotten: a day.
const FORGOTTEN_MS: u64 = 24 * 3600 * 1000;

/// Before another one is added, so many are looked at, of which some may be forgotten.
const LOOKS: usize = 4;

/// So many are remembered: a queue's memory is bounded, however many programs send to it once.
const PRODUCERS_MAX: usize = 1 << 18;

impl Producers {
    /// What is known of a producer's batch.
    pub(crate) fn find(&self, producer: ProducerId, number: u64) -> Known {
        let Some(producer) = self.producers.get(&producer) else { return Known::New };
        if number < producer.oldest {
            return Known::Forgotten(producer.oldest);
        }
        match producer.batches.binary_search_by_key(&number, |batch| batch.number) {
            Ok(at) => Known::Landed(producer.batches[at]),
            Err(_) => Known::New,
        }
    }

    /// A batch has landed. Those before `oldest` are not sent again.
    pub(crate) fn landed(&mut self, id: ProducerId, batch: Batch, oldest: u64, time: LogTime) {
        if !self.producers.contains_key(&id) {
            self.forget_some(id, time);
        }
        let producer = Arc::make_mut(self.producers.entry(id).or_default());
        producer.time = producer.time.max(time);
        let at = producer.batches.partition_point(|known| known.number < batch.number);
        if producer.batches.get(at).is_none_or(|known| known.number != batch.number) {
            producer.batches.insert(at, batch);
        }
        // A producer that never says so is not let to fill the memory.
        let too_many = producer.batches.len().checked_sub(BATCHES_KEPT);
        let kept = too_many.map(|at| producer.batches[at].number).unwrap_or_default();
        producer.oldest = producer.oldest.max(oldest).max(kept);
        while producer.batches.front().is_some_and(|first| first.number < producer.oldest) {
            producer.batches.pop_front();
        }
    }

    /// Of those behind a new one's place, which is random as a rule, the first few are looked at: in the
    /// long run all are. Behind the last one come the first: where ids ascend, these are the oldest.
    fn forget_some(&mut self, id: ProducerId, time: LogTime) {
        let looked_at = self.producers.range(id..).chain(self.producers.range(..id)).take(LOOKS);
        let looked_at: Vec<_> = looked_at.map(|(id, producer)| (producer.time, *id)).collect();
        for (last, id) in &looked_at {
            if time.ms_since(*last) > FORGOTTEN_MS {
                self.producers.remove(id);
            }
        }
        if self.producers.len() >= PRODUCERS_MAX
            && let Some((_, silent_longest)) = looked_at.iter().min()
        {
            self.producers.remove(silent_longest);
        }
    }

    /// Adds one as it was frozen.
    pub(crate) fn restore(&mut self, id: ProducerId, producer: Producer) {
        self.producers.insert(id, Arc::new(producer));
    }

    /// Every producer, in the order of their ids.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (ProducerId, &Producer)> {
        self.producers.iter().map(|(id, producer)| (*id, &**producer))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Whether a batch is among those known, so that its record is needed.
    pub(crate) fn knows(&self, producer: ProducerId, number: u64) -> bool {
        matches!(self.find(producer, number), Known::Landed(_))
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let batches = self.producers.values().map(|p| p.batches.capacity() * size_of::<Batch>());
        let of_each = size_of::<(ProducerId, Arc<Producer>)>() + size_of::<Producer>() + 16;
        (batches.sum::<usize>() + self.producers.len() * of_each) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ProducerId = ProducerId(7);

    fn batch(number: u64) -> Batch {
        Batch { number, first: Seq(10 * number), count: 10 }
    }

    /// Without it a batch whose answer was lost would be stored twice.
    #[test]
    fn a_batch_lands_once_in_whatever_order_batches_come() {
        let mut producers = Producers::default();
        for number in [5, 7, 6, 9] {
            assert_eq!(producers.find(ID, number), Known::New);
            producers.landed(ID, batch(number), 5, LogTime(1));
        }
        for number in [5, 6, 7, 9] {
            assert_eq!(producers.find(ID, number), Known::Landed(batch(number)));
        }
        assert_eq!(producers.find(ID, 8), Known::New, "it failed when those behind it landed");
        assert_eq!(producers.find(ProducerId(8), 5), Known::New, "another producer's");
    }

    /// Without it a batch that came very late would be stored a second time, in silence.
    #[test]
    fn a_batch_of_which_nothing_is_known_any_more_is_said_to_be_forgotten() {
        let mut producers = Producers::default();
        let many = BATCHES_KEPT as u64 + 3;
        (1..=many).for_each(|n| producers.landed(ID, batch(n), 1, LogTime(1)));
        assert_eq!(producers.find(ID, 3), Known::Forgotten(4));
        assert_eq!(producers.find(ID, 4), Known::Landed(batch(4)));
        producers.landed(ID, batch(many + 1), many, LogTime(1));
        assert_eq!(producers.find(ID, many - 1), Known::Forgotten(many));
        assert_eq!(producers.find(ID, many), Known::Landed(batch(many)));
        assert_eq!(producers.iter().map(|(_, producer)| producer.batches.len()).sum::<usize>(), 2);
    }

    /// Without it every producer that ever was would take memory.
    #[test]
    fn producers_that_are_silent_for_a_day_are_forgotten() {
        let mut producers = Producers::default();
        let mut id = 1u128;
        for round in 0..40 {
            for _ in 0..100 {
                id = id.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(99);
                let time = LogTime(round * (FORGOTTEN_MS + 1));
                producers.landed(ProducerId(id), batch(1), 1, time);
            }
        }
        assert!(producers.iter().len() < 1000, "{} are left", producers.iter().len());
    }

    /// Ids may say when they were made, as UUIDs of version 7 do: behind a new one there is none then.
    #[test]
    fn producers_whose_ids_ascend_are_forgotten_too() {
        let mut producers = Producers::default();
        for id in 0..4000u32 {
            let time = LogTime(u64::from(id) * FORGOTTEN_MS / 100);
            producers.landed(ProducerId(id.into()), batch(1), 1, time);
        }
        assert!(producers.iter().len() < 200, "{} are left", producers.iter().len());
    }

    /// Without it every program that sends once would take memory for a day.
    #[test]
    fn of_too_many_producers_those_are_forgotten_that_were_silent_for_longest() {
        let mut producers = Producers::default();
        let many = PRODUCERS_MAX as u64 + 5000;
        for id in 0..many {
            producers.landed(ProducerId(id.into()), batch(1), 1, LogTime(id));
        }
        assert_eq!(producers.iter().len(), PRODUCERS_MAX);
        assert_eq!(producers.find(ProducerId((many - 1).into()), 1), Known::Landed(batch(1)));
        assert_eq!(producers.find(ProducerId(4000), 1), Known::New);
    }
}
