//! Messages frozen and restored go on like those that were never frozen; a gap in their numbers is
//! as if those between had been sent and acked.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::frozen::FrozenMessages;
use super::*;
use crate::command::{MessageState, States};
use crate::ids::{Group, LeaseId};
use crate::record::{EncodedAttributes, Lease, RecordWriter};
use held::Held;

/// What happens to messages. Seqs are taken modulo what was sent, and some are not there.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send { count: u8, delay: Option<u8> },
    Gap { count: u16 },
    Lease { count: u8, timeout: u8 },
    LeaseAny { seq: u16, timeout: u8 },
    Change { seq: u16, timeout: u8 },
    GiveBack { seq: u16, timeout: u8, is_counted: bool, reason: u8 },
    Ack { seq: u16 },
    Purge { through: u16 },
    Damage { seq: u16 },
    Settle { ms: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..20_u8, any::<Option<u8>>()).prop_map(|(count, delay)| Step::Send { count, delay }),
        1 => (1..300_u16).prop_map(|count| Step::Gap { count }),
        3 => (1..20_u8, any::<u8>()).prop_map(|(count, timeout)| Step::Lease { count, timeout }),
        1 => any::<(u16, u8)>().prop_map(|(seq, timeout)| Step::LeaseAny { seq, timeout }),
        2 => any::<(u16, u8)>().prop_map(|(seq, timeout)| Step::Change { seq, timeout }),
        2 => any::<(u16, u8, bool, u8)>().prop_map(|(seq, timeout, is_counted, reason)| {
            Step::GiveBack { seq, timeout, is_counted, reason }
        }),
        6 => any::<u16>().prop_map(|seq| Step::Ack { seq }),
        1 => any::<u16>().prop_map(|through| Step::Purge { through }),
        1 => any::<u16>().prop_map(|seq| Step::Damage { seq }),
        2 => any::<u8>().prop_map(|ms| Step::Settle { ms }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Messages, and what the steps need to know beside them.
#[derive(Clone, Default)]
struct Run {
    messages: Messages,
    now: LogTime,
    leases: u64,
    /// What a gap is: sent and acked, or left out.
    gaps_are_sent: bool,
}

impl Run {
    fn seq(&self, of: u16) -> Seq {
        Seq(u64::from(of) % self.messages.next_seq().0 + 1)
    }

    fn step(&mut self, step: Step) {
        let end = |timeout: u8| self.now.plus_ms(timeout.into());
        match step {
            Step::Send { count, delay } => (0..count).for_each(|_| {
                self.messages.sent(self.messages.next_seq(), delay.map(end));
            }),
            Step::Gap { count } if self.gaps_are_sent => (0..count).for_each(|_| {
                let seq = self.messages.next_seq();
                self.messages.sent(seq, None);
                self.messages.acked(seq, || None);
            }),
            Step::Gap { count } => {
                self.messages.skip_to(Seq(self.messages.next_seq().0 + u64::from(count)));
            }
            Step::Lease { count, timeout } => {
                let until = end(timeout);
                let seqs: Vec<_> = self.messages.waiting().take(count.into()).collect();
                seqs.into_iter().for_each(|(seq, _)| self.lease(seq, until));
            }
            Step::LeaseAny { seq, timeout } => self.lease(self.seq(seq), end(timeout)),
            Step::Change { seq, timeout } => {
                self.messages.lease_changed(self.seq(seq), end(timeout));
            }
            Step::GiveBack { seq, timeout, is_counted, reason } => {
                let reason = (reason > 100).then(|| Arc::from(reason.to_string()));
                let (seq, until) = (self.seq(seq), end(timeout));
                self.messages.given_back(seq, until, is_counted, reason.as_ref());
            }
            Step::Ack { seq } => self.messages.acked(self.seq(seq), || None),
            Step::Purge { through } => self.messages.purged(self.seq(through)),
            Step::Damage { seq } => self.messages.damaged(self.seq(seq)),
            Step::Settle { ms } => {
                self.now = self.now.plus_ms(ms.into());
                self.messages.settle(self.now);
            }
        }
        self.messages.all_durable();
    }

    fn lease(&mut self, seq: Seq, until: LogTime) {
        self.leases += 1;
        let count = self.messages.held(seq).map_or(1, |held| held.receive_count + 1);
        let message = Lease { seq, receive_count: count, group: Group::NONE };
        self.messages.leased(message, LeaseId(self.leases), self.now, until);
    }

    /// All that a caller can see.
    fn seen(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let messages = &self.messages;
        (
            messages.waiting().collect::<Vec<_>>(),
            messages.again().collect::<Vec<_>>(),
            messages.look(Seq(0), States::default()).collect::<Vec<_>>(),
            messages.next_timer(),
            messages.counts(),
            messages.len(),
            messages.next_seq(),
            messages.returns.iter().map(|(seq, known)| (seq, known.clone())).collect::<Vec<_>>(),
        )
    }
}

fn freeze(messages: Messages) -> FrozenMessages {
    let (id, name) = (QueueId(1), "jobs".to_owned());
    let (created, modified) = (LogTime(1), LogTime(2));
    let attributes = Arc::new(Attributes::default());
    let (deduplication, producers, redrives) = Default::default();
    let queue = Queue {
        id,
        name,
        created,
        modified,
        attributes,
        messages,
        deduplication,
        producers,
        redrives,
    };
    queue.freeze(Position(3)).messages
}

/// What holds of messages at any time.
fn check(messages: &Messages) {
    let Messages { next, cursor, apart, held, .. } = messages;
    assert!(Seq(1) <= *cursor && cursor <= next);
    assert!(apart.iter().all(|seq| (cursor.next()..*next).contains(&Seq(seq))));
    for (seq, held) in held.range(..) {
        assert!(seq < *next && (seq < *cursor || apart.contains(seq.0)));
        let (waits, is_worn) = (held.state == MessageState::Waiting, held.is_worn());
        assert_eq!(waits && !is_worn, messages.returned.contains(seq.0));
        assert_eq!(
            waits && is_worn,
            messages.worn.by_seq().is_some_and(|worn| worn.contains(seq.0))
        );
        assert_eq!(
            waits && is_worn,
            messages.worn.by_time().any(|worn| worn == (held.received, seq))
        );
        let MessageState::InFlight { until } = held.state else { continue };
        assert_eq!(until, held.until);
        assert!(messages.timers.contains(&(until, seq)));
    }
    let worn =
        held.range(..).filter(|(_, held)| held.state == MessageState::Waiting && held.is_worn());
    let worn = worn.count();
    assert_eq!((messages.worn.len() as usize, messages.worn.by_time().count()), (worn, worn));
    let in_flight = |(_, held): &(Seq, &Held)| matches!(held.state, MessageState::InFlight { .. });
    assert_eq!(messages.timers.len(), held.range(..).filter(in_flight).count());
    for seq in messages.due.iter().chain(messages.delays.seqs()).map(Seq) {
        assert!(seq < *next && (seq < *cursor || apart.contains(seq.0)));
        assert!(held.get(seq).is_none());
    }
    assert!(messages.due.is_disjoint(messages.delays.seqs()));
    assert!(messages.returns.iter().all(|(seq, _)| messages.contains(seq)));
}

proptest! {
    #[test]
    fn what_is_restored_goes_on_alike(before in steps(), behind in steps()) {
        let mut run = Run::default();
        before.iter().for_each(|step| run.step(*step));
        check(&run.messages);
        let frozen = freeze(run.messages.clone());
        let mut restored = Run { messages: frozen.clone().into(), ..run.clone() };
        check(&restored.messages);
        // What was damaged waits in one of them: so it does in neither.
        let damaged: Vec<_> = run.messages.look(Seq(0), States::default())
            .filter(|(_, seen)| seen.state == MessageState::Damaged)
            .collect();
        for (seq, _) in damaged {
            let held = *run.messages.held(seq).expect("a damaged message is held");
            let waits = restored.messages.held(seq).copied();
            prop_assert_eq!(waits, Some(Held { state: MessageState::Waiting, ..held }));
            run.messages.acked(seq, || None);
            restored.messages.acked(seq, || None);
        }
        prop_assert_eq!(run.seen(), restored.seen());
        let was = frozen.held.range(..).map(|(seq, held)| (seq, *held)).collect::<Vec<_>>();
        for step in behind {
            run.step(step);
            restored.step(step);
            prop_assert_eq!(run.seen(), restored.seen());
        }
        check(&restored.messages);
        prop_assert!(frozen.held.range(..).map(|(seq, held)| (seq, *held)).eq(was));
    }

    #[test]
    fn a_look_at_some_states_is_what_a_look_at_all_shows_of_them(
        steps in steps(),
        from in 0..400_u64,
        [waiting, in_flight, delayed, damaged]: [bool; 4],
    ) {
        let mut run = Run::default();
        steps.iter().for_each(|step| run.step(*step));
        let states = States { waiting, in_flight, delayed, damaged };
        let look = |from, states| {
            let seen = run.messages.look(from, states);
            seen.filter(|(_, seen)| states.contains(seen.state)).collect::<Vec<_>>()
        };
        let mut all = look(Seq(0), States::default());
        all.retain(|(seq, seen)| seq.0 >= from && states.contains(seen.state));
        prop_assert_eq!(look(Seq(from), states), all);
    }

    #[test]
    fn a_gap_is_as_if_sent_and_acked(steps in steps()) {
        let mut left_out = Run::default();
        let mut sent = Run { gaps_are_sent: true, ..Run::default() };
        for step in steps {
            left_out.step(step);
            sent.step(step);
            prop_assert_eq!(left_out.seen(), sent.seen());
        }
        check(&left_out.messages);
        prop_assert_eq!(left_out.messages.cursor, sent.messages.cursor);
        prop_assert_eq!(&left_out.messages.apart, &sent.messages.apart);
    }

    #[test]
    fn frozen_messages_know_which_are_live(steps in steps(), from in 0..400_u64, to in 0..400_u64) {
        let mut run = Run::default();
        steps.iter().for_each(|step| run.step(*step));
        let live: BTreeSet<Seq> = run.messages.look(Seq(0), States::default()).map(|(seq, _)| seq).collect();
        let frozen = freeze(run.messages.clone());
        for seq in (0..run.messages.next_seq().0 + 2).map(Seq) {
            prop_assert_eq!(frozen.is_live(seq), live.contains(&seq));
            prop_assert_eq!(frozen.held(seq), run.messages.held(seq));
        }
        for (from, to) in [(from, to), (from, u64::MAX), (0, to)] {
            let range = Seq(from)..=Seq(to);
            let expected = live.iter().filter(|seq| range.contains(seq)).count();
            prop_assert_eq!(frozen.live_in(range), expected as u64);
        }
        prop_assert_eq!(frozen.live_in(Seq(0)..=Seq(u64::MAX)), run.messages.len());
    }
}

#[test]
fn a_gap_of_a_billion_costs_nothing() {
    let mut messages = Messages::default();
    messages.sent(Seq(1), None);
    messages.sent(Seq(1_000_000_002), None);
    messages.sent(Seq(3_000_000_000), Some(LogTime(5)));
    messages.all_durable();
    assert_eq!((messages.len(), messages.waiting().count()), (3, 2));
    messages.acked(Seq(1), || None);
    assert_eq!(messages.waiting().next(), Some((Seq(1_000_000_002), Group::NONE)));
    messages.acked(Seq(1_000_000_002), || None);
    assert_eq!(messages.cursor, messages.next, "what is apart is behind the cursor");
    assert!(messages.apart.is_empty());
    messages.settle(LogTime(5));
    assert_eq!(messages.waiting().collect::<Vec<_>>(), [(Seq(3_000_000_000), Group::NONE)]);
    // Without a backlog, the cursor goes along.
    messages.skip_to(Seq(9_000_000_000));
    assert_eq!((messages.cursor, messages.len()), (messages.next_seq(), 1));
    messages.skip_to(Seq(5));
    assert_eq!(messages.next_seq(), Seq(9_000_000_000), "what was sent stays");
}

#[test]
fn how_long_a_message_was_held_back_is_remembered() {
    let mut messages = Messages::default();
    let until = |messages: &Messages| messages.held(Seq(1)).unwrap().until;
    messages.sent(Seq(1), Some(LogTime(10)));
    messages.settle(LogTime(11));
    assert_eq!(messages.held(Seq(1)), None, "nothing is held of one that was never received");
    let message = Lease { seq: Seq(1), receive_count: 1, group: Group::NONE };
    messages.leased(message, LeaseId(1), LogTime(12), LogTime(20));
    assert_eq!(until(&messages), LogTime(20));
    messages.lease_changed(Seq(1), LogTime(3));
    messages.settle(LogTime(13));
    assert_eq!(messages.held(Seq(1)).unwrap().state, MessageState::Waiting);
    assert_eq!(until(&messages), LogTime(3));
}

fn create(state: &mut State, queue: u32, name: &str) {
    let attributes = EncodedAttributes::default();
    let (queue, time) = (QueueId(queue), LogTime(1));
    state.apply(&Record::QueueCreated { queue, time, attributes, name });
}

#[test]
fn queues_are_frozen_in_the_order_of_their_numbers() {
    let mut state = State::default();
    for queue in 1..=5 {
        create(&mut state, queue, &format!("queue-{queue}"));
    }
    state.apply(&Record::QueueDeleted { queue: QueueId(3) });
    let ids = |after, max| {
        let frozen = state.freeze_after(QueueId(after), max, Position(7));
        assert!(frozen.iter().all(|queue| queue.position == Position(7)));
        frozen.iter().map(|queue| queue.id.0).collect::<Vec<_>>()
    };
    assert_eq!(ids(0, 2), [1, 2]);
    assert_eq!(ids(2, 2), [4, 5]);
    assert_eq!(ids(5, 2), [0; 0]);
    let mut restored = State::default();
    state.freeze_after(QueueId(0), 9, Position(7)).into_iter().for_each(|q| restored.restore(q));
    assert_eq!(restored.totals(), state.totals());
    assert_eq!(
        restored.by_name("queue-4").map(Queue::info),
        state.by_name("queue-4").map(Queue::info)
    );
    assert_eq!(restored.last_queue(), QueueId(5));
    restored.set_last_queue(QueueId(4));
    assert_eq!(restored.next_queue(), QueueId(6));
    assert!(restored.contains(QueueId(5)) && !restored.contains(QueueId(3)));
}

#[test]
fn a_deleted_queues_number_is_never_given_again_nor_its_name_taken_from_a_newer_one() {
    let mut state = State::default();
    // Its creation was left out of the log.
    state.apply(&Record::QueueDeleted { queue: QueueId(8) });
    assert_eq!(state.next_queue(), QueueId(9));
    // Queue 10 was frozen after queue 9 of the same name was created and deleted.
    let mut later = State::default();
    create(&mut later, 10, "jobs");
    later.freeze_after(QueueId(0), 1, Position(9)).into_iter().for_each(|q| state.restore(q));
    create(&mut state, 9, "jobs");
    state.apply(&Record::QueueDeleted { queue: QueueId(9) });
    assert_eq!(state.by_name("jobs").map(|queue| queue.id), Some(QueueId(10)));
}

#[test]
fn what_was_left_out_is_gone_and_memory_is_counted() {
    let mut state = State::default();
    create(&mut state, 1, "jobs");
    let empty = state.memory();
    assert_eq!((empty.held_messages, empty.held_bytes), (0, 0));
    assert!(empty.queue_bytes > 0);
    state.apply(&Record::Compacted { queue: QueueId(1), next: Seq(100) });
    state.by_id(QueueId(1)).unwrap().messages.sent(Seq(100), Some(LogTime(1)));
    assert_eq!(state.totals(), (1, 1));
    let memory = state.memory();
    assert_eq!(memory.held_messages, 1);
    assert_eq!(memory.held_bytes, 0);
    assert!((16..64).contains(&memory.timer_bytes));
}

/// Without it the core would search all groups of a queue for each message that expires there.
#[test]
fn an_index_says_of_which_group_a_message_was_that_nobody_received() {
    let queue = QueueId(1);
    let group = |seq: Seq| Group(seq.0 as u32 % 7);
    let mut state = State::default();
    create(&mut state, 1, "tenants");
    let messages = &mut state.by_id(queue).unwrap().messages;
    messages.set_order(Discipline::Fair);
    (1..=100).for_each(|seq| messages.sent(Seq(seq), (seq % 10 == 0).then_some(LogTime(seq))));
    messages.all_durable();
    // Of those that are delayed some have become visible, and the group of some of those is known.
    messages.settle(LogTime(50));
    let order = messages.order_mut().unwrap();
    for seq in [10, 20, 30].map(Seq) {
        assert_eq!(order.take_stray(Seq(100)), Some(seq));
        order.show(group(seq), seq, None);
    }
    for seq in (1..=60).map(Seq).filter(|seq| seq.0 % 10 > 0) {
        messages.walked(group(seq), seq, LogTime(0), LogTime(0));
    }
    let held = Lease { seq: Seq(5), receive_count: 1, group: group(Seq(5)) };
    messages.leased(held, LeaseId(1), LogTime(50), LogTime(60));

    let acked: Vec<Seq> = (1..=90).filter(|seq| seq % 3 > 0).map(Seq).collect();
    let mut bytes = bytes::BytesMut::new();
    RecordWriter::new(&mut bytes).acked(queue, &acked);
    let apply = |state: &mut State, known: bool| {
        let mut asked = Vec::new();
        for (record, ..) in crate::entry::records(&bytes) {
            state.apply_with_groups(&record, |_, seq| {
                asked.push(seq);
                known.then(|| group(seq))
            });
        }
        let messages = &state.by_id(queue).unwrap().messages;
        let waiting: Vec<_> = messages.waiting().collect();
        (asked, waiting, messages.order().unwrap().counts())
    };
    let (asked, waiting, counts) = apply(&mut state.clone(), true);
    let is_asked = |seq: &Seq| match seq.0 {
        5 => false,
        delayed if delayed % 10 == 0 => delayed <= 30,
        seq => seq <= 60,
    };
    assert_eq!(asked, acked.iter().copied().filter(is_asked).collect::<Vec<_>>());
    let left = (1..=60).filter(|seq| seq % 3 == 0 && (seq % 10 > 0 || *seq <= 30)).map(Seq);
    assert_eq!(waiting, left.map(|seq| (seq, group(seq))).collect::<Vec<_>>());
    assert_eq!(apply(&mut state, false), (asked, waiting, counts), "it is a shortcut");
}
