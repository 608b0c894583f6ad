//! The order beside plain lists of messages.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NOW: LogTime = LogTime(1_000_000);

/// A message of the plain list.
#[derive(Debug, Clone, Copy)]
struct Plain {
    group: Group,
    is_visible: bool,
    /// When it was received, if it is visible again.
    received: Option<LogTime>,
}

/// What a FIFO queue may give, by the rule itself: of each group the longest prefix of its messages
/// that is visible.
fn prefixes(messages: &BTreeMap<Seq, Plain>, known_end: Seq) -> BTreeMap<Group, Vec<Seq>> {
    let mut prefixes: BTreeMap<Group, (Vec<Seq>, bool)> = BTreeMap::new();
    for (seq, message) in messages.range(..known_end) {
        let (prefix, is_blocked) = prefixes.entry(message.group).or_default();
        *is_blocked |= !message.is_visible;
        if !*is_blocked {
            prefix.push(*seq);
        }
    }
    let given = prefixes.into_iter().filter(|(_, (prefix, _))| !prefix.is_empty());
    given.map(|(group, (prefix, _))| (group, prefix)).collect()
}

proptest! {
    /// Without it a message of a group would overtake one before it, or never come.
    #[test]
    fn a_fifo_queue_gives_the_longest_visible_prefix_of_each_group(
        steps in prop::collection::vec((0u8..10, 1u32..5, any::<prop::sample::Index>()), 1..200),
    ) {
        let mut order = Order::new(Discipline::Fifo, Seq(1));
        let (mut plain, mut next) = (BTreeMap::<Seq, Plain>::new(), Seq(1));
        for (step, group, any) in steps {
            let group = Group(group);
            if step < 4 || plain.is_empty() {
                order.walk(group, next, NOW);
                plain.insert(next, Plain { group, is_visible: true, received: None });
                next = next.next();
            } else if step < 7 {
                let given: Vec<(Seq, Group)> = order.candidates().collect();
                for (seq, group) in given.into_iter().take(any.index(4) + 1) {
                    order.hide(group, seq, NOW);
                    let message = plain.get_mut(&seq).expect("what is given is there");
                    (message.is_visible, message.received) = (false, None);
                }
            } else {
                let seq = *plain.keys().nth(any.index(plain.len())).expect("fewer than that");
                let message = plain.get_mut(&seq).expect("it is one of them");
                match step {
                    7 => {
                        let received = LogTime(1 + any.index(5) as u64);
                        order.show(message.group, seq, Some(received));
                        (message.is_visible, message.received) = (true, Some(received));
                    }
                    8 => {
                        order.forget(message.group, seq);
                        plain.remove(&seq);
                    }
                    _ => {
                        let through = Seq(seq.0.min(3 + next.0 / 8));
                        let knows_in_flight = any.index(2) == 0;
                        let gone = plain.range(..=through).filter(|(_, m)| !m.is_visible);
                        for (seq, message) in gone.take_while(|_| knows_in_flight) {
                            order.forget(message.group, *seq);
                        }
                        order.purge(through, knows_in_flight);
                        plain = plain.split_off(&through.next());
                    }
                }
            }
            let expected = prefixes(&plain, next);
            let mut given: BTreeMap<Group, Vec<Seq>> = BTreeMap::new();
            let (mut last, mut done) = (None, Vec::new());
            for (seq, group) in order.candidates() {
                given.entry(group).or_default().push(seq);
                if last != Some(group) {
                    prop_assert!(!done.contains(&group), "a group comes in one piece");
                    done.extend(last.replace(group));
                }
            }
            prop_assert_eq!(&given, &expected);
            // Those that come again first, by the times of their first messages; the others by their first messages.
            let place = |group: &Group| {
                let first = expected[group][0];
                (plain[&first].received.unwrap_or(LogTime(u64::MAX)), first)
            };
            done.extend(last);
            prop_assert!(done.is_sorted_by_key(place), "{done:?}");
            let again: Vec<(Seq, Group)> = order.again().collect();
            let all: Vec<(Seq, Group)> = again.iter().copied().chain(order.fresh()).collect();
            prop_assert_eq!(all, order.candidates().collect::<Vec<_>>());
            let comes_again = |prefix: &[Seq]| plain[&prefix[0]].received.is_some();
            let of_again = expected.values().filter(|prefix| comes_again(prefix));
            prop_assert_eq!(again.len(), of_again.map(Vec::len).sum::<usize>());
            let of_fresh = expected.values().filter(|prefix| !comes_again(prefix));
            let deliverable: usize = of_fresh.map(Vec::len).sum();
            prop_assert_eq!(order.deliverable, deliverable as u64);
            let runs: usize = order.groups.values().map(|known| known.visible.runs()).sum();
            prop_assert_eq!(order.runs, runs);
            let in_flight = plain.values().filter(|message| !message.is_visible).count();
            prop_assert_eq!(order.noise.in_flight(), in_flight as u64);
        }
    }
}

/// Gives `count` messages, and says of which groups.
fn give(order: &mut Order, count: usize) -> Vec<Group> {
    let given: Vec<(Seq, Group)> = order.candidates().take(count).collect();
    given.iter().for_each(|(seq, group)| order.hide(*group, *seq, NOW));
    given.into_iter().map(|(_, group)| group).collect()
}

const LOUD: Group = Group(1);

/// A thousand messages of one tenant, then one each of some others.
fn loud_and_quiet() -> Order {
    let mut order = Order::new(Discipline::Fair, Seq(1));
    (1..=1000).for_each(|seq| order.walk(LOUD, Seq(seq), NOW));
    (1001..=1005).for_each(|seq| order.walk(Group(seq as u32), Seq(seq), NOW));
    order
}

/// Without it a tenant with a large backlog would delay all others.
#[test]
fn a_noisy_tenant_comes_after_the_quiet_ones() {
    let mut order = loud_and_quiet();
    // Oldest first, until 30 messages are in flight.
    assert_eq!(give(&mut order, 30), vec![LOUD; 30]);
    let groups = [1001, 1002, 1003, 1004, 1005].map(Group);
    assert_eq!(give(&mut order, 5), groups);
    assert_eq!(give(&mut order, 2), vec![LOUD; 2], "a noisy one is served when no other waits");
}

/// Without it every tenant of a small queue would count as noisy.
#[test]
fn a_tenant_with_few_messages_in_flight_is_quiet() {
    let mut order = loud_and_quiet();
    assert_eq!(give(&mut order, 29), vec![LOUD; 29]);
    assert_eq!(give(&mut order, 1), vec![LOUD]);
}

/// Without it one noisy tenant would starve another.
#[test]
fn of_noisy_tenants_that_with_the_fewest_in_flight_comes_first() {
    let mut order = Order::new(Discipline::Fair, Seq(1));
    (1..=100).for_each(|seq| order.walk(Group(1), Seq(seq), NOW));
    (101..=200).for_each(|seq| order.walk(Group(2), Seq(seq), NOW));
    assert_eq!(give(&mut order, 40), vec![Group(1); 40]);
    // The second is quiet as long as it has fewer than 30, then noisy with fewer than the first.
    assert_eq!(give(&mut order, 40), vec![Group(2); 40]);
    let both = give(&mut order, 20);
    assert_eq!(both.iter().filter(|group| **group == Group(1)).count(), 10);
}

/// Without it a tenant would be punished for ever for what it once sent.
#[test]
fn a_tenant_is_quiet_again_when_its_backlog_is_drained_or_it_sends_no_more() {
    let mut order = loud_and_quiet();
    give(&mut order, 30);
    assert_eq!(order.noisy(), 1);
    let later = NOW.plus_ms(5 * 60 * 1000 + 1);
    let (seq, group) = order.candidates().last().expect("there are more");
    order.hide(group, seq, later);
    assert_eq!(order.noisy(), 0, "nothing sent for five minutes");

    let mut order = loud_and_quiet();
    give(&mut order, 1005);
    assert_eq!(order.noisy(), 1);
    (1..=980).for_each(|seq| order.forget(LOUD, Seq(seq)));
    assert_eq!(order.noisy(), 0, "nothing waits, and fewer than 30 are in flight");
}

/// Without it a tenant whose few messages take long would keep all consumers busy.
#[test]
fn a_tenant_that_takes_much_of_the_consumers_time_is_noisy() {
    let mut order = loud_and_quiet();
    for seq in 1..=30 {
        give(&mut order, 1);
        order.worked(LOUD, 10_000, NOW);
        order.forget(LOUD, Seq(seq));
    }
    give(&mut order, 1);
    assert_eq!(give(&mut order, 1), vec![Group(1001)]);
}

/// Without it one tenant's stretch of a backlog would take memory for each of its messages.
#[test]
fn a_stretch_of_one_group_takes_one_run() {
    let mut order = Order::new(Discipline::Fifo, Seq(1));
    (1..=100_000).for_each(|seq| order.walk(LOUD, Seq(seq), NOW));
    assert_eq!(order.runs, 1);
    assert!(!order.wants_more(10));
    give(&mut order, 10);
    assert!(order.wants_more(10), "the group waits, and others may lie behind");
}

/// Without it nobody could be told which message a FIFO queue waits for.
#[test]
fn the_first_message_in_flight_of_all_groups_is_known() {
    let mut order = Order::new(Discipline::Fifo, Seq(1));
    assert_eq!(order.first_blocker(), None);
    for seq in 1..=6 {
        order.walk(Group(seq as u32 % 2), Seq(seq), LogTime(1));
    }
    order.hide(Group(1), Seq(3), LogTime(2));
    order.hide(Group(0), Seq(2), LogTime(2));
    assert_eq!(order.first_blocker(), Some(Seq(2)));
    order.forget(Group(0), Seq(2));
    assert_eq!(order.first_blocker(), Some(Seq(3)));
}
