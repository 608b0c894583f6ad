//! Indexes of many blocks and queues: their sizes in memory, and what is written in several parts.

use super::*;

#[test]
fn a_queue_of_many_messages_takes_its_slots_and_no_more() {
    let mut heap = HeapIndex::default();
    for seq in 1..=200_000 {
        heap.add(sent(QueueId(1), Seq(seq), slot(0, seq)));
    }
    // The list doubles as it grows; what it has not grown into is never touched.
    assert!(heap.heap_bytes() <= 2 * 200_000 * 16, "{}", heap.heap_bytes());
}

#[test]
fn many_queues_of_few_messages_take_no_more_than_twice_that() {
    let mut heap = HeapIndex::default();
    for seq in 1..=200 {
        for queue in 0..2_000 {
            heap.add(sent(QueueId(queue), Seq(seq), slot(queue, seq)));
        }
    }
    assert!(heap.heap_bytes() <= 2 * 2_000 * 200 * 16, "{}", heap.heap_bytes());
}

#[test]
fn an_index_larger_than_a_write_is_written_whole() {
    // Every fifth number is missing, so that runs have many blocks too.
    let with_gaps: Vec<u64> = (1..20_000).filter(|seq| seq % 5 > 0).collect();
    let dense: Vec<u64> = (7..60_000).collect();
    let mut all = messages(&[(3, &with_gaps), (4, &dense)]);
    for queue in 100..700 {
        all.extend(messages(&[(queue, &[1, u64::from(queue)])]));
    }
    let disk = disk();
    let mapped = mapped(&disk, &all);
    assert!(mapped.mapped_bytes() > 1 << 20);
    assert_eq!(mapped.check_all(), Ok(()));
    for ((queue, seq), slot) in &all {
        assert_eq!(mapped.find(*queue, *seq), Ok(Some(*slot)), "queue {queue}, message {seq}");
    }
    for queue in [3, 4, 100, 699].map(QueueId) {
        let slots: Result<Vec<_>, _> = mapped.slots(queue).collect();
        let expected = all.range((queue, Seq(0))..=(queue, Seq(u64::MAX)));
        let expected: Vec<_> = expected.map(|((_, seq), slot)| (*seq, *slot)).collect();
        assert!(slots.unwrap() == expected);
    }
}
