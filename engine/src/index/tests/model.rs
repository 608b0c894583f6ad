//! The index against a plain map, over everything that happens to its segments.

use proptest::prelude::*;

use super::*;
use crate::index::{Index, IndexMemory, SegmentIndex};

/// Queues are few, so that their messages meet in segments.
const QUEUES: u32 = 5;

#[derive(Debug, Clone)]
enum Step {
    /// A queue and how many messages.
    Send(u32, u8),
    Roll,
    /// The index of one of the sealed segments is written and mapped.
    Map(usize),
    /// The neighbours from one segment on are compacted: how many, what is kept of each queue, and
    /// whether the new index is mapped.
    Compact(usize, usize, u64, bool),
    Delete(u32),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..QUEUES, 1..40_u8).prop_map(|(queue, count)| Step::Send(queue, count)),
        3 => Just(Step::Roll),
        2 => any::<usize>().prop_map(Step::Map),
        3 => (any::<usize>(), 1..4_usize, any::<u64>(), any::<bool>())
            .prop_map(|(from, count, kept, mapped)| Step::Compact(from, count, kept, mapped)),
        1 => (0..QUEUES).prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ]
}

/// A segment and everything in it, also of queues that are gone.
#[derive(Clone)]
struct Part {
    segment: Arc<Segment>,
    index: SegmentIndex,
    messages: Messages,
}

struct Run {
    disk: SimDisk,
    index: Index,
    sealed: Vec<Part>,
    active: (Arc<Segment>, Messages),
    /// The queue of each place, and its last number. A deleted one's place goes to a new queue.
    queues: Vec<(QueueId, u64)>,
    queue_next: u32,
    /// Positions and salts.
    count: u64,
}

impl Run {
    fn new() -> Self {
        let disk = disk();
        let first = segment(&disk, 1, 0, 1);
        let mut index = Index::default();
        assert!(index.begin_segment(first.clone()).is_none());
        Self {
            disk,
            index,
            sealed: Vec::new(),
            active: (first, Messages::new()),
            queues: (1..=QUEUES).map(|queue| (QueueId(queue), 0)).collect(),
            queue_next: QUEUES + 1,
            count: 1,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(queue, count) => {
                let (queue, last) = &mut self.queues[queue as usize];
                for _ in 0..count {
                    *last += 1;
                    let slot = Slot { sent_ms: self.active.1.len() as i32, ..slot(queue.0, *last) };
                    self.index.add(sent(*queue, Seq(*last), slot));
                    self.active.1.insert((*queue, Seq(*last)), slot);
                }
            }
            Step::Roll => self.roll(),
            Step::Map(at) => {
                if let Some(at) = at.checked_rem(self.sealed.len()) {
                    self.map(at);
                }
            }
            Step::Compact(from, count, kept, is_mapped) => {
                if let Some(from) = from.checked_rem(self.sealed.len()) {
                    let end = (from + count).min(self.sealed.len());
                    self.compact(from..end, kept, is_mapped);
                }
            }
            Step::Delete(queue) => {
                let place = &mut self.queues[queue as usize];
                self.index.remove_queue(place.0);
                *place = (QueueId(self.queue_next), 0);
                self.queue_next += 1;
            }
            Step::Reopen => self.reopen(),
        }
    }

    fn roll(&mut self) {
        self.count += 1;
        let next = segment(&self.disk, self.count, 0, self.count);
        let (sealed, heap) = self.index.begin_segment(next.clone()).unwrap();
        let (segment, messages) = std::mem::replace(&mut self.active, (next, Messages::new()));
        assert!(sealed == segment, "what is sealed was the active one");
        assert_eq!(heap.messages(), messages.len() as u64);
        self.sealed.push(Part { segment, index: SegmentIndex::Heap(heap), messages });
    }

    fn written(&self, segment: &Segment, heap: &HeapIndex) -> Arc<MappedIndex> {
        let Segment { first, generation, salt, created, .. } = *segment;
        let identity = IndexIdentity { first, generation, salt, created, ..identity() };
        let path = segment.path.with_extension("idx");
        write(&self.disk, &path, &identity, heap).unwrap();
        Arc::new(MappedIndex::open(&self.disk, &path, &identity).unwrap())
    }

    fn map(&mut self, at: usize) {
        let Part { segment, index, .. } = &self.sealed[at];
        if let SegmentIndex::Heap(heap) = index {
            let mapped = self.written(segment, heap);
            self.index.set_mapped(segment, mapped.clone());
            self.sealed[at].index = SegmentIndex::Mapped(mapped);
        }
    }

    fn compact(&mut self, range: std::ops::Range<usize>, kept: u64, is_mapped: bool) {
        self.count += 1;
        let removed: Vec<_> = self.sealed[range.clone()].to_vec();
        let first = removed[0].segment.first.0;
        let segment = segment(&self.disk, first, self.count as u32, self.count);
        let parts = removed.iter().flat_map(|part| &part.messages);
        let mut messages: Messages = parts.map(|(id, slot)| (*id, *slot)).collect();
        // A pattern of numbers goes, and so does all of some queues, of those that are gone surely.
        let queues = &self.queues;
        messages.retain(|(queue, seq), _| {
            let exists = queues.iter().any(|(id, _)| id == queue);
            exists && (kept >> (queue.0 % 8)) & 1 == 1 && (kept >> (8 + seq.0 % 56)) & 1 == 1
        });
        for (at, slot) in (0..).zip(messages.values_mut()) {
            slot.offset = at;
        }
        let heap = heap(&messages);
        let index = match is_mapped {
            true => SegmentIndex::Mapped(self.written(&segment, &heap)),
            false => SegmentIndex::Heap(Arc::new(heap)),
        };
        let gone: Vec<_> = removed.iter().map(|part| part.segment.clone()).collect();
        self.index.replace(&gone, segment.clone(), index.clone());
        // Whoever was late to map one of those finds nothing to do.
        let before = self.index.memory();
        self.index.set_rebuilt(&gone[0], removed[0].index.clone());
        assert_eq!(self.index.memory(), before);
        self.sealed.splice(range, [Part { segment, index, messages }]);
    }

    /// As after a restart: every segment is found sealed.
    fn reopen(&mut self) {
        self.roll();
        self.index = Index::default();
        let exists = |queue| self.queues.iter().any(|(id, _)| *id == queue);
        for Part { segment, index, .. } in &self.sealed {
            self.index.add_sealed(segment.clone(), index.clone(), &exists);
        }
        assert!(self.index.begin_segment(self.active.0.clone()).is_none());
    }

    fn check(&mut self) {
        let sealed = self.sealed.iter().map(|part| (&part.segment, &part.messages));
        let parts: Vec<_> = sealed.chain([(&self.active.0, &self.active.1)]).collect();
        for (queue, last) in &self.queues {
            for seq in (0..last + 2).map(Seq) {
                let found = self.index.find(*queue, seq).unwrap();
                let of_part = |(segment, messages): &(&Arc<Segment>, &Messages)| {
                    Some(((*segment).clone(), *messages.get(&(*queue, seq))?))
                };
                let expected = parts.iter().find_map(of_part);
                match (found, expected) {
                    (None, None) => {}
                    (Some((location, sent)), Some((segment, slot))) => {
                        assert_eq!((location.queue, location.seq), (*queue, seq));
                        assert_eq!(location.segment, segment);
                        assert_eq!((location.offset, location.bytes), (slot.offset, slot.bytes));
                        assert_eq!(sent, segment.created.offset_ms(slot.sent_ms));
                    }
                    (found, expected) => panic!("{queue} {seq}: {found:?}, not {expected:?}"),
                }
            }
        }
        for id in (1..self.queue_next).map(QueueId) {
            if self.queues.iter().all(|(queue, _)| *queue != id) {
                assert!(self.index.find(id, Seq(1)).unwrap().is_none(), "a deleted queue");
            }
        }
        for Part { index, messages, .. } in &self.sealed {
            check_segment(index, messages);
        }
        assert_eq!(self.index.memory().segments, parts.len() as u64);
        assert!(self.index.take_broken().is_empty());
    }
}

/// What a segment's own index says, of all queues.
fn check_segment(index: &SegmentIndex, messages: &Messages) {
    let mut rows = 0;
    for row in index.rows() {
        let expected: Vec<(Seq, Slot)> = messages
            .range((row.queue, Seq(0))..=(row.queue, Seq(u64::MAX)))
            .map(|((_, seq), slot)| (*seq, *slot))
            .collect();
        let slots: Vec<_> = index.slots(row.queue).map(Result::unwrap).collect();
        assert_eq!(slots, expected);
        assert_eq!((row.first, row.last), (expected[0].0, expected[expected.len() - 1].0));
        assert_eq!(row.messages as usize, expected.len());
        let bytes = expected.iter().map(|(_, slot)| u64::from(slot.bytes));
        assert_eq!(row.bytes, bytes.sum::<u64>());
        assert_eq!(index.row(row.queue), Some(row));
        for seq in (0..row.last.0 + 2).map(Seq) {
            let slot = messages.get(&(row.queue, seq)).copied();
            assert_eq!(index.find(row.queue, seq), Ok(slot));
            assert_eq!(index.contains(row.queue, seq), Ok(slot.is_some()));
        }
        rows += expected.len();
    }
    assert_eq!(rows, messages.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn heap_and_maps_agree_with_a_plain_map(steps in prop::collection::vec(step(), 1..40)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.check();
    }
}

#[test]
fn what_is_mapped_leaves_memory() {
    let mut run = Run::new();
    let steps = [Step::Send(0, 39), Step::Roll, Step::Send(0, 3), Step::Roll];
    steps.iter().for_each(|step| run.step(step));
    let IndexMemory { heap_bytes, mapped_bytes, segments, .. } = run.index.memory();
    assert!(heap_bytes >= 42 * 16);
    assert_eq!((mapped_bytes, segments), (0, 3));
    run.map(0);
    run.map(1);
    let memory = run.index.memory();
    assert_eq!(memory.heap_bytes, 0, "the active one has nothing yet");
    assert_eq!(memory.mapped_bytes, 2 * 4 * 4096);
    assert!(memory.runs_bytes < 1024);
    run.check();
}

#[test]
fn a_broken_index_is_told_once_and_works_when_it_is_made_anew() {
    let mut run = Run::new();
    let steps = [Step::Send(0, 39), Step::Roll, Step::Send(0, 9), Step::Roll, Step::Map(0)];
    steps.iter().for_each(|step| run.step(step));
    let (segment, good) = (run.sealed[0].segment.clone(), run.sealed[0].index.clone());
    let path = segment.path.with_extension("idx");
    run.disk.flip_bit(&path, 3 * 4096 + 20, 1).unwrap();
    let Segment { first, generation, salt, created, .. } = *segment;
    let identity = IndexIdentity { first, generation, salt, created, ..identity() };
    let bad = Arc::new(MappedIndex::open(&run.disk, &path, &identity).unwrap());
    run.index.set_mapped(&segment, bad);
    let queue = QueueId(1);
    for _ in 0..2 {
        let error = run.index.find(queue, Seq(5)).unwrap_err();
        assert_eq!((&error.segment, error.cause.block), (&segment, 3));
        assert!(run.index.find(queue, Seq(41)).unwrap().is_some(), "in another segment");
    }
    assert_eq!(run.index.take_broken(), std::slice::from_ref(&segment));
    assert!(run.index.find(queue, Seq(6)).is_err());
    assert!(run.index.take_broken().is_empty(), "told once");
    run.index.set_rebuilt(&segment, good);
    run.check();
}

#[test]
fn the_lists_are_tidied_as_the_index_is_used() {
    let mut run = Run::new();
    for _ in 0..64 {
        (0..QUEUES).for_each(|queue| run.step(&Step::Send(queue, 2)));
        run.roll();
    }
    let full = run.index.memory().runs_bytes;
    assert!(full >= u64::from(64 * QUEUES * 16));
    // Twice, the second time while most lists name what the first removed; of all queues but two
    // nothing is left.
    run.compact(0..32, !0 << 8 | 0b10, true);
    run.index.find(QueueId(1), Seq(1)).unwrap();
    run.compact(0..33, !0 << 8 | 0b110, false);
    assert_eq!(run.sealed.len(), 1);
    for _ in 0..QUEUES {
        run.index.find(QueueId(1), Seq(1)).unwrap();
    }
    let left = run.index.memory().runs_bytes;
    assert!(left < full / 4, "{left} of {full} bytes");
    run.check();
}
